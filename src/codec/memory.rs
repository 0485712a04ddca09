//! What allocators keep.

/// Gives memory that was freed back to the system: the import's budget counts what conversions hold, but what allocators keep of
/// earlier ones was measured to reach 250 MB. Both are asked: mimalloc has our own memory, this thread's and what no thread owns;
/// C libraries have theirs from the system.
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
