//! Calls libjpeg-turbo, as mozjpeg-sys builds it, and hides what is unsafe about that.
//!
//! What libjpeg can't go on from it reports to a function that must not return. Ours unwinds
//! through libjpeg's frames, which are compiled for that, up to [`Libjpeg::call`]. What it can go
//! on from are warnings. They tell whether the picture has lost something.
#![allow(unsafe_code)] // A library in C can't be called otherwise.

use std::ffi::c_int;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;

use mozjpeg_sys as ffi;
use mozjpeg_sys::{J_COLOR_SPACE, jpeg_decompress_struct};

use super::libjpeg_arithmetic as arithmetic;
use super::libjpeg_idct as idct;
pub(crate) use super::libjpeg_watch::Failure;
use super::libjpeg_watch::{self as calls, Watch, read_bytes};
use crate::codec::pixels::channels::Channels;
use crate::codec::timer::Timer;

/// Rows that are asked for at once, as many as libjpeg gives at most.
const ROWS_AT_ONCE: usize = 4;

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
            given: 0,
            ran_out: false,
            cut: false,
            damaged: false,
            endless: arithmetic::is_sequential(source),
        };
        let input = ffi::jpeg_source_mgr {
            next_input_byte: source.as_ptr(),
            bytes_in_buffer: 0,
            init_source: Some(calls::do_nothing),
            fill_input_buffer: Some(calls::give_input),
            skip_input_data: Some(calls::skip_input),
            resync_to_restart: Some(calls::resynchronise),
            term_source: Some(calls::do_nothing),
        };
        let progress = ffi::jpeg_progress_mgr {
            progress_monitor: Some(calls::check_progress),
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
            (*parts).errors.error_exit = Some(calls::unwind);
            (*parts).errors.emit_message = Some(calls::weigh_warning);
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_picture_may_be_given_in_pieces_that_end_anywhere() {
        let mut whole = Vec::new();
        let picture = image::RgbImage::from_fn(40, 30, |x, y| {
            image::Rgb([x * 6, y * 8, x + y].map(|value| u8::try_from(value).unwrap()))
        });
        image::codecs::jpeg::JpegEncoder::new(&mut whole).encode_image(&picture).unwrap();
        let timer = Timer::new(Duration::from_secs(60));
        let decode = |jpeg: &[u8]| {
            let opened = Libjpeg::open(jpeg, &timer).unwrap();
            // SAFETY: no call is under way.
            assert!(unsafe { (*opened.parts).input.bytes_in_buffer } <= calls::PIECE_BYTES);
            opened.decode(Colours::Converted).unwrap()
        };
        let expected = decode(&whole);
        assert_eq!(expected.1, Condition::Whole);
        // What a comment holds would end the picture.
        let comment = |length: u16| {
            let text = &b"\xFF\xD9".repeat(0x8000)[..usize::from(length) - 2];
            [&b"\xFF\xFE"[..], &length.to_be_bytes(), text].concat()
        };
        let comments = comment(0xFFFF).repeat(15);
        for end in (0..whole.len() + 100).step_by(3) {
            // The first piece ends so far behind the last comment.
            let rest = calls::PIECE_BYTES - 2 - comments.len() - 2 - end;
            let last = comment(u16::try_from(rest).unwrap());
            let jpeg = [&whole[..2], &comments, &last, &whole[2..]].concat();
            assert!(decode(&jpeg) == expected, "{end}");
            // The first piece ends within a comment.
            let jpeg = [&whole[..2], &comments, &comments, &last, &whole[2..]].concat();
            assert!(decode(&jpeg) == expected, "{end} behind two pieces");
        }
    }

    #[test]
    fn looking_for_a_marker_ends_with_the_time() {
        let fill_bytes = [b"\xFF\xD8", &[0xFF; 100][..]].concat();
        let failure = Libjpeg::open(&fill_bytes, &Timer::over()).err();
        assert!(matches!(failure, Some(Failure::TooSlow(_))), "{failure:?}");
    }
}
