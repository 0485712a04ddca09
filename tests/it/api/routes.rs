//! Tests every route by method and authorisation, and addresses that are no route.

use serde_json::json;

use super::gallery::varied;
use crate::harness::{Failures, Response, Workspace};

#[test]
fn every_route_answers_by_method_and_authorisation() {
    let space = varied();
    let (server, key) = space.serve_with_key();
    let id = &space.ids()[0];
    let wrong = format!("{}{}", &key[..16], "0".repeat(48));
    let bearer = format!("Bearer {key}");
    let mut failures = Failures::new();
    for (path, needs_key, content_type) in routes(id, &key) {
        let join = if path.contains('?') { '&' } else { '?' };
        for (query, headers, shows_key) in credentials(&key, &wrong, &bearer) {
            let path = if query.is_empty() { path.clone() } else { format!("{path}{join}{query}") };
            let is_right = shows_key || !needs_key;
            for method in ["GET", "HEAD"] {
                failures.check(format!("{method} {path} {headers:?}"), || {
                    let response = server.request(method, &path, &headers);
                    assert_answered(&response, is_right.then_some(content_type));
                    assert_eq!(response.body.is_empty(), method == "HEAD");
                    if !is_right && method == "GET" {
                        assert_eq!(response.json(), json!({ "error": "Unauthorized" }));
                    }
                });
            }
        }
        for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"] {
            failures.check(format!("{method} {path}"), || {
                let response = server.request(method, &path, &[("X-API-Key", &key)]);
                assert_eq!(response.status, 405);
                assert_eq!(response.header("allow"), Some("GET, HEAD, OPTIONS"));
                assert_eq!(response.json(), json!({ "error": "Method not allowed" }));
            });
        }
    }
}

/// Each route's path, whether it needs a key beside that, and the type of its response.
fn routes(id: &str, key: &str) -> [(String, bool, &'static str); 17] {
    const JSON: &str = "application/json";
    let metrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    [
        ("/random".into(), true, "image/webp"),
        ("/random?format=json".into(), true, JSON),
        ("/images".into(), true, JSON),
        (format!("/images/{id}"), true, "image/webp"),
        (format!("/images/{id}.webp"), true, "image/webp"),
        (format!("/images/{}", id.to_uppercase()), true, "image/webp"),
        (format!("/images/{id}/info"), true, JSON),
        ("/metrics".into(), true, metrics),
        ("/".into(), false, "text/html; charset=utf-8"),
        ("/page.css".into(), false, "text/css; charset=utf-8"),
        ("/page.js".into(), false, "text/javascript; charset=utf-8"),
        ("/healthz".into(), false, JSON),
        ("/readyz".into(), false, JSON),
        ("/openapi.json".into(), false, JSON),
        (format!("/random-image/{key}"), false, "image/webp"),
        (format!("/update-images/{key}"), false, JSON),
        (format!("/update-key/{key}"), false, JSON),
    ]
}

type Headers<'a> = Vec<(&'a str, &'a str)>;

/// Queries and headers, and whether they show the right key. Of several keys one counts:
/// `Authorization` before `X-API-Key` before the query, and the first of two in the query.
fn credentials<'a>(
    key: &'a str,
    wrong: &'a str,
    bearer: &'a str,
) -> [(String, Headers<'a>, bool); 13] {
    let unknown = "ab".repeat(32);
    [
        (String::new(), vec![], false),
        (String::new(), vec![("Authorization", bearer)], true),
        (String::new(), vec![("X-API-Key", key)], true),
        (format!("key={key}"), vec![], true),
        (format!("k%65y={key}"), vec![], true),
        (format!("key={wrong}"), vec![], false),
        (format!("key={unknown}"), vec![], false),
        ("key=".into(), vec![], false),
        (format!("key={key}"), vec![("X-API-Key", wrong)], false),
        (format!("key={wrong}"), vec![("X-API-Key", key)], true),
        (String::new(), vec![("Authorization", bearer), ("X-API-Key", wrong)], true),
        (String::new(), vec![("Authorization", "Bearer"), ("X-API-Key", key)], false),
        (format!("key={wrong}&key={key}"), vec![], false),
    ]
}

/// Asserts status 200 with this type of content, or 401 when there is none.
#[track_caller]
fn assert_answered(response: &Response, content_type: Option<&str>) {
    assert_eq!(response.status, if content_type.is_some() { 200 } else { 401 });
    let expected = content_type.unwrap_or("application/json");
    assert_eq!(response.header("content-type"), Some(expected));
    let challenge = content_type.is_none().then_some("Bearer");
    assert_eq!(response.header("www-authenticate"), challenge);
    assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
}

#[test]
fn every_way_to_show_the_key_is_accepted_and_nothing_else() {
    let space = Workspace::with_photos(1);
    let (server, key) = space.serve_with_key();
    let id = &space.ids()[0];
    let wrong = format!("{}{}", &key[..16], "0".repeat(48));
    let bearer = format!("Bearer {key}");
    let upper = key.to_uppercase();
    let mut failures = Failures::new();
    let mut expect = |path: &str, headers: &[(&str, &str)], status: u16| {
        failures.check(format!("{path} {headers:?}"), || {
            assert_eq!(server.request("GET", path, headers).status, status);
        });
    };

    for path in ["/healthz", "/readyz"] {
        expect(path, &[], 200);
    }
    for path in [
        "/random".into(),
        format!("/images/{id}"),
        format!("/images/{id}.webp"),
        format!("/images/{id}/info"),
    ] {
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
            expect(&path, headers, status);
        }
        expect(&format!("{path}?key={key}"), &[], 200);
        expect(&format!("{path}?w=1&key={wrong}"), &[], 401);
        expect(&format!("{path}?cachebuster=1&key={key}&_=2"), &[], 200);
    }
    for path in ["/random-image", "/update-images", "/update-key"] {
        expect(&format!("{path}/{key}"), &[], 200);
        // A key that is not ASCII got a 500 from the old service.
        for bad in [wrong.as_str(), "short", "%C3%A9", "%00", "..%2F"] {
            expect(&format!("{path}/{bad}"), &[("X-API-Key", &key)], 401);
        }
    }
    let refused = server.get("/random");
    assert_eq!(refused.body, br#"{"error":"Unauthorized"}"#);
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    assert_eq!(refused.header("content-type"), Some("application/json"));
}

#[test]
fn wrong_paths_methods_and_sizes_get_the_right_error() {
    let space = Workspace::with_photos(1);
    let (server, key) = space.serve_with_key();
    let unknown = "0".repeat(32);
    let mut failures = Failures::new();
    for (path, status, error) in [
        ("/nothing".to_owned(), 404, "Not found"),
        ("/random/more".into(), 404, "Not found"),
        (format!("/images/{unknown}?key={key}"), 404, "No such image"),
        (format!("/images/{unknown}/info?key={key}"), 404, "No such image"),
        (format!("/images/..%2F..%2Fetc%2Fpasswd?key={key}"), 404, "No such image"),
        (format!("/random?key={key}&{}", "x".repeat(9000)), 414, "URI too long"),
    ] {
        failures.check(&path, || {
            let response = server.get(&path);
            assert_eq!((response.status, response.json()), (status, json!({ "error": error })));
            assert_eq!(response.header("access-control-allow-origin"), Some("*"));
        });
    }
    for path in [
        "/random".to_owned(),
        format!("/random-image/{key}"),
        format!("/update-key/{key}"),
        "/healthz".into(),
    ] {
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            failures.check(format!("{method} {path}"), || {
                let response = server.request(method, &path, &[]);
                let answered = (response.status, response.header("allow"));
                assert_eq!(answered, (405, Some("GET, HEAD, OPTIONS")));
            });
        }
        failures.check(format!("OPTIONS {path}"), || {
            let preflight = server.request("OPTIONS", &path, &[("Origin", "https://example.org")]);
            assert_eq!(preflight.status, 204);
            let allowed = preflight.header("access-control-allow-headers");
            assert!(allowed.unwrap().contains("X-API-Key"));
        });
    }
    assert_eq!(server.request("POST", "/nothing", &[]).status, 404);
    let long = format!("GET /random HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "x".repeat(20_000));
    assert!(server.raw(&long).contains(" 431 "));
}

#[test]
fn hostile_addresses_get_an_answer_of_the_contract() {
    let space = varied();
    let (server, key) = space.serve_with_key();
    let id = &space.ids()[0];
    let mut failures = Failures::new();
    for (path, status) in [
        ("/..".to_owned(), 404),
        ("/random/..".into(), 404),
        ("/%2e%2e/random".into(), 404),
        ("//random".into(), 404),
        ("/random%00".into(), 404),
        ("/RANDOM".into(), 404),
        (format!("/images/{id}%00?key={key}"), 404),
        (format!("/images/{id}.webp.webp?key={key}"), 404),
        (format!("/images/{id}.png?key={key}"), 404),
        (format!("/images/../images/{id}?key={key}"), 404),
        (format!("/images/..%2f{id}?key={key}"), 404),
        (format!("/images/{id}/info/more?key={key}"), 404),
        (format!("/images/{id}/infos?key={key}"), 404),
        (format!("/images/%2e%2e?key={key}"), 404),
        ("/random-image/".into(), 404),
        (format!("/random-image/{key}%00"), 401),
        (format!("/random-image/{}", "a".repeat(4_000)), 401),
        (format!("/random?key={key}&{}", "tag=a&".repeat(33)), 400),
        (format!("/random?key={key}&{}", "a=1&".repeat(1_500)), 200),
        (format!("/random?key={key}&{}", "a=1&".repeat(3_000)), 414),
        (format!("/random?key={key}&seed={}", "x".repeat(8_000)), 200),
        (format!("/random?key={key}&w={}", "1".repeat(8_000)), 400),
        (format!("/random?key={key}?key={key}"), 401),
        (format!("/random?key={key}%00"), 401),
        (format!("/random?key=%20{key}"), 401),
    ] {
        failures.check(&path[..path.len().min(200)], || {
            let response = server.get(&path);
            assert_eq!(response.status, status);
            if status >= 400 {
                assert!(response.json()["error"].is_string());
            }
        });
    }
    let many = "x: 1\r\n".repeat(90);
    let accepted = server.raw(&format!("GET /readyz HTTP/1.1\r\nhost: x\r\n{many}\r\n"));
    assert!(accepted.contains(" 200 "));
    let bomb = "x: 1\r\n".repeat(2_000);
    let parameters = "a=1&".repeat(10_000);
    for request in [
        format!("GET /readyz HTTP/1.1\r\nhost: x\r\n{bomb}\r\n"),
        format!("GET /random?{parameters} HTTP/1.1\r\nhost: x\r\n\r\n"),
    ] {
        failures.check(&request[..60], || {
            let response = server.raw(&request);
            assert!(response.contains(" 431 ") || response.contains(" 414 "), "{response}");
        });
    }
    assert_eq!(server.get("/readyz").status, 200);
}
