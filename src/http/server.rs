//! The accept loop, and the drain at the end. The caller gives the listener and says when to stop.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::time::Instant;

use super::access::network;
use super::connection::{
    ConnectionActivity, ConnectionLimiter, Listener, NewConnection, ServerState, Socket, Timeouts,
    Tls, Workers,
};
use super::error::FULL;
use super::gallery::ServedGallery;
use super::responder::application;

/// Bytes of a response that the system takes before it has sent them.
///
/// More would be memory that slow clients hold. It would also be sent for so long that a client
/// which reads 10 KB a second seems to have stopped.
const UNSENT_BYTES: u32 = 512 << 10;
/// Pause after the system refused a connection, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Bytes of a request that are read before its connection is refused.
const REFUSED_BYTES: usize = 4096;

/// How many connections a server keeps, and how long they may take.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Connections at once. A further one takes the place of an idle one, or waits in the backlog.
    pub max_connections: usize,
    /// Connections of one client address, or IPv6 network. Further ones get 503 if none is idle.
    pub max_connections_per_address: usize,
    pub timeouts: Timeouts,
    /// From the order to stop until responses under way are cut.
    pub shutdown_timeout: Duration,
}

/// Serves until `shutdown` is ready, then lets responses under way finish.
///
/// Returns how many connections were cut.
///
/// # Errors
/// When no thread can be started. Failing accepts are logged and tried again.
pub async fn serve(
    listener: Listener,
    tls: Option<Arc<Tls>>,
    gallery: Arc<ServedGallery>,
    limits: ConnectionLimits,
    shutdown: impl Future<Output = ()>,
) -> io::Result<usize> {
    let state = ServerState::new(limits.timeouts, Instant::now());
    let limiter =
        ConnectionLimiter::new(limits.max_connections, limits.max_connections_per_address);
    let workers = Workers::start(&application(gallery))?;
    let mut shutdown = pin!(shutdown);
    loop {
        let (socket, peer) = tokio::select! {
            accepted = accept(&listener, &limiter) => accepted,
            () = &mut shutdown => break,
        };
        let activity = ConnectionActivity::new(&state, Instant::now());
        match limiter.admit(peer.map(|peer| network(peer.ip())), &activity) {
            Ok(permit) => {
                let tls = tls.clone();
                workers.assign(NewConnection { socket, peer, activity, tls, permit });
            }
            Err(_) if tls.is_none() => refuse(socket),
            Err(_) => {}
        }
    }
    drop(listener);
    limiter.close_gracefully();
    tracing::info!(connections = limiter.count(), "stopping: answers under way may finish");
    tokio::select! {
        () = limiter.wait_until_empty() => Ok(0),
        () = tokio::time::sleep(limits.shutdown_timeout) => Ok(limiter.count()),
    }
}

/// Accepts a connection, and returns it once there is room for it.
async fn accept(listener: &Listener, limiter: &ConnectionLimiter) -> (Socket, Option<SocketAddr>) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                // Not before: nobody is evicted until somebody needs the room.
                limiter.wait_for_room().await;
                if let Socket::Tcp(socket) = &socket {
                    configure(socket);
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

fn configure(socket: &std::net::TcpStream) {
    let socket = SockRef::from(socket);
    let configured =
        socket.set_tcp_nodelay(true).and_then(|()| socket.set_tcp_notsent_lowat(UNSENT_BYTES));
    if let Err(error) = configured {
        tracing::debug!(%error, "a socket can't be set up");
    }
}

/// Tells a client that its address has too many connections, as far as the socket takes it at once.
fn refuse(socket: Socket) {
    let Socket::Tcp(mut socket) = socket else { return };
    // Bytes that nobody read would make the system answer with a reset.
    let _ = socket.read(&mut [0; REFUSED_BYTES]);
    let told = socket.write_all(FULL.as_bytes()).and_then(|()| socket.shutdown(Shutdown::Write));
    if let Err(error) = told {
        tracing::debug!(%error, "a client could not be told that its address is full");
    }
}
