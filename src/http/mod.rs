//! The server: who may read, what they get, and how it goes out.
//!
//! In reading order, lowest first; each uses only what stands above it:
//!
//! - `error` maps errors to responses, `query` reads parameters, `metrics` counts, `panics` keeps
//!   a panic from ending more than a request, and `blocking` runs what may take long elsewhere.
//! - `access/` is who may: policy, keys, rates, other sites' pages.
//! - `connection/` is how bytes come and go: sockets, TLS, threads, timeouts, slow clients.
//! - `page_cache_hints` guesses what is in memory, and `gallery` is what all requests share.
//! - `request` is what a handler sees, `admission` lets it in, and `handlers/` answer it.
//! - `routes` maps paths to handlers, `access_log` writes a line a request, and `responder` does
//!   all of that for each request of a connection.
//! - `server` accepts connections and drains them at the end. `probe` is a client of it.
//!
//! The request path decodes nothing, lists nothing and hashes no password after a key's first use.
//! This module alone names warp and hyper.

mod access;
mod access_log;
mod admission;
mod blocking;
mod connection;
mod error;
mod gallery;
mod handlers;
mod metrics;
mod page_cache_hints;
mod panics;
mod probe;
mod query;
mod request;
mod responder;
mod routes;
mod server;

pub use access::{BadHost, BadOrigin, BadRate, Host, Policy, Rate, WebOrigin};
pub use connection::{BadEndpoint, Endpoint, Listener, Timeouts, Tls, TlsError};
pub use gallery::ServedGallery;
pub use metrics::Metrics;
pub use probe::{ProbeError, probe};
pub use server::{ConnectionLimits, serve};
