//! The two meta pages, and which states of the gallery they show.
//!
//! Transaction N writes meta page N % 2, and the other page keeps the state before it. So the two of
//! a sound file are of transactions that follow each other, each in its place. A file that had no
//! commit yet has 0 in both, and LMDB's compact copy 0 and 1.

use super::data_file::DataFile;
use super::page::{HEADER_BYTES, META, flags_of, number_of, u32_at, u64_at};
use super::walk::{ROOT_BYTES, TreeRoot};

const MAGIC: u32 = 0xBEEF_C0DE;
const VERSION: u32 = 1;

/// Lengths of pages that LMDB knows, in bytes.
const PAGE_BYTES: std::ops::RangeInclusive<usize> = 256..=32_768;

/// A state of the gallery, as a meta page has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) free: TreeRoot,
    pub(super) main: TreeRoot,
    pub(super) last_page: u64,
    pub(super) transaction: u64,
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

/// A meta page: what it says, and what is wrong with it.
struct MetaPage {
    meta: Meta,
    problem: Option<String>,
}

/// Reads both meta pages, and sets the length of the file's pages.
pub(super) fn read_metas(file: &mut DataFile) -> Metas {
    find_page_bytes(file);
    let mut pages = Vec::new();
    let mut problems = Vec::new();
    for number in 0..2 {
        match file.page(number).map(|page| parse(&page, number, file)) {
            Ok(Some(page)) => {
                if let Some(problem) = &page.problem {
                    problems.push(format!("meta page {number}: {problem}"));
                }
                pages.push(page);
            }
            Ok(None) => problems.push(format!("meta page {number}: it is no meta page")),
            Err(reason) => problems.push(format!("meta page {number}: {reason}")),
        }
    }
    if let [one, other] = &pages[..]
        && problems.is_empty()
        && !can_be_neighbours(one.meta.transaction, other.meta.transaction)
    {
        problems.push(format!(
            "the meta pages are of the transactions {} and {}, which do not follow each other: \
             one of them is not what was written last",
            one.meta.transaction, other.meta.transaction
        ));
    }
    pages.sort_by_key(|page| (page.problem.is_some(), std::cmp::Reverse(page.meta.transaction)));
    let has_newest = problems.is_empty() || is_second_older(&pages);
    if let Some(first) = pages.first()
        && !problems.is_empty()
    {
        let read = first.meta.transaction;
        problems.push(if has_newest {
            "the damaged meta page is of the state before, so nothing is lost with it".to_owned()
        } else {
            format!("what is read is the state of transaction {read}; a newer one may be lost")
        });
    }
    let states = pages.into_iter().map(|page| page.meta).collect();
    Metas { states, problems, has_newest }
}

/// Whether the meta pages 0 and 1 of a sound file can have these transactions.
fn can_be_neighbours(even: u64, odd: u64) -> bool {
    (even, odd) == (0, 0) || even % 2 == 0 && odd % 2 == 1 && (even.abs_diff(odd) == 1)
}

/// Whether the first page is sound, and the second is what was there before it.
fn is_second_older(pages: &[MetaPage]) -> bool {
    match pages {
        [first, second] => {
            first.problem.is_none()
                && second.problem.is_some()
                && second.meta.transaction.checked_add(1) == Some(first.meta.transaction)
        }
        _ => false,
    }
}

/// Finds the length of the file's pages, by the first meta page or else by the second.
fn find_page_bytes(file: &mut DataFile) {
    let page_bytes = |bytes: &[u8]| {
        (u32_at(bytes, HEADER_BYTES) == MAGIC).then(|| page_bytes_of(bytes)).flatten()
    };
    let head_bytes = HEADER_BYTES + 24 + ROOT_BYTES;
    let first = file.read(0, head_bytes).ok().and_then(|head| page_bytes(&head));
    let second = || {
        let mut lengths = (8..=15).map(|power| 1_usize << power);
        lengths.find(|length| {
            let head = file.read(*length as u64, head_bytes).ok();
            head.and_then(|head| page_bytes(&head)) == Some(*length)
        })
    };
    if let Some(found) = first.or_else(second) {
        file.set_page_bytes(found);
    }
}

/// The length of pages that a meta page gives, if it can be one.
fn page_bytes_of(page: &[u8]) -> Option<usize> {
    let root = page.get(HEADER_BYTES + 24..)?;
    let found = usize::try_from(TreeRoot::page_bytes(root)).ok()?;
    (PAGE_BYTES.contains(&found) && found.is_power_of_two()).then_some(found)
}

/// Reads a meta page. Returns `None` if it has nothing of one.
fn parse(page: &[u8], number: u64, file: &DataFile) -> Option<MetaPage> {
    let body = page.get(HEADER_BYTES..)?;
    let root = |at: usize| TreeRoot::read(body.get(at..at + ROOT_BYTES)?);
    let meta = Meta {
        free: root(24)?,
        main: root(24 + ROOT_BYTES)?,
        last_page: u64_at(body, 24 + 2 * ROOT_BYTES),
        transaction: u64_at(body, 32 + 2 * ROOT_BYTES),
    };
    let page_bytes = page_bytes_of(page).unwrap_or(0);
    let is_meta = u32_at(body, 0) == MAGIC || flags_of(page) == META;
    let problem = if number_of(page) != number || flags_of(page) != META {
        Some("its header is not that of a meta page".to_owned())
    } else if u32_at(body, 0) != MAGIC || u32_at(body, 4) != VERSION {
        Some("it is not LMDB's, or of another version of LMDB".to_owned())
    } else if page_bytes != file.page_bytes() {
        Some(format!("it says that pages have {} bytes", TreeRoot::page_bytes(&body[24..])))
    } else if [meta.free, meta.main].iter().any(|root| root.page > Some(meta.last_page)) {
        Some("its trees begin behind its last page".to_owned())
    } else if meta.transaction != 0 && meta.transaction % 2 != number {
        Some(format!("transaction {} does not belong there", meta.transaction))
    } else {
        None
    };
    // A page of zeros or of random bytes names no state.
    let can_be_read = meta.main.page.is_some_and(|page| page < file.pages());
    let is_plausible = is_meta && (problem.is_none() || can_be_read);
    is_plausible.then_some(MetaPage { meta, problem })
}
