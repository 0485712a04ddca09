//! Pages of other sites: which may read answers with scripts, and what they may see of them
//! (<https://fetch.spec.whatwg.org/#http-cors-protocol>).

use warp::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, ORIGIN, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use warp::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use warp::reply::{Reply as _, Response};

use super::error::ALLOWED_METHODS;
use super::policy::Policy;

/// What a script may see beside the body.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "Content-Length, Content-Location, Content-Range, ETag, Link, Retry-After, X-Image-Id",
);
/// What a script may send.
const ALLOWED_HEADERS: HeaderValue =
    HeaderValue::from_static("Authorization, X-API-Key, Range, If-None-Match, If-Range");
/// For pages that are isolated from other sites' content.
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");
/// For how long a browser need not ask again, in seconds.
const PREFLIGHT_AGE: HeaderValue = HeaderValue::from_static("86400");

/// What a browser asks before it sends a key from another site's page.
pub(super) fn preflight() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(ALLOW, ALLOWED_METHODS);
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS);
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
    headers.insert(ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE);
    response
}

/// The origin that the answer may be read by, if any.
pub(super) fn allowed_origin(policy: &Policy, request: &HeaderMap) -> Option<HeaderValue> {
    if policy.cors_origins.is_empty() {
        return Some(HeaderValue::from_static("*"));
    }
    let origin = request.get(ORIGIN)?;
    policy.cors_origins.iter().any(|allowed| allowed.0.as_bytes() == origin).then(|| origin.clone())
}

/// Puts on an answer what browsers look for.
pub(super) fn mark(policy: &Policy, allowed: Option<HeaderValue>, response: &mut HeaderMap) {
    if !policy.cors_origins.is_empty() {
        response.append(VARY, HeaderValue::from_name(ORIGIN));
    }
    if let Some(origin) = allowed {
        response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        response.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    } else {
        // Without the first the others mean nothing.
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
