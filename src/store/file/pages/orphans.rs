//! What lies in pages that no tree reaches: leaves whose branch is lost, and values whose leaf is.

use memchr::memmem::Finder;

use super::data_file::DataFile;
use super::page::{Content, KeyOrder, Kind, Place, Value, read_page};
use super::page_set::PageSet;

/// How a WebP begins, and what follows 8 bytes later.
const WEBP_HEAD: (&[u8], &[u8]) = (b"RIFF", b"WEBP");
/// Length of the head of a WebP, in bytes.
const HEAD_BYTES: usize = 12;

/// What was found without a tree that leads there.
pub(in crate::store) enum Orphan<'p> {
    /// An entry of some tree's leaf.
    Entry {
        key: &'p [u8],
        value: Value<'p>,
        place: Place,
        /// Whether nothing is wrong with its page.
        is_sound: bool,
    },
    /// Something that begins as a WebP does.
    Webp(Place),
}

/// Visits what lies in some pages, and in those that trees lead to but that are bad.
pub(super) fn each_orphan(
    file: &DataFile,
    pages: impl Iterator<Item = u64>,
    bad: &[u64],
    visit: &mut dyn FnMut(Orphan<'_>),
) {
    let finder = Finder::new(WEBP_HEAD.0);
    // A cut file may have a part of one more page.
    let mut bad_pages = PageSet::new(file.pages() + 1);
    for &number in bad {
        bad_pages.insert(number);
    }
    for number in pages.chain(bad.iter().copied()) {
        let start = number.saturating_mul(file.page_bytes() as u64);
        // The last page of a cut file may be there in part.
        let left = usize::try_from(file.length().saturating_sub(start)).unwrap_or(usize::MAX);
        let Ok(page) = file.read(start, left.min(file.page_bytes())) else { continue };
        let reading = read_page(&page, number, KeyOrder::Bytes);
        if reading.kind == Some(Kind::Leaf) {
            let is_sound = reading.problem.is_none() && !bad_pages.contains(number);
            for node in &reading.nodes {
                if let Content::Value(value) = node.content {
                    let place = Place::of(value, &page, number);
                    visit(Orphan::Entry { key: node.key, value, place, is_sound });
                }
            }
        }
        for at in finder.find_iter(&page) {
            let offset = start + at as u64;
            if let Some(place) = webp_at(file, offset) {
                visit(Orphan::Webp(place));
            }
        }
    }
}

/// The place of the WebP that begins at an offset, if one does.
pub(in crate::store) fn webp_at(file: &DataFile, offset: u64) -> Option<Place> {
    let head = file.read(offset, HEAD_BYTES).ok()?;
    if head[..4] != *WEBP_HEAD.0 || head[8..] != *WEBP_HEAD.1 {
        return None;
    }
    let body = u32::from_le_bytes(head[4..8].try_into().ok()?);
    Some(Place { offset, bytes: body.checked_add(8)? })
}
