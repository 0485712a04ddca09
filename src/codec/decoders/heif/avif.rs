//! Decodes AVIF: AV1 pictures in a HEIF container, by `re_rav1d`, a Rust translation of dav1d.
//!
//! The container is read by `boxes` and `primary`. `re_rav1d` is rerun's variant of rav1d: rav1d
//! 1.1 itself aborts the process on every corrupt picture when it runs in one thread (its issues
//! 1492 and 1497), and has no interface without `unsafe`. A panic within the decoder cannot be
//! caught, because it would cross C functions, which aborts. Fuzzing met none.

use re_rav1d::{Decoder, Error, PixelLayout, PlanarImageComponent, Settings, pixel};

use super::boxes::HeifContainer;
use super::planes::{ChromaPlanes, Plane, PlaneSamples, Planes};
use super::primary::{Coding, PrimaryPicture};
use super::tiles::{self, CodedTile, DecodeCost, DecodedTile};
use crate::codec::error::BoxedError;
use crate::codec::header::Header;
use crate::codec::pixels::cicp::Cicp;
use crate::codec::pixels::raster::Raster;
use crate::codec::timer::Timer;

/// The size of a coded picture is always in the container.
const CODING: Coding = Coding { item_type: *b"av01", size_of: |_, _| None };

/// Most frames in the bytes of one picture: at most four spatial layers, one frame each. A hidden
/// frame of a hundred bytes costs as much time and memory as a visible one.
const MAX_FRAMES: u64 = 4;

#[derive(Debug, thiserror::Error)]
enum AvifError {
    #[error("the AV1 decoder could not be set up: {0}")]
    Setup(Error),
    #[error("a coded picture is corrupt, or larger than the container says: {0}")]
    Corrupt(Error),
    #[error("a coded picture is empty")]
    Empty,
    #[error("a coded picture is a film")]
    TooManyFrames,
}

/// Reads the size of the primary picture, and the memory that decoding takes, from the container
/// and the frames' headers.
pub(in crate::codec) fn header(source: &[u8]) -> Result<Header, BoxedError> {
    let container = HeifContainer::parse(source)?;
    let header_of = |picture: &PrimaryPicture| read_header(&container, picture, source.len());
    container.primary(&CODING)?.header(header_of)
}

/// Decodes the primary picture within `memory_limit` bytes.
pub(in crate::codec) fn decode(
    source: &[u8],
    memory_limit: u64,
    timer: &Timer,
) -> Result<Raster, BoxedError> {
    let container = HeifContainer::parse(source)?;
    let decode_tile = |tile: &CodedTile| decode_tile(&container, tile, timer);
    container.primary(&CODING)?.decode(
        memory_limit,
        |picture| read_header(&container, picture, source.len()),
        |picture| tiles::decode(picture, timer, decode_tile),
    )
}

fn read_header(
    container: &HeifContainer,
    picture: &PrimaryPicture,
    source_bytes: usize,
) -> Result<Header, BoxedError> {
    let mut frames = 1;
    for item in
        picture.colour.tiles.iter().chain(picture.alpha.iter().flat_map(|alpha| &alpha.tiles))
    {
        frames = frames.max(count_frames(&container.data(*item)?)?);
    }
    // A pixel takes 6 bytes at most, in 4:4:4 of more than 8 bits. Each frame may be kept, and film
    // grain is applied to a copy. Measured: 1.5 for 4:2:0 of 8 bits, 6 for 4:4:4 of 10 bits.
    let cost = DecodeCost { bytes_per_pixel: 6 * (frames + 1), fixed_bytes: 20 << 20 };
    Ok(tiles::estimate_header(picture, source_bytes, &cost))
}

/// Counts the frames in a stream of OBUs (AV1 specification, 5.3) by their headers.
fn count_frames(mut obus: &[u8]) -> Result<u64, AvifError> {
    const FRAME_HEADER: u8 = 3;
    const FRAME: u8 = 6;
    let mut frames = 0;
    while let [head, rest @ ..] = obus {
        frames += u64::from(matches!(head >> 3 & 0xF, FRAME_HEADER | FRAME));
        let has_extension = head & 4 != 0;
        let has_length = head & 2 != 0;
        let rest = rest.get(usize::from(has_extension)..).unwrap_or_default();
        if !has_length {
            break;
        }
        // The length has seven bits a byte, the lowest first. The highest bit means that more
        // follow.
        let bytes = rest.iter().take(8).position(|byte| byte & 0x80 == 0).unwrap_or(0) + 1;
        let (length, rest) = rest.split_at_checked(bytes).unwrap_or_default();
        let length =
            length.iter().rev().fold(0_u64, |length, byte| length << 7 | u64::from(byte & 0x7F));
        obus =
            usize::try_from(length).ok().and_then(|length| rest.get(length..)).unwrap_or_default();
    }
    if frames > MAX_FRAMES { Err(AvifError::TooManyFrames) } else { Ok(frames) }
}

/// Decodes one coded picture on one thread, because an import decodes several files in parallel.
/// Film grain is applied by default.
fn decode_tile(
    container: &HeifContainer,
    tile: &CodedTile,
    timer: &Timer,
) -> Result<Av1Tile, BoxedError> {
    let data = container.data(tile.item_id)?.into_owned();
    let mut settings = Settings::new();
    settings.set_n_threads(1);
    settings.set_max_frame_delay(1);
    settings.set_frame_size_limit(u32::try_from(tiles::max_coded_pixels(tile)).unwrap_or(u32::MAX));
    // Only the last of several layers is wanted.
    settings.set_all_layers(false);
    let mut decoder = Decoder::with_settings(&settings).map_err(AvifError::Setup)?;
    decode_picture(&mut decoder, data, timer)
}

/// Decodes `data` and returns its last picture. The clock is looked at between frames; within one
/// the decoder can't be stopped.
fn decode_picture(
    decoder: &mut Decoder,
    data: Vec<u8>,
    timer: &Timer,
) -> Result<Av1Tile, BoxedError> {
    if data.is_empty() {
        return Err(AvifError::Empty.into());
    }
    let mut sent = decoder.send_data(data, None, None, None);
    let mut last = None;
    for _ in 0..=MAX_FRAMES {
        let all_sent = match sent {
            Ok(()) => true,
            Err(Error::Again) => false,
            Err(error) => return Err(AvifError::Corrupt(error).into()),
        };
        timer.check()?;
        match decoder.get_picture() {
            Ok(picture) => last = Some(picture),
            Err(Error::Again) if all_sent => break,
            Err(Error::Again) => {}
            Err(error) => return Err(AvifError::Corrupt(error).into()),
        }
        sent = decoder.send_pending_data();
    }
    Ok(last.map(Av1Tile::new).ok_or(AvifError::Empty)?)
}

/// A decoded AV1 picture with its planes.
struct Av1Tile {
    picture: re_rav1d::Picture,
    luma: re_rav1d::Plane,
    chroma: Option<[re_rav1d::Plane; 2]>,
}

impl Av1Tile {
    fn new(picture: re_rav1d::Picture) -> Self {
        let luma = picture.plane(PlanarImageComponent::Y);
        let chroma = (picture.pixel_layout() != PixelLayout::I400).then(|| {
            [PlanarImageComponent::U, PlanarImageComponent::V].map(|channel| picture.plane(channel))
        });
        Self { picture, luma, chroma }
    }

    fn plane<'p>(&self, plane: &'p re_rav1d::Plane, channel: PlanarImageComponent) -> Plane<'p> {
        // Strides are in bytes, and `WordBytes` counts samples of two.
        let stride = self.picture.stride(channel) as usize;
        let (samples, stride) = if self.picture.bit_depth() == 8 {
            (PlaneSamples::Bytes(plane), stride)
        } else {
            (PlaneSamples::WordBytes(plane), stride / 2)
        };
        Plane { samples, stride, left: 0, top: 0 }
    }
}

impl DecodedTile for Av1Tile {
    fn planes(&self) -> Planes<'_> {
        let layout = self.picture.pixel_layout();
        let chroma = self.chroma.as_ref().map(|[cb, cr]| ChromaPlanes {
            cb: self.plane(cb, PlanarImageComponent::U),
            cr: self.plane(cr, PlanarImageComponent::V),
            half_width: layout != PixelLayout::I444,
            half_height: layout == PixelLayout::I420,
        });
        // AV1 has depths of 8, 10 and 12 bits.
        let depth = u8::try_from(self.picture.bit_depth()).unwrap_or(8);
        Planes {
            width: self.picture.width() as usize,
            height: self.picture.height() as usize,
            luma: self.plane(&self.luma, PlanarImageComponent::Y),
            chroma,
            depths: [depth; 2],
        }
    }

    /// Returns the picture's code points. The decoder's enumerations have H.273's numbers.
    fn cicp(&self) -> Cicp {
        Cicp {
            primaries: self.picture.color_primaries() as u16,
            transfer: self.picture.transfer_characteristic() as u16,
            matrix: self.picture.matrix_coefficients() as u16,
            full_range: self.picture.color_range() == pixel::YUVRange::Full,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_by_their_headers() {
        let delimiter = [0x12, 0];
        let sequence = [0x0A, 2, 1, 1];
        let frame = [0x32, 0x81, 0x00, 7];
        let header_with_extension = [0x1E, 0, 1, 9];
        let stream = [&delimiter[..], &sequence, &frame, &header_with_extension].concat();
        assert_eq!(count_frames(&stream).ok(), Some(2));
        assert_eq!(count_frames(&frame.repeat(4)).ok(), Some(4));
        assert!(count_frames(&frame.repeat(5)).is_err());
        assert_eq!(
            count_frames(&[0x30, 1, 2, 3]).ok(),
            Some(1),
            "without a length it reaches to the end"
        );
        assert_eq!(count_frames(&[0x32, 0xFF, 0xFF]).ok(), Some(1), "cut short");
    }
}
