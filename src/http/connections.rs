//! Who is connected: how many at most, in all and from one address, and who is given up when there are too many.
//!
//! A client that has asked is answered. One that is merely connected holds its place until somebody else needs it: when the server, or
//! an address, has as many connections as it may, those go that have been waiting longest for their clients to ask. So idle
//! connections, however many, keep nobody out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::pulse::{Order, Pulse};

/// Of so many connections one is given up at once, so that a flood of new ones does not cost a search each.
const GIVEN_UP_OF: usize = 128;
/// Pause before looking again whether a connection can be given up.
const RETRY: Duration = Duration::from_millis(50);

pub(super) struct Connections {
    most: usize,
    most_per_address: usize,
    open: Mutex<Open>,
    closed: Notify,
}

#[derive(Default)]
struct Open {
    next: u64,
    connections: HashMap<u64, (Option<IpAddr>, Arc<Pulse>)>,
    by_address: HashMap<IpAddr, usize>,
}

/// The address has as many connections as it may, and all of them are being answered.
#[derive(Debug)]
pub(super) struct AddressFull;

impl Connections {
    pub(super) fn new(most: usize, most_per_address: usize) -> Arc<Self> {
        Arc::new(Self { most, most_per_address, open: Mutex::default(), closed: Notify::new() })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self) -> usize {
        self.open().connections.len()
    }

    /// Returns once there is none left.
    pub(super) async fn none_left(&self) {
        loop {
            let closed = self.closed.notified();
            if self.count() == 0 {
                return;
            }
            let _ = tokio::time::timeout(RETRY, closed).await;
        }
    }

    /// Tells all to end once answers under way are through.
    pub(super) fn finish(&self) {
        self.open().connections.values().for_each(|(_, pulse)| pulse.give_order(Order::Finish));
    }

    /// Returns once there is room for another connection, for which waiting ones may have to go.
    pub(super) async fn room(&self) {
        loop {
            let closed = self.closed.notified();
            {
                let open = self.open();
                if open.connections.len() < self.most {
                    return;
                }
                open.give_up(self.most.div_ceil(GIVEN_UP_OF), |_| true);
            }
            // That a client has been answered, and could be given up, is told to nobody.
            let _ = tokio::time::timeout(RETRY, closed).await;
        }
    }

    /// Counts a connection until what is returned is dropped. `address` is `None` for clients that have none.
    pub(super) fn admit(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        pulse: &Arc<Pulse>,
    ) -> Result<Admission, AddressFull> {
        let mut open = self.open();
        if let Some(address) = address {
            let count = open.by_address.get(&address).copied().unwrap_or(0);
            let many = self.most_per_address.div_ceil(GIVEN_UP_OF);
            // One that was given up is counted until its task is gone, so there may be some more for a moment.
            if count >= self.most_per_address.saturating_add(many)
                || count >= self.most_per_address
                    && open.give_up(many, |other| other == Some(address)) == 0
            {
                return Err(AddressFull);
            }
            *open.by_address.entry(address).or_default() += 1;
        }
        let number = open.next;
        open.next += 1;
        open.connections.insert(number, (address, Arc::clone(pulse)));
        Ok(Admission { connections: Arc::clone(self), number })
    }
}

impl Open {
    /// Gives up those that have been waiting longest; returns how many.
    fn give_up(&self, most: usize, of: impl Fn(Option<IpAddr>) -> bool) -> usize {
        let ours = self.connections.values().filter(|(address, _)| of(*address));
        let mut waiting: Vec<_> =
            ours.filter_map(|(_, pulse)| Some((pulse.waiting_since()?, pulse))).collect();
        if waiting.len() > most {
            waiting.select_nth_unstable_by_key(most, |(since, _)| *since);
            waiting.truncate(most);
        }
        waiting.iter().for_each(|(_, pulse)| pulse.give_order(Order::Leave));
        waiting.len()
    }
}

/// A place among the connections.
pub(super) struct Admission {
    connections: Arc<Connections>,
    number: u64,
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        if let Some((Some(address), _)) = open.connections.remove(&self.number)
            && let Some(count) = open.by_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                open.by_address.remove(&address);
            }
        }
        drop(open);
        self.connections.closed.notify_waiters();
    }
}
