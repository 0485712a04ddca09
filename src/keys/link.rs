//! Signed links: a URL that reads one path and query until a certain time, with no key in it.
//!
//! The form is `PATH?QUERY&exp=TIME&sig=SIGNATURE`, with TIME in seconds since 1970. SIGNATURE is
//! base64 in the URL alphabet (RFC 4648, section 5), unpadded, of 25 bytes: 1 when the link is
//! bound to a referring host, else 0; the id of the key whose secret signed it; the first 16 bytes
//! of HMAC-SHA256 (RFC 2104) under that secret. The MAC is over `imagepool link 1`, a zero byte,
//! the first byte again, the host in lower case, a zero byte, and the URL up to `&sig=`. Every byte
//! of path and query counts, so what was not signed as a whole is not authorised in part.

use std::fmt;
use std::str::FromStr;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use sha2::Sha256;

use super::key::KeyId;
use super::record::KeyRecord;
use super::secret::SigningSecret;

/// Length of the MAC that a link carries, in bytes. A forgery succeeds once in 2^128 attempts.
const MAC_BYTES: usize = 16;
/// First part of what is signed, which separates this use of the secret from any other.
const CONTEXT: &[u8] = b"imagepool link 1\0";
/// Characters that are encoded before a URL is signed.
///
/// Browsers encode them in a path or query before they send it
/// (<https://url.spec.whatwg.org/#percent-encoded-bytes>), or mail programs and Markdown take them
/// for the end of a link.
const ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'\'')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Why a URL can't be signed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLink {
    #[error("the path begins with /, as in '/random?w=640'")]
    NoPath,
    #[error("what follows # never reaches the server, so it can't be signed; leave it out")]
    Fragment,
    #[error(
        "the query has a {0:?} already; \
         give the address as it is without a signature and without a key"
    )]
    Taken(String),
}

/// A signed link as it comes with a request.
pub struct SignedLink<'r> {
    /// The key whose secret should have signed it.
    pub key: KeyId,
    /// Time from which the link is refused, in seconds since 1970.
    pub expires: u64,
    /// Whether the link is bound to a referring host.
    by_referer: bool,
    mac: [u8; MAC_BYTES],
    /// The part of the URL that is signed.
    unsigned_url: &'r str,
}

impl<'r> SignedLink<'r> {
    /// Parses a path and query. Returns `None` without a signature at the end, or with more than
    /// one.
    #[must_use]
    pub fn parse(path_and_query: &'r str) -> Option<Self> {
        let (unsigned_url, signature) = path_and_query.rsplit_once("&sig=")?;
        let (_, query) = unsigned_url.split_once('?')?;
        let mut times = query.split('&').filter_map(|pair| pair.strip_prefix("exp="));
        let (Some(expires), None) = (times.next(), times.next()) else { return None };
        if query.split('&').any(|pair| pair.starts_with("sig=")) {
            return None;
        }
        let Signature { by_referer, key, mac } = signature.parse().ok()?;
        Some(Self { key, expires: expires.parse().ok()?, by_referer, mac, unsigned_url })
    }

    /// Whether `record`'s secret signed the link, it has not expired at `now`, and the request
    /// comes from the host that it is bound to.
    ///
    /// The comparison takes the same time whatever differs.
    #[must_use]
    pub fn is_good(&self, record: &KeyRecord, now: u64, referer: Option<&str>) -> bool {
        let bound_to = if self.by_referer { Some(referer.unwrap_or_default()) } else { None };
        let mac = record.signing_secret.mac(self.unsigned_url, bound_to);
        let signed = mac.verify_truncated_left(&self.mac).is_ok();
        signed
            && self.key == record.id
            && now < self.expires
            && (!self.by_referer || referer.is_some())
    }
}

impl SigningSecret {
    fn mac(&self, unsigned_url: &str, referer: Option<&str>) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any length is taken");
        mac.update(CONTEXT);
        mac.update(&[u8::from(referer.is_some())]);
        mac.update(referer.unwrap_or_default().to_ascii_lowercase().as_bytes());
        mac.update(&[0]);
        mac.update(unsigned_url.as_bytes());
        mac
    }
}

impl KeyRecord {
    /// Appends an expiry time and a signature to `url`, which is a path and query with or without
    /// scheme and host in front.
    ///
    /// What browsers would encode is encoded first. With `referer` set, only that host's pages may
    /// show the link.
    ///
    /// # Errors
    /// [`BadLink`] when the URL has no path, a fragment, or parameters of a link or a key.
    pub fn sign(&self, url: &str, expires: u64, referer: Option<&str>) -> Result<String, BadLink> {
        let (host, path_and_query) = match url.find("://") {
            Some(at) => {
                let path = url[at + 3..].find('/').ok_or(BadLink::NoPath)? + at + 3;
                url.split_at(path)
            }
            None => ("", url),
        };
        if !path_and_query.starts_with('/') {
            return Err(BadLink::NoPath);
        }
        if path_and_query.contains('#') {
            return Err(BadLink::Fragment);
        }
        let query = path_and_query.split_once('?').map(|(_, query)| query);
        for pair in query.unwrap_or_default().split('&') {
            let name = pair.split('=').next().unwrap_or_default();
            if matches!(name, "exp" | "sig" | "key") {
                return Err(BadLink::Taken(name.to_owned()));
            }
        }
        let separator = match query {
            None => "?",
            Some("") => "",
            Some(_) => "&",
        };
        let unsigned_url =
            format!("{}{separator}exp={expires}", utf8_percent_encode(path_and_query, ENCODED));
        let mut mac = [0; MAC_BYTES];
        let whole = self.signing_secret.mac(&unsigned_url, referer).finalize().into_bytes();
        mac.copy_from_slice(&whole[..MAC_BYTES]);
        let signature = Signature { by_referer: referer.is_some(), key: self.id, mac };
        Ok(format!("{host}{unsigned_url}&sig={signature}"))
    }
}

/// The value of `sig=`.
struct Signature {
    by_referer: bool,
    key: KeyId,
    mac: [u8; MAC_BYTES],
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&[u8::from(self.by_referer)], &self.key.0[..], &self.mac].concat();
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Signature {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| ())?;
        let (&flag, bytes) = bytes.split_first().filter(|(flag, _)| **flag <= 1).ok_or(())?;
        let (key, mac) = bytes.split_at_checked(size_of::<KeyId>()).ok_or(())?;
        let key = KeyId(key.try_into().map_err(|_| ())?);
        Ok(Self { by_referer: flag == 1, key, mac: mac.try_into().map_err(|_| ())? })
    }
}

#[cfg(test)]
mod tests {
    use super::super::ApiKey;
    use super::*;

    fn record() -> KeyRecord {
        KeyRecord::new(&ApiKey::generate().unwrap(), "default", 0, None).unwrap()
    }

    fn is_good(record: &KeyRecord, url: &str, now: u64, referer: Option<&str>) -> bool {
        SignedLink::parse(url).is_some_and(|link| link.is_good(record, now, referer))
    }

    #[test]
    fn a_link_is_good_for_its_url_and_its_time_alone() {
        let record = record();
        let url = record.sign("/random?w=640&tag=sea", 100, None).unwrap();
        assert!(url.starts_with("/random?w=640&tag=sea&exp=100&sig="), "{url}");
        assert!(
            is_good(&record, &url, 99, None) && is_good(&record, &url, 99, Some("any.example"))
        );
        assert!(!is_good(&record, &url, 100, None), "it has ended");
        assert!(!is_good(&self::record(), &url, 99, None), "another key's secret");
        for changed in [
            url.replace("w=640", "w=641"),
            url.replace("exp=100", "exp=999"),
            url.replace("/random", "/images"),
            url.replace("&tag=sea", ""),
            url.replace("?w=640", "?a=1&w=640"),
            format!("{url}&a=1"),
            format!("{url}="),
            url.replace("&exp=100", "&exp=100&exp=100"),
            url.replace("&sig=", "&sig=&sig="),
            url[..url.len() - 1].to_owned(),
            url[..url.len() - 4].to_owned(),
            "/random?sig=AAAA".into(),
            "/random".into(),
            String::new(),
        ] {
            assert!(!is_good(&record, &changed, 99, None), "{changed}");
        }
    }

    #[test]
    fn every_bit_of_a_signature_counts() {
        let record = record();
        let url = record.sign("/random", 100, None).unwrap();
        let (unsigned, signature) = url.rsplit_once("&sig=").unwrap_or_else(|| panic!("{url}"));
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
        for bit in 0..8 * bytes.len() {
            let mut forged = bytes.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let forged = format!("{unsigned}&sig={}", BASE64_URL_SAFE_NO_PAD.encode(forged));
            assert!(!is_good(&record, &forged, 0, None), "bit {bit}");
            assert!(!is_good(&record, &forged, 0, Some("")), "bit {bit}");
        }
    }

    #[test]
    fn a_link_can_be_bound_to_a_host() {
        let record = record();
        let url = record.sign("/random", 100, Some("Blog.example")).unwrap();
        assert!(is_good(&record, &url, 0, Some("blog.example")));
        for other in [None, Some(""), Some("example"), Some("blog.example.org")] {
            assert!(!is_good(&record, &url, 0, other), "{other:?}");
        }
    }

    #[test]
    fn a_url_is_signed_as_a_browser_sends_it() {
        let record = record();
        for (url, expected) in [
            ("/random", "/random?exp=9&sig="),
            ("/random?", "/random?exp=9&sig="),
            ("/random?tag=Blaue Bäume", "/random?tag=Blaue%20B%C3%A4ume&exp=9&sig="),
            ("/random?tag=a%20b", "/random?tag=a%20b&exp=9&sig="),
            (
                "https://pics.example:8443/random?w=1",
                "https://pics.example:8443/random?w=1&exp=9&sig=",
            ),
        ] {
            let signed = record.sign(url, 9, None).unwrap();
            assert!(signed.starts_with(expected), "{signed}");
            let path = &signed[signed.find("/random").unwrap()..];
            assert!(is_good(&record, path, 8, None), "{signed}");
        }
        for (url, expected) in [
            ("random", BadLink::NoPath),
            ("https://pics.example", BadLink::NoPath),
            ("/random#top", BadLink::Fragment),
            ("/random?w=1&key=abc", BadLink::Taken("key".into())),
            ("/random?exp=1", BadLink::Taken("exp".into())),
        ] {
            assert_eq!(record.sign(url, 9, None), Err(expected), "{url}");
        }
    }

    #[test]
    fn debug_output_never_shows_the_secret() {
        assert!(format!("{:?}", record()).contains("SigningSecret(…)"));
    }
}
