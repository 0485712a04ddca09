//! The accept loop, and the drain at the end. The caller gives the listener and says when to stop.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;

use super::connections::Connections;
use super::error::FULL;
use super::gallery::Gallery;
use super::listener::{Listener, Peer, Socket};
use super::pulse::{Hub, Patience, Pulse};
use super::rate::network;
use super::tls::Tls;
use super::worker::{Guest, Workers};

/// What the system takes of an answer before it has sent it, in bytes. More would be memory that slow clients hold, and would
/// be sent for so long that a client which reads 10 KB a second seems to have stopped.
const UNSENT_BYTES: u32 = 512 << 10;
/// Pause after the system refused a connection, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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
    let workers = Workers::start(&gallery)?;
    let mut shutdown = pin!(shutdown);
    loop {
        let (socket, peer) = tokio::select! {
            accepted = accept(&listener, &connections) => accepted,
            () = &mut shutdown => break,
        };
        let pulse = Pulse::new(&hub);
        match connections.admit(peer.address().map(network), &pulse) {
            Ok(admission) => {
                workers.take(Guest { socket, peer, pulse, tls: tls.clone(), admission })
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
    let prepared =
        socket.set_tcp_nodelay(true).and_then(|()| socket.set_tcp_notsent_lowat(UNSENT_BYTES));
    if let Err(error) = prepared {
        tracing::debug!(%error, "a socket can't be set up");
    }
}

/// Tells a client that its address has too many connections. What does not fit into the socket's buffer at once is not sent.
fn refuse(socket: Socket) {
    let Socket::Tcp(mut socket) = socket else { return };
    // Bytes that nobody read would make the system answer with a reset.
    let _ = socket.read(&mut [0; 4096]);
    if let Err(error) =
        socket.write_all(FULL.as_bytes()).and_then(|()| socket.shutdown(Shutdown::Write))
    {
        tracing::debug!(%error, "a client could not be told that its address has too many connections");
    }
}
