//! Tests what `serve` listens on beside plain TCP: Unix sockets and TLS.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use hyper::Version;

use crate::harness::{
    Certificate, Failures, Server, Signal, Workspace, get_request, send_signal, wait_for,
};
use crate::pictures::{noise, save};

#[test]
fn a_unix_socket_is_served_and_removed() {
    let space = Workspace::with_photos(1);
    space.import();
    let key = space.rotate(&[]);
    let socket = space.path("pool.sock");
    let endpoint = format!("unix:{}", socket.display());
    let serve = || {
        let mut command = space.command();
        command.args(["serve", "--listen", &endpoint]).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        wait_for("the socket is there", || UnixStream::connect(&socket).is_ok());
        child
    };
    let get = |path: &str| {
        let mut stream = UnixStream::connect(&socket).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).unwrap();
        response
    };
    let mut server = serve();
    wait_for("it is ready", || get("/readyz").starts_with(b"HTTP/1.1 200"));
    let random = get(&format!("/random?key={key}"));
    assert!(random.starts_with(b"HTTP/1.1 200") && random.windows(4).any(|part| part == b"RIFF"));
    space.run(["health", &endpoint]).expect(0);

    // A second server does not take the socket over, and one after a crash does.
    let second = space.run(["serve", "--listen", &endpoint]).expect(1);
    second.complains_of(&["can't listen", "pool.sock"]);
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(socket.exists());
    let mut server = serve();
    send_signal(&server, Signal::TERM);
    assert!(server.wait().unwrap().success());
    assert!(!socket.exists());
}

/// Starts a server with a certificate. Returns both, and a path that answers with a random image.
fn serve_over_tls(space: &Workspace) -> (Server, Certificate, String) {
    let key = space.rotate(&[]);
    let certificate = Certificate::write(space.dir.path(), "first");
    let server = space.start_server(&["--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
    let path = format!("/random?key={key}");
    wait_for("it is ready", || certificate.get(&server.address, &path, BOTH).is_ok());
    (server, certificate, path)
}

const BOTH: &[Version] = &[Version::HTTP_2, Version::HTTP_11];

#[test]
fn tls_carries_both_versions_of_http() {
    let space = Workspace::file();
    save(noise(600, 600, 1), &space.picture("a.png"));
    space.run(["import", "--quality", "100", "pictures"]).expect(0);
    let stored = space.stored(&space.ids()[0]);
    let (server, certificate, path) = serve_over_tls(&space);
    let mut failures = Failures::new();
    for (offered, expected) in
        [(&[Version::HTTP_11][..], Version::HTTP_11), (BOTH, Version::HTTP_2)]
    {
        failures.check(format!("{offered:?}"), || {
            let (version, body) = certificate.get(&server.address, &path, offered).unwrap();
            assert_eq!(version, expected);
            assert_eq!(body, stored);
        });
    }
    let health = |variable: &str| {
        let mut command = space.command();
        command.arg("health").env("IMAGEPOOL_LISTEN", &server.address).env(variable, "cert.pem");
        command.output().unwrap().status.success()
    };
    assert!(health("IMAGEPOOL_TLS_CERT"), "the certificate's name need not be the address");
    assert!(!health("IMAGEPOOL_OTHER"), "clear text is no health check of TLS");
    let mut clear_text = server.connect();
    let _ = clear_text.write_all(&get_request("/healthz"));
    let mut start = [0; 5];
    let read = clear_text.read(&mut start).unwrap_or(0);
    assert!(!start[..read].starts_with(b"HTTP"));
}

/// SIGHUP once ended a server without a certificate, and no line said why.
#[test]
fn a_server_without_a_certificate_outlives_sighup() {
    let space = Workspace::with_photos(1);
    space.import();
    let (server, key) = space.serve_with_key();
    server.signal(Signal::HUP);
    wait_for("it is told", || server.log().contains("SIGHUP changes nothing"));
    assert_eq!(server.get(&format!("/random?key={key}")).status, 200);
}

#[test]
fn a_new_certificate_is_shown_after_sighup_unless_it_can_not_be_read() {
    let space = Workspace::with_photos(1);
    space.import();
    let (mut server, first, path) = serve_over_tls(&space);
    let is_shown = |certificate: &Certificate, server: &Server| {
        certificate.get(&server.address, &path, BOTH).is_ok()
    };
    let second = Certificate::write(space.dir.path(), "second");
    assert!(!is_shown(&second, &server), "the first certificate is not the second");
    server.signal(Signal::HUP);
    wait_for("the new certificate is shown", || is_shown(&second, &server));
    assert!(!is_shown(&first, &server));
    fs::write(space.path("cert.pem"), "nonsense").unwrap();
    server.signal(Signal::HUP);
    wait_for("it says why the certificate stays", || server.log().contains("cert.pem"));
    assert!(is_shown(&second, &server));
    server.signal(Signal::TERM);
    assert_eq!(server.wait().0, Some(0));
}

#[test]
fn certificates_that_can_not_be_used_are_told() {
    let space = Workspace::with_photos(1);
    Certificate::write(space.dir.path(), "unused");
    fs::write(space.path("cert.pem"), "nonsense").unwrap();
    let mut failures = Failures::new();
    for (certificate, key, words) in [
        ("missing.pem", "key.pem", "missing.pem"),
        ("key.pem", "key.pem", "none in it"),
        ("cert.pem", "cert.pem", "cert.pem"),
    ] {
        failures.check(format!("{certificate} {key}"), || {
            let flags = ["serve", "--tls-cert", certificate, "--tls-key", key];
            space.run(flags).expect(1).complains_of(&[words, "PEM"]);
        });
    }
    space.run(["serve", "--tls-cert", "cert.pem"]).expect(2);
}
