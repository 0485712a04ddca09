//! Limits connections, in all and from one address, and evicts idle ones when there are too many.
//!
//! A client that has sent a request is answered. A connection that is merely open keeps its place
//! until somebody else needs it: when the server, or an address, has as many as it may, those that
//! have been idle longest go. So idle connections, however many, keep nobody out.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::activity::ConnectionActivity;

/// Connections for each one evicted in a batch, so that a flood of new ones costs few searches.
const CONNECTIONS_PER_EVICTION: usize = 128;
/// Pause before looking again whether a connection can be evicted. Nobody reports that one idles.
const RETRY: Duration = Duration::from_millis(50);

/// Counts the connections of a server.
pub(crate) struct ConnectionLimiter {
    max: usize,
    max_per_address: usize,
    open: Mutex<OpenConnections>,
    closed: Notify,
}

#[derive(Default)]
struct OpenConnections {
    next_number: u64,
    /// In the order of arrival, so that a simulation runs alike each time.
    by_number: BTreeMap<u64, (Option<IpAddr>, Arc<ConnectionActivity>)>,
    count_by_address: HashMap<IpAddr, usize>,
}

/// The address has as many connections as it may, and none of them is idle.
#[derive(Debug)]
pub(crate) struct AddressFull;

impl ConnectionLimiter {
    pub(crate) fn new(max: usize, max_per_address: usize) -> Arc<Self> {
        Arc::new(Self { max, max_per_address, open: Mutex::default(), closed: Notify::new() })
    }

    fn open(&self) -> MutexGuard<'_, OpenConnections> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of open connections.
    pub(crate) fn count(&self) -> usize {
        self.open().by_number.len()
    }

    /// Returns once no connection is open.
    pub(crate) async fn wait_until_empty(&self) {
        loop {
            let closed = self.closed.notified();
            if self.count() == 0 {
                return;
            }
            let _ = tokio::time::timeout(RETRY, closed).await;
        }
    }

    /// Asks all connections to close once the responses under way are sent.
    pub(crate) fn close_gracefully(&self) {
        self.open().by_number.values().for_each(|(_, activity)| activity.close_gracefully());
    }

    /// Returns once there is room for another connection, evicting idle ones for it.
    pub(crate) async fn wait_for_room(&self) {
        loop {
            let closed = self.closed.notified();
            {
                let open = self.open();
                if open.by_number.len() < self.max {
                    return;
                }
                open.evict(self.max.div_ceil(CONNECTIONS_PER_EVICTION), |_| true);
            }
            let _ = tokio::time::timeout(RETRY, closed).await;
        }
    }

    /// Counts a connection until its permit is dropped.
    ///
    /// `address` is `None` for a client without one, which is counted in all alone.
    pub(crate) fn admit(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        activity: &Arc<ConnectionActivity>,
    ) -> Result<ConnectionPermit, AddressFull> {
        let mut open = self.open();
        if let Some(address) = address {
            let count = open.count_by_address.get(&address).copied().unwrap_or(0);
            let batch = self.max_per_address.div_ceil(CONNECTIONS_PER_EVICTION);
            // An evicted connection counts until its task is gone, so a batch more may be open.
            if count >= self.max_per_address.saturating_add(batch)
                || count >= self.max_per_address
                    && open.evict(batch, |other| other == Some(address)) == 0
            {
                return Err(AddressFull);
            }
            *open.count_by_address.entry(address).or_default() += 1;
        }
        let number = open.next_number;
        open.next_number += 1;
        open.by_number.insert(number, (address, Arc::clone(activity)));
        Ok(ConnectionPermit { limiter: Arc::clone(self), number })
    }
}

#[cfg(test)]
impl ConnectionLimiter {
    /// Returns how many open connections have an address, and the sum of the counts by address.
    pub(super) fn counts_by_address(&self) -> (usize, usize) {
        let open = self.open();
        let with_address = open.by_number.values().filter(|(address, _)| address.is_some());
        (with_address.count(), open.count_by_address.values().sum())
    }
}

impl OpenConnections {
    /// Evicts those that have been idle longest, until `most` are evicted and not yet closed.
    ///
    /// Returns how many are.
    fn evict(&self, most: usize, is_candidate: impl Fn(Option<IpAddr>) -> bool) -> usize {
        let candidates = || self.by_number.values().filter(|(address, _)| is_candidate(*address));
        let closing = candidates().filter(|(_, activity)| activity.is_evicted()).count();
        let wanted = most.saturating_sub(closing);
        let mut idle: Vec<_> = candidates()
            .filter_map(|(_, activity)| Some((activity.idle_since()?, activity)))
            .collect();
        if idle.len() > wanted {
            idle.select_nth_unstable_by_key(wanted, |(since, _)| *since);
            idle.truncate(wanted);
        }
        // One whose request has come meanwhile stays.
        closing + idle.iter().filter(|(since, activity)| activity.evict(*since)).count()
    }
}

/// A place among the connections.
pub(crate) struct ConnectionPermit {
    limiter: Arc<ConnectionLimiter>,
    number: u64,
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut open = self.limiter.open();
        if let Some((Some(address), _)) = open.by_number.remove(&self.number)
            && let Some(count) = open.count_by_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                open.count_by_address.remove(&address);
            }
        }
        drop(open);
        self.limiter.closed.notify_waiters();
    }
}
