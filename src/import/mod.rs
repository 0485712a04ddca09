//! Filling a gallery: walk, convert on all cores, commit in batches, report what is durable.
//!
//! A walk feeds workers through a bounded channel. They read, recognise and convert, within a
//! common budget of memory. One committer, on the calling thread, stores what they send. A file is
//! reported only once what the report says is on disk. Source files are only ever read, unless
//! their deletion is asked for.
//!
//! In reading order:
//!
//! - `glob`: patterns of names.
//! - `exclude`: which files and folders are left out.
//! - `options`: how to import.
//! - `report`: what is said of each file and of the whole, and who hears it.
//! - `beneath`: opening what lies beneath a given path, without following links.
//! - `walk`: which files there are.
//! - `scan_state`: what an import found in each file, for the next import and for `--prune`.
//! - `plan`: which files this import looks at.
//! - `budget`: the memory that conversions may take together.
//! - `runner`: a thread that converts, and is left behind when a decoder does not come back.
//! - `outcome`: what workers hand to the committer.
//! - `work`: a file between a worker's steps.
//! - `worker`: one file, from its path to its outcome.
//! - `similar`: images that look alike.
//! - `originals`: deleting files whose images are stored, and images whose files are gone.
//! - `batch`: when outcomes are committed together.
//! - `commit`: storing and reporting.
//! - `pipeline`: all of that, as [`import`].
//! - `watch`: imports repeated as folders change.

mod batch;
mod beneath;
mod budget;
mod commit;
mod exclude;
mod glob;
mod options;
mod originals;
mod outcome;
mod pipeline;
mod plan;
mod report;
mod runner;
mod scan_state;
mod similar;
mod walk;
mod watch;
mod work;
mod worker;

pub use exclude::ExcludeRules;
pub use glob::{BadGlob, ExcludeGlob};
pub use options::ImportOptions;
pub use pipeline::import;
pub use report::{FileReport, FileStatus, ImportError, ImportSummary, Observer};
pub use scan_state::ScanState;
pub use walk::NO_SUCH_PATH;
pub use watch::watch;
