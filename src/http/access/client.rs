//! Who sent a request: the other end of the connection, or the client a proxy speaks for.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use warp::http::HeaderMap;

/// Address that all clients of a Unix socket share.
const NO_ADDRESS: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// The sender of a request.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) address: IpAddr,
    /// Name in the log: address and port, the address alone behind a proxy, or `unix`.
    pub(crate) name: String,
}

impl Client {
    /// The other end of a connection, with its address if it has one.
    pub(crate) fn connected(peer: Option<SocketAddr>) -> Self {
        match peer {
            Some(peer) => {
                let address = peer.ip().to_canonical();
                Self { address, name: SocketAddr::new(address, peer.port()).to_string() }
            }
            None => Self { address: NO_ADDRESS, name: "unix".into() },
        }
    }

    /// The client that the request is from: this one, or the one that a trusted proxy names.
    pub(crate) fn of_request(&self, headers: &HeaderMap, trust_forwarded: bool) -> Cow<'_, Self> {
        let forwarded = if trust_forwarded { forwarded_for(headers) } else { None };
        match forwarded {
            Some(address) => Cow::Owned(Self { address, name: address.to_string() }),
            None => Cow::Borrowed(self),
        }
    }
}

/// Reads the last address in `X-Forwarded-For`, which the nearest proxy wrote.
///
/// Those before it are what clients say.
fn forwarded_for(headers: &HeaderMap) -> Option<IpAddr> {
    let list = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
    let last = list.rsplit(',').next()?.trim();
    let address =
        last.parse().ok().or_else(|| last.parse().map(|with_port: SocketAddr| with_port.ip()).ok());
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_believed_only_when_told_to_and_only_its_own_entry() {
        let connected = Client::connected(Some("[::ffff:10.0.0.1]:99".parse().unwrap()));
        for (value, expected) in [
            ("203.0.113.5", "203.0.113.5"),
            ("1.1.1.1, 203.0.113.5", "203.0.113.5"),
            ("203.0.113.5:4711", "203.0.113.5"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("::ffff:203.0.113.5", "203.0.113.5"),
            ("nonsense", "10.0.0.1:99"),
            ("203.0.113.5,", "10.0.0.1:99"),
        ] {
            let mut headers = HeaderMap::new();
            for value in ["9.9.9.9", value] {
                headers.append("x-forwarded-for", value.parse().unwrap());
            }
            assert_eq!(connected.of_request(&headers, true).name, expected, "{value}");
            assert_eq!(connected.of_request(&headers, false).name, "10.0.0.1:99");
        }
    }
}
