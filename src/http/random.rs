//! `/random`: which image, and in which form it is answered.

use std::sync::Arc;

use warp::http::header::{CACHE_CONTROL, CONTENT_LOCATION, LOCATION};
use warp::http::{HeaderName, HeaderValue, StatusCode};
use warp::reply::{Reply as _, Response};

use super::error::ApiError;
use super::images::{self, Choice};
use super::metrics::Chosen;
use super::query::{self, Format, Parameters};
use super::routes::{Admitted, Answer, Request, header_value, json};
use crate::catalog::{Catalog, Draw, Filter, Matches, Position};
use crate::image::{self, ImageId, ImageInfo, ImageRecord};

const X_IMAGE_ID: HeaderName = HeaderName::from_static("x-image-id");

/// Picks that may hit an image which was removed just now, or is damaged, before the request fails. With half of all
/// images damaged one request in 65,536 fails.
const PICK_ATTEMPTS: usize = 16;

/// The same seed gives the same image until images come or go, so its answer may be kept for a minute.
const SEED_AGE_SECONDS: u32 = 60;

/// A link that a redirection leads to is good for one to two of these, in seconds; within one it stays the same, so that
/// browsers find the image in their cache.
const REDIRECT_SECONDS: u64 = 3600;

/// What was asked for.
struct Asked {
    filter: Filter,
    seed: Option<String>,
    shuffle: Option<(String, u64)>,
    count: Option<usize>,
    format: Format,
    width: Option<u32>,
}

impl Asked {
    fn of(request: &Request, parameters: Parameters) -> Result<Self, ApiError> {
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
        if count.is_some() && format != Format::Json {
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

    fn chosen(&self) -> Chosen {
        match self.draw() {
            Draw::Random => Chosen::Random,
            Draw::Seed(_) => Chosen::Seed,
            Draw::Shuffle(..) => Chosen::Shuffle,
        }
    }
}

/// Answers `/random` and `/random-image/KEY`.
pub(super) async fn random(request: &Request, admitted: Admitted) -> Answer {
    let parameters = Parameters::with_filter(request.query(), query::RANDOM)?;
    let depends_on_viewport = parameters.auto_orientation;
    let asked = Asked::of(request, parameters)?;
    let mut answer = match choose(request, &asked, admitted).await {
        Ok(response) => response,
        Err(error) => error.into(),
    };
    if depends_on_viewport {
        query::ask_for_viewport(answer.headers_mut());
    }
    Ok(answer)
}

async fn choose(request: &Request, asked: &Asked, admitted: Admitted) -> Answer {
    let gallery = request.gallery();
    let mut catalog = gallery.catalog_at_hand();
    let mut damaged = 0;
    for _ in 0..PICK_ATTEMPTS {
        let present = catalog.as_ref().ok_or(ApiError::Unavailable)?;
        let (ids, position) = pick(present, asked, damaged).await?;
        match answer(request, asked, present, (&ids, position), admitted).await {
            Ok(Some(mut response)) => {
                gallery.metrics.picked(asked.chosen(), ids.len());
                if !response.headers().contains_key(CACHE_CONTROL) {
                    response.headers_mut().insert(CACHE_CONTROL, cache_control(request, asked)?);
                }
                return Ok(response);
            }
            // It was removed since the catalog was loaded.
            Ok(None) => {
                gallery.refreshed().await?;
                catalog = gallery.catalog_at_hand();
            }
            // It is damaged, which the log says; another may be whole.
            Err(ApiError::Internal) => damaged += 1,
            Err(error) => return Err(error),
        }
    }
    Err(ApiError::Internal)
}

/// The images to answer with: at least one; and where the first stands. The first `skipped` that a seed or a permutation names
/// are left out.
async fn pick(
    catalog: &Arc<Catalog>,
    asked: &Asked,
    skipped: usize,
) -> Result<(Vec<ImageId>, Option<Position>), ApiError> {
    if catalog.is_empty() {
        return Err(ApiError::NoImages);
    }
    if asked.filter.is_empty() && asked.count.is_none() && asked.draw() == Draw::Random {
        let position = catalog.pick(&mut rand::rng()).ok_or(ApiError::NoImages)?;
        return Ok((vec![catalog.id(position)], Some(position)));
    }
    let matches = matches(catalog, &asked.filter).await?;
    let ids = match asked.count {
        None if skipped == 0 => matches.draw(asked.draw(), &mut rand::rng()).into_iter().collect(),
        count => {
            let mut ids =
                matches.draw_distinct(asked.draw(), count.unwrap_or(1) + skipped, &mut rand::rng());
            // With fewer matches than were skipped the last one is as good as any.
            ids.drain(..skipped.min(ids.len().saturating_sub(1)));
            ids
        }
    };
    let first = ids.first().ok_or(ApiError::NoMatch)?;
    let position = catalog.position(*first);
    Ok((ids, position))
}

/// The images that meet a filter; where they are not known, another thread looks for them.
pub(super) async fn matches(catalog: &Arc<Catalog>, filter: &Filter) -> Result<Matches, ApiError> {
    if let Some(known) = catalog.known_matches(filter) {
        return Ok(known);
    }
    let (catalog, filter) = (Arc::clone(catalog), filter.clone());
    tokio::task::spawn_blocking(move || catalog.matches(&filter))
        .await
        .map_err(|_| ApiError::Internal)
}

/// The answer with these images; `None` when the image is not in the gallery any more.
async fn answer(
    request: &Request,
    asked: &Asked,
    catalog: &Catalog,
    (ids, position): (&[ImageId], Option<Position>),
    admitted: Admitted,
) -> Result<Option<Response>, ApiError> {
    let gallery = request.gallery();
    let &[id, ..] = ids else { return Err(ApiError::Internal) };
    if asked.format == Format::Json {
        let records = records(request, ids).await?;
        let infos: Vec<_> =
            records.iter().map(|(id, record)| ImageInfo::new(*id, record)).collect();
        let Some(first) = infos.first() else { return Ok(None) };
        if asked.count.is_some() {
            return Ok(Some(uncached(json(&infos))));
        }
        let mut response = uncached(json(first));
        let headers = response.headers_mut();
        headers.insert(CONTENT_LOCATION, header_value(format!("/images/{id}/info"))?);
        headers.insert(X_IMAGE_ID, header_value(id.to_string())?);
        return Ok(Some(response));
    }
    let Some(choice) = images::choose(gallery, id, position, asked.width)? else { return Ok(None) };
    let mut response = if asked.format == Format::Redirect {
        redirection(request, &choice, admitted)?
    } else {
        let Some(mut response) = images::whole(request, catalog, &choice).await? else {
            return Ok(None);
        };
        response.headers_mut().insert(CONTENT_LOCATION, header_value(choice.path())?);
        response
    };
    response.headers_mut().insert(X_IMAGE_ID, header_value(id.to_string())?);
    Ok(Some(response))
}

/// Leads to the image's own address. Whoever showed a key in a header will show it there again; a key in the address would not
/// go along, and no address of ours has a key in it, so a signature of that one image stands in for it.
fn redirection(request: &Request, choice: &Choice, admitted: Admitted) -> Answer {
    let mut location = choice.path();
    if let Admitted::ByAddress(key) = admitted {
        let expires = (image::now() / REDIRECT_SECONDS + 2) * REDIRECT_SECONDS;
        location = request.gallery().gate.sign(key, &location, expires)?;
    }
    let mut response = StatusCode::FOUND.into_response();
    response.headers_mut().insert(LOCATION, header_value(location)?);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn cache_control(request: &Request, asked: &Asked) -> Result<HeaderValue, ApiError> {
    if asked.seed.is_none() {
        return Ok(HeaderValue::from_static("no-store"));
    }
    let whose = if request.gallery().policy.public { "public" } else { "private" };
    header_value(format!("{whose}, max-age={SEED_AGE_SECONDS}"))
}

fn uncached(mut response: Response) -> Response {
    response.headers_mut().remove(CACHE_CONTROL);
    response
}

/// The records of those images that are in the gallery, in this order; another thread reads them.
pub(super) async fn records(
    request: &Request,
    ids: &[ImageId],
) -> Result<Vec<(ImageId, ImageRecord)>, ApiError> {
    let (store, ids) = (request.gallery().store.clone(), ids.to_vec());
    let read = tokio::task::spawn_blocking(move || {
        let records = ids.into_iter().filter_map(|id| match store.image(id) {
            Ok(record) => record.map(|record| Ok((id, record))),
            Err(error) => {
                tracing::error!(%id, %error, "the image's record can't be read");
                Some(Err(ApiError::Internal))
            }
        });
        records.collect()
    });
    read.await.map_err(|_| ApiError::Internal)?
}
