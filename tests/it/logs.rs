//! Tests the forms and the rotation of the server's log, and that it holds no secret.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::harness::{Failures, Signal, Workspace, wait_for};

#[test]
fn log_lines_are_json_when_asked() {
    let space = Workspace::with_photos(1);
    space.import();
    space.rotate(&[]);
    let mut server = space.serve_with(&["--log-format", "json"]);
    server.get("/random");
    server.signal(Signal::TERM);
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

/// The log said nothing of an import beside the server that only replaced, mended or left out.
#[test]
fn an_import_beside_the_server_tells_what_it_did() {
    let mut failures = Failures::new();
    for words in ["1 replaced", "1 removed before", "1 mended"] {
        failures.check(words, || {
            let space = Workspace::with_photos(1);
            space.import();
            let id = space.ids().remove(0);
            let mut arguments = vec!["--import", "pictures"];
            match words {
                "1 replaced" => arguments.extend(["--quality", "30"]),
                "1 removed before" => drop(space.run(["remove", &id]).expect(0)),
                _ => {
                    let webp = space.stored(&id);
                    let mut gallery = fs::read(space.gallery_file()).unwrap();
                    let at = memchr::memmem::find(&gallery, &webp).unwrap();
                    gallery[at + webp.len() / 2] ^= 1;
                    fs::write(space.gallery_file(), gallery).unwrap();
                }
            }
            let server = space.start_server(&arguments);
            wait_for("the import is told", || server.log().contains(words));
            let tells = |line: &str| line.contains("0.png") && line.contains("was damaged");
            assert_eq!(server.log().lines().any(tells), words == "1 mended", "{}", server.log());
        });
    }
}

/// A file name with a newline once began a log line of its own, and its escapes ran.
#[test]
fn file_names_forge_no_line_and_drive_no_terminal() {
    const FORGED: &str = "2026-01-01T00:00:00.000000Z ERROR forged";
    let space = Workspace::with_photos(1);
    let name = format!("a\n{FORGED} \u{1b}[2J\u{9b}2J\r.png");
    fs::write(space.picture(&name), b"\x89PNG\r\n\x1A\nthis is no chunk").unwrap();
    let mut texts = Vec::new();
    for arguments in [
        &["import", "pictures"][..],
        &["import", "--verbose", "pictures"],
        &["import", &format!("no such {name}"), "pictures"],
        &["--gallery", &name, "list"],
    ] {
        texts.push((arguments.join(" "), space.run(arguments).stderr));
    }
    let arguments = ["--import", "pictures", "--log-file", "server.log"];
    let mut server = space.start_server(&arguments);
    wait_for("the file is told", || server.log().contains("not imported"));
    server.signal(Signal::TERM);
    server.wait();
    texts.push(("serve".into(), server.log()));
    texts.push(("log file".into(), fs::read_to_string(space.path("server.log")).unwrap()));
    for (what, text) in texts {
        assert!(text.contains(FORGED), "{what}: {text}");
        assert!(!text.lines().any(|line| line.starts_with(FORGED)), "{what}: {text}");
        assert!(!text.contains(|it: char| it.is_control() && it != '\n'), "{what}: {text:?}");
    }
}

#[test]
fn the_log_file_is_rotated_and_ten_are_kept() {
    let space = Workspace::with_photos(1);
    space.import();
    space.rotate(&[]);
    fs::write(space.path("server.log"), vec![b'x'; 10 << 20]).unwrap();
    let mut server = space.serve_with(&["--log-file", "server.log"]);
    server.get("/random");
    server.signal(Signal::TERM);
    server.wait();
    wait_for("the full file was put aside", || space.path("server.log.1").exists());
    assert!(fs::metadata(space.path("server.log")).unwrap().len() < 1 << 20);
    let server = space
        .command()
        .args(["serve", "--listen", "127.0.0.1:0", "--log-file", "no/folder/x.log"])
        .output()
        .unwrap();
    assert_eq!(server.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&server.stderr).contains("no/folder/x.log"));
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
    server.signal(Signal::TERM);
    server.wait();
    let file = fs::read_to_string(space.path("server.log")).unwrap();
    for log in [server.log(), file] {
        assert!(log.contains(&format!("path=/random-image/{} status=200", &key[..16])), "{log}");
        assert!(!log.contains(secret) && !log.contains(&secret[..17]), "{log}");
    }
}

/// Keys, their parts and signatures stay out of these texts wherever a client puts them.
#[test]
fn no_secret_reaches_a_log_an_error_or_a_metric() {
    let space = Workspace::with_photos(1);
    space.import();
    let key = space.rotate(&[]);
    let signed = space.run(["key", "sign", "--expires", "1h", "/random"]).expect(0).stdout;
    let link = signed.trim();
    let signature = link.rsplit_once("&sig=").unwrap().1;
    let mut server = space.serve_with(&["--log-file", "server.log", "-v"]);
    let encoded: String = key.bytes().map(|digit| format!("%{digit:02x}")).collect();
    let mut texts = Vec::new();
    for path in paths_with_secrets(&key, &encoded, link, signature) {
        let response = server.get(&path);
        texts.push((format!("the body for {path}"), response.text()));
        for (name, value) in &response.headers {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            texts.push((format!("{name} for {path}"), value));
        }
    }
    server.request("GET", "/random", &[("Authorization", &format!("Bearer {key}"))]);
    let referer = format!("https://x/?key={key}");
    server.request("GET", "/random", &[("X-API-Key", &key), ("Referer", &referer)]);
    let mut garbage = server.connect();
    write!(garbage, "GET /{key} HTTP/7\r\nX-API-Key: {key}\r\n\r\n").unwrap();
    drop(garbage);
    server.signal(Signal::TERM);
    server.wait();
    let file = fs::read_to_string(space.path("server.log")).unwrap();
    assert!(file.contains("sig=***") && file.contains(&key[..16]), "{file}");
    texts.extend([("stderr".into(), server.log()), ("the log file".into(), file)]);

    let mut failures = Failures::new();
    for (name, text) in texts {
        failures.check(name, || {
            for secret in
                [&key[16..], &key[16..40], &key[40..], &encoded[48..], &encoded[96..], signature]
            {
                assert!(!text.contains(secret), "{secret} of {key} is in {text}");
            }
        });
    }
}

/// What a person types by mistake is not repeated where others may read it.
#[test]
fn no_error_of_a_command_repeats_a_key() {
    let space = Workspace::with_photos(1);
    space.import();
    let key = space.rotate(&[]);
    let key = key.as_str();
    let url = format!("http://127.0.0.1:9/random?key={key}");
    let mut failures = Failures::new();
    for (words, code) in [
        (vec!["key", "revoke", key], 2),
        (vec!["key", "import", key], 1),
        (vec!["key", "add", "--name", key], 2),
        (vec!["key", "rotate", "--name", key], 2),
        (vec!["key", "sign", "/random", "--expires", "1d", "--name", key], 2),
        (vec!["key", key], 2),
        (vec![key], 2),
        (vec!["serve", key], 2),
        (vec!["show", key], 2),
        (vec!["remove", key], 2),
        (vec!["health", &url], 1),
    ] {
        failures.check(words.join(" "), || {
            let ended = space.run(&words).expect(code);
            let text = format!("{}{}", ended.stdout, ended.stderr);
            assert!(!text.contains(&key[20..40]), "{text}");
        });
    }
}

fn paths_with_secrets(key: &str, encoded: &str, link: &str, signature: &str) -> [String; 19] {
    let half_encoded = format!("{}{}", &encoded[..96], &key[32..]);
    let wrong = format!("{}{}", &key[..63], if key.ends_with('0') { '1' } else { '0' });
    [
        format!("/random?key={key}"),
        format!("/random?key={wrong}"),
        format!("/random?KEY={key}&apikey={key}&x={key}{key}"),
        format!("/random?k%65y={encoded}"),
        format!("/random?x={encoded}&y={half_encoded}"),
        format!("/random?w={key}&key={key}"),
        format!("/random?{key}"),
        format!("/random?format={key}&key={key}"),
        format!("/random-image/{key}/x"),
        format!("/random-image/{encoded}"),
        format!("/{key}"),
        format!("/{encoded}/x"),
        format!("/images/{key}?key={key}"),
        format!("/images/{key}.webp?key={key}"),
        format!("/images?cursor={key}&key={key}"),
        link.to_owned(),
        format!("{link}x"),
        format!("/images?x=1&sig={signature}"),
        format!("/metrics?key={key}"),
    ]
}

/// Decoders wrote to the log what was wrong with a picture, but not with which.
#[test]
fn nothing_is_said_of_a_picture_without_its_name() {
    const DAMAGES: usize = 24;
    let space = Workspace::file();
    let kinds = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/kinds/sources");
    let mut sources: BTreeMap<_, (u64, PathBuf)> = BTreeMap::new();
    for entry in fs::read_dir(kinds).unwrap() {
        let path = entry.unwrap().path();
        let bytes = path.metadata().unwrap().len();
        // The smallest file of each format, and every JPEG XL and AVIF.
        let ending = path.extension().unwrap().to_str().unwrap().to_owned();
        let all = matches!(ending.as_str(), "jxl" | "avif");
        let key = if all { path.display().to_string() } else { ending };
        let smallest = sources.entry(key).or_insert((bytes, path.clone()));
        if bytes < smallest.0 {
            *smallest = (bytes, path);
        }
    }
    for (_, path) in sources.values() {
        let whole = fs::read(path).unwrap();
        for number in 0..DAMAGES {
            let mut damaged = whole.clone();
            let at = 20 + (whole.len() - 21) * number / DAMAGES;
            damaged[at] ^= 0xFF;
            let name = path.file_name().unwrap().to_str().unwrap();
            fs::write(space.picture(format!("{number}-{name}")), damaged).unwrap();
        }
    }
    for verbose in [&["import"] as &[&str], &["--verbose", "import"]] {
        let flags = ["--dry-run", "--memory", "200MB", "pictures"];
        let ended = space.run([verbose, &flags].concat()).expect(1);
        let is_anonymous = |line: &&str| !line.contains("pictures/") && !line.contains("dry run: ");
        let anonymous: Vec<_> = ended.stderr.lines().filter(is_anonymous).collect();
        assert_eq!(anonymous, [""; 0]);
        assert_eq!(ended.stdout, "");
    }
}
