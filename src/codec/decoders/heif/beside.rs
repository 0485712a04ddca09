//! Says what a HEIC or AVIF holds beside its primary picture: other pictures, maps that go with it,
//! and films.

use std::collections::BTreeSet;

use super::boxes::{BoxReader, HeifContainer, HeifItem, ItemProperty};

const GAIN_MAP: &str = "its HDR gain map is not kept";
/// Words in the meaning of an auxiliary picture, and what that picture is.
const AUXILIARIES: [(&[u8], &str); 6] = [
    (b"gainmap", GAIN_MAP),
    (b"depth", DEPTH_MAP),
    (b"disparity", DEPTH_MAP),
    (b"urn:mpeg:hevc:2015:auxid:2", DEPTH_MAP),
    (b"matte", "its mattes, which tell people and things apart, are not kept"),
    (b"", "an auxiliary picture is not kept"),
];
const DEPTH_MAP: &str = "its depth map is not kept";

/// Returns notes on what is not shown, and what lies behind the last box.
pub(in crate::codec) fn beside(source: &[u8]) -> (Vec<String>, &[u8]) {
    // What can't be read is refused by the decoder.
    let Ok(container) = HeifContainer::parse(source) else { return (Vec::new(), &[]) };
    let mut notes = container.pictures_beside();
    notes.extend(container.maps().into_iter().map(Into::into));
    let boxes = OuterBoxes::walk(source);
    if boxes.is_stereo {
        notes.push("only one picture of a stereo pair".into());
    }
    if boxes.has_film && notes.iter().all(|note| note != SEQUENCE_NOTE) {
        notes.push("the film beside the picture is not kept".into());
    }
    (notes, boxes.behind)
}

const SEQUENCE_NOTE: &str = "only the first picture of a sequence";

impl HeifContainer<'_> {
    fn pictures_beside(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.brands.iter().any(|brand| matches!(brand, b"avis" | b"msf1" | b"hevc" | b"hevx")) {
            notes.push(SEQUENCE_NOTE.into());
        }
        let mut parts = BTreeSet::new();
        for reference in &self.references {
            match &reference.kind {
                b"dimg" => parts.extend(&reference.to),
                b"thmb" | b"auxl" => parts.extend([reference.from]),
                _ => {}
            }
        }
        let is_picture = |item: &HeifItem| {
            !item.hidden && matches!(&item.kind, b"hvc1" | b"av01" | b"grid" | b"iden" | b"iovl")
        };
        let others = self
            .items
            .iter()
            .filter(|(id, item)| is_picture(item) && **id != self.primary && !parts.contains(id))
            .count();
        if others > 0 {
            notes.push(format!("only the main one of {} pictures", others + 1));
        }
        notes
    }

    /// Returns what the auxiliary pictures are, but for alpha, which is shown. A tone map is a
    /// picture made of another one and its gain map.
    fn maps(&self) -> BTreeSet<&'static str> {
        let mut maps = BTreeSet::new();
        if self.items.values().any(|item| &item.kind == b"tmap") {
            maps.insert(GAIN_MAP);
        }
        for reference in self.references.iter().filter(|reference| &reference.kind == b"auxl") {
            let mut meanings =
                self.properties_of(reference.from).filter_map(|property| match property {
                    ItemProperty::Auxiliary(meaning) => Some(*meaning),
                    _ => None,
                });
            if self.is_alpha(reference.from) {
                continue;
            }
            let meaning = meanings.next().unwrap_or_default().to_ascii_lowercase();
            let is_named =
                |(word, _): &&(&[u8], &str)| memchr::memmem::find(&meaning, word).is_some();
            maps.extend(AUXILIARIES.iter().find(is_named).map(|(_, what)| *what));
        }
        maps
    }
}

/// What the outermost boxes tell.
#[derive(Default)]
struct OuterBoxes<'s> {
    is_stereo: bool,
    has_film: bool,
    /// What lies behind the last box that belongs to the picture.
    behind: &'s [u8],
}

impl<'s> OuterBoxes<'s> {
    /// Walks the boxes up to the first that does not belong to a picture.
    fn walk(source: &'s [u8]) -> Self {
        let mut boxes = Self::default();
        let mut reader = BoxReader(source);
        let mut is_first = true;
        loop {
            let rest = reader.0;
            let Ok(Some((kind, content))) = reader.next_box() else {
                boxes.behind = rest;
                return boxes;
            };
            match &kind {
                b"ftyp" if is_first => {}
                b"meta" => boxes.is_stereo |= has_stereo_group(content),
                b"moov" | b"mpvd" => boxes.has_film = true,
                b"mdat" | b"free" | b"skip" | b"wide" | b"uuid" | b"pdin" | b"idat" | b"jumb" => {}
                _ => {
                    boxes.behind = rest;
                    return boxes;
                }
            }
            is_first = false;
        }
    }
}

/// Whether items are grouped as the views of two eyes.
fn has_stereo_group(meta: &[u8]) -> bool {
    let Some(content) = meta.get(4..) else { return false };
    let mut reader = BoxReader(content);
    while let Ok(Some((kind, content))) = reader.next_box() {
        let mut groups = BoxReader(content);
        while &kind == b"grpl"
            && let Ok(Some((group, _))) = groups.next_box()
        {
            if &group == b"ster" {
                return true;
            }
        }
    }
    false
}
