//! Pictures going out: whole, in part, or as "you have it".
//!
//! An image's first read since the start happens on a blocking thread, which compares its bytes with its id: damaged bytes are
//! never sent. How bytes get to the client is `body`'s affair.

use std::ops::Range;
use std::sync::Arc;

use warp::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    IF_RANGE, RANGE,
};
use warp::http::{HeaderValue, StatusCode};
use warp::reply::{Reply as _, Response};

use super::body::ImageBody;
use super::error::ApiError;
use super::gallery::Gallery;
use super::routes::{Answer, Request};
use crate::catalog::{Catalog, Position};
use crate::image::{ImageId, Rendition, image_path};
use crate::store::{Blob, StoreError};

/// An image's answer has about so many headers.
const HEADERS: usize = 12;
/// What an id names never changes, so a client need never ask again.
const IMMUTABLE: &str = "max-age=31536000, immutable";

/// What is sent of an image: itself, or one of its renditions.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    id: ImageId,
    /// In the catalog that goes with it; `None` when the image came later.
    position: Option<Position>,
    /// With its number among the image's renditions.
    rendition: Option<(usize, Rendition)>,
}

impl Choice {
    /// Pixels; 0 for the image itself.
    fn width(&self) -> u16 {
        self.rendition.as_ref().map_or(0, |(_, rendition)| rendition.width)
    }

    /// Its own path and query on the server.
    pub(super) fn path(&self) -> String {
        match &self.rendition {
            None => image_path(self.id),
            Some((_, rendition)) => format!("{}?w={}", image_path(self.id), rendition.width),
        }
    }

    fn etag(&self) -> Result<HeaderValue, ApiError> {
        let etag = match &self.rendition {
            None => format!("\"{}\"", self.id),
            // Another import may store another rendition of this width, after the first was removed.
            Some((_, rendition)) => {
                format!(
                    "\"{}-{}-{:016x}\"",
                    self.id,
                    rendition.width,
                    u64::from_be_bytes(rendition.checksum)
                )
            }
        };
        HeaderValue::try_from(etag).map_err(|_| ApiError::Internal)
    }

    fn is_checked(&self, catalog: &Catalog) -> bool {
        self.position.is_some_and(|position| catalog.is_checked(position, self.number()))
    }

    fn mark_checked(&self, catalog: &Catalog) {
        if let Some(position) = self.position {
            catalog.mark_checked(position, self.number());
        }
    }

    fn number(&self) -> Option<usize> {
        self.rendition.as_ref().map(|(number, _)| *number)
    }

    fn names(&self, webp: &[u8]) -> bool {
        match &self.rendition {
            None => ImageId::of(webp) == self.id,
            Some((_, rendition)) => Rendition::of(rendition.width, webp) == *rendition,
        }
    }
}

/// The smallest rendition that is at least `width` pixels wide; the image itself where there is none, or no width is asked for.
/// `None` when the image is not in the gallery, which without a width shows later.
pub(super) fn choose(
    gallery: &Gallery,
    id: ImageId,
    position: Option<Position>,
    width: Option<u32>,
) -> Result<Option<Choice>, ApiError> {
    let Some(width) = width else { return Ok(Some(Choice { id, position, rendition: None })) };
    let record = gallery.store.image(id).map_err(|error| unreadable(id, &error))?;
    let Some(record) = record else { return Ok(None) };
    let wide = |(_, rendition): &(usize, Rendition)| u32::from(rendition.width) >= width;
    let rendition = record.renditions.into_iter().enumerate().find(wide);
    Ok(Some(Choice { id, position, rendition }))
}

/// The image as `/random` sends it: whole. `None` when it is not in the gallery any more.
pub(super) async fn whole(
    request: &Request,
    catalog: &Catalog,
    choice: &Choice,
) -> Result<Option<Response>, ApiError> {
    let Some(blob) = checked(request.gallery(), catalog, choice).await? else { return Ok(None) };
    let whole = 0..blob.as_ref().len();
    Ok(Some(body(request, catalog, choice, blob, whole)))
}

/// The image under its own address: conditional, in ranges, to be kept for ever.
pub(super) async fn named_image(request: &Request, id: ImageId, width: Option<u32>) -> Answer {
    let (gallery, headers) = (request.gallery(), &request.headers);
    // An image can be had by its id before the first catalog is loaded.
    let catalog = gallery.catalog().unwrap_or_default();
    let choice = choose(gallery, id, catalog.position(id), width)?.ok_or(ApiError::NoSuchImage)?;
    let blob = checked(gallery, &catalog, &choice).await?.ok_or(ApiError::NoSuchImage)?;
    let total_bytes = blob.as_ref().len();
    let etag = choice.etag()?;
    let whose = if gallery.policy.public { "public" } else { "private" };
    let immutable =
        HeaderValue::try_from(format!("{whose}, {IMMUTABLE}")).map_err(|_| ApiError::Internal)?;
    if headers.get_all(IF_NONE_MATCH).iter().any(|tags| names(tags, &etag)) {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        response.headers_mut().insert(ETAG, etag);
        response.headers_mut().insert(CACHE_CONTROL, immutable);
        return Ok(response);
    }
    let current = headers.get(IF_RANGE).is_none_or(|tag| *tag == etag);
    let range =
        match headers.get(RANGE).filter(|_| current).map(|range| parse_range(range, total_bytes)) {
            None | Some(Asked::Everything) => None,
            Some(Asked::Part(range)) => Some(range),
            Some(Asked::Nothing) => return Err(ApiError::RangeNotSatisfiable { total_bytes }),
        };
    let part = range.clone().unwrap_or(0..total_bytes);
    let mut response = body(request, &catalog, &choice, blob, part);
    if let Some(Range { start, end }) = range {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let value = format!("bytes {start}-{}/{total_bytes}", end - 1);
        response
            .headers_mut()
            .insert(CONTENT_RANGE, value.try_into().map_err(|_| ApiError::Internal)?);
    }
    response.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    response.headers_mut().insert(ETAG, etag);
    response.headers_mut().insert(CACHE_CONTROL, immutable);
    Ok(response)
}

/// Whether the image can be read; for the health check.
pub(super) async fn is_readable(gallery: &Gallery, catalog: &Catalog, position: Position) -> bool {
    let choice = Choice { id: catalog.id(position), position: Some(position), rendition: None };
    checked(gallery, catalog, &choice).await.is_ok()
}

/// What is to be sent, after its bytes were compared with the id, or the rendition's checksum, once.
async fn checked(
    gallery: &Gallery,
    catalog: &Catalog,
    choice: &Choice,
) -> Result<Option<Blob>, ApiError> {
    let (id, width) = (choice.id, choice.width());
    let hold = |gallery: &Gallery| {
        gallery.store.hold_blob(id, width).map_err(|error| unreadable(id, &error))
    };
    if choice.is_checked(catalog) {
        return hold(gallery);
    }
    let (store, unchecked) = (gallery.store.clone(), choice.clone());
    let right =
        tokio::task::spawn_blocking(move || store.blob(id, width, |webp| unchecked.names(webp)));
    match right.await.map_err(|_| ApiError::Internal)?.map_err(|error| unreadable(id, &error))? {
        None => Ok(None),
        Some(true) => {
            choice.mark_checked(catalog);
            hold(gallery)
        }
        Some(false) => {
            tracing::error!(%id, width, "the image is damaged and not served; run `imagepool verify`, then remove and import it again");
            Err(ApiError::Internal)
        }
    }
}

fn unreadable(id: ImageId, error: &StoreError) -> ApiError {
    tracing::error!(%id, %error, "the image can't be read");
    ApiError::Internal
}

/// A reply with this part of the image.
fn body(
    request: &Request,
    catalog: &Catalog,
    choice: &Choice,
    blob: Blob,
    part: Range<usize>,
) -> Response {
    let gallery = request.gallery();
    let length = part.len();
    let image = (choice.id, choice.width());
    // Renditions are small, so the kernel is asked about them.
    let position = choice.position.filter(|_| choice.rendition.is_none());
    let residency = &gallery.residency;
    let is_there = match position {
        Some(position) if residency.is_likely(catalog, position) => true,
        Some(position) if blob.is_resident(part.clone()) => {
            if length == blob.as_ref().len() {
                residency.found(catalog, position);
            }
            true
        }
        _ => false,
    };
    let body = ImageBody::new(Arc::clone(&request.connection), image, part, blob, is_there);
    let mut response = warp::reply::stream(body).into_response();
    let headers = response.headers_mut();
    headers.reserve(HEADERS);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("image/webp"));
    headers.insert(CONTENT_LENGTH, length.into());
    response
}

/// Whether an `If-None-Match` list names this tag (RFC 9110, 13.1.2: by weak comparison, `*` names all).
fn names(tags: &HeaderValue, etag: &HeaderValue) -> bool {
    let Ok(tags) = tags.to_str() else { return false };
    tags.split(',')
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == etag)
}

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Everything,
    Part(Range<usize>),
    Nothing,
}

/// Reads a `Range` (RFC 9110, 14.2) of one part; several parts, other units and nonsense are answered whole.
fn parse_range(range: &HeaderValue, total_bytes: usize) -> Asked {
    let parts = range
        .to_str()
        .ok()
        .and_then(|text| text.strip_prefix("bytes="))
        .and_then(|part| part.split_once('-'));
    let number = |digits: &str| -> Option<Option<usize>> {
        match digits.trim() {
            "" => Some(None),
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(Some(digits.parse().unwrap_or(usize::MAX)))
            }
            _ => None,
        }
    };
    let Some((Some(first), Some(last))) = parts.map(|(first, last)| (number(first), number(last)))
    else {
        return Asked::Everything;
    };
    let part = match (first, last) {
        (None, None) => return Asked::Everything,
        (None, Some(suffix)) => total_bytes.saturating_sub(suffix)..total_bytes,
        (Some(first), None) => first..total_bytes,
        (Some(first), Some(last)) if last < first => return Asked::Everything,
        (Some(first), Some(last)) => first..total_bytes.min(last.saturating_add(1)),
    };
    if part.is_empty() { Asked::Nothing } else { Asked::Part(part) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        use Asked::{Everything, Nothing, Part};
        for (range, expected) in [
            ("bytes=0-9", Part(0..10)),
            ("bytes=90-", Part(90..100)),
            ("bytes=-10", Part(90..100)),
            ("bytes=-200", Part(0..100)),
            ("bytes=50-500", Part(50..100)),
            ("bytes=100-", Nothing),
            ("bytes=-0", Nothing),
            ("bytes=99999999999999999999999-", Nothing),
            ("bytes=9-0", Everything),
            ("bytes=-", Everything),
            ("bytes=a-b", Everything),
            ("bytes=0-1,5-6", Everything),
            ("items=0-9", Everything),
        ] {
            assert_eq!(parse_range(&HeaderValue::from_static(range), 100), expected, "{range}");
        }
    }

    #[test]
    fn an_entity_tag_is_found_in_a_list() {
        let etag = HeaderValue::from_static("\"abc\"");
        for (tags, expected) in [
            ("\"abc\"", true),
            ("W/\"abc\"", true),
            ("\"x\", \"abc\"", true),
            ("*", true),
            ("\"x\"", false),
            ("abc", false),
        ] {
            assert_eq!(names(&HeaderValue::from_static(tags), &etag), expected, "{tags}");
        }
    }
}
