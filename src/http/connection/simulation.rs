//! Drives the connection room through random schedules, in virtual time, and checks what must hold.
//!
//! Each schedule is a server with clients that connect, send heads in parts, take responses in
//! parts, stall, close and half-close, until the server drains. A seed decides it all, so a
//! schedule can be run again: `IMAGEPOOL_TEST_SEED=SEED cargo test --lib simulation`.
//!
//! What a connection may do is computed here from the client's side alone, not from the state that
//! is under test.

use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::io::{AsyncRead as _, AsyncWrite as _, DuplexStream, ReadBuf};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::activity::{ConnectionActivity, ServerState, Timeouts};
use super::limiter::ConnectionLimiter;
use super::session::{CHECK_INTERVAL, Session};
use super::test_responder::TestResponder;

/// Number of schedules in one run.
const SCHEDULES: u64 = 10_000;
/// Time in which everything that is ready has run. Virtual time moves when all tasks wait.
const SETTLE: Duration = Duration::from_millis(1);
/// What a session may be late: one look at its deadline, and the time for things to settle.
const LATE: Duration = CHECK_INTERVAL.saturating_add(Duration::from_millis(20));
/// Time that the accept loop waits for room before this schedule goes on without the connection.
const ROOM_PATIENCE: Duration = Duration::from_millis(200);

type Checked = Result<(), String>;

/// Says what must hold, and why it does not.
macro_rules! ensure {
    ($holds:expr, $($why:tt)*) => {
        if !$holds {
            return Err(format!($($why)*));
        }
    };
}

#[test]
fn no_schedule_breaks_an_invariant() {
    let first = std::env::var("IMAGEPOOL_TEST_SEED").map_or_else(
        |_| rand::rng().random(),
        |seed| seed.parse::<u64>().expect("IMAGEPOOL_TEST_SEED is a number"),
    );
    let next = AtomicU64::new(0);
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= SCHEDULES {
                return Ok(());
            }
            let seed = first.wrapping_add(number);
            run(seed).map_err(|why| format!("{why}\nagain: IMAGEPOOL_TEST_SEED={seed}"))?;
        }
    };
    let results = std::thread::scope(|scope| {
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads.map(|thread| thread.join().expect("a schedule panicked"))
    });
    let broken: Vec<String> = results.into_iter().filter_map(Result::err).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

fn run(seed: u64) -> Checked {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let mut world = World::new(seed);
        let ran = world.run().await;
        ran.map_err(|why| format!("{why}, after:\n  {}", world.history.join("\n  ")))
    })
}

/// A server and its clients.
struct World {
    random: StdRng,
    timeouts: Timeouts,
    server: Arc<ServerState>,
    limiter: Arc<ConnectionLimiter>,
    max: usize,
    max_per_address: usize,
    /// Bytes that a connection's stream holds in each direction.
    stream_bytes: usize,
    clients: Vec<SimulatedClient>,
    /// Address and session of clients that went away. The server may not have seen it yet.
    departed: Vec<(Option<IpAddr>, JoinHandle<()>)>,
    next_client: u32,
    is_draining: bool,
    /// Where what clients take goes.
    buffer: Vec<u8>,
    history: Vec<String>,
}

/// What a client has done, and since when it waits.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// It has sent nothing of its next request. The server may have been idle since `earliest`.
    Waiting { earliest: Instant, latest: Instant, is_first: bool },
    /// It has sent a part of a head; `is_first` if it is the connection's first.
    Head { began: Instant, is_first: bool },
    /// It has sent a head, whose response is ready at `ready` and whose body has `left` bytes
    /// to be taken.
    Receiving { ready: Instant, took: Instant, left: usize },
}

/// The client's side of a connection.
struct SimulatedClient {
    number: u32,
    address: Option<IpAddr>,
    activity: Arc<ConnectionActivity>,
    session: JoinHandle<()>,
    stream: DuplexStream,
    opened: Instant,
    phase: Phase,
    /// What is still to be sent of a head, and what it asks for: bytes, and when.
    head: Vec<u8>,
    asked: (usize, Duration),
    /// What came of a response's head.
    response_head: Vec<u8>,
    has_closed_its_side: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut time = || Duration::from_millis(random.random_range(1_000..6_000));
        let timeouts = Timeouts { header: time(), idle: time(), write: time() };
        let (max, max_per_address) = (random.random_range(1..=6), random.random_range(1..=3));
        let stream_bytes = [256, 4 << 10, 64 << 10][random.random_range(0..3)];
        let history = vec![format!(
            "{max} connections, {max_per_address} of an address, {stream_bytes} bytes, {timeouts:?}"
        )];
        Self {
            random,
            timeouts,
            server: ServerState::new(timeouts, Instant::now()),
            limiter: ConnectionLimiter::new(max, max_per_address),
            max,
            max_per_address,
            stream_bytes,
            clients: Vec::new(),
            departed: Vec::new(),
            next_client: 0,
            is_draining: false,
            buffer: vec![0; 64 << 10],
            history,
        }
    }

    fn note(&mut self, what: String) {
        self.history.push(what);
    }

    async fn run(&mut self) -> Checked {
        for _ in 0..self.random.random_range(5..40) {
            self.act().await?;
            sleep(SETTLE).await;
            self.check()?;
        }
        self.drain().await
    }

    async fn act(&mut self) -> Checked {
        let action = self.random.random_range(0..100);
        if action < 25 || self.clients.is_empty() {
            return self.connect().await;
        }
        let which = self.random.random_range(0..self.clients.len());
        match action {
            25..50 => self.send(which),
            50..75 => self.take(which),
            75..80 => {
                let client = self.clients.swap_remove(which);
                self.note(format!("client {} goes away", client.number));
                self.departed.push((client.address, client.session));
            }
            80..83 => {
                let client = &mut self.clients[which];
                client.has_closed_its_side = true;
                let _ = poll(|context| Pin::new(&mut client.stream).poll_shutdown(context));
                let number = client.number;
                self.note(format!("client {number} closes its side"));
            }
            83..97 => {
                let pause = Duration::from_millis(self.random.random_range(1..3_000));
                self.note(format!("{pause:?} pass"));
                sleep(pause).await;
            }
            _ => {
                // Time enough for every deadline of clients that do nothing.
                let Timeouts { header, idle, write } = self.timeouts;
                let pause = header.max(idle).max(write) + LATE;
                self.note(format!("{pause:?} pass, enough for every timeout"));
                sleep(pause).await;
            }
        }
        Ok(())
    }

    /// Connects a client as the accept loop does, and checks who was evicted for it.
    async fn connect(&mut self) -> Checked {
        let address = match self.random.random_range(0..4) {
            0 => None,
            number => Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, number))),
        };
        let number = self.next_client;
        self.next_client += 1;
        self.note(format!("client {number} connects from {address:?}"));
        let before = self.idle_clients();
        if tokio::time::timeout(ROOM_PATIENCE, self.limiter.wait_for_room()).await.is_err() {
            let is_full = self.limiter.count() >= self.max;
            ensure!(is_full, "client {number} finds no room in a server that is not full");
            self.note("there is no room".into());
            return self.check_evictions(&before, |_| true);
        }
        self.check_evictions(&before, |_| true)?;
        let before = self.idle_clients();
        let activity = ConnectionActivity::new(&self.server, Instant::now());
        let admitted = self.limiter.admit(address, &activity);
        self.check_evictions(&before, |other| address.is_some() && other == address)?;
        let Ok(permit) = admitted else {
            let clients = self.clients.iter().map(|client| (client.address, &client.session));
            let departed = self.departed.iter().map(|(address, session)| (*address, session));
            let same = clients.chain(departed).filter(|(other, _)| *other == address);
            let open = same.filter(|(_, session)| !session.is_finished()).count();
            let is_full = open >= self.max_per_address;
            ensure!(is_full, "client {number} is refused with {open} of its address");
            let idle = before.iter().any(|(_, other, ..)| *other == address);
            ensure!(!idle, "client {number} is refused though one of its address is idle");
            self.note("its address is full".into());
            return Ok(());
        };
        let (stream, server_end) = tokio::io::duplex(self.stream_bytes);
        let responder = TestResponder { activity: Arc::clone(&activity) };
        let session = Session::new(Arc::clone(&activity), responder);
        let session = tokio::spawn(async move {
            let _permit = permit;
            // A client that goes away is an error here.
            let _ = session.run(server_end, None).await;
        });
        let opened = Instant::now();
        let phase = Phase::Waiting { earliest: opened, latest: opened, is_first: true };
        self.clients.push(SimulatedClient {
            number,
            address,
            activity,
            session,
            stream,
            opened,
            phase,
            head: Vec::new(),
            asked: (0, Duration::ZERO),
            response_head: Vec::new(),
            has_closed_its_side: false,
        });
        Ok(())
    }

    /// Number, address and idle time of clients that wait to be evicted.
    fn idle_clients(&self) -> Vec<(u32, Option<IpAddr>, u64, Arc<ConnectionActivity>)> {
        let live = self.clients.iter().filter(|client| !client.session.is_finished());
        live.filter_map(|client| {
            let since = client.activity.idle_since()?;
            Some((client.number, client.address, since, Arc::clone(&client.activity)))
        })
        .collect()
    }

    /// Whoever has been idle longest is evicted first, and nobody who is being answered.
    fn check_evictions(
        &mut self,
        before: &[(u32, Option<IpAddr>, u64, Arc<ConnectionActivity>)],
        is_candidate: impl Fn(Option<IpAddr>) -> bool,
    ) -> Checked {
        for client in self.clients.iter().filter(|client| client.activity.is_evicted()) {
            let answering = client.is_certainly_answered(self.stream_bytes);
            ensure!(!answering, "client {} is evicted while it is answered", client.number);
        }
        let candidates = || before.iter().filter(|(_, address, ..)| is_candidate(*address));
        let evicted = |(.., activity): &&(_, _, _, Arc<ConnectionActivity>)| activity.is_evicted();
        for (gone, _, since, _) in before.iter().filter(evicted) {
            let is_known = candidates().any(|(number, ..)| number == gone);
            ensure!(is_known, "client {gone} is evicted for another address");
            let longer = candidates().filter(|(.., activity)| !activity.is_evicted());
            let mut longer = longer.filter(|(_, _, other, activity)| {
                // One that has asked since then stays.
                other < since && activity.idle_since() == Some(*other)
            });
            if let Some((stays, ..)) = longer.next() {
                return Err(format!("{gone} is evicted, and {stays} is idle for longer"));
            }
            self.history.push(format!("client {gone} is evicted"));
        }
        Ok(())
    }

    /// Sends the next part of a request's head.
    fn send(&mut self, which: usize) {
        let (now, whole) = (Instant::now(), self.random.random_bool(0.6));
        let bytes = [0, 1, 100, 5_000, 200_000, 3 << 20][self.random.random_range(0..6)];
        let delay = [0, 0, 0, 100, 8_000][self.random.random_range(0..5)];
        let part = self.random.random_range(1..40);
        let client = &mut self.clients[which];
        if client.has_closed_its_side {
            return;
        }
        let is_first = match client.phase {
            Phase::Receiving { .. } => return,
            Phase::Waiting { is_first, .. } => {
                client.head = format!("GET /{bytes}/{delay} HTTP/1.1\r\nHost: t\r\n\r\n").into();
                client.asked = (bytes, Duration::from_millis(delay));
                client.phase = Phase::Head { began: now, is_first };
                is_first
            }
            Phase::Head { is_first, .. } => is_first,
        };
        let part = if whole { client.head.len() } else { part.min(client.head.len()) };
        let (stream, head) = (&mut client.stream, &client.head[..part]);
        let sent = match poll(|context| Pin::new(&mut *stream).poll_write(context, head)) {
            Poll::Ready(Ok(sent)) => sent,
            _ => 0,
        };
        client.head.drain(..sent);
        let number = client.number;
        if client.head.is_empty() {
            let (bytes, delay) = client.asked;
            client.phase = Phase::Receiving { ready: now + delay, took: now, left: bytes };
            self.note(format!("client {number} asks for {bytes} bytes in {delay:?}"));
        } else {
            self.note(format!("client {number} sends {sent} bytes of a head, first: {is_first}"));
        }
    }

    /// Takes a part of a response.
    fn take(&mut self, which: usize) {
        let most = [1, 1_000, 70_000, 4 << 20][self.random.random_range(0..4)];
        let client = &mut self.clients[which];
        let mut taken = 0;
        while taken < most {
            let room = most.min(self.buffer.len());
            let mut buffer = ReadBuf::new(&mut self.buffer[..room]);
            let stream = &mut client.stream;
            match poll(|context| Pin::new(&mut *stream).poll_read(context, &mut buffer)) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    client.receive(buffer.filled());
                    taken += buffer.filled().len();
                }
                _ => break,
            }
        }
        if taken > 0 {
            let (number, phase) = (client.number, client.phase);
            self.note(format!("client {number} takes {taken} bytes, and is {phase:?}"));
        }
    }

    /// Checks what must hold whenever everything has settled, and lets ended clients go.
    fn check(&mut self) -> Checked {
        let (with_address, sum) = self.limiter.counts_by_address();
        ensure!(with_address == sum, "{with_address} have an address, and {sum} are counted");
        let open = self.limiter.count();
        ensure!(open <= self.max, "{open} connections are open");
        let now = Instant::now();
        let mut ended = Vec::new();
        for client in &self.clients {
            let number = client.number;
            let (earliest, latest) = client.deadlines(self.timeouts);
            if !client.session.is_finished() {
                ensure!(now <= latest + LATE, "client {number} lives, {:?} overdue", now - latest);
                ensure!(!client.activity.is_evicted(), "client {number} outlives its eviction");
                continue;
            }
            ended.push(number);
            let has_reason = client.has_closed_its_side || client.activity.is_evicted();
            let is_early = !self.is_draining && !has_reason && now < earliest;
            ensure!(!is_early, "client {number} is cut {:?} early", earliest - now);
        }
        self.clients.retain(|client| !ended.contains(&client.number));
        if self.clients.is_empty() {
            let kept_back = self.server.buffered_bytes();
            // A client that went away is let go as soon as its session has seen it.
            let alone = self.limiter.count() == 0;
            ensure!(!alone || kept_back == 0, "{kept_back} bytes are kept back for nobody");
        }
        Ok(())
    }

    /// Stops as a server does: every client that takes its response gets it, and nothing is left.
    async fn drain(&mut self) -> Checked {
        self.note("the server drains".into());
        self.is_draining = true;
        self.limiter.close_gracefully();
        let Timeouts { header, idle, write } = self.timeouts;
        let longest = header.max(idle).max(write) + Duration::from_secs(8) + LATE;
        let emptied = tokio::time::timeout(longest * 2, self.limiter.wait_until_empty()).await;
        ensure!(emptied.is_ok(), "{} connections outlive the drain", self.limiter.count());
        sleep(SETTLE).await;
        self.check()?;
        let kept_back = self.server.buffered_bytes();
        ensure!(kept_back == 0, "{kept_back} bytes are kept back after the drain");
        let counts = self.limiter.counts_by_address();
        ensure!(counts == (0, 0), "{counts:?} are counted after the drain");
        Ok(())
    }
}

impl SimulatedClient {
    /// Counts bytes of a response, whose head ends with an empty line.
    fn receive(&mut self, mut bytes: &[u8]) {
        let Phase::Receiving { ready, took, left } = &mut self.phase else { return };
        let now = Instant::now();
        *took = now;
        while !bytes.is_empty() && !self.response_head.ends_with(b"\r\n\r\n") {
            self.response_head.push(bytes[0]);
            bytes = &bytes[1..];
        }
        *left -= bytes.len();
        if *left == 0 && self.response_head.ends_with(b"\r\n\r\n") {
            self.response_head.clear();
            self.phase = Phase::Waiting { earliest: *ready, latest: now, is_first: false };
        }
    }

    /// Whether the server can't have handed over all of a response yet.
    fn is_certainly_answered(&self, stream_bytes: usize) -> bool {
        match self.phase {
            Phase::Receiving { left, .. } => left > stream_bytes,
            Phase::Waiting { .. } | Phase::Head { .. } => false,
        }
    }

    /// Before when the session may not end by itself, and when it must have.
    fn deadlines(&self, timeouts: Timeouts) -> (Instant, Instant) {
        let Timeouts { header, idle, write } = timeouts;
        match self.phase {
            Phase::Waiting { latest, is_first: true, .. } => (latest + header, latest + header),
            Phase::Waiting { earliest, latest, .. } => (earliest + idle, latest + idle),
            Phase::Head { is_first: true, .. } => (self.opened + header, self.opened + header),
            Phase::Head { began, .. } => (began + header, began + header),
            Phase::Receiving { ready, took, .. } => {
                (ready + write.min(idle), ready.max(took) + write.max(idle))
            }
        }
    }
}

/// Polls once, with nobody to be woken.
fn poll<T>(once: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    once(&mut Context::from_waker(Waker::noop()))
}
