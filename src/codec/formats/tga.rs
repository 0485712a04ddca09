//! Corrects TGAs that the image crate's decoder does not take.

use std::borrow::Cow;

/// Returns a TGA whose number of alpha bits fits its pixels: 8 of 32 bits, or 1 of 16.
///
/// The decoder takes no other number, and writers put anything there. Other sources are returned as
/// they are.
pub(super) fn with_valid_alpha_bits(source: &[u8]) -> Cow<'_, [u8]> {
    const KIND: usize = 2;
    const DEPTH: usize = 16;
    const DESCRIPTOR: usize = 17;
    let mut corrected = Cow::Borrowed(source);
    let Some(header) = source.first_chunk::<18>() else { return corrected };
    let whole = match (header[KIND], header[DEPTH]) {
        (_, 32) => 8,
        (2 | 10, 16) => 1,
        _ => return corrected,
    };
    let alpha_bits = header[DESCRIPTOR] & 0x0F;
    if alpha_bits != 0 && alpha_bits != whole {
        corrected.to_mut()[DESCRIPTOR] = header[DESCRIPTOR] & 0xF0 | whole;
    }
    corrected
}
