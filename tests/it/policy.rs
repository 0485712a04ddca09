//! Tests whom the server answers, and how often.

use serde_json::json;

use crate::harness::{Failures, Response, Server, Signal, Workspace};

fn serve_with_key(space: &Workspace, arguments: &[&str]) -> (Server, String) {
    space.import();
    let key = space.rotate(&[]);
    (space.serve_with(arguments), key)
}

#[test]
fn a_public_server_lets_everybody_read_and_nothing_else() {
    let space = Workspace::with_photos(2);
    let (server, key) = serve_with_key(&space, &["--public"]);
    let id = &space.ids()[0];
    let wrong = "0".repeat(64);
    let mut failures = Failures::new();
    for (path, cache_control) in [
        ("/random".to_owned(), "no-store"),
        (format!("/random?key={wrong}"), "no-store"),
        ("/random?seed=a".into(), "public, max-age=60"),
        (format!("/random-image/{wrong}"), "no-store"),
        ("/images".into(), "no-store"),
        (format!("/images/{id}.webp"), "public, max-age=31536000, immutable"),
        (format!("/images/{id}/info"), "no-store"),
    ] {
        failures.check(&path, || {
            let response = server.get(&path);
            let answered = (response.status, response.header("cache-control"));
            assert_eq!(answered, (200, Some(cache_control)));
        });
    }
    let redirect = server.get("/random?format=redirect&tag=-x");
    let location = redirect.header("location").unwrap();
    assert!(location.ends_with(".webp"), "{location}");
    for path in
        ["/metrics".to_owned(), format!("/update-images/{wrong}"), format!("/update-key/{wrong}")]
    {
        failures.check(&path, || assert_eq!(server.get(&path).status, 401));
    }
    assert_eq!(server.get(&format!("/metrics?key={key}")).status, 200);
}

#[test]
fn other_pages_may_not_show_images_when_some_are_named() {
    let space = Workspace::with_photos(1);
    let (server, key) = serve_with_key(
        &space,
        &["--allow-referer", "blog.example", "--allow-referer", "*.shop.example"],
    );
    let id = &space.ids()[0];
    let mut failures = Failures::new();
    for path in [
        "/random".to_owned(),
        format!("/random-image/{key}"),
        "/images".into(),
        format!("/images/{id}"),
        format!("/images/{id}/info"),
    ] {
        for (referer, admitted) in [
            (None, true),
            (Some("https://blog.example/a"), true),
            (Some("https://www.shop.example/"), true),
            (Some("https://shop.example/"), false),
            (Some("https://evil.example/?blog.example"), false),
            (Some("garbage"), false),
        ] {
            failures.check(format!("{path} {referer:?}"), || {
                let mut headers = vec![("X-API-Key", key.as_str())];
                headers.extend(referer.map(|referer| ("Referer", referer)));
                let response = server.request("GET", &path, &headers);
                assert_eq!(response.status, if admitted { 200 } else { 403 });
                assert_eq!(response.header("vary"), Some("Referer"));
                if !admitted {
                    assert_eq!(response.json(), json!({ "error": "Forbidden" }));
                }
            });
        }
    }
    let from_evil = [("Referer", "https://evil.example")];
    let without_key = server.request("GET", "/random", &from_evil);
    assert_eq!(without_key.status, 401, "a client without a key learns nothing of hosts");
    assert_eq!(server.request("GET", "/healthz", &from_evil).status, 200);
    let refused = space.run(["serve", "--allow-referer", "https://x"]).expect(2);
    refused.complains_of(&["--allow-referer", "host"]);
}

const EXPOSED: &str =
    "Content-Length, Content-Location, Content-Range, ETag, Link, Retry-After, X-Image-Id";

/// The values of the headers that let scripts of another origin read a response and its headers.
fn cors(response: &Response) -> [Option<&str>; 2] {
    ["access-control-allow-origin", "access-control-expose-headers"]
        .map(|name| response.header(name))
}

#[test]
fn scripts_of_other_origins_read_answers_only_where_they_may() {
    let space = Workspace::with_photos(1);
    let flags = ["--cors-origin", "https://blog.example", "--cors-origin", "http://localhost:3000"];
    let (server, key) = serve_with_key(&space, &flags);
    let id = &space.ids()[0];
    let mut failures = Failures::new();
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
            failures.check(format!("{path} {origin:?}"), || {
                let response = server.request("GET", &path, &headers);
                let expected = if admitted { [origin, Some(EXPOSED)] } else { [None, None] };
                assert_eq!(cors(&response), expected);
                assert_eq!(response.header("vary"), Some("origin"));
            });
            failures.check(format!("OPTIONS {path} {origin:?}"), || {
                assert_preflight(&server.request("OPTIONS", &path, &headers[1..]), admitted);
            });
        }
    }
    let (open, _) = serve_with_key(&space, &[]);
    let response = open.request("GET", "/random", &[("Origin", "https://any.example")]);
    assert_eq!(cors(&response), [Some("*"), Some(EXPOSED)]);
    assert_eq!(response.header("vary"), None);
    for bad in ["*", "blog.example", "https://blog.example/"] {
        failures.check(bad, || {
            let refused = space.run(["serve", "--cors-origin", bad]).expect(2);
            refused.complains_of(&["--cors-origin", "https://blog.example"]);
        });
    }
}

#[track_caller]
fn assert_preflight(response: &Response, admitted: bool) {
    assert_eq!(response.status, 204);
    let headers = response.header("access-control-allow-headers").unwrap_or("");
    let may_show_key = headers.contains("X-API-Key") && headers.contains("Authorization");
    assert_eq!(may_show_key, admitted);
    assert_eq!(response.header("access-control-allow-methods").is_some(), admitted);
    assert_eq!(response.header("access-control-max-age").is_some(), admitted);
}

#[test]
fn a_client_that_asks_too_often_has_to_wait() {
    let space = Workspace::with_photos(1);
    let flags = ["--rate", "5/h", "--key-rate", "1000/h", "--trust-forwarded"];
    let (server, key) = serve_with_key(&space, &flags);
    let ask = |client: &str, path: &str| {
        server.request("GET", path, &[("X-API-Key", key.as_str()), ("X-Forwarded-For", client)])
    };
    let mut failures = Failures::new();
    for (client, other) in
        [("203.0.113.5", "203.0.113.6"), ("9.9.9.9, 203.0.113.7", "203.0.113.7, 9.9.9.8")]
    {
        failures.check(client, || {
            // Every request counts, whatever it asks for.
            for path in ["/random", "/images", "/nothing", "/random?w=a", "/openapi.json"] {
                assert_ne!(ask(client, path).status, 429, "{path}");
            }
            let refused = ask(client, "/random");
            let error = json!({ "error": "Too many requests" });
            assert_eq!((refused.status, refused.json()), (429, error));
            let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
            assert!((600..=720).contains(&wait), "{wait} s until the next of 5 in an hour");
            assert_eq!(refused.header("access-control-allow-origin"), Some("*"));
            assert_eq!(ask(other, "/random").status, 200);
            for path in ["/healthz", "/readyz"] {
                assert_eq!(ask(client, path).status, 200, "monitors are not refused");
            }
        });
    }
}

#[test]
fn a_key_that_is_used_too_often_has_to_wait_wherever_it_is_used() {
    let space = Workspace::with_photos(1);
    let (server, key) = serve_with_key(&space, &["--rate", "5/h", "--trust-forwarded"]);
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
    assert_eq!(ask(7, &"0".repeat(64)).status, 401, "an unknown key is not counted");
    let mut failures = Failures::new();
    for bad in ["5", "0/s", "5/d"] {
        failures.check(bad, || {
            space.run(["serve", "--rate", bad]).expect(2).complains_of(&["--rate", "10/s"]);
        });
    }
}

#[test]
fn a_proxys_word_counts_only_when_it_is_trusted() {
    let space = Workspace::with_photos(1);
    let (server, _) = serve_with_key(&space, &["--rate", "3/h"]);
    let ask = |client: &str| {
        server.request("GET", "/openapi.json", &[("X-Forwarded-For", client)]).status
    };
    assert_eq!(["1.1.1.1", "2.2.2.2", "3.3.3.3", "4.4.4.4"].map(ask), [200, 200, 200, 429]);

    let (mut server, key) = serve_with_key(&space, &["--trust-forwarded"]);
    server.request(
        "GET",
        &format!("/random?key={key}"),
        &[("X-Forwarded-For", "1.2.3.4, 203.0.113.9")],
    );
    server.signal(Signal::TERM);
    server.wait();
    assert!(server.log().contains("peer=203.0.113.9 "), "{}", server.log());
}
