//! Runs the binary under ptrace, with all its threads and children, and stops at its system calls.
//!
//! The thread of the test is the tracer. It waits for its own tracees alone, so that the children
//! of other tests stay theirs.
#![allow(unsafe_code, reason = "the standard library has no ptrace")]

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;

use rustix::process::{Pid, Signal, kill_process};

use super::file_call::FileCall;
use crate::harness::{Finished, TIMEOUT};

/// What happens to a system call that is about to begin.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Run,
    /// The call fails with this error number, and changes nothing.
    Fail(i32),
}

/// Follows the system calls that touch files below a folder.
pub trait Watcher {
    fn begins(&mut self, call: &FileCall) -> Verdict;

    /// Called when a call has ended, with its result; a negative one is an error number.
    fn ended(&mut self, _thread: i32, _call: &FileCall, _result: i64) {}
}

/// A call between its begin and its end, and the error number that it fails with.
type Pending = Option<(FileCall, Option<i32>)>;

/// Runs a command to its end. Returns `None` where this process may not trace.
#[track_caller]
pub fn trace(mut command: Command, root: &Path, watcher: &mut impl Watcher) -> Option<Finished> {
    let (stdout, stderr) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    command.stdin(Stdio::null());
    command.stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap());
    let trace_me = || request(libc::PTRACE_TRACEME, 0, 0, 0).map(|_| ());
    // SAFETY: the closure makes one system call and touches no memory.
    unsafe {
        command.pre_exec(trace_me);
    }
    let child = match command.spawn() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return None,
        child => child.unwrap(),
    };
    let pid = Pid::from_child(&child);
    let (done, watched) = mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        if watched.recv_timeout(TIMEOUT / 3) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = kill_process(pid, Signal::KILL);
        }
    });
    let code = follow(pid.as_raw_nonzero().get(), root, watcher);
    drop(done);
    watchdog.join().unwrap();
    Some(Finished { code, stdout: read_back(stdout), stderr: read_back(stderr) })
}

/// Follows all tracees until the last has ended. Returns the exit code of the first.
fn follow(main: i32, root: &Path, watcher: &mut impl Watcher) -> Option<i32> {
    let mut pending: HashMap<i32, Pending> = HashMap::new();
    let mut code = None;
    loop {
        let mut status = 0;
        // SAFETY: the status is written to a variable of the right type.
        let thread =
            unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL | libc::__WNOTHREAD) };
        if thread < 0 {
            match io::Error::last_os_error().kind() {
                io::ErrorKind::Interrupted => continue,
                _ => return code,
            }
        }
        if !libc::WIFSTOPPED(status) {
            pending.remove(&thread);
            if thread == main && libc::WIFEXITED(status) {
                code = Some(libc::WEXITSTATUS(status));
            }
            continue;
        }
        let is_new = !pending.contains_key(&thread);
        let slot = pending.entry(thread).or_default();
        let deliver = match libc::WSTOPSIG(status) {
            signal if signal == libc::SIGTRAP | 0x80 => {
                stop(thread, root, slot, watcher);
                0
            }
            libc::SIGTRAP => 0,
            // A new thread or child begins with this signal.
            libc::SIGSTOP if is_new => 0,
            signal => signal,
        };
        if thread == main && is_new {
            let options = libc::PTRACE_O_TRACESYSGOOD
                | libc::PTRACE_O_TRACECLONE
                | libc::PTRACE_O_TRACEFORK
                | libc::PTRACE_O_TRACEVFORK
                | libc::PTRACE_O_TRACEEXEC
                | libc::PTRACE_O_EXITKILL;
            request(libc::PTRACE_SETOPTIONS, thread, 0, options as usize).unwrap();
        }
        // A thread that was killed meanwhile can't go on.
        let _ = request(libc::PTRACE_SYSCALL, thread, 0, deliver as usize);
    }
}

/// Looks at a thread that stands before or behind a system call.
fn stop(thread: i32, root: &Path, slot: &mut Pending, watcher: &mut impl Watcher) {
    /// `PTRACE_SYSCALL_INFO_ENTRY` and `_EXIT`, the first byte of what the request returns.
    const ENTRY: u8 = 1;
    const EXIT: u8 = 2;
    // The kernel's `ptrace_syscall_info`: operation, two addresses, then number and arguments, or
    // the result.
    let mut info = [0_u64; 12];
    let length = size_of_val(&info);
    let address = info.as_mut_ptr() as usize;
    if request(libc::PTRACE_GET_SYSCALL_INFO, thread, length, address).is_err() {
        return;
    }
    match info[0].to_le_bytes()[0] {
        ENTRY => {
            *slot = None;
            let arguments = std::array::from_fn(|index| info[4 + index]);
            let number = i64::from_ne_bytes(info[3].to_ne_bytes());
            let Some(call) = FileCall::read(thread, number, &arguments) else { return };
            if !call.paths().any(|path| path.starts_with(root)) {
                return;
            }
            let error = match watcher.begins(&call) {
                Verdict::Run => None,
                Verdict::Fail(error) => {
                    // Linux closes a descriptor even when it reports an error.
                    if !call.is_close() {
                        skip_call(thread);
                    }
                    Some(error)
                }
            };
            *slot = Some((call, error));
        }
        EXIT => {
            if let Some((call, error)) = slot.take() {
                if let Some(error) = error {
                    set_result(thread, i64::from(-error));
                }
                let result = i64::from_ne_bytes(info[3].to_ne_bytes());
                watcher.ended(thread, &call, error.map_or(result, |error| i64::from(-error)));
            }
        }
        _ => {}
    }
}

/// Replaces the number of the call that begins by one that no call has.
#[cfg(target_arch = "x86_64")]
fn skip_call(thread: i32) {
    change_registers(thread, |registers| registers.orig_rax = u64::MAX);
}

#[cfg(target_arch = "aarch64")]
fn skip_call(thread: i32) {
    const NT_ARM_SYSTEM_CALL: usize = 0x404;
    let mut number = -1_i32;
    let slice = libc::iovec { iov_base: (&raw mut number).cast(), iov_len: size_of::<i32>() };
    let address = &raw const slice as usize;
    let _ = request(libc::PTRACE_SETREGSET, thread, NT_ARM_SYSTEM_CALL, address);
}

fn set_result(thread: i32, result: i64) {
    let result = u64::from_ne_bytes(result.to_ne_bytes());
    #[cfg(target_arch = "x86_64")]
    change_registers(thread, |registers| registers.rax = result);
    #[cfg(target_arch = "aarch64")]
    change_registers(thread, |registers| registers.regs[0] = result);
}

fn change_registers(thread: i32, change: impl FnOnce(&mut libc::user_regs_struct)) {
    const NT_PRSTATUS: usize = 1;
    // SAFETY: the structure is one of integers, for which zero is a value.
    let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    let length = size_of_val(&registers);
    let slice = libc::iovec { iov_base: (&raw mut registers).cast(), iov_len: length };
    let address = &raw const slice as usize;
    // A thread that was killed meanwhile has no registers.
    if request(libc::PTRACE_GETREGSET, thread, NT_PRSTATUS, address).is_ok() {
        change(&mut registers);
        let _ = request(libc::PTRACE_SETREGSET, thread, NT_PRSTATUS, address);
    }
}

fn request(request: libc::c_uint, thread: i32, address: usize, data: usize) -> io::Result<i64> {
    // SAFETY: each caller passes what its request takes, in memory that lives until this returns.
    let result = unsafe { libc::ptrace(request, thread, address, data) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn read_back(mut file: File) -> String {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}
