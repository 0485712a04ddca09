//! A gallery in a temporary folder, commands on it, and a server over it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::pictures;

/// How long anything may take before a test calls it hung; machines under load are slow.
pub const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    File,
    #[cfg(feature = "sled")]
    Sled,
}

impl Engine {
    pub const ALL: &'static [Self] = &[
        Self::File,
        #[cfg(feature = "sled")]
        Self::Sled,
    ];
}

/// Runs functions that take a [`Workspace`] as tests on each engine.
macro_rules! on_each_engine {
    ($($test:ident),* $(,)?) => {
        mod on_file {
            $(#[test] fn $test() { super::$test(&$crate::harness::Workspace::new($crate::harness::Engine::File)); })*
        }
        #[cfg(feature = "sled")]
        mod on_sled {
            $(#[test] fn $test() { super::$test(&$crate::harness::Workspace::new($crate::harness::Engine::Sled)); })*
        }
    };
}
pub(crate) use on_each_engine;

/// A temporary folder with a gallery to be and a folder `pictures`.
pub struct Workspace {
    pub dir: TempDir,
    engine: Engine,
}

/// How a command ended.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error} in {:?}", self.stdout))
    }

    /// Asserts that stderr is one error line with all of these words in it.
    #[track_caller]
    pub fn complains_of(&self, words: &[&str]) {
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not in {:?}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
    }
}

impl Workspace {
    pub fn new(engine: Engine) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("pictures")).unwrap();
        Self { dir, engine }
    }

    /// On the file engine.
    pub fn file() -> Self {
        Self::new(Engine::File)
    }

    /// On the file engine, with small photos to be imported.
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

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A path below the folder that is imported.
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

    /// The binary in the workspace's folder, untouched by the environment's own settings.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_imagepool"));
        command.current_dir(self.dir.path());
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("IMAGEPOOL_"))
        {
            command.env_remove(name);
        }
        command.env("IMAGEPOOL_GALLERY", self.locator());
        command
    }

    pub fn run<A: AsRef<std::ffi::OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Ended {
        let output = self.command().args(arguments).stdin(Stdio::null()).output().unwrap();
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Imports the folder `pictures`; the summary.
    #[track_caller]
    pub fn import(&self) -> Value {
        self.run(["import", "--json", "pictures"]).expect(0).json()
    }

    /// `list --json`.
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

    /// A server on a free port, once it is ready.
    #[track_caller]
    pub fn serve(&self) -> Server {
        self.serve_with(&[])
    }

    #[track_caller]
    pub fn serve_with(&self, arguments: &[&str]) -> Server {
        let server = self.start(arguments);
        wait_for("the server is ready", || server.get("/readyz").status == 200);
        server
    }

    /// A server that listens, and speaks TLS.
    #[track_caller]
    pub fn serve_over_tls(&self, arguments: &[&str]) -> Server {
        self.start(arguments)
    }

    #[track_caller]
    fn start(&self, arguments: &[&str]) -> Server {
        let mut command = self.command();
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(arguments);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (found, address) = mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if let Some((_, address)) = line
                    .split_once("listening on ")
                    .and_then(|(_, origin)| origin.split_once("://"))
                {
                    let end = address
                        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':')
                        .unwrap_or(address.len());
                    let _ = found.send(address[..end].to_owned());
                }
                let mut log = kept.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let Ok(address) = address.recv_timeout(PATIENCE) else {
            let _ = child.kill();
            panic!("the server did not start: {}", log.lock().unwrap());
        };
        Server { child, address, log }
    }

    /// A server and the default key of its gallery, made anew.
    #[track_caller]
    pub fn serve_with_key(&self) -> (Server, String) {
        if !self.gallery_file().exists() {
            self.run(["import", "pictures"]).expect(0);
        }
        let key = self.rotate(&[]);
        (self.serve(), key)
    }

    /// Rotates the default key; the new one.
    #[track_caller]
    pub fn rotate(&self, arguments: &[&str]) -> String {
        let rotated = self.run([&["key", "rotate"], arguments].concat()).expect(0);
        rotated.stdout.trim().to_owned()
    }
}

pub struct Server {
    child: Child,
    pub address: String,
    log: Arc<Mutex<String>>,
}

/// What a server answered.
pub struct Response {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", String::from_utf8_lossy(&self.body)))
    }
}

impl Server {
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        self.request("GET", path, &[])
    }

    #[track_caller]
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .allow_non_standard_methods(true)
            .max_redirects(0)
            .build()
            .into();
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = agent.run(request.body(()).unwrap()).unwrap();
        let mut body = Vec::new();
        response.body_mut().as_reader().read_to_end(&mut body).unwrap();
        Response { status: response.status().as_u16(), headers: response.headers().clone(), body }
    }

    /// Sends bytes on a connection of their own; the head of the answer, or what came until the server was silent.
    pub fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        // The server may close before it has read all of it.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            answer.extend_from_slice(&buffer[..read]);
            if answer.windows(4).any(|window| window == b"\r\n\r\n") {
                break;
            }
        }
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// What the server has written to stderr so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Waits for the end; exit code and stdout.
    #[track_caller]
    pub fn wait(&mut self) -> (Option<i32>, String) {
        let mut code = None;
        wait_for("the server has ended", || {
            code = self.child.try_wait().unwrap();
            code.is_some()
        });
        let mut stdout = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        (code.and_then(|status| status.code()), stdout)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().unwrap();
    assert!(sent.success());
}

#[track_caller]
pub fn wait_for(what: &str, mut is_true: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_true() {
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
