//! How bytes come and go: sockets, TLS and HTTP, with a limit on all that a client holds.
//!
//! In reading order: `listener` accepts sockets and `tls` encrypts them; `limiter` says how many
//! may be open; `workers` gives each to a thread, where a `session` serves it to its end.
//! `activity` is what a connection is doing and until when it may, with `close_signal` for the part
//! that two threads share (over the atomics of `sync`), and `buffered_socket` keeps back what a
//! slow client did not take. `close_signal_model`, `session_tests` and `simulation` test the room,
//! the last two with the answers of `test_responder`.
//!
//! This room knows nothing of galleries, keys or routes: an `Application` answers the requests.

mod activity;
mod buffered_socket;
mod close_signal;
#[cfg(test)]
mod close_signal_model;
mod limiter;
mod listener;
mod session;
#[cfg(test)]
mod session_tests;
#[cfg(test)]
mod simulation;
mod sync;
#[cfg(test)]
mod test_responder;
mod tls;
mod workers;

pub use activity::Timeouts;
pub(crate) use activity::{ConnectionActivity, ServerState};
pub(crate) use limiter::ConnectionLimiter;
pub(crate) use listener::Socket;
pub use listener::{BadEndpoint, Endpoint, Listener};
pub(crate) use session::{Application, Respond, ResponseBody};
pub(crate) use tls::client_for_any_server;
pub use tls::{Tls, TlsError};
pub(crate) use workers::{NewConnection, Workers};
