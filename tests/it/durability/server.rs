//! Lets each write of a server's import fail once. The server must go on with what was stored
//! before, and take what other processes store after.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::all_cases;
use super::file_call::{Action, FileCall};
use super::tracer::{Verdict, Watcher, trace};
use crate::harness::{Failures, Finished, Workspace, skip, wait_for};
use crate::pictures::{photo, save};

/// Of so many writes, one fails in the short run.
const SHORT_STEP: usize = 3;

/// Lets one write to the gallery fail, or one call that makes it durable.
struct WriteFaults<'t> {
    gallery: PathBuf,
    target: Option<(usize, i32)>,
    writes: usize,
    has_failed: &'t AtomicBool,
    /// A thread of the server.
    thread: &'t AtomicI32,
}

impl Watcher for WriteFaults<'_> {
    fn begins(&mut self, call: &FileCall) -> Verdict {
        let is_write = matches!(call.action, Action::Write { .. } | Action::Sync);
        if !is_write || call.path != self.gallery {
            return Verdict::Run;
        }
        self.writes += 1;
        match self.target {
            Some((index, error)) if index + 1 == self.writes => {
                self.has_failed.store(true, Ordering::Relaxed);
                Verdict::Fail(error)
            }
            _ => Verdict::Run,
        }
    }

    fn ended(&mut self, thread: i32, _call: &FileCall, _result: i64) {
        self.thread.store(thread, Ordering::Relaxed);
    }
}

#[test]
fn a_server_outlives_a_write_that_fails() {
    let Some(writes) = serve(None) else {
        return skip("this process may not trace another");
    };
    assert!(writes > 3, "{writes} writes were seen");
    let mut failures = Failures::new();
    let step = if all_cases() { 1 } else { SHORT_STEP };
    for index in (0..writes).rev().step_by(step) {
        for error in [libc::EIO, libc::ENOSPC] {
            failures.check(format!("write {index} of {writes}, error {error}"), || {
                serve(Some((index, error)));
            });
        }
    }
}

/// Serves while an import runs of which one write may fail. Returns `None` where this process may
/// not trace, and else the number of writes.
fn serve(target: Option<(usize, i32)>) -> Option<usize> {
    let space = Workspace::with_photos(3);
    space.import();
    // Otherwise the server makes one, and ends when that fails.
    space.rotate(&[]);
    for seed in 10..13 {
        save(photo(70, 50, seed), &space.picture(format!("{seed}.png")));
    }
    let root = space.dir.path().canonicalize().unwrap();
    let (has_failed, thread) = (AtomicBool::new(target.is_none()), AtomicI32::new(0));
    let mut faults = WriteFaults {
        gallery: root.join("gallery.pool"),
        target,
        writes: 0,
        has_failed: &has_failed,
        thread: &thread,
    };
    let mut command = space.command();
    let socket = root.join("socket");
    command.args(["serve", "--public", "--import", "pictures", "--listen"]);
    command.arg(format!("unix:{}", socket.display()));
    let is_over = AtomicBool::new(false);
    let ended = std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            let asked = std::panic::catch_unwind(|| ask(&space, &socket, &has_failed, &is_over));
            stop(&thread, &is_over);
            asked
        });
        let ended = trace(command, &root, &mut faults);
        is_over.store(true, Ordering::Relaxed);
        let asked = asked.join().unwrap();
        if let (Some(ended), Err(panic)) = (&ended, asked) {
            println!("{}", ended.stderr);
            std::panic::resume_unwind(panic);
        }
        ended
    });
    let Finished { code, stderr, .. } = ended?;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(!stderr.contains("was replaced"), "{stderr}");
    space.assert_verified();
    Some(faults.writes)
}

/// Asks the server while its import fails, and after another import has done the rest.
fn ask(space: &Workspace, socket: &Path, has_failed: &AtomicBool, is_over: &AtomicBool) {
    let get = |path: &str| answer(socket, path).unwrap_or_default();
    let wait = |what: &str, is_true: &dyn Fn() -> bool| {
        wait_for(what, || is_over.load(Ordering::Relaxed) || is_true());
        assert!(!is_over.load(Ordering::Relaxed), "the server has ended: {what}");
    };
    let is_ready = || get("/readyz").starts_with("HTTP/1.1 200");
    wait("the write fails", &|| has_failed.load(Ordering::Relaxed));
    wait("the server is ready", &is_ready);
    let shown = || get("/images").matches("\"id\"").count();
    wait("what was there is shown", &|| shown() >= 3);
    // The server must not fall back: it looks after its file twice a second.
    for _ in 0..6 {
        let random = get("/random");
        assert!(random.starts_with("HTTP/1.1 200"), "{random:.200}");
        std::thread::sleep(Duration::from_millis(200));
    }
    space.import();
    wait("what another process stored is shown", &|| shown() == 6);
    wait("the server is ready again", &is_ready);
}

/// Ends the server, if it runs.
fn stop(thread: &AtomicI32, is_over: &AtomicBool) {
    if is_over.load(Ordering::Relaxed) {
        return;
    }
    // A signal to a thread's number goes to its process.
    if let Some(pid) = Pid::from_raw(thread.load(Ordering::Relaxed)) {
        let _ = kill_process(pid, Signal::TERM);
    }
}

/// Sends a request and returns the whole answer, or `None` while nobody listens.
fn answer(socket: &Path, path: &str) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}
