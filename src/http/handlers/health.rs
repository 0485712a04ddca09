//! `/healthz` and `/readyz`: whether the server can send images, for monitors and load balancers.

use super::images;
use crate::http::error::ApiError;
use crate::http::request::{HandlerResult, Request, json};

/// Number of images that a health check tries before it says that none can be read.
const HEALTH_ATTEMPTS: usize = 4;

/// Answers 200 if the server can read one of its images, or has none.
pub(in crate::http) async fn health(request: &Request) -> HandlerResult {
    let gallery = request.gallery();
    let catalog = gallery.catalog().unwrap_or_default();
    let mut healthy = catalog.is_empty();
    // The same images each time, so that they are in memory: neither a slow disk nor one damaged
    // image is a reason to send clients elsewhere.
    for image in catalog.oldest(HEALTH_ATTEMPTS) {
        healthy = healthy || images::is_readable(gallery, &catalog, image).await;
    }
    if healthy {
        Ok(json(&serde_json::json!({ "status": "ok" })))
    } else {
        Err(ApiError::Unavailable)
    }
}

/// Answers 200 once the first catalog is loaded, and while the gallery is there and whole.
pub(in crate::http) async fn ready(request: &Request) -> HandlerResult {
    match request.gallery().catalog() {
        Some(_) if request.gallery().is_sound() => {
            Ok(json(&serde_json::json!({ "status": "ready" })))
        }
        _ => Err(ApiError::Unavailable),
    }
}
