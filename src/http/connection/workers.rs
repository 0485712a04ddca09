//! The threads that serve connections, one a core, and the choice of one for a new connection.
//!
//! Each thread has an event loop of its own. A connection stays on the thread it was given to, and
//! no request wakes another thread. A thread stays on its core and takes the connections of local
//! clients that run there, such as a reverse proxy's (`SO_INCOMING_CPU`, socket(7)): they read what
//! it writes from that core's cache, and neither has to wake the other's core.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc as blocking};
use std::thread;
use std::time::Duration;

use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use super::activity::ConnectionActivity;
use super::limiter::ConnectionPermit;
use super::listener::{Socket, Stream};
use super::session::{Application, Session};
use super::tls::Tls;

/// Time after which an idle blocking thread ends and gives back the 19 MiB that argon2 needed.
const BLOCKING_THREAD_IDLE: Duration = Duration::from_secs(1);
/// Niceness of blocking threads, above that of the threads that serve (nice(2)).
const BLOCKING_NICENESS: i32 = 10;
/// Connections a worker may have beyond twice the least-loaded one before new ones go elsewhere.
const LOAD_TOLERANCE: usize = 16;

/// A connection on its way to a worker.
pub(crate) struct NewConnection {
    pub(crate) socket: Socket,
    /// The client's address, if it has one.
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) activity: Arc<ConnectionActivity>,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) permit: ConnectionPermit,
}

/// All threads that serve connections.
pub(crate) struct Workers(Vec<Worker>);

impl Workers {
    /// Starts a worker for each core.
    ///
    /// # Errors
    /// When a thread or its event loop can't be started.
    pub(crate) fn start(application: &impl Application) -> io::Result<Self> {
        let count = thread::available_parallelism().map_or(1, usize::from);
        // Where the process is granted less time than its cores have, there are fewer workers than
        // cores, and the system places them better than we could.
        let cores = allowed_cores().filter(|cores| cores.len() == count);
        let core = |worker: usize| cores.as_ref().map(|cores| cores[worker]);
        let workers = (0..count).map(|worker| Worker::start(application.clone(), core(worker)));
        workers.collect::<io::Result<_>>().map(Self)
    }

    /// Gives a connection to a worker: a local client's to the one on its core, if that one is not
    /// overloaded, and any other to the least-loaded one.
    pub(crate) fn assign(&self, connection: NewConnection) {
        let Some(idlest) = self.0.iter().min_by_key(|worker| worker.load()) else { return };
        let is_local = connection.peer.is_some_and(|peer| peer.ip().is_loopback());
        let core = if is_local { connection.socket.core() } else { None };
        let near = self.0.iter().find(|worker| core.is_some() && worker.core == core);
        let is_free = |worker: &&Worker| worker.load() <= 2 * idlest.load() + LOAD_TOLERANCE;
        near.filter(is_free).unwrap_or(idlest).assign(connection);
    }
}

/// The cores that this process may use.
fn allowed_cores() -> Option<Vec<usize>> {
    let allowed = sched_getaffinity(None).ok()?;
    Some((0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect())
}

/// A thread that serves connections.
struct Worker {
    /// The core it is bound to; `None` where the system places it.
    core: Option<usize>,
    connections: mpsc::UnboundedSender<(NewConnection, LoadGuard)>,
    /// Number of its connections.
    load: Arc<AtomicUsize>,
}

/// Counts a connection as its worker's until it is dropped.
struct LoadGuard(Arc<AtomicUsize>);

impl Drop for LoadGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Worker {
    fn start(application: impl Application, core: Option<usize>) -> io::Result<Self> {
        let (connections, accepted) = mpsc::unbounded_channel();
        let (report, started) = blocking::sync_channel(1);
        let everywhere = sched_getaffinity(None)?;
        // The runtime is built and dropped on its own thread: it can't be dropped where the caller
        // runs, inside another runtime.
        thread::Builder::new().name("serve".into()).spawn(move || {
            if let Some(core) = core {
                let mut here = CpuSet::new();
                here.set(core);
                bind_to_cores(&here);
            }
            match event_loop(core.is_some().then_some(everywhere)) {
                Ok(runtime) => {
                    let _ = report.send(Ok(()));
                    runtime.block_on(serve_connections(application, accepted));
                }
                Err(error) => {
                    let _ = report.send(Err(error));
                }
            }
        })?;
        started.recv().map_err(|_| io::Error::other("a thread ended as it was started"))??;
        Ok(Self { core, connections, load: Arc::default() })
    }

    fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    fn assign(&self, connection: NewConnection) {
        self.load.fetch_add(1, Ordering::Relaxed);
        // The thread runs as long as the process does.
        let _ = self.connections.send((connection, LoadGuard(Arc::clone(&self.load))));
    }
}

/// Makes a worker's event loop. Its blocking threads run on the given cores.
fn event_loop(blocking_cores: Option<CpuSet>) -> io::Result<Runtime> {
    let mut runtime = Builder::new_current_thread();
    runtime.enable_all().thread_keep_alive(BLOCKING_THREAD_IDLE);
    runtime.on_thread_start(move || {
        if let Some(cores) = &blocking_cores {
            // Without this they would inherit the core of the worker that started them.
            bind_to_cores(cores);
        }
        lower_priority();
    });
    runtime.build()
}

/// Serves what arrives, for as long as the process runs.
async fn serve_connections(
    application: impl Application,
    mut accepted: mpsc::UnboundedReceiver<(NewConnection, LoadGuard)>,
) {
    while let Some((connection, load)) = accepted.recv().await {
        let session = serve_connection(connection, application.clone());
        tokio::spawn(async move {
            let _load = load;
            session.await;
        });
    }
    // The server is stopping. Connections that are left end with the process.
    std::future::pending::<()>().await;
}

async fn serve_connection(connection: NewConnection, application: impl Application) {
    let NewConnection { socket, peer, activity, tls, permit: _permit } = connection;
    let responder = application.responder(peer, Arc::clone(&activity));
    let session = Session::new(activity, responder);
    let ended = match socket.into_stream() {
        Ok(Stream::Tcp(stream)) => session.run(stream, tls.as_deref()).await,
        Ok(Stream::Unix(stream)) => session.run(stream, tls.as_deref()).await,
        Err(error) => Err(error.into()),
    };
    // A client that goes away or does not speak HTTP is no fault of ours.
    if let Err(error) = ended {
        tracing::debug!(?peer, %error, "connection ended");
    }
}

fn bind_to_cores(cores: &CpuSet) {
    if let Err(error) = sched_setaffinity(None, cores) {
        tracing::debug!(%error, "a thread can't be kept on its core");
    }
}

/// Lets threads that serve go first: this one waits for the disk or for a key's first check.
fn lower_priority() {
    if let Err(error) = setpriority_process(None, BLOCKING_NICENESS) {
        tracing::debug!(%error, "a blocking thread can't be made less urgent");
    }
}
