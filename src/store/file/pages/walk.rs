//! One tree, entry by entry in the order of its keys, with what is lost of it.

use std::sync::Arc;

use super::data_file::DataFile;
use super::page::{Content, KeyOrder, Kind, Node, Place, Run, Value, read_page};
use super::page_set::PageSet;
use crate::store::file::layout::{NO_ROOT, ROOT_BYTES, ROOT_PAGE, u16_at, u64_at};

/// Greatest depth of a tree, as in LMDB.
const MAX_DEPTH: usize = 32;

/// The root of a tree, with what it says of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TreeRoot {
    pub(super) flags: u16,
    pub(super) depth: u16,
    pub(super) counts: Counts,
    /// `None` for an empty tree.
    pub(super) page: Option<u64>,
}

/// How much a tree has of what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) branch_pages: u64,
    pub(super) leaf_pages: u64,
    pub(super) overflow_pages: u64,
    pub(super) entries: u64,
}

impl TreeRoot {
    /// Reads a root, which has [`ROOT_BYTES`].
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != ROOT_BYTES {
            return None;
        }
        let page = u64_at(bytes, ROOT_PAGE);
        Some(Self {
            flags: u16_at(bytes, 4),
            depth: u16_at(bytes, 6),
            counts: Counts {
                branch_pages: u64_at(bytes, 8),
                leaf_pages: u64_at(bytes, 16),
                overflow_pages: u64_at(bytes, 24),
                entries: u64_at(bytes, 32),
            },
            page: (page != NO_ROOT).then_some(page),
        })
    }
}

/// A range of keys that can't be read, from `low` on and below `high`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Lost {
    pub(in crate::store) low: Vec<u8>,
    /// `None`: up to the last key.
    pub(in crate::store) high: Option<Vec<u8>>,
    pub(in crate::store) reason: String,
}

impl Lost {
    pub(in crate::store) fn covers(&self, key: &[u8]) -> bool {
        *key >= *self.low && self.high.as_ref().is_none_or(|high| *key < **high)
    }
}

/// What a walk comes upon.
pub(in crate::store) enum Found<'p> {
    Entry {
        key: &'p [u8],
        value: Value<'p>,
        place: Place,
        /// Whether something else in its page is wrong, so that it may not belong there.
        doubtful: bool,
    },
    Lost(Lost),
}

/// Walks trees of one file, and remembers which pages they use.
pub(super) struct Walker {
    pub(super) file: Arc<DataFile>,
    /// Number of the last page of the state that is walked.
    pub(super) last_page: u64,
    pub(super) used: PageSet,
    /// Pages that no tree should use, as far as they are known.
    pub(super) free: PageSet,
    /// Pages that are used and that something is wrong with.
    pub(super) bad: Vec<u64>,
}

/// One tree's walk.
struct Walk<'w, 'v> {
    walker: &'w mut Walker,
    order: KeyOrder,
    depth: usize,
    found: Counts,
    lost: bool,
    /// The keys that are looked for, ascending; `None` for all.
    wanted: Option<&'v [Vec<u8>]>,
    visit: &'v mut dyn FnMut(Found<'_>),
    /// Called with the roots of other trees.
    visit_root: &'v mut dyn FnMut(&[u8], &[u8]),
}

/// The keys that a page may have.
#[derive(Clone, Copy)]
struct Bounds<'b> {
    low: &'b [u8],
    high: Option<&'b [u8]>,
}

impl Walker {
    pub(super) fn new(file: &Arc<DataFile>, last_page: u64) -> Self {
        let bound = file.pages().min(last_page.saturating_add(1));
        Self {
            file: Arc::clone(file),
            last_page,
            used: PageSet::new(bound),
            free: PageSet::new(0),
            bad: Vec::new(),
        }
    }

    /// Walks a tree whose values are bytes. Returns what was counted if that differs from what the
    /// root says though nothing was lost on the way.
    pub(super) fn walk(
        &mut self,
        root: &TreeRoot,
        order: KeyOrder,
        visit: &mut dyn FnMut(Found<'_>),
    ) -> Option<Counts> {
        self.walk_with_roots(root, order, visit, &mut |_, _| {})
    }

    /// Walks to these keys, which ascend, in a tree that is ordered by bytes. No page is read that
    /// leads to none of them.
    pub(super) fn walk_to(
        &mut self,
        root: &TreeRoot,
        keys: &[Vec<u8>],
        visit: &mut dyn FnMut(Found<'_>),
    ) {
        Walk::new(self, root, KeyOrder::Bytes, Some(keys), visit, &mut |_, _| {}).run(root);
    }

    /// Walks a tree that holds roots of other trees too.
    pub(super) fn walk_with_roots(
        &mut self,
        root: &TreeRoot,
        order: KeyOrder,
        visit: &mut dyn FnMut(Found<'_>),
        visit_root: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Option<Counts> {
        let mut walk = Walk::new(self, root, order, None, visit, visit_root);
        walk.run(root);
        (!walk.lost && walk.found != root.counts).then_some(walk.found)
    }

    /// Marks pages as used. Says so if they are not there or are used already.
    fn claim(&mut self, first: u64, count: u64) -> Result<(), String> {
        let last = first.saturating_add(count - 1);
        if first < 2 || last > self.last_page {
            return Err(format!("there is no page {last} in this gallery"));
        }
        if last >= self.used.bound() {
            return Err(format!("page {last} lies behind the end of the file"));
        }
        for number in first..=last {
            if !self.used.insert(number) {
                return Err(format!("page {number} is used twice"));
            }
        }
        Ok(())
    }
}

impl<'w, 'v> Walk<'w, 'v> {
    fn new(
        walker: &'w mut Walker,
        root: &TreeRoot,
        order: KeyOrder,
        wanted: Option<&'v [Vec<u8>]>,
        visit: &'v mut dyn FnMut(Found<'_>),
        visit_root: &'v mut dyn FnMut(&[u8], &[u8]),
    ) -> Self {
        let depth = usize::from(root.depth);
        let found = Counts::default();
        Self { walker, order, depth, found, lost: false, wanted, visit, visit_root }
    }

    fn run(&mut self, root: &TreeRoot) {
        let whole = Bounds { low: &[], high: None };
        match root.page {
            Some(_) if !(1..=MAX_DEPTH).contains(&self.depth) => {
                self.lose(whole, format!("its root says that it has {} levels", self.depth));
            }
            Some(page) => self.descend(page, 1, whole),
            None => {}
        }
    }

    /// Whether a key that is looked for may lie within `bounds`.
    fn is_wanted(&self, bounds: Bounds<'_>) -> bool {
        self.wanted.is_none_or(|keys| {
            let first = keys.partition_point(|key| **key < *bounds.low);
            keys.get(first).is_some_and(|key| bounds.high.is_none_or(|high| **key < *high))
        })
    }

    fn lose(&mut self, bounds: Bounds<'_>, reason: String) {
        self.lost = true;
        let (low, high) = (bounds.low.to_vec(), bounds.high.map(<[u8]>::to_vec));
        (self.visit)(Found::Lost(Lost { low, high, reason }));
    }

    /// Visits what is below a page, whose keys lie within `bounds`.
    fn descend(&mut self, number: u64, level: usize, bounds: Bounds<'_>) {
        if let Err(reason) = self.walker.claim(number, 1) {
            return self.lose(bounds, reason);
        }
        let page = match self.walker.file.page(number) {
            Ok(page) => page,
            Err(reason) => return self.lose(bounds, format!("page {number}: {reason}")),
        };
        let reading = read_page(&page, number, self.order);
        let expected = if level == self.depth { Kind::Leaf } else { Kind::Branch };
        let mut problem = reading.problem;
        if self.walker.free.contains(number) {
            problem.get_or_insert("it is listed as free, so it is an older one".into());
        }
        if reading.kind.is_some_and(|kind| kind != expected) {
            problem.get_or_insert("it is on the wrong level of its tree".into());
        }
        // The first key of a branch says nothing.
        let keys = reading.nodes.iter().skip(usize::from(expected == Kind::Branch));
        let strangers = keys.clone().filter(|node| !self.is_within(node.key, bounds)).count();
        if strangers > 0 {
            problem.get_or_insert("it has keys that do not belong there".into());
        }
        let doubtful = problem.is_some();
        if strangers > 0 && strangers == keys.count() {
            // It is some other place's, and may be asked for there.
            self.walker.used.remove(number);
            self.walker.bad.push(number);
            return self.lose(bounds, format!("page {number}: {}", problem.unwrap_or_default()));
        }
        if let Some(problem) = problem {
            self.walker.bad.push(number);
            self.lose(bounds, format!("page {number}: {problem}"));
        }
        match reading.kind {
            Some(Kind::Leaf) => {
                self.found.leaf_pages += 1;
                reading.nodes.iter().for_each(|node| {
                    let place = |value: Value<'_>| Place::of(value, &page, number);
                    self.see(node, &place, bounds, doubtful);
                });
            }
            Some(Kind::Branch) if level < self.depth => {
                self.found.branch_pages += 1;
                self.follow(&reading.nodes, level, bounds, doubtful);
            }
            _ => {}
        }
    }

    /// Visits the children of a branch. Those of a doubtful one are bounded by its own bounds only.
    fn follow(&mut self, nodes: &[Node<'_>], level: usize, bounds: Bounds<'_>, doubtful: bool) {
        for (index, node) in nodes.iter().enumerate() {
            let Content::Child(child) = node.content else { continue };
            let low = if index == 0 || doubtful { bounds.low } else { node.key };
            let next = nodes.get(index + 1).filter(|_| !doubtful);
            let high = next.map_or(bounds.high, |next| Some(next.key));
            let bounds = Bounds { low, high };
            if self.is_wanted(bounds) {
                self.descend(child, level + 1, bounds);
            }
        }
    }

    fn see(
        &mut self,
        node: &Node<'_>,
        place: &dyn Fn(Value<'_>) -> Place,
        bounds: Bounds<'_>,
        doubtful: bool,
    ) {
        let key = node.key;
        if self
            .wanted
            .is_some_and(|keys| keys.binary_search_by(|wanted| (**wanted).cmp(key)).is_err())
        {
            return;
        }
        match node.content {
            Content::Value(value) => {
                let mut doubtful = doubtful;
                if let Value::Outside(run) = value
                    && let Err(reason) = self.claim_run(run)
                {
                    let end = [key, &[0]].concat();
                    self.lose(Bounds { low: key, high: Some(&end) }, reason);
                    doubtful = true;
                }
                self.found.entries += 1;
                if !doubtful || self.is_within(key, bounds) {
                    (self.visit)(Found::Entry { key, value, place: place(value), doubtful });
                }
            }
            Content::Tree(root) => {
                self.found.entries += 1;
                (self.visit_root)(key, root);
            }
            Content::Child(_) => {}
        }
    }

    fn claim_run(&mut self, run: Run) -> Result<(), String> {
        let pages = run.pages(self.walker.file.page_bytes());
        self.found.overflow_pages += pages;
        if self.walker.free.contains(run.first_page) {
            return Err(format!(
                "page {} is listed as free, so it is an older one",
                run.first_page
            ));
        }
        self.walker.claim(run.first_page, pages)
    }

    fn is_within(&self, key: &[u8], bounds: Bounds<'_>) -> bool {
        let below = |high| self.order.compare(key, high).is_lt();
        // The empty key stands for the lowest of all.
        (bounds.low.is_empty() || self.order.compare(key, bounds.low).is_ge())
            && bounds.high.is_none_or(below)
    }
}
