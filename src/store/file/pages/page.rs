//! Branch and leaf pages, and the nodes in them.
//!
//! A page begins with a header of 16 bytes: its number (8), padding (2), flags (2), and then the
//! bounds of its free space (2 each), or the number of its pages (4) in the first page of a value.
//! Behind the header stand the offsets of the nodes, in the order of their keys; the nodes fill the
//! page's end without gaps. A node begins with 8 bytes: a length or the lower bits of a page number
//! (4), flags or the upper bits of a page number (2), and the length of the key (2).

use std::cmp::Ordering;

use crate::store::file::layout::{HEADER_BYTES, u16_at, u32_at, u64_at};

/// How a tree's keys are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyOrder {
    /// By their bytes, and a beginning of another key before that.
    Bytes,
    /// By their values as numbers of 8 bytes.
    Numbers,
}

impl KeyOrder {
    pub(super) fn compare(self, one: &[u8], other: &[u8]) -> Ordering {
        match self {
            Self::Bytes => one.cmp(other),
            Self::Numbers => (one.len(), u64_at(one, 0)).cmp(&(other.len(), u64_at(other, 0))),
        }
    }
}

const NODE_HEADER_BYTES: usize = 8;

const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
const OVERFLOW: u16 = 0x04;

/// The value lies in pages of its own, and the node has the number of the first.
const BIG_VALUE: u16 = 0x01;
/// The value is the root of another tree.
const TREE_ROOT: u16 = 0x02;

/// Pages of a value's own, and the value's length in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Run {
    pub(in crate::store) first_page: u64,
    pub(in crate::store) bytes: u32,
}

impl Run {
    /// Number of pages.
    pub(super) fn pages(self, page_bytes: usize) -> u64 {
        (HEADER_BYTES as u64 + u64::from(self.bytes)).div_ceil(page_bytes as u64).max(1)
    }
}

/// Where the bytes of a value lie in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Place {
    pub(in crate::store) offset: u64,
    pub(in crate::store) bytes: u32,
}

impl Place {
    /// The place of a value that is inside a page, or outside of it.
    pub(super) fn of(value: Value<'_>, page: &[u8], number: u64) -> Self {
        let start = |number: u64| number.saturating_mul(page.len() as u64);
        match value {
            Value::Inside(bytes) => {
                let within = bytes.as_ptr() as usize - page.as_ptr() as usize;
                let bytes = u32::try_from(bytes.len()).unwrap_or(0);
                Self { offset: start(number) + within as u64, bytes }
            }
            Value::Outside(run) => {
                let offset = start(run.first_page).saturating_add(HEADER_BYTES as u64);
                Self { offset, bytes: run.bytes }
            }
        }
    }
}

/// A value, or where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Value<'p> {
    Inside(&'p [u8]),
    Outside(Run),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content<'p> {
    Child(u64),
    Value(Value<'p>),
    /// The root of another tree, as it is stored.
    Tree(&'p [u8]),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node<'p> {
    pub(super) key: &'p [u8],
    pub(super) content: Content<'p>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Branch,
    Leaf,
}

/// What could be read of a page.
pub(super) struct Reading<'p> {
    /// `None` for a page that is neither branch nor leaf.
    pub(super) kind: Option<Kind>,
    /// The nodes that lie within the page, in the order of their offsets.
    pub(super) nodes: Vec<Node<'p>>,
    /// What is wrong with the page, if anything.
    pub(super) problem: Option<String>,
}

pub(super) fn number_of(page: &[u8]) -> u64 {
    u64_at(page, 0)
}

pub(super) fn flags_of(page: &[u8]) -> u16 {
    u16_at(page, 10)
}

/// Reads a page that should be a branch or a leaf and have this number.
pub(super) fn read_page(page: &[u8], number: u64, order: KeyOrder) -> Reading<'_> {
    let kind = match flags_of(page) {
        BRANCH => Some(Kind::Branch),
        LEAF => Some(Kind::Leaf),
        _ => None,
    };
    let Some(kind) = kind else {
        let problem = Some(format!("it has the flags {:#06x}, no tree's", flags_of(page)));
        return Reading { kind: None, nodes: Vec::new(), problem };
    };
    let mut problem = None;
    if number_of(page) != number {
        problem = Some(format!("it says that it is page {}", number_of(page)));
    }
    let (lower, upper) = (usize::from(u16_at(page, 12)), usize::from(u16_at(page, 14)));
    if lower < HEADER_BYTES || lower % 2 == 1 || lower > upper || upper > page.len() {
        problem.get_or_insert("the bounds of its free space are wrong".into());
        return Reading { kind: Some(kind), nodes: Vec::new(), problem };
    }
    if lower == HEADER_BYTES {
        problem.get_or_insert("it is empty".into());
    }
    let mut nodes = Vec::with_capacity((lower - HEADER_BYTES) / 2);
    let mut places = Vec::with_capacity(nodes.capacity());
    for at in (HEADER_BYTES..lower).step_by(2) {
        let offset = usize::from(u16_at(page, at));
        match read_node(page, offset, upper, kind) {
            Some((node, length)) => {
                places.push((offset, length));
                nodes.push(node);
            }
            None => drop(problem.get_or_insert("one of its nodes does not lie within it".into())),
        }
    }
    if problem.is_none() {
        problem =
            find_gap(places, upper, page.len()).or_else(|| find_disorder(&nodes, kind, order));
    }
    Reading { kind: Some(kind), nodes, problem }
}

/// Reads the node at an offset, and returns it with its length in the page.
fn read_node(page: &[u8], offset: usize, upper: usize, kind: Kind) -> Option<(Node<'_>, usize)> {
    if offset < upper || offset % 2 == 1 || offset + NODE_HEADER_BYTES > page.len() {
        return None;
    }
    let (low, flags) = (u32_at(page, offset), u16_at(page, offset + 4));
    let key_bytes = usize::from(u16_at(page, offset + 6));
    let key_at = offset + NODE_HEADER_BYTES;
    let key = page.get(key_at..key_at + key_bytes)?;
    let value_at = key_at + key_bytes;
    let (content, end) = match (kind, flags) {
        (Kind::Branch, high) => (Content::Child(u64::from(high) << 32 | u64::from(low)), value_at),
        (Kind::Leaf, BIG_VALUE) => {
            let first_page = u64_at(page.get(value_at..value_at + 8)?, 0);
            (Content::Value(Value::Outside(Run { first_page, bytes: low })), value_at + 8)
        }
        (Kind::Leaf, 0 | TREE_ROOT) => {
            let end = value_at + usize::try_from(low).ok()?;
            let value = page.get(value_at..end)?;
            let is_root = flags == TREE_ROOT;
            (if is_root { Content::Tree(value) } else { Content::Value(Value::Inside(value)) }, end)
        }
        (Kind::Leaf, _) => return None,
    };
    // Nodes begin at even offsets.
    Some((Node { key, content }, (end - offset).next_multiple_of(2)))
}

/// Says so if the nodes do not fill the page from `upper` to its end, each byte once.
fn find_gap(mut places: Vec<(usize, usize)>, upper: usize, end: usize) -> Option<String> {
    places.sort_unstable();
    let mut expected = upper;
    for (offset, length) in places {
        if offset != expected {
            return Some("its nodes overlap or leave gaps".into());
        }
        expected = offset + length;
    }
    (expected != end).then(|| "its nodes overlap or leave gaps".into())
}

fn find_disorder(nodes: &[Node<'_>], kind: Kind, order: KeyOrder) -> Option<String> {
    // The first key of a branch stands for everything below the second, whatever it says.
    let keys = if kind == Kind::Branch { nodes.get(1..)? } else { nodes };
    let in_order = keys.windows(2).all(|pair| order.compare(pair[0].key, pair[1].key).is_lt());
    (!in_order).then(|| "its keys are not in order".into())
}

/// The header of a value's first page.
pub(super) struct OverflowHeader {
    pub(super) pages: u32,
}

impl OverflowHeader {
    /// Reads the header of a page that says that it is the first of a value's.
    pub(super) fn read(page: &[u8], number: u64) -> Option<Self> {
        (flags_of(page) == OVERFLOW && number_of(page) == number)
            .then(|| Self { pages: u32_at(page, 12) })
    }

    /// Says what is wrong with the first page of a value.
    pub(super) fn check(page: &[u8], run: Run, page_bytes: usize) -> Option<String> {
        let number = run.first_page;
        match Self::read(page, number) {
            None => Some(format!("page {number} is not the first of a value's")),
            Some(header) if u64::from(header.pages) != run.pages(page_bytes) => Some(format!(
                "page {number} says that its value has {} pages, it has {}",
                header.pages,
                run.pages(page_bytes)
            )),
            Some(_) => None,
        }
    }
}
