//! Keeps a temporary folder with a gallery, and runs the binary in it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::finished::Finished;
use super::process::wait_for;
use super::server::Server;
use crate::pictures;

/// What the buffers of both ends of a connection hold on loopback with Linux' default sizes, in
/// bytes.
const SOCKET_BUFFERS: u64 = 9_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    File,
    #[cfg(feature = "sled")]
    Sled,
}

/// Makes one test for each engine of every function named, which takes a [`Workspace`].
macro_rules! on_each_engine {
    ($($test:ident),* $(,)?) => {
        mod on_file {
            use crate::harness::{Engine, Workspace};
            $(#[test] fn $test() { super::$test(&Workspace::new(Engine::File)); })*
        }
        #[cfg(feature = "sled")]
        mod on_sled {
            use crate::harness::{Engine, Workspace};
            $(#[test] fn $test() { super::$test(&Workspace::new(Engine::Sled)); })*
        }
    };
}
pub(crate) use on_each_engine;

/// A temporary folder with an empty folder `pictures` and no gallery yet.
pub struct Workspace {
    pub dir: TempDir,
    engine: Engine,
}

impl Workspace {
    pub fn new(engine: Engine) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("pictures")).unwrap();
        Self { dir, engine }
    }

    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// A workspace on the file engine.
    pub fn file() -> Self {
        Self::new(Engine::File)
    }

    /// A workspace on the file engine, with small photos in `pictures`.
    pub fn with_photos(count: u32) -> Self {
        let space = Self::file();
        for seed in 0..count {
            pictures::save(
                pictures::photo(60 + seed, 50, seed),
                &space.picture(format!("{seed}.png")),
            );
        }
        space
    }

    /// A workspace on the file engine whose gallery has one image, too large for the buffers of a
    /// connection, and the default key. A server is still writing it when a client stops to read.
    pub fn with_large_image() -> (Self, String) {
        let space = Self::file();
        pictures::save(pictures::noise(3600, 2600, 1), &space.picture("large.png"));
        space.run(["import", "--quality", "100", "pictures"]).expect(0);
        let bytes = space.list()[0]["bytes"].as_u64().unwrap();
        assert!(bytes > SOCKET_BUFFERS, "{bytes}");
        let key = space.rotate(&[]);
        (space, key)
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A path below `pictures`, whose folder is made.
    pub fn picture(&self, name: impl AsRef<Path>) -> PathBuf {
        let path = self.path("pictures").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    /// The gallery's data file, on the file engine.
    pub fn gallery_file(&self) -> PathBuf {
        self.path("gallery.pool")
    }

    pub fn locator(&self) -> String {
        match self.engine {
            Engine::File => "gallery.pool".into(),
            #[cfg(feature = "sled")]
            Engine::Sled => "sled:gallery.sled".into(),
        }
    }

    /// The binary in the workspace's folder, without the caller's own `IMAGEPOOL_` variables.
    pub fn command(&self) -> Command {
        self.command_of(env!("CARGO_BIN_EXE_imagepool"))
    }

    /// The same, of the binary at a path of its own.
    pub fn command_of(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.dir.path());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("IMAGEPOOL_") {
                command.env_remove(name);
            }
        }
        command.env("IMAGEPOOL_GALLERY", self.locator());
        command
    }

    /// Runs the binary to its end.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Finished {
        let output = self.command().args(arguments).stdin(Stdio::null()).output().unwrap();
        Finished {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Imports the folder `pictures` and returns the summary.
    #[track_caller]
    pub fn import(&self) -> Value {
        self.run(["import", "--json", "pictures"]).expect(0).json()
    }

    /// The images that `list --json` prints.
    #[track_caller]
    pub fn list(&self) -> Vec<Value> {
        self.run(["list", "--json"]).expect(0).json().as_array().unwrap().clone()
    }

    /// The ids of all images.
    #[track_caller]
    pub fn ids(&self) -> Vec<String> {
        self.list().iter().map(|image| image["id"].as_str().unwrap().to_owned()).collect()
    }

    /// The stored bytes of an image.
    #[track_caller]
    pub fn stored(&self, id: &str) -> Vec<u8> {
        self.run(["export", id, "exported"]).expect(0);
        std::fs::read(self.path("exported").join(format!("{id}.webp"))).unwrap()
    }

    #[track_caller]
    pub fn assert_verified(&self) {
        let verified = self.run(["verify", "--deep"]).expect(0);
        assert_eq!(verified.stdout, "");
    }

    /// Rotates the default key and returns the new one.
    #[track_caller]
    pub fn rotate(&self, arguments: &[&str]) -> String {
        let rotated = self.run([&["key", "rotate"], arguments].concat()).expect(0);
        rotated.stdout.trim().to_owned()
    }

    /// Starts a server on a free port and waits until it is ready.
    #[track_caller]
    pub fn serve(&self) -> Server {
        self.serve_with(&[])
    }

    #[track_caller]
    pub fn serve_with(&self, arguments: &[&str]) -> Server {
        let server = self.start_server(arguments);
        wait_for("the server is ready", || server.get("/readyz").status == 200);
        server
    }

    /// Starts a server that listens, but need not be ready yet. It may speak TLS alone.
    #[track_caller]
    pub fn start_server(&self, arguments: &[&str]) -> Server {
        let mut command = self.command();
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(arguments);
        Server::start(command)
    }

    /// Starts a server that may end instead: then its exit code and its log come back.
    pub fn try_server(&self) -> Result<Server, (Option<i32>, String)> {
        let mut command = self.command();
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        Server::try_start(command, |command| command.spawn().unwrap())
    }

    /// Starts a server with a new default key; imports `pictures` if there is no gallery yet.
    #[track_caller]
    pub fn serve_with_key(&self) -> (Server, String) {
        if !self.gallery_file().exists() {
            self.run(["import", "pictures"]).expect(0);
        }
        let key = self.rotate(&[]);
        (self.serve(), key)
    }
}
