//! Tests what signed links open, and that they open nothing else.

use std::time::{Duration, Instant};

use crate::harness::{Failures, Server, Workspace, wait_for};

/// Runs `key sign` with these arguments and returns the link.
#[track_caller]
fn sign(space: &Workspace, arguments: &[&str]) -> String {
    let signed = space.run([&["key", "sign"], arguments].concat()).expect(0);
    signed.complains_of(&["good until"]);
    signed.stdout.trim().to_owned()
}

fn status(server: &Server, link: &str, referer: Option<&str>) -> u16 {
    let headers: Vec<(&str, &str)> =
        referer.map(|referer| ("Referer", referer)).into_iter().collect();
    server.request("GET", link, &headers).status
}

#[test]
fn a_link_opens_its_address_and_nothing_else() {
    let space = Workspace::with_photos(3);
    let (server, key) = space.serve_with_key();
    let id = &space.ids()[0];
    let mut failures = Failures::new();
    for (address, status) in [
        ("/random".to_owned(), 200),
        ("/random?min_width=60&w=640".into(), 200),
        ("/random?tag=Blaue Bäume".into(), 404),
        ("/random?format=json&count=2".into(), 200),
        ("/random?w=a".into(), 400),
        ("/images?limit=2".into(), 200),
        (format!("/images/{id}.webp"), 200),
        (format!("/images/{id}/info"), 200),
        ("/metrics".into(), 200),
    ] {
        let link = sign(&space, &["--expires", "1h", &address]);
        failures.check(&address, || assert!(!link.contains(&key[16..]), "{link}"));
        for method in ["GET", "HEAD"] {
            failures.check(format!("{method} {link}"), || {
                assert_eq!(server.request(method, &link, &[]).status, status);
            });
        }
        for forged in forgeries(&link) {
            failures.check(format!("{forged} instead of {link}"), || {
                assert_eq!(server.get(&forged).status, 401);
            });
        }
        failures.check(format!("{link} with a wrong key, which counts more"), || {
            assert_eq!(server.request("GET", &link, &[("X-API-Key", "wrong")]).status, 401);
        });
    }
    let whole = sign(&space, &["--expires", "1h", "https://pics.example/random?w=1"]);
    let path = whole.strip_prefix("https://pics.example").unwrap();
    assert_eq!(server.get(path).status, 200);
}

/// Changes of a link that its signature does not cover.
fn forgeries(link: &str) -> Vec<String> {
    let (unsigned, signature) = link.rsplit_once("&sig=").unwrap();
    let mut flipped = signature.to_owned();
    flipped.replace_range(10..11, if &flipped[10..11] == "A" { "B" } else { "A" });
    let last = if flipped.ends_with('A') { "B" } else { "A" };
    let other_route = link
        .replacen("/random", "/images", 1)
        .replacen(".webp", "", 1)
        .replacen("/metrics", "/random", 1);
    let forged = [
        unsigned.to_owned(),
        format!("{unsigned}&sig="),
        format!("{unsigned}&sig={flipped}"),
        format!("{unsigned}&sig={}{last}", &signature[..signature.len() - 1]),
        link[..link.len() - 2].to_owned(),
        format!("{link}&x=1"),
        format!("{link}&sig={signature}"),
        format!("{unsigned}&x=1&sig={signature}"),
        link.replace("exp=", "exp=9"),
        other_route,
        format!("/random?exp=99999999999&sig={signature}"),
    ];
    // Some links stay as they are when the route is replaced.
    forged.into_iter().filter(|forged| forged != link).collect()
}

#[test]
fn a_link_ends_with_its_time_and_with_its_key() {
    let space = Workspace::with_photos(1);
    let (server, _) = space.serve_with_key();
    let started = Instant::now();
    let brief = sign(&space, &["--expires", "2s", "/random"]);
    let long = sign(&space, &["--expires", "1d", "/random"]);
    assert_eq!((status(&server, &brief, None), status(&server, &long, None)), (200, 200));
    wait_for("the link has ended", || status(&server, &brief, None) == 401);
    assert!(started.elapsed() >= Duration::from_secs(1));

    space.run(["key", "add", "--name", "blog"]).expect(0);
    let blog = sign(&space, &["--expires", "1d", "--name", "blog", "/random"]);
    assert_eq!(status(&server, &blog, None), 200);
    space.rotate(&["--grace", "1h"]);
    assert_eq!(status(&server, &long, None), 200, "the old key is good for an hour more");
    space.rotate(&[]);
    assert_eq!((status(&server, &long, None), status(&server, &blog, None)), (401, 200));
    let keys = space.run(["key", "list", "--json"]).expect(0).json();
    let blog_key = keys.as_array().unwrap().iter().find(|key| key["name"] == "blog").unwrap();
    space.run(["key", "revoke", blog_key["id"].as_str().unwrap()]).expect(0);
    assert_eq!(status(&server, &blog, None), 401);
}

#[test]
fn a_link_can_be_bound_to_the_pages_of_a_host() {
    let space = Workspace::with_photos(1);
    let (server, _) = space.serve_with_key();
    let link = sign(&space, &["--expires", "1h", "--referer", "Blog.example", "/random?w=640"]);
    let mut failures = Failures::new();
    for (referer, expected) in [
        (Some("https://blog.example/post/1"), 200),
        (Some("http://BLOG.EXAMPLE:8080"), 200),
        (Some("https://evil.example/blog.example"), 401),
        (Some("https://blog.example.evil/"), 401),
        (Some("nonsense"), 401),
        (Some(""), 401),
        (None, 401),
    ] {
        failures.check(format!("{referer:?}"), || {
            assert_eq!(status(&server, &link, referer), expected);
        });
    }
}

#[test]
fn what_can_not_be_signed_is_told() {
    let space = Workspace::with_photos(1);
    space.import();
    let keyless = space.run(["key", "sign", "--expires", "1h", "/random"]).expect(1);
    keyless.complains_of(&["default", "key add"]);
    space.rotate(&[]);
    let mut failures = Failures::new();
    for (arguments, words) in [
        (&["--expires", "1h", "random"][..], &["begins with /"][..]),
        (&["--expires", "1h", "/random#top"], &["#"]),
        (&["--expires", "1h", "/random?key=abc"], &["key"]),
        (&["--expires", "1h", "/random?exp=1"], &["exp"]),
        (&["/random"], &["--expires"]),
        (&["--expires", "soon", "/random"], &["--expires"]),
        (
            &["--expires", "1h", "--referer", "https://blog.example", "/random"],
            &["--referer", "blog.example"],
        ),
        (&["--expires", "1h", "--referer", "*.blog.example", "/random"], &["--referer"]),
    ] {
        failures.check(arguments.join(" "), || {
            space.run([&["key", "sign"], arguments].concat()).expect(2).complains_of(words);
        });
    }
    let missing = ["key", "sign", "--expires", "1h", "--name", "nobody", "/random"];
    space.run(missing).expect(1).complains_of(&["nobody"]);
}
