//! `/images/ID/info`: what is known of an image, as JSON.

use super::images::parse_id;
use super::lookup::unreadable_record;
use crate::http::admission::admit_reader;
use crate::http::error::ApiError;
use crate::http::request::{HandlerResult, Request, json};
use crate::image::ImageInfo;

/// Answers with the image's record.
pub(in crate::http) async fn info(request: &Request, name: &str) -> HandlerResult {
    admit_reader(request).await?;
    let id = parse_id(name)?;
    let record =
        request.gallery().store.image(id).map_err(|error| unreadable_record(id, &error))?;
    let record = record.ok_or(ApiError::NoSuchImage)?;
    Ok(json(&ImageInfo::new(id, &record)))
}
