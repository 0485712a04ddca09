//! Says what a TIFF holds beside its pages: layers of Photoshop, masks, slices, and pictures within
//! a page.

use super::directory::{Directory, TiffFile, tag};

/// Keys of Photoshop's blocks that hold layers, in either order of bytes (Adobe, "Photoshop File
/// Formats").
const LAYER_BLOCKS: [&[u8]; 6] =
    [b"8BIMLayr", b"8BIMLr16", b"8BIMLr32", b"MIB8ryaL", b"MIB861rL", b"MIB823rL"];
/// Bits of `NewSubfileType` for a smaller version of another picture, and for a mask.
const SMALLER_OR_MASK: u64 = 0b101;
/// The one for a mask.
const MASK: u64 = 0b100;

/// Returns a note on each thing that is not shown. Further pages are noted by the decoder.
pub(in crate::codec) fn notes(source: &[u8]) -> Vec<String> {
    let Ok(file) = TiffFile::open(source) else { return Vec::new() };
    let directories = file.surroundings();
    let mut notes = Vec::new();
    let has_layers = directories.iter().any(|(_, directory)| {
        let block = directory.bytes(tag::LAYERS).unwrap_or_default();
        LAYER_BLOCKS.into_iter().any(|key| memchr::memmem::find(block, key).is_some())
    });
    if has_layers {
        notes.push("its layers are not kept".into());
    }
    let subfile = |page: &Directory<'_>| page.number(tag::NEW_SUBFILE_TYPE, 0).unwrap_or_default();
    // The first page is shown, even if it is a mask.
    if directories.iter().skip(1).any(|(_, page)| subfile(page) & MASK != 0) {
        notes.push("its mask is not kept".into());
    }
    let slices = directories.iter().filter_map(|(_, page)| page.number(tag::IMAGE_DEPTH, 0)).max();
    if let Some(slices @ 2..) = slices {
        notes.push(format!("only the first of {slices} slices"));
    }
    let is_inner_picture = |directory: &Directory<'_>| {
        directory.number(tag::IMAGE_WIDTH, 0).is_some() && subfile(directory) & SMALLER_OR_MASK == 0
    };
    let inner = directories.iter().filter(|(is_inner, _)| *is_inner);
    let inner = inner.filter(|(_, directory)| is_inner_picture(directory)).count();
    if inner > 0 {
        notes.push(format!("only the first page, and not the {inner} pictures within it"));
    }
    notes
}
