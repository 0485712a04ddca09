//! Tests the limits and timeouts of connections, and requests that are malformed.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::harness::{Failures, TIMEOUT, Workspace, get_request, wait_for};

/// Sends a request and reads some of the response.
fn ask(stream: &mut TcpStream, path: &str) -> String {
    stream.write_all(&get_request(path)).unwrap();
    let mut start = [0; 64];
    let read = stream.read(&mut start).unwrap();
    String::from_utf8_lossy(&start[..read]).into_owned()
}

/// Reads until the server closes the connection, and returns how many bytes came.
#[track_caller]
fn read_until_closed(stream: &mut TcpStream) -> usize {
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

#[test]
fn a_full_server_gives_up_who_waits_longest() {
    let space = Workspace::with_photos(1);
    space.import();
    let key = space.rotate(&[]);
    let server = space.serve_with(&["--max-connections", "4"]);
    let mut silent: Vec<_> = (0..4).map(|_| server.connect()).collect();
    let asked = Instant::now();
    assert_eq!(server.get(&format!("/random?key={key}")).status, 200);
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    assert_eq!(read_until_closed(&mut silent[0]), 0, "the oldest one was closed");
}

#[test]
fn connections_that_are_all_being_answered_make_others_wait() {
    let (space, key) = Workspace::with_large_image();
    let server = space.serve_with(&["--max-connections", "2"]);
    let busy = [(); 2].map(|()| server.being_answered(&key));
    let mut waiting = server.connect();
    waiting.write_all(&get_request("/healthz")).unwrap();
    waiting.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut start = [0; 12];
    assert!(waiting.read_exact(&mut start).is_err(), "there was room");
    drop(busy);
    waiting.set_read_timeout(Some(TIMEOUT)).unwrap();
    waiting.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
}

#[test]
fn an_address_has_its_own_limit() {
    let (space, key) = Workspace::with_large_image();
    let server = space.serve_with(&["--max-connections-per-address", "2"]);
    let mut silent: Vec<_> = (0..2).map(|_| server.connect()).collect();
    wait_for("silent ones make room", || server.get("/healthz").status == 200);
    silent.iter_mut().for_each(|stream| assert_eq!(read_until_closed(stream), 0));
    let busy = [(); 2].map(|()| server.being_answered(&key));
    let refused = server.get("/healthz");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(refused.json()["error"], "Service unavailable");
    drop(busy);
    wait_for("there is room again", || server.get("/healthz").status == 200);
}

#[test]
fn a_client_that_stops_reading_is_cut_off() {
    let (space, key) = Workspace::with_large_image();
    let server = space.serve_with(&["--write-timeout", "4s"]);
    let stored = space.list()[0]["bytes"].as_u64().unwrap();
    let mut stuck = server.being_answered(&key);
    wait_for("it is cut off", || {
        server.get(&format!("/metrics?key={key}")).text().contains("http_connections 1\n")
    });
    assert!((read_until_closed(&mut stuck) as u64) < stored);
    // A client that reads slowly is served to the end. This one takes longer than the timeout for
    // 1 MiB, which is what the server writes at once.
    let mut slow = server.being_answered(&key);
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

/// `nc -N` and some old clients close their side once they have asked.
#[test]
fn a_client_that_closes_its_side_gets_its_whole_answer() {
    let (space, key) = Workspace::with_large_image();
    let server = space.serve();
    wait_for("it is ready", || server.get("/readyz").status == 200);
    let mut stream = server.connect();
    stream.write_all(&get_request(&format!("/random?key={key}"))).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut response = Vec::new();
    stream.read_to_end(&mut response).unwrap();
    let body = response.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    assert_eq!((response.len() - body) as u64, space.list()[0]["bytes"].as_u64().unwrap());
}

#[test]
fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let space = Workspace::with_photos(1);
    space.import();
    let key = space.rotate(&[]);
    let server = space.serve_with(&["--idle-timeout", "1s"]);
    let mut stream = server.connect();
    for _ in 0..8 {
        assert!(ask(&mut stream, &format!("/images?key={key}")).starts_with("HTTP/1.1 200"));
        std::thread::sleep(Duration::from_millis(300));
        let mut rest_of_answer = vec![0; 1 << 16];
        let _ = stream.read(&mut rest_of_answer).unwrap();
    }
    let idle = Instant::now();
    read_until_closed(&mut stream);
    assert!(idle.elapsed() < Duration::from_secs(20), "{:?}", idle.elapsed());
}

/// Two silent clients kept another client's request to the old service waiting for 38 seconds.
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
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("the server closes the connection");
    }
}

#[test]
fn a_head_that_comes_byte_by_byte_is_cut_off() {
    let space = Workspace::with_photos(1);
    space.import();
    let server = space.serve_with(&["--header-timeout", "1s"]);
    let mut dripping = server.connect();
    let started = Instant::now();
    let cut = loop {
        if dripping.write_all(b"x").is_err() {
            break started.elapsed();
        }
        std::thread::sleep(Duration::from_millis(50));
        assert!(started.elapsed() < TIMEOUT, "it was not cut off");
    };
    assert!(cut > Duration::from_millis(900), "{cut:?}");
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

/// A message that can be read in two ways smuggles a request past a proxy (RFC 9112, 11.2).
#[test]
fn ambiguous_requests_are_refused() {
    let space = Workspace::with_photos(1);
    let (server, key) = space.serve_with_key();
    let mut failures = Failures::new();
    for (name, after_request_line) in [
        ("two lengths", "host: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n"),
        ("a length that is none", "host: x\r\ncontent-length: +5\r\n\r\n"),
        ("an unknown coding", "host: x\r\ntransfer-encoding: chunked, x\r\n\r\n"),
        ("a space before the colon", "host : x\r\n\r\n"),
        ("a folded line", "host: x\r\n y\r\n\r\n"),
        ("a zero byte", "host: x\0\r\n\r\n"),
        ("a bare return", "host: x\ry: z\r\n\r\n"),
    ] {
        failures.check(name, || {
            let response = server.raw(&format!("GET /healthz HTTP/1.1\r\n{after_request_line}"));
            assert!(!response.starts_with("HTTP/1.1 200"), "{response}");
        });
    }
    // With both a length and chunks the body is read as chunks, and the server trusts nothing that
    // follows on this connection.
    let both = "POST /healthz HTTP/1.1\r\nhost: x\r\n\
                content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n\
                5c\r\nGET /random HTTP/1.1\r\nhost: x\r\n\r\n";
    for (name, request) in [
        ("a length and chunks", both),
        ("HTTP/0.9", "GET /healthz\r\n\r\n"),
        ("HTTP/2 in clear text", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ] {
        failures.check(name, || {
            let response = server.raw(request);
            assert!(!response.starts_with("HTTP/1.1 200"), "{response}");
        });
    }
    assert_eq!(server.get(&format!("/random?key={key}")).status, 200);
}
