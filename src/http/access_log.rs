//! Writes the access log: one line a request, with every key in it replaced by its public id.

use std::borrow::Cow;
use std::time::Duration;

use hyper::body::Body as _;
use percent_encoding::percent_decode_str;
use warp::http::Uri;
use warp::http::header::CONTENT_LENGTH;
use warp::reply::Response;

use super::access::Client;
use super::query;
use super::request::Request;
use crate::keys::{self, ApiKey};

/// Routes whose last segment is a key.
const KEY_ROUTES: [&str; 3] = ["/random-image/", "/update-images/", "/update-key/"];

/// Logs a response; returns the length of its body in bytes if that is known.
pub(super) fn log(
    client: &Client,
    request: &Request,
    response: &Response,
    elapsed: Duration,
) -> Option<u64> {
    let length = response
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    let bytes: Option<u64> = length.or_else(|| response.body().size_hint().exact());
    tracing::info!(
        target: "imagepool::access",
        peer = %client.name,
        method = %keys::redact(request.method.as_str()),
        path = %redact(&request.uri),
        status = response.status().as_u16(),
        bytes,
        micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
    );
    bytes
}

/// Returns the path and query without secrets.
fn redact(uri: &Uri) -> String {
    let path = uri.path();
    let mut line =
        String::with_capacity(uri.path_and_query().map_or(0, |whole| whole.as_str().len()));
    match KEY_ROUTES.iter().find_map(|route| path.strip_prefix(route).map(|key| (route, key))) {
        Some((route, key)) => {
            line.push_str(route);
            line.push_str(&redact_key(key));
        }
        None => line.push_str(&redact_digits(path)),
    }
    if let Some(query) = uri.query() {
        for (index, pair) in query.split('&').enumerate() {
            line.push(if index == 0 { '?' } else { '&' });
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match query::decode(name) {
                Some(name) if name.eq_ignore_ascii_case("key") => {
                    line.push_str("key=");
                    line.push_str(&redact_key(&query::decode(value).unwrap_or_default()));
                }
                // A link's signature opens that link for whoever has it.
                Some(name) if name.eq_ignore_ascii_case("sig") => line.push_str("sig=***"),
                _ => line.push_str(&redact_digits(pair)),
            }
        }
    }
    line
}

fn redact_key(text: &str) -> String {
    text.parse::<ApiKey>().map_or_else(|_| "***".to_owned(), |key| key.id().to_string())
}

/// Cuts every long run of hexadecimal digits, also if percent-encoded, to a public id's length.
fn redact_digits(raw: &str) -> Cow<'_, str> {
    if raw.len() < keys::SUSPECT_DIGITS {
        return Cow::Borrowed(raw);
    }
    let decoded = percent_decode_str(raw).decode_utf8_lossy();
    match keys::redact(&decoded) {
        // Decoded text must not bring line breaks into the log.
        Cow::Owned(redacted) => redacted.replace(char::is_control, "\u{FFFD}").into(),
        Cow::Borrowed(_) => keys::redact(raw),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_reaches_a_log_line() {
        let key = "0123456789abcdef".repeat(4);
        let id = "0123456789abcdef";
        let image = "0123456789abcdef0123456789abcdef";
        for (uri, expected) in [
            (format!("/random-image/{key}"), format!("/random-image/{id}")),
            (format!("/random-image/{key}?x=1"), format!("/random-image/{id}?x=1")),
            (format!("/random-image/{key}/more"), "/random-image/***".into()),
            ("/update-key/secret".into(), "/update-key/***".into()),
            (format!("/random?w=640&key={key}"), format!("/random?w=640&key={id}")),
            (format!("/random?KEY={}", &key[..40]), "/random?key=***".into()),
            (
                format!("/random?k%65y={key}&sig=AbC&Sig=AbC"),
                format!("/random?key={id}&sig=***&sig=***"),
            ),
            (
                format!("/random?key=%{:x}{}", key.as_bytes()[0], &key[1..]),
                format!("/random?key={id}"),
            ),
            (
                format!("/random?k=%{:x}{}", key.as_bytes()[0], &key[1..]),
                format!("/random?k={id}…"),
            ),
            ("/images?tag=%C3%A9&x".into(), "/images?tag=%C3%A9&x".into()),
            (format!("/oops/{key}"), format!("/oops/{id}…")),
            (format!("/random?k={key}&a"), format!("/random?k={id}…&a")),
            (format!("/images/{image}.webp"), format!("/images/{image}.webp")),
        ] {
            assert_eq!(redact(&uri.parse().unwrap()), expected, "{uri}");
        }
    }
}
