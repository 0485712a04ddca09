//! Which states of the gallery the two meta pages show.
//!
//! Whether the pages are sound, `meta_pages` judges. Here a damaged one is read too, as far as it
//! may still lead to its state.

use std::cmp::Reverse;

use super::data_file::DataFile;
use super::walk::TreeRoot;
use crate::store::error::StoreError;
use crate::store::file::layout::{
    FREE_ROOT, LAST_PAGE, MAIN_ROOT, ROOT_BYTES, TRANSACTION, u64_at,
};
use crate::store::file::meta_pages::Verdict;

/// A state of the gallery, as a meta page has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) free: TreeRoot,
    pub(super) main: TreeRoot,
    pub(super) last_page: u64,
    pub(super) transaction: u64,
    is_sound: bool,
}

/// What the two meta pages show.
pub(super) struct Metas {
    /// The states, the one to read first. Those whose page is damaged come last.
    pub(super) states: Vec<Meta>,
    /// What is wrong with the pages.
    pub(super) problems: Vec<String>,
    /// Whether the first state is known to be the newest that there was.
    pub(super) has_newest: bool,
}

/// Reads both meta pages, and sets the length of the file's pages.
pub(super) fn read_metas(file: &mut DataFile) -> Result<Metas, StoreError> {
    let judged = file.meta_pages()?;
    if let Some(page) = judged.pages.iter().flatten().next() {
        file.set_page_bytes(page.page_bytes);
    }
    let verdict = judged.pair();
    let mut states: Vec<Meta> = (0..2)
        .filter_map(|number| {
            let page = file.page(number as u64).ok()?;
            parse(&page, judged.pages[number].is_ok())
        })
        .filter(|meta| meta.is_sound || meta.can_be_read(file))
        .collect();
    states.sort_by_key(|meta| (!meta.is_sound, Reverse(meta.transaction)));
    let mut problems = match &verdict {
        Verdict::Sound | Verdict::Cut { .. } => Vec::new(),
        Verdict::Foreign => vec!["neither of the first two pages is a meta page".to_owned()],
        Verdict::Damaged(reason) => vec![format!("of the first two pages, {reason}")],
    };
    let is_damaged = !problems.is_empty();
    let has_newest = !is_damaged || is_second_older(&states);
    if let Some(first) = states.first().filter(|_| is_damaged) {
        let read = first.transaction;
        problems.push(if has_newest {
            "the damaged meta page is of the state before, so nothing is lost with it".to_owned()
        } else {
            format!(
                "what is read is the state of transaction {read}; a newer one may be lost, and \
                 what was removed in that may be here"
            )
        });
    }
    Ok(Metas { states, problems, has_newest })
}

/// Whether the first state is sound, and the damaged page has what was there before it.
fn is_second_older(states: &[Meta]) -> bool {
    match states {
        [first, second] => {
            first.is_sound
                && !second.is_sound
                && second.transaction.checked_add(1) == Some(first.transaction)
        }
        _ => false,
    }
}

impl Meta {
    /// Whether a damaged page may lead somewhere. Zeros and random bytes do not.
    fn can_be_read(&self, file: &DataFile) -> bool {
        self.main.page.is_some_and(|page| (2..file.pages()).contains(&page))
    }
}

fn parse(page: &[u8], is_sound: bool) -> Option<Meta> {
    let root = |at: usize| TreeRoot::read(page.get(at..at + ROOT_BYTES)?);
    Some(Meta {
        free: root(FREE_ROOT)?,
        main: root(MAIN_ROOT)?,
        last_page: u64_at(page, LAST_PAGE),
        transaction: u64_at(page, TRANSACTION),
        is_sound,
    })
}
