//! Where the system refuses threads, a command works or ends with a plain error, and never hangs.
//!
//! `prlimit --nproc=6 imagepool serve` once panicked about a runtime that was dropped within
//! another.

use std::fs::{self, File};
use std::ops::RangeInclusive;
use std::os::unix::fs::{chown, lchown};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, geteuid, kill_process};

use crate::harness::{Finished, Resource, Signal, TIMEOUT, Workspace, limit, skip, wait_or_kill};

/// Limits that are tried: from one that allows no thread to one that allows a small server.
const LIMITS: RangeInclusive<u64> = 1..=12;

/// Number of users that this process has made up.
static USERS: AtomicU32 = AtomicU32::new(0);

/// Commands that do little.
const COMMANDS: &[&[&str]] = &[
    &["list"],
    &["import", "--jobs", "1", "pictures"],
    &["verify"],
    &["key", "rotate"],
    &["health", "http://localhost:1"],
    #[cfg(feature = "sled")]
    &["--gallery", "sled:gallery.sled", "import", "--jobs", "1", "pictures"],
    #[cfg(feature = "sled")]
    &["--gallery", "sled:gallery.sled", "key", "rotate"],
];

#[test]
fn a_command_that_gets_no_thread_says_so() {
    let Some(user) = User::new() else { return };
    let mut wrong = Vec::new();
    for limit in LIMITS {
        for &arguments in COMMANDS {
            let Finished { code, stdout, stderr } = user.run(limit, arguments);
            let is_plain = match code {
                Some(0) => true,
                Some(1) => stderr.contains("error: ") || stderr.contains("failed: "),
                _ => false,
            };
            let is_done = code == Some(0) || stdout.is_empty();
            let must_fail = limit == 1 || arguments[0] == "health";
            if !is_plain || !is_done || stderr.contains("panicked") || must_fail && code == Some(0)
            {
                wrong.push(format!("{arguments:?} within {limit}: {code:?} {stdout}{stderr}"));
            }
            // sled takes as many threads as it gets.
            let must_work =
                limit == *LIMITS.end() && !matches!(arguments[0], "health" | "--gallery");
            if must_work && code != Some(0) {
                wrong.push(format!("{arguments:?} within {limit} does not work: {stderr}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_server_that_gets_no_thread_says_so() {
    let Some(user) = User::new() else { return };
    let mut wrong = Vec::new();
    for limit in LIMITS {
        let (code, served, log) = user.serve(limit);
        let is_plain = if served { code == Some(0) } else { code == Some(1) };
        if !is_plain || !served && !log.contains("error: ") || log.contains("panicked") {
            wrong.push(format!("within {limit}: {code:?}, served: {served}, {log}"));
        }
        if limit == 1 && served {
            wrong.push("the limit does not hold".to_owned());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A user of our own, whose threads are counted, and a gallery of that user.
struct User {
    id: u32,
    space: Workspace,
}

impl User {
    /// Returns `None`, and says why, where no such user can be had.
    fn new() -> Option<Self> {
        let no_user = |reason: &str| {
            skip(reason);
            None
        };
        if !geteuid().is_root() {
            return no_user("only root can start a program as another user");
        }
        let space = Workspace::with_photos(2);
        space.import();
        // Other runs of the tests on this machine must not count as this user's. Threads of this
        // process run tests at the same time, so each user has a number of its own.
        let number = USERS.fetch_add(1, Ordering::Relaxed);
        let id = 600_000 + 4 * (std::process::id() % 100_000) + number;
        let user = Self { id, space };
        // The program may lie where only root can reach it.
        let program = env!("CARGO_BIN_EXE_imagepool");
        let copy = user.space.path("imagepool");
        fs::hard_link(program, &copy).or_else(|_| fs::copy(program, &copy).map(drop)).unwrap();
        user.own_everything();
        match user.command(100, &["--version"]).stdout(Stdio::null()).status() {
            Err(error) => return no_user(&format!("no program starts as another user: {error}")),
            Ok(status) => assert!(status.success(), "{status}"),
        }
        if user.run(1, &["list"]).code == Some(0) {
            return no_user("the system does not count a user's threads");
        }
        Some(user)
    }

    fn own_everything(&self) {
        for entry in walkdir::WalkDir::new(self.space.dir.path()) {
            let entry = entry.unwrap();
            if entry.file_name() != "imagepool" {
                lchown(entry.path(), Some(self.id), Some(self.id)).unwrap();
            }
        }
        chown(self.space.dir.path(), Some(self.id), Some(self.id)).unwrap();
    }

    /// The program as this user, with at most so many threads.
    fn command(&self, threads: u64, arguments: &[&str]) -> Command {
        let mut command = self.space.command_of(self.space.path("imagepool"));
        command.args(arguments).uid(self.id).gid(self.id);
        limit(&mut command, Resource::Nproc, threads);
        command
    }

    fn run(&self, threads: u64, arguments: &[&str]) -> Finished {
        Finished::of(self.command(threads, arguments))
    }

    /// Starts a server and stops it when it is ready: exit code, whether it was ready, and its log.
    fn serve(&self, threads: u64) -> (Option<i32>, bool, String) {
        let mut command = self.command(threads, &["serve", "--listen", "127.0.0.1:0"]);
        let file = File::create(self.space.path("stderr")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let mut server = command.spawn().unwrap();
        let log = || fs::read_to_string(self.space.path("stderr")).unwrap();
        let end = Instant::now() + TIMEOUT;
        let mut is_ready = false;
        while !is_ready && Instant::now() < end && server.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(20));
            let log = log();
            let address =
                log.split_once("listening on ").and_then(|(_, rest)| rest.split_once(' '));
            is_ready = address
                .is_some_and(|(address, _)| ureq::get(format!("{address}/readyz")).call().is_ok());
        }
        if is_ready {
            let pid = Pid::from_child(&server);
            kill_process(pid, Signal::TERM).unwrap();
        }
        (wait_or_kill(&mut server), is_ready, log())
    }
}
