//! Connections as clients misuse them, and in the forms other than plain TCP.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{PATIENCE, Server, Workspace, wait_for};
use crate::pictures::{noise, save};

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(&server.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").into_bytes()
}

/// Sends a request and reads some of its answer.
fn ask(stream: &mut TcpStream, path: &str) -> String {
    stream.write_all(&get(path)).unwrap();
    let mut start = [0; 64];
    let read = stream.read(&mut start).unwrap();
    String::from_utf8_lossy(&start[..read]).into_owned()
}

/// A connection that is being answered.
fn being_answered(server: &Server, key: &str) -> TcpStream {
    let mut stream = connect(server);
    assert!(ask(&mut stream, &format!("/random?key={key}")).starts_with("HTTP/1.1 200"));
    stream
}

/// What follows until the server closes the connection.
fn rest(stream: &mut TcpStream) -> usize {
    let (mut total, mut buffer) = (0, vec![0; 1 << 20]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return total,
            Ok(read) => total += read,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return total,
            Err(error) => panic!("the connection was not closed: {error}"),
        }
    }
}

/// A gallery of one image that is larger than what two sockets buffer.
fn with_large_image() -> (Workspace, String) {
    let space = Workspace::file();
    save(noise(3600, 2600, 1), &space.picture("large.png"));
    space.run(["import", "--quality", "100", "pictures"]).expect(0);
    let key = space.rotate(&[]);
    (space, key)
}

#[test]
fn a_full_server_gives_up_who_waits_longest() {
    let space = Workspace::with_photos(1);
    space.import();
    let key = space.rotate(&[]);
    let server = space.serve_with(&["--max-connections", "4"]);
    let mut silent: Vec<_> = (0..4).map(|_| connect(&server)).collect();
    let asked = Instant::now();
    assert_eq!(server.get(&format!("/random?key={key}")).status, 200);
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    assert_eq!(rest(&mut silent[0]), 0, "the oldest one was closed");
}

#[test]
fn connections_that_are_all_being_answered_make_others_wait() {
    let (space, key) = with_large_image();
    let server = space.serve_with(&["--max-connections", "2"]);
    let busy = [(); 2].map(|()| being_answered(&server, &key));
    let mut waiting = connect(&server);
    waiting.write_all(&get("/healthz")).unwrap();
    waiting.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut start = [0; 12];
    assert!(waiting.read_exact(&mut start).is_err(), "there was room");
    drop(busy);
    waiting.set_read_timeout(Some(PATIENCE)).unwrap();
    waiting.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
}

#[test]
fn an_address_has_its_own_limit() {
    let (space, key) = with_large_image();
    let server = space.serve_with(&["--max-connections-per-address", "2"]);
    let mut silent: Vec<_> = (0..2).map(|_| connect(&server)).collect();
    wait_for("silent ones make room", || server.get("/healthz").status == 200);
    silent.iter_mut().for_each(|stream| assert_eq!(rest(stream), 0));
    let busy = [(); 2].map(|()| being_answered(&server, &key));
    let refused = server.get("/healthz");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(refused.json()["error"], "Service unavailable");
    drop(busy);
    wait_for("there is room again", || server.get("/healthz").status == 200);
}

#[test]
fn a_client_that_stops_reading_is_cut_off() {
    let (space, key) = with_large_image();
    let server = space.serve_with(&["--write-timeout", "4s"]);
    let stored = space.list()[0]["bytes"].as_u64().unwrap();
    let mut stuck = being_answered(&server, &key);
    wait_for("it is cut off", || {
        server.get(&format!("/metrics?key={key}")).text().contains("http_connections 1\n")
    });
    assert!((rest(&mut stuck) as u64) < stored);
    // One that reads slowly, but reads, is served to the end: more slowly than 1 MiB, which is written at once, in that time.
    let mut slow = being_answered(&server, &key);
    let (started, mut total, mut buffer) = (Instant::now(), 0, vec![0; 16 << 10]);
    while total < stored {
        let read = slow.read(&mut buffer).unwrap();
        assert!(read > 0, "cut after {total} of {stored} bytes and {:?}", started.elapsed());
        total += read as u64;
        if started.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// As `nc -N` and some old clients do once they have asked.
#[test]
fn a_client_that_closes_its_side_gets_its_whole_answer() {
    let (space, key) = with_large_image();
    let server = space.serve();
    wait_for("it is ready", || server.get("/readyz").status == 200);
    let mut stream = connect(&server);
    stream.write_all(&get(&format!("/random?key={key}"))).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let body = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    assert_eq!((answer.len() - body) as u64, space.list()[0]["bytes"].as_u64().unwrap());
}

#[test]
fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let space = Workspace::with_photos(1);
    space.import();
    let key = space.rotate(&[]);
    let server = space.serve_with(&["--idle-timeout", "1s"]);
    let mut stream = connect(&server);
    for _ in 0..8 {
        assert!(ask(&mut stream, &format!("/images?key={key}")).starts_with("HTTP/1.1 200"));
        std::thread::sleep(Duration::from_millis(300));
        let mut rest_of_answer = vec![0; 1 << 16];
        let _ = stream.read(&mut rest_of_answer).unwrap();
    }
    let idle = Instant::now();
    rest(&mut stream);
    assert!(idle.elapsed() < Duration::from_secs(20), "{:?}", idle.elapsed());
}

#[test]
fn a_head_that_comes_byte_by_byte_is_cut_off() {
    let space = Workspace::with_photos(1);
    space.import();
    let server = space.serve_with(&["--header-timeout", "1s"]);
    let mut dripping = connect(&server);
    let started = Instant::now();
    let cut = loop {
        if dripping.write_all(b"x").is_err() {
            break started.elapsed();
        }
        std::thread::sleep(Duration::from_millis(50));
        assert!(started.elapsed() < PATIENCE, "it was not cut off");
    };
    assert!(cut > Duration::from_millis(900), "{cut:?}");
}

#[test]
fn a_second_signal_ends_it_now() {
    let (space, key) = with_large_image();
    let mut server = space.serve_with(&["--shutdown-timeout", "1h"]);
    let _stuck = being_answered(&server, &key);
    server.signal("TERM");
    wait_for("it has stopped accepting", || TcpStream::connect(&server.address).is_err());
    server.signal("TERM");
    assert_eq!(server.wait().0, Some(130));
}

/// Two readings of one message are how requests are smuggled past a proxy (RFC 9112, 11.2).
#[test]
fn ambiguous_requests_are_refused() {
    let space = Workspace::with_photos(1);
    let (server, key) = space.serve_with_key();
    for (name, head) in [
        (
            "two lengths",
            "GET /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        ),
        ("a length that is none", "GET /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: +5\r\n\r\n"),
        (
            "an unknown coding",
            "GET /healthz HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, x\r\n\r\n",
        ),
        ("a space before the colon", "GET /healthz HTTP/1.1\r\nhost : x\r\n\r\n"),
        ("a folded line", "GET /healthz HTTP/1.1\r\nhost: x\r\n y\r\n\r\n"),
        ("a zero byte", "GET /healthz HTTP/1.1\r\nhost: x\0\r\n\r\n"),
        ("a bare return", "GET /healthz HTTP/1.1\r\nhost: x\ry: z\r\n\r\n"),
        ("HTTP/0.9", "GET /healthz\r\n\r\n"),
        ("HTTP/2 in clear text", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ] {
        let answer = server.raw(head);
        assert!(!answer.starts_with("HTTP/1.1 200"), "{name}: {answer}");
    }
    // Chunked with a length: the body is read as chunks, and what follows is not trusted on this connection.
    let both = "POST /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n\
                5c\r\nGET /random HTTP/1.1\r\nhost: x\r\n\r\n";
    assert!(!server.raw(both).starts_with("HTTP/1.1 200"));
    assert_eq!(server.get(&format!("/random?key={key}")).status, 200);
}

#[test]
fn a_unix_socket_is_served_and_removed() {
    let space = Workspace::with_photos(1);
    space.import();
    let key = space.rotate(&[]);
    let socket = space.path("pool.sock");
    let serve = || {
        let mut command = space.command();
        let endpoint = format!("unix:{}", socket.display());
        let child = command
            .args(["serve", "--listen", &endpoint])
            .stderr(std::process::Stdio::null())
            .spawn();
        let child = child.unwrap();
        wait_for("the socket is there", || UnixStream::connect(&socket).is_ok());
        child
    };
    let mut server = serve();
    let mut stream = UnixStream::connect(&socket).unwrap();
    let request = format!("GET /random?key={key} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    wait_for("it is ready", || {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.starts_with("HTTP/1.1 200")
    });
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    space.run(["health", &format!("unix:{}", socket.display())]).expect(0);
    assert!(answer.starts_with(b"HTTP/1.1 200") && answer.windows(4).any(|part| part == b"RIFF"));
    // A second server does not take it over; one after a crash does.
    let endpoint = format!("unix:{}", socket.display());
    space
        .run(["serve", "--listen", &endpoint])
        .expect(1)
        .complains_of(&["can't listen", "pool.sock"]);
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(socket.exists());
    let mut server = serve();
    crate::harness::signal(server.id(), "TERM");
    assert!(server.wait().unwrap().success());
    assert!(!socket.exists());
}

/// A certificate for localhost and its key, signed by itself.
fn certificate(space: &Workspace, name: &str) {
    let made = Command::new("openssl")
        .current_dir(space.dir.path())
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ])
        .args([
            "-days",
            "30",
            "-subj",
            &format!("/CN={name}"),
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
        ])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .output();
    assert!(made.expect("openssl is installed").status.success());
}

/// What curl says, with the certificate that is in the folder now.
fn curl(space: &Workspace, arguments: &[&str]) -> (bool, Vec<u8>) {
    let mut command = Command::new("curl");
    command
        .current_dir(space.dir.path())
        .args(["--silent", "--fail", "--cacert", "cert.pem"])
        .args(arguments);
    let output = command.output().expect("curl is installed");
    (output.status.success(), output.stdout)
}

#[test]
fn tls_carries_both_versions_of_http_and_takes_a_new_certificate() {
    let space = Workspace::file();
    save(noise(600, 600, 1), &space.picture("a.png"));
    space.run(["import", "--quality", "100", "pictures"]).expect(0);
    certificate(&space, "first");
    let key = space.rotate(&[]);
    let mut server = space.serve_over_tls(&["--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
    let stored = space.stored(&space.ids()[0]);
    let url = format!("https://{}/random?key={key}", server.address);
    for version in ["--http1.1", "--http2"] {
        wait_for("it is ready", || curl(&space, &[version, &url]).0);
        assert_eq!(curl(&space, &[version, &url]).1, stored, "{version}");
    }
    let shown =
        curl(&space, &["--http2", "--output", "/dev/null", "--write-out", "%{http_version}", &url]);
    assert_eq!(shown.1, b"2");
    let health = |variable: &str| {
        let mut command = space.command();
        command.arg("health").env("IMAGEPOOL_LISTEN", &server.address).env(variable, "cert.pem");
        command.output().unwrap().status.success()
    };
    assert!(health("IMAGEPOOL_TLS_CERT"), "the certificate's name need not be the address");
    assert!(!health("IMAGEPOOL_OTHER"), "clear text is no health check of TLS");
    // Clear text on the port, and a hello that never ends.
    let mut plain = connect(&server);
    let _ = plain.write_all(&get("/healthz"));
    let mut start = [0; 5];
    let read = plain.read(&mut start).unwrap_or(0);
    assert!(!start[..read].starts_with(b"HTTP"));

    certificate(&space, "second");
    assert!(!curl(&space, &[&url]).0, "the first certificate is not the second");
    server.signal("HUP");
    wait_for("the new certificate is shown", || curl(&space, &[&url]).0);
    std::fs::write(space.path("cert.pem"), "nonsense").unwrap();
    server.signal("HUP");
    wait_for("it says why the certificate stays", || server.log().contains("cert.pem"));
    assert!(
        Command::new("curl")
            .args(["--silent", "--insecure", "--fail", &url])
            .output()
            .unwrap()
            .status
            .success()
    );
    server.signal("TERM");
    assert_eq!(server.wait().0, Some(0));

    for (certificate, key, words) in [
        ("missing.pem", "key.pem", "missing.pem"),
        ("key.pem", "key.pem", "none in it"),
        ("cert.pem", "cert.pem", "cert.pem"),
    ] {
        let flags = ["serve", "--tls-cert", certificate, "--tls-key", key];
        space.run(flags).expect(1).complains_of(&[words, "PEM"]);
    }
    space.run(["serve", "--tls-cert", "cert.pem"]).expect(2);
}
