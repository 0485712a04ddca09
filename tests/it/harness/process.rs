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

/// Waits for the end of a process as [`wait_or_kill`] does. Returns its exit code, and the most
/// memory that it was seen to hold (`VmHWM`), in bytes. What it takes in its last millisecond is
/// missed.
pub fn wait_and_weigh(child: &mut Child) -> (Option<i32>, u64) {
    let status = format!("/proc/{}/status", child.id());
    let end = Instant::now() + TIMEOUT;
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() && Instant::now() < end {
        let lines = std::fs::read_to_string(&status).unwrap_or_default();
        let held = lines.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"));
        let held = held.map_or(0, |kibibytes| kibibytes.trim().parse::<u64>().unwrap() << 10);
        peak = peak.max(held);
        std::thread::sleep(Duration::from_millis(1));
    }
    (wait_or_kill(child), peak)
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
