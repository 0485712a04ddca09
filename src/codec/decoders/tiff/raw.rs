//! Tells camera raw from other TIFFs, and reads what is known of the raw picture.
//!
//! Most makers' raw files are TIFFs whose first page is a thumbnail. The tags are those of TIFF/EP
//! (ISO 12234-2), of the DNG specification and of Canon's CR2. Raw data is not decoded.

use image::metadata::Orientation;

use super::directory::{Directory, TiffFile, tag};
use super::exif::orientation;

/// Photometric interpretations of raw data: a mosaic of colours, and colours as the sensor saw
/// them.
const RAW_PHOTOMETRICS: [u64; 2] = [32_803, 34_892];
/// Photometric interpretations of pictures that are shown as they are.
const PLAIN_PHOTOMETRICS: [u64; 6] = [0, 1, 2, 3, 5, 8];
/// Compressions that only makers of cameras use: Kodak, Sony, Epson, Samsung, Nikon, DNG with loss,
/// Kodak, Pentax.
const RAW_COMPRESSIONS: [u64; 9] =
    [262, 32_767, 32_769, 32_770, 32_772, 34_713, 34_892, 65_000, 65_535];
/// Most pieces of raw data whose places are read. A preview is compared with these, and raw data in
/// more pieces has none as large as a preview.
const MAX_PIECES: u64 = 16;
/// Most segments before the frame header of a JPEG without loss.
const MAX_SEGMENTS: usize = 16;

/// A TIFF that holds raw data of a camera.
pub(in crate::codec) struct RawTiff {
    /// The ending by which people know such files, for example `NEF`.
    pub(in crate::codec) kind: &'static str,
    /// Width and height of the raw picture in pixels, with what lies around its visible part.
    pub(in crate::codec) size: Option<(u32, u32)>,
    /// How to turn the raw picture upright.
    pub(in crate::codec) orientation: Option<Orientation>,
    /// Where pieces of raw data begin. They may be coded as JPEG, and are no preview.
    pub(in crate::codec) data_offsets: Vec<u64>,
    /// Width and height of the first page, if it is shown as it is.
    pub(in crate::codec) first_page: Option<(u32, u32)>,
}

/// Reads a TIFF, and returns `None` if it is no camera raw.
pub(in crate::codec) fn read(source: &[u8]) -> Option<RawTiff> {
    let file = TiffFile::open(source).ok()?;
    let directories: Vec<_> = file.surroundings().into_iter().map(|(_, each)| each).collect();
    let first = directories.first()?;
    let maker = first.bytes(tag::MAKE).unwrap_or_default();
    let own_magic = kind_by_magic(source);
    let is_dng = first.count(tag::DNG_VERSION) > 0;
    let is_raw = own_magic.is_some()
        || is_dng
        || directories.iter().any(has_raw_data)
        || is_thumbnail_of_something_else(&directories);
    if !is_raw {
        return None;
    }
    let is_own_tiff = matches!(own_magic, Some("RW2" | "ORF"));
    let has_data = |(number, directory): &(usize, &Directory<'_>)| {
        has_raw_data(directory) || is_own_tiff && *number == 0
    };
    let raw: Vec<_> = directories.iter().enumerate().filter(has_data).map(|(_, raw)| raw).collect();
    let area = |size: &(u32, u32)| u64::from(size.0) * u64::from(size.1);
    let offsets = |directory: &&Directory<'_>| -> Vec<u64> {
        [tag::STRIP_OFFSETS, tag::TILE_OFFSETS]
            .into_iter()
            .flat_map(|tag| (0..MAX_PIECES).map_while(move |index| directory.number(tag, index)))
            .collect()
    };
    let is_plain = !has_raw_data(first)
        && first.number(tag::PHOTOMETRIC, 0).is_some_and(|kind| matches!(kind, 0..=2 | 6));
    Some(RawTiff {
        kind: own_magic.unwrap_or_else(|| if is_dng { "DNG" } else { kind_by_maker(maker) }),
        size: raw.iter().filter_map(|directory| raw_size(directory)).max_by_key(area),
        orientation: orientation(first),
        data_offsets: raw.iter().flat_map(offsets).collect(),
        first_page: is_plain.then(|| size(first)).flatten(),
    })
}

/// Reads the size and orientation that the first directory of a TIFF states.
pub(in crate::codec) fn read_tags(tags: &[u8]) -> Option<((u32, u32), Option<Orientation>)> {
    let directories = TiffFile::open(tags).ok()?.surroundings();
    let (_, first) = directories.first()?;
    Some((size(first)?, orientation(first)))
}

/// Returns the kind of those files whose first bytes are their own.
pub(in crate::codec) fn kind_by_magic(source: &[u8]) -> Option<&'static str> {
    Some(match source {
        [b'I', b'I', b'U', 0, ..] => "RW2",
        [b'I', b'I', b'R', b'O' | b'S', ..] | [b'M', b'M', b'O', b'R', ..] => "ORF",
        [_, _, _, _, _, _, _, _, b'C', b'R', 2, 0, ..] => "CR2",
        [_, _, _, _, _, _, _, _, b'I', b'I', b'I', b'I', _, b'w', b'a', b'R', ..]
        | [_, _, _, _, _, _, _, _, b'M', b'M', b'M', b'M', b'R', b'a', b'w', ..] => "IIQ",
        _ => return None,
    })
}

fn kind_by_maker(maker: &[u8]) -> &'static str {
    const KINDS: [(&[u8], &str); 13] = [
        (b"NIKON", "NEF"),
        (b"SONY", "ARW"),
        (b"CANON", "CR2"),
        (b"PENTAX", "PEF"),
        (b"RICOH", "PEF"),
        (b"SAMSUNG", "SRW"),
        (b"HASSELBLAD", "3FR"),
        (b"OLYMPUS", "ORF"),
        (b"EASTMAN KODAK", "KDC"),
        (b"KODAK", "DCR"),
        (b"PHASE ONE", "IIQ"),
        (b"LEAF", "MOS"),
        (b"EPSON", "ERF"),
    ];
    let maker = maker.to_ascii_uppercase();
    KINDS.iter().find(|(name, _)| maker.starts_with(name)).map_or("TIFF", |(_, kind)| kind)
}

fn has_raw_data(directory: &Directory<'_>) -> bool {
    let is_one_of = |tag: u16, numbers: &[u64]| {
        directory.number(tag, 0).is_some_and(|number| numbers.contains(&number))
    };
    is_one_of(tag::PHOTOMETRIC, &RAW_PHOTOMETRICS)
        || is_one_of(tag::COMPRESSION, &RAW_COMPRESSIONS)
        || directory.count(tag::CR2_SLICES) > 0
}

/// Whether a camera wrote a thumbnail as the first page, beside directories of which none is a
/// plain picture.
fn is_thumbnail_of_something_else(directories: &[Directory<'_>]) -> bool {
    let [first, others @ ..] = directories else { return false };
    let is_plain = |directory: &Directory<'_>| {
        directory
            .number(tag::PHOTOMETRIC, 0)
            .is_some_and(|number| PLAIN_PHOTOMETRICS.contains(&number))
    };
    first.count(tag::MAKE) > 0
        && first.number(tag::NEW_SUBFILE_TYPE, 0).is_some_and(|subfile| subfile & 1 == 1)
        && first.count(tag::SUB_DIRECTORIES) > 0
        && !others.iter().any(is_plain)
}

fn raw_size(directory: &Directory<'_>) -> Option<(u32, u32)> {
    let side = |tag| directory.number(tag, 0).and_then(|side| u32::try_from(side).ok());
    let sensor = side(tag::SENSOR_WIDTH).zip(side(tag::SENSOR_HEIGHT));
    sensor.or_else(|| size(directory)).or_else(|| {
        let start = directory.number(tag::STRIP_OFFSETS, 0)?;
        let source = directory.file.source;
        lossless_jpeg_size(source.get(usize::try_from(start).ok()?..)?)
    })
}

fn size(directory: &Directory<'_>) -> Option<(u32, u32)> {
    let side = |tag| directory.number(tag, 0).and_then(|side| u32::try_from(side).ok());
    side(tag::IMAGE_WIDTH).zip(side(tag::IMAGE_LENGTH))
}

/// Reads the size of raw data in a JPEG without loss, where neighbours in a row are the components
/// of a pixel.
fn lossless_jpeg_size(jpeg: &[u8]) -> Option<(u32, u32)> {
    let mut rest = jpeg.strip_prefix(b"\xFF\xD8")?;
    for _ in 0..MAX_SEGMENTS {
        let [0xFF, marker, high, low, ..] = rest else { return None };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if *marker == 0xC3 {
            let word = |at: usize| {
                Some(u32::from(u16::from_be_bytes([*rest.get(at)?, *rest.get(at + 1)?])))
            };
            let components = u32::from(*rest.get(9)?);
            // With three, colours are shared by pixels.
            let across = if components == 3 { 1 } else { components };
            return Some((word(7)? * across, word(5)?));
        }
        rest = rest.get(2 + length..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds a TIFF of two directories, of which the second lies within the first or behind it.
    fn file(first: &[(u16, u32)], second: &[(u16, u32)], is_inner: bool) -> Vec<u8> {
        let mut file = b"II*\0".to_vec();
        let write = |file: &mut Vec<u8>, tags: &[(u16, u32)], next: u32| {
            file.extend(u16::try_from(tags.len()).unwrap().to_le_bytes());
            for (tag, value) in tags {
                // The maker is a text of four letters.
                let field_type = if *tag == tag::MAKE { 2 } else { 4 };
                let count = if *tag == tag::MAKE { 4 } else { 1 };
                file.extend(tag.to_le_bytes());
                file.extend([field_type, 0, count, 0, 0, 0]);
                file.extend(value.to_le_bytes());
            }
            file.extend(next.to_le_bytes());
        };
        let second_at = 8 + u32::try_from(2 + second.len() * 12 + 4).unwrap();
        file.extend(second_at.to_le_bytes());
        write(&mut file, second, 0);
        let inner = [(tag::SUB_DIRECTORIES, 8)];
        let first = [first, if is_inner { &inner[..] } else { &[] }].concat();
        write(&mut file, &first, if is_inner { 0 } else { 8 });
        file
    }

    #[test]
    fn camera_raw_is_told_from_other_tiffs() {
        let sony = (tag::MAKE, u32::from_le_bytes(*b"Sony"));
        let smaller = [(tag::NEW_SUBFILE_TYPE, 1), (tag::IMAGE_WIDTH, 16), sony];
        let sized =
            |tag: u16, value: u32| [(tag::IMAGE_WIDTH, 60), (tag::IMAGE_LENGTH, 40), (tag, value)];
        let page = [(tag::PHOTOMETRIC, 2), (tag::IMAGE_WIDTH, 60), (tag::IMAGE_LENGTH, 40)];
        let dng = [&page[..], &[(tag::DNG_VERSION, 0x401)]].concat();
        let whole = Some((60, 40));
        for (name, source, expected) in [
            (
                "mosaic",
                file(&smaller, &sized(tag::PHOTOMETRIC, 32_803), true),
                Some(("ARW", whole)),
            ),
            ("behind", file(&page, &sized(tag::PHOTOMETRIC, 34_892), false), Some(("TIFF", whole))),
            (
                "maker's",
                file(&smaller, &sized(tag::COMPRESSION, 32_767), true),
                Some(("ARW", whole)),
            ),
            ("DNG", file(&dng, &[], false), Some(("DNG", None))),
            ("thumbnail", file(&smaller, &sized(tag::PHOTOMETRIC, 99), true), Some(("ARW", None))),
            ("thumbnail of a page", file(&smaller, &page, true), None),
            ("two pages", file(&page, &page, false), None),
            ("overview", file(&page, &[&smaller[..], &page].concat(), true), None),
            ("no TIFF", b"II*\0".to_vec(), None),
        ] {
            let found = read(&source).map(|raw| (raw.kind, raw.size));
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn data_without_loss_says_how_large_the_picture_is() {
        let with = |components: u8| {
            let head = b"\xFF\xD8\xFF\xC4\0\x03\x00\xFF\xC3\0\x0E\x0E\0\x28\0\x1E";
            [&head[..], &[components]].concat()
        };
        assert_eq!(lossless_jpeg_size(&with(2)), Some((60, 40)));
        assert_eq!(lossless_jpeg_size(&with(3)), Some((30, 40)));
        assert_eq!(lossless_jpeg_size(&with(2)[..16]), None);
    }
}
