//! What a handler sees of a request, and the parts that responses are made of.

use std::sync::Arc;

use warp::http::header::CACHE_CONTROL;
use warp::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use warp::reply::{Reply as _, Response};

use super::access::Client;
use super::connection::ConnectionActivity;
use super::error::ApiError;
use super::gallery::ServedGallery;
use super::metrics::OpenConnection;

/// A response, or the error that becomes one.
pub(super) type HandlerResult = Result<Response, ApiError>;

/// A request whose head has been read. Its body is not: no route takes one.
pub(super) struct Request {
    pub(super) connection: Arc<ConnectionContext>,
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
}

/// What all requests of a connection share.
///
/// A request holds this and not its parts, because a count of the gallery's holders that all
/// threads share would be felt.
pub(super) struct ConnectionContext {
    pub(super) client: Client,
    pub(super) gallery: Arc<ServedGallery>,
    pub(super) activity: Arc<ConnectionActivity>,
    /// Counts the connection as open.
    pub(super) _open: OpenConnection,
}

impl Request {
    pub(super) fn gallery(&self) -> &Arc<ServedGallery> {
        &self.connection.gallery
    }

    pub(super) fn path(&self) -> &str {
        self.uri.path()
    }

    /// Returns the query; empty if there is none.
    pub(super) fn query(&self) -> &str {
        self.uri.query().unwrap_or_default()
    }
}

/// Makes a header's value of text.
///
/// # Errors
/// An internal error if the text has control characters.
pub(super) fn header_value(text: String) -> Result<HeaderValue, ApiError> {
    text.try_into().map_err(|_| ApiError::Internal)
}

/// Returns a JSON response that is not cached.
pub(super) fn json(value: &impl serde::Serialize) -> Response {
    let mut response =
        warp::reply::with_status(warp::reply::json(value), StatusCode::OK).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
