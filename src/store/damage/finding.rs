//! What is told of damage: of ranges that are lost, and of the file as a whole.

use crate::image::ImageId;
use crate::store::check::Damage;
use crate::store::error::hex;
use crate::store::file::pages::Lost;
use crate::store::tree::Tree;

/// Takes one more look at an image: at its WebP, whose bytes are right, and at the size in pixels
/// that its record has. Returns what it finds to be wrong.
pub type Inspect<'i> = dyn Fn(&[u8], (u32, u32)) -> Option<String> + Sync + 'i;

/// Subject of what concerns the gallery's file as a whole.
pub(super) const FILE: &str = "file";

/// The ranges of one tree that are lost.
pub(super) struct LostRanges {
    tree: Tree,
    ranges: Vec<Lost>,
}

impl LostRanges {
    pub(super) fn new(tree: Tree) -> Self {
        Self { tree, ranges: Vec::new() }
    }

    pub(super) fn push(&mut self, lost: Lost) {
        self.ranges.push(lost);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Why a key of the tree can't be found, if a range that is lost covers it.
    pub(super) fn reason(&self, key: &[u8]) -> Option<&str> {
        self.ranges.iter().find(|lost| lost.covers(key)).map(|lost| lost.reason.as_str())
    }

    /// One finding a range.
    pub(super) fn findings(&self) -> impl Iterator<Item = Damage> + '_ {
        self.ranges.iter().map(|lost| {
            let low = edge(self.tree, &lost.low);
            let range = match (low, lost.high.as_deref().and_then(|high| edge(self.tree, high))) {
                (None, None) => "all of it".to_owned(),
                (Some(low), None) => format!("what comes from {low} on"),
                (None, Some(high)) => format!("what comes before {high}"),
                (Some(low), Some(high)) => format!("what comes from {low} on and before {high}"),
            };
            let problem = format!("{}; {range} may be lost", lost.reason);
            Damage::new(self.tree.name(), problem)
        })
    }
}

/// How the edge of a range is written: image ids where the keys begin with them.
fn edge(tree: Tree, key: &[u8]) -> Option<String> {
    let is_of_images = !matches!(tree, Tree::Meta | Tree::Keys | Tree::Sources);
    let length = if is_of_images { ImageId::LEN.min(key.len()) } else { key.len() };
    (!key.is_empty()).then(|| hex(&key[..length]))
}
