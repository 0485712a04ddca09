//! Maps every error to what clients are told: status, JSON body and headers.
//!
//! Internal text stays in the log.

use std::borrow::Cow;

use warp::http::header::{ALLOW, CACHE_CONTROL, CONTENT_RANGE, RETRY_AFTER, WWW_AUTHENTICATE};
use warp::http::{HeaderName, HeaderValue, StatusCode};
use warp::reply::{Reply as _, Response};

/// Methods that every route allows.
pub(super) const ALLOWED_METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");

/// Response to a connection beyond those of its address, sent before any request is read.
pub(super) const FULL: &str = "HTTP/1.1 503 Service Unavailable\r\n\
    Content-Type: application/json\r\n\
    Content-Length: 31\r\n\
    Cache-Control: no-store\r\n\
    Retry-After: 1\r\n\
    Access-Control-Allow-Origin: *\r\n\
    Connection: close\r\n\r\n\
    {\"error\":\"Service unavailable\"}";

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ApiError {
    /// A parameter does not parse.
    BadParameter {
        name: &'static str,
        reason: &'static str,
    },
    Unauthorized,
    /// The page that shows the image may not do so.
    Forbidden,
    NoSuchRoute,
    NoSuchImage,
    /// The gallery is empty.
    NoImages,
    /// No image meets the filter.
    NoMatch,
    MethodNotAllowed,
    UriTooLong,
    /// The range lies outside the image, which has this many bytes.
    RangeNotSatisfiable {
        total_bytes: usize,
    },
    TooManyRequests {
        retry_after_seconds: u64,
    },
    /// The catalog or the keys can't be read at present.
    Unavailable,
    Internal,
}

impl ApiError {
    fn status(self) -> StatusCode {
        match self {
            Self::BadParameter { .. } => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NoSuchRoute | Self::NoSuchImage | Self::NoImages | Self::NoMatch => {
                StatusCode::NOT_FOUND
            }
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::RangeNotSatisfiable { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::TooManyRequests { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn message(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::BadParameter { name, reason } => return format!("{name}: {reason}").into(),
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NoSuchRoute => "Not found",
            Self::NoSuchImage => "No such image",
            Self::NoImages => "No images found",
            Self::NoMatch => "No images match",
            Self::MethodNotAllowed => "Method not allowed",
            Self::UriTooLong => "URI too long",
            Self::RangeNotSatisfiable { .. } => "Range not satisfiable",
            Self::TooManyRequests { .. } => "Too many requests",
            Self::Unavailable => "Service unavailable",
            Self::Internal => "Internal server error",
        })
    }

    fn header(self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Unauthorized => Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            Self::MethodNotAllowed => Some((ALLOW, ALLOWED_METHODS)),
            Self::RangeNotSatisfiable { total_bytes } => {
                let value = HeaderValue::try_from(format!("bytes */{total_bytes}"));
                value.ok().map(|value| (CONTENT_RANGE, value))
            }
            Self::TooManyRequests { retry_after_seconds } => {
                Some((RETRY_AFTER, retry_after_seconds.into()))
            }
            Self::Unavailable => Some((RETRY_AFTER, HeaderValue::from_static("1"))),
            Self::BadParameter { .. }
            | Self::Forbidden
            | Self::NoSuchRoute
            | Self::NoSuchImage
            | Self::NoImages
            | Self::NoMatch
            | Self::UriTooLong
            | Self::Internal => None,
        }
    }
}

impl From<ApiError> for Response {
    fn from(error: ApiError) -> Self {
        let body = warp::reply::json(&serde_json::json!({ "error": error.message() }));
        let mut response = warp::reply::with_status(body, error.status()).into_response();
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some((name, value)) = error.header() {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_full_address_is_told_is_as_long_as_it_says() {
        let (head, body) = FULL.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
    }
}
