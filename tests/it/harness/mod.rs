//! Gives tests a gallery in a temporary folder, commands on it, and a server over it.
//!
//! In reading order:
//! - `workspace`: the temporary folder, its gallery, and the binary run in it;
//! - `finished`: how a command ended, and what it printed;
//! - `server`: a running server, requests to it, and its responses;
//! - `disk`: a small file system that can be filled or made read-only;
//! - `tls`: a self-signed certificate, and HTTPS requests by HTTP/1.1 and HTTP/2;
//! - `process`: signals, and waiting with a timeout;
//! - `table`: checks of many rows that report every wrong one;
//! - `random`: the seed of random tests, settings from the environment, and tests not run.
//!
//! Tests call no other program than the binary, so that a bare machine can run them.

mod disk;
mod finished;
mod process;
mod random;
mod server;
mod table;
mod tls;
mod workspace;

pub use disk::{Disk, NOBODY, with_disk};
pub use finished::Finished;
pub use process::{
    Resource, Signal, TIMEOUT, limit, send_signal, take_rights, wait_and_weigh, wait_for,
    wait_or_kill,
};
pub use random::{env_or, rng_of_seed, seeded_rng, skip};
pub use server::{Response, Server, get_request};
pub use table::Failures;
pub use tls::Certificate;
pub(crate) use workspace::on_each_engine;
pub use workspace::{Engine, Workspace};
