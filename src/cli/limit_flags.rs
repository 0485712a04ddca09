//! The flags that say what `serve` grants its clients: how many at once, and how long for what.

use std::time::Duration;

use clap::builder::RangedU64ValueParser;

use crate::http::{ConnectionLimits, Timeouts};

/// Number of file descriptors that are not for clients: the gallery, the log, event loops, imports.
const OWN_DESCRIPTORS: usize = 128;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct LimitFlags {
    /// Connections at once; a further one takes the place of the one that has been idle longest, or
    /// waits
    #[arg(
        long,
        env = "IMAGEPOOL_MAX_CONNECTIONS",
        value_name = "N",
        default_value = "4096",
        value_parser = connections()
    )]
    max_connections: usize,

    /// Connections at once from one client address; behind a proxy all come from the proxy's
    #[arg(
        long,
        env = "IMAGEPOOL_MAX_CONNECTIONS_PER_ADDRESS",
        value_name = "N",
        default_value = "1024",
        value_parser = connections()
    )]
    max_connections_per_address: usize,

    /// Time for a client to send a request's head
    #[arg(
        long,
        env = "IMAGEPOOL_HEADER_TIMEOUT",
        value_name = "TIME",
        default_value = "15s",
        value_parser = parse_timeout
    )]
    header_timeout: Duration,

    /// Time between an answer and the next request on its connection
    #[arg(
        long,
        env = "IMAGEPOOL_IDLE_TIMEOUT",
        value_name = "TIME",
        default_value = "75s",
        value_parser = parse_timeout
    )]
    idle_timeout: Duration,

    /// Time for a client to take 64 KiB of an answer
    #[arg(
        long,
        env = "IMAGEPOOL_WRITE_TIMEOUT",
        value_name = "TIME",
        default_value = "60s",
        value_parser = parse_timeout
    )]
    write_timeout: Duration,

    /// Time for answers under way to finish after SIGTERM or Ctrl-C
    #[arg(
        long,
        env = "IMAGEPOOL_SHUTDOWN_TIMEOUT",
        value_name = "TIME",
        default_value = "30s",
        value_parser = humantime::parse_duration
    )]
    shutdown_timeout: Duration,
}

fn connections() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=1_000_000)
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time.is_zero() => Err("give more than no time, such as 30s".into()),
        parsed => parsed.map_err(|error| error.to_string()),
    }
}

impl LimitFlags {
    /// Returns the limits, with at most as many connections as the system has file descriptors for.
    pub(super) fn into_limits(self) -> ConnectionLimits {
        ConnectionLimits {
            max_connections: affordable_connections(self.max_connections),
            max_connections_per_address: self.max_connections_per_address,
            timeouts: Timeouts {
                header: self.header_timeout,
                idle: self.idle_timeout,
                write: self.write_timeout,
            },
            shutdown_timeout: self.shutdown_timeout,
        }
    }
}

/// Raises the limit of open files as far as needed, and returns how many connections it allows.
fn affordable_connections(wanted: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let needed = (wanted + OWN_DESCRIPTORS) as u64;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < needed) {
        // A process may raise its own limit up to the hard one. What it got is read below.
        let raised = limit.maximum.map_or(needed, |most| most.min(needed));
        let _ =
            setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum });
    }
    let granted = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let granted = usize::try_from(granted).unwrap_or(usize::MAX);
    // With very few descriptors clients get half of them.
    let affordable = wanted.min(granted.saturating_sub(OWN_DESCRIPTORS).max(granted / 2)).max(1);
    if affordable < wanted {
        tracing::warn!(
            max_connections = affordable,
            file_descriptors = granted,
            "fewer connections than asked for: \
             raise the limit of open files (`ulimit -n`, LimitNOFILE=)"
        );
    }
    affordable
}
