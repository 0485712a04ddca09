//! Tests `/metrics`: what is counted, and that no secret is among it.

use super::gallery::varied;
use crate::harness::{Failures, Server, Workspace, wait_for};

/// Lines that stand in the metrics after the requests below.
const LINES: [&str; 15] = [
    "imagepool_http_requests_total{route=\"random\",status=\"200\"} 3",
    "imagepool_http_requests_total{route=\"random\",status=\"401\"} 4",
    "imagepool_http_requests_total{route=\"other\",status=\"404\"} 1",
    "imagepool_http_request_duration_seconds_count{route=\"random\"} 7",
    "imagepool_picks_total{by=\"random\"} 4",
    "imagepool_picks_total{by=\"seed\"} 1",
    "imagepool_key_checks_total{outcome=\"verified\"} 1",
    "imagepool_key_checks_total{outcome=\"wrong\"} 1",
    "imagepool_key_checks_total{outcome=\"unknown\"} 1",
    "imagepool_key_checks_total{outcome=\"missing\"} 2",
    "imagepool_catalog_images 7",
    "# TYPE imagepool_http_request_duration_seconds histogram",
    "# TYPE imagepool_catalog_reload_seconds histogram",
    "# TYPE imagepool_http_connections gauge",
    "# EOF",
];

#[test]
fn metrics_count_what_happens_and_name_no_secret() {
    let space = varied();
    let (server, key) = space.serve_with_key();
    let wrong = format!("{}{}", &key[..16], "0".repeat(48));
    for path in [
        format!("/random?key={key}"),
        format!("/random?key={key}&seed=private-seed"),
        format!("/random?key={key}&format=json&count=3"),
        format!("/random?key={wrong}"),
        "/random".into(),
        format!("/random?key={}", "ab".repeat(32)),
        "/random?exp=9999999999&sig=AAAA".into(),
        format!("/nothing/{key}"),
    ] {
        server.get(&path);
    }
    let text = metrics(&server, &key);
    let mut failures = Failures::new();
    for line in LINES {
        failures.check(line, || {
            assert!(text.lines().any(|found| found == line), "it is not in\n{text}");
        });
    }
    let name = "imagepool_http_response_bytes_total{route=\"random\"} ";
    let bytes = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    assert!(bytes.parse::<u64>().unwrap() > 500, "{bytes}");
    for secret in [&key[16..], "private-seed", &key[..16]] {
        failures.check(secret, || assert!(!text.contains(secret), "it is in\n{text}"));
    }
    // At most one connection may still be closing.
    wait_for("connections are counted down", || {
        let text = metrics(&server, &key);
        ["1", "2"].iter().any(|open| text.contains(&format!("imagepool_http_connections {open}\n")))
    });
}

#[test]
fn an_import_beside_the_server_is_counted() {
    let space = Workspace::with_photos(3);
    std::fs::write(space.picture("notes.txt"), "words").unwrap();
    space.run(["import", "--dry-run", "pictures"]).expect(0);
    std::fs::create_dir(space.path("none")).unwrap();
    space.run(["import", "none"]).expect(0);
    let key = space.rotate(&[]);
    let server = space.serve_with(&["--import", "pictures"]);
    wait_for("the import is counted", || {
        let text = metrics(&server, &key);
        text.contains("imagepool_import_files_total{status=\"imported\"} 3\n")
            && text.contains("imagepool_import_files_total{status=\"not_image\"} 1\n")
            && text.contains("imagepool_import_stored_bytes_total ")
    });
}

#[test]
fn bytes_of_replaced_images_are_counted() {
    let space = Workspace::with_photos(3);
    space.import();
    let key = space.rotate(&[]);
    let server = space.serve_with(&["--import", "pictures", "--quality", "30"]);
    wait_for("the import is counted", || {
        metrics(&server, &key).contains("imagepool_import_files_total{status=\"replaced\"} 3\n")
    });
    let text = metrics(&server, &key);
    for name in ["source", "stored"] {
        assert!(!text.contains(&format!("imagepool_import_{name}_bytes_total 0\n")), "{text}");
    }
}

fn metrics(server: &Server, key: &str) -> String {
    let response = server.request("GET", "/metrics", &[("X-API-Key", key)]);
    let answered = (response.status, response.header("cache-control"));
    assert_eq!(answered, (200, Some("no-store")));
    String::from_utf8(response.body).unwrap()
}
