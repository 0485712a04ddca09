//! What the system grants to this process. A service's limits are its own: run this as it runs.

use indicatif::BinaryBytes;
use rustix::process::{Resource, getrlimit};

use super::finding::Finding;
use super::subject::Subject;

/// Room that a gallery should have to grow, in bytes.
const GROWTH_BYTES: u64 = 1 << 30;
/// Address space that is needed beside the map, in bytes.
const ADDRESSES_BESIDE_BYTES: u64 = 4 << 30;
/// Open files that the server needs for its default number of connections, and some for itself.
const OPEN_FILES: u64 = 4096 + 64;

pub(super) fn file_length(subject: &Subject) -> Finding {
    let needed = subject.bytes + GROWTH_BYTES;
    match getrlimit(Resource::Fsize).current {
        None => Finding::ok("files may have any length"),
        Some(limit) if limit >= needed => {
            Finding::ok(format!("files may have {}", BinaryBytes(limit)))
        }
        Some(limit) if limit > subject.bytes => Finding::warning(format!(
            "files may have {}, and the gallery comes near; raise `ulimit -f` (LimitFSIZE=)",
            BinaryBytes(limit)
        )),
        Some(limit) => Finding::problem(format!(
            "files may have {} only, and the gallery needs more; raise `ulimit -f` (LimitFSIZE=)",
            BinaryBytes(limit)
        )),
    }
}

pub(super) fn address_space(subject: &Subject) -> Finding {
    let needed = subject.bytes.saturating_mul(2) + ADDRESSES_BESIDE_BYTES;
    match getrlimit(Resource::As).current {
        None => Finding::ok("address space is unlimited"),
        Some(limit) if limit >= needed => {
            Finding::ok(format!("address space of {}", BinaryBytes(limit)))
        }
        Some(limit) => Finding::problem(format!(
            "address space of {} only, and the gallery's map needs up to {}; raise `ulimit -v` \
             (LimitAS=)",
            BinaryBytes(limit),
            BinaryBytes(needed)
        )),
    }
}

pub(super) fn open_files() -> Finding {
    // The server raises the limit as far as it may.
    match getrlimit(Resource::Nofile).maximum {
        Some(limit) if limit < OPEN_FILES => Finding::warning(format!(
            "{limit} open files, so a server has fewer connections than by default; raise \
             `ulimit -Hn` (LimitNOFILE=)"
        )),
        Some(limit) => Finding::ok(format!("up to {limit} open files")),
        None => Finding::ok("open files are unlimited"),
    }
}
