//! Decodes JPEG XL with jxl-oxide: still pictures, and animations frame by frame.
//!
//! jxl-oxide converts colours itself, so samples come out as sRGB if the file gives its colours by
//! numbers or is coded in XYB. It tone-maps HDR by the curve of BT.2408, and applies orientation.
//! The ICC profile of samples that are not XYB is handed on. The container's boxes are walked here,
//! so that compressed metadata, which may grow without bounds, never reaches the decoder. Left out:
//! metadata, previews, reconstruction of JPEGs.

use std::borrow::Cow;

use image::metadata::Orientation;
use jxl_bitstream::Bitstream;
use jxl_oxide::color::{ColourEncoding, ColourSpace, EnumColourEncoding};
use jxl_oxide::image::ImageHeader;
use jxl_oxide::{
    AllocTracker, ExtraChannelType, InitializeResult, JxlImage, JxlThreadPool, Render,
    RenderingIntent,
};
use jxl_oxide_common::Bundle;

use crate::codec::error::{BoxedError, CodecError};
use crate::codec::header::Header;
use crate::codec::pixels::channels::Channels;
use crate::codec::pixels::cicp::HDR_NOTE;
use crate::codec::pixels::frames::{Frame, Frames};
use crate::codec::pixels::profile::{self, MAX_PROFILE_BYTES, Profile};
use crate::codec::pixels::raster::Raster;
use crate::codec::pixels::rgb::divide_by_alpha;
use crate::codec::sniff::PictureFormat;
use crate::codec::timer::Timer;

/// Most bytes by which an ICC profile may be longer before it is decoded than after (18181-1, E.4).
const PROFILE_SURPLUS_BYTES: u64 = 1 << 16;
/// Most hidden frames between two that are shown: layers, patches, and pictures others refer to.
/// Rendering recurses from one to the next, and each takes two kilobytes of stack.
const MAX_HIDDEN_FRAMES: usize = 256;
/// Most frames of every kind.
const MAX_FRAMES: usize = 200_000;
/// The first box of a file that is not a bare codestream.
pub(super) const CONTAINER: &[u8] = b"\0\0\0\x0CJXL \r\n\x87\n";
/// Memory that decoding takes for each sample of the canvas, beside the result, in bytes. Measured:
/// 8 to 9 for lossy pictures, 15 with noise, 2 to 3 for lossless ones of 8 bits.
const BYTES_PER_SAMPLE: u64 = 15;
/// Memory that decoding takes whatever the size, in bytes.
const BASE_BYTES: u64 = 24 << 20;
/// Memory that each sample of a frame takes after the frame was rendered, in bytes: jxl-oxide keeps
/// all frames, hidden ones too, because later ones may refer to them.
const RETAINED_BYTES_PER_SAMPLE: u64 = 4;

/// The reason why a picture is refused here, before or beside the decoder's own errors.
#[derive(Debug, thiserror::Error)]
pub(super) enum JxlError {
    #[error("the file ends too early")]
    Truncated,
    #[error("its boxes contradict themselves")]
    Container,
    #[error("its ICC profile is too long")]
    Profile,
    #[error("it has too many frames")]
    Frames,
    #[error("its channels are not of a known kind")]
    Channels,
    #[error("it needs {needed} bytes of memory, of {limit}")]
    Memory { needed: u64, limit: u64 },
}

/// Reads size and needs of a picture, and counts the frames of an animation.
pub(crate) fn header(source: &[u8]) -> Result<Header, BoxedError> {
    let codestream = codestream(source)?;
    let (image, profile_bytes) = image_header(&codestream)?;
    let mut header = Header {
        width: image.width_with_orientation(),
        height: image.height_with_orientation(),
        frames: 1,
        decode_bytes: decoding_bytes(&image, source.len(), profile_bytes),
        alpha: image.metadata.ec_info.iter().any(jxl_oxide::image::ExtraChannelInfo::is_alpha),
        lossless: !image.metadata.xyb_encoded,
    };
    // Walking over the frames keeps their coded bytes, but nothing that grows with their pixels.
    let walked = open(&codestream, AllocTracker::with_limit(usize::MAX))?;
    if image.metadata.animation.is_some() {
        header.frames = u32::try_from(walked.num_loaded_keyframes()).unwrap_or(u32::MAX);
    }
    let kept = walked.num_loaded_frames() as u64;
    if kept > 1 {
        let canvas = u64::from(header.width) * u64::from(header.height);
        let samples = canvas.saturating_mul(samples_per_pixel(&image).max(4));
        let kept = samples.saturating_mul(RETAINED_BYTES_PER_SAMPLE).saturating_mul(kept);
        header.decode_bytes = header.decode_bytes.saturating_add(kept);
    }
    Ok(header)
}

/// Decodes a still picture, or the first frame of an animation, within the memory given, in bytes.
pub(crate) fn decode(
    source: &[u8],
    memory_limit: u64,
    timer: &Timer,
) -> Result<Raster, BoxedError> {
    let opened = OpenedImage::new(source, memory_limit)?;
    let mut notes = opened.notes.clone();
    let render = opened.render(0, timer)?;
    let (width, height) = (opened.image.width(), opened.image.height());
    let (channels, samples) = opened.samples(&render)?;
    if matches!(channels, Channels::Cmyk) && opened.image.pixel_format().has_alpha() {
        notes.push("its transparency is not kept".into());
    }
    let profile = opened.profile;
    Ok(Raster {
        width,
        height,
        channels,
        samples,
        profile,
        orientation: Orientation::NoTransforms,
        partial: false,
        notes,
    })
}

/// The frames of an animated JPEG XL.
pub(crate) struct JxlFrames<'t> {
    opened: OpenedImage,
    timer: &'t Timer,
    /// Number of the next frame.
    next: usize,
    /// Duration of the frames so far, in ticks. It is kept so that rounding errors don't add up.
    ticks: u64,
    /// Duration given for the frames so far, in milliseconds.
    milliseconds: u64,
    /// How often the animation plays, or 0 for ever.
    loop_count: u32,
    /// ICC profile of all frames. Without one they are sRGB.
    profile: Option<Profile>,
}

impl<'t> JxlFrames<'t> {
    /// Opens an animation. A frame fails if it would take more than the memory given, in bytes.
    pub(crate) fn new(
        source: &[u8],
        memory_limit: u64,
        timer: &'t Timer,
    ) -> Result<Self, BoxedError> {
        let mut opened = OpenedImage::new(source, memory_limit)?;
        let animation = opened.image.image_header().metadata.animation.as_ref();
        let loop_count = animation.map_or(1, |animation| animation.num_loops);
        let profile = opened.profile.take();
        Ok(Self { opened, timer, next: 0, ticks: 0, milliseconds: 0, loop_count, profile })
    }

    /// Decodes the next frame. Returns `None` after the last frame, and after an error.
    fn next_frame(&mut self) -> Result<Option<Frame>, BoxedError> {
        if self.next >= self.opened.image.num_loaded_keyframes() {
            return Ok(None);
        }
        let number = self.next;
        // A frame that failed leaves its state behind, for which another try would wait for ever.
        self.next = usize::MAX;
        let render = self.opened.render(number, self.timer)?;
        let (channels, samples) = self.opened.samples(&render)?;
        let rgba = to_rgba(channels, samples)?;
        self.next = number + 1;
        Ok(Some(Frame { rgba, duration_ms: self.milliseconds(render.duration()) }))
    }

    /// Returns a frame's duration in milliseconds.
    fn milliseconds(&mut self, ticks: u32) -> u32 {
        let Some(animation) = &self.opened.image.image_header().metadata.animation else {
            return 0;
        };
        // A second has numerator / denominator ticks, which are numbers of 32 and 10 bits.
        self.ticks = self.ticks.saturating_add(ticks.into());
        let total = u128::from(self.ticks) * 1000 * u128::from(animation.tps_denominator)
            / u128::from(animation.tps_numerator.max(1));
        let total = u64::try_from(total).unwrap_or(u64::MAX);
        let shown = total - self.milliseconds;
        self.milliseconds = total;
        u32::try_from(shown).unwrap_or(u32::MAX)
    }
}

impl Frames for JxlFrames<'_> {
    fn next(&mut self) -> Result<Option<Frame>, CodecError> {
        self.next_frame()
            .map_err(|source| CodecError::Decode { format: PictureFormat::Jxl, source })
    }

    fn loop_count(&self) -> u16 {
        u16::try_from(self.loop_count).unwrap_or(u16::MAX)
    }

    fn profile(&self) -> Option<Profile> {
        self.profile.clone()
    }

    fn orientation(&self) -> Orientation {
        Orientation::NoTransforms
    }
}

/// A picture that is ready to be rendered.
struct OpenedImage {
    image: JxlImage,
    /// Counts the memory of `image`, and grants it.
    tracker: AllocTracker,
    /// Profile of the samples, or `None` if they come as sRGB.
    profile: Option<Profile>,
    premultiplied: bool,
    notes: Vec<String>,
}

impl OpenedImage {
    /// Reads all frames, and prepares colours.
    fn new(source: &[u8], memory_limit: u64) -> Result<Self, BoxedError> {
        let codestream = codestream(source)?;
        let (header, profile_bytes) = image_header(&codestream)?;
        let needed = decoding_bytes(&header, source.len(), profile_bytes);
        if needed > memory_limit {
            return Err(JxlError::Memory { needed, limit: memory_limit }.into());
        }
        // The decoder counts its own memory. The result and copies of the source come on top.
        let rest = memory_limit.saturating_sub(untracked_bytes(&header, source.len()));
        let limit = usize::try_from(rest).unwrap_or(usize::MAX);
        let tracker = AllocTracker::with_limit(limit);
        let mut image = open(&codestream, tracker.clone())?;
        let profile = request_srgb(&mut image);
        let alpha = image.image_header().metadata.ec_info.iter().find(|channel| channel.is_alpha());
        let premultiplied = matches!(
            alpha.map(|channel| channel.ty),
            Some(ExtraChannelType::Alpha { alpha_associated: true })
        );
        let notes = image.hdr_type().map(|_| HDR_NOTE.to_owned()).into_iter().collect();
        Ok(Self { image, tracker, profile, premultiplied, notes })
    }

    /// Renders a frame. Once its time is over it gets no more memory, which ends it.
    fn render(&self, number: usize, timer: &Timer) -> Result<Render, BoxedError> {
        timer.check()?;
        let tracker = self.tracker.clone();
        let render = || self.image.render_frame(number);
        timer.stoppable(move || take_all(&tracker), render)
    }

    /// Returns the samples of a rendered frame.
    fn samples(&self, render: &Render) -> Result<(Channels, Vec<u8>), BoxedError> {
        let format = self.image.pixel_format();
        let mut stream =
            if format.has_black() { render.stream_no_alpha() } else { render.stream() };
        let channels = match (stream.channels(), format.has_black()) {
            (1, false) => Channels::Grey,
            (2, false) => Channels::GreyAlpha,
            (3, false) => Channels::Rgb,
            (4, false) => Channels::Rgba,
            (4, true) => Channels::Cmyk,
            _ => return Err(JxlError::Channels.into()),
        };
        let pixels = stream.width() as usize * stream.height() as usize;
        let mut samples = vec![0_u8; pixels * channels.count()];
        stream.write_to_buffer(&mut samples);
        if channels == Channels::Cmyk {
            // In JPEG XL 0 is full ink.
            samples.iter_mut().for_each(|sample| *sample = u8::MAX - *sample);
        }
        if self.premultiplied && channels.has_alpha() {
            samples.chunks_exact_mut(channels.count()).for_each(divide_by_alpha);
        }
        Ok((channels, samples))
    }
}

fn to_rgba(channels: Channels, samples: Vec<u8>) -> Result<Vec<u8>, JxlError> {
    let opaque = u8::MAX;
    Ok(match channels {
        Channels::Rgba => samples,
        Channels::Rgb => samples
            .chunks_exact(3)
            .flat_map(|pixel| [pixel[0], pixel[1], pixel[2], opaque])
            .collect(),
        Channels::Grey => samples.iter().flat_map(|grey| [*grey, *grey, *grey, opaque]).collect(),
        Channels::GreyAlpha => samples
            .chunks_exact(2)
            .flat_map(|pixel| [pixel[0], pixel[0], pixel[0], pixel[1]])
            .collect(),
        Channels::Cmyk => return Err(JxlError::Channels),
    })
}

/// Asks for sRGB if jxl-oxide can convert to it, and returns the profile of the samples if it
/// can't.
fn request_srgb(image: &mut JxlImage) -> Option<Profile> {
    let metadata = &image.image_header().metadata;
    // jxl-oxide skips the conversion only if the intent is the same, too.
    let intent = match &metadata.colour_encoding {
        ColourEncoding::Enum(own) if own.colour_space == ColourSpace::Unknown => return None,
        ColourEncoding::Enum(own) => own.rendering_intent,
        // XYB can be converted to anything. The profile only says what it was made from.
        ColourEncoding::IccProfile(_) if metadata.xyb_encoded => RenderingIntent::Relative,
        // jxl-oxide reads curves and primaries of some profiles, but took a Display P3 for another.
        ColourEncoding::IccProfile(_) => return image.original_icc().and_then(Profile::new),
    };
    let grey = metadata.grayscale();
    image.request_color_encoding(if grey {
        EnumColourEncoding::gray_srgb(intent)
    } else {
        EnumColourEncoding::srgb(intent)
    });
    None
}

/// Returns the number of channels as coded.
fn samples_per_pixel(image: &ImageHeader) -> u64 {
    let metadata = &image.metadata;
    let colours = if metadata.grayscale() && !metadata.xyb_encoded { 1 } else { 3 };
    colours + metadata.ec_info.len() as u64
}

/// Returns the memory that decoding takes, in bytes.
fn decoding_bytes(image: &ImageHeader, source_bytes: usize, profile_bytes: usize) -> u64 {
    let pixels = u64::from(image.size.width) * u64::from(image.size.height);
    let samples = pixels.saturating_mul(samples_per_pixel(image));
    let tracked = samples.saturating_mul(BYTES_PER_SAMPLE);
    tracked
        .saturating_add(untracked_bytes(image, source_bytes))
        .saturating_add(profile::memory_bytes(profile_bytes))
        .saturating_add(BASE_BYTES)
}

/// Returns the memory that the decoder does not count, in bytes: the result, the source put
/// together, and twice on its way to the decoder's groups.
fn untracked_bytes(image: &ImageHeader, source_bytes: usize) -> u64 {
    let pixels = u64::from(image.size.width) * u64::from(image.size.height);
    pixels.saturating_mul(4).saturating_add(3 * source_bytes as u64)
}

/// Reads the header of the codestream, and the length of its profile, which is 0 without one.
///
/// The decoder reserves memory for as long a profile as a few bytes say, so the length is checked
/// before.
pub(super) fn image_header(codestream: &[u8]) -> Result<(ImageHeader, usize), BoxedError> {
    let mut bits = Bitstream::new(codestream);
    let header = ImageHeader::parse(&mut bits, ())?;
    if !header.metadata.colour_encoding.want_icc() {
        return Ok((header, 0));
    }
    let most = MAX_PROFILE_BYTES as u64;
    if bits.clone().read_u64()? > most + PROFILE_SURPLUS_BYTES {
        return Err(JxlError::Profile.into());
    }
    // The profile's own length comes first, with seven bits a byte, the lowest first.
    let encoded = jxl_color::icc::read_icc(&mut bits)?;
    let last = encoded.iter().take(5).position(|byte| byte & 0x80 == 0);
    let length = &encoded[..last.map_or(0, |last| last + 1)];
    let length =
        length.iter().rev().fold(0_u64, |length, byte| length << 7 | u64::from(byte & 0x7F));
    match usize::try_from(length) {
        Ok(length) if last.is_some() && length <= MAX_PROFILE_BYTES => Ok((header, length)),
        _ => Err(JxlError::Profile.into()),
    }
}

/// Reads the headers of all frames and keeps their bytes. Nothing is rendered yet.
fn open(codestream: &[u8], tracker: AllocTracker) -> Result<JxlImage, BoxedError> {
    let mut image =
        JxlImage::builder().pool(JxlThreadPool::none()).alloc_tracker(tracker).build_uninit();
    image.feed_bytes(codestream)?;
    let InitializeResult::Initialized(image) = image.try_init()? else {
        return Err(JxlError::Truncated.into());
    };
    if !image.is_loading_done() || image.num_loaded_keyframes() == 0 {
        return Err(JxlError::Truncated.into());
    }
    let frames = image.num_loaded_frames();
    let mut hidden = 0;
    for frame in (0..frames).filter_map(|number| image.frame(number)) {
        hidden = if frame.header().is_keyframe() { 0 } else { hidden + 1 };
        if hidden > MAX_HIDDEN_FRAMES || frames > MAX_FRAMES {
            return Err(JxlError::Frames.into());
        }
    }
    Ok(image)
}

/// Takes all memory that is left to a decoder.
fn take_all(tracker: &AllocTracker) {
    for power in (0..usize::BITS).rev() {
        while tracker.shrink_limit(1 << power).is_ok() {}
    }
}

/// Returns the codestream: the whole file, or what its `jxlc` box or `jxlp` boxes hold (ISO/IEC
/// 18181-2).
pub(super) fn codestream(source: &[u8]) -> Result<Cow<'_, [u8]>, JxlError> {
    let Some(mut rest) = source.strip_prefix(CONTAINER) else { return Ok(Cow::Borrowed(source)) };
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let (kind, content, behind) = next_box(rest)?;
        match kind {
            b"jxlc" => return Ok(Cow::Borrowed(content)),
            // Each part begins with its number, whose highest bit is set in the last part.
            b"jxlp" => {
                let (number, part) = content.split_at_checked(4).ok_or(JxlError::Truncated)?;
                parts.extend_from_slice(part);
                if number[0] & 0x80 != 0 {
                    break;
                }
            }
            _ => {}
        }
        rest = behind;
    }
    if parts.is_empty() { Err(JxlError::Truncated) } else { Ok(Cow::Owned(parts)) }
}

/// Returns the kinds and contents of a container's boxes, up to damage.
pub(crate) fn boxes(source: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = source.strip_prefix(CONTAINER).unwrap_or_default();
    std::iter::from_fn(move || {
        let (kind, content, behind) = next_box(rest).ok()?;
        rest = behind;
        Some((kind, content))
    })
}

/// The kind of a box, its content, and the bytes behind it.
pub(super) type BoxAndRest<'s> = (&'s [u8], &'s [u8], &'s [u8]);

/// Reads the first box. One that is cut short ends with the file.
pub(super) fn next_box(bytes: &[u8]) -> Result<BoxAndRest<'_>, JxlError> {
    let (head, rest) = bytes.split_at_checked(8).ok_or(JxlError::Truncated)?;
    let (size, kind) = head.split_at(4);
    let size = size.iter().fold(0_u64, |size, byte| size << 8 | u64::from(*byte));
    let (length, rest) = match size {
        0 => (rest.len() as u64, rest),
        1 => {
            let (size, rest) = rest.split_at_checked(8).ok_or(JxlError::Truncated)?;
            let size = size.iter().fold(0_u64, |size, byte| size << 8 | u64::from(*byte));
            (size.checked_sub(16).ok_or(JxlError::Container)?, rest)
        }
        _ => (size.checked_sub(8).ok_or(JxlError::Container)?, rest),
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX).min(rest.len());
    let (content, behind) = rest.split_at(length);
    Ok((kind, content, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoder_without_memory_ends() {
        let source = include_bytes!("../../../tests/data/quadrants.jxl");
        let timer = Timer::new(std::time::Duration::from_secs(60));
        let opened = OpenedImage::new(source, u64::MAX).unwrap();
        take_all(&opened.tracker);
        assert!(opened.render(0, &timer).is_err());
        assert!(OpenedImage::new(source, u64::MAX).unwrap().render(0, &timer).is_ok());
    }

    #[test]
    fn a_profile_of_hundreds_of_megabytes_is_refused_before_it_is_read() {
        let name = "jpeg-xl-channels-swapped-by-a-profile.jxl";
        let sources =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/kinds/sources");
        let source = std::fs::read(sources.join(name)).unwrap();
        let codestream = codestream(&source).unwrap();
        let (_, length) = image_header(&codestream).unwrap();
        assert!((128..MAX_PROFILE_BYTES).contains(&length), "{length}");

        let mut bits = Bitstream::new(&codestream);
        ImageHeader::parse(&mut bits, ()).unwrap();
        let before = bits.num_read_bits();
        let bit = |at: usize| codestream[at / 8] >> (at % 8) & 1;
        // A number of 64 bits in its longest form: 12 bits, and twice 8 that follow a one.
        let mut hostile: Vec<u8> = (0..before).map(bit).collect();
        hostile.extend([1, 1]);
        hostile.extend([0; 12]);
        hostile.extend([1; 18]);
        hostile.extend([0; 64]);
        let bytes =
            hostile.chunks(8).map(|bits| bits.iter().rev().fold(0, |byte, bit| byte << 1 | bit));
        let error = image_header(&bytes.collect::<Vec<u8>>()).err().unwrap();
        assert!(matches!(error.downcast_ref(), Some(JxlError::Profile)), "{error}");
    }
}
