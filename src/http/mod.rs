//! The server: who may read, what they get, and how it goes out.
//!
//! In reading order: `server` accepts connections, `routes` maps paths to handlers, `auth` checks keys, `query` reads
//! parameters, `random` and `listing` choose images, `images` sends them, `gallery` is what they share; `policy` says whom to
//! serve, `rate` how often, `cors` what other sites' pages may read. The request path decodes nothing, lists nothing and hashes no
//! password after a key's first use. This module alone names warp and hyper.

mod access;
mod auth;
mod body;
mod connections;
mod cors;
mod error;
mod gallery;
mod images;
mod listener;
mod listing;
mod metrics;
mod page;
mod policy;
mod probe;
mod pulse;
mod query;
mod random;
mod rate;
mod residency;
mod routes;
mod server;
mod tls;
mod visit;
mod wire;
mod worker;

pub use gallery::Gallery;
pub use listener::{BadEndpoint, Endpoint, Listener};
pub use metrics::Metrics;
pub use policy::{BadHost, BadOrigin, BadRate, Host, Origin, Policy, Rate};
pub use probe::{ProbeError, probe};
pub use pulse::Patience;
pub use server::{Limits, serve};
pub use tls::{Tls, TlsError};
