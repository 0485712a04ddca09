//! Makes pictures for tests, and reads stored ones.

use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageEncoder as _, Rgb, RgbImage, Rgba, RgbaImage};

/// A picture that differs from those of other seeds, and is so smooth that lossy encoding changes
/// little.
pub fn photo(width: u32, height: u32, seed: u32) -> RgbImage {
    let wave = |position: u32, period: u32| {
        let phase = f64::from(position + seed * 7) / f64::from(period) * std::f64::consts::TAU;
        // The value is between 0 and 255.
        phase.sin().mul_add(127.0, 128.0) as u8
    };
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([wave(x, width), wave(y, height), wave(x + y, width + height)])
    })
}

/// A picture of noise, which takes long to encode and gets large.
pub fn noise(width: u32, height: u32, seed: u32) -> RgbImage {
    let mut state = u64::from(seed) + 1;
    RgbImage::from_fn(width, height, |_, _| {
        // This is Knuth's MMIX generator, whose high bits are the random ones.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let [red, green, blue, ..] = state.to_be_bytes();
        Rgb([red, green, blue])
    })
}

/// A picture whose left half is opaque red and whose right half is transparent.
pub fn half_transparent(width: u32, height: u32) -> RgbaImage {
    RgbaImage::from_fn(width, height, |x, _| Rgba([255, 0, 0, if x < width / 2 { 255 } else { 0 }]))
}

/// Saves a picture in the format of the name's ending.
pub fn save(picture: impl Into<DynamicImage>, path: &Path) {
    picture.into().save(path).unwrap();
}

/// The bytes of a JPEG.
pub fn jpeg(picture: &RgbImage, profile: Option<Vec<u8>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 95);
    if let Some(profile) = profile {
        encoder.set_icc_profile(profile).unwrap();
    }
    encoder.encode_image(picture).unwrap();
    bytes
}

/// An EXIF block that holds nothing but an orientation, 1 to 8.
pub fn exif(orientation: u8) -> Vec<u8> {
    let mut block = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    block.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    block
}

/// The JPEG with an EXIF block after its first marker.
pub fn with_exif(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let payload = [b"Exif\0\0".as_slice(), &exif(orientation)].concat();
    let length = u16::try_from(payload.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], &[0xFF, 0xE1], &length, &payload, &jpeg[2..]].concat()
}

/// The bytes of a still WebP.
pub fn webp(picture: &RgbImage, quality: f32) -> Vec<u8> {
    let encoder = webpx::Encoder::new_rgb(picture, picture.width(), picture.height());
    encoder.quality(quality).encode(webpx::Unstoppable).unwrap()
}

/// The bytes of an animated WebP of three frames.
pub fn animation(width: u32, height: u32) -> Vec<u8> {
    let mut encoder = webpx::AnimationEncoder::new(width, height).unwrap();
    for frame in 0..3 {
        encoder
            .add_frame_rgb(&photo(width, height, 40 + frame), i32::try_from(frame * 100).unwrap())
            .unwrap();
    }
    encoder.finish(300).unwrap()
}

/// The still WebP in the extended format (RFC 9649), with an EXIF chunk at its end.
pub fn webp_with_exif(webp: &[u8], width: u32, height: u32, exif: &[u8]) -> Vec<u8> {
    const EXIF_FLAG: u8 = 0x08;
    let (width, height) = ((width - 1).to_le_bytes(), (height - 1).to_le_bytes());
    let extended = [&[EXIF_FLAG, 0, 0, 0], &width[..3], &height[..3]].concat();
    let body = [b"WEBP".as_slice(), &chunk(b"VP8X", &extended), &webp[12..], &chunk(b"EXIF", exif)]
        .concat();
    [b"RIFF".as_slice(), &u32::try_from(body.len()).unwrap().to_le_bytes(), &body].concat()
}

fn chunk(name: &[u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut chunk = name.to_vec();
    chunk.extend(u32::try_from(payload.len()).unwrap().to_le_bytes());
    chunk.extend(payload);
    chunk.extend(std::iter::repeat_n(0, payload.len() % 2));
    chunk
}

/// The pixels of a stored image.
pub fn decode(webp: &[u8]) -> RgbaImage {
    let (pixels, width, height) = webpx::decode_rgba(webp).unwrap();
    RgbaImage::from_raw(width, height, pixels).unwrap()
}

/// Red, green, blue and alpha.
pub type Colour = [u8; 4];

pub const RED: Colour = [255, 0, 0, 255];
pub const GREEN: Colour = [0, 255, 0, 255];
pub const BLUE: Colour = [0, 0, 255, 255];
pub const NOTHING: Colour = [0, 0, 0, 0];

/// An animated GIF that plays for ever. Each frame has one colour, and a delay in units of 10 ms.
pub fn gif(width: u16, height: u16, frames: &[(Colour, u16)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = gif::Encoder::new(&mut bytes, width, height, &[]).unwrap();
    encoder.set_repeat(gif::Repeat::Infinite).unwrap();
    for (colour, delay) in frames {
        let transparent = (colour[3] == 0).then_some(0);
        encoder
            .write_frame(&gif::Frame {
                width,
                height,
                delay: *delay,
                dispose: gif::DisposalMethod::Background,
                palette: Some(colour[..3].to_vec()),
                transparent,
                buffer: vec![0; usize::from(width) * usize::from(height)].into(),
                ..gif::Frame::default()
            })
            .unwrap();
    }
    drop(encoder);
    bytes
}

/// An animated PNG that plays `plays` times, or for ever when that is 0. Each frame has one colour,
/// and a delay in milliseconds.
pub fn apng(width: u32, height: u32, frames: &[(Colour, u16)], plays: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_animated(u32::try_from(frames.len()).unwrap(), plays).unwrap();
    let mut writer = encoder.write_header().unwrap();
    for (colour, milliseconds) in frames {
        writer.set_frame_delay(*milliseconds, 1000).unwrap();
        writer.write_image_data(&colour.repeat((width * height) as usize)).unwrap();
    }
    writer.finish().unwrap();
    bytes
}

/// A PNG of 8-bit samples with a colour profile.
pub fn png_with_profile(
    (width, height): (u32, u32),
    color: png::ColorType,
    samples: &[u8],
    profile: Vec<u8>,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut info = png::Info::with_size(width, height);
    info.color_type = color;
    info.bit_depth = png::BitDepth::Eight;
    info.icc_profile = Some(profile.into());
    let mut writer = png::Encoder::with_info(&mut bytes, info).unwrap().write_header().unwrap();
    writer.write_image_data(samples).unwrap();
    writer.finish().unwrap();
    bytes
}

/// The still WebP in the extended format, with a colour profile.
pub fn webp_with_profile(webp: &[u8], width: u32, height: u32, profile: &[u8]) -> Vec<u8> {
    const ICC_FLAG: u8 = 0x20;
    let (width, height) = ((width - 1).to_le_bytes(), (height - 1).to_le_bytes());
    let extended = [&[ICC_FLAG, 0, 0, 0], &width[..3], &height[..3]].concat();
    let body =
        [b"WEBP".as_slice(), &chunk(b"VP8X", &extended), &chunk(b"ICCP", profile), &webp[12..]]
            .concat();
    [b"RIFF".as_slice(), &u32::try_from(body.len()).unwrap().to_le_bytes(), &body].concat()
}

/// The middle's colour and the milliseconds of every frame of an animation, and how often it plays.
pub fn frames(webp: &[u8]) -> (Vec<(Colour, u32)>, u32) {
    let mut decoder = webpx::AnimationDecoder::new(webp).unwrap();
    let plays = decoder.info().loop_count;
    let frames = decoder.decode_all().unwrap();
    let middle = |frame: &webpx::Frame| {
        let at = (frame.height / 2 * frame.width + frame.width / 2) as usize * 4;
        frame.data[at..at + 4].try_into().unwrap()
    };
    (frames.iter().map(|frame| (middle(frame), frame.duration_ms)).collect(), plays)
}

/// Whether every channel is about the same. Transparent pixels have no colour.
pub fn is_near(a: Colour, b: Colour) -> bool {
    (a[3] == 0 && b[3] == 0) || a.iter().zip(b).all(|(a, b)| a.abs_diff(b) <= 6)
}
