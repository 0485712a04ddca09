//! Reads what a picture says of itself: when it was taken, its stars, its title, whom it is owed
//! to, and its keywords.
//!
//! In reading order: `packets` finds the pieces of metadata in a file of any format; `exif`, `xmp`
//! (with `xmp_names`), `iptc` and `png_text` read one kind each into the [`Claims`] of `claims`,
//! which also says whose word counts; `text` cleans what they say.
//!
//! Places, serial numbers, faces and thumbnails are never read, but for the names of persons and
//! places, which are not taken as keywords. Broken metadata is left out: it never costs a picture.
//!
//! EXIF is read by our own TIFF reader, because crates are not bounded: kamadak-exif, at 0.6.2,
//! takes 330 MB for a segment of 65 kB whose directories overlap. So is XMP: roxmltree, at 0.21,
//! takes half a minute for 100 kB of nested name spaces. quick-xml splits it into tags.

mod claims;
mod exif;
mod iptc;
mod packets;
mod png_text;
mod text;
mod xmp;
mod xmp_names;

use self::claims::Claims;
pub use self::claims::SourceMetadata;
use self::packets::Packets;
use super::decode::recognise;
use super::guard::guard;

/// Reads the metadata of a source. What can't be read is left out.
#[must_use]
pub fn read_metadata(source: &[u8]) -> SourceMetadata {
    let read = recognise(source).and_then(|format| {
        guard(format, || {
            let packets = Packets::find(source, format);
            let exif = packets.exif.as_deref().map(exif::read).unwrap_or_default();
            let xmp = packets.xmp.as_deref().map(xmp::read).unwrap_or_default();
            let iptc = packets.iptc.as_deref().map(iptc::read).unwrap_or_default();
            let png_text = png_text::read(&packets.texts);
            Ok(Claims::agree(&[exif, xmp, iptc, png_text]))
        })
    });
    read.unwrap_or_default()
}
