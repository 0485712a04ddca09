//! Tests `/openapi.json`: the description that clients are generated from.

use serde_json::Value;

use super::gallery::{sorted, varied};
use crate::harness::Failures;

const PATHS: [&str; 13] = [
    "/",
    "/healthz",
    "/images",
    "/images/{id}",
    "/images/{id}.webp",
    "/images/{id}/info",
    "/metrics",
    "/openapi.json",
    "/random",
    "/random-image/{key}",
    "/readyz",
    "/update-images/{key}",
    "/update-key/{key}",
];

#[test]
fn the_description_knows_every_route_and_every_field() {
    let space = varied();
    let (server, key) = space.serve_with_key();
    let description = server.get("/openapi.json").json();
    assert_eq!(description["info"]["version"], env!("CARGO_PKG_VERSION"));
    let paths = sorted(description["paths"].as_object().unwrap().keys().cloned().collect());
    assert_eq!(paths, PATHS);
    let id = &space.ids()[0];
    let mut failures = Failures::new();
    for path in paths {
        failures.check(&path, || {
            let path = path.replace("{id}", id).replace("{key}", &key);
            assert_eq!(server.request("GET", &path, &[("X-API-Key", &key)]).status, 200);
        });
    }

    let info = server.get(&format!("/images/{id}/info?key={key}")).json();
    let fields = sorted(info.as_object().unwrap().keys().cloned().collect());
    let schema = &description["components"]["schemas"]["ImageInfo"];
    let properties = sorted(schema["properties"].as_object().unwrap().keys().cloned().collect());
    let text = |name: &Value| name.as_str().unwrap().to_owned();
    let required = sorted(schema["required"].as_array().unwrap().iter().map(text).collect());
    assert_eq!((&properties, &required), (&fields, &fields));
}
