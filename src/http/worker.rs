//! The threads that serve connections, one for each core, and which of them a connection is given to.
//!
//! warp's own server has no timeouts, so its filters run here as a service on hyper. Each thread has an event loop of its own: a
//! connection stays on the thread that it was given to, and no request wakes another thread. A thread stays on its core, and
//! takes the connections of those on this machine, such as a reverse proxy's, who run there (`SO_INCOMING_CPU`, socket(7)): what
//! it writes they read from that core's cache, and neither has to wake the other's core.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use socket2::SockRef;
use tokio::runtime::Builder;
use tokio::sync::mpsc;

use super::connections::Admission;
use super::gallery::Gallery;
use super::listener::{Peer, Socket};
use super::pulse::Pulse;
use super::routes::routes;
use super::tls::Tls;
use super::visit;

/// An idle blocking thread ends after this time: what argon2 needed, 19 MiB, goes back to the system with its thread.
const BLOCKING_THREAD_IDLE: Duration = Duration::from_secs(1);
/// Of blocking threads, above that of the threads that serve (nice(2)).
const BLOCKING_NICENESS: i32 = 10;
/// A thread may have twice as many connections as another and so many more before it is passed over.
const AHEAD: usize = 16;

/// A connection on its way to a worker.
pub(super) struct Guest {
    pub(super) socket: Socket,
    pub(super) peer: Peer,
    pub(super) pulse: Arc<Pulse>,
    pub(super) tls: Option<Arc<Tls>>,
    /// Its place among all connections.
    pub(super) admission: Admission,
}

pub(super) struct Workers(Vec<Worker>);

impl Workers {
    /// # Errors
    /// When no thread can be started.
    pub(super) fn start(gallery: &Arc<Gallery>) -> io::Result<Self> {
        let count = thread::available_parallelism().map_or(1, usize::from);
        let cores = cores().filter(|cores| cores.len() == count);
        let core = |worker: usize| cores.as_ref().map(|cores| cores[worker]);
        (0..count)
            .map(|worker| Worker::start(gallery, core(worker)))
            .collect::<io::Result<_>>()
            .map(Self)
    }

    /// Gives a connection to the thread on its client's core; one from elsewhere, or if that thread has too many, to the thread
    /// that has the fewest.
    pub(super) fn take(&self, guest: Guest) {
        let Some(idlest) = self.0.iter().min_by_key(|worker| worker.load()) else { return };
        let is_local = guest.peer.address().is_some_and(|address| address.is_loopback());
        let core = if is_local { guest.socket.core() } else { None };
        let near = self.0.iter().find(|worker| core.is_some() && worker.core == core);
        near.filter(|worker| worker.load() <= 2 * idlest.load() + AHEAD)
            .unwrap_or(idlest)
            .take(guest);
    }
}

/// The cores that this process may use. Where it is granted less time than they have, there are fewer threads than cores, and the
/// system does better to place them.
fn cores() -> Option<Vec<usize>> {
    let allowed = sched_getaffinity(None).ok()?;
    Some((0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect())
}

/// A thread that serves connections.
struct Worker {
    /// Where it runs; `None` where the system decides that.
    core: Option<usize>,
    guests: mpsc::UnboundedSender<(Guest, Load)>,
    /// Connections that it has.
    load: Arc<AtomicUsize>,
}

/// Counts a connection as its worker's until it is dropped.
struct Load(Arc<AtomicUsize>);

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Worker {
    fn start(gallery: &Arc<Gallery>, core: Option<usize>) -> io::Result<Self> {
        let (guests, mut arrivals) = mpsc::unbounded_channel::<(Guest, Load)>();
        let mut runtime = Builder::new_current_thread();
        runtime.enable_all().thread_keep_alive(BLOCKING_THREAD_IDLE);
        let everywhere = sched_getaffinity(None)?;
        let is_bound = core.is_some();
        runtime.on_thread_start(move || {
            if is_bound {
                // They would stay on the core of the thread that started them.
                stay(&everywhere);
            }
            yield_to_serving();
        });
        let gallery = Arc::clone(gallery);
        let (report, started) = std::sync::mpsc::channel();
        thread::Builder::new().name("serve".into()).spawn(move || {
            // It is built here because a runtime may not be dropped within another one, and that
            // happens to all that a closure holds when there is no thread for it.
            let built = runtime.build();
            let (runtime, result) = match built {
                Ok(runtime) => (Some(runtime), Ok(())),
                Err(error) => (None, Err(error)),
            };
            let _ = report.send(result);
            let Some(runtime) = runtime else { return };
            if let Some(core) = core {
                let mut here = CpuSet::new();
                here.set(core);
                stay(&here);
            }
            let service = warp::service(routes());
            runtime.block_on(async {
                while let Some((guest, load)) = arrivals.recv().await {
                    let visit = visit::host(guest, Arc::clone(&gallery), service.clone());
                    tokio::spawn(async move {
                        let _load = load;
                        visit.await;
                    });
                }
                // The server is stopping; connections that are left end with the process.
                std::future::pending::<()>().await;
            });
        })?;
        started.recv().map_err(io::Error::other)??;
        Ok(Self { core, guests, load: Arc::default() })
    }

    fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    fn take(&self, guest: Guest) {
        self.load.fetch_add(1, Ordering::Relaxed);
        // The thread runs as long as the process does.
        let _ = self.guests.send((guest, Load(Arc::clone(&self.load))));
    }
}

/// Keeps this thread on these cores.
fn stay(cores: &CpuSet) {
    if let Err(error) = sched_setaffinity(None, cores) {
        tracing::debug!(%error, "a thread can't be kept on its core");
    }
}

/// Has this thread wait while one that serves wants its core: whoever waits for the disk, or for a first check, waits anyway.
fn yield_to_serving() {
    if let Err(error) = setpriority_process(None, BLOCKING_NICENESS) {
        tracing::debug!(%error, "a blocking thread can't be made less urgent");
    }
}

impl Socket {
    /// The core on which the system handled its last packet.
    fn core(&self) -> Option<usize> {
        match self {
            Self::Tcp(socket) => SockRef::from(socket).cpu_affinity().ok(),
            Self::Unix(_) => None,
        }
    }
}
