//! Reads what a PNG says of its colours, in the order of the standard's third edition (4.3): code
//! points (cICP), a colour profile (iCCP), sRGB, and gamma (gAMA) with primaries (cHRM).
//!
//! Where the standard leaves a choice, colours are those that Chromium shows: primaries count only
//! beside a gamma, and a gamma near that of sRGB is sRGB's. One thing is otherwise. `ImageMagick`
//! writes gamma and primaries into every PNG that is sRGB; Chromium takes that for a power without
//! sRGB's straight end and darkens shadows. Here such a PNG is sRGB.

use std::io::Read as _;

use flate2::read::ZlibDecoder;

use super::chunks::{before_pixels, chunks};
use crate::codec::pixels::cicp::Cicp;
use crate::codec::pixels::profile::{CodePoints, MAX_PROFILE_BYTES, PowerCurve, Profile};

/// White, red, green and blue of sRGB.
const SRGB: [[f32; 2]; 4] = [[0.3127, 0.329], [0.64, 0.33], [0.3, 0.6], [0.15, 0.06]];
/// Largest distance of primaries that count as sRGB's, as in libpng.
const SAME_PRIMARY_WITHIN: f32 = 0.01;
/// The power of displays, which is near that of sRGB's curve.
const DISPLAY_POWER: f32 = 2.2;
/// Largest relative distance of a power that counts as that of displays, as in libpng and Chromium.
const SAME_POWER_WITHIN: f32 = 0.05;
/// Powers beyond these bounds make a picture black or white.
const SANE_POWERS: std::ops::RangeInclusive<f32> = 0.1..=10.0;

/// What a PNG says of its colours.
#[derive(Debug, Default)]
pub(super) struct Colours {
    /// `None` is sRGB.
    pub(super) profile: Option<Profile>,
    /// What was left out.
    pub(super) notes: Vec<String>,
}

impl Colours {
    /// Reads the colours of a picture.
    pub(super) fn read(source: &[u8]) -> Self {
        let mut notes = Vec::new();
        let profile = read_profile(source, &mut notes);
        Self { profile, notes }
    }

    /// Whether the samples are to be decoded with 16 bits, because they are to be converted.
    pub(super) fn needs_deep_samples(&self, source: &[u8]) -> bool {
        /// Where the header says how many bits a sample has.
        const DEPTH_AT: usize = 24;
        let is_converted = !matches!(self.profile, None | Some(Profile::TooLong));
        is_converted && source.get(DEPTH_AT) == Some(&16)
    }
}

/// Returns the profile that counts, or `None` for sRGB.
fn read_profile(source: &[u8], notes: &mut Vec<String>) -> Option<Profile> {
    if let Some(cicp) = before_pixels(source, b"cICP") {
        match code_points(cicp) {
            Some(SRGB_CODE_POINTS) => return None,
            Some(cicp) => {
                let brightest = cicp.is_hdr().then(|| brightest_light(source)).flatten();
                return Some(Profile::CodePoints(CodePoints { cicp, brightest }));
            }
            None => notes.push("its code points of colours are unknown and were left out".into()),
        }
    }
    let says_srgb = matches!(before_pixels(source, b"sRGB"), Some([0..=3]));
    if let Some(content) = before_pixels(source, b"iCCP") {
        if let Some(profile) = icc_profile(content) {
            let is_profile = |chunk: &super::chunks::Chunk<'_>| chunk.kind == *b"iCCP";
            let before = chunks(source).take_while(|chunk| chunk.kind != *b"IDAT");
            if before.filter(is_profile).nth(1).is_some() {
                notes.push("its second colour profile was left out".into());
            }
            if says_srgb {
                notes
                    .push("it has a colour profile and says it is sRGB: the profile counts".into());
            }
            return Some(profile);
        }
        notes.push("its colour profile is damaged and was left out".into());
    }
    if says_srgb {
        return None;
    }
    let gamma = number(before_pixels(source, b"gAMA")?, 0);
    let curve = gamma.and_then(|gamma| power_curve(gamma, before_pixels(source, b"cHRM")));
    if curve.is_none() {
        notes.push("its gamma or its primaries make no sense and were left out".into());
    }
    curve.filter(|curve| !is_srgb(curve)).map(Profile::PowerCurve)
}

const SRGB_CODE_POINTS: Cicp = Cicp { primaries: 1, transfer: 13, matrix: 0, full_range: true };

/// Reads code points. PNG holds RGB only, so the matrix must be the identity.
fn code_points(content: &[u8]) -> Option<Cicp> {
    let [primaries, transfer, 0, range @ (0 | 1)] = *content else { return None };
    let (primaries, transfer) = (primaries.into(), transfer.into());
    let cicp = Cicp { primaries, transfer, matrix: 0, full_range: range == 1 };
    cicp.is_known().then(|| cicp.as_displayed())
}

/// Returns the brightest light of an HDR picture in cd/m², or else that of the display it was made
/// on. 0 is unknown.
fn brightest_light(source: &[u8]) -> Option<f32> {
    /// Where the light of the display is, behind its primaries.
    const DISPLAY_LIGHT_INDEX: usize = 4;
    let of_picture = before_pixels(source, b"cLLI").and_then(|content| number(content, 0));
    let of_picture = of_picture.filter(|light| *light > 0.0);
    let of_display = || number(before_pixels(source, b"mDCV")?, DISPLAY_LIGHT_INDEX);
    let light = of_picture.or_else(|| of_display().filter(|light| *light > 0.0))?;
    // These numbers are in units of 1/10,000, the others in 1/100,000.
    Some(light * 10.0)
}

/// Inflates a colour profile, unless it is too long. Returns `None` if it is damaged.
fn icc_profile(content: &[u8]) -> Option<Profile> {
    // A name of up to 79 bytes ends in a zero, and the only method of compression follows, 0.
    let name = content.iter().take(80).position(|byte| *byte == 0).filter(|length| *length > 0)?;
    let [0, compressed @ ..] = &content[name + 1..] else { return None };
    let inflate = || ZlibDecoder::new(compressed).take(MAX_PROFILE_BYTES as u64 + 1);
    // The length is found first, so that no vector grows.
    let (length, is_whole) = inflated_length(inflate());
    if length > MAX_PROFILE_BYTES {
        return Some(Profile::TooLong);
    }
    let mut inflated = vec![0; length];
    inflate().read_exact(&mut inflated).ok()?;
    // A profile begins with its length. What comes behind it may be damaged.
    let said = inflated.first_chunk().map(|length| u32::from_be_bytes(*length) as usize);
    let is_there = is_whole || said.is_some_and(|said| (1..=length).contains(&said));
    if is_there { Profile::new(inflated) } else { None }
}

/// Returns how many bytes a reader gives, and whether it ends without an error.
fn inflated_length(mut reader: impl std::io::Read) -> (usize, bool) {
    let mut buffer = [0; 4096];
    let mut length = 0;
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return (length, true),
            Ok(read) => length += read,
            Err(_) => return (length, false),
        }
    }
}

/// Reads gamma and primaries, which are sRGB's if they are missing. Returns `None` if they make no
/// sense.
fn power_curve(gamma: f32, primaries: Option<&[u8]>) -> Option<PowerCurve> {
    let power = Some(gamma.recip()).filter(|power| SANE_POWERS.contains(power))?;
    let Some(content) = primaries else { return Some(PowerCurve { power, primaries: SRGB }) };
    let mut primaries = SRGB;
    for (index, coordinate) in primaries.as_flattened_mut().iter_mut().enumerate() {
        *coordinate = number(content, index)?;
    }
    is_triangle_around_white(&primaries).then_some(PowerCurve { power, primaries })
}

/// Reads one of the numbers of a chunk, which are in units of 1/100,000.
fn number(content: &[u8], index: usize) -> Option<f32> {
    let number = u32::from_be_bytes(*content.as_chunks().0.get(index)?);
    // A float holds a number as exactly as is needed here.
    #[expect(clippy::cast_precision_loss, reason = "see above")]
    Some(number as f32 / 100_000.0)
}

/// Whether light of these primaries can make this white.
fn is_triangle_around_white(&[white, red, green, blue]: &[[f32; 2]; 4]) -> bool {
    /// Twice the smallest area of a triangle; that of sRGB has 0.22.
    const SMALLEST: f32 = 0.001;
    let area = |[ax, ay]: [f32; 2], [bx, by]: [f32; 2], [cx, cy]: [f32; 2]| {
        (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
    };
    let whole = area(red, green, blue);
    let parts = [area(red, green, white), area(green, blue, white), area(blue, red, white)];
    let is_inside = parts.iter().all(|part| part * whole.signum() > 0.0);
    let is_visible = |[x, y]: &[f32; 2]| *x + *y <= 1.001;
    let primaries = [white, red, green, blue];
    whole.abs() > SMALLEST && is_inside && white[1] > 0.0 && primaries.iter().all(is_visible)
}

/// Whether colours are sRGB's, as far as gamma and primaries can tell.
fn is_srgb(curve: &PowerCurve) -> bool {
    let same_power = (DISPLAY_POWER / curve.power - 1.0).abs() < SAME_POWER_WITHIN;
    let coordinates = curve.primaries.as_flattened().iter().zip(SRGB.as_flattened());
    let is_same = |(a, b): (&f32, &f32)| (a - b).abs() <= SAME_PRIMARY_WITHIN;
    same_power && coordinates.into_iter().all(is_same)
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;
    use crate::codec::formats::png::chunks::tests::{chunk, png};

    fn profile(chunks: &[Vec<u8>]) -> (Option<Profile>, Vec<String>) {
        let colours = Colours::read(&png(&[&[chunk(b"IHDR", &[0; 13])], chunks].concat()));
        (colours.profile, colours.notes)
    }

    #[test]
    fn the_light_of_hdr_pictures_is_read() {
        let pq = chunk(b"cICP", &[9, 16, 0, 1]);
        let light = |kind: &[u8; 4], before: usize, light: u32| {
            chunk(kind, &[&vec![0; before][..], &light.to_be_bytes(), &[0; 4]].concat())
        };
        for (chunks, expected) in [
            (vec![], None),
            (vec![light(b"cLLI", 0, 4_000_000), light(b"mDCV", 16, 10_000_000)], Some(400.0)),
            (vec![light(b"cLLI", 0, 0), light(b"mDCV", 16, 10_000_000)], Some(1000.0)),
            (vec![light(b"mDCV", 16, 0)], None),
            (vec![chunk(b"cLLI", b"")], None),
        ] {
            let (found, _) = profile(&[slice::from_ref(&pq), &chunks[..]].concat());
            let Some(Profile::CodePoints(found)) = found else { panic!("{found:?}") };
            assert_eq!(found.brightest, expected);
        }
    }

    #[test]
    fn what_makes_no_sense_is_srgb_with_a_note() {
        let gamma = |gamma: u32| chunk(b"gAMA", &gamma.to_be_bytes());
        let primaries = |coordinates: [u32; 8]| {
            chunk(b"cHRM", &coordinates.map(|it| (it * 1000).to_be_bytes()).concat())
        };
        for chunks in [
            vec![chunk(b"gAMA", &[0; 3])],
            vec![gamma(0)],
            vec![gamma(1)],
            vec![gamma(u32::MAX)],
            vec![gamma(100_000), primaries([31, 33, 30, 30, 40, 40, 50, 50])],
            vec![gamma(100_000), primaries([31, 0, 64, 33, 30, 60, 15, 6])],
            vec![gamma(100_000), primaries([31, 33, 64, 33, 64, 33, 15, 6])],
            vec![gamma(100_000), primaries([31, 33, 4_000_000, 33, 30, 60, 15, 6])],
            vec![gamma(100_000), chunk(b"cHRM", &[0; 31])],
        ] {
            let (profile, notes) = profile(&chunks);
            assert!(profile.is_none() && notes[0].contains("no sense"), "{profile:?} {notes:?}");
        }
        let (profile, notes) =
            profile(&[gamma(100_000), primaries([31, 33, 64, 33, 30, 60, 15, 6])]);
        assert!(matches!(profile, Some(Profile::PowerCurve(_))) && notes.is_empty());
    }

    #[test]
    fn srgb_counts_if_its_intent_is_known() {
        let gamma = chunk(b"gAMA", &100_000_u32.to_be_bytes());
        for (intent, counts) in [(&[0][..], true), (&[3], true), (&[5], false), (&[], false)] {
            let (profile, _) = profile(&[chunk(b"sRGB", intent), gamma.clone()]);
            assert_eq!(profile.is_none(), counts, "{intent:?}");
        }
    }

    /// A short file may hold gigabytes.
    #[test]
    fn a_profile_is_not_inflated_beyond_its_limit() {
        use std::io::Write as _;
        let mut bomb =
            flate2::write::ZlibEncoder::new(b"x\0\0".to_vec(), flate2::Compression::fast());
        for _ in 0..64 {
            bomb.write_all(&vec![0; 1 << 20]).unwrap();
        }
        let (profile, _) = profile(&[chunk(b"iCCP", &bomb.finish().unwrap())]);
        assert!(matches!(profile, Some(Profile::TooLong)));
    }
}
