//! Lets requests in: by key, by signed link, or because the server is public.
//!
//! Keys themselves are checked by `access/authenticator.rs`. After the key come the key's rate and
//! the page that shows the image.

use super::access::{Credentials, find_credentials, referring_host};
use super::error::ApiError;
use super::request::Request;
use crate::keys::{KeyId, SignedLink};

/// Why a request was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grant {
    /// The server is public.
    Public,
    /// A key in a header.
    Header(KeyId),
    /// A key in the path or the query, or a signature under that key's secret.
    Url(KeyId),
}

/// Lets a reader in: anybody on a public server, and else by key or signed link.
pub(super) async fn admit_reader(request: &Request) -> Result<Grant, ApiError> {
    let grant =
        if request.gallery().policy.public { Grant::Public } else { admit_by_key(request).await? };
    check_referer(request)?;
    Ok(grant)
}

/// Lets a reader in by the key in the path of the old route. Keys elsewhere do not count there.
pub(super) async fn admit_reader_by_path(request: &Request, key: &str) -> Result<Grant, ApiError> {
    let grant = if request.gallery().policy.public {
        Grant::Public
    } else {
        admit_by_path(request, key).await?
    };
    check_referer(request)?;
    Ok(grant)
}

/// Lets a request in by the key or the signed link that it shows, also on a public server.
pub(super) async fn admit_by_key(request: &Request) -> Result<Grant, ApiError> {
    let authenticator = &request.gallery().authenticator;
    let grant = match find_credentials(&request.headers, request.query()) {
        Credentials::Header(key) => Grant::Header(authenticator.check_key(key).await?),
        Credentials::Query(key) => Grant::Url(authenticator.check_key(Some(&key)).await?),
        Credentials::None => {
            let path_and_query = format!("{}?{}", request.path(), request.query());
            match SignedLink::parse(&path_and_query) {
                Some(link) => {
                    let referer = referring_host(&request.headers);
                    Grant::Url(authenticator.check_link(&link, referer.as_deref())?)
                }
                None => Grant::Url(authenticator.check_key(None).await?),
            }
        }
    };
    count(request, grant)
}

/// Lets a request in by the key in its path, also on a public server.
pub(super) async fn admit_by_path(request: &Request, key: &str) -> Result<Grant, ApiError> {
    let key = request.gallery().authenticator.check_key(Some(key)).await?;
    count(request, Grant::Url(key))
}

/// Counts the request against its key's rate.
fn count(request: &Request, grant: Grant) -> Result<Grant, ApiError> {
    if let Grant::Header(key) | Grant::Url(key) = grant {
        request.gallery().rate_limiters.check_key(key)?;
    }
    Ok(grant)
}

fn check_referer(request: &Request) -> Result<(), ApiError> {
    let admitted = request.gallery().policy.admits_referer(&request.headers);
    if admitted { Ok(()) } else { Err(ApiError::Forbidden) }
}
