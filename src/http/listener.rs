//! Where clients come in: a TCP port or a Unix socket.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Connections that the system holds until they are accepted, if its own limit (`net.core.somaxconn`) is not lower. A client that
/// finds no room tries again after a second.
const BACKLOG: i32 = 4096;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `ADDR:PORT`; a name may stand for the address.
    Tcp(String),
    /// `unix:PATH`
    Unix(PathBuf),
}

/// The text names no place to listen.
#[derive(Debug, thiserror::Error)]
#[error("give ADDR:PORT, such as 127.0.0.1:5000, or unix:PATH")]
pub struct BadEndpoint;

impl FromStr for Endpoint {
    type Err = BadEndpoint;

    /// Checks the form; whether the host has such an address shows when it is bound.
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

/// Listens; a Unix socket is removed when this is dropped.
pub struct Listener(Bound);

enum Bound {
    Tcp(TcpListener),
    Unix { listener: UnixListener, path: PathBuf, inode: u64 },
}

impl Listener {
    /// Listens from now on. A Unix socket that nobody listens on any more is replaced.
    ///
    /// # Errors
    /// When the port or the path is taken, or not ours to take.
    pub async fn bind(endpoint: &Endpoint) -> io::Result<Self> {
        match endpoint {
            Endpoint::Tcp(address) => {
                let listener = TcpListener::bind(address).await?;
                SockRef::from(&listener).listen(BACKLOG)?;
                if listener.local_addr()?.ip().is_loopback() {
                    hurry(&listener);
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

    /// The address and port; `None` for a Unix socket.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> io::Result<Option<SocketAddr>> {
        match &self.0 {
            Bound::Tcp(listener) => listener.local_addr().map(Some),
            Bound::Unix { .. } => Ok(None),
        }
    }

    pub(super) async fn accept(&self) -> io::Result<(Socket, Peer)> {
        match &self.0 {
            Bound::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok((Socket::Tcp(stream.into_std()?), Peer(Some(address))))
            }
            Bound::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                Ok((Socket::Unix(stream.into_std()?), Peer(None)))
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Bound::Unix { path, inode, .. } = &self.0
            && fs::symlink_metadata(path).is_ok_and(|now| now.ino() == *inode)
        {
            // A socket that stays is replaced by the next server.
            let _ = fs::remove_file(path);
        }
    }
}

/// Has connections be sent to as fast as they take it. Some systems pace all of TCP (BBR), which between two programs on one
/// machine keeps no link free, but costs a timer for some packets. Reno does not pace, and every system has it.
fn hurry(listener: &TcpListener) {
    if let Err(error) = SockRef::from(listener).set_tcp_congestion(b"reno") {
        tracing::debug!(%error, "connections keep the system's congestion control");
    }
}

fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    let is_stale = || {
        std::os::unix::net::UnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    };
    if is_socket && is_stale() { fs::remove_file(path) } else { Ok(()) }
}

/// A connection, of no event loop yet.
pub(super) enum Socket {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

/// A connection, of the event loop of the thread that made it.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Must be called within a tokio runtime.
    pub(super) fn into_stream(self) -> io::Result<Stream> {
        match self {
            Self::Tcp(socket) => TcpStream::from_std(socket).map(Stream::Tcp),
            Self::Unix(socket) => UnixStream::from_std(socket).map(Stream::Unix),
        }
    }
}

/// The other end of a connection: its address, or nothing for a Unix socket's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) Option<SocketAddr>);

impl Peer {
    pub(super) fn address(self) -> Option<IpAddr> {
        self.0.map(|address| address.ip().to_canonical())
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
