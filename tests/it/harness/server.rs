//! Starts a server, sends it requests and reads its responses.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use serde_json::Value;

use super::process::{Signal, TIMEOUT, send_signal, wait_for};

/// A process that serves; it is killed when this is dropped.
pub struct Server {
    child: Child,
    /// Address and port that it listens on.
    pub address: String,
    log: Arc<Mutex<String>>,
}

impl Server {
    /// Starts the command and waits until it listens.
    #[track_caller]
    pub(super) fn start(command: Command) -> Self {
        Self::start_by(command, |command| command.spawn().unwrap())
    }

    /// Has the command started by `spawn`, and waits until it listens.
    #[track_caller]
    pub fn start_by(mut command: Command, spawn: impl FnOnce(&mut Command) -> Child) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn(&mut command);
        let log = Arc::new(Mutex::new(String::new()));
        let (sender, addresses) = mpsc::channel();
        let stderr = child.stderr.take().unwrap();
        let collected = Arc::clone(&log);
        std::thread::spawn(move || collect_log(stderr, &collected, &sender));
        let Ok(address) = addresses.recv_timeout(TIMEOUT) else {
            let _ = child.kill();
            panic!("the server did not start: {}", log.lock().unwrap());
        };
        Self { child, address, log }
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        self.request("GET", path, &[])
    }

    #[track_caller]
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
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

    /// Sends bytes on a new connection. Returns the head of the response, or what came until the
    /// server was silent for 5 seconds.
    pub fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        // The server may close before it has read all of it.
        let _ = stream.write_all(request.as_bytes());
        let mut response = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            response.extend_from_slice(&buffer[..read]);
            if response.windows(4).any(|window| window == b"\r\n\r\n") {
                break;
            }
        }
        String::from_utf8_lossy(&response).into_owned()
    }

    /// A connection that has sent nothing yet, with a timeout for reads.
    #[track_caller]
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream
    }

    /// A connection that has asked for a random image and read the first bytes of the response.
    #[track_caller]
    pub fn being_answered(&self, key: &str) -> TcpStream {
        let mut stream = self.connect();
        stream.write_all(&get_request(&format!("/random?key={key}"))).unwrap();
        let mut start = [0; 12];
        stream.read_exact(&mut start).unwrap();
        assert_eq!(&start, b"HTTP/1.1 200");
        stream
    }

    /// What the server has written to stderr so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        send_signal(&self.child, signal);
    }

    /// Waits until the process ends. Returns its exit code and what it wrote to stdout.
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

/// Keeps every line, and sends on the address of each that says where the server listens.
fn collect_log(stderr: ChildStderr, log: &Mutex<String>, addresses: &mpsc::Sender<String>) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        if let Some((_, url)) = line.split_once("listening on ")
            && let Some((_, address)) = url.split_once("://")
        {
            let is_outside = |c: char| !c.is_ascii_digit() && c != '.' && c != ':';
            let end = address.find(is_outside).unwrap_or(address.len());
            let _ = addresses.send(address[..end].to_owned());
        }
        let mut log = log.lock().unwrap();
        log.push_str(&line);
        log.push('\n');
    }
}

/// The bytes of a GET request without any header but `host`.
pub fn get_request(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").into_bytes()
}

/// What a server answered to one request.
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
            .unwrap_or_else(|error| panic!("{error} in {:?}", self.text()))
    }
}
