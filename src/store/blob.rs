//! A WebP held open: its bytes where the engine has them, for as long as the [`Blob`] lives.
#![allow(unsafe_code)] // It borrows from a transaction beside it, and asks the kernel about pages.

use std::ops::Range;

use heed::{RoTxn, WithoutTls};

/// The bytes of an image or a rendition, not copied.
///
/// In the file engine it holds a read transaction, and until that ends no page that it shows is
/// written again: keep it for one write to a socket, not longer.
pub struct Blob(Held);

enum Held {
    Mapped {
        bytes: *const [u8],
        /// The transaction that keeps the bytes from being written again.
        _transaction: RoTxn<'static, WithoutTls>,
    },
    #[cfg(feature = "sled")]
    Sled(sled::IVec),
}

// SAFETY: the bytes are only read, and nobody writes to them while the transaction is open. It may
// end on any thread.
unsafe impl Send for Blob {}
// SAFETY: as above; the transaction itself can't be reached through it.
unsafe impl Sync for Blob {}

impl Blob {
    /// Holds the value that `find` finds under the transaction; `None` if it finds none.
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

    /// Whether this part can be read without waiting for the disk.
    ///
    /// The kernel tells this only of files that this process could write to. Of others it says that
    /// all pages are in memory.
    #[must_use]
    pub fn is_resident(&self, part: Range<usize>) -> bool {
        match &self.0 {
            Held::Mapped { .. } => pages_are_resident(&self.as_ref()[part]),
            #[cfg(feature = "sled")]
            Held::Sled(_) => true,
        }
    }

    /// Reads this part from the disk, and waits until it is in memory.
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

/// Number of pages asked about at once: 1 MiB of the smallest.
const PAGES_AT_ONCE: usize = 256;

/// Asks the kernel whether all pages of these bytes are in memory.
fn pages_are_resident(bytes: &[u8]) -> bool {
    let page_bytes = rustix::param::page_size();
    let mut start = bytes.as_ptr() as usize & !(page_bytes - 1);
    let end = bytes.as_ptr() as usize + bytes.len();
    let mut pages = [0_u8; PAGES_AT_ONCE];
    while start < end {
        let length = (end - start).min(PAGES_AT_ONCE * page_bytes);
        // SAFETY: it writes one byte for each page, and `pages` has room for as many as are asked
        // about.
        let failed =
            unsafe { libc::mincore(start as *mut libc::c_void, length, pages.as_mut_ptr()) };
        // A kernel that does not answer is not asked again: to read is right whatever it says.
        if failed != 0 {
            return true;
        }
        if pages[..length.div_ceil(page_bytes)].iter().any(|page| page & 1 == 0) {
            return false;
        }
        start += length;
    }
    true
}
