//! What the tags of a page say of its pixels: size, samples, colours, how they are cut into chunks and compressed.
//!
//! A chunk is a strip or a tile. Here everything that a file may claim is checked; nothing is read but tags.

use super::directory::{Directory, Order, tag};
use super::problem::Problem;

/// How the bytes of a chunk are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    /// Modified Huffman, without line ends; rows begin at a byte, or at an even one.
    FaxRows {
        at_words: bool,
    },
    FaxGroup3 {
        two_dimensional: bool,
    },
    FaxGroup4,
    Lzw,
    Jpeg,
    Deflate,
    PackBits,
    Zstd,
    WebP,
}

impl Compression {
    pub(super) const fn is_fax(self) -> bool {
        matches!(self, Self::FaxRows { .. } | Self::FaxGroup3 { .. } | Self::FaxGroup4)
    }
}

/// What was done to samples before they were compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Predictor {
    None,
    Horizontal,
    FloatingPoint,
}

/// What a sample is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Unsigned,
    Signed,
    Float,
}

/// What the first samples of a pixel mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    Grey {
        white_is_zero: bool,
    },
    Rgb,
    Palette,
    Cmyk,
    YCbCr,
    /// CIE L*a*b* with signed a* and b*, or as ICC profiles encode it.
    Lab {
        icc: bool,
    },
}

impl Colour {
    /// Samples of a colour.
    pub(super) const fn samples(self) -> usize {
        match self {
            Self::Grey { .. } | Self::Palette => 1,
            Self::Rgb | Self::YCbCr | Self::Lab { .. } => 3,
            Self::Cmyk => 4,
        }
    }
}

/// Which sample of a pixel is its opacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Alpha {
    pub(super) sample: usize,
    /// The colours are multiplied with it.
    pub(super) associated: bool,
}

pub(super) struct Layout<'s> {
    pub(super) directory: Directory<'s>,
    pub(super) width: u32,
    pub(super) height: u32,
    /// Samples of a pixel, those included that are not shown.
    pub(super) samples: usize,
    pub(super) bits: u32,
    pub(super) kind: Kind,
    pub(super) colour: Colour,
    pub(super) alpha: Option<Alpha>,
    pub(super) compression: Compression,
    pub(super) predictor: Predictor,
    /// Each sample has chunks of its own.
    pub(super) planar: bool,
    /// The first bit of a byte is its lowest.
    pub(super) bits_reversed: bool,
    pub(super) chunk_width: u32,
    /// At most the height of the picture, unless it is a tile's.
    pub(super) chunk_height: u32,
    /// Pixels that share a colour, across and down; 1 and 1 where the compression sees to that.
    pub(super) subsampling: (u32, u32),
    tiled: bool,
}

impl<'s> Layout<'s> {
    /// # Errors
    /// When tags are missing, contradict one another, or ask for what this module can't do.
    pub(super) fn new(directory: Directory<'s>) -> Result<Self, Problem> {
        let number = |tag| directory.number(tag, 0);
        let side = |tag, missing| match number(tag).map(u32::try_from) {
            Some(Ok(side)) if side > 0 => Ok(side),
            _ => Err(Problem::Corrupt(missing)),
        };
        let width = side(tag::IMAGE_WIDTH, "it has no width")?;
        let height = side(tag::IMAGE_LENGTH, "it has no height")?;
        let samples = number(tag::SAMPLES_PER_PIXEL)
            .unwrap_or_else(|| directory.count(tag::BITS_PER_SAMPLE).max(1));
        let samples = u16::try_from(samples)
            .map(usize::from)
            .map_err(|_| Problem::Corrupt("too many samples"))?;
        let compression = compression(&directory)?;
        let colour = colour(&directory, samples, compression)?;
        if samples < colour.samples() {
            return Err(Problem::Corrupt("a pixel has too few samples"));
        }
        let bits = bits(&directory, samples)?;
        let tiled = number(tag::TILE_WIDTH).is_some();
        let (chunk_width, chunk_height) = if tiled {
            (
                side(tag::TILE_WIDTH, "tiles without width")?,
                side(tag::TILE_LENGTH, "tiles without height")?,
            )
        } else {
            let rows = number(tag::ROWS_PER_STRIP)
                .and_then(|rows| u32::try_from(rows).ok())
                .unwrap_or(height);
            (width, if rows == 0 { height } else { rows.min(height) })
        };
        let layout = Self {
            width,
            height,
            samples,
            bits,
            kind: kind(&directory, colour, bits)?,
            colour,
            alpha: alpha(&directory, samples, colour),
            compression,
            predictor: predictor(&directory, compression)?,
            planar: number(tag::PLANAR_CONFIGURATION) == Some(2) && samples > 1,
            bits_reversed: number(tag::FILL_ORDER) == Some(2),
            chunk_width,
            chunk_height,
            subsampling: subsampling(&directory, colour, compression)?,
            tiled,
            directory,
        };
        layout.check()?;
        Ok(layout)
    }

    /// Refuses what no writer makes and nothing here is prepared for.
    fn check(&self) -> Result<(), Problem> {
        let bits = u64::from(self.bits);
        let depth = |what| Err(Problem::Bits { what, bits });
        match (self.kind, self.colour) {
            (_, Colour::Palette) if self.bits > 16 => return depth("palettes"),
            (Kind::Float, Colour::Lab { .. }) if self.bits == 32 => {}
            (_, Colour::Lab { .. }) if !matches!(self.bits, 8 | 16) => {
                return depth("L*a*b* colours");
            }
            (Kind::Float, _) if !matches!(self.bits, 16 | 24 | 32 | 64) => {
                return depth("floating-point samples");
            }
            (Kind::Signed | Kind::Unsigned, _) if self.bits > 32 && self.bits != 64 => {
                return depth("samples");
            }
            _ => {}
        }
        match self.predictor {
            Predictor::Horizontal if !matches!(self.bits, 8 | 16 | 32 | 64) => {
                return depth("predicted samples");
            }
            Predictor::FloatingPoint if self.kind != Kind::Float => {
                return Err(Problem::Corrupt("the predictor is for floating-point samples"));
            }
            _ => {}
        }
        if self.subsampling != (1, 1)
            && (self.bits != 8
                || self.planar
                || self.samples != 3
                || self.predictor != Predictor::None)
        {
            return Err(Problem::Unsupported("this kind of YCbCr with fewer colours than pixels"));
        }
        let is_inner = matches!(self.compression, Compression::Jpeg | Compression::WebP);
        if is_inner && self.bits != 8 {
            return depth("JPEG or WebP pictures inside");
        }
        if self.compression.is_fax() && (self.bits != 1 || self.samples_in_chunk() != 1) {
            return Err(Problem::Corrupt("fax compression is for one bit a pixel"));
        }
        Ok(())
    }

    /// Order of the bytes of samples, once decompressed.
    pub(super) fn order(&self) -> Order {
        // The floating-point predictor puts the highest byte first (Adobe, "TIFF Technical Note 3").
        if self.predictor == Predictor::FloatingPoint {
            Order::Big
        } else {
            self.directory.file.order
        }
    }

    /// The samples of a pixel that are shown: those of its colour, then alpha.
    pub(super) fn shown(&self) -> impl Iterator<Item = usize> {
        (0..self.colour.samples()).chain(self.alpha.map(|alpha| alpha.sample))
    }

    /// Samples that follow each other in a chunk.
    pub(super) fn samples_in_chunk(&self) -> usize {
        if self.planar { 1 } else { self.samples }
    }

    /// Bytes of a row of a chunk, once decompressed.
    pub(super) fn row_bytes(&self) -> u64 {
        (u64::from(self.chunk_width) * u64::from(self.bits) * self.samples_in_chunk() as u64)
            .div_ceil(8)
    }

    /// Chunks across and down.
    pub(super) fn chunks(&self) -> (u32, u32) {
        (self.width.div_ceil(self.chunk_width), self.height.div_ceil(self.chunk_height))
    }

    /// Rows of the picture in a chunk.
    pub(super) fn rows(&self, row: u32) -> u32 {
        self.chunk_height.min(self.height - row * self.chunk_height)
    }

    /// Bytes of the longest chunk, as compressed.
    pub(super) fn longest_chunk(&self) -> u64 {
        let counts = if self.directory.count(tag::TILE_BYTE_COUNTS) > 0 {
            tag::TILE_BYTE_COUNTS
        } else {
            tag::STRIP_BYTE_COUNTS
        };
        let all = self.directory.file.source.len() as u64;
        let (across, down) = self.chunks();
        if self.directory.count(counts) == 0 || self.compression == Compression::None {
            return all;
        }
        let planes = if self.planar { self.samples as u64 } else { 1 };
        let chunks = (u64::from(across) * u64::from(down))
            .saturating_mul(planes)
            .min(self.directory.count(counts));
        let count =
            |index| self.directory.number(counts, index).filter(|count| *count > 0).unwrap_or(all);
        (0..chunks).map(count).max().unwrap_or(all).min(all)
    }

    /// The bytes of the file that hold a chunk, as far as they are there: of a sample, where each has chunks of its
    /// own, and by its place in the picture.
    ///
    /// # Errors
    /// When nothing is there.
    pub(super) fn chunk(&self, sample: usize, column: u32, row: u32) -> Result<&'s [u8], Problem> {
        let (across, down) = self.chunks();
        let plane = if self.planar { sample as u64 } else { 0 };
        let index = plane * u64::from(across) * u64::from(down)
            + u64::from(row) * u64::from(across)
            + u64::from(column);
        let (offsets, counts) = if self.tiled && self.directory.count(tag::TILE_OFFSETS) > 0 {
            (tag::TILE_OFFSETS, tag::TILE_BYTE_COUNTS)
        } else {
            (tag::STRIP_OFFSETS, tag::STRIP_BYTE_COUNTS)
        };
        let offset = self
            .directory
            .number(offsets, index)
            .ok_or(Problem::Corrupt("a strip or tile has no place"))?;
        let start = usize::try_from(offset).map_err(|_| Problem::Truncated)?;
        let rest = self.directory.file.source.get(start..).unwrap_or_default();
        if start == 0 || rest.is_empty() {
            return Err(Problem::Truncated);
        }
        // Some writers leave the counts out; decompressors know where they end. Of the only strip without
        // compression a count that is too small is known to be wrong.
        let is_only = across == 1 && down == 1 && !self.planar;
        let count = match self.directory.number(counts, index) {
            None | Some(0) => rest.len(),
            Some(_) if self.compression == Compression::None && is_only => rest.len(),
            Some(count) => usize::try_from(count).map_or(rest.len(), |count| count.min(rest.len())),
        };
        Ok(&rest[..count])
    }
}

fn compression(directory: &Directory<'_>) -> Result<Compression, Problem> {
    let number = directory.number(tag::COMPRESSION, 0).unwrap_or(1);
    let name = match number {
        1 => return Ok(Compression::None),
        2 => return Ok(Compression::FaxRows { at_words: false }),
        3 => {
            let options = directory.number(tag::T4_OPTIONS, 0).unwrap_or(0);
            return Ok(Compression::FaxGroup3 { two_dimensional: options & 1 == 1 });
        }
        4 => return Ok(Compression::FaxGroup4),
        5 => return Ok(Compression::Lzw),
        7 => return Ok(Compression::Jpeg),
        8 | 32_946 => return Ok(Compression::Deflate),
        32_771 => return Ok(Compression::FaxRows { at_words: true }),
        32_773 => return Ok(Compression::PackBits),
        50_000 => return Ok(Compression::Zstd),
        50_001 => return Ok(Compression::WebP),
        6 => "old-style JPEG",
        9 | 10 | 34_661 => "JBIG",
        32_766 => "NeXT",
        32_809 => "ThunderScan",
        33_003 | 33_005 | 34_712 => "JPEG 2000",
        34_676 | 34_677 => "SGI LogLuv",
        34_887 => "LERC",
        34_892 => "lossy JPEG of raw pictures",
        34_925 => "LZMA",
        50_002 | 52_546 => "JPEG XL",
        _ => "unknown",
    };
    Err(Problem::Compression { number, name })
}

fn predictor(directory: &Directory<'_>, compression: Compression) -> Result<Predictor, Problem> {
    // Of the others it is a mistake that does not matter, as for libtiff.
    if !matches!(compression, Compression::Lzw | Compression::Deflate | Compression::Zstd) {
        return Ok(Predictor::None);
    }
    match directory.number(tag::PREDICTOR, 0) {
        None | Some(1) => Ok(Predictor::None),
        Some(2) => Ok(Predictor::Horizontal),
        Some(3) => Ok(Predictor::FloatingPoint),
        Some(_) => Err(Problem::Unsupported("this predictor")),
    }
}

/// What pixels are (TIFF 6.0, sections 3 to 6, 16, 21 and 23). Without the tag it is guessed as libtiff does.
fn colour(
    directory: &Directory<'_>,
    samples: usize,
    compression: Compression,
) -> Result<Colour, Problem> {
    match directory.number(tag::PHOTOMETRIC, 0) {
        Some(0) => Ok(Colour::Grey { white_is_zero: true }),
        // 4 is a mask for another page: white where that is to be seen.
        Some(1 | 4) => Ok(Colour::Grey { white_is_zero: false }),
        Some(3) => Ok(Colour::Palette),
        Some(5) if directory.number(tag::INK_SET, 0).is_none_or(|inks| inks != 2) => {
            Ok(Colour::Cmyk)
        }
        Some(5) if samples == 4 => Ok(Colour::Cmyk),
        Some(5) => Err(Problem::Unsupported("a set of inks other than CMYK")),
        Some(6) => Ok(Colour::YCbCr),
        Some(8) => Ok(Colour::Lab { icc: false }),
        Some(9) => Ok(Colour::Lab { icc: true }),
        None if samples < 3 => Ok(Colour::Grey { white_is_zero: compression.is_fax() }),
        Some(2) | None => Ok(Colour::Rgb),
        Some(number) => Err(Problem::Photometric(number)),
    }
}

fn bits(directory: &Directory<'_>, samples: usize) -> Result<u32, Problem> {
    let first = directory.number(tag::BITS_PER_SAMPLE, 0).unwrap_or(1);
    let given = directory.count(tag::BITS_PER_SAMPLE).min(samples as u64);
    if (1..given).any(|index| directory.number(tag::BITS_PER_SAMPLE, index) != Some(first)) {
        return Err(Problem::Unsupported("samples of different numbers of bits"));
    }
    match u32::try_from(first) {
        Ok(bits @ 1..=64) => Ok(bits),
        _ => Err(Problem::Bits { what: "samples", bits: first }),
    }
}

fn kind(directory: &Directory<'_>, colour: Colour, bits: u32) -> Result<Kind, Problem> {
    // These say themselves what their samples are, and writers disagree on what the tag is to be.
    if colour == Colour::Palette || matches!(colour, Colour::Lab { .. }) && bits < 32 {
        return Ok(Kind::Unsigned);
    }
    let format = |index| directory.number(tag::SAMPLE_FORMAT, index);
    let given = directory.count(tag::SAMPLE_FORMAT).min(colour.samples() as u64);
    if (1..given).any(|index| format(index) != format(0)) {
        return Err(Problem::Unsupported("a mixture of kinds of samples"));
    }
    match format(0) {
        None | Some(1 | 4) => Ok(Kind::Unsigned),
        // libtiff, and so everyone, shows signed bytes as if they were not.
        Some(2) if bits <= 8 => Ok(Kind::Unsigned),
        Some(2) => Ok(Kind::Signed),
        Some(3) => Ok(Kind::Float),
        Some(_) => Err(Problem::Unsupported("this kind of samples")),
    }
}

/// The first extra sample that is called alpha (TIFF 6.0, section 18). One that is called nothing is not shown, as in
/// Pillow. Only where the tag is missing an extra sample is taken for alpha.
fn alpha(directory: &Directory<'_>, samples: usize, colour: Colour) -> Option<Alpha> {
    /// Corel Draw's number for straight alpha.
    const COREL: u64 = 999;
    let colours = colour.samples();
    if directory.count(tag::EXTRA_SAMPLES) == 0 {
        return (samples == colours + 1).then_some(Alpha { sample: colours, associated: false });
    }
    (colours..samples).zip(0..).find_map(|(sample, index)| {
        match directory.number(tag::EXTRA_SAMPLES, index)? {
            1 => Some(Alpha { sample, associated: true }),
            2 | COREL => Some(Alpha { sample, associated: false }),
            _ => None,
        }
    })
}

fn subsampling(
    directory: &Directory<'_>,
    colour: Colour,
    compression: Compression,
) -> Result<(u32, u32), Problem> {
    if colour != Colour::YCbCr || matches!(compression, Compression::Jpeg | Compression::WebP) {
        return Ok((1, 1));
    }
    let factor = |index| match directory.number(tag::YCBCR_SUBSAMPLING, index) {
        None | Some(2) => Ok(2),
        Some(1) => Ok(1),
        Some(4) => Ok(4),
        Some(_) => Err(Problem::Corrupt("impossible YCbCr subsampling")),
    };
    Ok((factor(0)?, factor(1)?))
}
