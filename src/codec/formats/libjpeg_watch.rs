//! The functions that libjpeg calls back, and what they note of a picture.
//!
//! They give it the source, look at the clock, leave it with an error, and weigh its warnings.
#![allow(unsafe_code)] // A library in C can't be called otherwise.

use std::ffi::{c_int, c_long};
use std::mem;
use std::panic::resume_unwind;

use mozjpeg_sys as ffi;
use mozjpeg_sys::{jpeg_common_struct, jpeg_decompress_struct};

use super::libjpeg_arithmetic as arithmetic;
use crate::codec::error::CodecError;
use crate::codec::sniff::PictureFormat;
use crate::codec::timer::Timer;

/// Most scans of a picture. Each costs a walk over all of it, and encoders write some ten.
const MAX_SCANS: c_int = 200;

/// Length of libjpeg's longest message, in bytes (`JMSG_LENGTH_MAX`).
const MESSAGE_BYTES: usize = 200;

/// Most bytes that libjpeg is given at once. It looks for a marker through all of it, and only
/// then can the clock be looked at.
pub(super) const PIECE_BYTES: usize = 1 << 20;

/// Most zeros between two markers that are padding. More may be what overwrote data of pixels.
const MAX_PADDING: usize = 16;

/// What libjpeg reads behind the end of the source: the marker at the end of a picture.
static END_OF_IMAGE: [u8; 2] = [0xFF, 0xD9];

/// Why a picture does not decode.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The source ends before the picture does.
    Cut,
    /// No time is left.
    TooSlow(CodecError),
    /// What libjpeg says.
    Corrupt(String),
}

impl Failure {
    /// Returns the error of a source in `format`.
    pub(crate) fn into_error(self, format: PictureFormat) -> CodecError {
        match self {
            Self::Cut => CodecError::Truncated(format),
            Self::TooSlow(error) => error,
            Self::Corrupt(words) => CodecError::Decode { format, source: words.into() },
        }
    }
}

/// What libjpeg's functions share with the ones it calls back.
pub(super) struct Watch<'s> {
    pub(super) source: &'s [u8],
    pub(super) timer: &'s Timer,
    /// The decoder, of which only numbers are read.
    pub(super) decoder: *const jpeg_decompress_struct,
    /// Length of what libjpeg was given of the source, or has skipped.
    pub(super) given: usize,
    /// Whether libjpeg has read behind the end of the source.
    pub(super) ran_out: bool,
    /// Whether pixels are missing because of that.
    pub(super) cut: bool,
    pub(super) damaged: bool,
    /// Whether the data is sequential and in an arithmetic code, which libjpeg takes to go on with
    /// zeros for ever.
    pub(super) endless: bool,
}

/// Returns what `open` has left for the functions that libjpeg calls back.
///
/// # Safety
/// The decoder must be one that `Libjpeg::open` made, and nobody else may have a reference to its
/// watch.
const unsafe fn watch<'w>(common: &jpeg_common_struct) -> &'w mut Watch<'w> {
    // SAFETY: the pointer was set by `open`, and the watch lives as long as the decoder.
    unsafe { &mut *common.client_data.cast() }
}

/// Leaves libjpeg with its message (`error_exit`).
pub(super) extern "C-unwind" fn unwind(common: &mut jpeg_common_struct) {
    type Format = unsafe extern "C-unwind" fn(&mut jpeg_common_struct, &mut [u8; MESSAGE_BYTES]);
    let mut text = [0; MESSAGE_BYTES];
    // SAFETY: `jpeg_std_error` has set the function. It writes so many bytes at most, although its
    // declaration says that it reads fewer.
    unsafe {
        if let Some(format) = (*common.err).format_message {
            let format: Format = mem::transmute(format);
            format(common, &mut text);
        }
    }
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    resume_unwind(Box::new(Failure::Corrupt(String::from_utf8_lossy(text).into_owned())))
}

/// Takes note of what libjpeg goes on from (`emit_message`). Messages of other levels only tell
/// what it reads.
pub(super) extern "C-unwind" fn weigh_warning(common: &mut jpeg_common_struct, level: c_int) {
    if level >= 0 {
        return;
    }
    // SAFETY: libjpeg calls this on its decoder, which `open` has made, and holds no watch.
    let (watch, errors) = unsafe { (watch(common), &mut *common.err) };
    match errors.msg_code {
        // Colours that an unknown transform of Adobe's tells are guessed as all programs do. A
        // sequential scan must say that it has all coefficients, but some encoders write zeros.
        ffi::JWRN_ADOBE_XFORM | ffi::JWRN_JFIF_MAJOR | ffi::JWRN_NOT_SEQUENTIAL => {}
        ffi::JWRN_HIT_MARKER if watch.ran_out => watch.cut = true,
        ffi::JWRN_EXTRANEOUS_DATA => {
            let skipped = errors.msg_parm._bindgen_data_[0] as usize;
            watch.damaged |= has_lost_data(watch, skipped);
        }
        _ => watch.damaged = true,
    }
}

/// Whether bytes that were skipped before a marker may have been data of pixels. A few zeros
/// are padding.
fn has_lost_data(watch: &Watch<'_>, skipped: usize) -> bool {
    // SAFETY: the decoder lives as long as its watch, and this is a plain number.
    let scans = unsafe { (&raw const (*watch.decoder).input_scan_number).read() };
    let end = read_bytes(watch);
    let skipped = &watch.source[end.saturating_sub(skipped)..end];
    let is_padding = skipped.len() <= MAX_PADDING && skipped.iter().all(|byte| *byte == 0);
    scans > 0 && !is_padding
}

/// Looks at the clock and at the number of scans, once for each row of blocks
/// (`progress_monitor`).
pub(super) extern "C-unwind" fn check_progress(common: &mut jpeg_common_struct) {
    // SAFETY: libjpeg calls this on its decoder, which `open` has made, and holds no watch.
    let watch = unsafe { watch(common) };
    // SAFETY: the decoder lives as long as its watch, and this is a plain number.
    let scans = unsafe { (&raw const (*watch.decoder).input_scan_number).read() };
    if let Err(error) = watch.timer.check() {
        resume_unwind(Box::new(Failure::TooSlow(error)));
    }
    if scans > MAX_SCANS {
        let words = format!("it has more than {MAX_SCANS} scans");
        resume_unwind(Box::new(Failure::Corrupt(words)));
    }
    if watch.endless && is_within_scan(watch) {
        watch.cut |= watch.ran_out;
        watch.damaged |= arithmetic::ends_with_marker(&watch.source[..read_bytes(watch)]);
    }
}

/// Whether rows of blocks of the scan under way are missing.
fn is_within_scan(watch: &Watch<'_>) -> bool {
    // SAFETY: the decoder lives as long as its watch, and these are plain numbers.
    let (row, height, down) = unsafe {
        let decoder = watch.decoder;
        (
            (&raw const (*decoder).input_iMCU_row).read(),
            (&raw const (*decoder).image_height).read(),
            (&raw const (*decoder).max_v_samp_factor).read(),
        )
    };
    row < height.div_ceil(8 * down.unsigned_abs().max(1))
}

/// Returns how many bytes of the source libjpeg has read.
pub(super) fn read_bytes(watch: &Watch<'_>) -> usize {
    // SAFETY: the decoder lives as long as its watch, and `open` has set the pointer.
    let next = unsafe { (*(&raw const (*watch.decoder).src).read()).next_input_byte } as usize;
    match next.checked_sub(watch.source.as_ptr() as usize) {
        Some(bytes) if !watch.ran_out => bytes.min(watch.source.len()),
        _ => watch.source.len(),
    }
}

/// Gives libjpeg the next piece of the source or, when that is over, an end of the picture
/// (`fill_input_buffer`).
pub(super) extern "C-unwind" fn give_input(decoder: &mut jpeg_decompress_struct) -> ffi::boolean {
    // SAFETY: `open` has set both pointers.
    let (watch, input) = unsafe { (watch(&decoder.common), &mut *decoder.src) };
    if let Err(error) = watch.timer.check() {
        resume_unwind(Box::new(Failure::TooSlow(error)));
    }
    let rest = &watch.source[watch.given..];
    let mut piece = &rest[..rest.len().min(PIECE_BYTES)];
    watch.given += piece.len();
    if piece.is_empty() {
        watch.ran_out = true;
        piece = &END_OF_IMAGE;
    }
    input.next_input_byte = piece.as_ptr();
    input.bytes_in_buffer = piece.len();
    1
}

/// Skips a part of a segment (`skip_input_data`).
pub(super) extern "C-unwind" fn skip_input(decoder: &mut jpeg_decompress_struct, bytes: c_long) {
    // SAFETY: `open` has set both pointers.
    let (watch, input) = unsafe { (watch(&decoder.common), &mut *decoder.src) };
    let bytes = usize::try_from(bytes).unwrap_or_default();
    let of_piece = bytes.min(input.bytes_in_buffer);
    // SAFETY: so many bytes are there.
    input.next_input_byte = unsafe { input.next_input_byte.add(of_piece) };
    input.bytes_in_buffer -= of_piece;
    // The next piece begins behind what is skipped.
    watch.given = watch.given.saturating_add(bytes - of_piece).min(watch.source.len());
}

/// Looks for the place to go on from after a restart marker that is not the right one
/// (`resync_to_restart`).
pub(super) extern "C-unwind" fn resynchronise(
    decoder: &mut jpeg_decompress_struct,
    wanted: c_int,
) -> ffi::boolean {
    // SAFETY: libjpeg's own function, as it calls it.
    let is_done = unsafe { ffi::jpeg_resync_to_restart(decoder, wanted) };
    // SAFETY: `open` has set the pointer.
    let watch = unsafe { watch(&decoder.common) };
    // libjpeg looks for the marker only when more pixels have to come.
    watch.cut |= watch.ran_out;
    is_done
}

/// Has nothing to prepare, and nothing to give back (`init_source`, `term_source`).
pub(super) const extern "C-unwind" fn do_nothing(_: &mut jpeg_decompress_struct) {}
