//! Where LMDB 0.9 keeps what in a page's header and in its meta pages: `MDB_page`, `MDB_meta` and
//! `MDB_db` of mdb.c. Offsets and lengths are in bytes.
//!
//! Numbers are those of the machine, which is little-endian wherever this program runs.

/// Length of the header of every page.
pub(super) const HEADER_BYTES: usize = 16;
/// Length of the root of a tree, `MDB_db`.
pub(super) const ROOT_BYTES: usize = 48;
/// Offset of the number of the root's page in that.
pub(super) const ROOT_PAGE: usize = 40;
/// `P_INVALID`: the page of a root of a tree without entries.
pub(super) const NO_ROOT: u64 = u64::MAX;
/// Offset of the root of the free list's tree in a meta page.
pub(super) const FREE_ROOT: usize = HEADER_BYTES + 24;
/// Offset of the root of the tree that names the others.
pub(super) const MAIN_ROOT: usize = FREE_ROOT + ROOT_BYTES;
/// Offset of the number of the last page in use.
pub(super) const LAST_PAGE: usize = MAIN_ROOT + ROOT_BYTES;
/// Offset of the number of the transaction that wrote the page.
pub(super) const TRANSACTION: usize = LAST_PAGE + 8;
/// Length of a meta page's header and of `MDB_meta`.
pub(super) const META_BYTES: usize = TRANSACTION + 8;

/// Reads a number of 2 bytes, which is 0 where they are not there.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|two| two.try_into().ok()).map_or(0, u16::from_le_bytes)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok()).map_or(0, u64::from_le_bytes)
}
