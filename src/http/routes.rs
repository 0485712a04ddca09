//! Maps paths to handlers.
//!
//! warp only routes here. A handler answers itself, and a rejection means "not my path".

use std::convert::Infallible;
use std::sync::Arc;

use warp::http::header::VARY;
use warp::http::{HeaderValue, Method};
use warp::reply::{Reply, Response};
use warp::{Filter, Rejection};

use super::error::ApiError;
use super::handlers::{health, images, info, listing, metrics, openapi, page, random, updates};
use super::metrics::Route;
use super::request::{HandlerResult, Request};

/// Returns all routes, for requests with an `Arc<Request>` among their extensions; never rejects.
pub(super) fn routes()
-> impl Filter<Extract = (impl Reply,), Error = Infallible> + Clone + Send + Sync + 'static {
    readers()
        .or(keepers())
        .unify()
        .or(open())
        .unify()
        .or(page_files())
        .unify()
        .recover(async |_: Rejection| Ok::<_, Infallible>(Response::from(ApiError::NoSuchRoute)))
}

/// Routes for those who may read images.
fn readers() -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync {
    let random_image =
        warp::path!("random-image" / String).and(request()).then(|key: String, request| {
            handle(Route::RandomImage, request, async move |request: &Request| {
                random::random_by_path(request, &key).await
            })
        });
    let random = warp::path!("random")
        .and(request())
        .then(|request| handle(Route::Random, request, random::random));
    let list = warp::path!("images")
        .and(request())
        .then(|request| handle(Route::Images, request, listing::list));
    let image = warp::path!("images" / String).and(request()).then(|name: String, request| {
        handle(Route::Image, request, async move |request: &Request| {
            images::image(request, &name).await
        })
    });
    let info =
        warp::path!("images" / String / "info").and(request()).then(|name: String, request| {
            handle(Route::ImageInfo, request, async move |request: &Request| {
                info::info(request, &name).await
            })
        });
    random_image.or(random).unify().or(list).unify().or(image).unify().or(info).unify()
}

/// Routes that need a key even on a public server.
fn keepers() -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync {
    let update_images =
        warp::path!("update-images" / String).and(request()).then(|key: String, request| {
            handle(Route::UpdateImages, request, async move |request: &Request| {
                updates::update_images(request, &key).await
            })
        });
    let update_key =
        warp::path!("update-key" / String).and(request()).then(|key: String, request| {
            handle(Route::UpdateKey, request, async move |request: &Request| {
                updates::update_key(request, &key).await
            })
        });
    let metrics = warp::path!("metrics")
        .and(request())
        .then(|request| handle(Route::Metrics, request, metrics::metrics));
    update_images.or(update_key).unify().or(metrics).unify()
}

/// Routes that need no key.
fn open() -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync {
    let health = warp::path!("healthz")
        .and(request())
        .then(|request| handle(Route::Healthz, request, health::health));
    let ready = warp::path!("readyz")
        .and(request())
        .then(|request| handle(Route::Readyz, request, health::ready));
    let openapi = warp::path!("openapi.json").and(request()).then(|request| {
        handle(Route::Openapi, request, async |_: &Request| Ok(openapi::openapi()))
    });
    health.or(ready).unify().or(openapi).unify()
}

/// The gallery page and the files that it loads. They need no key.
fn page_files() -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync {
    let html = warp::path::end()
        .and(request())
        .then(|request| handle(Route::Page, request, async |_: &Request| Ok(page::html())));
    let style = warp::path!("page.css")
        .and(request())
        .then(|request| handle(Route::Page, request, async |_: &Request| Ok(page::style())));
    let script = warp::path!("page.js")
        .and(request())
        .then(|request| handle(Route::Page, request, async |_: &Request| Ok(page::script())));
    html.or(style).unify().or(script).unify()
}

/// Extracts the request. The method is checked after the path, so an unknown path is always 404.
fn request() -> impl Filter<Extract = (Result<Arc<Request>, ApiError>,), Error = Infallible>
+ Copy
+ Send
+ Sync
+ 'static {
    warp::ext::optional::<Arc<Request>>().map(|request: Option<Arc<Request>>| {
        let request = request.ok_or(ApiError::Internal)?;
        if request.method == Method::GET || request.method == Method::HEAD {
            Ok(request)
        } else {
            Err(ApiError::MethodNotAllowed)
        }
    })
}

/// Calls a handler, and marks its response with the route and with what caches must know.
async fn handle(
    route: Route,
    request: Result<Arc<Request>, ApiError>,
    handler: impl AsyncFnOnce(&Request) -> HandlerResult,
) -> Response {
    let mut by_referer = false;
    let handled = match request {
        Ok(request) => {
            by_referer = !request.gallery().policy.allowed_referers.is_empty();
            handler(&request).await
        }
        Err(error) => Err(error),
    };
    let mut response = handled.unwrap_or_else(Response::from);
    if by_referer {
        response.headers_mut().append(VARY, HeaderValue::from_static("Referer"));
    }
    response.extensions_mut().insert(route);
    response
}
