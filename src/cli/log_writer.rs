//! The queue of log lines, and the thread that writes them, many at a time.
//!
//! A line costs its caller a copy and no system call, so no request waits for a terminal, a pipe or
//! a disk. A log that can't be written changes nothing else: there is nobody to tell.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use tracing_subscriber::fmt::MakeWriter;

use super::{panics, threads};

/// Largest piece that is written in one call, in bytes.
const MAX_PIECE_BYTES: usize = 64 << 10;
/// How long a line waits for others.
const GATHER_TIME: Duration = Duration::from_millis(10);
/// Length above which queued lines are lost, in bytes.
const MAX_QUEUED_BYTES: usize = 16 << 20;
/// Capacity that the writing thread's buffer keeps, in bytes.
const KEPT_CAPACITY_BYTES: usize = 1 << 20;

/// The end of the queue that takes lines.
#[derive(Clone)]
pub(super) struct LogWriter(Arc<LineQueue>);

struct LineQueue {
    pending: Mutex<PendingLines>,
    changed: Condvar,
}

#[derive(Default)]
struct PendingLines {
    bytes: Vec<u8>,
    /// Number of lines that were not queued because there was no room.
    lost: u64,
    is_closed: bool,
}

impl LineQueue {
    fn pending(&self) -> MutexGuard<'_, PendingLines> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for lines and then a little for more. Swaps them with `bytes`, which is empty, and
    /// returns how many were lost, or `None` when the queue is closed and empty.
    fn take(&self, bytes: &mut Vec<u8>) -> Option<u64> {
        let mut pending = self.pending();
        while pending.bytes.is_empty() && !pending.is_closed {
            pending = self.changed.wait(pending).unwrap_or_else(PoisonError::into_inner);
        }
        if pending.bytes.is_empty() {
            return None;
        }
        if !pending.is_closed {
            let waited =
                self.changed.wait_timeout_while(pending, GATHER_TIME, |lines| !lines.is_closed);
            pending = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        mem::swap(bytes, &mut pending.bytes);
        Some(mem::take(&mut pending.lost))
    }
}

/// The thread that writes, and writes what is left when this is dropped.
pub(super) struct WriterThread {
    queue: Arc<LineQueue>,
    thread: Option<JoinHandle<()>>,
}

/// Starts a thread that writes to `target`.
pub(super) fn start(
    target: impl Write + Send + 'static,
) -> anyhow::Result<(LogWriter, WriterThread)> {
    let queue = Arc::new(LineQueue { pending: Mutex::default(), changed: Condvar::new() });
    let thread = threads::start("log", {
        let queue = Arc::clone(&queue);
        move || write_all(&queue, target)
    });
    let thread = Some(thread.context("the log can't be started")?);
    Ok((LogWriter(Arc::clone(&queue)), WriterThread { queue, thread }))
}

fn write_all(queue: &LineQueue, mut target: impl Write) {
    let mut bytes = Vec::new();
    while let Some(lost) = queue.take(&mut bytes) {
        // logroller panics when it can neither write the file nor say so on stderr, or when it
        // can't have a thread.
        let _ = panics::catch(|| write(&bytes, lost, &mut target));
        bytes.clear();
        bytes.shrink_to(KEPT_CAPACITY_BYTES);
    }
}

fn write(lines: &[u8], lost: u64, target: &mut impl Write) {
    for piece in pieces(lines) {
        let _ = target.write_all(piece);
    }
    if lost > 0 {
        let _ = writeln!(
            target,
            "{lost} log lines were lost: they came faster than they could be written"
        );
    }
    let _ = target.flush();
}

/// Splits `bytes` into pieces of whole lines. They are short, because a file is rotated only
/// between two of them.
fn pieces(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let longest = &bytes[..bytes.len().min(MAX_PIECE_BYTES)];
        let is_last = longest.len() == bytes.len();
        let end = if is_last { None } else { memchr::memrchr(b'\n', longest) };
        let (piece, rest) = bytes.split_at(end.map_or(longest.len(), |end| end + 1));
        bytes = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

impl Drop for WriterThread {
    fn drop(&mut self) {
        self.queue.pending().is_closed = true;
        self.queue.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Write for LogWriter {
    /// Queues a line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut pending = self.0.pending();
        if pending.bytes.len() + line.len() > MAX_QUEUED_BYTES {
            pending.lost += 1;
            return Ok(line.len());
        }
        let is_first = pending.bytes.is_empty();
        pending.bytes.extend_from_slice(line);
        drop(pending);
        if is_first {
            self.0.changed.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for LogWriter {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Target(Arc<Mutex<Vec<u8>>>);

    impl Write for Target {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_is_written_in_order() {
        let target = Target::default();
        let (mut writer, thread) = start(target.clone()).unwrap();
        for number in 0..10_000 {
            writeln!(writer, "{number}").unwrap();
        }
        drop(thread);
        let written = String::from_utf8(target.0.lock().unwrap().clone()).unwrap();
        assert!(written.lines().map(|line| line.parse::<u32>().unwrap()).eq(0..10_000));
    }

    #[test]
    fn lines_that_nobody_takes_do_not_fill_the_memory() {
        let target = Target::default();
        let stuck = target.0.lock().unwrap();
        let (mut writer, thread) = start(target.clone()).unwrap();
        let line = [b'x'; 1 << 20];
        for _ in 0..64 {
            writer.write_all(&line).unwrap();
        }
        assert!(writer.0.pending().bytes.len() <= MAX_QUEUED_BYTES);
        drop(stuck);
        drop(thread);
        let written = target.0.lock().unwrap();
        assert!(
            written
                .ends_with(b"log lines were lost: they came faster than they could be written\n")
        );
    }
}
