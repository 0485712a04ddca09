//! The memory that conversions may take together. A large picture waits for room, and small ones
//! pass it by.
//!
//! A decoder that was given up holds its permit until its thread ends, because it holds its memory
//! as long. Nobody waits for such a decoder for ever.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::codec::CodecError;

/// Most decoders that were given up and still run, before no further conversion begins. Each costs
/// a core, and workers that convert already may each add one.
const MAX_ABANDONED: usize = 8;

/// How long after the last decoder was given up others wait for it to end.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(super) struct MemoryBudget {
    limit_bytes: u64,
    patience: Duration,
    usage: Mutex<Usage>,
    /// Notified whenever memory is given back, or a decoder given up.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Usage {
    bytes: u64,
    /// Number of permits whose decoders were given up and still run.
    abandoned: usize,
    /// Bytes of these permits, which count in `bytes` too.
    abandoned_bytes: u64,
    last_abandoned: Option<Instant>,
}

impl MemoryBudget {
    pub(super) fn new(limit_bytes: u64) -> Arc<Self> {
        Self::with_patience(limit_bytes, PATIENCE)
    }

    pub(super) fn with_patience(limit_bytes: u64, patience: Duration) -> Arc<Self> {
        let (usage, changed) = Default::default();
        Arc::new(Self { limit_bytes, patience, usage, changed })
    }

    /// Waits until there is room for `bytes`. More than the limit is granted when nobody else holds
    /// anything.
    ///
    /// A thread that holds a permit must not ask for another: two such threads could wait for each
    /// other for ever.
    ///
    /// # Errors
    /// Fails when only decoders that were given up hold what is missing, and keep it.
    pub(super) fn reserve(self: &Arc<Self>, bytes: u64) -> Result<MemoryPermit, CodecError> {
        let has_room = |usage: &Usage| {
            usage.bytes == 0 || usage.bytes.saturating_add(bytes) <= self.limit_bytes
        };
        // Whoever else holds memory gives it back, or is given up.
        let is_stuck = |usage: &Usage| usage.bytes == usage.abandoned_bytes;
        let mut usage = self.wait_until(has_room, is_stuck)?;
        usage.bytes += bytes;
        drop(usage);
        let held = Mutex::new(Held { bytes, abandoned: false });
        Ok(MemoryPermit(Arc::new(SharedPermit { budget: Arc::clone(self), held })))
    }

    /// Waits while too many decoders that were given up still run.
    ///
    /// # Errors
    /// Fails when they go on.
    pub(super) fn wait_for_abandoned(&self) -> Result<(), CodecError> {
        self.wait_until(|usage| usage.abandoned < MAX_ABANDONED, |_| true).map(drop)
    }

    /// Waits until `is_free`. While `is_stuck` the wait has an end.
    fn wait_until(
        &self,
        is_free: impl Fn(&Usage) -> bool,
        is_stuck: impl Fn(&Usage) -> bool,
    ) -> Result<MutexGuard<'_, Usage>, CodecError> {
        let mut usage = self.lock();
        while !is_free(&usage) {
            if !is_stuck(&usage) {
                usage = self.changed.wait(usage).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let waited = usage.last_abandoned.map_or(self.patience, |last| last.elapsed());
            let Some(left) = self.patience.checked_sub(waited).filter(|left| !left.is_zero())
            else {
                return Err(CodecError::DecodersHang {
                    decoders: usage.abandoned,
                    held_bytes: usage.abandoned_bytes,
                });
            };
            let waited = self.changed.wait_timeout(usage, left);
            usage = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(usage)
    }

    fn lock(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A part of the budget, given back when the last clone is dropped.
#[derive(Clone, Debug)]
pub(super) struct MemoryPermit(Arc<SharedPermit>);

#[derive(Debug)]
struct SharedPermit {
    budget: Arc<MemoryBudget>,
    /// Locked only while the budget's usage is.
    held: Mutex<Held>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    bytes: u64,
    /// Whether the decoder that works within this permit was given up.
    abandoned: bool,
}

impl MemoryPermit {
    /// Changes this permit to `bytes`. Returns `false`, and changes nothing, if there is no room
    /// right now.
    pub(super) fn try_resize(&self, bytes: u64) -> bool {
        let SharedPermit { budget, .. } = &*self.0;
        let mut usage = budget.lock();
        let mut held = self.0.held();
        let others = usage.bytes - held.bytes;
        let grows = bytes > held.bytes;
        if grows && others > 0 && others.saturating_add(bytes) > budget.limit_bytes {
            return false;
        }
        usage.bytes = others + bytes;
        held.bytes = bytes;
        budget.changed.notify_all();
        true
    }

    /// Notes that the decoder that works within this permit was given up. Its thread has a clone of
    /// the permit, and drops it at its end.
    pub(super) fn abandon(&self) {
        let SharedPermit { budget, .. } = &*self.0;
        let mut usage = budget.lock();
        let mut held = self.0.held();
        held.abandoned = true;
        usage.abandoned += 1;
        usage.abandoned_bytes += held.bytes;
        usage.last_abandoned = Some(Instant::now());
        budget.changed.notify_all();
    }
}

impl SharedPermit {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SharedPermit {
    fn drop(&mut self) {
        let mut usage = self.budget.lock();
        let Held { bytes, abandoned } = *self.held();
        usage.bytes -= bytes;
        if abandoned {
            usage.abandoned -= 1;
            usage.abandoned_bytes -= bytes;
        }
        self.budget.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn the_limit_holds_and_everyone_gets_through() {
        let budget = MemoryBudget::new(100);
        let (held_now, most) = (AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            for worker in 0..8_u64 {
                let (budget, held_now, most) = (&budget, &held_now, &most);
                scope.spawn(move || {
                    for round in 0..200 {
                        let bytes = (worker * 7 + round * 13) % 60 + 1;
                        let permit = budget.reserve(bytes).unwrap();
                        let held = held_now.fetch_add(bytes, Ordering::SeqCst) + bytes;
                        most.fetch_max(held, Ordering::SeqCst);
                        thread::yield_now();
                        held_now.fetch_sub(bytes, Ordering::SeqCst);
                        assert!(permit.try_resize(1));
                    }
                });
            }
        });
        assert!(most.load(Ordering::SeqCst) <= 100);
        assert_eq!(budget.lock().bytes, 0);
    }

    #[test]
    fn one_that_is_larger_than_all_is_served_alone() {
        let budget = MemoryBudget::new(100);
        let small = budget.reserve(60).unwrap();
        let other = budget.reserve(30).unwrap();
        assert!(!small.try_resize(71));
        assert!(other.try_resize(10) && small.try_resize(90));
        drop((small, other));
        let large = budget.reserve(500).unwrap();
        drop(large);
        assert!(budget.reserve(1).unwrap().try_resize(400));
    }

    #[test]
    fn memory_of_a_decoder_that_was_given_up_is_not_given_twice() {
        let budget = MemoryBudget::with_patience(100, Duration::from_millis(20));
        let permit = budget.reserve(70).unwrap();
        let of_the_thread = permit.clone();
        permit.abandon();
        drop(permit);
        let hang = budget.reserve(40).unwrap_err();
        assert!(matches!(hang, CodecError::DecodersHang { decoders: 1, held_bytes: 70 }), "{hang}");
        // What is left goes on being used, and whoever uses it is waited for.
        let rest = budget.reserve(30).unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| budget.reserve(40).map(drop));
            thread::sleep(Duration::from_millis(60));
            assert!(!waiting.is_finished());
            drop(of_the_thread);
            waiting.join().unwrap().unwrap();
        });
        drop(rest);
        let Usage { bytes, abandoned, abandoned_bytes, .. } = *budget.lock();
        assert_eq!((bytes, abandoned, abandoned_bytes), (0, 0, 0));
    }

    #[test]
    fn a_decoder_that_is_given_up_wakes_those_who_wait_for_it() {
        let budget = MemoryBudget::with_patience(100, Duration::from_millis(20));
        let permit = budget.reserve(70).unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| budget.reserve(40).map(drop));
            thread::sleep(Duration::from_millis(40));
            assert!(!waiting.is_finished());
            permit.abandon();
            assert!(waiting.join().unwrap().is_err());
        });
    }

    #[test]
    fn only_so_many_decoders_that_were_given_up_run_at_a_time() {
        let budget = MemoryBudget::with_patience(100, Duration::from_millis(20));
        let mut running = Vec::new();
        for _ in 0..MAX_ABANDONED {
            budget.wait_for_abandoned().unwrap();
            running.push(budget.reserve(1).unwrap());
            running.last().unwrap().abandon();
        }
        assert!(budget.wait_for_abandoned().is_err());
        drop(running.pop());
        budget.wait_for_abandoned().unwrap();
    }
}
