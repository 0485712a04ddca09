//! Tests `/random`: the headers, formats and sizes of a random image.

use std::collections::HashSet;

use super::gallery::{id_of, ids, varied};
use crate::harness::{Failures, Response, Workspace};
use crate::pictures::{decode, photo, save};

#[test]
fn a_random_image_has_the_headers_of_the_contract() {
    let space = Workspace::with_photos(3);
    let (server, key) = space.serve_with_key();
    let ids = space.ids();
    let mut failures = Failures::new();
    for path in [format!("/random-image/{key}"), format!("/random?key={key}")] {
        for method in ["GET", "HEAD"] {
            failures.check(format!("{method} {path}"), || {
                // A resumed download would go on in another picture, so ranges are not offered.
                let response = server.request(method, &path, &[("Range", "bytes=5-")]);
                assert_eq!(response.status, 200);
                let id = id_of(&response);
                assert!(ids.contains(&id));
                assert_eq!(response.header("content-type"), Some("image/webp"));
                assert_eq!(response.header("cache-control"), Some("no-store"));
                let location = format!("/images/{id}.webp");
                assert_eq!(response.header("content-location"), Some(location.as_str()));
                assert_eq!(response.header("access-control-allow-origin"), Some("*"));
                assert_eq!(response.header("accept-ranges"), None);
                assert_eq!(response.header("content-range"), None);
                let stored = space.stored(&id);
                let length = stored.len().to_string();
                assert_eq!(response.header("content-length"), Some(length.as_str()));
                assert_eq!(response.body, if method == "GET" { stored } else { Vec::new() });
            });
        }
    }
}

#[test]
fn every_image_is_picked() {
    let space = Workspace::with_photos(5);
    let (server, key) = space.serve_with_key();
    let mut missing = space.ids();
    // One of five is missing after 200 uniform picks with a probability of 2e-19.
    for _ in 0..200 {
        let id = id_of(&server.get(&format!("/random?key={key}")));
        missing.retain(|other| *other != id);
    }
    assert_eq!(missing, [""; 0]);
}

#[test]
fn removals_never_show_as_errors() {
    let space = Workspace::with_photos(30);
    let (server, key) = space.serve_with_key();
    let ids = space.ids();
    for removed in ids[..29].chunks(3) {
        let arguments = ["remove"].into_iter().chain(removed.iter().map(String::as_str));
        space.run(arguments).expect(0);
        for _ in 0..20 {
            let response = server.get(&format!("/random?key={key}"));
            assert_eq!(response.status, 200);
            assert!(!removed.contains(&id_of(&response)), "a removed image was served");
        }
    }
}

#[test]
fn formats_answer_as_image_json_or_redirect() {
    let space = varied();
    let (server, key) = space.serve_with_key();
    let by_header = [("X-API-Key", key.as_str())];
    let get = |path: &str| server.request("GET", path, &by_header);
    let image = get("/random?format=image");
    assert_eq!((image.status, image.header("content-type")), (200, Some("image/webp")));

    let one = get("/random?format=json&tag=calm");
    let info = one.json();
    let id = info["id"].as_str().unwrap();
    assert_eq!(info, get(&format!("/images/{id}/info")).json());
    assert_eq!(one.header("x-image-id"), Some(id));
    assert_eq!(one.header("content-location"), Some(format!("/images/{id}/info").as_str()));
    let mut failures = Failures::new();
    for (count, found) in (1..=7).map(|count| (count, count)).chain([(30, 7)]) {
        failures.check(format!("count={count}"), || {
            let several = ids(&get(&format!("/random?format=json&count={count}")).json());
            assert_eq!(several.len(), found);
            assert_eq!(several.iter().collect::<HashSet<_>>().len(), found, "they are distinct");
        });
    }

    for method in ["GET", "HEAD"] {
        failures.check(format!("{method} format=redirect"), || {
            let redirect = server.request(method, "/random?format=redirect&tag=calm", &by_header);
            let answered = (redirect.status, redirect.header("cache-control"));
            assert_eq!(answered, (302, Some("no-store")));
            assert_eq!(redirect.header("location"), Some(format!("/images/{id}.webp").as_str()));
            assert_eq!(redirect.header("x-image-id"), Some(id));
            assert!(redirect.body.is_empty());
        });
    }
    let seeded = get("/random?format=redirect&seed=a");
    assert_eq!(seeded.header("cache-control"), Some("no-store"));
}

/// A redirect drops a key that stood in the address, because no address of ours may carry one. So
/// the new address is signed.
#[test]
fn a_redirect_for_a_key_in_the_address_is_signed_for_one_image() {
    let space = varied();
    let (server, key) = space.serve_with_key();
    let mut failures = Failures::new();
    for path in [
        format!("/random?format=redirect&tag=calm&key={key}"),
        format!("/random-image/{key}?format=redirect"),
    ] {
        failures.check(&path, || {
            let redirect = server.get(&path);
            let location = redirect.header("location").unwrap();
            assert!(!location.contains(&key[16..]) && location.contains("&sig="), "{location}");
            let followed = server.get(location);
            let answered = (followed.status, followed.header("content-type"));
            assert_eq!(answered, (200, Some("image/webp")));
            let id = id_of(&redirect);
            let other = space.ids().into_iter().find(|other| *other != id).unwrap();
            assert_eq!(server.get(&location.replace(&id, &other)).status, 401);
        });
    }
}

#[test]
fn w_takes_the_smallest_rendition_that_is_wide_enough() {
    let space = Workspace::file();
    save(photo(700, 400, 6), &space.picture("large.png"));
    space.run(["import", "--renditions", "100,320,640", "pictures"]).expect(0);
    let (server, key) = space.serve_with_key();
    let id = &space.ids()[0];
    let whole = space.stored(id);
    let mut etags = HashSet::new();
    let mut failures = Failures::new();
    for (w, width) in [
        ("0", 100),
        ("1", 100),
        ("100", 100),
        ("101", 320),
        ("320", 320),
        ("640", 640),
        ("641", 700),
        ("700", 700),
        ("4294967295", 700),
    ] {
        let random = format!("/random?w={w}&key={key}");
        let image = format!("/images/{id}?w={w}&key={key}");
        // The second response comes from what was checked for the first.
        for round in ["first", "second"] {
            failures.check(format!("{random}, {round}"), || {
                let response = server.get(&random);
                assert_is_webp(&response, &whole, width);
                let query = if width == 700 { String::new() } else { format!("?w={width}") };
                let location = format!("/images/{id}.webp{query}");
                assert_eq!(response.header("content-location"), Some(location.as_str()));
                assert_eq!(response.header("x-image-id"), Some(id.as_str()));
            });
            failures.check(format!("{image}, {round}"), || {
                let response = server.get(&image);
                assert_is_webp(&response, &whole, width);
                let etag = response.header("etag").unwrap().to_owned();
                let unchanged = [("If-None-Match", etag.as_str())];
                assert_eq!(server.request("GET", &image, &unchanged).status, 304);
                let range = [("Range", "bytes=4-9"), ("If-Range", &etag)];
                let part = server.request("GET", &image, &range);
                assert_eq!((part.status, &part.body[..]), (206, &response.body[4..10]));
                etags.insert((width, etag));
            });
        }
    }
    assert_eq!(etags.len(), 4, "each rendition has one entity tag of its own: {etags:?}");
    let redirect = server.get(&format!("/random?w=200&format=redirect&key={key}"));
    let location = redirect.header("location").unwrap();
    assert!(location.starts_with(&format!("/images/{id}.webp?w=320&exp=")), "{location}");
}

/// Asserts that a response is a WebP of this width, and the whole image only at 700 pixels.
#[track_caller]
fn assert_is_webp(response: &Response, whole: &[u8], width: u32) {
    assert_eq!((response.status, response.header("content-type")), (200, Some("image/webp")));
    assert_eq!(decode(&response.body).width(), width);
    assert_eq!(response.body == whole, width == 700);
}
