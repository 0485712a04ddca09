//! Whom the server serves, as the command line says: strangers or not, which pages, how often.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use warp::http::header::REFERER;
use warp::http::{HeaderMap, Uri};

/// Whom the server serves, and how often.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Whether reading needs no key.
    pub public: bool,
    /// Origins whose pages may read responses with scripts; empty for all.
    pub cors_origins: Vec<WebOrigin>,
    /// Hosts whose pages may show images; empty for all.
    pub allowed_referers: Vec<Host>,
    /// Requests from one client address.
    pub rate: Option<Rate>,
    /// Requests with one key.
    pub key_rate: Option<Rate>,
    /// Whether to believe the client's address that a proxy wrote into `X-Forwarded-For`.
    pub trust_forwarded: bool,
}

/// The origin of a web page as browsers send it: `scheme://host`, with a port if it is not usual.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebOrigin(pub(super) String);

/// The text is not an origin.
#[derive(Debug, thiserror::Error)]
#[error("an origin is a scheme and a host, such as https://blog.example or http://localhost:3000")]
pub struct BadOrigin;

impl FromStr for WebOrigin {
    type Err = BadOrigin;

    fn from_str(text: &str) -> Result<Self, BadOrigin> {
        let origin = text.to_ascii_lowercase();
        let (scheme, host) = origin.split_once("://").ok_or(BadOrigin)?;
        let fits = !scheme.is_empty()
            && !host.is_empty()
            && !host.contains(['/', '?', '#', '@', ' ', ',', '*']);
        if fits && origin.is_ascii() { Ok(Self(origin)) } else { Err(BadOrigin) }
    }
}

/// A host name in lower case, or `*.NAME` for all hosts below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host(String);

/// The text is not a host name.
#[derive(Debug, thiserror::Error)]
#[error(
    "a host is a name without scheme, port and path, such as blog.example, \
     or *.blog.example for all below it"
)]
pub struct BadHost;

impl FromStr for Host {
    type Err = BadHost;

    fn from_str(text: &str) -> Result<Self, BadHost> {
        let host = text.to_ascii_lowercase();
        let name = host.strip_prefix("*.").unwrap_or(&host);
        let is_name = name.parse::<Uri>().is_ok_and(|uri| uri.host() == Some(name));
        if is_name && !name.contains('*') { Ok(Self(host)) } else { Err(BadHost) }
    }
}

impl Host {
    fn admits(&self, host: &str) -> bool {
        match self.0.strip_prefix('*') {
            Some(below) => host.len() > below.len() && host.ends_with(below),
            None => host == self.0,
        }
    }

    /// Returns the host that a link is bound to; `None` if this names many.
    #[must_use]
    pub fn single(&self) -> Option<&str> {
        (!self.0.starts_with('*')).then_some(&self.0)
    }
}

/// A number of requests in a second, a minute or an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub(super) count: NonZeroU32,
    pub(super) per: Duration,
}

/// The text is not a rate.
#[derive(Debug, thiserror::Error)]
#[error(
    "a rate is a number of requests in a second, a minute or an hour, such as 10/s, 300/m or 5000/h"
)]
pub struct BadRate;

impl FromStr for Rate {
    type Err = BadRate;

    fn from_str(text: &str) -> Result<Self, BadRate> {
        let (count, unit) = text.split_once('/').ok_or(BadRate)?;
        let per = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            _ => return Err(BadRate),
        };
        Ok(Self { count: count.parse().map_err(|_| BadRate)?, per: Duration::from_secs(per) })
    }
}

impl Policy {
    /// Whether the page that shows the image may do so.
    ///
    /// A request that names no page may: command lines send none, and some browsers hide it.
    pub(crate) fn admits_referer(&self, headers: &HeaderMap) -> bool {
        if self.allowed_referers.is_empty() || !headers.contains_key(REFERER) {
            return true;
        }
        let host = referring_host(headers);
        host.is_some_and(|host| self.allowed_referers.iter().any(|allowed| allowed.admits(&host)))
    }
}

/// Returns the host of the page that shows the image, in lower case.
pub(crate) fn referring_host(headers: &HeaderMap) -> Option<String> {
    let page: Uri = headers.get(REFERER)?.to_str().ok()?.parse().ok()?;
    page.host().map(str::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn flags_are_read_strictly() {
        for good in [
            "https://blog.example",
            "http://localhost:3000",
            "HTTPS://Blog.Example",
            "moz-extension://ab-c",
        ] {
            assert!(good.parse::<WebOrigin>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "*",
            "blog.example",
            "https://",
            "https://a/",
            "https://a?x",
            "https://*.a",
            "https://ü",
        ] {
            assert!(bad.parse::<WebOrigin>().is_err(), "{bad}");
        }
        for good in ["blog.example", "*.blog.example", "localhost", "127.0.0.1"] {
            assert!(good.parse::<Host>().is_ok(), "{good}");
        }
        for bad in ["", "*", "*.", "https://a", "a/b", "a:80", "a.*.b", "a b"] {
            assert!(bad.parse::<Host>().is_err(), "{bad}");
        }
        let rate = |count, per| Rate {
            count: NonZeroU32::new(count).unwrap(),
            per: Duration::from_secs(per),
        };
        assert_eq!("10/s".parse::<Rate>().unwrap(), rate(10, 1));
        assert_eq!("5000/h".parse::<Rate>().unwrap(), rate(5000, 3600));
        for bad in ["", "10", "0/s", "-1/s", "1/d", "1/", "/s", "1/s/s"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
    }

    #[test]
    fn other_pages_are_refused_and_no_page_is_not() {
        let allowed_referers =
            ["blog.example", "*.shop.example"].map(|host| host.parse().unwrap()).to_vec();
        let policy = Policy { allowed_referers, ..Policy::default() };
        assert!(policy.admits_referer(&headers(&[])));
        for (page, admitted) in [
            ("https://blog.example/post?x=1", true),
            ("http://BLOG.example:8080/", true),
            ("https://a.shop.example/", true),
            ("https://shop.example/", false),
            ("https://ashop.example/", false),
            ("https://blog.example.evil/", false),
            ("https://blog.example@evil/", false),
            ("https://evil/?blog.example", false),
            ("blog.example/post", false),
            ("about:client", false),
            ("", false),
        ] {
            assert_eq!(policy.admits_referer(&headers(&[("referer", page)])), admitted, "{page}");
        }
    }
}
