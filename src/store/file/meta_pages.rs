//! The two meta pages of an LMDB file, which name the roots of its last two states.
//!
//! LMDB takes the page with the higher transaction number, whatever is in it, so one wrong bit
//! there can bring an older state back without a word. The number decides which page a transaction
//! writes, though, and transactions are numbered without gaps: only a pair of neighbours is sound.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::layout::{
    FREE_ROOT, HEADER_BYTES, LAST_PAGE, MAIN_ROOT, META_BYTES, NO_ROOT, ROOT_PAGE, TRANSACTION,
    u16_at, u32_at, u64_at,
};

/// `MDB_MAGIC`, which stands in the meta pages of every LMDB file.
const MAGIC: u32 = 0xBEEF_C0DE;
/// `MDB_DATA_VERSION`.
const VERSION: u32 = 1;
/// `P_META`: the flag of meta pages.
const META_FLAG: u16 = 0x08;
/// `P_BRANCH | P_LEAF`: the flags of a tree's pages.
const TREE_FLAGS: u16 = 0x03;
/// Lengths that a page can have, in bytes: powers of two. The first is by far the most frequent.
const PAGE_LENGTHS: [usize; 8] = [4_096, 8_192, 16_384, 32_768, 65_536, 512, 1_024, 2_048];
/// Length that no gallery has, in bytes. LMDB would try to map it.
const MAX_FILE_BYTES: u64 = 1 << 45;
/// Number of times that the pages are read again, and the time between, before they count as
/// damaged: another process may be writing them.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(1);

/// What one meta page says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MetaPage {
    pub(super) page_bytes: usize,
    /// The transaction that wrote the page.
    pub(super) transaction: u64,
    /// Number of the last page in use.
    pub(super) last_page: u64,
    pub(super) free_root: u64,
    pub(super) main_root: u64,
}

/// The two meta pages, or what is wrong with each.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MetaPages {
    pub(super) pages: [Result<MetaPage, String>; 2],
    /// What is to be said of the roots that the newer of two sound pages names. Those of the older
    /// one may be anything: LMDB leaves them so when it fails to write the page.
    roots: Verdict,
}

/// What the meta pages amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Sound,
    /// The file ends before the roots; it needs this many bytes.
    Cut {
        needed: u64,
    },
    /// Neither is a meta page of LMDB.
    Foreign,
    /// One of them can't be right, or the two can't be of one file.
    Damaged(String),
}

/// Whether a file begins as a gallery does, damaged or not.
///
/// # Errors
/// When the file can't be read.
pub fn begins_as_gallery(path: &Path) -> io::Result<bool> {
    Ok(MetaPages::read(&File::open(path)?)?.verdict() != Verdict::Foreign)
}

impl MetaPages {
    /// Reads the meta pages of a file that other processes may be writing.
    ///
    /// # Errors
    /// When the file can't be read. One that is too short has damaged pages.
    pub(super) fn read(file: &File) -> io::Result<Self> {
        let mut pages = Self::read_once(file)?;
        for _ in 0..ATTEMPTS {
            if pages.verdict() == Verdict::Sound {
                break;
            }
            thread::sleep(PAUSE);
            let again = Self::read_once(file)?;
            if again == pages {
                break;
            }
            pages = again;
        }
        Ok(pages)
    }

    fn read_once(file: &File) -> io::Result<Self> {
        let first = read_page(file, 0, 0)?;
        let lengths = match &first {
            Ok(page) => vec![page.page_bytes],
            Err(_) => PAGE_LENGTHS.to_vec(),
        };
        let mut second = Err(String::new());
        for length in lengths {
            second = read_page(file, 1, length as u64)?;
            if second.as_ref().is_ok_and(|page| page.page_bytes == length) {
                break;
            }
        }
        let mut pages = Self { pages: [first, second], roots: Verdict::Sound };
        if let Some(newer) = pages.newer() {
            pages.roots = judge_roots(file, newer)?;
        }
        Ok(pages)
    }

    /// The page that LMDB takes, if both are sound.
    pub(super) fn newer(&self) -> Option<&MetaPage> {
        let [Ok(first), Ok(second)] = &self.pages else { return None };
        Some(if first.transaction < second.transaction { second } else { first })
    }

    pub(super) fn verdict(&self) -> Verdict {
        match self.pair() {
            Verdict::Sound => self.roots.clone(),
            other => other,
        }
    }

    /// What the two pages amount to, whatever they lead to.
    pub(super) fn pair(&self) -> Verdict {
        let (first, second) = match &self.pages {
            [Ok(first), Ok(second)] => (first, second),
            [Err(_), Err(_)] => return Verdict::Foreign,
            [Err(reason), _] => return Verdict::Damaged(format!("the first one {reason}")),
            [_, Err(reason)] => return Verdict::Damaged(format!("the second one {reason}")),
        };
        if first.page_bytes != second.page_bytes {
            return Verdict::Damaged("they differ in the length of pages".into());
        }
        let (even, odd) = (first.transaction, second.transaction);
        // Both pages of a new file are of transaction 0.
        let are_neighbours = even.is_multiple_of(2) && even.abs_diff(odd) == 1;
        if !are_neighbours && (even, odd) != (0, 0) {
            return Verdict::Damaged(format!("they are of transactions {even} and {odd}"));
        }
        Verdict::Sound
    }
}

/// Reads meta page `number` at an offset, in bytes. The inner error says what is wrong with it.
fn read_page(file: &File, number: u64, offset: u64) -> io::Result<Result<MetaPage, String>> {
    let mut page = [0; META_BYTES];
    match file.read_exact_at(&mut page, offset) {
        Ok(()) => Ok(parse(&page, number)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Ok(Err("is missing: the file is too short".into()))
        }
        Err(error) => Err(error),
    }
}

/// Judges the roots that a meta page names, as far as their headers show it.
fn judge_roots(file: &File, meta: &MetaPage) -> io::Result<Verdict> {
    let damaged = |what| Ok(Verdict::Damaged(format!("the newer one names a root {what}")));
    for root in [meta.free_root, meta.main_root] {
        if root == NO_ROOT {
            continue;
        }
        if !(2..=meta.last_page).contains(&root) {
            return damaged("beyond its last page");
        }
        let page_bytes = meta.page_bytes as u64;
        let mut header = [0; HEADER_BYTES];
        match file.read_exact_at(&mut header, root.saturating_mul(page_bytes)) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                let needed = meta.last_page.saturating_add(1).saturating_mul(page_bytes);
                return Ok(Verdict::Cut { needed });
            }
            read => read?,
        }
        if u64_at(&header, 0) != root || u16_at(&header, 10) & TREE_FLAGS == 0 {
            return damaged("that is no page of a tree");
        }
    }
    Ok(Verdict::Sound)
}

fn parse(page: &[u8; META_BYTES], number: u64) -> Result<MetaPage, String> {
    let damaged = |what: &str| Err(format!("has {what}"));
    if u32_at(page, HEADER_BYTES) != MAGIC {
        return damaged("not LMDB's magic number");
    }
    if u32_at(page, HEADER_BYTES + 4) != VERSION {
        return damaged("an unknown version");
    }
    if u64_at(page, 0) != number || u16_at(page, 10) & META_FLAG == 0 {
        return damaged("a wrong number or kind of page");
    }
    let meta = MetaPage {
        page_bytes: u32_at(page, HEADER_BYTES + 24) as usize,
        free_root: u64_at(page, FREE_ROOT + ROOT_PAGE),
        main_root: u64_at(page, MAIN_ROOT + ROOT_PAGE),
        last_page: u64_at(page, LAST_PAGE),
        transaction: u64_at(page, TRANSACTION),
    };
    if !PAGE_LENGTHS.contains(&meta.page_bytes) {
        return damaged("an impossible length of pages");
    }
    if meta.last_page >= MAX_FILE_BYTES / meta.page_bytes as u64 {
        return damaged("an impossible number of pages");
    }
    Ok(meta)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const PAGE: usize = 4_096;

    /// Makes a meta page of a transaction, with one tree whose root is page 2.
    fn page(number: u64, transaction: u64) -> Vec<u8> {
        let mut page = vec![0; PAGE];
        let mut put = |at: usize, bytes: &[u8]| page[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &number.to_le_bytes());
        put(10, &META_FLAG.to_le_bytes());
        put(16, &MAGIC.to_le_bytes());
        put(20, &VERSION.to_le_bytes());
        put(16 + 24, &4_096_u32.to_le_bytes());
        put(16 + 64, &NO_ROOT.to_le_bytes());
        put(16 + 112, &2_u64.to_le_bytes());
        put(16 + 120, &2_u64.to_le_bytes());
        put(16 + 128, &transaction.to_le_bytes());
        page
    }

    fn root() -> Vec<u8> {
        let mut page = vec![0; PAGE];
        (page[0], page[10]) = (2, 2);
        page
    }

    fn verdict(pages: &[u8]) -> Verdict {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(pages).unwrap();
        MetaPages::read(&file).unwrap().verdict()
    }

    #[test]
    fn only_neighbours_are_sound() {
        for (even, odd, is_sound) in
            [(0, 0, true), (0, 1, true), (2, 1, true), (16, 17, true), (18, 17, true)]
                .into_iter()
                .chain([(16, 1, false), (16, 15, true), (16, 19, false), (17, 16, false)])
                .chain([(0, 17, false), (16, 16, false), (16, 1 << 40 | 17, false)])
        {
            let found = verdict(&[page(0, even), page(1, odd), root()].concat());
            assert_eq!(found == Verdict::Sound, is_sound, "{even}, {odd}: {found:?}");
        }
    }

    #[test]
    fn each_bit_of_the_newer_page_that_leads_elsewhere_is_noticed() {
        let sound = [page(0, 16), page(1, 17), root()].concat();
        let flip = |bit: usize| {
            let mut pages = sound.clone();
            pages[PAGE + bit / 8] ^= 1 << (bit % 8);
            verdict(&pages)
        };
        let fields = [(0, 8), (16, 24), (16 + 24, 16 + 28), (16 + 112, 16 + 120), (144, 152)];
        for bit in fields.iter().flat_map(|(from, to)| from * 8..to * 8) {
            let found = flip(bit);
            let is_noticed = matches!(found, Verdict::Damaged(_) | Verdict::Cut { .. });
            assert!(is_noticed, "bit {bit}: {found:?}");
        }
    }

    #[test]
    fn other_files_are_foreign_and_cut_ones_damaged() {
        assert_eq!(verdict(b""), Verdict::Foreign);
        assert_eq!(verdict(&[7; 9_000]), Verdict::Foreign);
        assert!(matches!(verdict(&page(0, 16)), Verdict::Damaged(_)));
        assert!(matches!(verdict(&[vec![0; PAGE], page(1, 17)].concat()), Verdict::Damaged(_)));
        let cut = [page(0, 16), page(1, 17)].concat();
        assert_eq!(verdict(&cut), Verdict::Cut { needed: 3 * 4_096 });
    }
}
