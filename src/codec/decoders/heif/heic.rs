//! Decodes HEIC: HEVC pictures in a HEIF container, by heifer's decoder, which has no `unsafe`.
//!
//! The container is read by `boxes` and `primary`. This file drives the slices itself, because
//! heifer's own loop decodes a picture as often as there are slices that claim all of it.

use heifer_hevc_dec::nal::{NalUnit, NalUnitType};
use heifer_hevc_dec::params::{ParameterSets, Sps};
use heifer_hevc_dec::recon::{Frame, Reconstructor};
use heifer_hevc_dec::slice::SliceHeader;
use heifer_hevc_dec::syntax::{Picture as Parsed, decode_slice_segment};

use super::boxes::HeifContainer;
use super::heic_clock::{TimedSink, stop_by_panic};
use super::planes::{ChromaPlanes, Plane, PlaneSamples, Planes};
use super::primary::{Coding, PrimaryPicture};
use super::tiles::{self, CodedTile, DecodeCost, DecodedTile};
use crate::codec::error::BoxedError;
use crate::codec::header::Header;
use crate::codec::pixels::cicp::Cicp;
use crate::codec::pixels::raster::Raster;
use crate::codec::timer::Timer;

const CODING: Coding = Coding { item_type: *b"hvc1", size_of: coded_size };

/// Cost of decoding. Measured: 8 bytes a pixel in 4:4:4, of which 6 are samples and the rest is for
/// blocks and filters, and 4 in 4:2:0.
const COST: DecodeCost = DecodeCost { bytes_per_pixel: 10, fixed_bytes: 12 << 20 };

/// Most units of a coded picture: slices and what comes before. The largest pictures of the
/// standard have 600 slices (ITU-T H.265, table A.8).
const MAX_UNITS: usize = 10_000;

#[derive(Debug, thiserror::Error)]
enum HeicError {
    #[error("its `hvcC` box is missing or broken")]
    Configuration,
    #[error("a coded picture ends too early")]
    Truncated,
    #[error("a coded picture is larger than the container says")]
    Large,
    #[error("a coded picture has no pixels within its window")]
    Window,
    #[error("a part of a coded picture is missing, or there twice")]
    Incomplete,
    #[error("a coded picture is in too many pieces")]
    TooManyUnits,
}

/// Reads the size of the primary picture, and the memory that decoding takes, from the container
/// alone.
pub(in crate::codec) fn header(source: &[u8]) -> Result<Header, BoxedError> {
    let container = HeifContainer::parse(source)?;
    container.primary(&CODING)?.header(|picture| Ok(header_of(picture, source)))
}

fn header_of(picture: &PrimaryPicture, source: &[u8]) -> Header {
    tiles::estimate_header(picture, source.len(), &COST)
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
        |picture| Ok(header_of(picture, source)),
        |picture| tiles::decode(picture, timer, decode_tile),
    )
}

/// Reads the size of a coded picture from its parameter sets.
fn coded_size(container: &HeifContainer<'_>, item_id: u32) -> Option<(u32, u32)> {
    let units = split_nal_units(container.configuration(item_id)?, &[]).ok()?;
    let mut sets = ParameterSets::default();
    for unit in &units {
        sets.add(unit).ok()?;
    }
    let sps = sets.sps.iter().flatten().next()?;
    let coded = (sps.pic_width_in_luma_samples, sps.pic_height_in_luma_samples);
    let [_, width, _, height] = window_of(sps, coded)?;
    Some((width, height))
}

/// A decoded HEVC picture and the window of it that is shown.
struct HevcTile {
    frame: Frame,
    /// Luma samples left of the window.
    left: u32,
    top: u32,
    width: u32,
    height: u32,
    cicp: Cicp,
}

impl DecodedTile for HevcTile {
    fn planes(&self) -> Planes<'_> {
        let frame = &self.frame;
        let plane = |channel: usize, (left, top): (u32, u32)| Plane {
            samples: PlaneSamples::Words(&frame.planes[channel]),
            stride: frame.widths[channel] as usize,
            left: left as usize,
            top: top as usize,
        };
        let (half_width, half_height) =
            (matches!(frame.chroma_format, 1 | 2), frame.chroma_format == 1);
        let shifted = (self.left >> u8::from(half_width), self.top >> u8::from(half_height));
        let chroma = (frame.widths[1] > 0).then(|| ChromaPlanes {
            cb: plane(1, shifted),
            cr: plane(2, shifted),
            half_width,
            half_height,
        });
        let (width, height) = (self.width as usize, self.height as usize);
        Planes {
            width,
            height,
            luma: plane(0, (self.left, self.top)),
            chroma,
            depths: frame.bit_depth,
        }
    }

    fn cicp(&self) -> Cicp {
        self.cicp
    }
}

/// Returns the NAL units of a tile: those of its configuration, then those of its data.
fn split_nal_units<'t>(
    configuration: &'t [u8],
    data: &'t [u8],
) -> Result<Vec<NalUnit<'t>>, BoxedError> {
    let mut units = Vec::new();
    let mut take =
        |mut rest: &'t [u8], length_bytes: usize, count: usize| -> Result<&'t [u8], BoxedError> {
            for _ in 0..count {
                if rest.is_empty() {
                    break;
                }
                let (length, tail) =
                    rest.split_at_checked(length_bytes).ok_or(HeicError::Truncated)?;
                let length =
                    length.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
                let (unit, tail) = tail.split_at_checked(length).ok_or(HeicError::Truncated)?;
                let unit = NalUnit::parse(unit)?;
                // Other layers hold the second eye's view, or more detail.
                if unit.header.layer_id == 0 {
                    if units.len() == MAX_UNITS {
                        return Err(HeicError::TooManyUnits.into());
                    }
                    units.push(unit);
                }
                rest = tail;
            }
            Ok(rest)
        };
    let (fixed, mut arrays) = configuration.split_at_checked(23).ok_or(HeicError::Configuration)?;
    for _ in 0..fixed[22] {
        let [_kind, high, low, rest @ ..] = arrays else {
            return Err(HeicError::Configuration.into());
        };
        arrays = take(rest, 2, usize::from(*high) << 8 | usize::from(*low))?;
    }
    take(data, usize::from(fixed[21] & 3) + 1, usize::MAX)?;
    Ok(units)
}

fn decode_tile(
    container: &HeifContainer,
    tile: &CodedTile,
    timer: &Timer,
) -> Result<HevcTile, BoxedError> {
    let configuration = container.configuration(tile.item_id).ok_or(HeicError::Configuration)?;
    let data = container.data(tile.item_id)?;
    let units = split_nal_units(configuration, &data)?;
    let mut sets = ParameterSets::default();
    // Parameter sets behind the first slice are for later pictures.
    for unit in units.iter().take_while(|unit| !unit.header.unit_type.is_slice()) {
        sets.add(unit)?;
    }
    for sps in sets.sps.iter().flatten() {
        let pixels =
            u64::from(sps.pic_width_in_luma_samples) * u64::from(sps.pic_height_in_luma_samples);
        if pixels > tiles::max_coded_pixels(tile) {
            return Err(HeicError::Large.into());
        }
    }
    let (frame, sps) = decode_slices(&units, &sets, timer)?;
    crop_to_window(frame, sps)
}

/// Decodes the first picture.
fn decode_slices<'t>(
    units: &[NalUnit],
    sets: &'t ParameterSets,
    timer: &Timer,
) -> Result<(Frame, &'t Sps), BoxedError> {
    let mut state: Option<(Parsed, Reconstructor)> = None;
    let mut previous: Option<SliceHeader> = None;
    let is_slice = |unit: &&NalUnit| {
        matches!(unit.header.unit_type, NalUnitType::IrapSlice(_) | NalUnitType::OtherSlice(_))
    };
    for unit in units.iter().filter(is_slice) {
        let begins_picture = unit.rbsp.first().is_some_and(|byte| byte & 0x80 != 0);
        if begins_picture && state.is_some() {
            break;
        }
        let header = SliceHeader::parse(&unit.rbsp, &unit.header, sets, previous.as_ref())?;
        let (pps, sps) = sets.get(header.slice_pic_parameter_set_id.into())?;
        let (parsed, picture) =
            state.get_or_insert_with(|| (Parsed::new(sps, pps), Reconstructor::new(sps, pps)));
        picture.start_slice(&header);
        let data = unit.rbsp.get(header.header_size..).ok_or(HeicError::Truncated)?;
        let qp_y = header.slice_qp_y(sets)?;
        let mut sink = TimedSink { picture, timer, units: 0 };
        stop_by_panic(|| decode_slice_segment(parsed, &header, qp_y, data, &mut sink))??;
        if let Some(error) = picture.error.take() {
            return Err(error.into());
        }
        // Overlapping slices could each cost a whole picture.
        if parsed.decoded_ctbs > parsed.layout.width * parsed.layout.height {
            return Err(HeicError::Incomplete.into());
        }
        if !header.dependent_slice_segment_flag {
            previous = Some(header);
        }
    }
    let (parsed, picture) = state.ok_or(HeicError::Truncated)?;
    if !parsed.is_complete() {
        return Err(HeicError::Incomplete.into());
    }
    let sps = parsed.sps;
    drop(parsed);
    Ok((picture.finish(false), sps))
}

/// Returns the conformance window (ITU-T H.265, 7.4.3.2.1) of a picture of this size: left, width,
/// top and height. In the file it is given in chroma samples.
fn window_of(sps: &Sps, (width, height): (u32, u32)) -> Option<[u32; 4]> {
    let (unit_x, unit_y) = sps.chroma_subsampling();
    let [left, right, top, bottom] = sps.conf_win_offsets;
    let window = |before: u32, behind: u32, unit: u32, whole: u32| {
        let (before, behind) = (before.checked_mul(unit)?, behind.checked_mul(unit)?);
        let rest = whole.checked_sub(before)?.checked_sub(behind)?;
        (rest > 0).then_some((before, rest))
    };
    let (left, width) = window(left, right, unit_x, width)?;
    let (top, height) = window(top, bottom, unit_y, height)?;
    Some([left, width, top, height])
}

fn crop_to_window(frame: Frame, sps: &Sps) -> Result<HevcTile, BoxedError> {
    let [left, width, top, height] =
        window_of(sps, (frame.widths[0], frame.heights[0])).ok_or(HeicError::Window)?;
    let vui = sps.vui.as_ref();
    let cicp = Cicp {
        primaries: vui.map_or(2, |vui| vui.colour_primaries.into()),
        transfer: vui.map_or(2, |vui| vui.transfer_characteristics.into()),
        matrix: vui.map_or(2, |vui| vui.matrix_coeffs.into()),
        full_range: vui.is_some_and(|vui| vui.video_full_range_flag),
    };
    Ok(HevcTile { frame, left, top, width, height, cicp })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::error::CodecError;

    #[test]
    fn a_picture_is_given_up_within_a_slice_once_its_time_is_over() {
        let source = include_bytes!("../../../../tests/data/kinds/sources/heic.heic");
        let container = HeifContainer::parse(source).unwrap();
        let picture = container.picture(&[container.primary], &CODING).unwrap().colour;
        let tile = CodedTile {
            item_id: picture.tiles[0],
            width: picture.tile_width,
            height: picture.tile_height,
        };
        let in_time = Timer::new(std::time::Duration::from_secs(60));
        assert!(decode_tile(&container, &tile, &in_time).is_ok());
        let error = decode_tile(&container, &tile, &Timer::over()).err().unwrap();
        assert!(matches!(error.downcast_ref(), Some(CodecError::TooSlow { .. })), "{error}");
    }
}
