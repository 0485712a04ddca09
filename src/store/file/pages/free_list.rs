//! The pages that are free in one state: those that trees used before, and that a reader may still
//! see.
//!
//! The free list is a tree of its own. Its keys are the numbers of the transactions that freed the
//! pages; a value is a count (8 bytes) and then as many page numbers, descending.

use std::sync::Arc;

use super::page::{KeyOrder, Value};
use super::page_set::PageSet;
use super::walk::{Found, TreeRoot, Walker};
use crate::store::file::layout::u64_at;

/// The free pages of a state.
pub(super) struct FreeList {
    pub(super) pages: PageSet,
    /// Number of free pages behind the end of the file, which LMDB need not have written.
    pub(super) behind_end: u64,
    /// What is wrong with the list; it can be trusted only if nothing is.
    pub(super) problems: Vec<String>,
}

impl FreeList {
    /// Whether the walker's file is so short that it lacks pages which are not free.
    pub(super) fn lacks_used_pages(&self, walker: &Walker) -> bool {
        let pages = walker.last_page.saturating_add(1);
        walker.file.pages() < pages.saturating_sub(self.behind_end)
    }
}

/// Reads the free list, whose own pages the walker marks as used.
pub(super) fn read_free_list(walker: &mut Walker, root: &TreeRoot) -> FreeList {
    let mut free = PageSet::new(walker.used.bound());
    let mut behind_end = 0;
    let mut problems = Vec::new();
    let (file, last_page) = (Arc::clone(&walker.file), walker.last_page);
    let mut read = |value: Value<'_>| -> Result<(), String> {
        let (bytes, problem) = file.value(value)?;
        if let Some(problem) = problem {
            return Err(problem);
        }
        let count = usize::try_from(u64_at(&bytes, 0)).unwrap_or(usize::MAX);
        let numbers = count
            .checked_add(1)
            .and_then(|words| bytes.get(8..words.checked_mul(8)?))
            .ok_or("it says that it has more pages than it lists")?;
        let mut before = u64::MAX;
        for number in numbers.chunks(8).map(|number| u64_at(number, 0)) {
            if number >= before || number < 2 || number > last_page || !free.insert(number) {
                return Err(format!("it lists page {number}, which can't be free there"));
            }
            behind_end += u64::from(number >= free.bound());
            before = number;
        }
        Ok(())
    };
    let counted = walker.walk(root, KeyOrder::Numbers, &mut |found| match found {
        Found::Entry { value, doubtful, .. } => match read(value) {
            Ok(()) if !doubtful => {}
            Ok(()) => problems.push("an entry of the free list is doubtful".to_owned()),
            Err(reason) => problems.push(format!("an entry of the free list: {reason}")),
        },
        Found::Lost(lost) => problems.push(format!("the free list: {}", lost.reason)),
    });
    if counted.is_some() {
        problems.push("the free list has not as much as its root says".to_owned());
    }
    FreeList { pages: free, behind_end, problems }
}
