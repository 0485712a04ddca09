//! The server: who may read, what they get, and how it goes out.
//!
//! In reading order: `server` accepts connections, `routes` maps paths to handlers, `auth` checks keys, `images`
//! sends pictures, `gallery` is what they share. The request path decodes nothing, lists nothing and hashes no
//! password after a key's first use. This module alone names warp and hyper.

mod access;
mod auth;
mod error;
mod gallery;
mod images;
mod probe;
mod routes;
mod server;

pub use gallery::Gallery;
pub use probe::{ProbeError, probe};
pub use server::{Limits, serve};
