//! Measures how long the server takes to be ready and how much memory it holds, empty and with a
//! million images.
//!
//! It makes galleries in a temporary folder, starts the real program on them and exits with 1 when
//! a target is missed:
//!
//! - empty: less than 25 MB of memory in all (`VmRSS`) at rest;
//! - 1,000,000 images: ready in less than 1.5 s, with less than 120 MB of heap (`RssAnon`) at any
//!   time; and one image more, committed by another process, is shown within a second.
//!
//! Each server also checks a key, with argon2's 19 MiB, as any server in use has done. At rest
//! means that the check is over and its threads have ended. Until then an empty gallery may take
//! more, which the table shows.
//!
//! The images are a few bytes each, and none is a picture: a start reads ids and no image. The
//! gallery was just written when the server starts, so it lies in the page cache; mapped pages of
//! the file are memory but not heap.
//!
//! `cargo bench --bench start -- 50000` makes another number of images. Without `--bench`, which
//! only `cargo bench` passes, or with `--test`, a trial with 1,000 images judges nothing, because
//! an unoptimised build would miss the targets. Memory is read from `/proc`; elsewhere than on
//! Linux it is neither shown nor judged.
#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench ends by a panic, and prints what it measured"
)]

mod common;

use std::fmt;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use imagepool::keys::{self, ApiKey, KeyRecord};
use imagepool::store::{Access, Addition, Locator, Store};

/// Number of images of a full run.
const FULL_IMAGES: u32 = 1_000_000;
/// Number of images of a trial run.
const TRIAL_IMAGES: u32 = 1_000;
/// Number of images added in one commit: many, because each commit waits for the disk.
const BATCH_IMAGES: u32 = 50_000;

/// Limit for all memory of a server with an empty gallery, in bytes.
const EMPTY_MEMORY_BYTES: u64 = 25_000_000;
/// Limit for the time until a server with a full run's images is ready.
const READY: Duration = Duration::from_millis(1_500);
/// Limit for the time until such a server shows an image that another process added.
const SHOWN: Duration = Duration::from_secs(1);
/// Number of images that are added one after the other while the time is taken.
const ADDED_ALONE: u32 = 5;
/// Limit for the heap of such a server, in bytes.
const HEAP_BYTES: u64 = 120_000_000;

/// Time between two looks at a server that is not ready yet.
const POLL: Duration = Duration::from_millis(2);
/// Time after which a server that is still not ready counts as broken.
const PATIENCE: Duration = Duration::from_mins(2);
/// Time from a server's last answer to the last look at its memory. The server ends a thread that
/// was used for blocking work after a second, and only then does the allocator give back what the
/// thread had freed.
const SETTLING: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let full = arguments.iter().any(|argument| argument == "--bench")
        && arguments.iter().all(|argument| argument != "--test");
    let wanted = arguments.iter().find_map(|argument| argument.parse().ok());
    let images: u32 = wanted.unwrap_or(if full { FULL_IMAGES } else { TRIAL_IMAGES });

    let settling = if full { SETTLING } else { Duration::ZERO };

    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let fresh = measure(&folder.path().join("fresh.pool"), None, settling);
    let (gallery, key) = make_gallery(folder.path(), 0);
    let empty = measure(&gallery, Some(&key), settling);
    let started = Instant::now();
    let (gallery, key) = make_gallery(folder.path(), images);
    let filling = started.elapsed();
    let mut filled = measure(&gallery, Some(&key), settling);

    println!(
        "{:<24} {:>8} {:>13} {:>13} {:>13}",
        "images", "ready", "heap, most", "memory, most", "at rest"
    );
    println!("{:<24} {fresh}", "0, gallery and key new");
    println!("{:<24} {empty}", 0);
    println!("{images:<24} {filled}");
    println!("Heap is RssAnon, memory VmRSS. Filling took {filling:.1?}.");
    let (shown, heap_bytes) = longest_until_shown(&gallery, &key, images);
    let heap = Megabytes(heap_bytes.unwrap_or(0));
    println!(
        "An image more was shown after {} ms at most, with {heap} of heap at most.",
        shown.as_millis()
    );
    filled.heap_bytes = filled.heap_bytes.max(heap_bytes);
    let missed = if full { missed(&[&fresh, &empty], &filled, shown) } else { Vec::new() };
    for target in &missed {
        println!("MISSED: {target}");
    }
    if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Returns the targets that were not met. Those of a million images hold for fewer, too.
fn missed(empty: &[&Measured], filled: &Measured, shown: Duration) -> Vec<String> {
    let mut missed = Vec::new();
    if empty
        .iter()
        .any(|empty| empty.resting_bytes.is_some_and(|bytes| bytes >= EMPTY_MEMORY_BYTES))
    {
        missed.push(format!(
            "an empty gallery takes less than {} of memory",
            Megabytes(EMPTY_MEMORY_BYTES)
        ));
    }
    if filled.ready >= READY {
        missed.push(format!("a filled gallery is ready in less than {READY:?}"));
    }
    if filled.heap_bytes.is_some_and(|bytes| bytes >= HEAP_BYTES) {
        missed.push(format!("a filled gallery takes less than {} of heap", Megabytes(HEAP_BYTES)));
    }
    if shown >= SHOWN {
        missed.push(format!("an added image is shown in less than {SHOWN:?}"));
    }
    missed
}

/// Makes a gallery of this many images and one key.
///
/// Images come in the random order of their ids, as in an import, so that the trees in the file are
/// as full, or empty, as those of real galleries.
fn make_gallery(folder: &Path, images: u32) -> (PathBuf, ApiKey) {
    let path = folder.join(format!("{images}.pool"));
    let store =
        Store::open(&Locator::File(path.clone()), Access::Create).expect("a gallery can be made");
    let key = ApiKey::generate().expect("the system has random numbers");
    let record =
        KeyRecord::new(&key, keys::DEFAULT_KEY_NAME, 0, None).expect("a key can be hashed");
    store.change_keys(|keys| keys::add(keys, record)).expect("a key can be added");
    let mut first = 0;
    while first < images {
        let end = images.min(first + BATCH_IMAGES);
        let batch: Vec<Addition> = (first..end).map(addition).collect();
        store.add(&batch).expect("images can be added");
        first = end;
    }
    (path, key)
}

/// Makes an image whose bytes are no picture.
fn addition(index: u32) -> Addition {
    common::addition(index, format!("not a picture: {index}").into_bytes())
}

/// What was measured of one server. Without `/proc` its memory is unknown.
struct Measured {
    /// Time from the start of the program to the first 200 of `/readyz`.
    ready: Duration,
    /// The highest `RssAnon` that was seen.
    heap_bytes: Option<u64>,
    /// `VmHWM`, the highest value of `VmRSS`.
    memory_bytes: Option<u64>,
    /// `VmRSS` when everything was quiet again.
    resting_bytes: Option<u64>,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>8}", format!("{} ms", self.ready.as_millis()))?;
        [self.heap_bytes, self.memory_bytes, self.resting_bytes].iter().try_for_each(|bytes| {
            let text =
                bytes.map_or_else(|| "unknown".to_owned(), |bytes| Megabytes(bytes).to_string());
            write!(f, " {text:>13}")
        })
    }
}

struct Megabytes(u64);

impl fmt::Display for Megabytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} MB", self.0 / 1_000_000, self.0 / 100_000 % 10)
    }
}

/// Starts the server on a gallery, waits until it is ready, and measures it.
///
/// Without a key, and then without a gallery, the server makes both. With a key it is asked for an
/// image, so that a key is hashed once either way.
fn measure(gallery: &Path, key: Option<&ApiKey>, settling: Duration) -> Measured {
    let started = Instant::now();
    let server = Server::start(gallery);
    let mut heap_bytes = None;
    let mut look = |server: &Server| heap_bytes = heap_bytes.max(server.status_bytes("RssAnon"));
    server.wait_for("/readyz", &mut look);
    let ready = started.elapsed();
    if let Some(key) = key {
        let status = server.get(&format!("/random-image/{}", key.reveal()));
        assert!(
            matches!(status, Some(200 | 404)),
            "asked for an image, the server answered {status:?}"
        );
        look(&server);
    }
    thread::sleep(settling);
    Measured {
        ready,
        heap_bytes,
        memory_bytes: server.status_bytes("VmHWM"),
        resting_bytes: server.status_bytes("VmRSS"),
    }
}

/// Returns the longest time from the commit of one image more to the first answer with it, and the
/// highest heap meanwhile.
fn longest_until_shown(gallery: &Path, key: &ApiKey, images: u32) -> (Duration, Option<u64>) {
    let server = Server::start(gallery);
    let mut heap_bytes = None;
    let mut look = |server: &Server| heap_bytes = heap_bytes.max(server.status_bytes("RssAnon"));
    server.wait_for("/readyz", &mut look);
    let store = Store::open(&Locator::File(gallery.to_owned()), Access::Write)
        .expect("the gallery can be opened");
    let added = (images..images + ADDED_ALONE).map(|index| {
        let mut addition = addition(index);
        addition.hand_tags.push(format!("alone-{index}"));
        store.add(&[addition]).expect("an image can be added");
        let committed = Instant::now();
        let path = format!("/random-image/{}?tag=alone-{index}", key.reveal());
        server.wait_for(&path, &mut look);
        committed.elapsed()
    });
    let longest = added.max().expect("images were added");
    (longest, heap_bytes)
}

/// The running server, which is killed when this is dropped.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(gallery: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_imagepool"));
        // The environment could set any flag, so the server gets none.
        command.env_clear().arg("--gallery").arg(gallery).args([
            "serve",
            "--listen",
            "127.0.0.1:0",
        ]);
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the program can be started");
        let log = BufReader::new(child.stderr.take().expect("stderr is a pipe"));
        let (found, address) = mpsc::channel();
        // The thread reads for as long as the server logs, so that a full pipe never holds it up.
        thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                let address = line
                    .split_once("listening on http://")
                    .and_then(|(_, rest)| rest.split_whitespace().next());
                if let Some(address) = address {
                    // Nobody listens any more when the server was given up.
                    let _ = found.send(address.to_owned());
                }
            }
        });
        let mut server = Self { child, address: String::new() };
        server.address = address.recv_timeout(PATIENCE).expect("the server says where it listens");
        server
    }

    /// Requests `path` until the status is 200, and calls `look` after each answer.
    fn wait_for(&self, path: &str, look: &mut impl FnMut(&Self)) {
        let started = Instant::now();
        loop {
            let status = self.get(path);
            look(self);
            if status == Some(200) {
                return;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "the server's last answer after {PATIENCE:?} is {status:?}"
            );
            thread::sleep(POLL);
        }
    }

    /// Requests `path` and returns the status, or `None` when there was no answer.
    fn get(&self, path: &str) -> Option<u16> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.address
        )
        .ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let status = answer.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
        std::str::from_utf8(status).ok()?.parse().ok()
    }

    /// Reads a line of `/proc/PID/status` that counts kB.
    fn status_bytes(&self, name: &str) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A server that is gone already needs no killing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
