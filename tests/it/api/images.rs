//! Tests `/images/ID` and `/images/ID/info`: one image, and what is known of it.

use crate::harness::{Failures, Workspace};
use crate::pictures::{noise, photo, save};

#[test]
fn an_image_is_cached_for_ever_and_sent_in_ranges() {
    let space = Workspace::with_photos(1);
    let (server, key) = space.serve_with_key();
    let id = &space.ids()[0];
    let stored = space.stored(id);
    let total = stored.len();
    let etag = format!("\"{id}\"");
    let get = |headers: &[(&str, &str)]| {
        let headers = [&[("X-API-Key", key.as_str())], headers].concat();
        server.request("GET", &format!("/images/{id}.webp"), &headers)
    };
    let whole = get(&[]);
    assert_eq!((whole.status, &whole.body), (200, &stored));
    assert_eq!(whole.header("etag"), Some(etag.as_str()));
    assert_eq!(whole.header("cache-control"), Some("private, max-age=31536000, immutable"));
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));

    let part = get(&[("Range", "bytes=10-19")]);
    assert_eq!((part.status, &part.body[..]), (206, &stored[10..20]));
    assert_eq!(part.header("content-range"), Some(format!("bytes 10-19/{total}").as_str()));
    assert_eq!(get(&[("Range", "bytes=-7")]).body, stored[total - 7..]);
    assert_eq!(get(&[("Range", "bytes=0-1,4-5")]).body, stored);
    let beyond = get(&[("Range", &format!("bytes={total}-"))]);
    let range = format!("bytes */{total}");
    assert_eq!((beyond.status, beyond.header("content-range")), (416, Some(range.as_str())));

    let mut failures = Failures::new();
    for (value, status) in [(etag.as_str(), 304), ("\"other\"", 200), ("*", 304)] {
        failures.check(format!("If-None-Match: {value}"), || {
            let response = get(&[("If-None-Match", value)]);
            assert_eq!(response.status, status);
            assert_eq!(response.header("etag"), Some(etag.as_str()));
        });
    }
    for (value, status) in [(etag.as_str(), 206), ("\"other\"", 200)] {
        failures.check(format!("If-Range: {value}"), || {
            assert_eq!(get(&[("Range", "bytes=0-9"), ("If-Range", value)]).status, status);
        });
    }
}

#[test]
fn a_large_image_arrives_whole_and_in_parts() {
    let space = Workspace::file();
    save(noise(1200, 900, 1), &space.picture("large.png"));
    let (server, key) = space.serve_with_key();
    let id = &space.ids()[0];
    let stored = space.stored(id);
    assert!(stored.len() > 600_000, "it must take several chunks: {}", stored.len());
    assert_eq!(server.get(&format!("/random?key={key}")).body, stored);
    let path = format!("/images/{id}?key={key}");
    let part = server.request("GET", &path, &[("Range", "bytes=70000-599999")]);
    assert_eq!((part.status, part.body), (206, stored[70_000..600_000].to_vec()));
}

#[test]
fn an_images_info_is_what_the_contract_lists() {
    let space = Workspace::file();
    save(photo(60, 40, 1), &space.picture("beach/a.png"));
    let (server, key) = space.serve_with_key();
    let id = &space.ids()[0];
    let info = server.get(&format!("/images/{id}/info?key={key}")).json();
    assert_eq!(info, space.list()[0]);
    assert_eq!(info["url"], format!("/images/{id}.webp"));
    assert_eq!(info["source"], "beach/a.png");
    assert_eq!(info["orientation"], "landscape");
    let mut fields: Vec<_> = info.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    let contract = "alpha animated bytes color credit frames height id imported_at orientation \
                    rating renditions source tags taken_at thumbhash title url width";
    assert_eq!(fields.join(" "), contract);
}
