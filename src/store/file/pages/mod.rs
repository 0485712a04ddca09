//! Reads an LMDB data file by position and never through the map, so that no damage can crash it.
//!
//! LMDB trusts its pages. Here each page is checked before it is trusted, and what lies behind a
//! bad one is read on. What was lost is told as a range of keys. The layout is that of LMDB 0.9
//! (`mdb.c`): numbers are those of the machine, which is little endian wherever this is built for.
//!
//! In reading order:
//!
//! - `data_file`: the file, read by position.
//! - `page_set`: sets of page numbers.
//! - `page`: branch and leaf pages, and the nodes in them.
//! - `meta`: the two meta pages, and which states of the gallery they show.
//! - `walk`: one tree, entry by entry, with what is lost of it.
//! - `free_list`: the pages that are free.
//! - `space`: whether LMDB may write into the file.
//! - `roots`: states whose meta page is lost.
//! - `snapshot`: one state of a gallery, kept in place while it is read.
//! - `orphans`: what lies in pages that no tree reaches.

mod data_file;
mod free_list;
mod meta;
mod orphans;
mod page;
mod page_set;
mod roots;
mod snapshot;
mod space;
#[cfg(test)]
mod tests;
mod walk;

pub(in crate::store) use data_file::DataFile;
pub(in crate::store) use orphans::{Orphan, webp_at};
pub(in crate::store) use page::{Place, Run, Value};
pub(in crate::store) use snapshot::{Purpose, Snapshot};
pub(in crate::store::file) use space::{Space, read_space};
pub(in crate::store) use walk::{Found, Lost};
