//! Says what happened when the process touches a page of the map that the file does not have, or
//! that damage has sent it to, and when damage may have led LMDB astray elsewhere.
//!
//! LMDB reads out of a memory map and trusts what it finds. A file that is cut while it is open
//! ends the process with SIGBUS, and damaged pages may with SIGSEGV. The kernel's word for it says
//! nothing to whoever has to mend it, so one line names the gallery and what to do.
#![allow(unsafe_code)] // A signal handler can't be had otherwise.

use std::ffi::c_void;
use std::fs;
use std::mem;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// Exit code of a process that such a fault ends.
const EXIT_CODE: i32 = 3;

/// The map that is watched: its first byte and the one behind its last.
static START: AtomicUsize = AtomicUsize::new(0);
static END: AtomicUsize = AtomicUsize::new(0);

/// What is said of a fault in the map, made beforehand because a handler may allocate nothing.
static WORDS: AtomicPtr<Vec<u8>> = AtomicPtr::new(ptr::null_mut());

/// What is said of the same signals elsewhere, before they end the process.
static OTHER_WORDS: AtomicPtr<Vec<u8>> = AtomicPtr::new(ptr::null_mut());

/// What was done at the signals before: Rust's own look for stack overflows.
static EARLIER: [AtomicPtr<libc::sigaction>; 3] = [const { AtomicPtr::new(ptr::null_mut()) }; 3];

/// LMDB aborts when it finds something that can't be, in builds for debugging.
const SIGNALS: [libc::c_int; 3] = [libc::SIGBUS, libc::SIGSEGV, libc::SIGABRT];

/// Watches the map of the data file at `path`, which must be open.
pub(super) fn watch(path: &Path) {
    let Some((start, end)) = find_map(path) else { return };
    let about = |text: &[u8]| {
        let words = [b"error: ", path.as_os_str().as_bytes(), text].concat();
        Box::into_raw(Box::new(words))
    };
    let words = about(
        b": the gallery is damaged, or its file was cut or overwritten while it was open; \
          this process can't go on. `imagepool verify` says what is damaged, a backup mends it\n",
    );
    let other_words = about(
        b": this process came upon what can't be and has to end, perhaps because the gallery is \
          damaged; `imagepool verify` says whether it is\n",
    );
    // They stay for as long as the process does: a fault may come at any time.
    WORDS.store(words, Ordering::Release);
    OTHER_WORDS.store(other_words, Ordering::Release);
    START.store(start, Ordering::Release);
    END.store(end, Ordering::Release);
    static INSTALL: Once = Once::new();
    INSTALL.call_once(install);
}

/// Returns the addresses between which the file is mapped.
fn find_map(path: &Path) -> Option<(usize, usize)> {
    let path = path.canonicalize().ok()?;
    // Spaces stand before the path and nothing behind it.
    let ending = [b" ", path.as_os_str().as_bytes()].concat();
    let maps = fs::read("/proc/self/maps").ok()?;
    let line = maps.split(|byte| *byte == b'\n').find(|line| line.ends_with(&ending))?;
    let range = str::from_utf8(line.split(|byte| *byte == b' ').next()?).ok()?;
    let (start, end) = range.split_once('-')?;
    Some((usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?))
}

fn install() {
    for (signal, earlier) in SIGNALS.into_iter().zip(&EARLIER) {
        // SAFETY: the structures are plain data that these calls fill in and read; the handler
        // calls nothing that a handler must not.
        unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            let mut before: libc::sigaction = mem::zeroed();
            let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut c_void) = handle;
            action.sa_sigaction = handler as libc::sighandler_t;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            if libc::sigaction(signal, &raw const action, &raw mut before) == 0 {
                earlier.store(Box::into_raw(Box::new(before)), Ordering::Release);
            }
        }
    }
}

extern "C" fn handle(signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
    // SAFETY: the kernel passes a valid `info`. Only calls that are allowed in a handler follow:
    // write, _exit and sigaction.
    unsafe {
        let address = (*info).si_addr() as usize;
        let range = START.load(Ordering::Acquire)..END.load(Ordering::Acquire);
        // No address comes with an abort.
        if signal != libc::SIGABRT
            && range.contains(&address)
            && let Some(words) = WORDS.load(Ordering::Acquire).as_ref()
        {
            libc::write(libc::STDERR_FILENO, words.as_ptr().cast(), words.len());
            libc::_exit(EXIT_CODE);
        }
        // The instruction runs again, and now what was there before us answers.
        if let Some(words) = OTHER_WORDS.load(Ordering::Acquire).as_ref() {
            libc::write(libc::STDERR_FILENO, words.as_ptr().cast(), words.len());
        }
        let index = SIGNALS.iter().position(|known| *known == signal).unwrap_or(0);
        let earlier = EARLIER[index].load(Ordering::Acquire);
        if earlier.is_null() {
            libc::signal(signal, libc::SIG_DFL);
        } else {
            libc::sigaction(signal, earlier, ptr::null_mut());
        }
    }
}
