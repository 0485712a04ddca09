//! `serve`: routes, headers, errors, and what becomes of connections.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Engine, PATIENCE, Workspace, wait_for};
use crate::pictures::{noise, photo, save};

/// Bytes that do not fit into the buffers of a connection on loopback, with Linux' default sizes.
const MORE_THAN_SOCKETS_BUFFER: usize = 9_000_000;

#[test]
fn every_way_to_show_the_key_is_accepted_and_nothing_else() {
    let space = Workspace::with_photos(1);
    let (server, key) = space.serve_with_key();
    let id = &space.ids()[0];
    let wrong = format!("{}{}", &key[..16], "0".repeat(48));
    let bearer = format!("Bearer {key}");
    let upper = key.to_uppercase();
    let open = ["/healthz", "/readyz"];
    let by_header = [
        "/random".into(),
        format!("/images/{id}"),
        format!("/images/{id}.webp"),
        format!("/images/{id}/info"),
    ];
    let by_path = ["/random-image", "/update-images", "/update-key"];

    for path in open {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    for path in &by_header {
        for (headers, status) in [
            (&[][..], 401),
            (&[("Authorization", bearer.as_str())], 200),
            (&[("authorization", "bearer nonsense")], 401),
            (&[("Authorization", "Basic eDp5")], 401),
            (&[("X-API-Key", key.as_str())], 200),
            (&[("X-API-Key", upper.as_str())], 200),
            (&[("X-API-Key", wrong.as_str())], 401),
            (&[("X-API-Key", &key[..63])], 401),
        ] {
            assert_eq!(server.request("GET", path, headers).status, status, "{path} {headers:?}");
        }
        assert_eq!(server.get(&format!("{path}?key={key}")).status, 200, "{path}");
        assert_eq!(server.get(&format!("{path}?w=1&key={wrong}")).status, 401, "{path}");
        assert_eq!(
            server.get(&format!("{path}?cachebuster=1&key={key}&_=2")).status,
            200,
            "{path}"
        );
    }
    for path in by_path {
        assert_eq!(server.get(&format!("{path}/{key}")).status, 200, "{path}");
        // A non-ASCII key was a 500 of the old service.
        for bad in [wrong.as_str(), "short", "%C3%A9", "%00", "..%2F"] {
            let answer = server.request("GET", &format!("{path}/{bad}"), &[("X-API-Key", &key)]);
            assert_eq!(answer.status, 401, "{path}/{bad}");
        }
    }
    let refused = server.get("/random");
    assert_eq!(refused.body, br#"{"error":"Unauthorized"}"#);
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    assert_eq!(refused.header("content-type"), Some("application/json"));
}

#[test]
fn a_random_image_has_the_headers_of_the_contract() {
    let space = Workspace::with_photos(3);
    let (server, key) = space.serve_with_key();
    let ids = space.ids();
    for path in [format!("/random-image/{key}"), format!("/random?key={key}")] {
        for method in ["GET", "HEAD"] {
            // A download that is resumed would go on in another picture, so ranges are not offered.
            let answer = server.request(method, &path, &[("Range", "bytes=5-")]);
            assert_eq!(answer.status, 200, "{method} {path}");
            let id = answer.header("x-image-id").unwrap();
            assert!(ids.contains(&id.to_owned()));
            assert_eq!(answer.header("content-type"), Some("image/webp"));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert_eq!(
                answer.header("content-location"),
                Some(format!("/images/{id}.webp").as_str())
            );
            assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
            assert_eq!(answer.header("accept-ranges"), None);
            assert_eq!(answer.header("content-range"), None);
            let stored = space.stored(id);
            assert_eq!(answer.header("content-length"), Some(stored.len().to_string().as_str()));
            assert_eq!(answer.body, if method == "GET" { stored } else { Vec::new() });
        }
    }
}

#[test]
fn every_image_is_picked() {
    let space = Workspace::with_photos(5);
    let (server, key) = space.serve_with_key();
    let mut left = space.ids();
    // That one of five is missing after 200 uniform picks has a probability of 2e-19.
    for _ in 0..200 {
        let answer = server.get(&format!("/random?key={key}"));
        left.retain(|id| Some(id.as_str()) != answer.header("x-image-id"));
    }
    assert_eq!(left, [""; 0]);
}

#[test]
fn an_empty_gallery_says_so_and_images_appear_within_a_second() {
    let space = Workspace::file();
    let mut server = space.serve();
    let key = space.rotate(&[]);
    let random = format!("/random-image/{key}");
    let empty = server.get(&random);
    assert_eq!((empty.status, empty.json()), (404, json!({ "error": "No images found" })));
    let update = server.get(&format!("/update-images/{key}"));
    assert_eq!((update.status, update.json()), (404, json!({ "error": "No images found" })));

    save(photo(50, 50, 1), &space.picture("a.png"));
    space.import();
    let committed = Instant::now();
    wait_for("the image is served", || server.get(&random).status == 200);
    assert!(committed.elapsed() < Duration::from_secs(1), "{:?}", committed.elapsed());

    // All pictures replaced: the old service answered half of all requests with 500 or 404.
    let old = space.ids();
    save(photo(70, 50, 2), &space.picture("b.png"));
    space.import();
    space.run(["remove", &old[0]]).expect(0);
    let update = server.get(&format!("/update-images/{key}"));
    assert_eq!((update.status, update.json()), (200, json!({ "message": "Images list updated" })));
    for _ in 0..20 {
        assert_eq!(server.get(&random).header("x-image-id"), Some(space.ids()[0].as_str()));
    }
    server.signal("TERM");
    assert_eq!(server.wait().0, Some(0));
}

#[test]
fn removals_never_show_as_errors() {
    let space = Workspace::with_photos(30);
    let (server, key) = space.serve_with_key();
    let ids = space.ids();
    for gone in ids[..29].chunks(3) {
        space
            .run([&["remove"], &gone.iter().map(String::as_str).collect::<Vec<_>>()[..]].concat())
            .expect(0);
        for _ in 0..20 {
            let answer = server.get(&format!("/random?key={key}"));
            assert_eq!(answer.status, 200);
            assert!(
                !gone.contains(&answer.header("x-image-id").unwrap().to_owned()),
                "a removed image was served"
            );
        }
    }
}

#[test]
fn wrong_paths_methods_and_sizes_get_the_right_error() {
    let space = Workspace::with_photos(1);
    let (server, key) = space.serve_with_key();
    let unknown = "0".repeat(32);
    for (path, status, error) in [
        ("/nothing".to_owned(), 404, "Not found"),
        ("/random/more".into(), 404, "Not found"),
        (format!("/images/{unknown}?key={key}"), 404, "No such image"),
        (format!("/images/{unknown}/info?key={key}"), 404, "No such image"),
        (format!("/images/..%2F..%2Fetc%2Fpasswd?key={key}"), 404, "No such image"),
        (format!("/random?key={key}&{}", "x".repeat(9000)), 414, "URI too long"),
    ] {
        let answer = server.get(&path);
        assert_eq!((answer.status, answer.json()), (status, json!({ "error": error })), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    }
    for path in [
        "/random".to_owned(),
        format!("/random-image/{key}"),
        format!("/update-key/{key}"),
        "/healthz".into(),
    ] {
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            let answer = server.request(method, &path, &[]);
            assert_eq!(
                (answer.status, answer.header("allow")),
                (405, Some("GET, HEAD, OPTIONS")),
                "{method} {path}"
            );
        }
        let preflight = server.request("OPTIONS", &path, &[("Origin", "https://example.org")]);
        assert_eq!(preflight.status, 204);
        assert!(preflight.header("access-control-allow-headers").unwrap().contains("X-API-Key"));
    }
    assert_eq!(server.request("POST", "/nothing", &[]).status, 404);
    assert!(
        server
            .raw(&format!("GET /random HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "x".repeat(20_000)))
            .contains(" 431 ")
    );
}

#[test]
fn garbage_on_a_connection_hurts_nobody() {
    let space = Workspace::with_photos(1);
    let (server, key) = space.serve_with_key();
    for garbage in [
        "\0\0\0\0",
        "GET",
        "GET / HTTP/9.9\r\n\r\n",
        "\x16\x03\x01\x02\0",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        let _ = stream.write_all(garbage.as_bytes());
    }
    let pipelined = format!(
        "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\nGET /random?key={key} HTTP/1.1\r\nhost: x\r\n\r\n"
    );
    assert!(server.raw(&pipelined).starts_with("HTTP/1.1 200"));
    assert_eq!(server.get(&format!("/random?key={key}")).status, 200);
}

/// Two such clients kept an honest request of the old service waiting for 38 seconds.
#[test]
fn silent_clients_keep_nobody_waiting_and_are_cut_off() {
    let space = Workspace::with_photos(1);
    space.import();
    let key = space.rotate(&[]);
    let server = space.serve_with(&["--header-timeout", "1s"]);
    let mut silent: Vec<_> =
        (0..50).map(|_| TcpStream::connect(&server.address).unwrap()).collect();
    for stream in &mut silent[25..] {
        stream.write_all(b"GET /random HTTP/1.1\r\nho").unwrap();
    }
    let asked = Instant::now();
    assert_eq!(server.get(&format!("/random?key={key}")).status, 200);
    assert!(asked.elapsed() < Duration::from_millis(900), "{:?}", asked.elapsed());
    for mut stream in silent {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("the server closes the connection");
    }
}

#[test]
fn sigterm_lets_an_answer_under_way_finish() {
    let space = Workspace::file();
    save(noise(3600, 2600, 1), &space.picture("large.png"));
    space.run(["import", "--quality", "100", "pictures"]).expect(0);
    let (mut server, key) = space.serve_with_key();
    let stored = space.stored(&space.ids()[0]);
    // More than the two sockets buffer, so that the server is still writing when it is told to stop.
    assert!(stored.len() > MORE_THAN_SOCKETS_BUFFER, "{}", stored.len());
    let mut slow = TcpStream::connect(&server.address).unwrap();
    slow.write_all(format!("GET /random?key={key} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes())
        .unwrap();
    let mut answer = vec![0; 1000];
    slow.read_exact(&mut answer).unwrap();
    server.signal("TERM");
    wait_for("the server refuses new connections", || TcpStream::connect(&server.address).is_err());
    slow.read_to_end(&mut answer).unwrap();
    assert!(answer.ends_with(&stored), "the answer was cut");
    assert_eq!(server.wait().0, Some(0));
}

#[test]
fn an_answer_that_never_ends_is_cut_after_the_shutdown_timeout() {
    let space = Workspace::file();
    save(noise(3600, 2600, 1), &space.picture("large.png"));
    space.run(["import", "--quality", "100", "pictures"]).expect(0);
    assert!(space.list()[0]["bytes"].as_u64().unwrap() as usize > MORE_THAN_SOCKETS_BUFFER);
    let key = space.rotate(&[]);
    let mut server = space.serve_with(&["--shutdown-timeout", "300ms"]);
    let mut stuck = TcpStream::connect(&server.address).unwrap();
    stuck
        .write_all(format!("GET /random?key={key} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes())
        .unwrap();
    let mut start = [0; 100];
    stuck.read_exact(&mut start).unwrap();
    server.signal("INT");
    assert_eq!(server.wait().0, Some(0));
    assert!(server.log().contains("shutdown-timeout"), "{}", server.log());
}

#[test]
fn serve_imports_a_folder_while_it_serves_and_shows_its_first_key_once() {
    for engine in Engine::ALL {
        let space = Workspace::new(*engine);
        save(photo(50, 50, 1), &space.picture("a.png"));
        let mut server = space.serve_with(&["--import", "pictures"]);
        wait_for("the import is through", || server.log().contains("1 imported"));
        server.signal("TERM");
        let (code, stdout) = server.wait();
        assert_eq!(code, Some(0));
        let url =
            stdout.split_whitespace().find(|word| word.contains("/random-image/")).expect("a URL");
        let key = url.rsplit_once('/').unwrap().1.to_owned();
        assert_eq!(key.len(), 64);

        let mut server = space.serve();
        assert_eq!(server.get(&format!("/random-image/{key}")).status, 200);
        server.signal("TERM");
        let (_, stdout) = server.wait();
        assert_eq!(stdout, "", "the key was shown again");
        assert!(!server.log().contains(&key[16..]));
    }
}

/// POSIX locks on a file end when any of the process' descriptors of it is closed. An import of the folder that the
/// gallery lies in once opened and closed the lock file like any other: the next process took the gallery for unused.
#[cfg(target_os = "linux")]
#[test]
fn an_import_of_the_gallerys_own_folder_keeps_its_locks() {
    use std::os::unix::fs::MetadataExt as _;

    let space = Workspace::with_photos(1);
    let server = space.serve_with(&["--import", "."]);
    wait_for("the import is through", || server.log().contains("1 imported"));
    let inode = std::fs::metadata(space.path("gallery.pool-lock")).unwrap().ino();
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    let held = |line: &str| {
        line.contains(&format!(" {} ", server.pid())) && line.contains(&format!(":{inode} "))
    };
    assert!(locks.lines().any(held), "{locks}");
}

/// The old service wrote its key to the log at every start.
#[test]
fn no_log_line_carries_a_secret() {
    let space = Workspace::with_photos(1);
    space.import();
    let key = space.rotate(&[]);
    let mut server = space.serve_with(&["--log-file", "server.log"]);
    let secret = &key[16..];
    server.get(&format!("/random-image/{key}"));
    server.get(&format!("/random?key={key}&w=1"));
    server.get(&format!("/no-such-route/{key}"));
    server.get(&format!("/random-image/{key}/more"));
    server.request("POST", &format!("/update-key/{key}"), &[]);
    server.request("GET", "/random", &[("Authorization", &format!("Bearer {key}"))]);
    server.signal("TERM");
    server.wait();
    let file = std::fs::read_to_string(space.path("server.log")).unwrap();
    for log in [server.log(), file] {
        assert!(log.contains(&format!("path=/random-image/{} status=200", &key[..16])), "{log}");
        assert!(!log.contains(secret) && !log.contains(&secret[..17]), "{log}");
    }
}

#[test]
fn log_lines_are_json_when_asked() {
    let space = Workspace::with_photos(1);
    space.import();
    space.rotate(&[]);
    let mut server = space.serve_with(&["--log-format", "json"]);
    server.get("/random");
    server.signal("TERM");
    server.wait();
    let lines: Vec<serde_json::Value> = server
        .log()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect();
    assert!(
        lines.iter().any(|line| line["path"] == "/random" && line["status"] == 401),
        "{lines:?}"
    );
}

#[test]
fn the_log_file_is_rotated_and_ten_are_kept() {
    let space = Workspace::with_photos(1);
    space.import();
    space.rotate(&[]);
    std::fs::write(space.path("server.log"), vec![b'x'; 10 << 20]).unwrap();
    let mut server = space.serve_with(&["--log-file", "server.log"]);
    server.get("/random");
    server.signal("TERM");
    server.wait();
    wait_for("the full file was put aside", || space.path("server.log.1").exists());
    assert!(std::fs::metadata(space.path("server.log")).unwrap().len() < 1 << 20);
    let server = space
        .command()
        .args(["serve", "--listen", "127.0.0.1:0", "--log-file", "no/folder/x.log"])
        .output()
        .unwrap();
    assert_eq!(server.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&server.stderr).contains("no/folder/x.log"));
}

#[test]
fn health_tells_a_server_that_answers_from_none() {
    let space = Workspace::with_photos(1);
    let (mut server, _) = space.serve_with_key();
    let url = format!("http://{}", server.address);
    space.run(["health", &url]).expect(0);
    space.run(["health", &format!("{url}/healthz")]).expect(0);
    space.run(["health", &format!("{url}/random")]).expect(1).complains_of(&["401"]);
    let listen = server.address.clone();
    let by_environment = space
        .command()
        .args(["--quiet", "health"])
        .env("IMAGEPOOL_LISTEN", &listen)
        .status()
        .unwrap();
    assert!(by_environment.success());
    server.signal("TERM");
    server.wait();
    space.run(["health", &url]).expect(1).complains_of(&[&listen, "imagepool serve"]);
}

#[test]
fn a_port_that_is_taken_is_told() {
    let space = Workspace::with_photos(1);
    let (server, _) = space.serve_with_key();
    let second = space.run(["serve", "--listen", &server.address]).expect(1);
    second.complains_of(&[&server.address, "in use"]);
}
