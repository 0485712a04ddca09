//! Tests what each query parameter chooses, and which values are refused.

use serde_json::json;

use super::gallery::{FILTERS, LANDSCAPE, PORTRAIT, SQUARE, id_of, ids, known, sorted, varied};
use crate::harness::{Failures, Server};

#[test]
fn filters_choose_the_same_for_random_and_for_the_list() {
    let space = varied();
    let (server, key) = space.serve_with_key();
    let all = known(&space);
    assert_eq!(all.len(), 7);
    let mut failures = Failures::new();
    for (query, matches) in FILTERS {
        let expected: Vec<String> =
            all.iter().filter(|image| matches(image)).map(|image| image.id.clone()).collect();
        failures.check(query, || assert_chosen(&server, &key, query, &expected));
    }
    for query in ["tag=nothing", "min_width=10000", "tag=sea&tag=-sea", "min_width=90&max_width=80"]
    {
        failures.check(query, || {
            let random = server.get(&format!("/random?key={key}&{query}"));
            let none = json!({ "error": "No images match" });
            assert_eq!((random.status, random.json()), (404, none));
            let list = server.get(&format!("/images?key={key}&{query}"));
            let answered = (list.status, list.json(), list.header("link"));
            assert_eq!(answered, (200, json!([]), None));
        });
    }
}

/// Asserts that a filter chooses these images and no others, wherever it is asked for.
fn assert_chosen(server: &Server, key: &str, query: &str, expected: &[String]) {
    assert!(!expected.is_empty());
    let listed = server.get(&format!("/images?{query}&key={key}"));
    // The command line lists newest first too.
    assert_eq!((listed.status, ids(&listed.json())), (200, expected.to_vec()));
    assert_eq!(listed.header("cache-control"), Some("no-store"));

    let several = server.get(&format!("/random?{query}&count=30&format=json&key={key}"));
    let chosen = (several.status, sorted(ids(&several.json())));
    assert_eq!(chosen, (200, sorted(expected.to_vec())));
    for path in [format!("/random?key={key}&{query}"), format!("/random-image/{key}?{query}")] {
        for _ in 0..10 {
            let response = server.get(&path);
            let answered = (response.status, response.header("cache-control"));
            assert_eq!(answered, (200, Some("no-store")), "{path}");
            assert!(expected.contains(&id_of(&response)), "{path}");
        }
    }
}

/// Routes that know a parameter, the parameter, and values that do not parse.
const REFUSED: &[(&[&str], &str, &[&str])] = &[
    (BOTH, "orientation", &["", "Landscape", "left", "%00", "%ff", "auto&orientation=auto"]),
    (BOTH, "min_width", &["", "-1", "+1", "1.5", "1e3", "0x10", "4294967296", "a", "%31%"]),
    (BOTH, "min_width", &["99999999999999999999999"]),
    (BOTH, "max_width", &["", "-1", "%2B1", "1%2C0", "1&max_width=1"]),
    (BOTH, "min_height", &["", "-1", "%ff", "%2531"]),
    (BOTH, "max_height", &["", "-1", "one"]),
    (BOTH, "tag", &["", "-", "%20", "%00", "a%0Ab", "%ff", "--a"]),
    (BOTH, "animated", &["", "yes", "1", "TRUE", "true&animated=true"]),
    (&["/random"], "seed", &["%ff", "a&seed=a", "a&shuffle=b&n=1"]),
    (&["/random"], "n", &["-1", "", "18446744073709551616", "a", "1&n=1"]),
    (&["/random"], "count", &["", "0", "31", "-1", "5", "5&format=image", "5&format=redirect"]),
    (&["/random"], "format", &["", "png", "JSON", "json&format=json"]),
    (&["/random", "/images/ID.webp"], "w", &["", "-1", "1.5", "4294967296", "640px", "1&w=2"]),
    (&["/images"], "limit", &["", "0", "-1", "101", "a"]),
    (&["/images"], "cursor", &["", "-1", "a", "4294967296"]),
];
const BOTH: &[&str] = &["/random", "/images"];

#[test]
fn what_does_not_parse_is_400_and_named() {
    let space = varied();
    let (server, key) = space.serve_with_key();
    let id = &space.ids()[0];
    let mut failures = Failures::new();
    for (paths, name, values) in REFUSED {
        for (path, value) in paths.iter().flat_map(|path| values.iter().map(move |v| (path, v))) {
            failures.check(format!("{path} {name}={value}"), || {
                let path = path.replace("ID", id);
                let response = server.get(&format!("{path}?key={key}&{name}={value}"));
                assert_eq!(response.status, 400);
                let error = response.json()["error"].as_str().unwrap().to_owned();
                assert!(error.starts_with(&format!("{name}: ")), "{error}");
                assert_eq!(response.header("cache-control"), Some("no-store"));
            });
        }
    }
    let missing = server.get(&format!("/random?key={key}&shuffle=a"));
    assert_eq!(missing.status, 400);
    assert!(missing.json()["error"].as_str().unwrap().starts_with("n: "));
    // A key is asked for before any parameter is looked at.
    assert_eq!(server.get("/random?w=a").status, 401);
    // A route ignores the parameters of others.
    for path in [
        format!("/images?key={key}&seed=%ff&w=a&format=x&count=99"),
        format!("/random?key={key}&limit=a&cursor=b"),
        format!("/images/{id}.webp?key={key}&tag=&format=x"),
        format!("/images/{id}/info?key={key}&w=a"),
    ] {
        failures.check(&path, || assert_eq!(server.get(&path).status, 200));
    }
}

#[test]
fn the_viewport_decides_the_orientation_when_it_is_known() {
    let space = varied();
    let (server, key) = space.serve_with_key();
    let all = known(&space);
    let hints = Some("Sec-CH-Viewport-Width, Sec-CH-Viewport-Height");
    let mut failures = Failures::new();
    for (width, height, matches) in [
        ("1920", "1080", Some(LANDSCAPE)),
        ("390", "844", Some(PORTRAIT)),
        ("500", "500", Some(SQUARE)),
        ("", "1080", None),
        ("wide", "high", None),
    ] {
        let headers = [
            ("X-API-Key", key.as_str()),
            ("Sec-CH-Viewport-Width", width),
            ("Sec-CH-Viewport-Height", height),
        ];
        let fits = |id: &String| {
            let image = all.iter().find(|image| image.id == *id).unwrap();
            matches.is_none_or(|matches| matches(image))
        };
        for (path, is_list) in [
            ("/random?orientation=auto", false),
            ("/random?orientation=auto&seed=a", false),
            ("/images?orientation=auto", true),
        ] {
            failures.check(format!("{path} {width}x{height}"), || {
                let response = server.request("GET", path, &headers);
                let sent = (response.header("accept-ch"), response.header("vary"));
                assert_eq!(sent, (hints, hints));
                let chosen = if is_list { ids(&response.json()) } else { vec![id_of(&response)] };
                assert!(chosen.iter().all(fits));
            });
        }
        failures.check(format!("without orientation=auto, {width}x{height}"), || {
            let response = server.request("GET", "/random?seed=a", &headers);
            assert_eq!((response.header("accept-ch"), response.header("vary")), (None, None));
        });
    }
}
