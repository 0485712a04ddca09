//! Holds what a picture says of its colours, and bounds what an ICC profile may cost. A short one
//! can cost much: its tags may share their bytes, and each is read into memory of its own.
//!
//! What a profile means is `colour`'s matter.

use std::borrow::Cow;

use super::cicp::Cicp;

/// Longest profile that is applied, in bytes. Printers' profiles have some two megabytes.
pub(crate) const MAX_PROFILE_BYTES: usize = 4 << 20;

/// Memory that a profile takes until its transform is made, for each of its bytes: two copies, one
/// table of 8-bit numbers as floats, and what the transform makes of it. Measured: 9.
const BYTES_PER_BYTE: u64 = 12;

/// The note on a picture whose profile is too long.
pub(crate) const TOO_LONG_NOTE: &str =
    "its colour profile is longer than 4 MiB and was left out; colours are taken as sRGB";

/// Length of a profile's header (ICC.1:2022, 7.2), in bytes. The number of tags follows.
const HEADER_BYTES: usize = 128;
/// Offset of the first tag: its name, and where its bytes are.
const TAGS_AT: usize = HEADER_BYTES + 4;
/// Length of an entry of the table of tags, in bytes.
const TAG_BYTES: usize = 12;

/// The tags from which a conversion to sRGB is made. The others are texts, or lead from sRGB.
const NEEDED_TAGS: [&[u8; 4]; 14] = [
    b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC", b"kTRC", b"wtpt", b"bkpt", b"chad",
    b"cicp", b"A2B0", b"A2B1", b"A2B2",
];

/// What a picture says of its colours.
#[derive(Clone, Debug)]
pub(crate) enum Profile {
    /// An ICC profile.
    Bytes(Vec<u8>),
    /// An ICC profile that is longer than [`MAX_PROFILE_BYTES`].
    TooLong,
    CodePoints(CodePoints),
    PowerCurve(PowerCurve),
}

/// Code points, and how bright an HDR picture is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CodePoints {
    pub(crate) cicp: Cicp,
    /// The brightest light in cd/m², if the picture says so.
    pub(crate) brightest: Option<f32>,
}

/// Primaries and the power by which samples become light.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PowerCurve {
    pub(crate) power: f32,
    /// The chromaticities (x and y of CIE 1931) of white, red, green and blue.
    pub(crate) primaries: [[f32; 2]; 4],
}

impl Profile {
    /// Takes an ICC profile, unless it is too long or empty.
    pub(crate) fn new<'p>(bytes: impl Into<Cow<'p, [u8]>>) -> Option<Self> {
        let bytes = bytes.into();
        match bytes.len() {
            0 => None,
            1..=MAX_PROFILE_BYTES => Some(Self::Bytes(bytes.into_owned())),
            _ => Some(Self::TooLong),
        }
    }

    /// Returns the memory that the profile takes until its transform is made, in bytes.
    pub(crate) fn memory_bytes(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => memory_bytes(bytes.len()),
            Self::TooLong | Self::CodePoints(_) | Self::PowerCurve(_) => 0,
        }
    }
}

/// Returns the memory that a profile of this length takes, in bytes.
pub(crate) const fn memory_bytes(length: usize) -> u64 {
    if length > MAX_PROFILE_BYTES { 0 } else { length as u64 * BYTES_PER_BYTE }
}

/// Returns the profile with each of the needed tags once, and no other.
///
/// Thousands of tags that name the same megabytes would take minutes or gigabytes to read, and so
/// would a text in thousands of languages. Of the three tables for colours, the one that is applied
/// is kept if it is there.
pub(crate) fn with_needed_tags(profile: &[u8]) -> Vec<u8> {
    let mut reduced = profile.to_vec();
    let Some((head, tags)) = profile.split_at_checked(TAGS_AT) else { return reduced };
    let count = u32::from_be_bytes([head[128], head[129], head[130], head[131]]) as usize;
    let tags = tags.as_chunks::<TAG_BYTES>().0;
    let mut kept: Vec<&[u8; TAG_BYTES]> = Vec::new();
    for tag in tags.iter().take(count) {
        let is_needed = NEEDED_TAGS.iter().any(|needed| tag.starts_with(*needed));
        if is_needed && kept.iter().all(|kept| kept[..4] != tag[..4]) {
            kept.push(tag);
        }
    }
    if kept.iter().any(|tag| tag.starts_with(b"A2B0")) {
        kept.retain(|tag| !tag.starts_with(b"A2B1") && !tag.starts_with(b"A2B2"));
    }
    let count = u32::try_from(kept.len()).unwrap_or_default();
    reduced[HEADER_BYTES..TAGS_AT].copy_from_slice(&count.to_be_bytes());
    for (index, tag) in kept.into_iter().enumerate() {
        reduced[TAGS_AT + index * TAG_BYTES..][..TAG_BYTES].copy_from_slice(tag);
    }
    reduced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_needed_tag_is_kept_once_and_nothing_else() {
        let tag = |name: &[u8; 4], at: u8| [&name[..], &[0, 0, 0, at], &[0, 0, 0, 8]].concat();
        let table = |tags: &[(&[u8; 4], u8)]| -> Vec<u8> {
            let count = u32::try_from(tags.len()).unwrap().to_be_bytes();
            let mut table = [&[7; HEADER_BYTES][..], &count].concat();
            tags.iter().for_each(|(name, at)| table.extend(tag(name, *at)));
            table
        };
        let profile = table(&[
            (b"desc", 1),
            (b"rTRC", 2),
            (b"A2B1", 3),
            (b"A2B0", 4),
            (b"A2B0", 5),
            (b"B2A0", 6),
            (b"gTRC", 7),
        ]);
        let reduced = with_needed_tags(&profile);
        let expected = table(&[(b"rTRC", 2), (b"A2B0", 4), (b"gTRC", 7)]);
        assert_eq!(reduced[..expected.len()], expected);
        assert_eq!(reduced.len(), profile.len(), "offsets still hold");
        // Without the table that is applied, the others stay.
        let other = table(&[(b"A2B1", 3), (b"A2B2", 4)]);
        assert_eq!(with_needed_tags(&other), other);
        assert_eq!(with_needed_tags(b"no profile"), b"no profile");
    }
}
