//! One state of a gallery, kept in place while it is read.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use super::data_file::DataFile;
use super::free_list::{FreeList, read_free_list};
use super::meta::{Meta, Metas, read_metas};
use super::orphans::{Orphan, each_orphan};
use super::page::{KeyOrder, Place};
use super::page_set::PageSet;
use super::roots::{FoundState, Roots, count_added, find_state};
use super::walk::{Found, Lost, TreeRoot, Walker};
use crate::store::error::StoreError;
use crate::store::file::open::STATE_TRIES;
use crate::store::file::pin::Pin;
use crate::store::tree::Tree;

/// What a state is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Purpose {
    /// What trees reach is wanted, of an older state if need be.
    Read,
    /// What no tree reaches is wanted too, so the newest state is best even without its root.
    Salvage,
}

/// A state of a gallery, read by position.
pub(in crate::store) struct Snapshot {
    file: Arc<DataFile>,
    walker: Walker,
    roots: Roots,
    /// What keeps the roots of missing trees from being read.
    main_problem: Option<String>,
    free: FreeList,
    notes: Vec<String>,
    problems: Vec<String>,
    has_newest: bool,
    /// Kept until the reading ends.
    _pin: Option<Pin>,
}

impl Snapshot {
    /// Opens the newest state of the gallery at a path that can be read.
    ///
    /// `may_go_on` gets the error of LMDB where it can't open the file, and says whether to go on
    /// without its lock.
    pub(in crate::store) fn open(
        path: &Path,
        purpose: Purpose,
        mut may_go_on: impl FnMut(&StoreError) -> bool,
    ) -> Result<Self, StoreError> {
        let mut notes = Vec::new();
        for _ in 0..STATE_TRIES {
            let pin = match Pin::new(path) {
                Ok(pin) => pin,
                Err(error) if may_go_on(&error) => {
                    notes.push(format!(
                        "read without a lock, so that changes of other processes may look like \
                         damage: {error}"
                    ));
                    break;
                }
                Err(error) => return Err(error),
            };
            let file = pin.file().map_err(|source| StoreError::io(path, source))?;
            let mut file = DataFile::new(file, path)?;
            let mut metas = read_metas(&mut file)?;
            let pinned = pin.transaction();
            // Two commits write the meta page of the state that is kept.
            if let Some(at) = metas.states.iter().position(|meta| meta.transaction == pinned) {
                metas.states.swap(0, at);
                return Self::read(path, file, metas, (notes, purpose), Some(pin));
            }
        }
        let file = File::open(path).map_err(|source| StoreError::io(path, source))?;
        let mut file = DataFile::new(file, path)?;
        let metas = read_metas(&mut file)?;
        Self::read(path, file, metas, (notes, purpose), None)
    }

    fn read(
        path: &Path,
        file: DataFile,
        metas: Metas,
        (notes, purpose): (Vec<String>, Purpose),
        pin: Option<Pin>,
    ) -> Result<Self, StoreError> {
        let Metas { states, mut problems, mut has_newest } = metas;
        let are_sound = problems.is_empty();
        let file = Arc::new(file);
        let mut read: Vec<MetaState> =
            states.into_iter().map(|meta| MetaState::read(&file, meta)).collect();
        if !are_sound {
            sort_by_age(&mut read);
        }
        if are_sound && read.iter().all(MetaState::is_foreign) {
            return Err(StoreError::foreign(path));
        }
        let is_usable = |state: &MetaState| {
            state.main_problem.is_none() && state.roots.iter().any(Option::is_some)
        };
        let usable = read.iter().position(is_usable);
        // What is neither used nor free is the newest state, even without its root.
        let is_exact =
            |state: &MetaState| state.main_page.is_some() && state.free.problems.is_empty();
        let goes_without = purpose == Purpose::Salvage && are_sound;
        let usable =
            if goes_without && read.first().is_some_and(is_exact) { Some(0) } else { usable };
        if let (Some(newest), Some(1..)) = (read.first(), usable) {
            problems.extend(newest.main_problem.clone());
            problems.push("what is read is the state before the newest one, which is lost".into());
        }
        let by_meta = (!read.is_empty()).then(|| read.swap_remove(usable.unwrap_or(0)));
        has_newest &= usable == Some(0);
        let found = if are_sound && has_newest { None } else { find_state(&file) };
        let is_better = |found: &FoundState| match (&by_meta, usable) {
            (Some(state), Some(_)) => {
                count_added(&file, &state.roots).is_none_or(|added| added < found.added)
            }
            (Some(state), None) => !is_exact(state),
            (None, _) => true,
        };
        let state = match (found.filter(is_better), by_meta) {
            (Some(found), _) => {
                problems.push(
                    "what is read is a state whose meta page is lost; a newer one may be too"
                        .into(),
                );
                has_newest = false;
                MetaState::found(&file, &found)
            }
            (None, Some(by_meta)) => by_meta,
            (None, None) => {
                let reason = "nothing of a gallery can be found in it; restore it from a backup";
                return Err(not_a_gallery(path, reason));
            }
        };
        let MetaState { walker, roots, main_problem, free, .. } = state;
        let file_problem = cut_problem(&walker, &free);
        problems.extend(main_problem.clone());
        problems.extend(file_problem);
        Ok(Self { file, walker, roots, main_problem, free, notes, problems, has_newest, _pin: pin })
    }

    pub(in crate::store) fn file(&self) -> Arc<DataFile> {
        Arc::clone(&self.file)
    }

    /// What is to be known of how the file is read.
    pub(in crate::store) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What is wrong with the file as a whole, of what is known so far.
    pub(in crate::store) fn problems(&self) -> &[String] {
        &self.problems
    }

    /// What is wrong with the list of free pages.
    pub(in crate::store) fn free_list_problems(&self) -> &[String] {
        &self.free.problems
    }

    /// Whether this is the newest state that the gallery ever had, as far as can be known.
    pub(in crate::store) fn is_newest(&self) -> bool {
        self.has_newest
    }

    /// Whether it is known which pages no tree should have. Then those that are neither free nor
    /// reached belong to trees.
    pub(in crate::store) fn has_exact_accounts(&self) -> bool {
        self.free.problems.is_empty()
    }

    /// Walks a tree, which can be done once, and returns what its root says that is not true.
    pub(in crate::store) fn walk(
        &mut self,
        tree: Tree,
        visit: &mut dyn FnMut(Found<'_>),
    ) -> Option<String> {
        let root = self.root_of(tree, visit)?;
        let found = self.walker.walk(&root, KeyOrder::Bytes, visit)?;
        let (said, found) = (root.counts, found);
        Some(if said.entries == found.entries {
            "its root tells of other pages than it has".to_owned()
        } else {
            format!(
                "its root tells of {} entries, {} are there: a page was replaced by another one",
                said.entries, found.entries
            )
        })
    }

    /// Walks to these keys of a tree, which ascend. What lies elsewhere is not looked at.
    pub(in crate::store) fn walk_to(
        &mut self,
        tree: Tree,
        keys: &[Vec<u8>],
        visit: &mut dyn FnMut(Found<'_>),
    ) {
        if let Some(root) = self.root_of(tree, visit) {
            self.walker.walk_to(&root, keys, visit);
        }
    }

    /// Returns the root of a tree, unless it is lost or a draft has no such tree.
    fn root_of(&self, tree: Tree, visit: &mut dyn FnMut(Found<'_>)) -> Option<TreeRoot> {
        let root = self.roots[tree as usize];
        let has_never_been = self.is_draft() && tree as usize >= Tree::IN_DRAFT;
        if root.is_none() && !has_never_been {
            let reason = self.main_problem.clone();
            let reason = reason.unwrap_or_else(|| format!("the tree {} is missing", tree.name()));
            visit(Found::Lost(Lost { low: Vec::new(), high: None, reason }));
        }
        root
    }

    /// Whether the gallery is a draft of format 1, which has fewer trees.
    pub(in crate::store) fn is_draft(&self) -> bool {
        let (first, others) = self.roots.split_at(Tree::IN_DRAFT);
        self.main_problem.is_none()
            && first.iter().all(Option::is_some)
            && others.iter().all(Option::is_none)
    }

    /// Number of entries that a tree should have.
    pub(in crate::store) fn entries(&self, tree: Tree) -> Option<u64> {
        self.roots[tree as usize].map(|root| root.counts.entries)
    }

    /// Whether the page at a place is known to be free.
    pub(in crate::store) fn is_free(&self, place: Place) -> bool {
        let page = place.offset / self.file.page_bytes() as u64;
        self.has_exact_accounts() && self.free.pages.contains(page)
    }

    /// Compares the pages that the trees use with those that are free. All trees must have been
    /// walked.
    pub(in crate::store) fn account(&self) -> Vec<String> {
        if !self.has_exact_accounts() {
            return Vec::new();
        }
        let mut problems = Vec::new();
        let used = &self.walker.used;
        let both = (2..used.bound())
            .filter(|page| used.contains(*page) && self.free.pages.contains(*page))
            .count();
        if both > 0 {
            problems.push(format!("{both} pages are in use and listed as free"));
        }
        let neither = self.orphaned().count();
        if neither > 0 {
            problems.push(format!("{neither} pages are neither in use nor free"));
        }
        problems
    }

    /// Whether a tree that was walked uses a page.
    #[cfg(test)]
    pub(super) fn uses(&self, page: u64) -> bool {
        self.walker.used.contains(page)
    }

    /// Pages that are neither used nor known to be free.
    fn orphaned(&self) -> impl Iterator<Item = u64> + '_ {
        let is_exact = self.has_exact_accounts();
        self.walker
            .used
            .absent()
            .filter(move |page| *page >= 2 && !(is_exact && self.free.pages.contains(*page)))
    }

    /// Visits everything in the file that begins as a WebP does, wherever it lies.
    pub(in crate::store) fn each_webp(&self, visit: &mut dyn FnMut(Place)) {
        each_orphan(&self.file, 2..self.file.pages(), &[], &mut |orphan| {
            if let Orphan::Webp(place) = orphan {
                visit(place);
            }
        });
    }

    /// Visits what lies in pages that no tree reaches, and in those that something is wrong with.
    /// All trees must have been walked.
    pub(in crate::store) fn each_orphan(&self, visit: &mut dyn FnMut(Orphan<'_>)) {
        each_orphan(&self.file, self.orphaned(), &self.walker.bad, visit);
    }
}

fn not_a_gallery(path: &Path, reason: &str) -> StoreError {
    StoreError::NotAGallery { path: path.to_owned(), reason: reason.into() }
}

/// A state, as far as its meta page leads.
struct MetaState {
    walker: Walker,
    roots: Roots,
    /// Root of the tree that names the others.
    main_page: Option<u64>,
    main_problem: Option<String>,
    free: FreeList,
}

impl MetaState {
    fn read(file: &Arc<DataFile>, meta: Meta) -> Self {
        let mut walker = Walker::new(file, meta.last_page);
        let mut roots: Roots = [None; Tree::ALL.len()];
        let mut problem = None;
        let counted = walker.walk_with_roots(
            &meta.main,
            KeyOrder::Bytes,
            &mut |found| {
                problem = Some(match found {
                    Found::Lost(lost) => lost.reason,
                    Found::Entry { .. } => "it has an entry that is no tree".to_owned(),
                });
            },
            &mut |name, root| {
                let tree = Tree::ALL.into_iter().find(|tree| tree.name().as_bytes() == name);
                if let Some(tree) = tree {
                    roots[tree as usize] = TreeRoot::read(root).filter(|root| root.flags == 0);
                }
            },
        );
        if counted.is_some() {
            problem.get_or_insert("it has not as many trees as it says".into());
        }
        let main_problem = problem.map(|problem| format!("the tree of the trees: {problem}"));
        let free = read_free_list(&mut walker, &meta.free);
        if free.problems.is_empty() {
            walker.free = free.pages.clone();
        }
        Self { walker, roots, main_page: meta.main.page, main_problem, free }
    }

    /// Whether the state is readable and has none of our trees.
    fn is_foreign(&self) -> bool {
        self.main_problem.is_none() && self.roots.iter().all(Option::is_none)
    }

    /// A state that was found without its meta page. What is free then is not known.
    fn found(file: &Arc<DataFile>, found: &FoundState) -> Self {
        let walker = Walker::new(file, file.pages().saturating_sub(1));
        let free = FreeList {
            pages: PageSet::new(0),
            behind_end: 0,
            problems: vec!["which pages are free is not known".to_owned()],
        };
        Self { walker, roots: found.roots, main_page: None, main_problem: None, free }
    }
}

/// Puts the newer of two states first, if their free lists tell: what a commit replaces is free
/// after it.
fn sort_by_age(states: &mut [MetaState]) {
    if let [one, other] = states {
        let frees = |newer: &MetaState, older: &MetaState| {
            newer.main_problem.is_none()
                && newer.free.problems.is_empty()
                && older.main_page.is_some_and(|page| newer.free.pages.contains(page))
        };
        if frees(other, one) && !frees(one, other) {
            states.swap(0, 1);
        }
    }
}

/// Says what is missing of a file that lacks pages that are not free.
fn cut_problem(walker: &Walker, free: &FreeList) -> Option<String> {
    let page_bytes = walker.file.page_bytes() as u64;
    let pages = walker.last_page.saturating_add(1);
    let found = walker.file.length();
    free.lacks_used_pages(walker).then(|| {
        let needed = pages.saturating_mul(page_bytes);
        format!("truncated: the file has {found} bytes and needs {needed}")
    })
}
