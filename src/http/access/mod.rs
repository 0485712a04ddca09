//! Who may read what: keys, signed links, pages of other sites, and how often.
//!
//! In reading order: `policy` is what the command line says; `client` tells who sent a request;
//! `credentials` finds the key in it and `authenticator` checks keys and signed links;
//! `rate_limiter` counts requests; `cors` answers browsers. What a request needs is decided in
//! `../admission.rs`.

mod authenticator;
mod client;
pub(crate) mod cors;
mod credentials;
mod policy;
mod rate_limiter;

pub(crate) use authenticator::Authenticator;
pub(crate) use client::Client;
pub(crate) use credentials::{Credentials, find_credentials};
pub(crate) use policy::referring_host;
pub use policy::{BadHost, BadOrigin, BadRate, Host, Policy, Rate, WebOrigin};
pub(crate) use rate_limiter::{RateLimiters, network};
