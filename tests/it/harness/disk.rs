//! Mounts a small file system in memory, which a test can fill or make read-only.
//!
//! The thread of the test gets a mount namespace of its own, and so do the processes that it
//! starts. The kernel unmounts everything in it once the last of them has ended, however that was.

use std::ffi::CString;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use rustix::mount::{
    MountFlags, MountPropagationFlags, mount, mount_bind, mount_change, mount_remount,
};
use rustix::process::geteuid;
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::process::wait_for;
use super::random::skip;
use super::workspace::Workspace;

/// The user and the group called nobody and nogroup.
pub const NOBODY: u32 = 65534;

/// A file system of limited size in the folder `disk` of a workspace, which itself lies elsewhere.
pub struct Disk<'a> {
    /// The workspace around it, into which every user can look.
    pub elsewhere: &'a Workspace,
    root: PathBuf,
}

/// Runs a test with a file system of so many MiB.
///
/// Says why, and runs nothing, where nobody lets this process mount.
pub fn with_disk(mebibytes: u32, test: impl FnOnce(&Disk<'_>) + Send) {
    if !geteuid().is_root() {
        return skip("only root can mount a file system");
    }
    let elsewhere = Workspace::file();
    // The namespace must end before the workspace is removed, so it gets a thread of its own.
    let run = || match Disk::mount(&elsewhere, mebibytes) {
        Ok(disk) => test(&disk),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            skip(&format!("this root may not mount a file system: {error}"));
        }
        Err(error) => panic!("no file system can be mounted: {error}"),
    };
    let name = thread::current().name().unwrap_or_default().to_owned();
    let ended = thread::scope(|scope| {
        thread::Builder::new().name(name).spawn_scoped(scope, run).unwrap().join()
    });
    if let Err(panic) = ended {
        resume_unwind(panic);
    }
}

impl<'a> Disk<'a> {
    fn mount(elsewhere: &'a Workspace, mebibytes: u32) -> io::Result<Self> {
        // SAFETY: a mount namespace concerns no memory and no descriptor, only paths.
        #[expect(unsafe_code, reason = "other flags of this call would be unsafe")]
        unsafe {
            unshare_unsafe(UnshareFlags::NEWNS)?;
        }
        // Nothing that is mounted here shows outside.
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        let root = elsewhere.path("disk");
        fs::create_dir(&root)?;
        let options = CString::new(format!("size={mebibytes}m,mode=755"))?;
        mount("imagepool-test", &root, "tmpfs", MountFlags::empty(), Some(options.as_c_str()))?;
        fs::set_permissions(elsewhere.dir.path(), Permissions::from_mode(0o755))?;
        // The program may lie where only root can reach it.
        let program = elsewhere.path("imagepool");
        fs::write(&program, "")?;
        mount_bind(env!("CARGO_BIN_EXE_imagepool"), program)?;
        Ok(Self { elsewhere, root })
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.join(name)
    }

    /// Sets the size, and makes the file system writable if it was not.
    pub fn resize(&self, mebibytes: u32) {
        mount_remount(&self.root, MountFlags::empty(), format!("size={mebibytes}m")).unwrap();
    }

    /// Makes the file system read-only. A process that has just ended may hold a file open for
    /// writing a moment longer.
    #[track_caller]
    pub fn make_read_only(&self) {
        wait_for("the disk is read-only", || {
            mount_remount(&self.root, MountFlags::RDONLY, "").is_ok()
        });
    }

    /// Writes a file that takes every byte that is left.
    pub fn fill(&self) {
        let path = self.path("filling");
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        while file.write(&[0; 4096]).is_ok() {}
        assert_eq!(file.write(&[0]).unwrap_err().kind(), io::ErrorKind::StorageFull);
    }

    /// Removes what [`Self::fill`] wrote.
    pub fn empty(&self) {
        fs::remove_file(self.path("filling")).unwrap();
    }

    /// The binary in the workspace's folder, as [`NOBODY`] or as root.
    pub fn command(&self, as_nobody: bool) -> Command {
        let mut command = self.elsewhere.command_of(self.elsewhere.path("imagepool"));
        if as_nobody {
            // Root's other groups go too: `Command` drops them when root becomes another user.
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}
