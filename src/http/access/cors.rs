//! Decides which pages of other sites may read responses with scripts, and what they see of them.
//!
//! The protocol is CORS (<https://fetch.spec.whatwg.org/#http-cors-protocol>).

use warp::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, ORIGIN, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use warp::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use warp::reply::{Reply as _, Response};

use super::policy::Policy;
use crate::http::error::ALLOWED_METHODS;

/// Response headers that a script may read.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "Content-Length, Content-Location, Content-Range, ETag, Link, Retry-After, X-Image-Id",
);
/// Request headers that a script may send.
const ALLOWED_HEADERS: HeaderValue =
    HeaderValue::from_static("Authorization, X-API-Key, Range, If-None-Match, If-Range");
/// Header that lets pages show images although they are isolated from other sites' content.
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");
/// Time for which a browser need not ask again, in seconds.
const PREFLIGHT_AGE: HeaderValue = HeaderValue::from_static("86400");

/// Answers what a browser asks before it sends a key from another site's page.
pub(crate) fn preflight() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(ALLOW, ALLOWED_METHODS);
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS);
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
    headers.insert(ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE);
    response
}

/// Returns the origin whose pages may read the response, if any may.
pub(crate) fn allowed_origin(policy: &Policy, request: &HeaderMap) -> Option<HeaderValue> {
    if policy.cors_origins.is_empty() {
        return Some(HeaderValue::from_static("*"));
    }
    let origin = request.get(ORIGIN)?;
    policy.cors_origins.iter().any(|allowed| allowed.0.as_bytes() == origin).then(|| origin.clone())
}

/// Adds the headers that browsers look for to a response.
pub(crate) fn add_headers(policy: &Policy, allowed: Option<HeaderValue>, response: &mut HeaderMap) {
    if !policy.cors_origins.is_empty() {
        response.append(VARY, HeaderValue::from_name(ORIGIN));
    }
    if let Some(origin) = allowed {
        response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        response.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    } else {
        // Without an allowed origin the others mean nothing.
        for name in
            [ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_MAX_AGE]
        {
            response.remove(name);
        }
    }
    if policy.cors_origins.is_empty() {
        response.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    }
    response.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}
