//! Calls libjpeg-turbo, as mozjpeg-sys builds it, and hides what is unsafe about that.
//!
//! What libjpeg can't go on from it reports to a function that must not return. Ours unwinds
//! through libjpeg's frames, which are compiled for that, up to [`Libjpeg::call`]. What it can go
//! on from are warnings. They tell whether the picture has lost something.
#![allow(unsafe_code)] // A library in C can't be called otherwise.

use std::ffi::{c_int, c_long};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;

use mozjpeg_sys as ffi;
use mozjpeg_sys::{J_COLOR_SPACE, jpeg_common_struct, jpeg_decompress_struct};

use super::libjpeg_arithmetic as arithmetic;
use super::libjpeg_idct as idct;
use crate::codec::error::CodecError;
use crate::codec::pixels::channels::Channels;
use crate::codec::sniff::PictureFormat;
use crate::codec::timer::Timer;

/// Most scans of a picture. Each costs a walk over all of it, and encoders write some ten.
const MAX_SCANS: c_int = 200;

/// Length of libjpeg's longest message, in bytes (`JMSG_LENGTH_MAX`).
const MESSAGE_BYTES: usize = 200;

/// Rows that are asked for at once, as many as libjpeg gives at most.
const ROWS_AT_ONCE: usize = 4;

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

/// How much of a picture its source had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Whole,
    /// Every pixel is there, but not the marker at the end.
    NoEnd,
    /// Pixels are missing or may be wrong.
    Damaged,
}

/// The colours to decode to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colours {
    /// Those of [`Libjpeg::channels`], but for CMYK, which stays the inverse of ink if it was that.
    Converted,
    /// The components as they are stored.
    Stored,
}

/// What libjpeg's functions share with the ones it calls back.
struct Watch<'s> {
    source: &'s [u8],
    timer: &'s Timer,
    /// The decoder, of which only numbers are read.
    decoder: *const jpeg_decompress_struct,
    /// Whether libjpeg has read behind the end of the source.
    ran_out: bool,
    /// Whether pixels are missing because of that.
    cut: bool,
    damaged: bool,
    /// Whether the data is sequential and in an arithmetic code, which libjpeg takes to go on with
    /// zeros for ever.
    endless: bool,
}

/// All that libjpeg has pointers to.
struct Parts<'s> {
    decoder: jpeg_decompress_struct,
    errors: ffi::jpeg_error_mgr,
    input: ffi::jpeg_source_mgr,
    progress: ffi::jpeg_progress_mgr,
    watch: Watch<'s>,
}

/// A picture whose headers are read.
pub(crate) struct Libjpeg<'s> {
    /// A leaked box, because nothing in it may move, or be borrowed as a whole.
    parts: *mut Parts<'s>,
}

impl<'s> Libjpeg<'s> {
    /// Reads the headers of a picture, up to its first scan.
    pub(crate) fn open(source: &'s [u8], timer: &'s Timer) -> Result<Self, Failure> {
        let watch = Watch {
            source,
            timer,
            decoder: ptr::null(),
            ran_out: false,
            cut: false,
            damaged: false,
            endless: arithmetic::is_sequential(source),
        };
        let input = ffi::jpeg_source_mgr {
            next_input_byte: source.as_ptr(),
            bytes_in_buffer: source.len(),
            init_source: Some(do_nothing),
            fill_input_buffer: Some(end_input),
            skip_input_data: Some(skip_input),
            resync_to_restart: Some(resynchronise),
            term_source: Some(do_nothing),
        };
        let progress = ffi::jpeg_progress_mgr {
            progress_monitor: Some(check_progress),
            pass_counter: 0,
            pass_limit: 0,
            completed_passes: 0,
            total_passes: 0,
        };
        // SAFETY: both are plain data of C, for which zeros are numbers, null pointers, no function
        // and the first variant of each enum.
        let (decoder, errors) = unsafe { (mem::zeroed(), mem::zeroed()) };
        let parts = Box::into_raw(Box::new(Parts { decoder, errors, input, progress, watch }));
        // From here on it is freed when it is dropped.
        let mut this = Self { parts };
        // SAFETY: the box is alive, and nobody else has a reference into it.
        unsafe {
            (*parts).watch.decoder = &raw const (*parts).decoder;
            ffi::jpeg_std_error(&mut (*parts).errors);
            (*parts).errors.error_exit = Some(unwind);
            (*parts).errors.emit_message = Some(weigh_warning);
            (*parts).decoder.common.err = &raw mut (*parts).errors;
            (*parts).decoder.common.client_data = (&raw mut (*parts).watch).cast();
        }
        // SAFETY: the error manager is in place. Both pointers stay as long as the decoder.
        this.call(|decoder| unsafe {
            ffi::jpeg_create_decompress(decoder);
            decoder.src = &raw mut (*parts).input;
            decoder.common.progress = &raw mut (*parts).progress;
            ffi::jpeg_read_header(decoder, 1)
        })?;
        Ok(this)
    }

    /// Width and height in pixels.
    pub(crate) fn dimensions(&self) -> (u32, u32) {
        (self.decoder().image_width, self.decoder().image_height)
    }

    /// Number of components.
    pub(crate) fn components(&self) -> usize {
        usize::try_from(self.decoder().num_components).unwrap_or_default()
    }

    /// The channels of converted colours, or `None` if libjpeg does not know what they are.
    pub(crate) fn channels(&self) -> Option<Channels> {
        match self.decoder().jpeg_color_space {
            J_COLOR_SPACE::JCS_GRAYSCALE => Some(Channels::Grey),
            J_COLOR_SPACE::JCS_YCbCr | J_COLOR_SPACE::JCS_RGB => Some(Channels::Rgb),
            J_COLOR_SPACE::JCS_CMYK | J_COLOR_SPACE::JCS_YCCK => Some(Channels::Cmyk),
            _ => None,
        }
    }

    /// Memory that decoding takes beside its result, in bytes: rows of samples, and all
    /// coefficients, of 16 bits each, if they come in several scans.
    pub(crate) fn memory_bytes(&self) -> u64 {
        // SAFETY: the call reads what `open` has left there.
        let in_scans = unsafe { ffi::jpeg_has_multiple_scans(self.decoder()) } != 0;
        let down = self.decoder().max_v_samp_factor.unsigned_abs();
        let memory_of = |component: &ffi::jpeg_component_info| {
            let [h, v] =
                [component.h_samp_factor, component.v_samp_factor].map(c_int::unsigned_abs);
            let across = component.width_in_blocks.next_multiple_of(h.max(1));
            let high = component.height_in_blocks.next_multiple_of(v.max(1));
            let blocks = u64::from(across) * u64::from(high);
            // Ten groups of rows as they are stored, and one upsampled (jdmainct.c, jdsample.c).
            let rows = u64::from(self.decoder().image_width + 64) * 12 * u64::from(down);
            rows + if in_scans { 128 * blocks } else { 0 }
        };
        self.component_infos().iter().map(memory_of).sum()
    }

    /// Decodes the picture, to rows of bytes from the top.
    pub(crate) fn decode(mut self, colours: Colours) -> Result<(Vec<u8>, Condition), Failure> {
        // SAFETY: the box is alive, and no call is under way.
        let watch = unsafe { &mut (*self.parts).watch };
        let data = &watch.source[read_bytes(watch)..];
        watch.damaged |= watch.endless && arithmetic::has_empty_interval(data);
        self.call(|decoder| {
            decoder.out_color_space = match (colours, decoder.jpeg_color_space) {
                (Colours::Stored, _) => {
                    decoder.jpeg_color_space = J_COLOR_SPACE::JCS_UNKNOWN;
                    J_COLOR_SPACE::JCS_UNKNOWN
                }
                (Colours::Converted, J_COLOR_SPACE::JCS_YCbCr) => J_COLOR_SPACE::JCS_RGB,
                (Colours::Converted, J_COLOR_SPACE::JCS_YCCK) => J_COLOR_SPACE::JCS_CMYK,
                (Colours::Converted, as_stored) => as_stored,
            };
            // SAFETY: the headers were read.
            unsafe {
                idct::install(decoder);
                ffi::jpeg_start_decompress(decoder)
            }
        })?;
        let samples = self.read_rows()?;
        // What is wrong behind the last pixel costs no pixel.
        // SAFETY: all rows were read.
        let end = self.call(|decoder| unsafe { ffi::jpeg_finish_decompress(decoder) });
        match end {
            Err(error @ Failure::TooSlow(_)) => Err(error),
            end => self.condition(end.is_ok()).map(|condition| (samples, condition)),
        }
    }

    fn read_rows(&mut self) -> Result<Vec<u8>, Failure> {
        let (width, height) = (self.decoder().output_width, self.decoder().output_height);
        let components = usize::try_from(self.decoder().output_components).unwrap_or_default();
        let row_bytes = width as usize * components;
        let mut samples = vec![0; row_bytes * height as usize];
        self.call(|decoder| {
            for band in samples.chunks_mut(row_bytes * ROWS_AT_ONCE) {
                let mut rows = [ptr::null_mut(); ROWS_AT_ONCE];
                let mut count = 0;
                for (pointer, row) in rows.iter_mut().zip(band.chunks_exact_mut(row_bytes)) {
                    *pointer = row.as_mut_ptr();
                    count += 1;
                }
                let mut read = 0;
                while read < count {
                    let more = &mut rows[read as usize..count as usize];
                    // SAFETY: there are so many rows, each as long as libjpeg says. Our source
                    // never makes libjpeg wait, so there is always a row.
                    read += unsafe {
                        ffi::jpeg_read_scanlines(decoder, more.as_mut_ptr(), count - read)
                    };
                }
            }
        })?;
        Ok(samples)
    }

    /// Says how much of the picture was there, once it is decoded.
    fn condition(&self, has_end: bool) -> Result<Condition, Failure> {
        // SAFETY: the box is alive, and no call is under way that would change it.
        let watch = unsafe { &(*self.parts).watch };
        // A component without any scan has no table. libjpeg shows it as grey, without a word.
        let lacks_scans =
            self.component_infos().iter().any(|component| component.quant_table.is_null());
        let is_incomplete = lacks_scans || !self.is_refined();
        if watch.cut || watch.ran_out && is_incomplete {
            return Err(Failure::Cut);
        }
        Ok(match (watch.damaged || is_incomplete, has_end && !watch.ran_out) {
            (true, _) => Condition::Damaged,
            (false, false) => Condition::NoEnd,
            (false, true) => Condition::Whole,
        })
    }

    /// Whether all bits of all coefficients have come. They come one after the other in a
    /// progressive picture.
    fn is_refined(&self) -> bool {
        let known = self.decoder().coef_bits.cast::<c_int>();
        let count = self.components() * ffi::DCTSIZE2;
        // SAFETY: libjpeg has a number for each coefficient of each component.
        known.is_null()
            || unsafe { std::slice::from_raw_parts(known, count) }.iter().all(|bits| *bits == 0)
    }

    fn component_infos(&self) -> &[ffi::jpeg_component_info] {
        let infos = self.decoder().comp_info;
        if infos.is_null() {
            return &[];
        }
        // SAFETY: libjpeg has so many of them.
        unsafe { std::slice::from_raw_parts(infos, self.components()) }
    }

    fn decoder(&self) -> &jpeg_decompress_struct {
        // SAFETY: the box is alive, and only calls change it, which need `self` alone.
        unsafe { &(*self.parts).decoder }
    }

    /// Calls libjpeg, and catches what unwinds out of it.
    fn call<T>(
        &mut self,
        work: impl FnOnce(&mut jpeg_decompress_struct) -> T,
    ) -> Result<T, Failure> {
        // SAFETY: the box is alive, and what libjpeg calls back takes other parts of it.
        let decoder = unsafe { &mut (*self.parts).decoder };
        // Unwind safety: after an error libjpeg is only destroyed, but for its last call.
        catch_unwind(AssertUnwindSafe(|| work(decoder))).map_err(|payload| {
            // SAFETY: as above, and the call is over.
            let ran_out = unsafe { (*self.parts).watch.ran_out };
            match payload.downcast::<Failure>() {
                Ok(failure) if ran_out && matches!(*failure, Failure::Corrupt(_)) => Failure::Cut,
                Ok(failure) => *failure,
                Err(panic) => resume_unwind(panic),
            }
        })
    }
}

impl Drop for Libjpeg<'_> {
    fn drop(&mut self) {
        // SAFETY: nobody else has the box. libjpeg frees what it has allocated, and reports no
        // error.
        unsafe {
            ffi::jpeg_destroy_decompress(&mut (*self.parts).decoder);
            drop(Box::from_raw(self.parts));
        }
    }
}

/// Returns what `open` has left for the functions that libjpeg calls back.
///
/// # Safety
/// The decoder must be one of [`Libjpeg::open`], and nobody else may have a reference to its watch.
const unsafe fn watch<'w>(common: &jpeg_common_struct) -> &'w mut Watch<'w> {
    // SAFETY: the pointer was set by `open`, and the watch lives as long as the decoder.
    unsafe { &mut *common.client_data.cast() }
}

/// Leaves libjpeg with its message (`error_exit`).
extern "C-unwind" fn unwind(common: &mut jpeg_common_struct) {
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
extern "C-unwind" fn weigh_warning(common: &mut jpeg_common_struct, level: c_int) {
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
extern "C-unwind" fn check_progress(common: &mut jpeg_common_struct) {
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
fn read_bytes(watch: &Watch<'_>) -> usize {
    // SAFETY: the decoder lives as long as its watch, and `open` has set the pointer.
    let next = unsafe { (*(&raw const (*watch.decoder).src).read()).next_input_byte } as usize;
    match next.checked_sub(watch.source.as_ptr() as usize) {
        Some(bytes) if !watch.ran_out => bytes.min(watch.source.len()),
        _ => watch.source.len(),
    }
}

/// Gives libjpeg an end of the picture, when the source is over (`fill_input_buffer`).
extern "C-unwind" fn end_input(decoder: &mut jpeg_decompress_struct) -> ffi::boolean {
    // SAFETY: `open` has set both pointers.
    let (watch, input) = unsafe { (watch(&decoder.common), &mut *decoder.src) };
    watch.ran_out = true;
    input.next_input_byte = END_OF_IMAGE.as_ptr();
    input.bytes_in_buffer = END_OF_IMAGE.len();
    1
}

/// Skips a part of a segment (`skip_input_data`).
extern "C-unwind" fn skip_input(decoder: &mut jpeg_decompress_struct, bytes: c_long) {
    // SAFETY: `open` has set the pointer.
    let input = unsafe { &mut *decoder.src };
    let bytes = usize::try_from(bytes).unwrap_or_default().min(input.bytes_in_buffer);
    // SAFETY: so many bytes are there.
    input.next_input_byte = unsafe { input.next_input_byte.add(bytes) };
    input.bytes_in_buffer -= bytes;
}

/// Looks for the place to go on from after a restart marker that is not the right one
/// (`resync_to_restart`).
extern "C-unwind" fn resynchronise(
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
const extern "C-unwind" fn do_nothing(_: &mut jpeg_decompress_struct) {}
