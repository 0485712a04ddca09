//! Paths and their handlers. warp only routes here: a handler answers itself, and a rejection means "not my path".

use std::convert::Infallible;
use std::sync::Arc;

use warp::Filter;
use warp::Rejection;
use warp::http::header::CONTENT_LOCATION;
use warp::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use warp::reply::{Reply, Response};

use super::auth::presented;
use super::error::ApiError;
use super::gallery::Gallery;
use super::images;
use crate::image::{ImageId, ImageInfo, image_path};

pub(super) const X_IMAGE_ID: HeaderName = HeaderName::from_static("x-image-id");

/// Picks that may hit an image which was removed just now, or is damaged, before the request fails. With half of all
/// images damaged one request in 65,536 fails.
const PICK_ATTEMPTS: usize = 16;

/// What handlers see of a request.
struct Request {
    gallery: Arc<Gallery>,
    headers: HeaderMap,
    query: String,
}

impl Request {
    /// Checks the key of a route that has none in its path.
    async fn admit(&self) -> Result<(), ApiError> {
        self.gallery.gate.admit(presented(&self.headers, &self.query)).await.map(drop)
    }

    /// Checks the key in the path of an old route; keys elsewhere do not count there.
    async fn admit_key(&self, key: &str) -> Result<(), ApiError> {
        self.gallery.gate.admit(Some(key)).await.map(drop)
    }
}

type Answer = Result<Response, ApiError>;

/// All routes; never rejects.
pub(super) fn routes(
    gallery: Arc<Gallery>,
) -> impl Filter<Extract = (impl Reply,), Error = Infallible> + Clone + Send + Sync + 'static {
    let request = move || {
        let gallery = Arc::clone(&gallery);
        let query = warp::query::raw().or(warp::any().map(String::new)).unify();
        warp::method().and(warp::header::headers_cloned()).and(query).map(
            move |method: Method, headers, query| {
                let request = Request { gallery: Arc::clone(&gallery), headers, query };
                // Methods are looked at behind the path, so that an unknown path is 404 for each of them.
                if method == Method::GET || method == Method::HEAD {
                    Ok(request)
                } else {
                    Err(ApiError::MethodNotAllowed)
                }
            },
        )
    };
    let random_image = warp::path!("random-image" / String).and(request()).then(|key: String, request| {
        answer(request, async move |request: Request| {
            request.admit_key(&key).await?;
            random(&request).await
        })
    });
    let random = warp::path!("random").and(request()).then(|request| {
        answer(request, async move |request: Request| {
            request.admit().await?;
            random(&request).await
        })
    });
    let image = warp::path!("images" / String).and(request()).then(|name: String, request| {
        answer(request, async move |request: Request| {
            request.admit().await?;
            images::named_image(&request.gallery, parse_id(&name)?, &request.headers).await
        })
    });
    let info = warp::path!("images" / String / "info").and(request()).then(|name: String, request| {
        answer(request, async move |request: Request| {
            request.admit().await?;
            info(&request, parse_id(&name)?)
        })
    });
    let update_images = warp::path!("update-images" / String).and(request()).then(|key: String, request| {
        answer(request, async move |request: Request| {
            request.admit_key(&key).await?;
            update_images(&request).await
        })
    });
    let update_key = warp::path!("update-key" / String).and(request()).then(|key: String, request| {
        answer(request, async move |request: Request| {
            request.admit_key(&key).await?;
            request.gallery.gate.reload()?;
            Ok(json(&serde_json::json!({ "message": "API key updated successfully" })))
        })
    });
    let health = warp::path!("healthz")
        .and(request())
        .then(|request| answer(request, async move |request| health(&request).await));
    let ready = warp::path!("readyz").and(request()).then(|request| {
        answer(request, async move |request: Request| match request.gallery.catalog() {
            Some(_) => Ok(json(&serde_json::json!({ "status": "ready" }))),
            None => Err(ApiError::Unavailable),
        })
    });
    random_image
        .or(random)
        .unify()
        .or(image)
        .unify()
        .or(info)
        .unify()
        .or(update_images)
        .unify()
        .or(update_key)
        .unify()
        .or(health)
        .unify()
        .or(ready)
        .unify()
        .recover(async |_: Rejection| Ok::<_, Infallible>(Response::from(ApiError::NoSuchRoute)))
}

async fn answer(request: Result<Request, ApiError>, handle: impl AsyncFnOnce(Request) -> Answer) -> Response {
    let answered = match request {
        Ok(request) => handle(request).await,
        Err(error) => Err(error),
    };
    answered.unwrap_or_else(Response::from)
}

async fn random(request: &Request) -> Answer {
    let gallery = &request.gallery;
    let mut catalog = gallery.catalog().ok_or(ApiError::Unavailable)?;
    for _ in 0..PICK_ATTEMPTS {
        let Some(id) = catalog.pick(&mut rand::rng()) else { return Err(ApiError::NoImages) };
        match images::random_image(gallery, id).await {
            Ok(Some(mut response)) => {
                let headers = response.headers_mut();
                headers.insert(CONTENT_LOCATION, header_value(image_path(id))?);
                headers.insert(X_IMAGE_ID, header_value(id.to_string())?);
                return Ok(response);
            }
            // It was removed since the catalog was loaded.
            Ok(None) => catalog = refresh(gallery).await?,
            // It is damaged, which the log says; another may be whole.
            Err(ApiError::Internal) => {}
            Err(error) => return Err(error),
        }
    }
    Err(ApiError::Internal)
}

fn info(request: &Request, id: ImageId) -> Answer {
    let record = request.gallery.store.image(id).map_err(|error| {
        tracing::error!(%id, %error, "the image's record can't be read");
        ApiError::Internal
    })?;
    let record = record.ok_or(ApiError::NoSuchImage)?;
    Ok(json(&ImageInfo::new(id, &record)))
}

async fn update_images(request: &Request) -> Answer {
    if refresh(&request.gallery).await?.is_empty() {
        return Err(ApiError::NoImages);
    }
    Ok(json(&serde_json::json!({ "message": "Images list updated" })))
}

/// Healthy is a server that can read one of its images, or has none.
async fn health(request: &Request) -> Answer {
    let sample = request.gallery.catalog().and_then(|catalog| catalog.pick(&mut rand::rng()));
    let healthy = match sample {
        Some(id) => images::is_readable(&request.gallery, id).await,
        None => true,
    };
    if healthy { Ok(json(&serde_json::json!({ "status": "ok" }))) } else { Err(ApiError::Unavailable) }
}

async fn refresh(gallery: &Arc<Gallery>) -> Result<Arc<crate::catalog::Catalog>, ApiError> {
    gallery.refresh().await.map_err(|error| {
        tracing::error!(%error, "the catalog can't be loaded");
        ApiError::Unavailable
    })
}

/// `ID` or `ID.webp`.
fn parse_id(name: &str) -> Result<ImageId, ApiError> {
    name.strip_suffix(".webp").unwrap_or(name).parse().map_err(|_| ApiError::NoSuchImage)
}

fn header_value(text: String) -> Result<HeaderValue, ApiError> {
    text.try_into().map_err(|_| ApiError::Internal)
}

fn json(value: &impl serde::Serialize) -> Response {
    let mut response = warp::reply::with_status(warp::reply::json(value), StatusCode::OK).into_response();
    response.headers_mut().insert(warp::http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
