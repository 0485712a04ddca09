//! Reads what a raw file says of its raw picture: size, orientation, and where its data lies.

use image::metadata::Orientation;

use crate::codec::decoders::tiff::raw::{RawTiff, kind_by_magic, read, read_tags};

/// Where Canon's CR3 has its box with the first directory of EXIF, at most. It comes before any
/// picture.
const CR3_HEAD_BYTES: usize = 256 << 10;
/// Where Fujifilm's RAF says where the directory of its raw data lies.
const RAF_DIRECTORY: usize = 92;
/// Tags of that directory for the size of the whole sensor and of its visible part.
const RAF_SIZES: [u16; 2] = [0x100, 0x111];
/// Most tags of that directory. Real ones have thirty.
const MAX_RAF_TAGS: u32 = 1_000;

/// What is known of the raw picture.
pub(super) struct RawFacts {
    /// The ending by which people know such files, for example `NEF`.
    pub(super) kind: &'static str,
    /// Width and height of the raw picture in pixels.
    pub(super) size: Option<(u32, u32)>,
    /// How to turn the raw picture upright.
    pub(super) orientation: Option<Orientation>,
    /// Where pieces of raw data begin, which are no preview.
    pub(super) data_offsets: Vec<u64>,
    /// Width and height of the first page of a TIFF, if it is shown as it is.
    pub(super) first_page: Option<(u32, u32)>,
}

impl RawFacts {
    pub(super) fn read(source: &[u8]) -> Self {
        let nothing = |kind: &'static str| Self {
            kind,
            size: None,
            orientation: None,
            data_offsets: Vec::new(),
            first_page: None,
        };
        match source {
            [b'F', b'U', b'J', b'I', ..] => Self { size: raf_size(source), ..nothing("RAF") },
            [_, _, _, _, b'f', b't', b'y', b'p', ..] => {
                let head = source.get(..CR3_HEAD_BYTES).unwrap_or(source);
                // Its content is a TIFF without a picture.
                let tags = memchr::memmem::find(head, b"CMT1").map(|at| &source[at + 4..]);
                match tags.and_then(read_tags) {
                    Some((size, orientation)) => {
                        Self { size: Some(size), orientation, ..nothing("CR3") }
                    }
                    None => nothing("CR3"),
                }
            }
            [b'F', b'O', b'V', b'b', ..] => nothing("X3F"),
            [0, b'M', b'R', b'M', ..] => nothing("MRW"),
            [_, _, 0x1A, ..] => nothing("CRW"),
            _ => read(source)
                .map_or_else(|| nothing(kind_by_magic(source).unwrap_or("TIFF")), Self::from),
        }
    }
}

impl From<RawTiff> for RawFacts {
    fn from(raw: RawTiff) -> Self {
        let RawTiff { kind, size, orientation, data_offsets, first_page } = raw;
        Self { kind, size, orientation, data_offsets, first_page }
    }
}

/// Reads the size of the raw picture from a RAF, whose directory has tags of its own: the number of
/// tags, then of each its number, its length in bytes, and its value. Sizes are height, then width.
fn raf_size(source: &[u8]) -> Option<(u32, u32)> {
    let word = |at: usize| {
        let bytes = source.get(at..)?.first_chunk::<2>()?;
        Some(u16::from_be_bytes(*bytes))
    };
    let long = |at: usize| {
        let bytes = source.get(at..)?.first_chunk::<4>()?;
        Some(u32::from_be_bytes(*bytes))
    };
    let directory = long(RAF_DIRECTORY)? as usize;
    let mut size = None;
    let mut at = directory.checked_add(4)?;
    for _ in 0..long(directory)?.min(MAX_RAF_TAGS) {
        if RAF_SIZES.contains(&word(at)?) && word(at + 2)? >= 4 {
            size = Some((word(at + 6)?.into(), word(at + 4)?.into()));
        }
        at += 4 + usize::from(word(at + 2)?);
    }
    size
}
