//! What lies in pages that no tree reaches: leaves, whose branch is lost, and values, whose leaf is.

use memchr::memmem::Finder;

use super::data_file::DataFile;
use super::page::{Content, Kind, Value, read_page};
use super::walk::KeyOrder;

/// How a WebP begins, and what follows 8 bytes later.
const WEBP_HEAD: (&[u8], &[u8]) = (b"RIFF", b"WEBP");
/// Length of the head of a WebP, in bytes.
const HEAD_BYTES: usize = 12;

/// What was found without a tree that leads there.
pub(in crate::store) enum Orphan<'p> {
    /// An entry of some tree's leaf.
    Entry { key: &'p [u8], value: Value<'p> },
    /// The place of something that begins as a WebP does.
    Webp { offset: u64, bytes: usize },
}

/// Visits what lies in some pages.
pub(super) fn each_orphan(file: &DataFile, pages: &[u64], visit: &mut dyn FnMut(Orphan<'_>)) {
    let finder = Finder::new(WEBP_HEAD.0);
    for number in pages {
        let start = number.saturating_mul(file.page_bytes() as u64);
        // The last page of a cut file may be there in part.
        let left = usize::try_from(file.length().saturating_sub(start)).unwrap_or(usize::MAX);
        let Ok(page) = file.read(start, left.min(file.page_bytes())) else { continue };
        let reading = read_page(&page, *number, KeyOrder::Bytes);
        if reading.kind == Some(Kind::Leaf) {
            for node in &reading.nodes {
                if let Content::Value(value) = node.content {
                    visit(Orphan::Entry { key: node.key, value });
                }
            }
        }
        for at in finder.find_iter(&page) {
            let offset = start + at as u64;
            if let Some(bytes) = webp_length(file, offset) {
                visit(Orphan::Webp { offset, bytes });
            }
        }
    }
}

/// The length of the WebP that begins at an offset, if one does and the file has all of it.
pub(in crate::store) fn webp_length(file: &DataFile, offset: u64) -> Option<usize> {
    let head = file.read(offset, HEAD_BYTES).ok()?;
    if head[..4] != *WEBP_HEAD.0 || head[8..] != *WEBP_HEAD.1 {
        return None;
    }
    let body = u32::from_le_bytes(head[4..8].try_into().ok()?);
    usize::try_from(body).ok()?.checked_add(8)
}
