//! A TIFF's directories: the tags of a page and their values, classic (TIFF 6.0, section 2) and `BigTIFF`.
//!
//! Values stay where they are in the file and are read one at a time: a million strip offsets take no memory. What
//! the tags mean is said in `layout`.

use std::collections::HashSet;

use super::problem::Problem;

/// The tags that are read; those of a directory beside them are stepped over.
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

/// Pages that are looked at to count them.
const MAX_PAGES: usize = 1_000;

/// Tags of a directory, which classic TIFF can't hold more of.
const MAX_ENTRIES: u64 = 0xFFFF;

/// Order of the bytes of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    /// A number of up to eight bytes.
    pub(super) fn number(self, bytes: &[u8]) -> u64 {
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        match (self, bytes) {
            // Most samples that are not bytes have four; the way of the others is far slower.
            (Self::Little, [a, b, c, d]) => u32::from_le_bytes([*a, *b, *c, *d]).into(),
            (Self::Big, [a, b, c, d]) => u32::from_be_bytes([*a, *b, *c, *d]).into(),
            (Self::Little, _) => bytes.iter().rev().fold(0, add),
            (Self::Big, _) => bytes.iter().fold(0, add),
        }
    }
}

/// A file whose directories can be read.
#[derive(Clone, Copy)]
pub(super) struct File<'s> {
    pub(super) source: &'s [u8],
    pub(super) order: Order,
    big: bool,
    first: u64,
}

/// What one directory says of what is read here.
pub(super) struct Directory<'s> {
    pub(super) file: File<'s>,
    entries: Vec<Entry>,
    /// Where the next one is; 0 for none.
    next: u64,
}

struct Entry {
    tag: u16,
    kind: Kind,
    count: u64,
    /// Where the first value is.
    at: u64,
}

/// The type of a tag's values.
#[derive(Clone, Copy)]
enum Kind {
    Unsigned(u64),
    Signed(u64),
    UnsignedRatio,
    SignedRatio,
    Float,
    Double,
}

impl Kind {
    fn new(number: u64) -> Option<Self> {
        Some(match number {
            1 | 2 | 7 => Self::Unsigned(1),
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

impl<'s> File<'s> {
    /// Reads the header: byte order, 42 or 43, and where the first directory is.
    ///
    /// # Errors
    /// When it is no TIFF.
    pub(super) fn open(source: &'s [u8]) -> Result<Self, Problem> {
        let order = match source.get(..2) {
            Some(b"II") => Order::Little,
            Some(b"MM") => Order::Big,
            _ => return Err(Problem::Corrupt("no TIFF header")),
        };
        let mut file = Self { source, order, big: false, first: 0 };
        match file.number(2, 2)? {
            42 => file.first = file.number(4, 4)?,
            43 if file.number(4, 2)? == 8 => {
                file.big = true;
                file.first = file.number(8, 8)?;
            }
            _ => return Err(Problem::Corrupt("no TIFF header")),
        }
        Ok(file)
    }

    /// The first directory: the page that other programs show, even if it is a thumbnail (Pillow, libvips and
    /// `ImageMagick` all do).
    ///
    /// # Errors
    /// When the file ends before the directory does.
    pub(super) fn first_page(&self) -> Result<Directory<'s>, Problem> {
        self.directory(self.first)
    }

    /// Number of the pages that are pictures of their own, neither smaller versions nor masks (`NewSubfileType`, TIFF
    /// 6.0, section 8), at most [`MAX_PAGES`]. The first page always counts. Damage ends the count.
    pub(super) fn pages(&self) -> usize {
        const SMALLER_OR_MASK: u64 = 0b101;
        let (mut pages, mut seen, mut at) = (0, HashSet::new(), self.first);
        while at != 0 && seen.len() < MAX_PAGES && seen.insert(at) {
            let Ok(directory) = self.directory(at) else { break };
            let subfile = directory.number(tag::NEW_SUBFILE_TYPE, 0).unwrap_or_default();
            let is_picture =
                directory.number(tag::IMAGE_WIDTH, 0).is_some() && subfile & SMALLER_OR_MASK == 0;
            if is_picture || pages == 0 {
                pages += 1;
            }
            at = directory.next;
        }
        pages
    }

    fn directory(&self, at: u64) -> Result<Directory<'s>, Problem> {
        let (count_bytes, entry_bytes, offset_bytes) =
            if self.big { (8, 20, 8) } else { (2, 12, 4) };
        let count = self.number(at, count_bytes)?;
        if count > MAX_ENTRIES {
            return Err(Problem::Corrupt("a directory has too many tags"));
        }
        let mut entries: Vec<Entry> = Vec::new();
        let mut entry_at = at + count_bytes;
        for _ in 0..count {
            let tag = self.number(entry_at, 2)?;
            let kind = Kind::new(self.number(entry_at + 2, 2)?);
            let count = self.number(entry_at + 4, offset_bytes)?;
            let value_at = entry_at + 4 + offset_bytes;
            entry_at += entry_bytes;
            let known = tag::ALL.into_iter().find(|known| u64::from(*known) == tag);
            let (Some(tag), Some(kind)) = (known, kind) else { continue };
            // Of a tag given twice the first counts, as for libtiff.
            if entries.iter().any(|entry| entry.tag == tag) {
                continue;
            }
            // Values that fit into the room of their own offset are there. If they are not in the file, what is missing may
            // be anything, the number of bits a sample, say: without it the picture would come out wrong.
            let bytes = count.checked_mul(kind.bytes()).ok_or(Problem::Truncated)?;
            let at =
                if bytes <= offset_bytes { value_at } else { self.number(value_at, offset_bytes)? };
            self.bytes(at, bytes).ok_or(Problem::Truncated)?;
            entries.push(Entry { tag, kind, count, at });
        }
        // A file that was cut off behind its only directory is whole but for this.
        let next = self.number(entry_at, offset_bytes).unwrap_or(0);
        Ok(Directory { file: *self, entries, next })
    }

    /// A number of `bytes` bytes.
    fn number(&self, at: u64, bytes: u64) -> Result<u64, Problem> {
        self.bytes(at, bytes).map(|bytes| self.order.number(bytes)).ok_or(Problem::Truncated)
    }

    /// Bytes of the file; `None` unless all are there.
    pub(super) fn bytes(&self, at: u64, count: u64) -> Option<&'s [u8]> {
        let start = usize::try_from(at).ok()?;
        let end = start.checked_add(usize::try_from(count).ok()?)?;
        self.source.get(start..end)
    }
}

impl<'s> Directory<'s> {
    fn entry(&self, tag: u16) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.tag == tag)
    }

    /// How many values a tag has; 0 without it.
    pub(super) fn count(&self, tag: u16) -> u64 {
        self.entry(tag).map_or(0, |entry| entry.count)
    }

    /// A value that is a whole number and not negative.
    pub(super) fn number(&self, tag: u16, index: u64) -> Option<u64> {
        let (kind, bytes) = self.value(tag, index)?;
        let number = self.file.order.number(bytes);
        match kind {
            Kind::Unsigned(_) => Some(number),
            Kind::Signed(bytes) => (number >> (bytes * 8 - 1) == 0).then_some(number),
            _ => None,
        }
    }

    /// A value as a real number.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap
    )]
    pub(super) fn real(&self, tag: u16, index: u64) -> Option<f64> {
        let (kind, bytes) = self.value(tag, index)?;
        let number = self.file.order.number(bytes);
        Some(match kind {
            Kind::Unsigned(_) => number as f64,
            Kind::Signed(bytes) => {
                let unused = 64 - bytes * 8;
                ((number << unused) as i64 >> unused) as f64
            }
            Kind::UnsignedRatio | Kind::SignedRatio => {
                let halves =
                    [&bytes[..4], &bytes[4..]].map(|half| self.file.order.number(half) as u32);
                let [over, under] = halves.map(|half| {
                    if matches!(kind, Kind::SignedRatio) {
                        f64::from(half as i32)
                    } else {
                        half.into()
                    }
                });
                over / under
            }
            Kind::Float => f32::from_bits(number as u32).into(),
            Kind::Double => f64::from_bits(number),
        })
    }

    /// All bytes of a tag whose values are bytes.
    pub(super) fn bytes(&self, tag: u16) -> Option<&'s [u8]> {
        let entry = self.entry(tag)?;
        self.file.bytes(entry.at, entry.count.checked_mul(entry.kind.bytes())?)
    }

    fn value(&self, tag: u16, index: u64) -> Option<(Kind, &'s [u8])> {
        let entry = self.entry(tag)?;
        let bytes = entry.kind.bytes();
        let at = entry.at.checked_add(index.checked_mul(bytes)?)?;
        (index < entry.count)
            .then(|| self.file.bytes(at, bytes))
            .flatten()
            .map(|value| (entry.kind, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Directories of an `ImageWidth` and a `NewSubfileType`, each with where the next one is.
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
            (&[(0, 0)][..], 1),
            (&[(0, 38), (0, 68), (0, 0)], 3),
            (&[(0, 38), (1, 68), (4, 0)], 1),
            // The first counts whatever it is.
            (&[(1, 38), (0, 0)], 2),
            // Circles end.
            (&[(0, 8)], 1),
            (&[(0, 38), (0, 8)], 2),
            // So does damage.
            (&[(0, 38), (0, 9_999)], 2),
        ] {
            assert_eq!(File::open(&file(pages)).unwrap().pages(), expected, "{pages:?}");
        }
    }
}
