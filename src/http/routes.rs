//! Paths and their handlers. warp only routes here: a handler answers itself, and a rejection means "not my path".

use std::convert::Infallible;
use std::sync::Arc;

use warp::Filter;
use warp::Rejection;
use warp::http::header::{CACHE_CONTROL, CONTENT_TYPE, VARY};
use warp::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use warp::reply::{Reply, Response};

pub(super) use super::auth::Admitted;
use super::auth::{Presented, presented};
use super::error::ApiError;
use super::gallery::Gallery;
use super::listing::list;
use super::metrics::Route;
use super::policy::{Client, referring_host};
use super::pulse::Pulse;
use super::query::Parameters;
use super::random::random;
use super::{images, page};
use crate::image::{ImageId, ImageInfo};
use crate::keys::SignedLink;

/// Images that a health check tries before it says that none can be read.
const HEALTH_ATTEMPTS: usize = 4;

/// A request as all see it who answer it.
pub(super) struct Request {
    pub(super) connection: Arc<Connection>,
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
}

/// What all requests of a connection share. Requests hold this, and not its parts: that many threads count who holds the gallery
/// would be felt.
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) gallery: Arc<Gallery>,
    pub(super) pulse: Arc<Pulse>,
}

impl Request {
    pub(super) fn gallery(&self) -> &Arc<Gallery> {
        &self.connection.gallery
    }

    pub(super) fn path(&self) -> &str {
        self.uri.path()
    }

    /// Empty where there is none.
    pub(super) fn query(&self) -> &str {
        self.uri.query().unwrap_or_default()
    }

    /// Lets a reader in: anybody at a public server, else by key or signed link; and from pages that may show images.
    async fn admit(&self) -> Result<Admitted, ApiError> {
        let admitted = if self.gallery().policy.public {
            Admitted::Freely
        } else {
            self.admit_by_key().await?
        };
        self.check_referer()?;
        Ok(admitted)
    }

    /// Checks the key, or the signed link, of a route that has no key in its path.
    async fn admit_by_key(&self) -> Result<Admitted, ApiError> {
        let gate = &self.gallery().gate;
        let admitted = match presented(&self.headers, self.query()) {
            Presented::InHeader(key) => Admitted::ByHeader(gate.admit(key).await?),
            Presented::InQuery(key) => Admitted::ByAddress(gate.admit(Some(&key)).await?),
            Presented::Nowhere => {
                let address = format!("{}?{}", self.path(), self.query());
                match SignedLink::parse(&address) {
                    Some(link) => {
                        let referer = referring_host(&self.headers);
                        Admitted::ByAddress(gate.admit_link(&link, referer.as_deref())?)
                    }
                    None => Admitted::ByAddress(gate.admit(None).await?),
                }
            }
        };
        self.count(admitted)
    }

    /// [`Request::admit`] for the old route, which has the key in its path; keys elsewhere do not count there.
    async fn admit_reader(&self, key: &str) -> Result<Admitted, ApiError> {
        let admitted = if self.gallery().policy.public {
            Admitted::Freely
        } else {
            self.admit_key(key).await?
        };
        self.check_referer()?;
        Ok(admitted)
    }

    /// Checks the key in the path of an old route.
    async fn admit_key(&self, key: &str) -> Result<Admitted, ApiError> {
        self.count(Admitted::ByAddress(self.gallery().gate.admit(Some(key)).await?))
    }

    fn count(&self, admitted: Admitted) -> Result<Admitted, ApiError> {
        if let Admitted::ByHeader(key) | Admitted::ByAddress(key) = admitted {
            self.gallery().limiter.check_key(key)?;
        }
        Ok(admitted)
    }

    fn check_referer(&self) -> Result<(), ApiError> {
        if self.gallery().policy.admits_referer(&self.headers) {
            Ok(())
        } else {
            Err(ApiError::Forbidden)
        }
    }
}

pub(super) type Answer = Result<Response, ApiError>;

/// All routes, for requests that have an `Arc<Request>` among their extensions; never rejects.
pub(super) fn routes()
-> impl Filter<Extract = (impl Reply,), Error = Infallible> + Clone + Send + Sync + 'static {
    let random_image =
        warp::path!("random-image" / String).and(request()).then(|key: String, request| {
            answer(Route::RandomImage, request, async move |request: &Request| {
                random(request, request.admit_reader(&key).await?).await
            })
        });
    let random = warp::path!("random").and(request()).then(|request| {
        answer(Route::Random, request, async |request: &Request| {
            random(request, request.admit().await?).await
        })
    });
    let list = warp::path!("images").and(request()).then(|request| {
        answer(Route::Images, request, async |request: &Request| {
            request.admit().await?;
            list(request).await
        })
    });
    let image = warp::path!("images" / String).and(request()).then(|name: String, request| {
        answer(Route::Image, request, async move |request: &Request| {
            request.admit().await?;
            let width = Parameters::width(request.query())?;
            images::named_image(request, parse_id(&name)?, width).await
        })
    });
    let info =
        warp::path!("images" / String / "info").and(request()).then(|name: String, request| {
            answer(Route::ImageInfo, request, async move |request: &Request| {
                request.admit().await?;
                info(request, parse_id(&name)?)
            })
        });
    let update_images =
        warp::path!("update-images" / String).and(request()).then(|key: String, request| {
            answer(Route::UpdateImages, request, async move |request: &Request| {
                request.admit_key(&key).await?;
                update_images(request).await
            })
        });
    let update_key =
        warp::path!("update-key" / String).and(request()).then(|key: String, request| {
            answer(Route::UpdateKey, request, async move |request: &Request| {
                request.admit_key(&key).await?;
                request.gallery().gate.reload()?;
                Ok(json(&serde_json::json!({ "message": "API key updated successfully" })))
            })
        });
    let metrics = warp::path!("metrics").and(request()).then(|request| {
        answer(Route::Metrics, request, async |request: &Request| {
            request.admit_by_key().await?;
            Ok(metrics(request))
        })
    });
    let readers =
        random_image.or(random).unify().or(list).unify().or(image).unify().or(info).unify();
    let keepers = update_images.or(update_key).unify().or(metrics).unify();
    readers
        .or(keepers)
        .unify()
        .or(open_routes())
        .unify()
        .recover(async |_: Rejection| Ok::<_, Infallible>(Response::from(ApiError::NoSuchRoute)))
}

/// The request behind a path. Methods are looked at there, so that an unknown path is 404 for each of them.
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

/// Routes that need no key.
fn open_routes()
-> impl Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync + 'static {
    let health = warp::path!("healthz").and(request()).then(|request| {
        answer(Route::Healthz, request, async |request: &Request| health(request).await)
    });
    let ready = warp::path!("readyz").and(request()).then(|request| {
        answer(Route::Readyz, request, async |request: &Request| {
            match request.gallery().catalog() {
                Some(_) => Ok(json(&serde_json::json!({ "status": "ready" }))),
                None => Err(ApiError::Unavailable),
            }
        })
    });
    let openapi = warp::path!("openapi.json")
        .and(request())
        .then(|request| answer(Route::Openapi, request, async |_: &Request| Ok(page::openapi())));
    let page = warp::path::end()
        .and(request())
        .then(|request| answer(Route::Page, request, async |_: &Request| Ok(page::html())));
    let style = warp::path!("page.css")
        .and(request())
        .then(|request| answer(Route::Page, request, async |_: &Request| Ok(page::style())));
    let script = warp::path!("page.js")
        .and(request())
        .then(|request| answer(Route::Page, request, async |_: &Request| Ok(page::script())));
    health
        .or(ready)
        .unify()
        .or(openapi)
        .unify()
        .or(page)
        .unify()
        .or(style)
        .unify()
        .or(script)
        .unify()
}

async fn answer(
    route: Route,
    request: Result<Arc<Request>, ApiError>,
    handle: impl AsyncFnOnce(&Request) -> Answer,
) -> Response {
    let mut by_referer = false;
    let answered = match request {
        Ok(request) => {
            by_referer = !request.gallery().policy.allowed_referers.is_empty();
            handle(&request).await
        }
        Err(error) => Err(error),
    };
    let mut response = answered.unwrap_or_else(Response::from);
    if by_referer {
        response.headers_mut().append(VARY, HeaderValue::from_static("Referer"));
    }
    response.extensions_mut().insert(route);
    response
}

fn info(request: &Request, id: ImageId) -> Answer {
    let record = request.gallery().store.image(id).map_err(|error| {
        tracing::error!(%id, %error, "the image's record can't be read");
        ApiError::Internal
    })?;
    let record = record.ok_or(ApiError::NoSuchImage)?;
    Ok(json(&ImageInfo::new(id, &record)))
}

async fn update_images(request: &Request) -> Answer {
    if request.gallery().refreshed().await?.is_empty() {
        return Err(ApiError::NoImages);
    }
    Ok(json(&serde_json::json!({ "message": "Images list updated" })))
}

/// Healthy is a server that can read one of its images, or has none.
async fn health(request: &Request) -> Answer {
    let gallery = request.gallery();
    let catalog = gallery.catalog().unwrap_or_default();
    let mut healthy = catalog.is_empty();
    // Always the same ones, so that they are in memory: a slow disk is no reason to send clients elsewhere. Nor is a damaged
    // image, as long as others are whole.
    for image in catalog.oldest(HEALTH_ATTEMPTS) {
        healthy = healthy || images::is_readable(gallery, &catalog, image).await;
    }
    if healthy {
        Ok(json(&serde_json::json!({ "status": "ok" })))
    } else {
        Err(ApiError::Unavailable)
    }
}

fn metrics(request: &Request) -> Response {
    let mut response = Response::new(request.gallery().metrics.text().into());
    let text =
        HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// `ID` or `ID.webp`.
fn parse_id(name: &str) -> Result<ImageId, ApiError> {
    name.strip_suffix(".webp").unwrap_or(name).parse().map_err(|_| ApiError::NoSuchImage)
}

pub(super) fn header_value(text: String) -> Result<HeaderValue, ApiError> {
    text.try_into().map_err(|_| ApiError::Internal)
}

pub(super) fn json(value: &impl serde::Serialize) -> Response {
    let mut response =
        warp::reply::with_status(warp::reply::json(value), StatusCode::OK).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
