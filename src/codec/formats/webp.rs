//! Decodes WebP with libwebp.
//!
//! Encoding is in `encode/`, and so is the reader of the container.

use image::metadata::Orientation;
use webpx::{AnimationDecoder, ColorMode, Decoder, DecoderConfig};

use crate::codec::decoders::tiff::exif::exif_orientation;
use crate::codec::encode::riff::RiffContainer;
use crate::codec::error::CodecError;
use crate::codec::header::Header;
use crate::codec::pixels::channels::Channels;
use crate::codec::pixels::frames::{Frame, Frames};
use crate::codec::pixels::profile::{self, Profile};
use crate::codec::pixels::raster::Raster;

fn bitstream_error(error: webpx::At<webpx::Error>) -> CodecError {
    CodecError::Bitstream(error.decompose().0)
}

/// Reads size and needs of a picture.
pub(crate) fn header(source: &[u8]) -> Result<Header, CodecError> {
    let container = RiffContainer::parse(source)?;
    let info = webpx::ImageInfo::from_webp(source).map_err(bitstream_error)?;
    let frames =
        if info.has_animation { u32::try_from(container.frames()).unwrap_or(u32::MAX) } else { 1 };
    let pixels = u64::from(info.width) * u64::from(info.height);
    let lossless = container.chunk(b"VP8L").is_some();
    // A lossless picture is ARGB while it is decoded. The animation decoder keeps two canvases
    // beside ours.
    let bytes_per_pixel = match (frames > 1 || info.has_animation, lossless) {
        (true, _) => 16,
        (false, true) => 8,
        (false, false) => 5,
    };
    // What is without metadata is copied, and libwebp's animation decoder has a copy of its own.
    let copies = if info.has_animation { 2 } else { 1 };
    let profile_bytes = profile::memory_bytes(container.profile().unwrap_or_default().len());
    Ok(Header {
        width: info.width,
        height: info.height,
        frames,
        decode_bytes: pixels * bytes_per_pixel + copies * source.len() as u64 + profile_bytes,
        alpha: info.has_alpha,
        lossless,
    })
}

/// Returns a note on a file with several colour profiles.
pub(crate) fn further_profiles_note(container: &RiffContainer<'_>) -> Option<String> {
    let note = "it has more than one colour profile: the first counts";
    container.has_further_profiles().then(|| note.into())
}

/// Whether the container says that it is an animation, even of one frame.
pub(crate) fn is_animation(source: &[u8]) -> bool {
    webpx::ImageInfo::from_webp(source).is_ok_and(|info| info.has_animation)
}

/// Whether libwebp's demultiplexer takes a file.
///
/// Browsers read with the demultiplexer, which is stricter than the decoder of still pictures.
pub(crate) fn is_demuxable(webp: &[u8]) -> bool {
    WebPFrames::open(webp).is_ok()
}

/// Decodes a still picture.
///
/// The decoder gets the picture's own chunks only, because libwebp reads on into what follows them.
pub(crate) fn decode(source: &[u8]) -> Result<Raster, CodecError> {
    let container = RiffContainer::parse(source)?;
    let picture = container.without_metadata();
    let info = webpx::ImageInfo::from_webp(&picture).map_err(bitstream_error)?;
    // Our own limits were checked before. Those of webpx would refuse large pictures.
    let config = DecoderConfig::new().limits(webpx::Limits::none());
    let decoder = Decoder::new(&picture).map_err(bitstream_error)?.config(config);
    let (channels, decoded) = if info.has_alpha {
        (Channels::Rgba, decoder.decode_rgba_raw())
    } else {
        (Channels::Rgb, decoder.decode_rgb_raw())
    };
    let (samples, width, height) = decoded.map_err(bitstream_error)?;
    if samples.len() as u64 != u64::from(width) * u64::from(height) * channels.count() as u64 {
        return Err(CodecError::Container("its picture has another size than its header says"));
    }
    Ok(Raster {
        width,
        height,
        channels,
        samples,
        profile: container.profile().and_then(Profile::new),
        orientation: orientation(&container),
        partial: false,
        notes: further_profiles_note(&container).into_iter().collect(),
    })
}

/// The frames of an animated WebP.
pub(crate) struct WebPFrames<'s> {
    decoder: AnimationDecoder,
    container: RiffContainer<'s>,
}

impl<'s> WebPFrames<'s> {
    /// Opens an animation. The decoder gets no metadata, because it keeps a list of all chunks.
    pub(crate) fn open(source: &'s [u8]) -> Result<Self, CodecError> {
        let container = RiffContainer::parse(source)?;
        let no_limits = webpx::Limits::none();
        let pictures = container.without_metadata();
        let decoder =
            AnimationDecoder::with_options_limits(&pictures, ColorMode::Rgba, false, &no_limits);
        Ok(Self { decoder: decoder.map_err(bitstream_error)?, container })
    }
}

impl Frames for WebPFrames<'_> {
    fn next(&mut self) -> Result<Option<Frame>, CodecError> {
        let frame = self.decoder.next_frame().map_err(bitstream_error)?;
        Ok(frame.map(|frame| Frame { rgba: frame.data, duration_ms: frame.duration_ms }))
    }

    fn loop_count(&self) -> u16 {
        u16::try_from(self.decoder.info().loop_count).unwrap_or(u16::MAX)
    }

    fn profile(&self) -> Option<Profile> {
        self.container.profile().and_then(Profile::new)
    }

    fn orientation(&self) -> Orientation {
        orientation(&self.container)
    }
}

/// Returns the orientation in the EXIF chunk, which some programs begin with JPEG's `Exif\0\0`.
fn orientation(container: &RiffContainer<'_>) -> Orientation {
    let exif = container.exif().map(|exif| exif.strip_prefix(b"Exif\0\0").unwrap_or(exif));
    exif.map_or(Orientation::NoTransforms, exif_orientation)
}
