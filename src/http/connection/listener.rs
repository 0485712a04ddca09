//! Listens on a TCP port or a Unix socket, and accepts connections there.
//!
//! Who may connect, and how often, is the limiter's business.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Connections that the system holds until they are accepted; `net.core.somaxconn` may be lower.
///
/// A client that finds no room there tries again after a second.
const BACKLOG: i32 = 4096;

/// Names a place to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A TCP port, `ADDR:PORT`. A host name may stand for the address.
    Tcp(String),
    /// A Unix socket, `unix:PATH`.
    Unix(PathBuf),
}

/// The text names no place to listen.
#[derive(Debug, thiserror::Error)]
#[error("give ADDR:PORT, such as 127.0.0.1:5000, or unix:PATH")]
pub struct BadEndpoint;

impl FromStr for Endpoint {
    type Err = BadEndpoint;

    /// Checks the form only. Whether the host has such an address shows when it is bound.
    fn from_str(text: &str) -> Result<Self, BadEndpoint> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(BadEndpoint) } else { Ok(Self::Unix(path.into())) };
        }
        let port = text
            .rsplit_once(':')
            .filter(|(host, _)| !host.is_empty())
            .map(|(_, port)| port.parse::<u16>());
        if matches!(port, Some(Ok(_))) { Ok(Self::Tcp(text.to_owned())) } else { Err(BadEndpoint) }
    }
}

/// A bound TCP port or Unix socket. Dropping it removes the Unix socket's file.
pub struct Listener(Bound);

enum Bound {
    Tcp(TcpListener),
    Unix { listener: UnixListener, path: PathBuf, inode: u64 },
}

impl Listener {
    /// Starts to listen, replacing a Unix socket that nobody listens on any more.
    ///
    /// # Errors
    /// When the port or the path is taken, or not ours to take.
    pub async fn bind(endpoint: &Endpoint) -> io::Result<Self> {
        match endpoint {
            Endpoint::Tcp(address) => {
                let listener = TcpListener::bind(address).await?;
                SockRef::from(&listener).listen(BACKLOG)?;
                if listener.local_addr()?.ip().is_loopback() {
                    avoid_pacing(&listener);
                }
                Ok(Self(Bound::Tcp(listener)))
            }
            Endpoint::Unix(path) => {
                let path = std::path::absolute(path)?;
                remove_stale(&path)?;
                let listener = UnixListener::bind(&path)?;
                SockRef::from(&listener).listen(BACKLOG)?;
                let inode = fs::symlink_metadata(&path)?.ino();
                Ok(Self(Bound::Unix { listener, path, inode }))
            }
        }
    }

    /// Returns the address and port; `None` for a Unix socket.
    ///
    /// # Errors
    /// When the system can't tell.
    pub fn address(&self) -> io::Result<Option<SocketAddr>> {
        match &self.0 {
            Bound::Tcp(listener) => listener.local_addr().map(Some),
            Bound::Unix { .. } => Ok(None),
        }
    }

    /// Accepts a connection; returns its socket, and the client's address if it has one.
    pub(crate) async fn accept(&self) -> io::Result<(Socket, Option<SocketAddr>)> {
        match &self.0 {
            Bound::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                let address = SocketAddr::new(address.ip().to_canonical(), address.port());
                Ok((Socket::Tcp(stream.into_std()?), Some(address)))
            }
            Bound::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                Ok((Socket::Unix(stream.into_std()?), None))
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Bound::Unix { path, inode, .. } = &self.0
            && fs::symlink_metadata(path).is_ok_and(|now| now.ino() == *inode)
        {
            // A file that can't be removed is replaced by the next server.
            let _ = fs::remove_file(path);
        }
    }
}

/// Switches loopback connections to Reno, because BBR paces even local traffic.
///
/// Pacing keeps no link free between two programs of one machine, but costs a timer for some
/// packets. Every system has Reno, which does not pace.
fn avoid_pacing(listener: &TcpListener) {
    if let Err(error) = SockRef::from(listener).set_tcp_congestion(b"reno") {
        tracing::debug!(%error, "connections keep the system's congestion control");
    }
}

/// Removes a Unix socket that refuses connections.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    let is_stale = || {
        std::os::unix::net::UnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    };
    if is_socket && is_stale() { fs::remove_file(path) } else { Ok(()) }
}

/// A connection that belongs to no event loop yet.
pub(crate) enum Socket {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

/// A connection in the event loop of the thread that made it.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// The core on which the system handled the last packet (`SO_INCOMING_CPU`, socket(7)).
    pub(super) fn core(&self) -> Option<usize> {
        match self {
            Self::Tcp(socket) => SockRef::from(socket).cpu_affinity().ok(),
            Self::Unix(_) => None,
        }
    }

    /// Registers the connection with the event loop of this thread, which must run tokio.
    pub(super) fn into_stream(self) -> io::Result<Stream> {
        match self {
            Self::Tcp(socket) => TcpStream::from_std(socket).map(Stream::Tcp),
            Self::Unix(socket) => UnixStream::from_std(socket).map(Stream::Unix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read() {
        for (text, expected) in [
            ("127.0.0.1:5000", Some(Endpoint::Tcp("127.0.0.1:5000".into()))),
            ("[::1]:0", Some(Endpoint::Tcp("[::1]:0".into()))),
            ("localhost:80", Some(Endpoint::Tcp("localhost:80".into()))),
            ("unix:/run/pool", Some(Endpoint::Unix("/run/pool".into()))),
            ("unix:", None),
            ("127.0.0.1", None),
            (":80", None),
            ("localhost:99999", None),
        ] {
            assert_eq!(text.parse::<Endpoint>().ok(), expected, "{text}");
        }
    }
}
