//! The accept loop, the threads that serve what it accepts, and the drain at the end.
//!
//! warp's own server has no timeouts, so its filters run here as a service on hyper. There is a thread for each core, with an
//! event loop of its own: a connection stays on the thread that it was given to, and no request wakes another thread. The
//! caller gives the listener and says when to stop.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use socket2::SockRef;
use tokio::sync::mpsc;

use super::connections::{Admission, Connections};
use super::error::FULL;
use super::gallery::Gallery;
use super::listener::{Listener, Peer, Socket};
use super::pulse::{Hub, Patience, Pulse};
use super::rate::network;
use super::routes::routes;
use super::tls::Tls;
use super::visit;

/// What the system takes of an answer before it has sent it, in bytes. More would be memory that slow clients hold, and would
/// be sent for so long that a client which reads 10 KB a second seems to have stopped.
const UNSENT_BYTES: u32 = 512 << 10;
/// Pause after the system refused a connection, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// An idle blocking thread ends after this time: what argon2 needed, 19 MiB, goes back to the system with its thread.
const BLOCKING_THREAD_IDLE: Duration = Duration::from_secs(1);

/// What a server grants its clients.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; further ones take the place of one that waits for its client, or wait in the system's backlog.
    pub max_connections: usize,
    /// Of one client address, or network of IPv6; further ones get 503 when none of them waits for its client.
    pub max_connections_per_address: usize,
    pub patience: Patience,
    /// From the order to stop until answers under way are cut.
    pub shutdown_timeout: Duration,
}

/// Serves until `shutdown` is ready, then lets answers under way finish. Returns how many connections were cut.
///
/// # Errors
/// When no thread can be started. Failing accepts are logged and tried again.
pub async fn serve(
    listener: Listener,
    tls: Option<Arc<Tls>>,
    gallery: Arc<Gallery>,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) -> io::Result<usize> {
    let hub = Hub::new(limits.patience);
    let connections = Connections::new(limits.max_connections, limits.max_connections_per_address);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let workers = (0..cores).map(|_| Worker::start(&gallery)).collect::<io::Result<Vec<_>>>()?;
    let mut shutdown = pin!(shutdown);
    loop {
        let (socket, peer) = tokio::select! {
            accepted = accept(&listener, &connections) => accepted,
            () = &mut shutdown => break,
        };
        let pulse = Pulse::new(&hub);
        match connections.admit(peer.address().map(network), &pulse) {
            Ok(admission) => {
                if let Some(worker) = workers.iter().min_by_key(|worker| worker.load()) {
                    worker.take(socket, peer, pulse, tls.clone(), admission);
                }
            }
            Err(_) if tls.is_none() => refuse(socket),
            Err(_) => {}
        }
    }
    drop(listener);
    connections.finish();
    tracing::info!(connections = connections.count(), "stopping: answers under way may finish");
    tokio::select! {
        () = connections.none_left() => Ok(0),
        () = tokio::time::sleep(limits.shutdown_timeout) => Ok(connections.count()),
    }
}

/// The next connection, once there is room for it.
async fn accept(listener: &Listener, connections: &Connections) -> (Socket, Peer) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                // Only now, for nobody is given up before somebody needs the room.
                connections.room().await;
                if let Socket::Tcp(socket) = &socket {
                    prepare(socket);
                }
                return (socket, peer);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn prepare(socket: &std::net::TcpStream) {
    let socket = SockRef::from(socket);
    let prepared = socket.set_tcp_nodelay(true).and_then(|()| socket.set_tcp_notsent_lowat(UNSENT_BYTES));
    if let Err(error) = prepared {
        tracing::debug!(%error, "a socket can't be set up");
    }
}

/// Tells a client that its address has too many connections. What does not fit into the socket's buffer at once is not sent.
fn refuse(socket: Socket) {
    let Socket::Tcp(mut socket) = socket else { return };
    // Bytes that nobody read would make the system answer with a reset.
    let _ = socket.read(&mut [0; 4096]);
    if let Err(error) = socket.write_all(FULL.as_bytes()).and_then(|()| socket.shutdown(Shutdown::Write)) {
        tracing::debug!(%error, "a client could not be told that its address has too many connections");
    }
}

/// A connection on its way to a worker.
pub(super) struct Guest {
    pub(super) socket: Socket,
    pub(super) peer: Peer,
    pub(super) pulse: Arc<Pulse>,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) place: Place,
}

/// Counts a connection as long as it exists.
pub(super) struct Place {
    _admission: Admission,
    _load: Load,
}

/// A thread that serves connections.
struct Worker {
    guests: mpsc::UnboundedSender<Guest>,
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
    fn start(gallery: &Arc<Gallery>) -> io::Result<Self> {
        let (guests, mut arrivals) = mpsc::unbounded_channel::<Guest>();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().thread_keep_alive(BLOCKING_THREAD_IDLE).build()?;
        let gallery = Arc::clone(gallery);
        thread::Builder::new().name("serve".into()).spawn(move || {
            let service = warp::service(routes());
            runtime.block_on(async {
                while let Some(guest) = arrivals.recv().await {
                    tokio::spawn(visit::host(guest, Arc::clone(&gallery), service.clone()));
                }
                // The server is stopping; connections that are left end with the process.
                std::future::pending::<()>().await;
            });
        })?;
        Ok(Self { guests, load: Arc::default() })
    }

    fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    fn take(
        &self,
        socket: Socket,
        peer: Peer,
        pulse: Arc<Pulse>,
        tls: Option<Arc<Tls>>,
        admission: Admission,
    ) {
        self.load.fetch_add(1, Ordering::Relaxed);
        let load = Load(Arc::clone(&self.load));
        // The thread runs as long as the process does.
        let place = Place { _admission: admission, _load: load };
        let _ = self.guests.send(Guest { socket, peer, pulse, tls, place });
    }
}
