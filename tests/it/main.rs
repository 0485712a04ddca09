//! Goes through the front door: each test starts the real binary, on a gallery of its own.
//!
//! Tests that need one process at a time run on every engine, by [`harness::on_each_engine`]. The
//! others run on the file engine, which admits a server and a command at once.
//!
//! `harness` is the test library and `pictures` makes pictures. `api` tests the HTTP interface
//! resource by resource, and every other file one concern across commands and server.
#![allow(unreachable_pub, reason = "nobody reaches into a test crate")]
#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by a panic, and cargo shows what it printed then"
)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "pictures are made of small numbers"
)]

mod api;
mod architecture;
mod beside;
mod commands;
mod compact;
mod connections;
mod containers;
mod copies;
mod copy;
mod crash;
mod damage;
mod disks;
mod doctor;
mod durability;
mod endpoints;
mod every_kind_of_picture;
mod file_rights;
mod folders;
mod foresight;
mod format;
mod galleries;
mod harness;
mod hostile_metadata;
mod import;
mod jpegs;
mod keys;
mod kinds;
mod links;
mod logs;
mod metadata;
mod originals;
mod other_kinds;
mod output;
mod pictures;
mod policy;
mod process_limits;
mod report;
mod restore;
mod same_file;
mod serve;
mod thread_limits;
mod watch;
