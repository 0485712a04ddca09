//! Reads a request's query parameters into typed values.
//!
//! A parameter that a route does not know is ignored, because people add cache busters. One that it
//! knows must parse.

use std::borrow::Cow;
use std::num::ParseIntError;
use std::str::FromStr;

use percent_encoding::percent_decode;
use warp::http::header::VARY;
use warp::http::{HeaderMap, HeaderName, HeaderValue};

use super::error::ApiError;
use crate::catalog::{Filter, TagTerm};
use crate::image::Orientation;

/// Most tags in one filter. Each is looked up and intersected when the filter is first used.
const MAX_TAGS: usize = 32;
/// Most images in one response of `/random`.
const MAX_COUNT: u32 = 30;
/// Most images in one response of `/images`.
const MAX_LIMIT: u32 = 100;

/// Headers with the size of a client's viewport.
///
/// Browsers send them when they were asked to, over TLS or to the same machine.
const VIEWPORT_HINTS: &str = "Sec-CH-Viewport-Width, Sec-CH-Viewport-Height";

/// Parameters that choose images, on `/random` and `/images`.
const FILTERS: &[&str] =
    &["orientation", "min_width", "max_width", "min_height", "max_height", "tag", "animated"];
/// Parameters that `/random` knows besides.
pub(super) const RANDOM: &[&str] = &["seed", "shuffle", "n", "count", "format", "w"];
/// Parameters that `/images` knows besides.
pub(super) const LISTING: &[&str] = &["limit", "cursor"];

/// The form in which `/random` responds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ResponseFormat {
    #[default]
    Image,
    Json,
    Redirect,
}

/// The parameters of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters {
    pub(super) filter: Filter,
    /// Whether the orientation is that of the client's viewport.
    pub(super) auto_orientation: bool,
    pub(super) seed: Option<String>,
    pub(super) shuffle: Option<String>,
    pub(super) n: Option<u64>,
    pub(super) count: Option<u32>,
    pub(super) format: Option<ResponseFormat>,
    /// Smallest width of the image that is sent, `w`, in pixels.
    pub(super) width: Option<u32>,
    pub(super) limit: Option<u32>,
    /// Ordinal of the last image of the page before.
    pub(super) cursor: Option<u32>,
}

impl Parameters {
    /// Reads the filter, and those of the other parameters that the route knows.
    pub(super) fn with_filter(query: &str, others: &[&'static str]) -> Result<Self, ApiError> {
        let mut parameters = Self::default();
        for (name, value) in pairs(query) {
            let known = FILTERS.iter().chain(others).find(|known| **known == name);
            if let Some(known) = known {
                parameters.set(known, value)?;
            }
        }
        parameters.filter = parameters.filter.normalise();
        Ok(parameters)
    }

    /// Reads `w` alone.
    pub(super) fn width(query: &str) -> Result<Option<u32>, ApiError> {
        let mut parameters = Self::default();
        for (_, value) in pairs(query).filter(|(name, _)| name == "w") {
            parameters.set("w", value)?;
        }
        Ok(parameters.width)
    }

    fn set(&mut self, name: &'static str, raw: &str) -> Result<(), ApiError> {
        let bad = |reason| ApiError::BadParameter { name, reason };
        let value = decode(raw).ok_or(bad("not UTF-8"))?;
        let value = value.as_ref();
        let whole = || {
            let number = number::<u32>(value);
            number.map_err(|_| bad("not a whole number from 0 to 4294967295"))
        };
        let within = |most: u32, reason| {
            let number = number::<u32>(value).ok();
            number.filter(|number| (1..=most).contains(number)).ok_or(bad(reason))
        };
        let is_first = match name {
            "orientation" => self.set_orientation(value).map_err(bad)?,
            "min_width" => once(&mut self.filter.min_width, whole()?),
            "max_width" => once(&mut self.filter.max_width, whole()?),
            "min_height" => once(&mut self.filter.min_height, whole()?),
            "max_height" => once(&mut self.filter.max_height, whole()?),
            "tag" => return self.add_tag(value).map_err(bad),
            "animated" => {
                let animated = value.parse().map_err(|_| bad("neither true nor false"))?;
                once(&mut self.filter.animated, animated)
            }
            "seed" => once(&mut self.seed, value.to_owned()),
            "shuffle" => once(&mut self.shuffle, value.to_owned()),
            "n" => {
                let n = number(value);
                let reason = "not a whole number from 0 to 18446744073709551615";
                once(&mut self.n, n.map_err(|_| bad(reason))?)
            }
            "count" => {
                let reason = "not a whole number from 1 to 30";
                once(&mut self.count, within(MAX_COUNT, reason)?)
            }
            "format" => once(&mut self.format, value.parse().map_err(bad)?),
            "w" => once(&mut self.width, whole()?),
            "limit" => {
                let reason = "not a whole number from 1 to 100";
                once(&mut self.limit, within(MAX_LIMIT, reason)?)
            }
            "cursor" => {
                let cursor = number(value);
                let reason = "not a cursor; take the one in the Link header";
                once(&mut self.cursor, cursor.map_err(|_| bad(reason))?)
            }
            _ => true,
        };
        if is_first { Ok(()) } else { Err(bad(REPEATED)) }
    }

    /// Sets the orientation, or that it is the viewport's; returns whether there was none.
    fn set_orientation(&mut self, value: &str) -> Result<bool, &'static str> {
        let is_first = !self.auto_orientation && self.filter.orientation.is_none();
        if value == "auto" {
            self.auto_orientation = true;
        } else {
            let reason = "neither landscape nor portrait, square or auto";
            self.filter.orientation = Some(value.parse().map_err(|_| reason)?);
        }
        Ok(is_first)
    }

    fn add_tag(&mut self, value: &str) -> Result<(), &'static str> {
        let reason = "a tag has 1 to 200 bytes and no control characters; \
                      -T leaves out images with T";
        self.filter.tags.push(value.parse::<TagTerm>().map_err(|_| reason)?);
        let is_allowed = self.filter.tags.len() <= MAX_TAGS;
        if is_allowed { Ok(()) } else { Err("given more than 32 times") }
    }

    /// Returns the filter, with the viewport's orientation where that is asked for and known.
    pub(super) fn filter_for(&self, headers: &HeaderMap) -> Filter {
        let mut filter = self.filter.clone();
        if self.auto_orientation {
            filter.orientation = viewport_orientation(headers);
        }
        filter
    }
}

/// Reason that a parameter is refused which may be given once.
const REPEATED: &str = "given more than once";

impl FromStr for ResponseFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "image" => Ok(Self::Image),
            "json" => Ok(Self::Json),
            "redirect" => Ok(Self::Redirect),
            _ => Err("neither image nor json or redirect"),
        }
    }
}

/// Fills the slot; returns whether it was empty.
fn once<T>(slot: &mut Option<T>, value: T) -> bool {
    slot.replace(value).is_none()
}

/// Parses a number of digits alone. Rust's own parser takes a sign too.
fn number<T: FromStr<Err = ParseIntError>>(digits: &str) -> Result<T, ParseIntError> {
    if digits.starts_with('+') { "".parse() } else { digits.parse() }
}

/// Iterates over names, decoded, and values as they came. A name that is not UTF-8 is left out.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, &str)> {
    query.split('&').filter_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decode(name)?, value))
    })
}

/// Decodes `application/x-www-form-urlencoded` once; `None` if the result is not UTF-8.
///
/// The format is that of <https://url.spec.whatwg.org/#urlencoded-parsing>.
pub(super) fn decode(raw: &str) -> Option<Cow<'_, str>> {
    if !raw.contains(['+', '%']) {
        return Some(Cow::Borrowed(raw));
    }
    let spaced = raw.replace('+', " ");
    let decoded = percent_decode(spaced.as_bytes()).decode_utf8().ok()?;
    Some(Cow::Owned(decoded.into_owned()))
}

/// Asks a browser to send its viewport's size, and tells caches that the response depends on it.
pub(super) fn ask_for_viewport(headers: &mut HeaderMap) {
    let hints = HeaderValue::from_static(VIEWPORT_HINTS);
    headers.insert(HeaderName::from_static("accept-ch"), hints.clone());
    headers.append(VARY, hints);
}

/// Returns the orientation of the client's viewport if both its sides are sent.
fn viewport_orientation(headers: &HeaderMap) -> Option<Orientation> {
    let side = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u32>().ok();
    Some(Orientation::of(side("sec-ch-viewport-width")?, side("sec-ch-viewport-height")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Parameters, ApiError> {
        Parameters::with_filter(query, RANDOM)
    }

    #[test]
    fn parameters_are_decoded_once_and_typed() {
        let parsed = parse(
            "tag=sea&tag=-blaue+B%C3%A4ume&tag=sea&min_width=1920&animated=false&seed=a%2520b\
             &w=0640&x=%FF&%ff=1&%74ag=x",
        )
        .unwrap();
        let term = |tag: &str, wanted| TagTerm { tag: tag.into(), wanted };
        assert_eq!(
            parsed.filter.tags,
            [term("blaue Bäume", false), term("sea", true), term("x", true)]
        );
        assert_eq!((parsed.filter.min_width, parsed.filter.animated), (Some(1920), Some(false)));
        assert_eq!((parsed.seed.as_deref(), parsed.width), (Some("a%20b"), Some(640)));
        assert_eq!(parse("").unwrap(), Parameters::default());
        assert_eq!(parse("&&=&limit=x").unwrap(), Parameters::default());
    }

    #[test]
    fn what_does_not_parse_is_named() {
        for (query, name) in [
            ("orientation=", "orientation"),
            ("orientation=Landscape", "orientation"),
            ("orientation=auto&orientation=square", "orientation"),
            ("orientation=square&orientation=auto", "orientation"),
            ("min_width=-1", "min_width"),
            ("min_width=%2B1", "min_width"),
            ("min_width=+1", "min_width"),
            ("max_height=4294967296", "max_height"),
            ("max_width=1.5", "max_width"),
            ("min_height=", "min_height"),
            ("min_width=1&min_width=1", "min_width"),
            ("min_width=%3125%25", "min_width"),
            ("tag=", "tag"),
            ("tag=-", "tag"),
            ("tag=%00", "tag"),
            ("tag=%FF", "tag"),
            ("animated=yes", "animated"),
            ("animated", "animated"),
            ("seed=a&seed=b", "seed"),
            ("n=-1", "n"),
            ("n=18446744073709551616", "n"),
            ("count=0", "count"),
            ("count=31", "count"),
            ("format=png", "format"),
            ("w=", "w"),
            ("%77=", "w"),
        ] {
            let Err(ApiError::BadParameter { name: named, .. }) = parse(query) else {
                panic!("{query} was taken")
            };
            assert_eq!(named, name, "{query}");
        }
        let many = "tag=a&".repeat(33);
        assert!(matches!(parse(&many), Err(ApiError::BadParameter { name: "tag", .. })));
    }

    #[test]
    fn the_viewport_decides_when_it_is_known() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            pairs
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect()
        };
        let (width, height) = ("sec-ch-viewport-width", "sec-ch-viewport-height");
        for (pairs, expected) in [
            (&[(width, "1920"), (height, "1080")][..], Some(Orientation::Landscape)),
            (&[(width, "390"), (height, "844")], Some(Orientation::Portrait)),
            (&[(width, "500"), (height, "500")], Some(Orientation::Square)),
            (&[(width, "1920")], None),
            (&[(width, "wide"), (height, "1080")], None),
            (&[], None),
        ] {
            let filter = parse("orientation=auto").unwrap().filter_for(&headers(pairs));
            assert_eq!(filter.orientation, expected, "{pairs:?}");
        }
    }
}
