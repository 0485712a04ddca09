//! Records the changes that a command makes to the gallery's files, in their order.

use std::fs;
use std::path::{Path, PathBuf};

use super::file_call::{Action, FileCall, written};
use super::subjects::{REPORT, Scene};
use super::tracer::{Verdict, Watcher, trace};
use crate::harness::Finished;

/// A change, or a call that makes changes durable.
#[derive(Clone, Debug)]
pub enum Event {
    Create(PathBuf),
    MakeFolder(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    Write {
        path: PathBuf,
        offset: u64,
        bytes: Vec<u8>,
        is_synced: bool,
    },
    SetLength(PathBuf, u64),
    /// Makes the file this long, if it is shorter.
    Allocate(PathBuf, u64),
    /// Makes durable what was changed before the event of this index.
    Sync {
        path: PathBuf,
        before: usize,
    },
    /// The command said this in its report.
    Report(Vec<u8>),
}

/// What a command did, and whether it was traced to its end with success.
pub struct Recording {
    root: PathBuf,
    pub events: Vec<Event>,
    /// How the command ended: with success.
    pub ended: Finished,
    /// Calls that have begun, each with its thread and the number of events there were then.
    begun: Vec<usize>,
}

impl Recording {
    /// Returns `None` where this process may not trace.
    #[track_caller]
    pub fn of(scene: &Scene) -> Option<Self> {
        let ended = Finished { code: None, stdout: String::new(), stderr: String::new() };
        let mut recording =
            Self { root: scene.root(), events: Vec::new(), ended, begun: Vec::new() };
        recording.ended = trace(scene.command(), &scene.root(), &mut recording)?.expect(0);
        scene.assert_promise_kept(&recording.ended);
        Some(recording)
    }

    /// Lock files are empty after a power cut, whatever they were.
    fn is_watched(&self, path: &Path) -> bool {
        let is_lock = path.as_os_str().as_encoded_bytes().ends_with(b"-lock");
        Scene::is_gallery(&self.root, path) && !is_lock
    }
}

impl Watcher for Recording {
    fn begins(&mut self, call: &FileCall) -> Verdict {
        // A sync holds for what was written before it began. With one sync at a time this is the
        // number of events; with more, the smaller number is the safe one.
        if matches!(call.action, Action::Sync) {
            self.begun.push(self.events.len());
        }
        Verdict::Run
    }

    fn ended(&mut self, thread: i32, call: &FileCall, result: i64) {
        let begun = match call.action {
            Action::Sync if !self.begun.is_empty() => self.begun.remove(0),
            _ => self.events.len(),
        };
        if result < 0 {
            return;
        }
        let path = call.path.clone();
        let is_report = path == self.root.join(REPORT);
        if !is_report && !call.paths().any(|path| self.is_watched(path)) {
            return;
        }
        match &call.action {
            Action::Write { parts, .. } if is_report => {
                self.events.push(Event::Report(written(thread, parts, result as usize)));
            }
            _ if is_report => {}
            Action::Open { flags, existed } => {
                if flags & libc::O_CREAT != 0 && !existed {
                    self.events.push(Event::Create(path));
                } else if flags & libc::O_TRUNC != 0 {
                    self.events.push(Event::SetLength(path, 0));
                }
            }
            Action::Write { offset, parts, is_synced } => {
                let bytes = written(thread, parts, result as usize);
                let (offset, is_synced) = (*offset, *is_synced);
                self.events.push(Event::Write { path, offset, bytes, is_synced });
            }
            Action::Copy { offset, from, from_offset } => {
                let start = *from_offset as usize;
                let bytes = fs::read(from).unwrap()[start..start + result as usize].to_vec();
                self.events.push(Event::Write { path, offset: *offset, bytes, is_synced: false });
            }
            Action::SetLength(length) => self.events.push(Event::SetLength(path, *length)),
            Action::Allocate(end) => self.events.push(Event::Allocate(path, *end)),
            Action::Sync => self.events.push(Event::Sync { path, before: begun }),
            Action::Rename { to } => self.events.push(Event::Rename(path, to.clone())),
            Action::Remove => self.events.push(Event::Remove(path)),
            Action::MakeFolder => self.events.push(Event::MakeFolder(path)),
            Action::Link { .. } => panic!("a link of a gallery's file is not modelled: {call:?}"),
            Action::Read | Action::Close | Action::SetMode | Action::Lock | Action::SyncRange => {}
        }
    }
}
