//! `imagepool key`: make, replace, list and end keys, and sign links under them. A running server obeys with its next request.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Subcommand;
use clap::builder::FalseyValueParser;
use serde_json::json;

use super::{Context, End, Usage};
use crate::http::{BadHost, Host};
use crate::image::{now, rfc3339};
use crate::keys::{self, ApiKey, DEFAULT_KEY_NAME, KeyError, KeyId, KeyRecord};
use crate::store::{Access, Store};

/// A key file longer than this is none.
const MAX_KEY_FILE_BYTES: u64 = 4096;

/// Make, replace, list and end API keys, and sign links; a running server obeys with its next request
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Replace a key by a new one, which is printed once
    Rotate {
        /// The key to replace
        #[arg(long, env = "IMAGEPOOL_NAME", value_name = "N", default_value = DEFAULT_KEY_NAME, value_parser = parse_name)]
        name: String,
        /// How long the old key stays valid beside the new one, such as 24h [default: not at all]
        #[arg(long, env = "IMAGEPOOL_GRACE", value_name = "TIME", value_parser = humantime::parse_duration)]
        grace: Option<Duration>,
    },
    /// Add one more key, which is printed once
    Add {
        /// Its name
        #[arg(long, env = "IMAGEPOOL_NAME", value_name = "N", value_parser = parse_name)]
        name: String,
        /// When it ends, such as 30d [default: never]
        #[arg(long, env = "IMAGEPOOL_EXPIRES", value_name = "TIME", value_parser = humantime::parse_duration)]
        expires: Option<Duration>,
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
        #[arg(long, env = "IMAGEPOOL_EXPIRES", value_name = "TIME", value_parser = humantime::parse_duration)]
        expires: Duration,
        /// The one host whose pages may show it, such as blog.example [default: any]
        #[arg(long, env = "IMAGEPOOL_REFERER", value_name = "HOST", value_parser = parse_host)]
        referer: Option<String>,
        /// The key that it ends with
        #[arg(long, env = "IMAGEPOOL_NAME", value_name = "N", default_value = DEFAULT_KEY_NAME, value_parser = parse_name)]
        name: String,
    },
    /// Take over an existing key, such as the old service's `api_key.txt`
    Import {
        /// A file with the 64 digits, or - for stdin
        file: PathBuf,
        /// The name it gets
        #[arg(long, env = "IMAGEPOOL_NAME", value_name = "N", default_value = DEFAULT_KEY_NAME, value_parser = parse_name)]
        name: String,
    },
}

impl Args {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<End> {
        match self.command {
            Command::Rotate { name, grace } => {
                let (store, key, record) = new_key(context, &name, None)?;
                let replaced = store.change_keys(|keys| {
                    let replaced =
                        keys.iter().any(|key| key.name == name && key.live(record.created));
                    keys::rotate(keys, record, grace.map(|grace| grace.as_secs()))
                        .map(|()| replaced)
                })?;
                let old = match grace {
                    _ if !replaced => String::new(),
                    None => " The old one is refused from now on.".to_owned(),
                    Some(grace) => {
                        format!(" The old one ends in {}.", humantime::format_duration(grace))
                    }
                };
                reveal(context, &key, &format!("The new key {name:?}.{old}"))?;
            }
            Command::Add { name, expires } => {
                let (store, key, record) = new_key(context, &name, expires)?;
                store.change_keys(|keys| keys::add(keys, record))?;
                reveal(context, &key, &format!("The key {name:?}."))?;
            }
            Command::List { json } => list(&context.open(Access::Read)?, json)?,
            Command::Revoke { id } => {
                context.open(Access::Write)?.change_keys(|keys| keys::revoke(keys, id))?;
                context.say(format_args!("key {id} is refused from now on"));
            }
            Command::Sign { url, expires, referer, name } => {
                let store = context.open(Access::Read)?;
                let now = now();
                let live = |key: &KeyRecord| key.name == name && key.live(now);
                let key = store.keys()?.1.into_iter().filter(live).max_by_key(|key| key.created);
                let key = key.ok_or_else(|| KeyError::NoSuchName(name.clone()))?;
                let end = now.saturating_add(expires.as_secs());
                let link = key
                    .sign(&url, end, referer.as_deref())
                    .map_err(|error| Usage(error.to_string()))?;
                writeln!(io::stdout().lock(), "{link}")?;
                let end = rfc3339(key.expires.map_or(end, |expires| expires.min(end)));
                context.say(format_args!(
                    "It is good until {end}, or until the key {name:?} is replaced."
                ));
            }
            Command::Import { file, name } => take_over(context, &file, &name)?,
        }
        Ok(End::Done)
    }
}

fn parse_host(host: &str) -> Result<String, BadHost> {
    host.parse::<Host>()?.single().map(str::to_owned).ok_or(BadHost)
}

fn parse_name(name: &str) -> Result<String, KeyError> {
    keys::check_name(name).map(|()| name.to_owned())
}

fn new_key(
    context: &Context,
    name: &str,
    expires: Option<Duration>,
) -> anyhow::Result<(Store, ApiKey, KeyRecord)> {
    let store = context.open(Access::Write)?;
    let key = ApiKey::generate()?;
    let now = now();
    let expires = expires.map(|expires| now.saturating_add(expires.as_secs()));
    let record = KeyRecord::new(&key, name, now, expires)?;
    Ok((store, key, record))
}

/// Prints a key, once: alone where stdout is no terminal.
fn reveal(context: &Context, key: &ApiKey, words: &str) -> anyhow::Result<()> {
    let secret = key.reveal();
    let mut stdout = io::stdout().lock();
    let for_a_person = stdout.is_terminal();
    let shown = if for_a_person {
        writeln!(stdout, "{words} The new one is shown now and never again:\n\n    {secret}\n")
    } else {
        writeln!(stdout, "{secret}")
    };
    shown.and_then(|()| stdout.flush()).context(
        "the new key is valid but could not be shown; make another with `imagepool key rotate`, or revoke it",
    )?;
    if !for_a_person {
        context.say(words);
    }
    Ok(())
}

fn list(store: &Store, as_json: bool) -> anyhow::Result<()> {
    let now = now();
    let (_, mut keys) = store.keys()?;
    keys.sort_by(|a, b| (&a.name, a.created).cmp(&(&b.name, b.created)));
    let mut stdout = io::stdout().lock();
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
                })
            })
            .collect();
        writeln!(stdout, "{}", serde_json::to_string(&keys)?)?;
        return Ok(());
    }
    writeln!(stdout, "{:16}  {:20}  {:20}  EXPIRES", "ID", "NAME", "CREATED")?;
    for key in keys {
        let expires = match key.expires {
            None => "never".to_owned(),
            Some(end) if key.live(now) => rfc3339(end),
            Some(end) => format!("{} (expired)", rfc3339(end)),
        };
        writeln!(stdout, "{}  {:20}  {:20}  {expires}", key.id, key.name, rfc3339(key.created))?;
    }
    Ok(())
}

fn take_over(context: &Context, file: &PathBuf, name: &str) -> anyhow::Result<()> {
    let mut text = Vec::new();
    let read = if file.as_os_str() == "-" {
        io::stdin().take(MAX_KEY_FILE_BYTES).read_to_end(&mut text)
    } else {
        std::fs::File::open(file)
            .and_then(|file| file.take(MAX_KEY_FILE_BYTES).read_to_end(&mut text))
    };
    read.with_context(|| format!("{}: can't be read", file.display()))?;
    // Some editors put a byte order mark in front.
    let text = String::from_utf8_lossy(&text);
    let key: ApiKey = text
        .trim_start_matches('\u{FEFF}')
        .trim()
        .parse()
        .with_context(|| format!("{}: holds no key", file.display()))?;
    let store = context.open(Access::Create)?;
    let record = KeyRecord::new(&key, name, now(), None)?;
    let taken = store.change_keys(|keys| {
        if keys
            .iter()
            .any(|known| known.id == record.id && known.live(record.created) && known.verify(&key))
        {
            return Ok(false);
        }
        keys::add(keys, record).map(|()| true)
    })?;
    let words = if taken { "is valid from now on" } else { "was known already" };
    context.say(format_args!("key {} {words}", key.id()));
    Ok(())
}
