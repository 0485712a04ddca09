//! Finds where arithmetic data of a JPEG ends too early.
//!
//! libjpeg gives no warning then: the code goes on with zeros behind its end, which encoders leave
//! away (ITU-T T.81, D.1.8). So a picture whose lower part is flat may be held for a cut one.

use super::jpeg_markers::before_pixels;

/// Marker of a sequential frame in an arithmetic code. Scans of progressive frames are often as
/// good as empty.
const FRAME: u8 = 0xC9;

/// Whether the data of a picture is sequential and in an arithmetic code.
pub(super) fn is_sequential(jpeg: &[u8]) -> bool {
    before_pixels(jpeg).any(|segment| segment.marker == FRAME)
}

/// Whether the data that was read ends with a marker, other than one to restart at.
pub(super) const fn ends_with_marker(read: &[u8]) -> bool {
    matches!(read, [.., 0xFF, marker] if !matches!(marker, 0x00 | 0xD0..=0xD7 | 0xFF))
}

/// Whether there is no data between two restart markers, or behind the last. Each block has an end,
/// whose code is never all zeros at the start.
pub(super) fn has_empty_interval(data: &[u8]) -> bool {
    let is_empty =
        |at: usize| matches!(data[at..], [0xFF, 0xD0..=0xD7, 0xFF, 0xD0..=0xD7 | 0xD9, ..]);
    memchr::memchr_iter(0xFF, data).any(is_empty)
}
