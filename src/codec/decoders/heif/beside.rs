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

#[cfg(test)]
mod tests {
    use super::*;

    fn media_box(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len() + 8).unwrap().to_be_bytes();
        [&length, &kind[..], content].concat()
    }

    fn item(id: u8, kind: &[u8; 4]) -> Vec<u8> {
        media_box(b"infe", &[&[2, 0, 0, 0, 0, id, 0, 0], &kind[..], &[0]].concat())
    }

    /// Builds a file of items, of which the first is the primary one, and whose second one is
    /// auxiliary to it if `meaning` is given.
    fn file(kinds: &[&[u8; 4]], meaning: Option<&str>, further: &[u8]) -> Vec<u8> {
        let items = (1..).zip(kinds).map(|(id, kind)| item(id, kind)).collect::<Vec<_>>().concat();
        let count = u8::try_from(kinds.len()).unwrap();
        let mut meta = vec![0; 4];
        meta.extend(media_box(b"pitm", &[0, 0, 0, 0, 0, 1]));
        meta.extend(media_box(b"iinf", &[&[0, 0, 0, 0, 0, count], &items[..]].concat()));
        if let Some(meaning) = meaning {
            let reference = media_box(b"auxl", &[0, 2, 0, 1, 0, 1]);
            meta.extend(media_box(b"iref", &[&[0; 4], &reference[..]].concat()));
            let property = media_box(b"auxC", &[&[0; 4], meaning.as_bytes(), b"\0"].concat());
            let association = [0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 1, 1];
            let properties = [media_box(b"ipco", &property), media_box(b"ipma", &association)];
            meta.extend(media_box(b"iprp", &properties.concat()));
        }
        meta.extend(further);
        let brands = media_box(b"ftyp", b"heic\0\0\0\0mif1heic");
        [brands, media_box(b"meta", &meta)].concat()
    }

    #[test]
    fn what_goes_with_the_primary_picture_is_named() {
        let two: &[&[u8; 4]] = &[b"hvc1", b"hvc1"];
        let apple = |what: &str| format!("urn:com:apple:photo:2020:aux:{what}");
        let stereo = media_box(b"grpl", &media_box(b"ster", &[0; 12]));
        let of = |meaning: &str| file(two, Some(meaning), &[]);
        for (name, source, expected) in [
            ("one picture", file(&[b"hvc1"], None, &[]), &[][..]),
            ("alpha", of("urn:mpeg:mpegB:cicp:systems:auxiliary:alpha"), &[]),
            ("gain map of Apple", of(&apple("hdrgainmap")), &[GAIN_MAP]),
            ("depth of HEVC", of("urn:mpeg:hevc:2015:auxid:2"), &[DEPTH_MAP]),
            ("depth", of("urn:mpeg:mpegB:cicp:systems:auxiliary:depth"), &[DEPTH_MAP]),
            ("portrait", of(&apple("portraiteffectsmatte")), &[AUXILIARIES[4].1]),
            ("anything else", of("urn:x"), &["an auxiliary picture is not kept"]),
            ("tone map", file(&[b"av01", b"tmap"], None, &[]), &[GAIN_MAP]),
            ("two pictures", file(two, None, &[]), &["only the main one of 2 pictures"]),
            (
                "stereo",
                file(two, None, &stereo),
                &["only the main one of 2 pictures", "only one picture of a stereo pair"],
            ),
            (
                "film",
                [file(&[b"hvc1"], None, &[]), media_box(b"mpvd", b"film")].concat(),
                &["the film beside the picture is not kept"],
            ),
        ] {
            assert_eq!(
                beside(&source),
                (expected.iter().map(|note| (*note).into()).collect(), &[][..]),
                "{name}"
            );
        }
        let source =
            [file(&[b"hvc1"], None, &[]), b"\0\0\0\x08skip\0\0\0\x09what?".to_vec()].concat();
        assert_eq!(beside(&source).1, b"\0\0\0\x09what?");
    }
}
