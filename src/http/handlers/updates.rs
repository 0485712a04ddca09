//! `/update-images/KEY` and `/update-key/KEY`: the old service's routes, kept for its clients.
//!
//! A server notices changes by itself, so these only hurry what would happen anyway.

use crate::http::admission::admit_by_path;
use crate::http::error::ApiError;
use crate::http::request::{HandlerResult, Request, json};

/// Loads the catalog anew if the gallery has changed.
pub(in crate::http) async fn update_images(request: &Request, key: &str) -> HandlerResult {
    admit_by_path(request, key).await?;
    if request.gallery().refresh_for_request().await?.is_empty() {
        return Err(ApiError::NoImages);
    }
    Ok(json(&serde_json::json!({ "message": "Images list updated" })))
}

/// Loads the keys anew if the gallery has changed.
pub(in crate::http) async fn update_key(request: &Request, key: &str) -> HandlerResult {
    admit_by_path(request, key).await?;
    request.gallery().authenticator.reload()?;
    Ok(json(&serde_json::json!({ "message": "API key updated successfully" })))
}
