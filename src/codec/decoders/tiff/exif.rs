//! Reads the orientation in EXIF metadata, which is a TIFF without a picture.
//!
//! It has a file of its own, below the TIFF decoder, because the decoders of other formats read
//! EXIF too.

use image::metadata::Orientation;

use super::directory::{Directory, TiffFile, tag};

/// Returns the orientation in EXIF metadata. Some programs write it as a number of another type
/// than the standard's, which is read as well.
pub(in crate::codec) fn exif_orientation(exif: &[u8]) -> Orientation {
    stated_orientation(exif).unwrap_or(Orientation::NoTransforms)
}

/// As [`exif_orientation`], or `None` if the metadata states none.
pub(in crate::codec) fn stated_orientation(exif: &[u8]) -> Option<Orientation> {
    Orientation::from_exif_chunk(exif).or_else(|| lenient(exif))
}

fn lenient(exif: &[u8]) -> Option<Orientation> {
    orientation(&TiffFile::open(exif).ok()?.read_first_page().ok()?)
}

/// Tags of metadata, in EXIF or in a TIFF with a picture.
pub(in crate::codec) mod field {
    pub(in crate::codec) const XMP: u16 = 700;
    pub(in crate::codec) const ARTIST: u16 = 0x013B;
    pub(in crate::codec) const RATING: u16 = 0x4746;
    pub(in crate::codec) const RATING_PERCENT: u16 = 0x4749;
    pub(in crate::codec) const COPYRIGHT: u16 = 0x8298;
    pub(in crate::codec) const IPTC: u16 = 0x83BB;
    pub(in crate::codec) const PHOTOSHOP: u16 = 0x8649;
    pub(super) const EXIF_DIRECTORY: u16 = 0x8769;
    pub(in crate::codec) const DATE_ORIGINAL: u16 = 0x9003;
    pub(in crate::codec) const DATE_DIGITIZED: u16 = 0x9004;
    pub(in crate::codec) const OFFSET: u16 = 0x9010;
    pub(in crate::codec) const OFFSET_ORIGINAL: u16 = 0x9011;
    pub(in crate::codec) const OFFSET_DIGITIZED: u16 = 0x9012;
    pub(in crate::codec) const XP_TITLE: u16 = 0x9C9B;
    pub(in crate::codec) const XP_AUTHOR: u16 = 0x9C9D;
    pub(in crate::codec) const XP_KEYWORDS: u16 = 0x9C9E;

    pub(super) const ALL: [u16; 16] = [
        XMP,
        ARTIST,
        RATING,
        RATING_PERCENT,
        COPYRIGHT,
        IPTC,
        PHOTOSHOP,
        EXIF_DIRECTORY,
        DATE_ORIGINAL,
        DATE_DIGITIZED,
        OFFSET,
        OFFSET_ORIGINAL,
        OFFSET_DIGITIZED,
        XP_TITLE,
        XP_AUTHOR,
        XP_KEYWORDS,
    ];
}

/// The fields of EXIF metadata, or of a TIFF's first page, that are named in [`field`].
pub(in crate::codec) struct ExifFields<'s> {
    directories: Vec<Directory<'s>>,
}

impl<'s> ExifFields<'s> {
    /// Reads the main directory and the one for EXIF. Damaged fields are left out.
    pub(in crate::codec) fn read(exif: &'s [u8]) -> Option<Self> {
        let file = TiffFile::open(exif).ok()?;
        let main = file.read_whole_tags(None, &field::ALL)?;
        let at = main.number(field::EXIF_DIRECTORY, 0);
        let detailed = at.and_then(|at| file.read_whole_tags(Some(at), &field::ALL));
        // Cameras that write TIFF/EP have the date in the main directory.
        let directories = detailed.into_iter().chain([main]).collect();
        Some(Self { directories })
    }

    pub(in crate::codec) fn bytes(&self, field: u16) -> Option<&'s [u8]> {
        self.directories.iter().find_map(|directory| directory.bytes(field))
    }

    pub(in crate::codec) fn number(&self, field: u16) -> Option<u64> {
        self.directories.iter().find_map(|directory| directory.number(field, 0))
    }

    /// The bytes of a text up to the zero that ends it. Of several texts, the first that is not
    /// blank counts.
    pub(in crate::codec) fn text(&self, field: u16) -> Option<&'s [u8]> {
        let mut texts = self.bytes(field)?.split(|byte| *byte == 0);
        texts.find(|text| !text.trim_ascii().is_empty())
    }

    /// A text of Windows, which is in UTF-16 whatever the order of bytes of the numbers is.
    pub(in crate::codec) fn windows_text(&self, field: u16) -> Option<String> {
        let units =
            self.bytes(field)?.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit));
        let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
        Some(String::from_utf16_lossy(&units))
    }
}

/// Returns the orientation that a directory states.
pub(super) fn orientation(directory: &Directory<'_>) -> Option<Orientation> {
    let number = directory.number(tag::ORIENTATION, 0)?;
    u8::try_from(number).ok().and_then(Orientation::from_exif)
}
