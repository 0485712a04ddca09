//! `/random` and `/random-image/KEY`: picks images and responds in the form that is query for.

use std::sync::Arc;

use warp::http::header::{CACHE_CONTROL, CONTENT_LOCATION, LOCATION};
use warp::http::{HeaderName, HeaderValue, StatusCode};
use warp::reply::{Reply as _, Response};

use super::images::{self, Variant};
use super::lookup::{matches, records};
use crate::catalog::{Catalog, Draw, Filter, Position};
use crate::http::admission::{Grant, admit_reader, admit_reader_by_path};
use crate::http::error::ApiError;
use crate::http::metrics::PickMethod;
use crate::http::query::{Parameters, RANDOM, ResponseFormat, ask_for_viewport};
use crate::http::request::{HandlerResult, Request, header_value, json};
use crate::image::{self, ImageId, ImageInfo};

/// Header with the id of the image.
const X_IMAGE_ID: HeaderName = HeaderName::from_static("x-image-id");

/// Picks that may hit a damaged or just removed image before the request fails.
///
/// With half of all images damaged, one request in 65,536 fails.
const PICK_ATTEMPTS: usize = 16;

/// Time for which the image of a seed may be cached, in seconds.
///
/// It stays the same until images come or go.
const SEED_AGE_SECONDS: u32 = 60;

/// Half of the longest life of a link that a redirect leads to, in seconds.
///
/// Such a link is good for one to two of these. Within one it stays the same, so that browsers find
/// the image in their cache.
const REDIRECT_SECONDS: u64 = 3600;

/// The parameters of `/random`, checked against each other.
struct RandomQuery {
    filter: Filter,
    seed: Option<String>,
    shuffle: Option<(String, u64)>,
    count: Option<usize>,
    format: ResponseFormat,
    width: Option<u32>,
}

impl RandomQuery {
    /// Checks the parameters.
    ///
    /// # Errors
    /// When some contradict each other.
    fn new(request: &Request, parameters: Parameters) -> Result<Self, ApiError> {
        let bad = |name, reason| Err(ApiError::BadParameter { name, reason });
        let filter = parameters.filter_for(&request.headers);
        let Parameters { seed, shuffle, n, count, format, width, .. } = parameters;
        if seed.is_some() && shuffle.is_some() {
            return bad("seed", "seed and shuffle exclude each other");
        }
        let shuffle = match (shuffle, n) {
            (Some(text), Some(n)) => Some((text, n)),
            (Some(_), None) => {
                return bad("n", "shuffle needs it: 0 for the first image, then 1, and so on");
            }
            (None, _) => None,
        };
        let format = format.unwrap_or_default();
        if count.is_some() && format != ResponseFormat::Json {
            return bad("count", "needs format=json");
        }
        let count = count.map(|count| count as usize);
        Ok(Self { filter, seed, shuffle, count, format, width })
    }

    fn draw(&self) -> Draw<'_> {
        match (&self.seed, &self.shuffle) {
            (Some(seed), _) => Draw::Seed(seed),
            (None, Some((text, n))) => Draw::Shuffle(text, *n),
            (None, None) => Draw::Random,
        }
    }

    fn method(&self) -> PickMethod {
        match self.draw() {
            Draw::Random => PickMethod::Random,
            Draw::Seed(_) => PickMethod::Seed,
            Draw::Shuffle(..) => PickMethod::Shuffle,
        }
    }
}

/// Answers `/random`.
pub(in crate::http) async fn random(request: &Request) -> HandlerResult {
    respond(request, admit_reader(request).await?).await
}

/// Answers `/random-image/KEY`.
pub(in crate::http) async fn random_by_path(request: &Request, key: &str) -> HandlerResult {
    respond(request, admit_reader_by_path(request, key).await?).await
}

async fn respond(request: &Request, grant: Grant) -> HandlerResult {
    let parameters = Parameters::with_filter(request.query(), RANDOM)?;
    let depends_on_viewport = parameters.auto_orientation;
    let query = RandomQuery::new(request, parameters)?;
    let picked = pick_and_send(request, &query, grant).await;
    let mut response = picked.unwrap_or_else(Response::from);
    if depends_on_viewport {
        ask_for_viewport(response.headers_mut());
    }
    Ok(response)
}

/// Picks until it finds images that are there and whole.
async fn pick_and_send(request: &Request, query: &RandomQuery, grant: Grant) -> HandlerResult {
    let gallery = request.gallery();
    let mut catalog = gallery.catalog_guard();
    let mut damaged = 0;
    for _ in 0..PICK_ATTEMPTS {
        let present = catalog.as_ref().ok_or(ApiError::Unavailable)?;
        let (ids, position) = pick(present, query, damaged).await?;
        match send(request, query, present, (&ids, position), grant).await {
            Ok(Some(mut response)) => {
                gallery.metrics.count_picks(query.method(), ids.len());
                if !response.headers().contains_key(CACHE_CONTROL) {
                    response.headers_mut().insert(CACHE_CONTROL, cache_control(request, query)?);
                }
                return Ok(response);
            }
            // The image was removed since the catalog was loaded.
            Ok(None) => {
                gallery.refresh_for_request().await?;
                catalog = gallery.catalog_guard();
            }
            // The image is damaged, as the log says. Another may be whole.
            Err(ApiError::Internal) => damaged += 1,
            Err(error) => return Err(error),
        }
    }
    Err(ApiError::Internal)
}

/// Picks at least one image; also returns the first one's place in the catalog.
///
/// The first `skipped` images that a seed or a permutation names are left out.
async fn pick(
    catalog: &Arc<Catalog>,
    query: &RandomQuery,
    skipped: usize,
) -> Result<(Vec<ImageId>, Option<Position>), ApiError> {
    if catalog.is_empty() {
        return Err(ApiError::NoImages);
    }
    if query.filter.is_empty() && query.count.is_none() && query.draw() == Draw::Random {
        let position = catalog.pick(&mut rand::rng()).ok_or(ApiError::NoImages)?;
        return Ok((vec![catalog.id(position)], Some(position)));
    }
    let matches = matches(catalog, &query.filter).await?;
    let ids = match query.count {
        None if skipped == 0 => matches.draw(query.draw(), &mut rand::rng()).into_iter().collect(),
        count => {
            let mut ids =
                matches.draw_distinct(query.draw(), count.unwrap_or(1) + skipped, &mut rand::rng());
            // With fewer matches than were skipped, the last one is as good as any.
            ids.drain(..skipped.min(ids.len().saturating_sub(1)));
            ids
        }
    };
    let first = ids.first().ok_or(ApiError::NoMatch)?;
    let position = catalog.position(*first);
    Ok((ids, position))
}

/// Responds with these images; `None` if they are not in the gallery any more.
async fn send(
    request: &Request,
    query: &RandomQuery,
    catalog: &Catalog,
    (ids, position): (&[ImageId], Option<Position>),
    grant: Grant,
) -> Result<Option<Response>, ApiError> {
    let gallery = request.gallery();
    let &[id, ..] = ids else { return Err(ApiError::Internal) };
    if query.format == ResponseFormat::Json {
        let records = records(request, ids).await?;
        let infos: Vec<_> =
            records.iter().map(|(id, record)| ImageInfo::new(*id, record)).collect();
        let Some(first) = infos.first() else { return Ok(None) };
        if query.count.is_some() {
            return Ok(Some(uncached(json(&infos))));
        }
        let mut response = uncached(json(first));
        let headers = response.headers_mut();
        headers.insert(CONTENT_LOCATION, header_value(format!("/images/{id}/info"))?);
        headers.insert(X_IMAGE_ID, header_value(id.to_string())?);
        return Ok(Some(response));
    }
    let Some(variant) = images::find_variant(gallery, id, position, query.width)? else {
        return Ok(None);
    };
    let mut response = if query.format == ResponseFormat::Redirect {
        redirect(request, &variant, grant)?
    } else {
        let Some(mut response) = images::whole_image(request, catalog, &variant).await? else {
            return Ok(None);
        };
        response.headers_mut().insert(CONTENT_LOCATION, header_value(variant.path())?);
        response
    };
    response.headers_mut().insert(X_IMAGE_ID, header_value(id.to_string())?);
    Ok(Some(response))
}

/// Redirects to the image's own address.
///
/// A client that showed its key in a header will show it there again. A key in the URL would not go
/// along, and no URL of ours has a key in it, so a signature of that one image stands in for it.
fn redirect(request: &Request, variant: &Variant, grant: Grant) -> HandlerResult {
    let mut location = variant.path();
    if let Grant::Url(key) = grant {
        let expires = (image::now() / REDIRECT_SECONDS + 2) * REDIRECT_SECONDS;
        location = request.gallery().authenticator.sign(key, &location, expires)?;
    }
    let mut response = StatusCode::FOUND.into_response();
    response.headers_mut().insert(LOCATION, header_value(location)?);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn cache_control(request: &Request, query: &RandomQuery) -> Result<HeaderValue, ApiError> {
    if query.seed.is_none() {
        return Ok(HeaderValue::from_static("no-store"));
    }
    let whose = if request.gallery().policy.public { "public" } else { "private" };
    header_value(format!("{whose}, max-age={SEED_AGE_SECONDS}"))
}

fn uncached(mut response: Response) -> Response {
    response.headers_mut().remove(CACHE_CONTROL);
    response
}
