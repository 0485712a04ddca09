//! Log lines on their way to a slow place: gathered in memory, written by a thread of their own many at a time.
//!
//! A line costs its caller a copy; a request never waits for a terminal, a pipe or a disk, and no system call is made for it.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// What is written at once, in bytes.
const PIECE_BYTES: usize = 64 << 10;
/// For how long a line waits for others.
const GATHER_TIME: Duration = Duration::from_millis(10);
/// Lines that nobody takes are kept up to this many bytes, and lost above.
const MOST_BYTES: usize = 16 << 20;

/// Gathers lines.
#[derive(Clone)]
pub(super) struct LogWriter(Arc<Shared>);

struct Shared {
    gathered: Mutex<Gathered>,
    changed: Condvar,
}

#[derive(Default)]
struct Gathered {
    bytes: Vec<u8>,
    lost: u64,
    closed: bool,
}

impl Shared {
    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what is left when it is dropped.
pub(super) struct WriterThread {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// Starts a thread that writes to `target`.
pub(super) fn start(target: impl Write + Send + 'static) -> io::Result<(LogWriter, WriterThread)> {
    let shared = Arc::new(Shared { gathered: Mutex::default(), changed: Condvar::new() });
    let thread = thread::Builder::new().name("log".into()).spawn({
        let shared = Arc::clone(&shared);
        move || write_all(&shared, target)
    })?;
    Ok((LogWriter(Arc::clone(&shared)), WriterThread { shared, thread: Some(thread) }))
}

fn write_all(shared: &Shared, mut target: impl Write) {
    let mut bytes = Vec::new();
    loop {
        let lost = {
            let mut gathered = shared.gathered();
            while gathered.bytes.is_empty() && !gathered.closed {
                gathered = shared.changed.wait(gathered).unwrap_or_else(PoisonError::into_inner);
            }
            if gathered.bytes.is_empty() {
                return;
            }
            if !gathered.closed {
                let waited = shared
                    .changed
                    .wait_timeout_while(gathered, GATHER_TIME, |gathered| !gathered.closed);
                gathered = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            mem::swap(&mut bytes, &mut gathered.bytes);
            mem::take(&mut gathered.lost)
        };
        for lines in pieces(&bytes) {
            // A log that can't be written has nobody to tell.
            let _ = target.write_all(lines);
        }
        if lost > 0 {
            let _ = writeln!(
                target,
                "{lost} log lines were lost: they came faster than they could be written"
            );
        }
        let _ = target.flush();
        bytes.clear();
        bytes.shrink_to(1 << 20);
    }
}

/// Whole lines, not many at once: a file is rotated between two writes.
fn pieces(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let most = &bytes[..bytes.len().min(PIECE_BYTES)];
        let end = if most.len() == bytes.len() { None } else { memchr::memrchr(b'\n', most) };
        let (piece, rest) = bytes.split_at(end.map_or(most.len(), |end| end + 1));
        bytes = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

impl Drop for WriterThread {
    fn drop(&mut self) {
        self.shared.gathered().closed = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // It has panicked if its target did.
            let _ = thread.join();
        }
    }
}

impl Write for LogWriter {
    /// Takes a line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut gathered = self.0.gathered();
        if gathered.bytes.len() + line.len() > MOST_BYTES {
            gathered.lost += 1;
            return Ok(line.len());
        }
        let first = gathered.bytes.is_empty();
        gathered.bytes.extend_from_slice(line);
        drop(gathered);
        if first {
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
        assert!(writer.0.gathered().bytes.len() <= MOST_BYTES);
        drop(stuck);
        drop(thread);
        let written = target.0.lock().unwrap();
        assert!(
            written
                .ends_with(b"log lines were lost: they came faster than they could be written\n")
        );
    }
}
