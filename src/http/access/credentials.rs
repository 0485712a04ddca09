//! Finds the key in a request's headers or query.

use std::borrow::Cow;

use warp::http::HeaderMap;
use warp::http::header::AUTHORIZATION;

use crate::http::query;

/// A key as a request shows it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Credentials<'r> {
    None,
    /// The key in a header; `None` if it is not text, or under another scheme.
    Header(Option<&'r str>),
    /// The key in the query.
    Query(Cow<'r, str>),
}

/// Finds the key that a request shows in its headers or its query.
///
/// The places are `Authorization: Bearer KEY`, `X-API-Key: KEY` and `?key=KEY`, in this order. The
/// first that is present counts, whatever the others say.
pub(crate) fn find_credentials<'r>(headers: &'r HeaderMap, query: &'r str) -> Credentials<'r> {
    if let Some(value) = headers.get(AUTHORIZATION) {
        let bearer = value.to_str().ok().and_then(|value| value.split_once(' '));
        let key = bearer
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, key)| key.trim());
        return Credentials::Header(key);
    }
    if let Some(value) = headers.get("x-api-key") {
        return Credentials::Header(value.to_str().ok());
    }
    let key = query::pairs(query).find(|(name, _)| name == "key");
    key.map_or(Credentials::None, |(_, value)| {
        Credentials::Query(query::decode(value).unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_with_a_key_counts() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            pairs
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect::<HeaderMap>()
        };
        use Credentials::{Header, Query};
        for (pairs, query, expected) in [
            (&[][..], "", Credentials::None),
            (&[], "w=1&key=q&key=r", Query("q".into())),
            (&[], "k%65y=%71", Query("q".into())),
            (&[], "key=%ff", Query("".into())),
            (&[], "monkey=q", Credentials::None),
            (&[("x-api-key", "h")], "key=q", Header(Some("h"))),
            (&[("authorization", "bearer b"), ("x-api-key", "h")], "key=q", Header(Some("b"))),
            (&[("authorization", "Basic b")], "key=q", Header(None)),
        ] {
            assert_eq!(find_credentials(&headers(pairs), query), expected, "{pairs:?} {query:?}");
        }
    }
}
