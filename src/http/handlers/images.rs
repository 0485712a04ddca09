//! Sends images: whole, in part, or as "not modified".
//!
//! An image's first read since the start happens on a blocking thread, which compares its bytes
//! with its id, so damaged bytes are never sent. How bytes get to the client is `image_body`'s
//! business.

use std::ops::Range;
use std::sync::Arc;

use warp::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    IF_RANGE, RANGE,
};
use warp::http::{HeaderValue, StatusCode};
use warp::reply::{Reply as _, Response};

use super::image_body::ImageBody;
use crate::catalog::{Catalog, Position};
use crate::http::admission::admit_reader;
use crate::http::blocking::run_blocking;
use crate::http::error::ApiError;
use crate::http::gallery::ServedGallery;
use crate::http::query::Parameters;
use crate::http::request::{HandlerResult, Request, header_value};
use crate::image::{ImageId, Rendition, image_path};
use crate::store::{Blob, Store, StoreError};

/// Number of headers that a response with an image has, about.
const HEADERS: usize = 12;
/// Caching of what an id names, which never changes, so that a client need never ask again.
const IMMUTABLE: &str = "max-age=31536000, immutable";

/// An image as it is sent: itself, or one of its renditions.
#[derive(Clone, Debug)]
pub(super) struct Variant {
    id: ImageId,
    /// Place in the catalog that goes with it; `None` if the image came later.
    position: Option<Position>,
    /// The rendition and its number among those of the image; `None` for the image itself.
    rendition: Option<(usize, Rendition)>,
}

impl Variant {
    /// Width of the rendition in pixels; 0 for the image itself.
    fn width(&self) -> u16 {
        self.rendition.as_ref().map_or(0, |(_, rendition)| rendition.width)
    }

    /// Its own path and query on this server.
    pub(super) fn path(&self) -> String {
        match &self.rendition {
            None => image_path(self.id),
            Some((_, rendition)) => format!("{}?w={}", image_path(self.id), rendition.width),
        }
    }

    fn etag(&self) -> Result<HeaderValue, ApiError> {
        let etag = match &self.rendition {
            None => format!("\"{}\"", self.id),
            // After this rendition was removed, an import may store another of the same width.
            Some((_, rendition)) => {
                format!(
                    "\"{}-{}-{:016x}\"",
                    self.id,
                    rendition.width,
                    u64::from_be_bytes(rendition.checksum)
                )
            }
        };
        header_value(etag)
    }

    /// Whether its bytes were compared with its id or checksum since the start.
    fn is_checked(&self, catalog: &Catalog) -> bool {
        self.position.is_some_and(|position| catalog.is_checked(position, self.rendition_number()))
    }

    fn mark_checked(&self, catalog: &Catalog) {
        if let Some(position) = self.position {
            catalog.mark_checked(position, self.rendition_number());
        }
    }

    fn rendition_number(&self) -> Option<usize> {
        self.rendition.as_ref().map(|(number, _)| *number)
    }

    /// Whether these are its bytes.
    fn matches(&self, webp: &[u8]) -> bool {
        match &self.rendition {
            None => ImageId::of(webp) == self.id,
            Some((_, rendition)) => Rendition::of(rendition.width, webp) == *rendition,
        }
    }
}

/// Finds the smallest rendition that is at least `width` pixels wide.
///
/// That is the image itself where there is none, or if no width is asked for. `None` if the image
/// is not in the gallery, which without a width shows later.
pub(super) fn find_variant(
    gallery: &ServedGallery,
    id: ImageId,
    position: Option<Position>,
    width: Option<u32>,
) -> Result<Option<Variant>, ApiError> {
    let Some(width) = width else { return Ok(Some(Variant { id, position, rendition: None })) };
    let record = gallery.store.image(id).map_err(|error| unreadable(id, &error))?;
    let Some(record) = record else { return Ok(None) };
    let is_wide = |(_, rendition): &(usize, Rendition)| {
        rendition.is_kept() && u32::from(rendition.width) >= width
    };
    let rendition = record.renditions.into_iter().enumerate().find(is_wide);
    Ok(Some(Variant { id, position, rendition }))
}

/// Responds with the whole image, as `/random` does; `None` if it is not in the gallery any more.
pub(super) async fn whole_image(
    request: &Request,
    catalog: &Catalog,
    variant: &Variant,
) -> Result<Option<Response>, ApiError> {
    let Some(blob) = open_checked(request.gallery(), catalog, variant).await? else {
        return Ok(None);
    };
    let whole = 0..blob.as_ref().len();
    Ok(Some(respond(request, catalog, variant, blob, whole)))
}

/// Answers `/images/ID`: conditional, in ranges, to be kept for ever.
pub(in crate::http) async fn image(request: &Request, name: &str) -> HandlerResult {
    admit_reader(request).await?;
    let width = Parameters::width(request.query())?;
    let id = parse_id(name)?;
    let (gallery, headers) = (request.gallery(), &request.headers);
    // An image can be had by its id before the first catalog is loaded.
    let catalog = gallery.catalog().unwrap_or_default();
    let variant =
        find_variant(gallery, id, catalog.position(id), width)?.ok_or(ApiError::NoSuchImage)?;
    let blob = open_checked(gallery, &catalog, &variant).await?.ok_or(ApiError::NoSuchImage)?;
    let total_bytes = blob.as_ref().len();
    let etag = variant.etag()?;
    let whose = if gallery.policy.public { "public" } else { "private" };
    let immutable = header_value(format!("{whose}, {IMMUTABLE}"))?;
    if headers.get_all(IF_NONE_MATCH).iter().any(|tags| lists(tags, &etag)) {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        response.headers_mut().insert(ETAG, etag);
        response.headers_mut().insert(CACHE_CONTROL, immutable);
        return Ok(response);
    }
    let is_current = headers.get(IF_RANGE).is_none_or(|tag| *tag == etag);
    let range = headers.get(RANGE).filter(|_| is_current);
    let range = match range.map(|range| parse_range(range, total_bytes)) {
        None | Some(RequestedRange::Whole) => None,
        Some(RequestedRange::Part(range)) => Some(range),
        Some(RequestedRange::Unsatisfiable) => {
            return Err(ApiError::RangeNotSatisfiable { total_bytes });
        }
    };
    let part = range.clone().unwrap_or(0..total_bytes);
    let mut response = respond(request, &catalog, &variant, blob, part);
    if let Some(Range { start, end }) = range {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let value = header_value(format!("bytes {start}-{}/{total_bytes}", end - 1))?;
        response.headers_mut().insert(CONTENT_RANGE, value);
    }
    response.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    response.headers_mut().insert(ETAG, etag);
    response.headers_mut().insert(CACHE_CONTROL, immutable);
    Ok(response)
}

/// Reads `ID` or `ID.webp`.
pub(super) fn parse_id(name: &str) -> Result<ImageId, ApiError> {
    name.strip_suffix(".webp").unwrap_or(name).parse().map_err(|_| ApiError::NoSuchImage)
}

/// Whether the image can be read; for the health check.
pub(super) async fn is_readable(
    gallery: &ServedGallery,
    catalog: &Catalog,
    position: Position,
) -> bool {
    let variant = Variant { id: catalog.id(position), position: Some(position), rendition: None };
    open_checked(gallery, catalog, &variant).await.is_ok()
}

/// Opens what is to be sent, once its bytes were compared with the id or the rendition's checksum.
async fn open_checked(
    gallery: &ServedGallery,
    catalog: &Catalog,
    variant: &Variant,
) -> Result<Option<Blob>, ApiError> {
    let (id, width) = (variant.id, variant.width());
    // Of a file that took the place of the catalog's since, nothing was checked.
    let is_of_catalog = || Store::is_same_file(catalog.version(), gallery.store.version());
    if variant.is_checked(catalog) {
        let opened = gallery.store.hold_blob(id, width).map_err(|error| unreadable(id, &error))?;
        if is_of_catalog() {
            return Ok(opened);
        }
    }
    let (store, unchecked) = (gallery.store.clone(), variant.clone());
    let open_and_check = move || {
        let Some(blob) = store.hold_blob(id, width)? else { return Ok(None) };
        Ok(Some((unchecked.matches(blob.as_ref()), blob)))
    };
    let opened = run_blocking(open_and_check).await?.map_err(|error| unreadable(id, &error))?;
    let Some((is_right, blob)) = opened else { return Ok(None) };
    if !is_right {
        tracing::error!(%id, width, "the image is damaged and not served; \
            import its picture again, which mends it");
        return Err(ApiError::Internal);
    }
    if is_of_catalog() {
        variant.mark_checked(catalog);
    }
    Ok(Some(blob))
}

fn unreadable(id: ImageId, error: &StoreError) -> ApiError {
    tracing::error!(%id, %error, "the image can't be read");
    ApiError::Internal
}

/// Makes a response with this part of the image.
fn respond(
    request: &Request,
    catalog: &Catalog,
    variant: &Variant,
    blob: Blob,
    part: Range<usize>,
) -> Response {
    let gallery = request.gallery();
    let length = part.len();
    let image = (variant.id, variant.width());
    // The kernel is always asked about renditions, which are small.
    let position = variant.position.filter(|_| variant.rendition.is_none());
    let hints = &gallery.page_cache_hints;
    let is_cached = match position {
        Some(position) if hints.is_likely_cached(catalog, position) => true,
        Some(position) if blob.is_resident(part.clone()) => {
            if length == blob.as_ref().len() {
                hints.mark_cached(catalog, position);
            }
            true
        }
        _ => false,
    };
    let body = ImageBody::new(Arc::clone(&request.connection), image, part, blob, is_cached);
    let mut response = warp::reply::stream(body).into_response();
    let headers = response.headers_mut();
    headers.reserve(HEADERS);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("image/webp"));
    headers.insert(CONTENT_LENGTH, length.into());
    response
}

/// Whether an `If-None-Match` list has this tag (RFC 9110, section 13.1.2).
///
/// Tags are compared weakly, and `*` stands for all.
fn lists(tags: &HeaderValue, etag: &HeaderValue) -> bool {
    let Ok(tags) = tags.to_str() else { return false };
    tags.split(',')
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == etag)
}

/// What a `Range` header asks for.
#[derive(Debug, PartialEq, Eq)]
enum RequestedRange {
    Whole,
    Part(Range<usize>),
    /// The range lies outside the image.
    Unsatisfiable,
}

/// Reads a `Range` of one part (RFC 9110, section 14.2).
///
/// Several parts, other units and nonsense are answered with the whole image.
fn parse_range(range: &HeaderValue, total_bytes: usize) -> RequestedRange {
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
        return RequestedRange::Whole;
    };
    let part = match (first, last) {
        (None, None) => return RequestedRange::Whole,
        (None, Some(suffix)) => total_bytes.saturating_sub(suffix)..total_bytes,
        (Some(first), None) => first..total_bytes,
        (Some(first), Some(last)) if last < first => return RequestedRange::Whole,
        (Some(first), Some(last)) => first..total_bytes.min(last.saturating_add(1)),
    };
    if part.is_empty() { RequestedRange::Unsatisfiable } else { RequestedRange::Part(part) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        use RequestedRange::{Part, Unsatisfiable, Whole};
        for (range, expected) in [
            ("bytes=0-9", Part(0..10)),
            ("bytes=90-", Part(90..100)),
            ("bytes=-10", Part(90..100)),
            ("bytes=-200", Part(0..100)),
            ("bytes=50-500", Part(50..100)),
            ("bytes=100-", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=99999999999999999999999-", Unsatisfiable),
            ("bytes=9-0", Whole),
            ("bytes=-", Whole),
            ("bytes=a-b", Whole),
            ("bytes=0-1,5-6", Whole),
            ("items=0-9", Whole),
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
            assert_eq!(lists(&HeaderValue::from_static(tags), &etag), expected, "{tags}");
        }
    }
}
