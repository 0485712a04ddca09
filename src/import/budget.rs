//! The memory that conversions may take together, in bytes: a large picture waits for room, small ones pass it by.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
pub(super) struct Budget {
    limit: u64,
    used: Mutex<u64>,
    freed: Condvar,
}

impl Budget {
    pub(super) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit, used: Mutex::new(0), freed: Condvar::new() })
    }

    /// Waits until there is room. Who holds a permit must not ask for another: two that wait for each other would wait
    /// for ever. More than the limit is given when nobody else holds anything.
    pub(super) fn reserve(self: &Arc<Self>, bytes: u64) -> Permit {
        let mut used = self.lock();
        while *used > 0 && used.saturating_add(bytes) > self.limit {
            used = self.freed.wait(used).unwrap_or_else(PoisonError::into_inner);
        }
        *used += bytes;
        Permit { budget: Arc::clone(self), bytes }
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Permit {
    /// Makes this permit one for `bytes`, if there is room right now.
    pub(super) fn try_resize(&mut self, bytes: u64) -> bool {
        let mut used = self.budget.lock();
        let others = *used - self.bytes;
        if bytes > self.bytes && others > 0 && others.saturating_add(bytes) > self.budget.limit {
            return false;
        }
        *used = others + bytes;
        self.bytes = bytes;
        self.budget.freed.notify_all();
        true
    }
}

impl Drop for Permit {
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
        let budget = Budget::new(100);
        let (now, most) = (AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            for worker in 0..8_u64 {
                let (budget, now, most) = (&budget, &now, &most);
                scope.spawn(move || {
                    for round in 0..200 {
                        let bytes = (worker * 7 + round * 13) % 60 + 1;
                        let mut permit = budget.reserve(bytes);
                        let held = now.fetch_add(bytes, Ordering::SeqCst) + bytes;
                        most.fetch_max(held, Ordering::SeqCst);
                        thread::yield_now();
                        now.fetch_sub(bytes, Ordering::SeqCst);
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
        let budget = Budget::new(100);
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
