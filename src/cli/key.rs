//! `imagepool key`: makes, replaces, lists and ends keys, and signs links under them.
//!
//! A running server obeys with its next request. How a new key is shown before it takes effect is
//! in `new_key`.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Subcommand;
use clap::builder::FalseyValueParser;
use serde_json::json;

use super::global::{ExitReason, GlobalOptions, UsageError};
use super::new_key::{Announcement, show_then_store};
use super::output;
use crate::http::{BadHost, Host};
use crate::image::{now, parse_tag, rfc3339};
use crate::keys::{self, ApiKey, DEFAULT_KEY_NAME, KeyError, KeyId, KeyRecord};
use crate::store::{Access, Store};

/// Length of a file above which it can't hold a key, in bytes.
const MAX_KEY_FILE_BYTES: u64 = 4096;

/// Make, replace, list and end API keys, and sign links; a running server obeys with its next
/// request
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Replace a key by a new one, which is printed once
    Rotate {
        /// The key to replace
        #[arg(
            long,
            env = "IMAGEPOOL_NAME",
            value_name = "N",
            default_value = DEFAULT_KEY_NAME,
            value_parser = parse_name
        )]
        name: String,
        /// How long the old key stays valid beside the new one, such as 24h [default: not at all]
        #[arg(
            long,
            env = "IMAGEPOOL_GRACE",
            value_name = "TIME",
            value_parser = humantime::parse_duration
        )]
        grace: Option<Duration>,
    },
    /// Add one more key, which is printed once
    Add {
        /// Its name
        #[arg(long, env = "IMAGEPOOL_NAME", value_name = "N", value_parser = parse_name)]
        name: String,
        /// When it ends, such as 30d [default: never]
        #[arg(
            long,
            env = "IMAGEPOOL_EXPIRES",
            value_name = "TIME",
            value_parser = humantime::parse_duration
        )]
        expires: Option<Duration>,
        /// Only images with this tag are shown with it (repeatable); until the server can enforce
        /// that, it refuses such a key [default: all images]
        #[arg(long, env = "IMAGEPOOL_ONLY_TAG", value_name = "T", value_parser = parse_tag)]
        only_tag: Vec<String>,
    },
    /// List the keys' ids, names and ends
    List {
        /// As JSON on stdout
        #[arg(long, env = "IMAGEPOOL_JSON", value_parser = FalseyValueParser::new())]
        json: bool,
    },
    /// End a key
    Revoke {
        /// Its id, the first 16 digits
        id: KeyId,
    },
    /// Print a link that shows one address until it ends, with no key in it
    Sign {
        /// What it shows: PATH?QUERY, such as '/random?tag=sea&w=1280', or a whole URL
        url: String,
        /// When it ends, such as 7d
        #[arg(
            long,
            env = "IMAGEPOOL_EXPIRES",
            value_name = "TIME",
            value_parser = humantime::parse_duration
        )]
        expires: Duration,
        /// The one host whose pages may show it, such as blog.example [default: any]
        #[arg(long, env = "IMAGEPOOL_REFERER", value_name = "HOST", value_parser = parse_host)]
        referer: Option<String>,
        /// The key that it ends with
        #[arg(
            long,
            env = "IMAGEPOOL_NAME",
            value_name = "N",
            default_value = DEFAULT_KEY_NAME,
            value_parser = parse_name
        )]
        name: String,
    },
    /// Take over an existing key, such as the old service's `api_key.txt`
    Import {
        /// A file with the 64 digits, or - for stdin
        file: PathBuf,
        /// The name it gets
        #[arg(
            long,
            env = "IMAGEPOOL_NAME",
            value_name = "N",
            default_value = DEFAULT_KEY_NAME,
            value_parser = parse_name
        )]
        name: String,
    },
}

impl Args {
    pub(super) fn run(self, globals: &GlobalOptions) -> anyhow::Result<ExitReason> {
        match self.command {
            KeyCommand::Rotate { name, grace } => rotate(globals, &name, grace)?,
            KeyCommand::Add { name, expires, mut only_tag } => {
                only_tag.sort_unstable();
                only_tag.dedup();
                make_key(globals, &name, expires, |keys, mut record| {
                    record.only_tags = only_tag;
                    keys::add(keys, record).map(|()| format!("The key {name:?}."))
                })?;
            }
            KeyCommand::List { json } => list(&globals.open(Access::Read)?, json)?,
            KeyCommand::Revoke { id } => {
                globals.open(Access::Write)?.change_keys(|keys| keys::revoke(keys, id))?;
                globals.say(format_args!("key {id} is refused from now on"));
            }
            KeyCommand::Sign { url, expires, referer, name } => {
                sign(globals, &url, expires, referer.as_deref(), &name)?;
            }
            KeyCommand::Import { file, name } => take_over(globals, &file, &name)?,
        }
        Ok(ExitReason::Done)
    }
}

fn parse_host(host: &str) -> Result<String, BadHost> {
    host.parse::<Host>()?.single().map(str::to_owned).ok_or(BadHost)
}

fn parse_name(name: &str) -> Result<String, KeyError> {
    keys::check_name(name).map(|()| name.to_owned())
}

fn rotate(globals: &GlobalOptions, name: &str, grace: Option<Duration>) -> anyhow::Result<()> {
    make_key(globals, name, None, |keys, record| {
        let is_replaced = keys.iter().any(|key| key.name == name && key.live(record.created));
        keys::rotate(keys, record, grace.map(|grace| grace.as_secs()))?;
        let old = match grace {
            _ if !is_replaced => String::new(),
            None => " The old one is refused from now on.".to_owned(),
            Some(grace) => format!(" The old one ends in {}.", humantime::format_duration(grace)),
        };
        Ok(format!("The new key {name:?}.{old}"))
    })
}

/// Makes a key and prints it, alone where stdout is no terminal. `change` puts its record among the
/// others and returns a sentence for its owner.
fn make_key(
    globals: &GlobalOptions,
    name: &str,
    expires: Option<Duration>,
    change: impl FnOnce(&mut Vec<KeyRecord>, KeyRecord) -> Result<String, KeyError>,
) -> anyhow::Result<()> {
    let store = globals.open(Access::Write)?;
    let key = ApiKey::generate()?;
    let now = now();
    let expires = expires.map(|expires| now.saturating_add(expires.as_secs()));
    let record = KeyRecord::new(&key, name, now, expires)?;
    let for_a_person = io::stdout().is_terminal();
    let words = show_then_store(&store, |keys| {
        let words = change(keys, record)?;
        let secret = key.reveal();
        let text = if for_a_person {
            format!("{words} The new one is shown now and never again:\n\n    {secret}\n\n")
        } else {
            format!("{secret}\n")
        };
        Ok(Some(Announcement { text, about: words }))
    })?;
    if let Some(words) = words.filter(|_| !for_a_person) {
        globals.say(words);
    }
    Ok(())
}

fn sign(
    globals: &GlobalOptions,
    url: &str,
    expires: Duration,
    referer: Option<&str>,
    name: &str,
) -> anyhow::Result<()> {
    let store = globals.open(Access::Read)?;
    let now = now();
    let is_meant = |key: &KeyRecord| key.name == name && key.live(now);
    let key = store.keys()?.1.into_iter().filter(is_meant).max_by_key(|key| key.created);
    let key = key.ok_or_else(|| KeyError::NoSuchName(name.to_owned()))?;
    if !key.only_tags.is_empty() {
        anyhow::bail!("the key {name:?} is limited to tags, and servers refuse its links as yet");
    }
    let end = now.saturating_add(expires.as_secs());
    let link = key.sign(url, end, referer).map_err(|error| UsageError(error.to_string()))?;
    output::print_line(link)?;
    let end = rfc3339(key.expires.map_or(end, |expires| expires.min(end)));
    globals.say(format_args!("It is good until {end}, or until the key {name:?} is replaced."));
    Ok(())
}

fn list(store: &Store, as_json: bool) -> anyhow::Result<()> {
    let now = now();
    let (_, mut keys) = store.keys()?;
    keys.sort_by(|a, b| (&a.name, a.created).cmp(&(&b.name, b.created)));
    if as_json {
        let keys: Vec<_> = keys
            .iter()
            .map(|key| {
                json!({
                    "id": key.id.to_string(),
                    "name": key.name,
                    "created": rfc3339(key.created),
                    "expires": key.expires.map(rfc3339),
                    "expired": !key.live(now),
                    "only_tags": key.only_tags,
                })
            })
            .collect();
        return Ok(output::print_line(serde_json::to_string(&keys)?)?);
    }
    output::print(|stdout| {
        writeln!(stdout, "{:16}  {:20}  {:20}  EXPIRES", "ID", "NAME", "CREATED")?;
        for KeyRecord { id, name, created, expires, only_tags, .. } in &keys {
            let created = rfc3339(*created);
            let expires = match *expires {
                None => "never".to_owned(),
                Some(end) if now < end => rfc3339(end),
                Some(end) => format!("{} (expired)", rfc3339(end)),
            };
            let tags = match only_tags.as_slice() {
                [] => String::new(),
                tags => format!("  [{}]", tags.join(", ")),
            };
            writeln!(stdout, "{id}  {name:20}  {created:20}  {expires}{tags}")?;
        }
        Ok(())
    })?;
    Ok(())
}

/// Takes over a key that was made elsewhere.
fn take_over(globals: &GlobalOptions, file: &Path, name: &str) -> anyhow::Result<()> {
    let mut text = Vec::new();
    let read = if file.as_os_str() == "-" {
        io::stdin().take(MAX_KEY_FILE_BYTES).read_to_end(&mut text)
    } else {
        File::open(file).and_then(|file| file.take(MAX_KEY_FILE_BYTES).read_to_end(&mut text))
    };
    read.with_context(|| format!("{}: can't be read", file.display()))?;
    // Some editors put a byte order mark before the first digit.
    let text = String::from_utf8_lossy(&text);
    let key: ApiKey = text
        .trim_start_matches('\u{FEFF}')
        .trim()
        .parse()
        .with_context(|| format!("{}: holds no key", file.display()))?;
    let store = globals.open(Access::Create)?;
    let record = KeyRecord::new(&key, name, now(), None)?;
    let taken = store.change_keys(|keys| {
        let is_known = |known: &KeyRecord| {
            known.id == record.id && known.live(record.created) && known.verify(&key)
        };
        if keys.iter().any(is_known) {
            return Ok(false);
        }
        keys::add(keys, record).map(|()| true)
    })?;
    let words = if taken { "is valid from now on" } else { "was known already" };
    globals.say(format_args!("key {} {words}", key.id()));
    Ok(())
}
