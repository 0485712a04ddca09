//! The conditions of a filter, and whether the image of one record meets them. A whole catalog is
//! filtered in `matches`.

use crate::image::{BadTag, ImageRecord, Orientation, TakenAt, nfc, parse_tag};

/// Conditions that an image has to meet, all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Tags, sorted and without repeats, so that equal filters are equal values; see
    /// [`Filter::normalise`].
    pub tags: Vec<TagTerm>,
    pub orientation: Option<Orientation>,
    /// Least width, in pixels.
    pub min_width: Option<u32>,
    /// Greatest width, in pixels.
    pub max_width: Option<u32>,
    /// Least height, in pixels.
    pub min_height: Option<u32>,
    /// Greatest height, in pixels.
    pub max_height: Option<u32>,
    pub animated: Option<bool>,
}

/// A filter with conditions on what pictures say of themselves. A catalog does not hold that, so
/// only records can be compared with it. An image that does not say it does not meet the condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordFilter {
    pub filter: Filter,
    /// The earliest time of a picture.
    pub taken_after: Option<TakenAt>,
    /// The time that a picture must be before.
    pub taken_before: Option<TakenAt>,
    /// Least number of stars.
    pub min_rating: Option<u8>,
}

impl RecordFilter {
    /// Whether every image meets it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the image of this record meets every condition.
    #[must_use]
    pub fn matches(&self, record: &ImageRecord) -> bool {
        let taken = record.metadata.taken_at;
        let is_in_time = match (self.taken_after, self.taken_before, taken) {
            (None, None, _) => true,
            (_, _, None) => false,
            (first, end, Some(taken)) => {
                first.is_none_or(|first| !taken.is_before(&first))
                    && end.is_none_or(|end| taken.is_before(&end))
            }
        };
        self.filter.matches(record)
            && is_in_time
            && self.min_rating.is_none_or(|least| record.metadata.rating >= Some(least))
    }
}

/// A tag that an image must have, or must not have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagTerm {
    pub tag: String,
    pub wanted: bool,
}

impl std::str::FromStr for TagTerm {
    type Err = BadTag;

    /// Parses `T`, or `-T` for a tag that must be missing.
    fn from_str(text: &str) -> Result<Self, BadTag> {
        match text.strip_prefix('-') {
            Some(unwanted) => Ok(Self { tag: parse_tag(unwanted)?, wanted: false }),
            None => Ok(Self { tag: parse_tag(text)?, wanted: true }),
        }
    }
}

impl Filter {
    /// Brings the tags into the order that makes equal filters equal.
    #[must_use]
    pub fn normalise(mut self) -> Self {
        self.tags.sort_unstable();
        self.tags.dedup();
        self
    }

    /// Whether every image meets it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the image of this record meets every condition.
    #[must_use]
    pub fn matches(&self, record: &ImageRecord) -> bool {
        let has = |tag: &String| record.tags.iter().any(|other| nfc(other) == *tag);
        self.tags.iter().all(|term| has(&term.tag) == term.wanted)
            && self.orientation.is_none_or(|orientation| record.orientation() == orientation)
            && self.fits(record.width, record.height)
            && self.animated.is_none_or(|animated| record.animated() == animated)
    }

    /// Whether there are conditions on width or height.
    pub(super) fn is_bounded(&self) -> bool {
        [self.min_width, self.max_width, self.min_height, self.max_height]
            .iter()
            .any(Option::is_some)
    }

    /// Whether an image of this size, in pixels, is within the bounds.
    pub(super) fn fits(&self, width: u32, height: u32) -> bool {
        let within = |value: u32, min: Option<u32>, max: Option<u32>| {
            min.is_none_or(|min| value >= min) && max.is_none_or(|max| value <= max)
        };
        within(width, self.min_width, self.max_width)
            && within(height, self.min_height, self.max_height)
    }
}
