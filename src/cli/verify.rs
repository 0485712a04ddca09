//! `imagepool verify`: checks that everything is there, and as it was stored.
//!
//! LMDB trusts its file, and pages that were damaged from outside can crash the process that walks
//! them. So the walk runs in a child process, whose crash is a finding.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use anyhow::Context as _;
use clap::builder::FalseyValueParser;
use indicatif::{DecimalBytes, HumanCount};

use super::global::{ExitReason, GlobalOptions};
use super::output;
use crate::codec;
use crate::image::ImageRecord;
use crate::store::Access;

/// The signals that damaged pages can lead to: SIGILL, SIGABRT, SIGBUS, SIGFPE, SIGSEGV.
const CRASHES: [i32; 5] = [4, 6, 7, 8, 11];

/// Check every image against its id and its record
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Decode every image too
    #[arg(long, env = "IMAGEPOOL_DEEP", value_parser = FalseyValueParser::new())]
    deep: bool,

    /// Print the findings as JSON on stdout
    #[arg(long, env = "IMAGEPOOL_JSON", value_parser = FalseyValueParser::new())]
    json: bool,

    /// Walk in this process
    #[arg(long, hide = true)]
    in_this_process: bool,
}

impl Args {
    pub(super) fn run(self, globals: &GlobalOptions) -> anyhow::Result<ExitReason> {
        if self.in_this_process { self.walk(globals) } else { self.walk_in_child(globals) }
    }

    fn walk_in_child(&self, globals: &GlobalOptions) -> anyhow::Result<ExitReason> {
        let program = std::env::current_exe().context("this program's own file can't be found")?;
        let mut child = Command::new(program);
        child
            .arg("--gallery")
            .arg(globals.gallery.to_string())
            .args(["verify", "--in-this-process"]);
        for (given, flag) in
            [(self.deep, "--deep"), (self.json, "--json"), (globals.quiet, "--quiet")]
        {
            if given {
                child.arg(flag);
            }
        }
        let status = child.status().context("the walk can't be started")?;
        if let Some(signal) = status.signal() {
            anyhow::ensure!(
                CRASHES.contains(&signal),
                "the walk was ended from outside (signal {signal})"
            );
            anyhow::bail!(
                "{}: the gallery is damaged so badly that walking it crashed (signal {signal}); \
                 restore it from a backup",
                globals.gallery
            );
        }
        Ok(if status.success() { ExitReason::Done } else { ExitReason::Failed })
    }

    fn walk(&self, globals: &GlobalOptions) -> anyhow::Result<ExitReason> {
        let store = globals.open(Access::Read)?;
        let verified = store
            .verify(|_, record, webp| if self.deep { find_damage(record, webp) } else { None })?;
        if self.json {
            output::print_line(serde_json::to_string(&verified)?)?;
        } else {
            output::print(|stdout| {
                verified.problems.iter().try_for_each(|damage| {
                    writeln!(stdout, "{}: {}", damage.subject, damage.problem)
                })
            })?;
        }
        let found = match verified.problems.len() {
            0 => "no damage".to_owned(),
            1 => "1 problem".to_owned(),
            count => format!("{count} problems"),
        };
        globals.say(format_args!(
            "{} images, {}: {found}",
            HumanCount(verified.images),
            DecimalBytes(verified.bytes)
        ));
        Ok(if verified.problems.is_empty() { ExitReason::Done } else { ExitReason::Failed })
    }
}

/// Decodes an image and returns what is wrong with it: its bytes, or its size beside its record's.
fn find_damage(record: &ImageRecord, webp: &[u8]) -> Option<String> {
    match codec::probe(webp, &codec::DecodeLimits::NONE) {
        Err(error) => Some(format!("it does not decode: {error}")),
        Ok(size) if size != (record.width, record.height) => Some(format!(
            "it is {} x {} pixels, its record says {} x {}",
            size.0, size.1, record.width, record.height
        )),
        Ok(_) => None,
    }
}
