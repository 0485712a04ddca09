//! Writes metadata into pictures, as cameras and programs do.

use image::RgbImage;

use crate::pictures::{jpeg, photo, webp};

/// The content of a field of EXIF.
#[derive(Clone, Copy)]
pub enum Field<'f> {
    Text(&'f str),
    Bytes(&'f [u8]),
    Short(u16),
    Long(u32),
    /// A text of Windows, in UTF-16.
    Wide(&'f str),
}

use Field::{Bytes, Long, Short, Text, Wide};

/// EXIF in the order of bytes that the first argument names, `II` or `MM`.
///
/// Fields stand in the main directory, or in that for EXIF or GPS if they belong there.
pub fn exif(order: &[u8; 2], fields: &[(u16, Field<'_>)]) -> Vec<u8> {
    tiff(order, fields, &[])
}

/// A TIFF with these fields, and these bytes behind its header.
fn tiff(order: &[u8; 2], fields: &[(u16, Field<'_>)], pixels: &[u8]) -> Vec<u8> {
    let is_little = order == b"II";
    let short = |number: u16| if is_little { number.to_le_bytes() } else { number.to_be_bytes() };
    let long = |number: u32| if is_little { number.to_le_bytes() } else { number.to_be_bytes() };
    let mut file = [order.as_slice(), &short(42), &[0; 4], pixels].concat();
    let write_directory = |file: &mut Vec<u8>, fields: &[(u16, Field<'_>)]| {
        let mut fields = fields.to_vec();
        fields.sort_by_key(|field| field.0);
        let mut entries = short(fields.len() as u16).to_vec();
        for (tag, field) in fields {
            let (kind, count, content) = match field {
                Text(text) => (2, text.len() + 1, [text.as_bytes(), &[0]].concat()),
                Bytes(bytes) => (7, bytes.len(), bytes.to_vec()),
                Short(number) => (3, 1, short(number).to_vec()),
                Long(number) => (4, 1, long(number).to_vec()),
                Wide(text) => {
                    let units = text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes);
                    let bytes: Vec<u8> = units.collect();
                    (1, bytes.len(), bytes)
                }
            };
            entries.extend([short(tag), short(kind)].concat());
            entries.extend(long(count as u32));
            if content.len() <= 4 {
                entries.extend(&content);
                entries.extend(std::iter::repeat_n(0, 4 - content.len()));
            } else {
                entries.extend(long(file.len() as u32));
                file.extend(&content);
                file.extend(std::iter::repeat_n(0, content.len() % 2));
            }
        }
        let at = file.len() as u32;
        file.extend(entries);
        file.extend([0; 4]);
        at
    };
    let mut main = Vec::new();
    let (mut detailed, mut place) = (Vec::new(), Vec::new());
    for field in fields {
        match field.0 {
            0..=0x1F => place.push(*field),
            0x829A..=0x829D | 0x9000..=0x9BFF | 0xA000..=0xAFFF => detailed.push(*field),
            _ => main.push(*field),
        }
    }
    for (pointer, fields) in [(0x8769, detailed), (0x8825, place)] {
        if !fields.is_empty() {
            main.push((pointer, Long(write_directory(&mut file, &fields))));
        }
    }
    let first = write_directory(&mut file, &main);
    file[4..8].copy_from_slice(&long(first));
    file
}

/// An uncompressed TIFF of this picture with these fields.
pub fn tiff_with(picture: &RgbImage, fields: &[(u16, Field<'_>)]) -> Vec<u8> {
    let of_picture = [
        (256, Short(picture.width() as u16)),
        (257, Short(picture.height() as u16)),
        (258, Short(8)),
        (259, Short(1)),
        (262, Short(2)),
        (273, Long(8)),
        (277, Short(3)),
        (278, Short(picture.height() as u16)),
        (279, Long(picture.as_raw().len() as u32)),
    ];
    tiff(b"II", &[fields, &of_picture].concat(), picture.as_raw())
}

/// An XMP packet: attributes and elements of its description.
pub fn xmp(attributes: &str, elements: &str) -> String {
    const NAME_SPACES: &[(&str, &str)] = &[
        ("dc", "http://purl.org/dc/elements/1.1/"),
        ("xmp", "http://ns.adobe.com/xap/1.0/"),
        ("xmpRights", "http://ns.adobe.com/xap/1.0/rights/"),
        ("xmpMM", "http://ns.adobe.com/xap/1.0/mm/"),
        ("exif", "http://ns.adobe.com/exif/1.0/"),
        ("photoshop", "http://ns.adobe.com/photoshop/1.0/"),
        ("lr", "http://ns.adobe.com/lightroom/1.0/"),
        ("digiKam", "http://www.digikam.org/ns/1.0/"),
        ("MicrosoftPhoto", "http://ns.microsoft.com/photo/1.0/"),
        ("cc", "http://creativecommons.org/ns#"),
        ("mwg-rs", "http://www.metadataworkinggroup.com/schemas/regions/"),
        ("mwg-coll", "http://www.metadataworkinggroup.com/schemas/collections/"),
        ("Iptc4xmpExt", "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"),
        ("MPReg", "http://ns.microsoft.com/photo/1.2/t/Region#"),
    ];
    let spaces: Vec<String> =
        NAME_SPACES.iter().map(|(prefix, uri)| format!("xmlns:{prefix}=\"{uri}\"")).collect();
    format!(
        "<?xpacket begin=\"\u{FEFF}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\
         <x:xmpmeta xmlns:x=\"adobe:ns:meta/\">\
         <rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\
         <rdf:Description rdf:about=\"\" {} {attributes}>{elements}</rdf:Description>\
         </rdf:RDF></x:xmpmeta><?xpacket end=\"w\"?>",
        spaces.join(" ")
    )
}

/// A list of texts as the value of a property of XMP.
pub fn bag(property: &str, texts: &[&str]) -> String {
    let members: Vec<String> =
        texts.iter().map(|text| format!("<rdf:li>{text}</rdf:li>")).collect();
    format!("<{property}><rdf:Bag>{}</rdf:Bag></{property}>", members.concat())
}

/// IPTC's records.
pub fn iptc(sets: &[(u8, u8, &[u8])]) -> Vec<u8> {
    let set = |(record, number, content): &(u8, u8, &[u8])| {
        let length = (content.len() as u16).to_be_bytes();
        [&[0x1C, *record, *number][..], &length, content].concat()
    };
    sets.iter().flat_map(set).collect()
}

/// IPTC as a resource of Photoshop.
pub fn photoshop(iptc: &[u8]) -> Vec<u8> {
    let length = (iptc.len() as u32).to_be_bytes();
    let padding = vec![0; iptc.len() % 2];
    [b"8BIM\x04\x04\0\0".as_slice(), &length, iptc, &padding].concat()
}

/// What a JPEG or another file can carry.
#[derive(Default, Clone)]
pub struct Carried {
    pub exif: Option<Vec<u8>>,
    pub xmp: Option<String>,
    pub iptc: Option<Vec<u8>>,
}

/// A JPEG with segments behind its first marker.
pub fn jpeg_with(seed: u32, carried: &Carried) -> Vec<u8> {
    let mut segments = Vec::new();
    let mut add = |marker: u8, prefix: &[u8], content: &[u8]| {
        let length = u16::try_from(prefix.len() + content.len() + 2).unwrap().to_be_bytes();
        segments.extend([&[0xFF, marker][..], &length, prefix, content].concat());
    };
    if let Some(exif) = &carried.exif {
        add(0xE1, b"Exif\0\0", exif);
    }
    if let Some(xmp) = &carried.xmp {
        add(0xE1, b"http://ns.adobe.com/xap/1.0/\0", xmp.as_bytes());
    }
    if let Some(iptc) = &carried.iptc {
        add(0xED, b"Photoshop 3.0\0", &photoshop(iptc));
    }
    with_segments(&jpeg(&photo(40, 30, seed), None), &segments)
}

/// The JPEG with these bytes behind its first marker.
pub fn with_segments(jpeg: &[u8], segments: &[u8]) -> Vec<u8> {
    [&jpeg[..2], segments, &jpeg[2..]].concat()
}

/// A PNG with texts and other chunks before its pixels.
pub fn png_with(seed: u32, texts: &[(&str, &str)], chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let picture = photo(40, 30, seed);
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 40, 30);
    encoder.set_color(png::ColorType::Rgb);
    for (keyword, text) in texts {
        encoder.add_text_chunk((*keyword).to_owned(), (*text).to_owned()).unwrap();
    }
    let mut writer = encoder.write_header().unwrap();
    for (kind, content) in chunks {
        writer.write_chunk(png::chunk::ChunkType(**kind), content).unwrap();
    }
    writer.write_image_data(picture.as_raw()).unwrap();
    writer.finish().unwrap();
    file
}

/// The content of an uncompressed `iTXt` chunk.
pub fn international_text(keyword: &str, text: &str) -> Vec<u8> {
    [keyword.as_bytes(), b"\0\0\0\0\0", text.as_bytes()].concat()
}

/// A WebP in the extended format, with these flags and chunks.
pub fn webp_with(seed: u32, flags: u8, chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let chunk = |(name, content): &(&[u8; 4], &[u8])| {
        let length = (content.len() as u32).to_le_bytes();
        let padding = vec![0; content.len() % 2];
        [name.as_slice(), &length, content, &padding].concat()
    };
    let extended = [flags, 0, 0, 0, 39, 0, 0, 29, 0, 0];
    let picture = webp(&photo(40, 30, seed), 90.0);
    let mut body = [b"WEBP".as_slice(), &chunk(&(b"VP8X", &extended)), &picture[12..]].concat();
    body.extend(chunks.iter().flat_map(chunk));
    [b"RIFF".as_slice(), &(body.len() as u32).to_le_bytes(), &body].concat()
}
