//! Says what happened when the process touches a page of the map that the file does not have, or
//! that damage has sent it to, and when damage may have led LMDB astray elsewhere.
//!
//! LMDB reads out of a memory map and trusts what it finds. A file that is cut while it is open
//! ends the process with SIGBUS, and damaged pages may with SIGSEGV. The kernel's word for it says
//! nothing to whoever has to mend it, so one line names the gallery and what to do.
#![allow(unsafe_code)] // A signal handler can't be had otherwise.

use std::ffi::c_void;
use std::fs;
use std::iter;
use std::mem;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, Once, PoisonError};

/// Exit code of a process that such a fault ends.
const EXIT_CODE: i32 = 3;

/// A map that is watched, with words that are made beforehand, because a handler may allocate
/// nothing.
struct Map {
    addresses: Range<usize>,
    path: PathBuf,
    /// What is said of a fault in it.
    words: Vec<u8>,
    /// What is said of the same signals elsewhere, about all galleries that were open until now.
    other_words: Vec<u8>,
    /// The one before, whose file may be closed by now.
    earlier: Option<&'static Self>,
}

/// The map of the file that was opened last. Maps stay for as long as the process does, because a
/// fault may come at any time.
static NEWEST: AtomicPtr<Map> = AtomicPtr::new(ptr::null_mut());

/// Held while a map is added.
static ADDING: Mutex<()> = Mutex::new(());

/// What was done at the signals before: Rust's own look for stack overflows.
static EARLIER: [AtomicPtr<libc::sigaction>; 3] = [const { AtomicPtr::new(ptr::null_mut()) }; 3];

/// LMDB aborts when it finds something that can't be, in builds for debugging.
const SIGNALS: [libc::c_int; 3] = [libc::SIGBUS, libc::SIGSEGV, libc::SIGABRT];

/// Watches the map of the data file at `path`, which must be open.
pub(super) fn watch(path: &Path) {
    let Some(addresses) = find_map(path) else { return };
    let _adding = ADDING.lock().unwrap_or_else(PoisonError::into_inner);
    let earlier = newest();
    // A server tries again and again to open a gallery that was damaged.
    if !earlier.is_some_and(|map| map.addresses == addresses && map.path == path) {
        let map = Box::new(Map::new(addresses, path, earlier));
        NEWEST.store(Box::into_raw(map), Ordering::Release);
    }
    static INSTALL: Once = Once::new();
    INSTALL.call_once(install);
}

/// Returns the newest map that is watched.
fn newest() -> Option<&'static Map> {
    // SAFETY: it is null or comes from a box that is never freed, and a map is never changed.
    unsafe { NEWEST.load(Ordering::Acquire).as_ref() }
}

impl Map {
    fn new(addresses: Range<usize>, path: &Path, earlier: Option<&'static Self>) -> Self {
        let mut paths = vec![path];
        for map in chain(earlier) {
            // A new gallery had another name while it was made, of which a person knows nothing.
            if !paths.contains(&&*map.path) && map.path.exists() {
                paths.push(&map.path);
            }
        }
        let paths: Vec<_> = paths.into_iter().map(|path| path.as_os_str().as_bytes()).collect();
        let words = [
            b"error: ",
            path.as_os_str().as_bytes(),
            b": the gallery is damaged, or its file was cut or overwritten while it was open; this \
              process can't go on. `imagepool verify` says what is damaged, a backup mends it\n",
        ];
        let subject: &[u8] = if paths.len() == 1 { b"the gallery is" } else { b"one of them is" };
        let other_words = [
            b"error: ",
            &paths.join(&b", "[..])[..],
            b": this process came upon what can't be and has to end, perhaps because ",
            subject,
            b" damaged; `imagepool verify` says whether it is\n",
        ];
        let (words, other_words) = (words.concat(), other_words.concat());
        Self { addresses, path: path.to_owned(), words, other_words, earlier }
    }
}

/// Returns a map and those before it. A new one may lie where an old one was.
fn chain(newest: Option<&'static Map>) -> impl Iterator<Item = &'static Map> {
    iter::successors(newest, |map| map.earlier)
}

/// Returns the addresses between which the file is mapped.
fn find_map(path: &Path) -> Option<Range<usize>> {
    let path = path.canonicalize().ok()?;
    // Spaces stand before the path and nothing behind it.
    let ending = [b" ", path.as_os_str().as_bytes()].concat();
    let maps = fs::read("/proc/self/maps").ok()?;
    let line = maps.split(|byte| *byte == b'\n').find(|line| line.ends_with(&ending))?;
    let range = str::from_utf8(line.split(|byte| *byte == b' ').next()?).ok()?;
    let (start, end) = range.split_once('-')?;
    Some(usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
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
    // write, _exit, sigaction, signal and raise.
    unsafe {
        let code = (*info).si_code;
        // A signal that was sent has no address, and what another process sent has no cause here.
        let is_fault = code > 0;
        if is_fault {
            let address = (*info).si_addr() as usize;
            if let Some(map) = chain(newest()).find(|map| map.addresses.contains(&address)) {
                say(&map.words);
                libc::_exit(EXIT_CODE);
            }
        }
        if code != libc::SI_USER
            && let Some(map) = newest()
        {
            say(&map.other_words);
        }
        let index = SIGNALS.iter().position(|known| *known == signal).unwrap_or(0);
        let earlier = EARLIER[index].load(Ordering::Acquire);
        if is_fault && !earlier.is_null() {
            // The instruction runs again, and now what was there before us answers.
            libc::sigaction(signal, earlier, ptr::null_mut());
        } else {
            // Nothing brings it again but this, as soon as the handler has returned.
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
    }
}

fn say(words: &[u8]) {
    // SAFETY: the bytes are there, and write is allowed in a handler.
    unsafe { libc::write(libc::STDERR_FILENO, words.as_ptr().cast(), words.len()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_outside_of_all_maps_is_told_of_each_gallery_that_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let [one, two, gone] = ["one", "two", "gone"].map(|name| dir.path().join(name));
        let mut earlier = None;
        for path in [&one, &two, &gone] {
            fs::write(path, "").unwrap();
            earlier = Some(&*Box::leak(Box::new(Map::new(0..1, path, earlier))));
        }
        fs::remove_file(&gone).unwrap();
        let told = |path, earlier| {
            let map = Map::new(0..1, path, earlier);
            assert!(map.words.starts_with(format!("error: {}: ", path.display()).as_bytes()));
            String::from_utf8(map.other_words).unwrap()
        };
        let both = told(&one, earlier);
        assert!(both.contains(&format!("error: {}, {}: ", one.display(), two.display())), "{both}");
        assert!(both.contains("one of them is damaged"), "{both}");
        assert!(told(&one, None).contains("the gallery is damaged"));
    }
}
