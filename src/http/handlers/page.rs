//! `/`: the gallery page for browsers, whose files in `src/web` are built into the program.

use warp::http::HeaderValue;
use warp::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use warp::reply::Response;

/// Lets the page load what this server serves, and nothing else run in it.
const CONTENT_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; img-src 'self' blob: data:; script-src 'self'; style-src 'self'; \
     connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
);

/// Answers with the page itself.
pub(in crate::http) fn html() -> Response {
    let mut response = file("text/html; charset=utf-8", include_str!("../../web/index.html"));
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, CONTENT_POLICY);
    response.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

/// Answers with the page's style sheet.
pub(in crate::http) fn style() -> Response {
    file("text/css; charset=utf-8", include_str!("../../web/page.css"))
}

/// Answers with the page's script.
pub(in crate::http) fn script() -> Response {
    file("text/javascript; charset=utf-8", include_str!("../../web/page.js"))
}

/// Returns a file that a browser asks for again with each visit: it changes with the program.
fn file(content_type: &'static str, text: &'static str) -> Response {
    let mut response = Response::new(text.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
