//! Gives the memory that allocators keep back to the system.

/// Smallest amount of work for which freed memory is given back, in bytes. Less leaves too little
/// behind to be worth the time.
const LARGE_BYTES: u64 = 100_000_000;

/// Gives freed memory back to the system, before or after work that takes `bytes`, if that is much.
///
/// The import's budget counts what conversions hold, but what allocators keep of earlier
/// conversions was measured to reach 250 MB. Both allocators are asked: mimalloc has our own
/// memory, this thread's and what no thread owns; C libraries have theirs from the system's
/// allocator.
#[allow(unsafe_code, reason = "allocators are foreign functions")]
pub fn give_back_freed(bytes: u64) {
    if bytes < LARGE_BYTES {
        return;
    }
    // SAFETY: It may be called at any time, and does nothing in programs with another allocator.
    unsafe { libmimalloc_sys::mi_collect(true) };
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: It may be called at any time, from any thread.
    unsafe {
        libc::malloc_trim(0)
    };
}
