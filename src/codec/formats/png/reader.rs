//! Opens the decoder of the png crate, and says in words what it finds wrong.

use std::borrow::Cow;
use std::io::ErrorKind;

use png::{ColorType, DecodeOptions, Decoder, DecodingError, Reader, Transformations};

use super::chunks::Damage;
use crate::codec::error::CodecError;
use crate::codec::pixels::channels::Channels;
use crate::codec::sniff::PictureFormat;
use crate::codec::timer::{TimedReader, Timer};

/// Memory that the decoder may take beside the picture, in bytes: for rows, and for chunks that it
/// keeps.
const SIDE_BYTES: usize = 64 << 20;

pub(super) type PngReader<'s> = Reader<TimedReader<'s>>;

/// Opens the decoder of a source that was mended. Samples of 16 bits stay so if `is_deep` is set,
/// and the checksum of the compressed pixels, the last thing in them, is compared if `is_strict`.
///
/// Checksums of chunks are none of its business: [`Damage`] has them.
pub(super) fn open<'s>(
    mended: Cow<'s, [u8]>,
    is_deep: bool,
    is_strict: bool,
    timer: &'s Timer,
) -> Result<PngReader<'s>, DecodingError> {
    let mut options = DecodeOptions::default();
    options.set_ignore_crc(true);
    options.set_ignore_adler32(!is_strict);
    options.set_ignore_text_chunk(true);
    options.set_ignore_iccp_chunk(true);
    let mut decoder = Decoder::new_with_options(TimedReader::new(mended, timer), options);
    decoder.set_limits(png::Limits { bytes: SIDE_BYTES });
    decoder.set_transformations(if is_deep {
        Transformations::EXPAND
    } else {
        Transformations::normalize_to_color8()
    });
    decoder.read_info()
}

/// Returns a buffer that any frame fits in.
pub(super) fn frame_buffer(reader: &PngReader<'_>) -> Result<Vec<u8>, DecodingError> {
    let length = reader.output_buffer_size().ok_or(DecodingError::LimitsExceeded)?;
    Ok(vec![0; length])
}

pub(super) fn channels(reader: &PngReader<'_>) -> Channels {
    match reader.output_color_type().0 {
        ColorType::Grayscale => Channels::Grey,
        ColorType::GrayscaleAlpha => Channels::GreyAlpha,
        // Palettes are expanded to colours.
        ColorType::Rgb | ColorType::Indexed => Channels::Rgb,
        ColorType::Rgba => Channels::Rgba,
    }
}

/// The decoder's messages, and what they mean.
const MEANINGS: [(&str, &str); 16] = [
    ("Corrupt deflate stream", "its compressed pixels are damaged"),
    ("IDAT or fdAT chunk is missing", "it has no pixels, or a frame of its animation has none"),
    ("Unknown filter method", "it has a filter that PNG does not know"),
    ("CgBI", "it is of Apple's own kind (CgBI), which only iPhones show"),
    ("appeared before IHDR", "it does not begin with its header"),
    ("fcTL chunk missing", "a frame of its animation says nothing of its place"),
    ("Sequence is not in order", "the frames of its animation are not in order"),
    ("Sub frame is out-of-bounds", "a frame of its animation lies outside the picture"),
    ("fdAT chunk shorter", "a frame of its animation is too short"),
    ("Unexpected restart of", "its pixels are interrupted"),
    ("Unrecognized critical chunk", "it has a chunk that no reader knows and none may pass by"),
    ("Chunk length wrong", "a chunk has the wrong length"),
    ("Missing palette", "its palette is missing"),
    ("Invalid image dimensions", "its header gives no size"),
    ("Invalid color/depth combination", "its header gives a depth that its colours can't have"),
    ("must appear at most once", "its header, its palette or the like is there twice"),
];

/// Messages on pixels that are missing.
const MISSING_PIXELS: [&str; 2] = ["InsufficientInput", "does not have enough data"];

/// Messages on a file that is cut off in front of its pixels, and was given an end.
const CUT_OFF: [&str; 2] = ["IDAT or fdAT chunk is missing", "IEND"];

#[derive(Debug, thiserror::Error)]
enum PngError {
    #[error("{0}")]
    Format(&'static str),
    #[error("its rows are too long")]
    Limits,
    #[error("{0}")]
    Other(DecodingError),
}

/// Returns the decoder's error as one of the codec.
pub(super) fn decode_error(error: DecodingError, damage: &Damage) -> CodecError {
    let is_end = |kind| kind == ErrorKind::UnexpectedEof;
    let text = error.to_string();
    let is_one_of = |messages: &[&str]| messages.iter().any(|message| text.contains(message));
    let lacks_pixels = match &error {
        DecodingError::IoError(error) => is_end(error.kind()),
        DecodingError::Format(_) => {
            is_one_of(&MISSING_PIXELS) || damage.is_cut_off() && is_one_of(&CUT_OFF)
        }
        DecodingError::Parameter(_) | DecodingError::LimitsExceeded => false,
    };
    if lacks_pixels && !damage.is_inside() {
        return CodecError::Truncated(PictureFormat::Png);
    }
    let meaning = MEANINGS.iter().find(|(message, _)| text.contains(message));
    let source = match (error, meaning) {
        (DecodingError::LimitsExceeded, _) => PngError::Limits,
        (_, Some((_, meaning))) => PngError::Format(meaning),
        (error, None) => PngError::Other(error),
    };
    CodecError::Decode { format: PictureFormat::Png, source: source.into() }
}
