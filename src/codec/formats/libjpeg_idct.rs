//! Transforms blocks of a JPEG whose samples lie far outside of their range.
//!
//! libjpeg looks samples up in a table, to clamp them, and what lies beyond the table comes out
//! inverted. Its code for vector instructions, which other programs run, clamps as long as 16 bits
//! hold the numbers, and its transform in floats always does. So blocks that leave the table are
//! transformed here, in floats. Only damaged data has any.
#![allow(unsafe_code)] // A library in C can't be called otherwise.

use std::f64::consts::PI;
use std::ffi::{c_int, c_uint};
use std::sync::LazyLock;

use mozjpeg_sys as ffi;
use mozjpeg_sys::{DCTSIZE, DCTSIZE2, jpeg_component_info, jpeg_decompress_struct};

/// How far from the middle of their range the samples are that libjpeg's table has, with a margin
/// for its rounding (`RANGE_MASK`, jdct.h).
const TABLE_REACH: u32 = 508;

type Transform = unsafe extern "C-unwind" fn(
    &mut jpeg_decompress_struct,
    &jpeg_component_info,
    *const i16,
    *const *mut u8,
    c_uint,
);
type Select = unsafe extern "C-unwind" fn(
    &mut jpeg_decompress_struct,
    &jpeg_component_info,
    &mut Transform,
    *mut c_int,
);

// Of libjpeg's headers (jdct.h, jpeglib.h). The crate leaves out the first, and declares the second
// for compression.
unsafe extern "C-unwind" {
    fn jpeg_idct_islow(
        decoder: &mut jpeg_decompress_struct,
        component: &jpeg_component_info,
        coefficients: *const i16,
        rows: *const *mut u8,
        column: c_uint,
    );
    fn jpeg_set_idct_method_selector(decoder: &mut jpeg_decompress_struct, select: Select);
}

/// Has the blocks of a picture transformed here that libjpeg's table has not all samples of.
///
/// # Safety
/// The decoder must be one that `jpeg_create_decompress` has made.
pub(super) unsafe fn install(decoder: &mut jpeg_decompress_struct) {
    // SAFETY: the function only stores the pointer in the decoder.
    unsafe { jpeg_set_idct_method_selector(decoder, select) };
}

/// Replaces libjpeg's slow and exact transform to 8 x 8 samples.
extern "C-unwind" fn select(
    _: &mut jpeg_decompress_struct,
    _: &jpeg_component_info,
    transform: &mut Transform,
    _: *mut c_int,
) {
    if std::ptr::fn_addr_eq(*transform, jpeg_idct_islow as Transform) {
        *transform = transform_clamped;
    }
}

/// Transforms a block, and warns as libjpeg does if its samples are far outside of their range.
unsafe extern "C-unwind" fn transform_clamped(
    decoder: &mut jpeg_decompress_struct,
    component: &jpeg_component_info,
    coefficients: *const i16,
    rows: *const *mut u8,
    column: c_uint,
) {
    // SAFETY: libjpeg passes a block, and its table if the component has had a scan.
    let (block, table) =
        unsafe { (&*coefficients.cast::<[i16; DCTSIZE2]>(), component.quant_table.as_ref()) };
    let Some(samples) = table.and_then(|table| samples_beyond(block, &table.quantval)) else {
        // SAFETY: as libjpeg calls it.
        return unsafe { jpeg_idct_islow(decoder, component, coefficients, rows, column) };
    };
    for (y, row) in samples.iter().enumerate() {
        // SAFETY: libjpeg has so many rows, with space for the block from this column on.
        unsafe { (*rows.add(y)).add(column as usize).copy_from(row.as_ptr(), row.len()) };
    }
    // SAFETY: the decoder has an error manager.
    unsafe {
        (*decoder.common.err).msg_code = ffi::JWRN_HUFF_BAD_CODE;
        if let Some(emit) = (*decoder.common.err).emit_message {
            emit(&mut decoder.common, -1);
        }
    }
}

/// Returns the samples of a block, or `None` if libjpeg's table has them all.
fn samples_beyond(
    block: &[i16; DCTSIZE2],
    quanta: &[u16; DCTSIZE2],
) -> Option<[[u8; DCTSIZE]; DCTSIZE]> {
    let magnitude = |(number, quantum): (&i16, &u16)| {
        u64::from(u32::from(number.unsigned_abs()) * u32::from(*quantum))
    };
    // No wave of a coefficient is higher than a quarter of it.
    if block.iter().zip(quanta).map(magnitude).sum::<u64>() / 4 <= TABLE_REACH.into() {
        return None;
    }
    let samples = transformed(block, quanta);
    let is_beyond = |sample: &f64| sample.abs() > f64::from(TABLE_REACH);
    if !samples.iter().flatten().any(is_beyond) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the conversion clamps"
    )]
    Some(samples.map(|row| row.map(|sample| (sample + 128.0).round() as u8)))
}

/// Dequantises and transforms a block to samples around 0 (ITU-T T.81, A.3.3 and A.3.4).
fn transformed(block: &[i16; DCTSIZE2], quanta: &[u16; DCTSIZE2]) -> [[f64; DCTSIZE]; DCTSIZE] {
    /// The waves of all frequencies at each place.
    static WAVES: LazyLock<[[f64; DCTSIZE]; DCTSIZE]> = LazyLock::new(|| {
        let wave = |place: usize, frequency: usize| {
            let scale = if frequency == 0 { 0.125_f64.sqrt() } else { 0.5 };
            scale * ((2 * place + 1) as f64 * frequency as f64 * PI / 16.0).cos()
        };
        std::array::from_fn(|place| std::array::from_fn(|frequency| wave(place, frequency)))
    });
    let coefficient = |at: usize| f64::from(block[at]) * f64::from(quanta[at]);
    // Along rows, and then along columns.
    let rows: [[f64; DCTSIZE]; DCTSIZE] = std::array::from_fn(|v| {
        WAVES.map(|waves| (0..DCTSIZE).map(|u| waves[u] * coefficient(v * DCTSIZE + u)).sum())
    });
    WAVES.map(|waves| {
        std::array::from_fn(|x| waves.iter().zip(&rows).map(|(wave, row)| wave * row[x]).sum())
    })
}
