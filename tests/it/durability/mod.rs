//! Tests what is left of a gallery when system calls fail, or when the power does.
//!
//! In reading order:
//! - `tracer`: runs the binary under ptrace and stops at each of its system calls;
//! - `file_call`: what a system call does to a file, and to which;
//! - `subjects`: the commands that are tested, and what each of them must leave behind;
//! - `faults`: each system call on the gallery fails once;
//! - `server`: each write of a server's import fails once;
//! - `recording`: the changes that a command makes to files, in their order;
//! - `power_loss`: rebuilds what a disk can hold after a power cut, and opens it.
//!
//! A few of all cases run by default; `IMAGEPOOL_TEST_FAULTS=all` runs every one, which takes long.
#![cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]

mod faults;
mod file_call;
mod power_loss;
mod recording;
mod server;
mod subjects;
mod tracer;

/// Whether every case is to run, not only some drawn by the seed.
fn all_cases() -> bool {
    std::env::var("IMAGEPOOL_TEST_FAULTS").is_ok_and(|value| value == "all")
}
