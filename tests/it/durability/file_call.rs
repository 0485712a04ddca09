//! Reads out of a stopped thread what its system call does to a file, and to which.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Component, Path, PathBuf};

/// A system call that touches a file.
#[derive(Clone, Debug)]
pub struct FileCall {
    pub path: PathBuf,
    pub action: Action,
}

#[derive(Clone, Debug)]
pub enum Action {
    Open {
        flags: i32,
        existed: bool,
    },
    Read,
    Write {
        offset: u64,
        parts: Vec<(u64, u64)>,
        is_synced: bool,
    },
    /// Writes what another file has, from this offset on.
    Copy {
        offset: u64,
        from: PathBuf,
        from_offset: u64,
    },
    SetLength(u64),
    /// Makes the file this long, if it is shorter.
    Allocate(u64),
    Sync,
    /// Starts or awaits the writing of pages. It makes no length durable, nor a disk's own cache.
    SyncRange,
    Rename {
        to: PathBuf,
    },
    Link {
        to: PathBuf,
    },
    Remove,
    MakeFolder,
    Close,
    SetMode,
    Lock,
}

impl FileCall {
    /// Returns `None` for a call that touches no file.
    pub fn read(thread: i32, number: i64, arguments: &[u64; 6]) -> Option<Self> {
        let [first, second, third, fourth, ..] = *arguments;
        let by_descriptor = |action| Some(Self { path: descriptor(thread, first)?, action });
        let by_path = |folder, address, action| {
            Some(Self { path: path_at(thread, folder, address)?, action })
        };
        match number {
            libc::SYS_openat => Some(open(path_at(thread, first, second)?, third as i32)),
            libc::SYS_openat2 => {
                let flags = memory(thread, third, 4).try_into().ok().map(i32::from_ne_bytes)?;
                Some(open(path_at(thread, first, second)?, flags))
            }
            libc::SYS_read | libc::SYS_readv | libc::SYS_pread64 | libc::SYS_preadv => {
                by_descriptor(Action::Read)
            }
            libc::SYS_write => write(thread, first, vec![(second, third)], None),
            libc::SYS_pwrite64 => write(thread, first, vec![(second, third)], Some(fourth)),
            libc::SYS_writev => write(thread, first, parts(thread, second, third), None),
            libc::SYS_pwritev => write(thread, first, parts(thread, second, third), Some(fourth)),
            libc::SYS_copy_file_range => copy(thread, first, third),
            libc::SYS_ftruncate => by_descriptor(Action::SetLength(second)),
            libc::SYS_fallocate => by_descriptor(Action::Allocate(third + fourth)),
            libc::SYS_fsync | libc::SYS_fdatasync => by_descriptor(Action::Sync),
            libc::SYS_sync_file_range => by_descriptor(Action::SyncRange),
            libc::SYS_renameat | libc::SYS_renameat2 => {
                by_path(first, second, Action::Rename { to: path_at(thread, third, fourth)? })
            }
            libc::SYS_linkat => {
                by_path(first, second, Action::Link { to: path_at(thread, third, fourth)? })
            }
            libc::SYS_unlinkat => by_path(first, second, Action::Remove),
            libc::SYS_mkdirat => by_path(first, second, Action::MakeFolder),
            libc::SYS_close => by_descriptor(Action::Close),
            libc::SYS_fchmod => by_descriptor(Action::SetMode),
            libc::SYS_flock => by_descriptor(Action::Lock),
            #[cfg(target_arch = "x86_64")]
            _ => old_call(thread, number, arguments),
            #[cfg(not(target_arch = "x86_64"))]
            _ => None,
        }
    }

    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let second = match &self.action {
            Action::Rename { to } | Action::Link { to } => Some(to.as_path()),
            _ => None,
        };
        std::iter::once(self.path.as_path()).chain(second)
    }

    pub fn is_close(&self) -> bool {
        matches!(self.action, Action::Close)
    }
}

/// Calls that newer architectures do without.
#[cfg(target_arch = "x86_64")]
fn old_call(thread: i32, number: i64, arguments: &[u64; 6]) -> Option<FileCall> {
    let here = libc::AT_FDCWD as u64;
    let [first, second, ..] = *arguments;
    let by_path = |action| Some(FileCall { path: path_at(thread, here, first)?, action });
    match number {
        libc::SYS_open => Some(open(path_at(thread, here, first)?, second as i32)),
        libc::SYS_rename => by_path(Action::Rename { to: path_at(thread, here, second)? }),
        libc::SYS_link => by_path(Action::Link { to: path_at(thread, here, second)? }),
        libc::SYS_unlink | libc::SYS_rmdir => by_path(Action::Remove),
        libc::SYS_mkdir => by_path(Action::MakeFolder),
        _ => None,
    }
}

fn open(path: PathBuf, flags: i32) -> FileCall {
    let existed = path.exists();
    FileCall { path, action: Action::Open { flags, existed } }
}

fn write(
    thread: i32,
    number: u64,
    parts: Vec<(u64, u64)>,
    offset: Option<u64>,
) -> Option<FileCall> {
    let path = descriptor(thread, number)?;
    let (flags, position) = state(thread, number)?;
    let offset = match offset {
        Some(offset) => offset,
        None if flags & libc::O_APPEND != 0 => fs::metadata(&path).ok()?.len(),
        None => position,
    };
    let is_synced = flags & libc::O_DSYNC != 0;
    Some(FileCall { path, action: Action::Write { offset, parts, is_synced } })
}

/// A copy between two files at their present offsets, as the standard library makes it.
fn copy(thread: i32, source: u64, target: u64) -> Option<FileCall> {
    let (_, from_offset) = state(thread, source)?;
    let (_, offset) = state(thread, target)?;
    let from = descriptor(thread, source)?;
    let path = descriptor(thread, target)?;
    Some(FileCall { path, action: Action::Copy { offset, from, from_offset } })
}

/// The flags of an open file, and the offset where the next read or write begins.
fn state(thread: i32, number: u64) -> Option<(i32, u64)> {
    let about = fs::read_to_string(format!("/proc/{thread}/fdinfo/{number}")).ok()?;
    let field = |name| Some(about.lines().find_map(|line| line.strip_prefix(name))?.trim());
    let flags = i32::from_str_radix(field("flags:")?, 8).ok()?;
    Some((flags, field("pos:")?.parse().ok()?))
}

/// Address and length of each part of a vectored write.
fn parts(thread: i32, address: u64, count: u64) -> Vec<(u64, u64)> {
    let vectors = memory(thread, address, count * 16);
    let word = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().unwrap());
    vectors.chunks_exact(16).map(|vector| (word(&vector[..8]), word(&vector[8..]))).collect()
}

/// The first bytes of a write's parts, as many as were written.
pub fn written(thread: i32, parts: &[(u64, u64)], count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (address, length) in parts {
        bytes.extend(memory(thread, *address, *length));
    }
    bytes.truncate(count);
    bytes
}

fn descriptor(thread: i32, number: u64) -> Option<PathBuf> {
    let path = fs::read_link(format!("/proc/{thread}/fd/{}", number as i32)).ok()?;
    path.is_absolute().then_some(path)
}

fn path_at(thread: i32, folder: u64, address: u64) -> Option<PathBuf> {
    let bytes = memory(thread, address, 4096);
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let path = Path::new(OsStr::from_bytes(&bytes[..end]));
    let base = if folder as i32 == libc::AT_FDCWD {
        fs::read_link(format!("/proc/{thread}/cwd")).ok()?
    } else if path.is_absolute() {
        PathBuf::new()
    } else {
        descriptor(thread, folder)?
    };
    let mut normal = PathBuf::new();
    for component in base.join(path).components() {
        match component {
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    Some(normal)
}

/// Memory of a stopped thread; less than asked for, where a page is missing.
fn memory(thread: i32, address: u64, length: u64) -> Vec<u8> {
    let mut bytes = vec![0; length as usize];
    let mut read = 0;
    if let Ok(file) = File::open(format!("/proc/{thread}/mem")) {
        while let Ok(more @ 1..) = file.read_at(&mut bytes[read..], address + read as u64) {
            read += more;
        }
    }
    bytes.truncate(read);
    bytes
}
