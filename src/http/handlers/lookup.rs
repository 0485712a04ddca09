//! Reads that several handlers share, done by blocking threads where they may take long.

use std::sync::Arc;

use crate::catalog::{Catalog, Filter, Matches};
use crate::http::blocking::run_blocking;
use crate::http::error::ApiError;
use crate::http::request::Request;
use crate::image::{ImageId, ImageRecord};
use crate::store::StoreError;

/// Returns the images that meet a filter. One that is not evaluated yet is, by a blocking thread.
pub(super) async fn matches(catalog: &Arc<Catalog>, filter: &Filter) -> Result<Matches, ApiError> {
    if let Some(known) = catalog.known_matches(filter) {
        return Ok(known);
    }
    let (catalog, filter) = (Arc::clone(catalog), filter.clone());
    Ok(run_blocking(move || catalog.matches(&filter)).await?)
}

/// Returns the records of those of the images that are in the gallery, in their order.
pub(super) async fn records(
    request: &Request,
    ids: &[ImageId],
) -> Result<Vec<(ImageId, ImageRecord)>, ApiError> {
    let (store, ids) = (request.gallery().store.clone(), ids.to_vec());
    let read = run_blocking(move || {
        let records = ids.into_iter().filter_map(|id| match store.image(id) {
            Ok(record) => record.map(|record| Ok((id, record))),
            Err(error) => Some(Err(unreadable_record(id, &error))),
        });
        records.collect()
    });
    read.await?
}

/// Logs that an image's record can't be read.
pub(super) fn unreadable_record(id: ImageId, error: &StoreError) -> ApiError {
    tracing::error!(%id, %error, "the image's record can't be read");
    ApiError::Internal
}
