//! The memory that conversions may take together. A large picture waits for room, and small ones
//! pass it by.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
pub(super) struct MemoryBudget {
    limit_bytes: u64,
    used_bytes: Mutex<u64>,
    /// Notified whenever memory is given back.
    freed: Condvar,
}

impl MemoryBudget {
    pub(super) fn new(limit_bytes: u64) -> Arc<Self> {
        Arc::new(Self { limit_bytes, used_bytes: Mutex::new(0), freed: Condvar::new() })
    }

    /// Waits until there is room for `bytes`. More than the limit is granted when nobody else holds
    /// anything.
    ///
    /// A thread that holds a permit must not ask for another: two such threads could wait for each
    /// other for ever.
    pub(super) fn reserve(self: &Arc<Self>, bytes: u64) -> MemoryPermit {
        let mut used_bytes = self.lock();
        while *used_bytes > 0 && used_bytes.saturating_add(bytes) > self.limit_bytes {
            used_bytes = self.freed.wait(used_bytes).unwrap_or_else(PoisonError::into_inner);
        }
        *used_bytes += bytes;
        MemoryPermit { budget: Arc::clone(self), bytes }
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.used_bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub(super) struct MemoryPermit {
    budget: Arc<MemoryBudget>,
    bytes: u64,
}

impl MemoryPermit {
    /// Changes this permit to `bytes`. Returns `false`, and changes nothing, if there is no room
    /// right now.
    pub(super) fn try_resize(&mut self, bytes: u64) -> bool {
        let mut used_bytes = self.budget.lock();
        let others = *used_bytes - self.bytes;
        let grows = bytes > self.bytes;
        if grows && others > 0 && others.saturating_add(bytes) > self.budget.limit_bytes {
            return false;
        }
        *used_bytes = others + bytes;
        self.bytes = bytes;
        self.budget.freed.notify_all();
        true
    }
}

impl Drop for MemoryPermit {
    fn drop(&mut self) {
        *self.budget.lock() -= self.bytes;
        self.budget.freed.notify_all();
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
                        let mut permit = budget.reserve(bytes);
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
        assert_eq!(*budget.lock(), 0);
    }

    #[test]
    fn one_that_is_larger_than_all_is_served_alone() {
        let budget = MemoryBudget::new(100);
        let mut small = budget.reserve(60);
        let mut other = budget.reserve(30);
        assert!(!small.try_resize(71));
        assert!(other.try_resize(10) && small.try_resize(90));
        drop((small, other));
        let large = budget.reserve(500);
        drop(large);
        assert!(budget.reserve(1).try_resize(400));
    }
}
