//! Finds what a file holds beside the picture that its image shows, such as a film or a depth map.
//!
//! Whatever is found is noted, and keeps the original from being deleted. A thumbnail, a smaller
//! version of the same picture and metadata are none of that. In reading order: `behind` judges
//! bytes behind a picture's end, `ends` finds the end in formats that are short to walk, and
//! `jpeg` looks into JPEG. HEIC, AVIF, JPEG XL and TIFF are walked beside their decoders.
//!
//! Left out: pages and damage, which the decoders note, and bytes behind the end of ICO, QOI, TGA,
//! TIFF and bare JPEG XL, whose end only decoding tells. The sizes of an icon are one picture.

mod behind;
mod ends;
mod jpeg;

#[cfg(any(feature = "avif", feature = "heic"))]
use super::decoders::heif;
use super::decoders::tiff;
#[cfg(feature = "jxl")]
use super::formats::jxl_boxes;
use super::sniff::PictureFormat;

/// Returns a note on each thing that is not shown.
pub(super) fn unshown(source: &[u8], format: PictureFormat) -> Vec<String> {
    match format {
        PictureFormat::Jpeg => jpeg::unshown(source),
        PictureFormat::Gif => behind::note(ends::behind_gif(source)).into_iter().collect(),
        PictureFormat::WebP => behind::note(ends::behind_webp(source)).into_iter().collect(),
        PictureFormat::Bmp => behind::note(ends::behind_bmp(source)).into_iter().collect(),
        PictureFormat::Pnm => ends::beside_pnm(source).into_iter().collect(),
        PictureFormat::Png => ends::beside_png(source),
        PictureFormat::Tiff => tiff::beside::notes(source),
        #[cfg(any(feature = "avif", feature = "heic"))]
        PictureFormat::Avif | PictureFormat::Heic => with_behind(heif::beside::beside(source)),
        #[cfg(feature = "jxl")]
        PictureFormat::Jxl => with_behind(jxl_boxes::beside(source)),
        _ => Vec::new(),
    }
}

#[cfg(any(feature = "avif", feature = "heic", feature = "jxl"))]
fn with_behind((mut notes, behind): (Vec<String>, &[u8])) -> Vec<String> {
    notes.extend(behind::note(behind));
    notes
}
