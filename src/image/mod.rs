//! What an image in a gallery is: its id and its record. Plain data, no I/O.
//!
//! The byte layout of a record on disk belongs to `store/record.rs`; this file only names the
//! fields. `metadata` has those that pictures fill in themselves.

mod metadata;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::{Deserialize, Serialize};
use unicode_normalization::{UnicodeNormalization as _, is_nfc};

pub use metadata::{BadDate, Credit, PictureMetadata, TakenAt, is_url, parse_offset};

/// Names a stored image: the first 16 bytes of the BLAKE3 hash of its WebP bytes.
///
/// What an id names never changes, so the id doubles as a strong entity tag and as the checksum of
/// the bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageId([u8; ImageId::LEN]);

impl ImageId {
    /// Length in bytes; the text form has twice as many hexadecimal digits.
    pub const LEN: usize = 16;

    /// Computes the id of these WebP bytes.
    #[must_use]
    pub fn of(webp: &[u8]) -> Self {
        let mut id = [0; Self::LEN];
        id.copy_from_slice(&blake3::hash(webp).as_bytes()[..Self::LEN]);
        Self(id)
    }

    /// The raw bytes, as the store keeps them.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Makes an id of raw bytes. Returns `None` unless there are exactly 16.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_digits(f, &self.0)
    }
}

/// Writes bytes as lower-case hexadecimal digits, faster than by formatting each of them.
pub(crate) fn write_digits(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.chunks(16).try_for_each(|bytes| {
        let mut digits = [0; 32];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
            pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        f.write_str(str::from_utf8(&digits[..2 * bytes.len()]).map_err(|_| fmt::Error)?)
    })
}

impl fmt::Debug for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImageId({self})")
    }
}

/// The error for a text that is not 32 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("an image id is 32 hexadecimal digits, as `imagepool list` prints them")]
pub struct BadImageId;

impl FromStr for ImageId {
    type Err = BadImageId;

    fn from_str(text: &str) -> Result<Self, BadImageId> {
        decode_hex(text).map(Self).ok_or(BadImageId)
    }
}

impl Serialize for ImageId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Decodes exactly `2 * N` hexadecimal digits of either case.
#[must_use]
pub fn decode_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    Some(bytes)
}

/// The shape of an image: wider than high, higher than wide, or neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Orientation {
    Landscape,
    Portrait,
    Square,
}

impl Orientation {
    /// The orientation of an image of this many pixels.
    #[must_use]
    pub fn of(width: u32, height: u32) -> Self {
        match width.cmp(&height) {
            std::cmp::Ordering::Greater => Self::Landscape,
            std::cmp::Ordering::Less => Self::Portrait,
            std::cmp::Ordering::Equal => Self::Square,
        }
    }
}

/// The error for a text that is none of the three orientations.
#[derive(Debug, thiserror::Error)]
#[error("an orientation is landscape, portrait or square")]
pub struct BadOrientation;

impl FromStr for Orientation {
    type Err = BadOrientation;

    fn from_str(text: &str) -> Result<Self, BadOrientation> {
        match text {
            "landscape" => Ok(Self::Landscape),
            "portrait" => Ok(Self::Portrait),
            "square" => Ok(Self::Square),
            _ => Err(BadOrientation),
        }
    }
}

/// A smaller copy of an image, stored beside it unless it was not worth its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendition {
    /// Width in pixels.
    pub width: u16,
    /// Length of the rendition's WebP, in bytes. 0 if it is not kept: it was made, and was not
    /// smaller than the next larger one or than the image.
    pub size_bytes: u64,
    /// The first 8 bytes of the BLAKE3 hash of the rendition's WebP.
    pub checksum: [u8; 8],
}

impl Rendition {
    /// Describes the rendition with these WebP bytes.
    #[must_use]
    pub fn of(width: u16, webp: &[u8]) -> Self {
        let mut checksum = [0; 8];
        checksum.copy_from_slice(&blake3::hash(webp).as_bytes()[..8]);
        Self { width, size_bytes: webp.len() as u64, checksum }
    }

    /// Whether it is stored.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.size_bytes > 0
    }
}

/// Longest tag, in bytes.
const MAX_TAG_BYTES: usize = 200;

/// The error for a text that can't be a tag.
#[derive(Debug, thiserror::Error)]
#[error(
    "a tag has 1 to {MAX_TAG_BYTES} bytes, no control characters, and does not begin with + or -"
)]
pub struct BadTag;

/// Characters that separate tags where a list of them is typed: all punctuation that Unicode names
/// a comma, from `UnicodeData.txt`. The server's page has the same list.
pub const COMMAS: [char; 26] = [
    ',',
    '\u{55D}',
    '\u{60C}',
    '\u{7F8}',
    '\u{1363}',
    '\u{1802}',
    '\u{1808}',
    '\u{2E32}',
    '\u{2E34}',
    '\u{2E41}',
    '\u{2E49}',
    '\u{2E4C}',
    '\u{3001}',
    '\u{A4FE}',
    '\u{A60D}',
    '\u{A6F5}',
    '\u{FE10}',
    '\u{FE11}',
    '\u{FE50}',
    '\u{FE51}',
    '\u{FF0C}',
    '\u{FF64}',
    '\u{1144D}',
    '\u{1145A}',
    '\u{16E97}',
    '\u{1DA87}',
];

/// Returns a text in NFC, in which names and tags are compared: macOS writes an `é` in a file's
/// name as two characters, and keyboards as one.
#[must_use]
pub fn nfc(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || is_nfc(text) { text.into() } else { text.nfc().collect() }
}

/// Parses tags that a person typed, with commas between them.
///
/// # Errors
/// [`BadTag`], if one of them can't be a tag or there is none.
pub fn parse_tags(text: &str) -> Result<Vec<String>, BadTag> {
    let typed = text.split(COMMAS).filter(|tag| !tag.trim().is_empty());
    let tags = typed.map(parse_tag).collect::<Result<Vec<_>, _>>()?;
    if tags.is_empty() { Err(BadTag) } else { Ok(tags) }
}

/// Checks a tag that a person gave, drops white space around it, and brings it to NFC.
///
/// # Errors
/// [`BadTag`].
pub fn parse_tag(text: &str) -> Result<String, BadTag> {
    let text = nfc(text);
    let tag = text.trim();
    let fits = !tag.is_empty()
        && tag.len() <= MAX_TAG_BYTES
        && !tag.starts_with(['+', '-'])
        && !tag.chars().any(char::is_control);
    if fits { Ok(tag.to_owned()) } else { Err(BadTag) }
}

/// Everything that a gallery knows of an image, except its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// Number of images that were ever added before this one. It orders images by arrival, is never
    /// given twice and never changes. The store sets it, whatever was here before.
    pub ordinal: u32,
    /// Width in pixels, orientation applied; 1 to 16,383.
    pub width: u32,
    /// Height in pixels, orientation applied; 1 to 16,383.
    pub height: u32,
    /// Length of the stored WebP, in bytes.
    pub size_bytes: u64,
    /// Number of frames; 1 for a still image.
    pub frames: u32,
    /// Whether the stored WebP carries transparency.
    pub alpha: bool,
    /// Time of the import, in seconds since 1970, UTC.
    pub imported_at: u64,
    /// BLAKE3 of the source file.
    pub source_hash: [u8; 32],
    /// Length of the source file, in bytes.
    pub source_bytes: u64,
    /// Format of the source file, such as `JPEG`.
    pub source_format: String,
    /// Path of the source file below the imported folder, for people; not always exact UTF-8.
    pub source: String,
    /// The tags that count: those by hand and those of its files' folders, without the refused
    /// ones; sorted and without repeats. The store sets them, whatever was here before.
    pub tags: Vec<String>,
    /// A blurred placeholder of some 25 bytes, <https://evanw.github.io/thumbhash/>.
    pub thumbhash: Vec<u8>,
    /// Dominant colour in sRGB, transparent pixels left out.
    pub color: [u8; 3],
    /// 64 bits of which the same picture at another size or quality shares nearly all: the signs of
    /// its lowest frequencies (C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash
    /// Functions", 2010).
    pub perceptual_hash: u64,
    /// Renditions that were made, ascending in width.
    pub renditions: Vec<Rendition>,
    /// Tags that a person put, sorted and without repeats.
    pub hand_tags: Vec<String>,
    /// Tags of folders that a person took off, sorted and without repeats.
    pub refused_tags: Vec<String>,
    /// What the picture says of itself.
    pub metadata: PictureMetadata,
    /// Hash of the settings under which the image was converted; zeros if it is not known.
    pub settings_hash: [u8; 8],
}

impl ImageRecord {
    #[must_use]
    pub fn orientation(&self) -> Orientation {
        Orientation::of(self.width, self.height)
    }

    #[must_use]
    pub fn animated(&self) -> bool {
        self.frames > 1
    }

    /// The renditions that are stored, ascending in width.
    pub fn kept_renditions(&self) -> impl Iterator<Item = &Rendition> {
        self.renditions.iter().filter(|rendition| rendition.is_kept())
    }
}

/// What `GET /images/ID/info` and `imagepool list --json` show of an image.
#[derive(Serialize)]
pub struct ImageInfo<'a> {
    pub id: ImageId,
    pub width: u32,
    pub height: u32,
    pub bytes: u64,
    pub animated: bool,
    pub frames: u32,
    pub alpha: bool,
    pub orientation: Orientation,
    pub tags: &'a [String],
    pub source: &'a str,
    /// When the picture was taken: RFC 3339 by the camera's clock, without an offset if the picture
    /// names none.
    pub taken_at: Option<String>,
    /// Stars that the picture was given, 0 to 5.
    pub rating: Option<u8>,
    pub title: Option<&'a str>,
    pub credit: Option<Credit<'a>>,
    /// Time of the import: RFC 3339, UTC, whole seconds.
    pub imported_at: String,
    /// The thumbhash in base64.
    pub thumbhash: String,
    /// The dominant colour as `#rrggbb`.
    pub color: String,
    /// Widths of the renditions in pixels, ascending.
    pub renditions: Vec<u16>,
    /// Path of the image on the server.
    pub url: String,
}

impl<'a> ImageInfo<'a> {
    #[must_use]
    pub fn new(id: ImageId, record: &'a ImageRecord) -> Self {
        let [red, green, blue] = record.color;
        Self {
            id,
            width: record.width,
            height: record.height,
            bytes: record.size_bytes,
            animated: record.animated(),
            frames: record.frames,
            alpha: record.alpha,
            orientation: record.orientation(),
            tags: &record.tags,
            source: &record.source,
            taken_at: record.metadata.taken_at.map(|at| at.to_string()),
            rating: record.metadata.rating,
            title: record.metadata.title.as_deref(),
            credit: record.metadata.credit(),
            imported_at: rfc3339(record.imported_at),
            thumbhash: BASE64_STANDARD.encode(&record.thumbhash),
            color: format!("#{red:02x}{green:02x}{blue:02x}"),
            renditions: record.kept_renditions().map(|rendition| rendition.width).collect(),
            url: image_path(id),
        }
    }
}

/// Returns the path of the image on the server, `/images/ID.webp`.
#[must_use]
pub fn image_path(id: ImageId) -> String {
    format!("/images/{id}.webp")
}

/// Formats a time as RFC 3339 in UTC, for example `2026-11-22T18:20:00Z`. Times after the year 9999
/// become the end of that year.
#[must_use]
pub fn rfc3339(unix_seconds: u64) -> String {
    /// The last second of the year 9999, in seconds since 1970.
    const LAST: u64 = 253_402_300_799;
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(unix_seconds.min(LAST));
    humantime::format_rfc3339_seconds(time).to_string()
}

/// Reads the clock, in seconds since 1970; 0 on a clock that is set to a time before.
#[must_use]
pub fn now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text_form() {
        let id = ImageId::of(b"some bytes");
        assert_eq!(id.to_string().parse::<ImageId>().unwrap(), id);
        assert_eq!(id.to_string().to_uppercase().parse::<ImageId>().unwrap(), id);
        for bad in
            ["", "abc", "zz", &"g".repeat(32), &"a".repeat(31), &"a".repeat(33), &"é".repeat(16)]
        {
            assert!(bad.parse::<ImageId>().is_err(), "{bad:?} was taken for an id");
        }
    }

    #[test]
    fn an_id_is_the_start_of_the_blake3_hash() {
        assert_eq!(ImageId::of(b"").to_string(), "af1349b9f5f9a1a6a0404dea36dcc949");
    }

    #[test]
    fn typed_tags_are_parted_by_the_commas_of_every_script() {
        for comma in COMMAS {
            let parsed = parse_tags(&format!("cafe\u{301}{comma} sea{comma}")).unwrap();
            assert_eq!(parsed, ["café", "sea"], "{comma:?}");
        }
        assert_eq!(parse_tags("one; two. three").unwrap(), ["one; two. three"]);
        for bad in ["", " , ", "sea,-draft", "sea,a\nb"] {
            assert!(parse_tags(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn times_are_written_in_utc_and_never_panic() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(u64::MAX), "9999-12-31T23:59:59Z");
    }
}
