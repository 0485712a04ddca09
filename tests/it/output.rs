//! What a command does does not depend on who reads what it prints: a stderr that can't be written
//! changes nothing, a stdout that can't be written is an error, and a key that nobody saw is not
//! made.
//!
//! `imagepool import p 2>/dev/full` once panicked half-way; `K=$(imagepool key rotate 2>/dev/full)`
//! printed the new key, ended the old one, and failed, so that a careful script threw the key away.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::harness::{Finished, TIMEOUT, Workspace, wait_for};
use crate::pictures::{photo, save};

/// A place that can't be written, or that nobody reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sink {
    /// A full disk.
    Full,
    /// No descriptor at all, as after `>&-`.
    Closed,
    /// A pipe whose reader went away.
    Gone,
}

const SINKS: [Sink; 3] = [Sink::Full, Sink::Closed, Sink::Gone];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Stdout,
    Stderr,
}

/// What a command prints on stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prints {
    Nothing,
    /// A result: a full disk is an error.
    Result,
    /// A backup: it is an error, too, if its reader goes away.
    Backup,
    /// A new key: it is an error if nobody can read it.
    Key,
}

/// Makes `command` write to a sink.
fn redirect(command: &mut Command, stream: Stream, sink: Sink) {
    let target = match sink {
        Sink::Full => Stdio::from(File::options().write(true).open("/dev/full").unwrap()),
        Sink::Closed => {
            let descriptor = if stream == Stream::Stdout { 1 } else { 2 };
            close_at_start(command, descriptor);
            return;
        }
        Sink::Gone => Stdio::from(io::pipe().unwrap().1),
    };
    match stream {
        Stream::Stdout => command.stdout(target),
        Stream::Stderr => command.stderr(target),
    };
}

fn close_at_start(command: &mut Command, descriptor: i32) {
    let close = move || {
        // SAFETY: close(2) is async-signal-safe, and nothing of the child uses the descriptor.
        #[expect(unsafe_code, reason = "Command has no safe way to start a program with it closed")]
        unsafe {
            libc::close(descriptor);
        }
        Ok(())
    };
    // SAFETY: the closure neither allocates nor locks.
    #[expect(unsafe_code, reason = "as above")]
    unsafe {
        command.pre_exec(close);
    }
}

/// Runs a command to its end and returns what it wrote to streams that it was not given a sink for.
fn run(space: &Workspace, arguments: &[&str], sink: Option<(Stream, Sink)>) -> Finished {
    let mut command = space.command();
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some((stream, sink)) = sink {
        redirect(&mut command, stream, sink);
    }
    let output = command.spawn().unwrap().wait_with_output().unwrap();
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A gallery of two images and a key, and files that are not imported yet.
struct Prepared {
    space: Workspace,
    ids: Vec<String>,
    key: String,
}

impl Prepared {
    fn new() -> Self {
        let space = Workspace::with_photos(2);
        space.import();
        let key = space.rotate(&[]);
        space.run(["backup", "spare.pool"]).expect(0);
        save(photo(70, 50, 9), &space.picture("good.png"));
        fs::write(space.picture("bad.png"), b"\x89PNG\r\n\x1A\nthis is no chunk").unwrap();
        save(photo(80, 50, 9), &space.path("other.png"));
        fs::write(space.path("old.txt"), "8c1f".repeat(16)).unwrap();
        let ids = space.ids();
        Self { space, ids, key }
    }

    /// The same on another disk place.
    fn copy(&self) -> Workspace {
        let space = Workspace::file();
        for name in [
            "gallery.pool",
            "spare.pool",
            "pictures/good.png",
            "pictures/bad.png",
            "other.png",
            "old.txt",
        ] {
            fs::copy(self.space.path(name), space.path(name)).unwrap();
        }
        for seed in 0..2 {
            let name = format!("pictures/{seed}.png");
            fs::copy(self.space.path(&name), space.path(&name)).unwrap();
        }
        space
    }

    /// Images with their tags, keys, and files: all that a command can change.
    fn state(&self, space: &Workspace) -> Vec<String> {
        let text = |value: &Value| value.to_string();
        let images = space.list();
        let images = images.iter().map(|image| text(&image["id"]) + &text(&image["tags"]));
        let keys = space.run(["key", "list", "--json"]).expect(0).json();
        let keys = keys.as_array().unwrap().iter().map(|key| {
            let is_old = key["id"] == self.key[..16];
            format!("key {} {is_old} {}", key["name"], key["expires"].is_null())
        });
        let files = walkdir::WalkDir::new(space.dir.path()).into_iter().map(|entry| {
            let entry = entry.unwrap();
            entry.path().strip_prefix(space.dir.path()).unwrap().display().to_string()
        });
        let mut state: Vec<_> = images.chain(keys).chain(files).collect();
        state.sort();
        state
    }

    /// Runs each command with each sink, and compares its exit code and all that it changed with
    /// those of a run whose output is read.
    fn check(&self, commands: &[(&[&str], Prints)]) {
        let mut wrong = Vec::new();
        for (arguments, prints) in commands {
            let space = self.copy();
            let before = self.state(&space);
            let plain = run(&space, arguments, None);
            let after = self.state(&space);
            assert!(matches!(plain.code, Some(0..=2)), "{arguments:?}: {}", plain.stderr);
            assert_eq!(*prints != Prints::Nothing, !plain.stdout.is_empty(), "{arguments:?}");
            for stream in [Stream::Stdout, Stream::Stderr] {
                for sink in SINKS {
                    let fails = stream == Stream::Stdout
                        && (*prints == Prints::Key
                            || (*prints, sink) == (Prints::Result, Sink::Full)
                            || *prints == Prints::Backup);
                    let code = if fails { Some(1) } else { plain.code };
                    let is_undone = fails && *prints == Prints::Key;
                    let space = self.copy();
                    let ended = run(&space, arguments, Some((stream, sink)));
                    let state = self.state(&space);
                    let is_told = stream == Stream::Stderr
                        || !fails
                        || ended.stderr.contains("error: ")
                            && ended.stderr.contains("can't be written");
                    if ended.code != code
                        || state != *(if is_undone { &before } else { &after })
                        || !is_told
                        || ended.stderr.contains("panicked")
                    {
                        let code = ended.code;
                        wrong.push(format!(
                            "{arguments:?} with {stream:?} {sink:?}: {code:?}, {state:?}, {}",
                            ended.stderr
                        ));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

#[test]
fn commands_on_images_do_the_same_whoever_reads() {
    let prepared = Prepared::new();
    let [first, second] = [prepared.ids[0].as_str(), prepared.ids[1].as_str()];
    let missing = "0".repeat(32);
    prepared.check(&[
        (&["import", "pictures"], Prints::Nothing),
        (&["import", "-v", "--json", "pictures"], Prints::Result),
        (&["import", "--json", "--report", "report", "other.png"], Prints::Result),
        (&["list"], Prints::Result),
        (&["list", "--json"], Prints::Result),
        (&["show", first], Prints::Result),
        (&["show", "--json", first], Prints::Result),
        (&["show", &missing], Prints::Nothing),
        (&["export", first, &missing, second, "out"], Prints::Nothing),
        (&["remove", first, &missing], Prints::Nothing),
        (&["tag", &missing, first, "+sea"], Prints::Nothing),
    ]);
}

#[test]
fn commands_on_the_gallery_do_the_same_whoever_reads() {
    Prepared::new().check(&[
        (&["stats"], Prints::Result),
        (&["stats", "--json"], Prints::Result),
        (&["verify"], Prints::Nothing),
        (&["verify", "--json", "--deep"], Prints::Result),
        (&["salvage", "gallery.pool", "new.pool"], Prints::Nothing),
        (&["salvage", "--json", "gallery.pool", "new.pool"], Prints::Result),
        (&["backup", "copy.pool"], Prints::Nothing),
        (&["backup", "-"], Prints::Backup),
        (&["restore", "--force", "spare.pool"], Prints::Nothing),
        (&["compact"], Prints::Nothing),
        (&["copy", "spare.pool", "gallery.pool"], Prints::Nothing),
        (&["copy", "gallery.pool", "copy.pool"], Prints::Nothing),
        (&["doctor"], Prints::Result),
        (&["doctor", "--json"], Prints::Result),
        (&["health", "http://127.0.0.1:1"], Prints::Nothing),
        (&["completions", "bash"], Prints::Result),
        (&["man"], Prints::Result),
        (&["man", "import"], Prints::Result),
        (&["--help"], Prints::Result),
        (&["-h"], Prints::Result),
        (&["help", "key"], Prints::Result),
        (&["--version"], Prints::Result),
        (&["fly"], Prints::Nothing),
        (&[], Prints::Nothing),
        (&["man", "fly"], Prints::Nothing),
        (&["serve", "--listen", "192.0.2.1:1"], Prints::Nothing),
    ]);
}

#[test]
fn a_key_that_nobody_saw_is_not_made_and_no_key_ends_for_it() {
    let prepared = Prepared::new();
    let id = &prepared.key[..16];
    prepared.check(&[
        (&["key", "rotate"], Prints::Key),
        (&["key", "rotate", "--grace", "24h"], Prints::Key),
        (&["key", "add", "--name", "blog"], Prints::Key),
        (&["key", "add", "--name", "default"], Prints::Nothing),
        (&["key", "list"], Prints::Result),
        (&["key", "list", "--json"], Prints::Result),
        (&["key", "sign", "--expires", "7d", "/random"], Prints::Result),
        (&["key", "revoke", id], Prints::Nothing),
        (&["key", "import", "--name", "old", "old.txt"], Prints::Nothing),
    ]);
}

/// A descriptor that is open for reading only takes nothing, and Rust's stdout does not say so.
#[test]
fn a_stdout_that_is_open_for_reading_only_is_an_error() {
    let prepared = Prepared::new();
    for arguments in [&["key", "rotate"][..], &["list"]] {
        let space = prepared.copy();
        let before = prepared.state(&space);
        let mut command = space.command();
        let output = command.args(arguments).stdout(File::open("/dev/null").unwrap()).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("stdout can't be written"));
        assert_eq!(prepared.state(&space), before);
    }
}

/// Whoever throws a new key away on purpose may.
#[test]
fn a_key_can_be_thrown_away_on_purpose() {
    let prepared = Prepared::new();
    let mut rotate = prepared.space.command();
    rotate.args(["--quiet", "key", "rotate"]).stdout(Stdio::null());
    assert_eq!(rotate.status().unwrap().code(), Some(0));
    let keys = prepared.space.run(["key", "list"]).expect(0).stdout;
    assert!(!keys.contains(&prepared.key[..16]), "{keys}");
}

/// `verify | head -1` once said that a damaged gallery was whole.
#[test]
fn damage_is_an_error_even_if_nobody_reads_the_list() {
    let space = Workspace::with_photos(1);
    space.import();
    let id = space.ids().remove(0);
    let image = space.stored(&id);
    let mut gallery = fs::read(space.gallery_file()).unwrap();
    let at = gallery.windows(image.len()).position(|window| window == image).unwrap();
    gallery[at + image.len() / 2] ^= 1;
    fs::write(space.gallery_file(), gallery).unwrap();
    for sink in [None, Some((Stream::Stdout, Sink::Gone)), Some((Stream::Stdout, Sink::Closed))] {
        for arguments in [&["verify"][..], &["verify", "--json"]] {
            assert_eq!(run(&space, arguments, sink).code, Some(1), "{arguments:?} {sink:?}");
        }
    }
}

/// Kills what it holds when a test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_server_without_stderr_shows_its_first_key_and_serves() {
    for sink in SINKS {
        let space = Workspace::with_photos(1);
        space.import();
        let mut serve = space.command();
        serve.args(["serve", "--listen", "127.0.0.1:0", "--log-file", "log"]).stdin(Stdio::null());
        redirect(serve.stdout(Stdio::piped()), Stream::Stderr, sink);
        let mut server = Running(serve.spawn().unwrap());
        let mut shown = String::new();
        let mut stdout = server.0.stdout.take().unwrap();
        let url = loop {
            let mut bytes = [0; 1000];
            let read = stdout.read(&mut bytes).unwrap();
            assert!(read > 0, "{sink:?}: {:?} after {shown:?}", server.0.wait());
            shown.push_str(&String::from_utf8_lossy(&bytes[..read]));
            let url = shown.split_whitespace().find(|word| word.contains("/random-image/"));
            if let Some(url) = url.filter(|_| shown.ends_with("\n\n")) {
                break url.to_owned();
            }
        };
        let agent: ureq::Agent =
            ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).build().into();
        for _ in 0..100 {
            assert_eq!(agent.get(&url).call().unwrap().status(), 200, "{sink:?}");
        }
        let log = || fs::read_to_string(space.path("log")).unwrap();
        wait_for("100 requests are logged", || log().matches("status=200").count() == 100);
        assert!(server.0.try_wait().unwrap().is_none(), "{sink:?}");
    }
}

#[test]
fn a_server_whose_first_key_nobody_sees_makes_none() {
    for sink in SINKS {
        let space = Workspace::with_photos(1);
        space.import();
        let ended =
            run(&space, &["serve", "--listen", "127.0.0.1:0"], Some((Stream::Stdout, sink)));
        assert_eq!(ended.code, Some(1), "{sink:?}: {}", ended.stderr);
        ended.complains_of(&["error: ", "no key has ended", "stdout can't be written"]);
        assert_eq!(space.run(["key", "list"]).expect(0).stdout.lines().count(), 1, "{sink:?}");
    }
}
