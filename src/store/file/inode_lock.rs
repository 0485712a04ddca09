//! Binds a gallery's data file to one lock file, whatever names the two have.
//!
//! LMDB finds its lock file by the data file's path, so two names of one data file, or a lock file
//! that was deleted, would give two processes two locks, and each would overwrite the other's
//! commits. So each process that opens a gallery marks which pair of files it uses: on each of the
//! two it holds a shared lock on one byte, far behind the end, whose offset stands for the other
//! file. A mark at another offset is a process with another pair, and then this one must not work.
//!
//! The locks are those of open file descriptions (`F_OFD_SETLK`, fcntl(2)). They belong to the
//! inode, end with the process however that was, and are not lost when another descriptor of the
//! file is closed, unlike those that LMDB itself takes.
#![allow(unsafe_code)] // rustix has no locks of open file descriptions.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;

/// Offset of the first mark, in bytes. LMDB's own locks in its lock file are below: their offsets
/// are process numbers.
pub(in crate::store) const FIRST_MARK: i64 = 1 << 62;
/// Number of offsets that a mark may have.
const MARKS: i64 = 1 << 61;
/// Offset of the byte that is locked while a pair is chosen, in bytes.
const GATE: i64 = FIRST_MARK - 1;

/// Tells files apart, whatever their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    /// The offset that stands for this file.
    fn mark(self) -> i64 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.device.to_le_bytes()).update(&self.inode.to_le_bytes());
        let mut number = [0; 8];
        hasher.finalize_xof().fill(&mut number);
        // Shifted, the number is below `MARKS`.
        FIRST_MARK + i64::from_le_bytes(number).cast_unsigned().wrapping_shr(3).cast_signed()
    }
}

/// Waits until no other process is choosing a pair for this data file. Closing the descriptor ends
/// the lock.
pub(super) fn close_gate(data: &File) -> io::Result<()> {
    set(data, libc::F_OFD_SETLKW, libc::F_WRLCK, GATE)
}

/// Ends what [`close_gate`] began.
pub(super) fn open_gate(data: &File) -> io::Result<()> {
    set(data, libc::F_OFD_SETLK, libc::F_UNLCK, GATE)
}

/// Marks `file` as used together with `other`, for as long as `file` is open. Returns `false`, and
/// marks nothing, if another process uses it together with a third one.
pub(super) fn mark(file: &File, other: FileIdentity) -> io::Result<bool> {
    let mark = other.mark();
    set(file, libc::F_OFD_SETLK, libc::F_RDLCK, mark)?;
    // The own mark is set before others are looked for, so of two processes at least one sees the
    // other.
    if is_locked(file, FIRST_MARK, mark - FIRST_MARK)?
        || is_locked(file, mark + 1, FIRST_MARK + MARKS - mark)?
    {
        unmark(file, other)?;
        return Ok(false);
    }
    Ok(true)
}

/// Ends what [`mark`] did.
pub(super) fn unmark(file: &File, other: FileIdentity) -> io::Result<()> {
    set(file, libc::F_OFD_SETLK, libc::F_UNLCK, other.mark())
}

/// Whether locks work where this file lies: `one` and `other` are two descriptions of it, which
/// nobody else has open.
pub(in crate::store) fn locks_work(one: &File, other: &File) -> io::Result<bool> {
    let [first, second] = [1, 2].map(|inode| FileIdentity { device: 0, inode });
    Ok(mark(one, first)? && !mark(other, second)?)
}

/// Locks or unlocks the byte at `start`.
fn set(file: &File, command: libc::c_int, kind: libc::c_int, start: i64) -> io::Result<()> {
    control(file, command, &mut range(kind, start, 1))
}

/// Whether another open file description holds a lock on a byte of this range.
fn is_locked(file: &File, start: i64, length: i64) -> io::Result<bool> {
    // A length of 0 would mean "up to the end".
    if length == 0 {
        return Ok(false);
    }
    let mut found = range(libc::F_WRLCK, start, length);
    control(file, libc::F_OFD_GETLK, &mut found)?;
    Ok(i32::from(found.l_type) != libc::F_UNLCK)
}

#[expect(clippy::cast_possible_truncation, reason = "the kinds of locks are 0, 1 and 2")]
fn range(kind: libc::c_int, start: i64, length: i64) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: length,
        // The system asks for 0 here.
        l_pid: 0,
    }
}

fn control(file: &File, command: libc::c_int, range: &mut libc::flock) -> io::Result<()> {
    loop {
        // SAFETY: the descriptor is open, and `range` is what these commands read and write.
        let result = unsafe { libc::fcntl(file.as_raw_fd(), command, std::ptr::from_mut(range)) };
        if result == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_used_together_with_one_other_file_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let open = || File::options().create(true).append(true).read(true).open(&path).unwrap();
        let other = |inode| FileIdentity { device: 1, inode };

        let first = open();
        assert!(mark(&first, other(1)).unwrap());
        let second = open();
        assert!(mark(&second, other(1)).unwrap(), "the same pair");
        let third = open();
        assert!(!mark(&third, other(2)).unwrap(), "another pair");
        drop(open());
        drop((first, second));
        assert!(mark(&third, other(2)).unwrap(), "once the others are gone");
    }

    #[test]
    fn marks_lie_in_their_range() {
        for inode in 0..10_000 {
            let mark = FileIdentity { device: 7, inode }.mark();
            assert!((FIRST_MARK..FIRST_MARK + MARKS).contains(&mark));
        }
    }
}
