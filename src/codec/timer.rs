//! Limits the time that decoders take: measures it around them, and checks it while they read.

use std::borrow::Cow;
use std::io::{self, BufRead, Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::error::CodecError;

/// Measures the time that one conversion spends in decoders.
///
/// It is shared with a thread that watches the conversion, because a decoder that never reads can't
/// be stopped from inside.
pub struct Timer {
    limit: Duration,
    base: Instant,
    /// Time spent in decoders that have returned.
    spent_ms: AtomicU64,
    /// When the running decoder began, since `base`; [`Timer::IDLE`] when none runs.
    began_ms: AtomicU64,
    /// Makes the running decoder fail soon, where it can be told to.
    stop: Mutex<Option<Box<dyn Fn() + Send>>>,
}

impl Timer {
    /// Value of `began_ms` while no decoder runs.
    const IDLE: u64 = u64::MAX;

    /// Starts a timer that allows this much time in decoders.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self {
            limit,
            base: Instant::now(),
            spent_ms: AtomicU64::new(0),
            began_ms: AtomicU64::new(Self::IDLE),
            stop: Mutex::new(None),
        }
    }

    /// Stops the running decoder if its time is over and it can be stopped from outside. It is
    /// called again and again, because a decoder may miss one call.
    pub fn stop_overdue(&self) {
        if self.check().is_err()
            && let Some(stop) = &*self.lock_stop()
        {
            stop();
        }
    }

    /// Runs a part of a decoder that `stop` makes fail from another thread.
    #[cfg(any(feature = "jxl", test))]
    pub(super) fn stoppable<T>(
        &self,
        stop: impl Fn() + Send + 'static,
        decode: impl FnOnce() -> T,
    ) -> T {
        *self.lock_stop() = Some(Box::new(stop));
        let decoded = decode();
        *self.lock_stop() = None;
        decoded
    }

    fn lock_stop(&self) -> MutexGuard<'_, Option<Box<dyn Fn() + Send>>> {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a timer whose time is over.
    #[cfg(test)]
    pub(super) fn over() -> Self {
        let timer = Self::new(Duration::ZERO);
        timer.spent_ms.store(1, Ordering::Relaxed);
        timer
    }

    /// Returns the time spent in decoders so far.
    #[must_use]
    pub fn spent(&self) -> Duration {
        let began = self.began_ms.load(Ordering::Acquire);
        let running = if began == Self::IDLE { 0 } else { self.now_ms().saturating_sub(began) };
        Duration::from_millis(self.spent_ms.load(Ordering::Relaxed) + running)
    }

    /// Runs `decode` and counts its time, unless no time is left.
    pub(super) fn time<T>(
        &self,
        decode: impl FnOnce() -> Result<T, CodecError>,
    ) -> Result<T, CodecError> {
        self.check()?;
        self.began_ms.store(self.now_ms(), Ordering::Release);
        let decoded = decode();
        let took = self.now_ms().saturating_sub(self.began_ms.swap(Self::IDLE, Ordering::AcqRel));
        self.spent_ms.fetch_add(took, Ordering::Relaxed);
        // A decoder that was stopped may wrap the reader's error in one of its own.
        if decoded.is_err() {
            self.check()?;
        }
        decoded
    }

    /// Checks that time is left.
    ///
    /// # Errors
    /// Returns `TooSlow` if no time is left.
    pub(super) fn check(&self) -> Result<(), CodecError> {
        if self.spent() > self.limit {
            return Err(CodecError::TooSlow { limit: self.limit });
        }
        Ok(())
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_millis()).unwrap_or(Self::IDLE - 1)
    }
}

/// A reader of a source that fails once the decoder's time is over.
pub(super) struct TimedReader<'s> {
    source: io::Cursor<Cow<'s, [u8]>>,
    timer: &'s Timer,
    reads: u32,
}

impl<'s> TimedReader<'s> {
    /// Most bytes handed out at once, so that a decoder comes back for more before long.
    const CHUNK_BYTES: usize = 64 << 10;
    /// Number of small reads for each look at the clock, which costs more than they do.
    const READS_PER_CHECK: u32 = 64;

    pub(super) fn new(source: impl Into<Cow<'s, [u8]>>, timer: &'s Timer) -> Self {
        Self { source: io::Cursor::new(source.into()), timer, reads: 0 }
    }

    fn check_time(&mut self, bytes: usize) -> io::Result<()> {
        self.reads += 1;
        if bytes >= Self::CHUNK_BYTES || self.reads.is_multiple_of(Self::READS_PER_CHECK) {
            self.timer.check().map_err(|error| io::Error::new(io::ErrorKind::TimedOut, error))?;
        }
        Ok(())
    }
}

impl Read for TimedReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.check_time(buffer.len())?;
        self.source.read(buffer)
    }
}

impl BufRead for TimedReader<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.check_time(0)?;
        let rest = self.source.fill_buf()?;
        Ok(&rest[..rest.len().min(Self::CHUNK_BYTES)])
    }

    fn consume(&mut self, amount: usize) {
        self.source.consume(amount);
    }
}

impl Seek for TimedReader<'_> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.check_time(0)?;
        self.source.seek(position)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn a_decoder_that_reads_on_is_stopped() {
        let source = vec![0; 1 << 20];
        let timer = Timer::new(Duration::from_millis(20));
        let mut reader = TimedReader::new(&source, &timer);
        let result: Result<(), CodecError> = timer.time(|| {
            loop {
                let read = reader.read(&mut [0; 16]).map_err(|error| CodecError::Decode {
                    format: crate::codec::sniff::PictureFormat::Gif,
                    source: error.into(),
                })?;
                if read == 0 {
                    reader.rewind().unwrap();
                }
            }
        });
        assert!(matches!(result, Err(CodecError::TooSlow { .. })), "{result:?}");
        assert!(timer.spent() >= Duration::from_millis(20));
        // No other decoder is started.
        assert!(timer.time(|| Ok(())).is_err());
    }

    #[test]
    fn a_decoder_that_can_be_stopped_is_stopped_once_its_time_is_over() {
        let stopped = Arc::new(AtomicBool::new(false));
        let stop = |stopped: &Arc<AtomicBool>| {
            let stopped = Arc::clone(stopped);
            move || stopped.store(true, Ordering::SeqCst)
        };
        let patient = Timer::new(Duration::from_secs(60));
        patient.stoppable(stop(&stopped), || patient.stop_overdue());
        assert!(!stopped.load(Ordering::SeqCst));
        let over = Timer::over();
        over.stoppable(stop(&stopped), || ());
        over.stop_overdue();
        assert!(!stopped.load(Ordering::SeqCst), "it had returned");
        over.stoppable(stop(&stopped), || over.stop_overdue());
        assert!(stopped.load(Ordering::SeqCst));
    }
}
