//! Says what a JPEG XL holds beside its colours and alpha: other channels, a gain map, and what is
//! behind its boxes.

use jxl_oxide::ExtraChannelType;

use super::jxl::{CONTAINER, codestream, image_header, next_box};

/// Returns notes on what is not shown, and what lies behind the last box.
pub(crate) fn beside(source: &[u8]) -> (Vec<String>, &[u8]) {
    let mut notes: Vec<String> = Vec::new();
    // What can't be read is refused by the decoder.
    let image = codestream(source).ok().and_then(|codestream| image_header(&codestream).ok());
    let channels = image.map(|(image, _)| image.metadata.ec_info).unwrap_or_default();
    for channel in channels {
        let note = match channel.ty {
            // Spot colours are mixed into the others.
            ExtraChannelType::Alpha { .. }
            | ExtraChannelType::Black
            | ExtraChannelType::SpotColour { .. } => continue,
            ExtraChannelType::Depth => "its depth map is not kept",
            ExtraChannelType::Thermal => "its thermal data is not kept",
            _ => "a channel beside its colours is not kept",
        };
        if notes.iter().all(|known| known != note) {
            notes.push(note.into());
        }
    }
    let Some(mut rest) = source.strip_prefix(CONTAINER) else { return (notes, &[]) };
    let mut is_first = true;
    while !rest.is_empty() {
        match next_box(rest) {
            Ok((b"ftyp", ..)) if is_first => {}
            Ok((b"jhgm", _, _)) => notes.push("its HDR gain map is not kept".into()),
            Ok((
                b"jxlc" | b"jxlp" | b"jxll" | b"jxli" | b"jbrd" | b"Exif" | b"xml " | b"brob"
                | b"jumb" | b"free" | b"skip",
                ..,
            )) => {}
            _ => return (notes, rest),
        }
        is_first = false;
        rest = next_box(rest).map_or(&[], |(.., behind)| behind);
    }
    (notes, &[])
}
