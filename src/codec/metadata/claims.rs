//! What one kind of metadata claims of a picture, and whose claim counts.

use std::collections::HashSet;

use super::text::clean;
use crate::image::{PictureMetadata, TakenAt, is_url, parse_tag};

/// Most keywords of a picture that become tags.
const MAX_KEYWORDS: usize = 100;

/// The year of the first photograph. What claims to be older has no date.
const FIRST_YEAR: i32 = 1826;

/// What a source says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceMetadata {
    pub picture: PictureMetadata,
    /// Keywords and names of albums, each of which can be a tag; at most 100.
    pub keywords: Vec<String>,
}

/// What one kind of metadata claims.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// When the picture was taken.
    pub(super) taken: Option<TakenAt>,
    /// When it was digitised or made, which for most pictures is the same.
    pub(super) made: Option<TakenAt>,
    pub(super) stars: Option<Stars>,
    pub(super) title: Option<String>,
    pub(super) creator: Option<String>,
    pub(super) copyright: Option<String>,
    /// URL of a licence.
    pub(super) licence: Option<String>,
    pub(super) keywords: Vec<String>,
    /// Names of persons and places, which are no keywords even if they are given as such.
    pub(super) withheld: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stars {
    Number(u8),
    /// The picture was sorted out, which is no number of stars.
    Rejected,
}

impl Stars {
    /// Reads a number of stars. Halves are cut off, and what is beyond five means nothing.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let whole = text.trim().split('.').next()?;
        match whole.parse::<i64>().ok()? {
            -1 => Some(Self::Rejected),
            stars => u8::try_from(stars).ok().filter(|stars| *stars <= 5).map(Self::Number),
        }
    }

    /// Reads a rating of Windows, in percent: 1, 25, 50, 75 and 99 are one to five stars.
    pub(super) fn of_percent(percent: u64) -> Option<Self> {
        Some(Self::Number(match percent {
            0 => 0,
            1..=12 => 1,
            13..=37 => 2,
            38..=62 => 3,
            63..=87 => 4,
            88..=100 => 5,
            _ => return None,
        }))
    }
}

/// Reads a date, unless it is absurd.
pub(super) fn parse_date(text: &str) -> Option<TakenAt> {
    text.parse::<TakenAt>().ok().filter(|at| at.year() >= FIRST_YEAR)
}

impl Claims {
    /// Decides whose word counts. These claims are of EXIF, XMP, IPTC and the texts of PNG.
    pub(super) fn agree(all: &[Self; 4]) -> SourceMetadata {
        let [exif, xmp, iptc, png] = all;
        // Dates are the camera's own in EXIF. Texts in XMP come with their encoding, and programs
        // change them there.
        let cameras_first = [exif, xmp, iptc, png];
        let people_first = [xmp, iptc, exif, png];
        let first_text = |order: [&Self; 4], field: fn(&Self) -> &Option<String>| {
            order.iter().find_map(|claims| field(claims).as_deref().and_then(clean))
        };
        let stars = people_first.iter().find_map(|claims| claims.stars);
        let licence = first_text(people_first, |claims| &claims.licence);
        let copyright = first_text(cameras_first, |claims| &claims.copyright);
        let picture = PictureMetadata {
            taken_at: date(cameras_first),
            rating: match stars {
                Some(Stars::Number(stars)) => Some(stars),
                Some(Stars::Rejected) | None => None,
            },
            title: first_text(people_first, |claims| &claims.title),
            creator: first_text(cameras_first, |claims| &claims.creator),
            licence: PictureMetadata::join_licence(copyright, licence.filter(|it| is_url(it))),
        };
        SourceMetadata { picture, keywords: keywords(people_first) }
    }
}

/// Finds the first date. If it does not say its offset from UTC, an equal one may.
fn date(order: [&Claims; 4]) -> Option<TakenAt> {
    let taken = order.iter().filter_map(|claims| claims.taken);
    let dates: Vec<TakenAt> = taken.chain(order.iter().filter_map(|claims| claims.made)).collect();
    let first = *dates.first()?;
    let is_equal = |at: &&TakenAt| at.local_seconds == first.local_seconds;
    let offset = dates.iter().filter(is_equal).find_map(|at| at.offset_minutes);
    Some(TakenAt { offset_minutes: offset, ..first })
}

/// Collects the keywords that can be tags. What a tag may not begin with is cut off, as of folders'
/// names.
fn keywords(order: [&Claims; 4]) -> Vec<String> {
    let fold = |text: &str| clean(text).map(|text| text.to_lowercase());
    let withheld = order.iter().flat_map(|claims| &claims.withheld);
    let mut left_out: HashSet<String> = withheld.filter_map(|name| fold(name)).collect();
    let mut keywords = Vec::new();
    for keyword in order.iter().flat_map(|claims| &claims.keywords) {
        let keyword = clean(keyword).unwrap_or_default();
        let Ok(tag) = parse_tag(keyword.trim_start_matches(['+', '-'])) else { continue };
        if keywords.len() < MAX_KEYWORDS && left_out.insert(tag.to_lowercase()) {
            keywords.push(tag);
        }
    }
    keywords
}
