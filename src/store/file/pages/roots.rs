//! States whose meta page is lost.
//!
//! Every commit writes the leaf of the main tree anew, which names the roots of our trees. Where a
//! meta page is damaged, the leaves that lie in the file are states to choose from: old ones too,
//! because what is freed keeps its bytes until it is used again.

use std::cmp::Reverse;
use std::sync::Arc;

use super::data_file::DataFile;
use super::page::{Content, KeyOrder, Kind, Value, read_page};
use super::walk::{Found, TreeRoot, Walker};
use crate::store::migrate::ADDED_KEY;
use crate::store::tree::Tree;

/// Number of states that are looked at closely.
const MAX_CANDIDATES: usize = 16;

/// The roots of our trees, by their numbers; `None` where a tree is missing.
pub(super) type Roots = [Option<TreeRoot>; Tree::ALL.len()];

/// A state that was found by its main tree's leaf.
pub(super) struct FoundState {
    pub(super) roots: Roots,
    /// Number of images ever added, which never falls.
    pub(super) added: u32,
    images: u64,
}

/// Returns the newest state that is whole, of those whose main tree's leaf lies in the file.
pub(super) fn find_state(file: &Arc<DataFile>) -> Option<FoundState> {
    let mut states = Vec::new();
    for number in 2..file.pages() {
        let Ok(page) = file.page(number) else { continue };
        if let Some(roots) = read_roots(&page, number)
            && let Some(added) = count_added(file, &roots)
        {
            let images = roots[Tree::Images as usize].map_or(0, |root| root.counts.entries);
            states.push(FoundState { roots, added, images });
        }
    }
    // Of two states with the same number of additions, the one that has fewer images is the later.
    states.sort_by_key(|state| (Reverse(state.added), state.images));
    states.truncate(MAX_CANDIDATES);
    states.into_iter().find(|state| is_whole(file, &state.roots))
}

/// Reads a page as the leaf of a main tree that names our trees.
fn read_roots(page: &[u8], number: u64) -> Option<Roots> {
    let reading = read_page(page, number, KeyOrder::Bytes);
    if reading.kind != Some(Kind::Leaf) || reading.problem.is_some() {
        return None;
    }
    let mut roots: Roots = [None; Tree::ALL.len()];
    for node in &reading.nodes {
        let Content::Tree(root) = node.content else { return None };
        let tree = Tree::ALL.into_iter().find(|tree| tree.name().as_bytes() == node.key)?;
        roots[tree as usize] = Some(TreeRoot::read(root).filter(|root| root.flags == 0)?);
    }
    roots[Tree::Images as usize].and(Some(roots))
}

/// Reads how many images were ever added in a state.
pub(super) fn count_added(file: &Arc<DataFile>, roots: &Roots) -> Option<u32> {
    let root = roots[Tree::Meta as usize]?;
    let (mut added, mut is_sound) = (0, true);
    let counted =
        Walker::new(file, file.pages()).walk(&root, KeyOrder::Bytes, &mut |found| match found {
            Found::Entry { key, value: Value::Inside(bytes), doubtful: false, .. } => {
                if key == ADDED_KEY {
                    added = bytes.try_into().map_or(0, u32::from_le_bytes);
                }
            }
            _ => is_sound = false,
        });
    (is_sound && counted.is_none()).then_some(added)
}

/// Whether a state's trees of images and of their bytes have all their pages.
fn is_whole(file: &Arc<DataFile>, roots: &Roots) -> bool {
    let mut walker = Walker::new(file, file.pages());
    [Tree::Images, Tree::Blobs].into_iter().all(|tree| {
        let Some(root) = roots[tree as usize] else { return false };
        let mut is_whole = true;
        let counted = walker.walk(&root, KeyOrder::Bytes, &mut |found| {
            is_whole &= matches!(found, Found::Entry { doubtful: false, .. });
        });
        is_whole && counted.is_none()
    })
}
