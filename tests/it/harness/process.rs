//! Sends signals to processes, and waits for what they do.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::fs::Mode;
use rustix::process::{Pid, Rlimit, kill_process, setrlimit, umask};
pub use rustix::process::{Resource, Signal};

/// Time that anything may take before a test counts as hung; machines under load are slow.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// Pause between two looks at a condition that is waited for.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

pub fn send_signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Waits until the condition holds, and fails the test when [`TIMEOUT`] has passed.
#[track_caller]
pub fn wait_for(what: &str, mut is_true: impl FnMut() -> bool) {
    let end = Instant::now() + TIMEOUT;
    while !is_true() {
        assert!(Instant::now() < end, "not within {TIMEOUT:?}: {what}");
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// Waits for the end of a process, and kills it when [`TIMEOUT`] has passed. Returns its exit code,
/// which is `None` when a signal ended it.
pub fn wait_or_kill(child: &mut Child) -> Option<i32> {
    let end = Instant::now() + TIMEOUT;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            child.kill().unwrap();
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    child.wait().unwrap().code()
}

/// Limits what the system gives to the process that the command will be.
pub fn limit(command: &mut Command, resource: Resource, most: u64) {
    let limit = move || {
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        Ok(setrlimit(resource, limit)?)
    };
    // SAFETY: setrlimit(2) is a plain system call; the closure neither allocates nor locks.
    #[expect(unsafe_code, reason = "Command has no safe way to set a limit")]
    unsafe {
        command.pre_exec(limit);
    }
}

/// Sets which rights are taken from the files that the command's process makes.
pub fn take_rights(command: &mut Command, mask: u32) {
    let set = move || {
        umask(Mode::from_raw_mode(mask));
        Ok(())
    };
    // SAFETY: umask(2) is a plain system call; the closure neither allocates nor locks.
    #[expect(unsafe_code, reason = "Command has no safe way to set a mask")]
    unsafe {
        command.pre_exec(set);
    }
}
