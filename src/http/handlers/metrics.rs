//! `/metrics`: the server's counters, for Prometheus.

use warp::http::HeaderValue;
use warp::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use warp::reply::Response;

use crate::http::admission::admit_by_key;
use crate::http::request::{HandlerResult, Request};

/// Media type of the counters.
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Answers with all counters. They need a key even on a public server.
pub(in crate::http) async fn metrics(request: &Request) -> HandlerResult {
    admit_by_key(request).await?;
    let mut response = Response::new(request.gallery().metrics.text().into());
    response.headers_mut().insert(CONTENT_TYPE, OPEN_METRICS);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
