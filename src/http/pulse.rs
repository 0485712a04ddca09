//! The life signs of a connection: what it waits for, since when, and when it has waited long enough.
//!
//! Whoever moves bytes tells its `Pulse`; the connection's task looks at it now and then and ends what is overdue. So a request
//! costs no timer, only a few stores. Times are milliseconds since the
//! server's start.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::{Duration, Instant};

/// Never.
const NEVER: u64 = u64::MAX;

/// How long a connection may take for what.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// From a connection's start, or a request's first byte, to the end of its head; and for a TLS handshake.
    pub header: Duration,
    /// From an answer's end to the next request's first byte.
    pub idle: Duration,
    /// For a client to take 64 KiB of an answer.
    pub write: Duration,
}

/// What is handed to the wire at once: much beside what a system call costs,
const CHUNK_BYTES: usize = 1 << 20;
/// or little, when slow clients make all wires together keep back more than
const MOST_KEPT_BACK: usize = 16 << 20;
/// bytes;
const SMALL_CHUNK_BYTES: usize = 64 << 10;
/// and never more than a TLS stream takes at once.
const TLS_CHUNK_BYTES: usize = 48 << 10;

/// What all connections of a server share.
pub(super) struct Hub {
    started: Instant,
    patience: Patience,
    /// Bytes that all wires together keep back.
    kept_back: AtomicUsize,
}

impl Hub {
    pub(super) fn new(patience: Patience) -> Arc<Self> {
        Arc::new(Self { started: Instant::now(), patience, kept_back: 0.into() })
    }
}

/// What a connection is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    GoOn,
    /// To end once answers under way are through.
    Finish,
    /// To end now.
    Leave,
}

/// What is known of one connection. All but `order` is written by its own task alone, and read by the accept loop too.
pub(super) struct Pulse {
    hub: Arc<Hub>,
    /// When the connection is ended; [`NEVER`] while it waits for us.
    deadline: AtomicU64,
    /// Since when it has been waiting for its client to ask; [`NEVER`] while an answer is under way.
    waiting_since: AtomicU64,
    /// Whether the first byte of a request has come, and its head has not.
    in_head: AtomicBool,
    answers: AtomicU32,
    /// Whether its wire keeps back bytes that its socket did not take.
    backlogged: AtomicBool,
    /// Whether what a body gives is on the wire at once, as over HTTP/1.
    direct: AtomicBool,
    /// What may be handed to the wire at once, in bytes.
    chunk_bytes: AtomicUsize,
    order: AtomicU8,
    task: OnceLock<Waker>,
}

impl Pulse {
    /// Of a connection that was opened just now.
    pub(super) fn new(hub: &Arc<Hub>) -> Arc<Self> {
        let now = millis(hub.started.elapsed());
        Arc::new(Self {
            hub: Arc::clone(hub),
            deadline: now.saturating_add(millis(hub.patience.header)).into(),
            waiting_since: now.into(),
            in_head: true.into(),
            answers: 0.into(),
            backlogged: false.into(),
            direct: true.into(),
            chunk_bytes: CHUNK_BYTES.into(),
            order: (Order::GoOn as u8).into(),
            task: OnceLock::new(),
        })
    }

    fn now(&self) -> u64 {
        millis(self.hub.started.elapsed())
    }

    fn end_in(&self, time: Duration) {
        self.deadline.store(self.now().saturating_add(millis(time)), Ordering::Relaxed);
    }

    /// Bytes came from the client.
    pub(super) fn heard(&self) {
        // What comes while the last answer is still being taken counts from when it was.
        let waiting = self.answers.load(Ordering::Relaxed) == 0 && !self.is_backlogged();
        if waiting && !self.in_head.swap(true, Ordering::Relaxed) {
            self.end_in(self.hub.patience.header);
        }
    }

    /// A request's head is complete. What is returned is to be kept until its answer has been handed to the wire.
    pub(super) fn asked(self: &Arc<Self>) -> Answer {
        self.answers.fetch_add(1, Ordering::Relaxed);
        self.in_head.store(false, Ordering::Relaxed);
        self.waiting_since.store(NEVER, Ordering::Relaxed);
        if !self.is_backlogged() {
            self.moves();
        }
        Answer(Arc::clone(self))
    }

    /// The client does not take what is sent as fast as we send; it has to take these bytes.
    pub(super) fn kept_back(&self, bytes: usize) {
        self.hub.kept_back.fetch_add(bytes, Ordering::Relaxed);
        self.backlogged.store(true, Ordering::Relaxed);
        self.waiting_since.store(NEVER, Ordering::Relaxed);
        self.end_in(self.hub.patience.write);
    }

    /// The client has taken enough of what was kept back to be given more time for the rest.
    pub(super) fn progressed(&self) {
        self.end_in(self.hub.patience.write);
    }

    /// The wire lets go of bytes that it kept back.
    pub(super) fn let_go(&self, bytes: usize) {
        self.hub.kept_back.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// What a body may hand to the wire at once, in bytes.
    pub(super) fn chunk_bytes(&self) -> usize {
        let most = self.chunk_bytes.load(Ordering::Relaxed);
        if self.hub.kept_back.load(Ordering::Relaxed) < MOST_KEPT_BACK {
            most
        } else {
            most.min(SMALL_CHUNK_BYTES)
        }
    }

    /// The client has taken what was kept back.
    pub(super) fn caught_up(&self) {
        self.backlogged.store(false, Ordering::Relaxed);
        if self.answers.load(Ordering::Relaxed) == 0 {
            self.answered();
        } else {
            self.moves();
        }
    }

    /// An answer goes on. Over HTTP/2 the client may hold it up without our seeing it, so there it has to move all the time.
    pub(super) fn moves(&self) {
        if self.is_direct() {
            self.deadline.store(NEVER, Ordering::Relaxed);
        } else {
            self.end_in(self.hub.patience.write);
        }
    }

    fn answered(&self) {
        let now = self.now();
        self.waiting_since.store(now, Ordering::Relaxed);
        self.deadline.store(now.saturating_add(millis(self.hub.patience.idle)), Ordering::Relaxed);
    }

    pub(super) fn is_backlogged(&self) -> bool {
        self.backlogged.load(Ordering::Relaxed)
    }

    pub(super) fn is_direct(&self) -> bool {
        self.direct.load(Ordering::Relaxed)
    }

    pub(super) fn set_encrypted(&self) {
        self.chunk_bytes.store(TLS_CHUNK_BYTES, Ordering::Relaxed);
    }

    /// What bodies give waits in a queue for its turn, as over HTTP/2.
    pub(super) fn set_queued(&self) {
        self.direct.store(false, Ordering::Relaxed);
    }

    pub(super) fn is_overdue(&self) -> bool {
        self.deadline.load(Ordering::Relaxed) <= self.now()
    }

    /// How long until it may be overdue. Deadlines may come closer meanwhile, so this is at most a quarter of the shortest.
    pub(super) fn next_look(&self, most: Duration) -> Duration {
        let Patience { header, idle, write } = self.hub.patience;
        let shortest = header.min(idle).min(write) / 4;
        let left = self.deadline.load(Ordering::Relaxed).saturating_sub(self.now());
        Duration::from_millis(left).min(shortest).min(most).max(Duration::from_millis(1))
    }

    /// In which order connections that wait for their clients are given up; `None` for one that does not.
    pub(super) fn waiting_since(&self) -> Option<u64> {
        Some(self.waiting_since.load(Ordering::Relaxed)).filter(|since| *since != NEVER)
    }

    /// Names the task that carries orders out.
    pub(super) fn runs_as(&self, task: &Waker) {
        self.task.get_or_init(|| task.clone());
    }

    pub(super) fn order(&self) -> Order {
        match self.order.load(Ordering::Acquire) {
            order if order == Order::GoOn as u8 => Order::GoOn,
            order if order == Order::Finish as u8 => Order::Finish,
            _ => Order::Leave,
        }
    }

    /// Orders are only ever followed by stronger ones.
    pub(super) fn give_order(&self, order: Order) {
        self.order.fetch_max(order as u8, Ordering::Release);
        if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
    }
}

/// An answer that is under way, from a request's head until its last byte is handed over.
pub(super) struct Answer(Arc<Pulse>);

impl Drop for Answer {
    fn drop(&mut self) {
        if self.0.answers.fetch_sub(1, Ordering::Relaxed) == 1 && !self.0.is_backlogged() {
            self.0.answered();
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(NEVER / 2).min(NEVER / 2)
}
