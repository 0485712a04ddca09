//! `/openapi.json`: the description of the interface, for generated clients.

use warp::http::HeaderValue;
use warp::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use warp::reply::Response;

/// Answers with the interface in `OpenAPI` 3.1, with this program's version in it.
pub(in crate::http) fn openapi() -> Response {
    const VERSION: &str = concat!("\"version\": \"", env!("CARGO_PKG_VERSION"), "\"");
    let document = include_str!("openapi.json").replacen("\"version\": \"0.0.0\"", VERSION, 1);
    let mut response = Response::new(document.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
