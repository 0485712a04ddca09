//! The disk: which file system it has, how much is free, and whether it writes when it is told to.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use indicatif::DecimalBytes;

use super::finding::Finding;
use super::subject::Subject;
use crate::cli::temporary;
use crate::store::Locator;

/// Free space below which a disk is called full, in bytes.
const NEARLY_FULL_BYTES: u64 = 256 << 20;
/// Number of syncs that are timed.
const SYNCS: usize = 9;
/// Time below which no disk that we know writes anything down.
const TOO_FAST: Duration = Duration::from_micros(40);

/// What a kind of file system means for a gallery.
#[derive(Clone, Copy)]
enum Kind {
    Local,
    /// In memory.
    Passing,
    /// A container's own files.
    Layer,
    /// Another machine's, or another program's.
    Foreign,
    Network,
    /// Without rights, owners, and large files.
    Simple,
}

/// Numbers of file systems (statfs(2)), with their names.
const FILE_SYSTEMS: &[(i64, &str, Kind)] = &[
    (0xEF53, "ext4", Kind::Local),
    (0x5846_5342, "XFS", Kind::Local),
    (0x9123_683E, "Btrfs", Kind::Local),
    (0x2FC1_2FC1, "ZFS", Kind::Local),
    (0xF2F5_2010, "F2FS", Kind::Local),
    (0xCA45_1A4E, "bcachefs", Kind::Local),
    (0x0102_1994, "tmpfs", Kind::Passing),
    (0x8584_58F6, "ramfs", Kind::Passing),
    (0x794C_7630, "overlayfs", Kind::Layer),
    (0x6573_5546, "FUSE", Kind::Foreign),
    (0x0102_1997, "9p", Kind::Foreign),
    (0x786F_4256, "vboxsf", Kind::Foreign),
    (0x6969, "NFS", Kind::Network),
    (0x517B, "SMB", Kind::Network),
    (0xFF53_4D42, "CIFS", Kind::Network),
    (0xFE53_4D42, "SMB 2", Kind::Network),
    (0x00C3_6400, "Ceph", Kind::Network),
    (0x0BD0_0BD0, "Lustre", Kind::Network),
    (0x0116_1970, "GFS2", Kind::Network),
    (0x7461_636F, "OCFS2", Kind::Network),
    (0x5346_414F, "AFS", Kind::Network),
    (0x4D44, "FAT", Kind::Simple),
    (0x2011_BAB0, "exFAT", Kind::Simple),
    (0x7366_746E, "NTFS", Kind::Simple),
];

/// Returns the name and the kind of the file system that a folder lies on.
fn file_system_of(subject: &Subject) -> io::Result<(String, Kind)> {
    let number = rustix::fs::statfs(&subject.folder)?.f_type;
    // The number is one of 32 bits, whatever the type is.
    let number = number & 0xFFFF_FFFF;
    let known = FILE_SYSTEMS.iter().find(|(known, ..)| *known == number);
    Ok(known.map_or_else(
        || (format!("the file system of number {number:#x}"), Kind::Local),
        |(_, name, kind)| ((*name).to_owned(), *kind),
    ))
}

pub(super) fn file_system(subject: &Subject) -> Option<Finding> {
    let (name, kind) = match file_system_of(subject) {
        Ok(found) => found,
        Err(_) if !subject.folder.exists() => return None,
        Err(error) => {
            return Some(Finding::warning(format!(
                "the file system does not tell its kind: {error}"
            )));
        }
    };
    Some(match kind {
        Kind::Local => Finding::ok(name),
        Kind::Passing => Finding::warning(format!(
            "{name} is memory: all is lost when the machine is switched off; put the gallery on a \
             disk"
        )),
        Kind::Layer => Finding::warning(format!(
            "{name} is most often a container's own layer, which goes with the container; put the \
             gallery into a volume"
        )),
        Kind::Foreign => Finding::warning(format!(
            "{name} is served by another program or machine, and its locks and memory maps may \
             not be those of a disk; use it from one machine alone, and make backups"
        )),
        Kind::Network => Finding::problem(format!(
            "{name} is a network file system: what one machine has mapped, it does not see change, \
             and two would overwrite each other's images; put the gallery on a local disk, and \
             backups there"
        )),
        Kind::Simple => Finding::warning(format!(
            "{name} knows no owners and rights, so every user may read the keys' hashes, and FAT \
             no file above 4 GiB; use ext4, XFS or Btrfs"
        )),
    })
}

pub(super) fn space(subject: &Subject) -> Option<Finding> {
    let disk = rustix::fs::statvfs(&subject.folder).ok().filter(|disk| disk.f_blocks > 0)?;
    let free = disk.f_bavail * disk.f_frsize;
    let (words, needed) = (DecimalBytes(free), DecimalBytes(subject.bytes));
    Some(if free < NEARLY_FULL_BYTES {
        Finding::problem(format!("{words} are free, which an import fills; free some space"))
    } else if free < subject.bytes {
        let needs = match subject.locator {
            Locator::File(_) => "`compact`, `restore` and a backup on this disk need",
            Locator::Sled(_) => "a backup on this disk needs",
        };
        Finding::warning(format!("{words} are free; {needs} up to {needed}"))
    } else {
        Finding::ok(format!("{words} are free"))
    })
}

pub(super) fn leftovers(subject: &Subject) -> Option<Finding> {
    let count = temporary::count_leftovers(&subject.folder);
    (count > 0).then(|| {
        Finding::warning(format!(
            "commands that were killed left {count} temporary files or folders \
             (.imagepool-*.partial) in {}; the next backup, restore or compaction there removes \
             them",
            subject.folder.display()
        ))
    })
}

pub(super) fn sync(subject: &Subject) -> Option<Finding> {
    // What is in memory is never written, and folders that can't be written are told of elsewhere.
    if !matches!(file_system_of(subject), Ok((_, kind)) if !matches!(kind, Kind::Passing)) {
        return None;
    }
    let file = temporary::file_in(&subject.folder, 0o600).ok()?;
    Some(match median_sync(file.as_file()) {
        Err(error) => Finding::problem(format!("a file can't be synced: {error}")),
        Ok(time) if time < TOO_FAST => Finding::warning(format!(
            "a sync took {time:.0?}, and no disk that we know writes so fast; perhaps it says that \
             it has written before it has. A power cut may then cost what was reported as stored"
        )),
        Ok(time) => Finding::ok(format!("a sync takes {time:.1?}")),
    })
}

/// Returns the median time of some syncs of a file, each after a few bytes.
fn median_sync(file: &File) -> io::Result<Duration> {
    let mut times = [Duration::ZERO; SYNCS];
    for time in &mut times {
        file.write_all_at(&[0; 512], 0)?;
        let begin = Instant::now();
        file.sync_all()?;
        *time = begin.elapsed();
    }
    times.sort_unstable();
    Ok(times[SYNCS / 2])
}
