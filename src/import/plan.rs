//! Which of the files that a walk finds are looked at by this import, and in which order.

use std::cmp::Reverse;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::options::ImportOptions;
use super::scan_state::ScanState;
use super::walk::{FoundEntry, is_temporary, walk};

/// What an import is going to do.
pub(super) struct ImportPlan {
    /// Entries to look at, the largest first, so that no core waits for one large picture at the
    /// end.
    pub(super) entries: Vec<FoundEntry>,
    /// What is known of the other files.
    pub(super) state: ScanState,
    /// Number of files that were written too recently to be looked at.
    pub(super) unsettled: u64,
    /// Number of symbolic links, which are not followed.
    pub(super) links: u64,
    /// Roots below which there is nothing at all.
    pub(super) empty: Vec<PathBuf>,
}

impl ImportPlan {
    /// Walks `roots`, and leaves out files that are as `previous` knows them.
    pub(super) fn new(
        roots: &[PathBuf],
        options: &ImportOptions,
        previous: &ScanState,
        now: SystemTime,
    ) -> Self {
        let mut plan = Self {
            entries: Vec::new(),
            state: ScanState::default(),
            unsettled: 0,
            links: 0,
            empty: Vec::new(),
        };
        for root in roots {
            let mut is_empty = true;
            for entry in walk(root, &options.excludes) {
                is_empty = false;
                plan.add(entry, options, previous, now);
            }
            if is_empty {
                plan.empty.push(root.clone());
            }
        }
        plan.entries.sort_by_key(|entry| Reverse(entry.size_bytes()));
        plan
    }

    fn add(
        &mut self,
        entry: FoundEntry,
        options: &ImportOptions,
        previous: &ScanState,
        now: SystemTime,
    ) {
        match &entry {
            FoundEntry::Inaccessible { absolute, .. } => {
                self.state.insert(absolute.clone(), None, None);
            }
            FoundEntry::Source(source) => {
                let absolute = &source.absolute;
                if let Some(known) = previous.unchanged(absolute, source.stamp) {
                    self.state.insert(absolute.clone(), known.stamp, known.picture);
                    return;
                }
                if let Some(settle_time) = options.settle_time {
                    if is_temporary(&source.path) {
                        return;
                    }
                    if is_fresh(source.stamp.modified, settle_time, now) {
                        self.state.insert(absolute.clone(), None, None);
                        self.unsettled += 1;
                        return;
                    }
                }
            }
            FoundEntry::Excluded { absolute, .. } => {
                self.state.exclude(absolute.clone());
                // It is said once, not in each round of a watch.
                if previous.is_excluded(absolute) {
                    return;
                }
            }
            FoundEntry::Link { .. } => self.links += 1,
            FoundEntry::NotAFile { .. } => {}
        }
        self.entries.push(entry);
    }
}

/// Whether a file was written less than `settle_time` ago. A time in the future says nothing.
fn is_fresh(modified: Option<SystemTime>, settle_time: Duration, now: SystemTime) -> bool {
    let age = modified.and_then(|modified| now.duration_since(modified).ok());
    age.is_some_and(|age| age < settle_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_fresh_until_it_was_left_alone_for_the_settle_time() {
        let settle_time = Duration::from_secs(1);
        let written = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let fresh_at = |now| is_fresh(Some(written), settle_time, now);
        assert!(fresh_at(written));
        assert!(fresh_at(written + Duration::from_millis(999)));
        assert!(!fresh_at(written + settle_time));
        assert!(!fresh_at(written - Duration::from_millis(1)), "written in the future");
        assert!(!is_fresh(None, settle_time, written), "a file system without times");
    }
}
