//! Gives the memory that allocators keep back to the system.

/// Gives freed memory back to the system.
///
/// Both allocators are asked: mimalloc has our own memory, this thread's and what no thread owns; C
/// libraries have theirs from the system's allocator.
#[allow(unsafe_code, reason = "allocators are foreign functions")]
pub fn give_back_freed() {
    // SAFETY: It may be called at any time, and does nothing in programs with another allocator.
    unsafe { libmimalloc_sys::mi_collect(true) };
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: It may be called at any time, from any thread.
    unsafe {
        libc::malloc_trim(0)
    };
}
