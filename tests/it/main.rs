//! Tests through the front door: each starts the real binary, on a gallery of its own.
//!
//! Tests that need one process only run on every engine, by [`harness::on_each_engine`]; those with a server and a
//! command at once run on the file engine, which is the one that admits both.
#![allow(unreachable_pub, reason = "nobody reaches into a test crate")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "pictures are made of small numbers"
)]
#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by a panic, and prints why it was skipped"
)]

mod api;
mod architecture;
mod commands;
mod connections;
mod crash;
mod galleries;
mod harness;
mod http;
mod images;
mod import;
mod keys;
mod kinds;
mod links;
mod originals;
mod output;
mod pictures;
mod policy;
mod report;
mod thread_limits;
mod watch;
