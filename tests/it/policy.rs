//! Whom `serve` serves: everybody, other sites' pages, and how often.

use std::io::Write as _;
use std::net::TcpStream;

use serde_json::json;

use crate::harness::{Response, Server, Workspace};

fn with_key(space: &Workspace, arguments: &[&str]) -> (Server, String) {
    space.import();
    let key = space.rotate(&[]);
    (space.serve_with(arguments), key)
}

#[test]
fn a_public_server_lets_everybody_read_and_nothing_else() {
    let space = Workspace::with_photos(2);
    let (server, key) = with_key(&space, &["--public"]);
    let id = &space.ids()[0];
    let wrong = "0".repeat(64);
    for (path, cache_control) in [
        ("/random".to_owned(), "no-store"),
        (format!("/random?key={wrong}"), "no-store"),
        ("/random?seed=a".into(), "public, max-age=60"),
        (format!("/random-image/{wrong}"), "no-store"),
        ("/images".into(), "no-store"),
        (format!("/images/{id}.webp"), "public, max-age=31536000, immutable"),
        (format!("/images/{id}/info"), "no-store"),
    ] {
        let answer = server.get(&path);
        assert_eq!(
            (answer.status, answer.header("cache-control")),
            (200, Some(cache_control)),
            "{path}"
        );
    }
    let redirect = server.get("/random?format=redirect&tag=-x");
    let location = redirect.header("location").unwrap();
    assert!(location.ends_with(".webp"), "{location}");
    for path in
        ["/metrics".to_owned(), format!("/update-images/{wrong}"), format!("/update-key/{wrong}")]
    {
        assert_eq!(server.get(&path).status, 401, "{path}");
    }
    assert_eq!(server.get(&format!("/metrics?key={key}")).status, 200);
}

#[test]
fn other_pages_may_not_show_images_when_some_are_named() {
    let space = Workspace::with_photos(1);
    let (server, key) =
        with_key(&space, &["--allow-referer", "blog.example", "--allow-referer", "*.shop.example"]);
    let id = &space.ids()[0];
    let routes = [
        "/random".to_owned(),
        format!("/random-image/{key}"),
        "/images".into(),
        format!("/images/{id}"),
        format!("/images/{id}/info"),
    ];
    for path in &routes {
        for (referer, admitted) in [
            (None, true),
            (Some("https://blog.example/a"), true),
            (Some("https://www.shop.example/"), true),
            (Some("https://shop.example/"), false),
            (Some("https://evil.example/?blog.example"), false),
            (Some("garbage"), false),
        ] {
            let mut headers = vec![("X-API-Key", key.as_str())];
            headers.extend(referer.map(|referer| ("Referer", referer)));
            let answer = server.request("GET", path, &headers);
            assert_eq!(answer.status, if admitted { 200 } else { 403 }, "{path} {referer:?}");
            assert_eq!(answer.header("vary"), Some("Referer"), "{path}");
            if !admitted {
                assert_eq!(answer.json(), json!({ "error": "Forbidden" }));
            }
        }
    }
    let stranger = server.request("GET", "/random", &[("Referer", "https://evil.example")]);
    assert_eq!(stranger.status, 401, "who has no key learns nothing of hosts");
    assert_eq!(
        server.request("GET", "/healthz", &[("Referer", "https://evil.example")]).status,
        200
    );
    space
        .run(["serve", "--allow-referer", "https://x"])
        .expect(2)
        .complains_of(&["--allow-referer", "host"]);
}

#[test]
fn scripts_of_other_origins_read_answers_only_where_they_may() {
    let space = Workspace::with_photos(1);
    let (server, key) = with_key(
        &space,
        &["--cors-origin", "https://blog.example", "--cors-origin", "http://localhost:3000"],
    );
    let id = &space.ids()[0];
    let cors = |answer: &Response| {
        [
            answer.header("access-control-allow-origin").map(str::to_owned),
            answer.header("access-control-expose-headers").map(str::to_owned),
        ]
    };
    let exposed =
        "Content-Length, Content-Location, Content-Range, ETag, Link, Retry-After, X-Image-Id";
    for path in [
        "/random".to_owned(),
        "/images".into(),
        format!("/images/{id}"),
        "/nothing".into(),
        "/random?w=a".into(),
    ] {
        for (origin, admitted) in [
            (Some("https://blog.example"), true),
            (Some("http://localhost:3000"), true),
            (Some("http://blog.example"), false),
            (Some("https://blog.example:8443"), false),
            (Some("https://evil.example"), false),
            (Some("null"), false),
            (None, false),
        ] {
            let mut headers = vec![("X-API-Key", key.as_str())];
            headers.extend(origin.map(|origin| ("Origin", origin)));
            let answer = server.request("GET", &path, &headers);
            let expected = if admitted { [origin, Some(exposed)] } else { [None, None] };
            assert_eq!(
                cors(&answer),
                expected.map(|header| header.map(str::to_owned)),
                "{path} {origin:?}"
            );
            assert_eq!(answer.header("vary"), Some("origin"), "{path} {origin:?}");

            let preflight = server.request("OPTIONS", &path, &headers[1..]);
            assert_eq!(preflight.status, 204);
            let may = preflight.header("access-control-allow-headers");
            assert_eq!(
                may.is_some_and(|may| may.contains("X-API-Key") && may.contains("Authorization")),
                admitted
            );
            assert_eq!(preflight.header("access-control-allow-methods").is_some(), admitted);
            assert_eq!(preflight.header("access-control-max-age").is_some(), admitted);
        }
    }
    let (open, _) = with_key(&space, &[]);
    let answer = open.request("GET", "/random", &[("Origin", "https://any.example")]);
    assert_eq!(cors(&answer), [Some("*".to_owned()), Some(exposed.to_owned())]);
    assert_eq!(answer.header("vary"), None);
    for bad in ["*", "blog.example", "https://blog.example/"] {
        space
            .run(["serve", "--cors-origin", bad])
            .expect(2)
            .complains_of(&["--cors-origin", "https://blog.example"]);
    }
}

#[test]
fn a_client_that_asks_too_often_has_to_wait() {
    let space = Workspace::with_photos(1);
    let (server, key) =
        with_key(&space, &["--rate", "5/h", "--key-rate", "1000/h", "--trust-forwarded"]);
    let ask = |client: &str, path: &str| {
        server.request("GET", path, &[("X-API-Key", key.as_str()), ("X-Forwarded-For", client)])
    };
    for (client, other) in
        [("203.0.113.5", "203.0.113.6"), ("9.9.9.9, 203.0.113.7", "203.0.113.7, 9.9.9.8")]
    {
        // Whatever is asked for counts.
        for path in ["/random", "/images", "/nothing", "/random?w=a", "/openapi.json"] {
            assert_ne!(ask(client, path).status, 429, "{client} {path}");
        }
        let refused = ask(client, "/random");
        assert_eq!(
            (refused.status, refused.json()),
            (429, json!({ "error": "Too many requests" }))
        );
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((600..=720).contains(&wait), "{wait} s until the next of 5 in an hour");
        assert_eq!(refused.header("access-control-allow-origin"), Some("*"));
        assert_eq!(ask(other, "/random").status, 200);
        for path in ["/healthz", "/readyz"] {
            assert_eq!(ask(client, path).status, 200, "monitors are not refused");
        }
    }
}

#[test]
fn a_key_that_is_used_too_often_has_to_wait_wherever_it_is_used() {
    let space = Workspace::with_photos(1);
    let (server, key) = with_key(&space, &["--rate", "5/h", "--trust-forwarded"]);
    let other = space.run(["key", "add", "--name", "other"]).expect(0).stdout.trim().to_owned();
    let ask = |client: u32, key: &str| {
        let client = format!("203.0.113.{client}");
        server.request("GET", "/random", &[("X-API-Key", key), ("X-Forwarded-For", &client)])
    };
    for client in 0..5 {
        assert_eq!(ask(client, &key).status, 200);
    }
    let refused = ask(5, &key);
    assert_eq!(refused.status, 429);
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 600);
    assert_eq!(ask(6, &other).status, 200);
    assert_eq!(ask(7, &"0".repeat(64)).status, 401, "what is no key of ours counts for none");
    for bad in ["5", "0/s", "5/d"] {
        space.run(["serve", "--rate", bad]).expect(2).complains_of(&["--rate", "10/s"]);
    }
}

#[test]
fn a_proxys_word_counts_only_when_it_is_trusted() {
    let space = Workspace::with_photos(1);
    let (server, _) = with_key(&space, &["--rate", "3/h"]);
    let ask = |client: &str| {
        server.request("GET", "/openapi.json", &[("X-Forwarded-For", client)]).status
    };
    assert_eq!(["1.1.1.1", "2.2.2.2", "3.3.3.3", "4.4.4.4"].map(ask), [200, 200, 200, 429]);

    let (mut server, key) = with_key(&space, &["--trust-forwarded"]);
    server.request(
        "GET",
        &format!("/random?key={key}"),
        &[("X-Forwarded-For", "1.2.3.4, 203.0.113.9")],
    );
    server.signal("TERM");
    server.wait();
    assert!(server.log().contains("peer=203.0.113.9 "), "{}", server.log());
}

/// Keys, their parts and signatures reach no log line, no error and no metric, wherever a client puts them.
#[test]
fn no_secret_reaches_a_log_an_error_or_a_metric() {
    let space = Workspace::with_photos(1);
    space.import();
    let key = space.rotate(&[]);
    let link =
        space.run(["key", "sign", "--expires", "1h", "/random"]).expect(0).stdout.trim().to_owned();
    let signature = link.rsplit_once("&sig=").unwrap().1.to_owned();
    let mut server = space.serve_with(&["--log-file", "server.log", "-v"]);
    let encoded: String = key.bytes().map(|digit| format!("%{digit:02x}")).collect();
    let half_encoded = format!("{}{}", &encoded[..96], &key[32..]);
    let wrong = format!("{}{}", &key[..63], if key.ends_with('0') { '1' } else { '0' });
    let mut answers = Vec::new();
    for path in [
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
        link.clone(),
        format!("{link}x"),
        format!("/images?x=1&sig={signature}"),
        format!("/metrics?key={key}"),
    ] {
        let answer = server.get(&path);
        answers.push(String::from_utf8_lossy(&answer.body).into_owned());
        for (name, value) in &answer.headers {
            answers.push(format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())));
        }
    }
    server.request("GET", "/random", &[("Authorization", &format!("Bearer {key}"))]);
    server.request(
        "GET",
        "/random",
        &[("X-API-Key", &key), ("Referer", &format!("https://x/?key={key}"))],
    );
    let mut garbage = TcpStream::connect(&server.address).unwrap();
    write!(garbage, "GET /{key} HTTP/7\r\nX-API-Key: {key}\r\n\r\n").unwrap();
    drop(garbage);
    server.signal("TERM");
    server.wait();
    let file = std::fs::read_to_string(space.path("server.log")).unwrap();
    assert!(file.contains("sig=***") && file.contains(&key[..16]), "{file}");
    for text in answers.into_iter().chain([server.log(), file]) {
        for secret in [
            &key[16..],
            &key[16..40],
            &key[40..],
            &encoded[48..],
            &encoded[96..],
            signature.as_str(),
        ] {
            assert!(!text.contains(secret), "{secret} of {key} is in {text}");
        }
    }
}
