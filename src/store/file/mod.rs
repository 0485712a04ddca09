//! The file engine: one LMDB data file through heed, and a lock file `-lock` beside it that holds
//! no data.
//!
//! Several processes may have the gallery open at once; LMDB's lock file orders them. Reads copy
//! nothing and take no lock: they see the last commit. There are only trees of bytes here; what a
//! change means is in `changes`.
//!
//! In reading order:
//!
//! - `lmdb_error`: what LMDB's errors mean.
//! - `inode_lock`: locks that bind a data file to its lock file.
//! - `files`: the two files, opened and bound to each other.
//! - `layout`: where LMDB keeps what in its pages.
//! - `meta_pages`: the two pages that name the last two states.
//! - `open`: opening a file, after examining what LMDB would trust.
//! - `map_fault`: what is said when the map has lost its file.
//! - `publish`: making a gallery that is whole before it has its name.
//! - `pin`: keeping a state in place for readers that do not use the map.
//! - `pages/`: the pages themselves, read so that no damage can crash.
//! - `open_file`: reading, writing and copying one file.
//! - `replace`: letting a new file take a gallery's place.
//! - `compact`: giving back the space of what was removed.
//! - `place`: the place that a backup is to take.
//! - `inspect`: what can be seen of a file without changing it.
//! - `engine`: the file that is at the path, also after another took its place.
//! - `copy`: copying another engine into a file.

mod compact;
#[cfg(feature = "sled")]
mod copy;
mod engine;
mod files;
mod inode_lock;
mod inspect;
mod layout;
mod lmdb_error;
mod map_fault;
mod meta_pages;
mod open;
mod open_file;
pub(super) mod pages;
mod pin;
mod place;
mod publish;
mod replace;

pub use compact::Compacted;
#[cfg(feature = "sled")]
pub(super) use copy::copy_of;
pub(super) use engine::FileEngine;
pub use engine::Reopened;
pub(super) use inode_lock::{FIRST_MARK, locks_work};
pub use inspect::Inspection;
pub use meta_pages::begins_as_gallery;
pub(super) use open::examine_kind;
pub(super) use open_file::FileWriter;
pub use place::Place;
pub(super) use publish::publish_new;
pub use replace::sync_while;
