//! The gallery's index in memory, and the pick. Pure: no I/O, no async; `http` loads and swaps it.
//!
//! Images stand in the order of their ordinals, that is, in the order in which they arrived. An
//! image's place in that order is its *position* in this catalog. A filter is evaluated once, to
//! the set of positions that meet it, its *selection*. The selections used last are kept, so a pick
//! under a filter costs what a pick among all images does. Orientation, animation and tags are
//! compressed bitmaps (roaring); bounds on width and height are looked up in columns.
//!
//! In reading order:
//!
//! - `filter`: the conditions, on one record.
//! - `selection`: a filter evaluated on a whole catalog, as bits that count quickly.
//! - `filter_cache`: the selections used last.
//! - `index`: the [`Catalog`] itself, and the pick among all images.
//! - `matches`: picks under a filter: at random, by seed, by permutation, by arrival.
//! - `mix`, `seed`, `shuffle`: the arithmetic behind `seed=` and `shuffle=`.
//! - `builder`: makes a catalog, from scratch or from an earlier one.

mod builder;
mod filter;
mod filter_cache;
mod index;
mod matches;
mod mix;
mod seed;
mod selection;
mod shuffle;
#[cfg(test)]
mod tests;

pub use builder::{CatalogBuilder, CatalogEntry};
pub use filter::{Filter, RecordFilter, TagTerm};
pub use index::{Catalog, Position, RecordStamp};
pub use matches::{Draw, Matches};
