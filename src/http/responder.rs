//! Answers each request of a connection: early refusals, the route, CORS headers, log and counters.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use tower_service::Service;
use warp::http::request::Parts;
use warp::http::{self, Method};
use warp::reply::Response;

use super::access::{Client, cors};
use super::access_log;
use super::connection::{Application, ConnectionActivity, Respond, ResponseBody};
use super::error::ApiError;
use super::gallery::ServedGallery;
use super::panics::unless_panicking;
use super::request::{ConnectionContext, Request};
use super::routes::routes;

/// Longest path and query, in bytes. Longer ones get 414.
const MAX_URI_BYTES: usize = 8 << 10;
/// Routes that no rate limits, because monitors may ask as often as they like.
const UNLIMITED: [&str; 2] = ["/healthz", "/readyz"];

/// The routes as a service.
trait Routes:
    Service<http::Request<Empty<Bytes>>, Response = Response, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static
{
}

impl<R> Routes for R where
    R: Service<http::Request<Empty<Bytes>>, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static
{
}

/// Returns what answers the requests of all connections to a gallery.
pub(super) fn application(gallery: Arc<ServedGallery>) -> impl Application {
    GalleryApplication { gallery, routes: warp::service(routes()) }
}

#[derive(Clone)]
struct GalleryApplication<R> {
    gallery: Arc<ServedGallery>,
    routes: R,
}

impl<R: Routes> Application for GalleryApplication<R> {
    type Responder = Responder<R>;

    fn responder(
        &self,
        peer: Option<SocketAddr>,
        activity: Arc<ConnectionActivity>,
    ) -> Responder<R> {
        let connection = ConnectionContext {
            client: Client::connected(peer),
            gallery: Arc::clone(&self.gallery),
            activity,
            _open: self.gallery.metrics.count_connection(),
        };
        Responder { connection: Arc::new(connection), routes: Mutex::new(self.routes.clone()) }
    }
}

/// Answers the requests of one connection.
struct Responder<R> {
    connection: Arc<ConnectionContext>,
    /// HTTP/2 may call the routes for several requests, one after the other.
    routes: Mutex<R>,
}

impl<R: Routes> Respond for Responder<R> {
    async fn respond(
        &self,
        request: http::Request<Incoming>,
    ) -> http::Response<impl ResponseBody + use<R>> {
        let ConnectionContext { client, gallery, .. } = &*self.connection;
        let started = Instant::now();
        let policy = &gallery.policy;
        let (mut parts, _) = request.into_parts();
        let request = Arc::new(Request {
            connection: Arc::clone(&self.connection),
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            headers: std::mem::take(&mut parts.headers),
        });
        let client = client.of_request(&request.headers, policy.trust_forwarded);
        let mut response = match refuse_early(&request, &client) {
            Some(response) => response,
            None => self.route(Arc::clone(&request), parts).await,
        };
        let allowed_origin = cors::allowed_origin(policy, &request.headers);
        cors::add_headers(policy, allowed_origin, response.headers_mut());
        let elapsed = started.elapsed();
        let bytes = access_log::log(&client, &request, &response, elapsed);
        gallery.metrics.count_response(&response, bytes, elapsed);
        response
    }
}

impl<R: Routes> Responder<R> {
    /// Calls the routes. A panic there costs this request alone.
    async fn route(&self, request: Arc<Request>, parts: Parts) -> Response {
        let mut routed = http::Request::from_parts(parts, Empty::new());
        routed.extensions_mut().insert(request);
        let call = || self.routes.lock().unwrap_or_else(PoisonError::into_inner).call(routed);
        match unless_panicking(call).await {
            Some(Ok(response)) => response,
            None => {
                tracing::error!("a request could not be answered: the program has a fault");
                ApiError::Internal.into()
            }
        }
    }
}

/// Answers a request that needs no route; `None` if it needs one.
fn refuse_early(request: &Request, client: &Client) -> Option<Response> {
    let length = request.uri.path_and_query().map_or(0, |path| path.as_str().len());
    if length > MAX_URI_BYTES {
        return Some(ApiError::UriTooLong.into());
    }
    if request.method == Method::OPTIONS {
        return Some(cors::preflight());
    }
    if UNLIMITED.contains(&request.path()) {
        return None;
    }
    request.gallery().rate_limiters.check_address(client.address).err().map(Response::from)
}
