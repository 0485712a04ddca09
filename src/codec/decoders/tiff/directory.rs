//! Reads the directories of a TIFF: a page's tags and their values.
//!
//! Both classic TIFF (TIFF 6.0, section 2) and `BigTIFF` are read. Values stay in the file and are
//! read one at a time, so a million strip offsets take no memory. What the tags mean is decided in
//! `layout`.

use std::collections::{HashSet, VecDeque};

use super::error::TiffError;

/// The tags that are read. All others of a directory are skipped.
pub(super) mod tag {
    pub(in super::super) const NEW_SUBFILE_TYPE: u16 = 254;
    pub(in super::super) const IMAGE_WIDTH: u16 = 256;
    pub(in super::super) const IMAGE_LENGTH: u16 = 257;
    pub(in super::super) const BITS_PER_SAMPLE: u16 = 258;
    pub(in super::super) const COMPRESSION: u16 = 259;
    pub(in super::super) const PHOTOMETRIC: u16 = 262;
    pub(in super::super) const FILL_ORDER: u16 = 266;
    pub(in super::super) const STRIP_OFFSETS: u16 = 273;
    pub(in super::super) const ORIENTATION: u16 = 274;
    pub(in super::super) const SAMPLES_PER_PIXEL: u16 = 277;
    pub(in super::super) const ROWS_PER_STRIP: u16 = 278;
    pub(in super::super) const STRIP_BYTE_COUNTS: u16 = 279;
    pub(in super::super) const PLANAR_CONFIGURATION: u16 = 284;
    pub(in super::super) const T4_OPTIONS: u16 = 292;
    pub(in super::super) const PREDICTOR: u16 = 317;
    pub(in super::super) const WHITE_POINT: u16 = 318;
    pub(in super::super) const COLOR_MAP: u16 = 320;
    pub(in super::super) const TILE_WIDTH: u16 = 322;
    pub(in super::super) const TILE_LENGTH: u16 = 323;
    pub(in super::super) const TILE_OFFSETS: u16 = 324;
    pub(in super::super) const TILE_BYTE_COUNTS: u16 = 325;
    pub(in super::super) const INK_SET: u16 = 332;
    pub(in super::super) const EXTRA_SAMPLES: u16 = 338;
    pub(in super::super) const SAMPLE_FORMAT: u16 = 339;
    pub(in super::super) const JPEG_TABLES: u16 = 347;
    pub(in super::super) const YCBCR_COEFFICIENTS: u16 = 529;
    pub(in super::super) const YCBCR_SUBSAMPLING: u16 = 530;
    pub(in super::super) const REFERENCE_BLACK_WHITE: u16 = 532;
    pub(in super::super) const ICC_PROFILE: u16 = 34675;

    pub(in super::super) const SENSOR_WIDTH: u16 = 2;
    pub(in super::super) const SENSOR_HEIGHT: u16 = 3;
    pub(in super::super) const MAKE: u16 = 271;
    pub(in super::super) const SUB_DIRECTORIES: u16 = 330;
    pub(in super::super) const LAYERS: u16 = 37724;
    pub(in super::super) const IMAGE_DEPTH: u16 = 32997;
    pub(in super::super) const CR2_SLICES: u16 = 50752;
    pub(in super::super) const DNG_VERSION: u16 = 50706;

    pub(in super::super) const JPEG_STREAM: u16 = 513;
    pub(in super::super) const JPEG_STREAM_LENGTH: u16 = 514;
    pub(in super::super) const JPEG_RESTART_INTERVAL: u16 = 515;
    pub(in super::super) const JPEG_Q_TABLES: u16 = 519;
    pub(in super::super) const JPEG_DC_TABLES: u16 = 520;
    pub(in super::super) const JPEG_AC_TABLES: u16 = 521;

    pub(in super::super) const OF_OLD_JPEG: [u16; 17] = [
        IMAGE_WIDTH,
        IMAGE_LENGTH,
        BITS_PER_SAMPLE,
        COMPRESSION,
        PHOTOMETRIC,
        STRIP_OFFSETS,
        SAMPLES_PER_PIXEL,
        ROWS_PER_STRIP,
        STRIP_BYTE_COUNTS,
        JPEG_STREAM,
        JPEG_STREAM_LENGTH,
        JPEG_RESTART_INTERVAL,
        JPEG_Q_TABLES,
        JPEG_DC_TABLES,
        JPEG_AC_TABLES,
        YCBCR_SUBSAMPLING,
        REFERENCE_BLACK_WHITE,
    ];

    pub(super) const SURROUNDINGS: [u16; 16] = [
        SENSOR_WIDTH,
        SENSOR_HEIGHT,
        NEW_SUBFILE_TYPE,
        IMAGE_WIDTH,
        IMAGE_LENGTH,
        COMPRESSION,
        PHOTOMETRIC,
        MAKE,
        STRIP_OFFSETS,
        ORIENTATION,
        TILE_OFFSETS,
        SUB_DIRECTORIES,
        LAYERS,
        IMAGE_DEPTH,
        CR2_SLICES,
        DNG_VERSION,
    ];

    pub(super) const ALL: [u16; 29] = [
        NEW_SUBFILE_TYPE,
        IMAGE_WIDTH,
        IMAGE_LENGTH,
        BITS_PER_SAMPLE,
        COMPRESSION,
        PHOTOMETRIC,
        FILL_ORDER,
        STRIP_OFFSETS,
        ORIENTATION,
        SAMPLES_PER_PIXEL,
        ROWS_PER_STRIP,
        STRIP_BYTE_COUNTS,
        PLANAR_CONFIGURATION,
        T4_OPTIONS,
        PREDICTOR,
        WHITE_POINT,
        COLOR_MAP,
        TILE_WIDTH,
        TILE_LENGTH,
        TILE_OFFSETS,
        TILE_BYTE_COUNTS,
        INK_SET,
        EXTRA_SAMPLES,
        SAMPLE_FORMAT,
        JPEG_TABLES,
        YCBCR_COEFFICIENTS,
        YCBCR_SUBSAMPLING,
        REFERENCE_BLACK_WHITE,
        ICC_PROFILE,
    ];
}

/// Most directories that are visited to count the pages.
const MAX_PAGES: usize = 1_000;
/// Most directories that are visited to tell camera raw from other TIFFs. Real ones have six.
const MAX_SURROUNDINGS: usize = 64;

/// Most tags of a directory. Classic TIFF can't hold more.
const MAX_ENTRIES: u64 = 0xFFFF;

/// The order of bytes in a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

impl ByteOrder {
    /// Reads a number of up to eight bytes.
    pub(super) fn number(self, bytes: &[u8]) -> u64 {
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        match (self, bytes) {
            // Most samples wider than a byte have four; the general way is far slower.
            (Self::Little, [a, b, c, d]) => u32::from_le_bytes([*a, *b, *c, *d]).into(),
            (Self::Big, [a, b, c, d]) => u32::from_be_bytes([*a, *b, *c, *d]).into(),
            (Self::Little, _) => bytes.iter().rev().fold(0, add),
            (Self::Big, _) => bytes.iter().fold(0, add),
        }
    }
}

/// A TIFF file whose header was read.
#[derive(Clone, Copy)]
pub(super) struct TiffFile<'s> {
    pub(super) source: &'s [u8],
    pub(super) byte_order: ByteOrder,
    big: bool,
    first: u64,
}

/// The tags of one directory that are known here.
pub(super) struct Directory<'s> {
    pub(super) file: TiffFile<'s>,
    entries: Vec<DirectoryEntry>,
    /// Offset of the next directory, or 0 if there is none.
    pub(super) next: u64,
}

/// Which tags of a directory are read, and whether values outside the file are an error.
#[derive(Clone, Copy)]
struct Wanted {
    tags: &'static [u16],
    is_strict: bool,
}

/// What a page is made of. Values outside the file are an error, because any of them, such as the
/// bits of a sample, could change the picture.
const PAGE: Wanted = Wanted { tags: &tag::ALL, is_strict: true };

/// What tells camera raw from other TIFFs, and what a page lies beside.
const SURROUNDINGS: Wanted = Wanted { tags: &tag::SURROUNDINGS, is_strict: false };

struct DirectoryEntry {
    tag: u16,
    field_type: FieldType,
    count: u64,
    /// Offset of the first value.
    offset: u64,
}

/// The type of a tag's values, with the size of whole numbers in bytes.
#[derive(Clone, Copy)]
enum FieldType {
    Unsigned(u64),
    Signed(u64),
    UnsignedRatio,
    SignedRatio,
    Float,
    Double,
}

impl FieldType {
    fn new(number: u64) -> Option<Self> {
        Some(match number {
            // 129 is text in UTF-8, since EXIF 3.0.
            1 | 2 | 7 | 129 => Self::Unsigned(1),
            3 => Self::Unsigned(2),
            4 | 13 => Self::Unsigned(4),
            16 | 18 => Self::Unsigned(8),
            6 => Self::Signed(1),
            8 => Self::Signed(2),
            9 => Self::Signed(4),
            17 => Self::Signed(8),
            5 => Self::UnsignedRatio,
            10 => Self::SignedRatio,
            11 => Self::Float,
            12 => Self::Double,
            _ => return None,
        })
    }

    const fn bytes(self) -> u64 {
        match self {
            Self::Unsigned(bytes) | Self::Signed(bytes) => bytes,
            Self::Float => 4,
            Self::UnsignedRatio | Self::SignedRatio | Self::Double => 8,
        }
    }
}

impl<'s> TiffFile<'s> {
    /// Reads the header: byte order, 42 or 43, and the offset of the first directory.
    ///
    /// # Errors
    /// Fails when the source is no TIFF.
    pub(super) fn open(source: &'s [u8]) -> Result<Self, TiffError> {
        let byte_order = match source.get(..2) {
            Some(b"II") => ByteOrder::Little,
            Some(b"MM") => ByteOrder::Big,
            _ => return Err(TiffError::Corrupt("no TIFF header")),
        };
        let mut file = Self { source, byte_order, big: false, first: 0 };
        match file.read_number(2, 2)? {
            // Panasonic and Olympus write numbers of their own into raw files.
            42 | 0x55 | 0x4F52 | 0x5352 => file.first = file.read_number(4, 4)?,
            43 if file.read_number(4, 2)? == 8 => {
                file.big = true;
                file.first = file.read_number(8, 8)?;
            }
            _ => return Err(TiffError::Corrupt("no TIFF header")),
        }
        Ok(file)
    }

    /// Reads the first directory. Pillow, libvips and `ImageMagick` show this page too, even if it
    /// is a thumbnail.
    ///
    /// # Errors
    /// Fails when the file ends before the directory does.
    pub(super) fn read_first_page(&self) -> Result<Directory<'s>, TiffError> {
        self.read_directory(self.first, PAGE)
    }

    /// Reads the first directories of the file and those within them, each once: their tags that do
    /// not change how a page looks, and whether it lies within another. Damage ends the list.
    pub(super) fn surroundings(&self) -> Vec<(bool, Directory<'s>)> {
        let (mut found, mut seen) = (Vec::new(), HashSet::new());
        let mut next = VecDeque::from([(false, self.first)]);
        while let Some((is_inner, at)) = next.pop_front() {
            if at == 0 || seen.len() == MAX_SURROUNDINGS || !seen.insert(at) {
                continue;
            }
            let Ok(directory) = self.read_directory(at, SURROUNDINGS) else { continue };
            if !is_inner {
                next.push_back((false, directory.next));
                let inner = directory.count(tag::SUB_DIRECTORIES).min(MAX_SURROUNDINGS as u64);
                let inner =
                    (0..inner).filter_map(|index| directory.number(tag::SUB_DIRECTORIES, index));
                next.extend(inner.map(|at| (true, at)));
            }
            found.push((is_inner, directory));
        }
        found
    }

    /// Counts the pages that are pictures of their own, up to [`MAX_PAGES`]. Smaller versions and
    /// masks (`NewSubfileType`, TIFF 6.0, section 8) do not count, but the first page always does.
    /// Damage ends the count. Returns whether there was none, too.
    pub(super) fn count_pages(&self) -> (usize, bool) {
        const SMALLER_OR_MASK: u64 = 0b101;
        let (mut pages, mut seen, mut at) = (0, HashSet::new(), self.first);
        while at != 0 && seen.len() < MAX_PAGES && seen.insert(at) {
            let Ok(directory) = self.read_directory(at, PAGE) else {
                return (pages, false);
            };
            let subfile = directory.number(tag::NEW_SUBFILE_TYPE, 0).unwrap_or_default();
            let is_picture =
                directory.number(tag::IMAGE_WIDTH, 0).is_some() && subfile & SMALLER_OR_MASK == 0;
            if is_picture || pages == 0 {
                pages += 1;
            }
            at = directory.next;
        }
        (pages, true)
    }

    /// Reads what is whole of these tags in a directory, or in the first one if `at` is `None`.
    pub(super) fn read_whole_tags(
        &self,
        at: Option<u64>,
        tags: &'static [u16],
    ) -> Option<Directory<'s>> {
        self.read_directory(at.unwrap_or(self.first), Wanted { tags, is_strict: false }).ok()
    }

    fn read_directory(&self, at: u64, wanted: Wanted) -> Result<Directory<'s>, TiffError> {
        let (count_bytes, entry_bytes, offset_bytes) =
            if self.big { (8, 20, 8) } else { (2, 12, 4) };
        let count = self.read_number(at, count_bytes)?;
        if count > MAX_ENTRIES {
            return Err(TiffError::Corrupt("a directory has too many tags"));
        }
        let mut entries: Vec<DirectoryEntry> = Vec::new();
        let mut entry_at = at + count_bytes;
        for _ in 0..count {
            let tag = self.read_number(entry_at, 2)?;
            let field_type = FieldType::new(self.read_number(entry_at + 2, 2)?);
            let count = self.read_number(entry_at + 4, offset_bytes)?;
            let value_at = entry_at + 4 + offset_bytes;
            entry_at += entry_bytes;
            let known = wanted.tags.iter().find(|known| u64::from(**known) == tag);
            let (Some(&tag), Some(field_type)) = (known, field_type) else { continue };
            // The first of two equal tags counts, as in libtiff.
            if entries.iter().any(|entry| entry.tag == tag) {
                continue;
            }
            // Values that fit into the field for their offset stand in it.
            let bytes = count.checked_mul(field_type.bytes()).ok_or(TiffError::Truncated)?;
            let offset = if bytes <= offset_bytes {
                value_at
            } else {
                self.read_number(value_at, offset_bytes)?
            };
            if self.bytes(offset, bytes).is_none() {
                if wanted.is_strict {
                    return Err(TiffError::Truncated);
                }
                continue;
            }
            entries.push(DirectoryEntry { tag, field_type, count, offset });
        }
        // A file that was cut off right behind its only directory is complete but for this number.
        let next = self.read_number(entry_at, offset_bytes).unwrap_or(0);
        Ok(Directory { file: *self, entries, next })
    }

    /// Reads a number of `bytes` bytes.
    fn read_number(&self, at: u64, bytes: u64) -> Result<u64, TiffError> {
        self.bytes(at, bytes).map(|bytes| self.byte_order.number(bytes)).ok_or(TiffError::Truncated)
    }

    /// Returns `count` bytes of the file, or `None` unless all are there.
    pub(super) fn bytes(&self, at: u64, count: u64) -> Option<&'s [u8]> {
        let start = usize::try_from(at).ok()?;
        let end = start.checked_add(usize::try_from(count).ok()?)?;
        self.source.get(start..end)
    }

    /// Length of the file, in bytes.
    pub(super) fn len(&self) -> usize {
        self.source.len()
    }

    /// Returns all bytes of the file from a place on, or `None` if it is behind the end.
    pub(super) fn bytes_from(&self, at: u64) -> Option<&'s [u8]> {
        self.source.get(usize::try_from(at).ok()?..)
    }
}

impl<'s> Directory<'s> {
    fn entry(&self, tag: u16) -> Option<&DirectoryEntry> {
        self.entries.iter().find(|entry| entry.tag == tag)
    }

    /// Returns how many values a tag has, or 0 without the tag.
    pub(super) fn count(&self, tag: u16) -> u64 {
        self.entry(tag).map_or(0, |entry| entry.count)
    }

    /// Returns a value that is a whole number and not negative.
    pub(super) fn number(&self, tag: u16, index: u64) -> Option<u64> {
        let (field_type, bytes) = self.value(tag, index)?;
        let number = self.file.byte_order.number(bytes);
        match field_type {
            FieldType::Unsigned(_) => Some(number),
            FieldType::Signed(bytes) => (number >> (bytes * 8 - 1) == 0).then_some(number),
            _ => None,
        }
    }

    /// Returns a value as a real number.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap
    )]
    pub(super) fn real(&self, tag: u16, index: u64) -> Option<f64> {
        let (field_type, bytes) = self.value(tag, index)?;
        let number = self.file.byte_order.number(bytes);
        Some(match field_type {
            FieldType::Unsigned(_) => number as f64,
            FieldType::Signed(bytes) => {
                let unused = 64 - bytes * 8;
                ((number << unused) as i64 >> unused) as f64
            }
            FieldType::UnsignedRatio | FieldType::SignedRatio => {
                let halves =
                    [&bytes[..4], &bytes[4..]].map(|half| self.file.byte_order.number(half) as u32);
                let [over, under] = halves.map(|half| {
                    if matches!(field_type, FieldType::SignedRatio) {
                        f64::from(half as i32)
                    } else {
                        half.into()
                    }
                });
                over / under
            }
            FieldType::Float => f32::from_bits(number as u32).into(),
            FieldType::Double => f64::from_bits(number),
        })
    }

    /// Returns all bytes of a tag's values.
    pub(super) fn bytes(&self, tag: u16) -> Option<&'s [u8]> {
        let entry = self.entry(tag)?;
        self.file.bytes(entry.offset, entry.count.checked_mul(entry.field_type.bytes())?)
    }

    fn value(&self, tag: u16, index: u64) -> Option<(FieldType, &'s [u8])> {
        let entry = self.entry(tag)?;
        let bytes = entry.field_type.bytes();
        let at = entry.offset.checked_add(index.checked_mul(bytes)?)?;
        (index < entry.count)
            .then(|| self.file.bytes(at, bytes))
            .flatten()
            .map(|value| (entry.field_type, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds directories of an `ImageWidth` and a `NewSubfileType`, each with the offset of the
    /// next.
    fn file(pages: &[(u32, u32)]) -> Vec<u8> {
        let mut file = b"II*\0\x08\0\0\0".to_vec();
        for (subfile, next) in pages {
            file.extend([2, 0]);
            for (tag, value) in [(tag::NEW_SUBFILE_TYPE, *subfile), (tag::IMAGE_WIDTH, 1)] {
                file.extend(tag.to_le_bytes());
                file.extend([4, 0, 1, 0, 0, 0]);
                file.extend(value.to_le_bytes());
            }
            file.extend(next.to_le_bytes());
        }
        file
    }

    #[test]
    fn pages_are_counted_once_and_smaller_versions_are_not() {
        for (pages, expected) in [
            (&[(0, 0)][..], (1, true)),
            (&[(0, 38), (0, 68), (0, 0)], (3, true)),
            (&[(0, 38), (1, 68), (4, 0)], (1, true)),
            // The first page counts whatever it is.
            (&[(1, 38), (0, 0)], (2, true)),
            // Circles end the count.
            (&[(0, 8)], (1, true)),
            (&[(0, 38), (0, 8)], (2, true)),
            // Damage ends it too.
            (&[(0, 38), (0, 9_999)], (2, false)),
        ] {
            assert_eq!(TiffFile::open(&file(pages)).unwrap().count_pages(), expected, "{pages:?}");
        }
    }
}
