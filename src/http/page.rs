//! What is built into the program: the gallery page, whose files are in `src/web`, and the description of the interface.

use warp::http::HeaderValue;
use warp::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use warp::reply::Response;

/// The page loads what this server serves, and nothing else runs in it.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; img-src 'self' blob: data:; script-src 'self'; style-src 'self'; connect-src 'self'; \
     form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
);

pub(super) fn html() -> Response {
    let mut response = file("text/html; charset=utf-8", include_str!("../web/index.html"));
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, PAGE_POLICY);
    response.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

pub(super) fn style() -> Response {
    file("text/css; charset=utf-8", include_str!("../web/page.css"))
}

pub(super) fn script() -> Response {
    file("text/javascript; charset=utf-8", include_str!("../web/page.js"))
}

/// The interface in `OpenAPI` 3.1, with this program's version in it.
pub(super) fn openapi() -> Response {
    const VERSION: &str = concat!("\"version\": \"", env!("CARGO_PKG_VERSION"), "\"");
    let document = include_str!("openapi.json").replacen("\"version\": \"0.0.0\"", VERSION, 1);
    let mut response = file("application/json", "");
    *response.body_mut() = document.into();
    response
}

/// Asked for anew with each visit, for it changes with the program.
fn file(content_type: &'static str, text: &'static str) -> Response {
    let mut response = Response::new(text.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
