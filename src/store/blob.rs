//! A WebP held open: its bytes where they lie, for as long as this is alive.
#![allow(unsafe_code)] // The bytes lie in the transaction beside them, and the kernel is asked about their pages.

use std::ops::Range;

use heed::{RoTxn, WithoutTls};

/// An image's or a rendition's bytes, not copied. In the file engine it holds a read transaction, under which no page that it
/// shows is written again: keep it for one write to a socket, not longer.
pub struct Blob(Held);

enum Held {
    Mapped {
        bytes: *const [u8],
        /// Keeps the bytes from being written again; ends when this is dropped.
        _transaction: RoTxn<'static, WithoutTls>,
    },
    #[cfg(feature = "sled")]
    Sled(sled::IVec),
}

// SAFETY: the bytes are read only, and nobody writes to them while the transaction is open, which may end on any thread.
unsafe impl Send for Blob {}
// SAFETY: as above; the transaction itself can't be reached through it.
unsafe impl Sync for Blob {}

impl Blob {
    /// The value that `find` finds under a transaction of its own.
    pub(super) fn map<E>(
        transaction: RoTxn<'static, WithoutTls>,
        find: impl for<'t> FnOnce(&'t RoTxn<'static, WithoutTls>) -> Result<Option<&'t [u8]>, E>,
    ) -> Result<Option<Self>, E> {
        let Some(bytes) = find(&transaction)?.map(std::ptr::from_ref) else { return Ok(None) };
        Ok(Some(Self(Held::Mapped { bytes, _transaction: transaction })))
    }

    #[cfg(feature = "sled")]
    pub(super) fn shared(bytes: sled::IVec) -> Self {
        Self(Held::Sled(bytes))
    }

    /// Whether reading this part would not wait for the disk. The kernel tells it only of files that this process could write
    /// to; of others it says that all is there.
    #[must_use]
    pub fn is_resident(&self, part: Range<usize>) -> bool {
        match &self.0 {
            Held::Mapped { .. } => pages_are_resident(&self.as_ref()[part]),
            #[cfg(feature = "sled")]
            Held::Sled(_) => true,
        }
    }

    /// Waits until this part has been read from the disk.
    pub fn load(&self, part: Range<usize>) {
        for byte in self.as_ref()[part].iter().step_by(rustix::param::page_size()) {
            std::hint::black_box(*byte);
        }
    }
}

impl AsRef<[u8]> for Blob {
    fn as_ref(&self) -> &[u8] {
        match &self.0 {
            // SAFETY: `map` found the bytes under this very transaction, which is still open.
            Held::Mapped { bytes, .. } => unsafe { &**bytes },
            #[cfg(feature = "sled")]
            Held::Sled(bytes) => bytes,
        }
    }
}

/// Pages asked about at once: 1 MiB of the smallest.
const PAGES_AT_ONCE: usize = 256;

fn pages_are_resident(bytes: &[u8]) -> bool {
    let page_bytes = rustix::param::page_size();
    let mut start = bytes.as_ptr() as usize & !(page_bytes - 1);
    let end = bytes.as_ptr() as usize + bytes.len();
    let mut pages = [0_u8; PAGES_AT_ONCE];
    while start < end {
        let length = (end - start).min(PAGES_AT_ONCE * page_bytes);
        // SAFETY: it writes a byte for each page of a part that is at most as long as `pages` has room for.
        let asked =
            unsafe { libc::mincore(start as *mut libc::c_void, length, pages.as_mut_ptr()) };
        // A kernel that does not answer is not asked again: reading is right whatever it says.
        if asked != 0 {
            return true;
        }
        if pages[..length.div_ceil(page_bytes)].iter().any(|page| page & 1 == 0) {
            return false;
        }
        start += length;
    }
    true
}
