//! `imagepool verify`: is everything there, and as it was stored?
//!
//! LMDB trusts its file: pages that were damaged from outside can crash whoever walks them. So the walk runs in a
//! child process, and a crash of that child is a finding, not our end.

use std::io::{self, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use anyhow::Context as _;
use clap::builder::FalseyValueParser;
use indicatif::{DecimalBytes, HumanCount};

use super::{Context, End};
use crate::codec;
use crate::image::ImageRecord;
use crate::store::Access;

/// SIGILL, SIGABRT, SIGBUS, SIGFPE, SIGSEGV: what damaged pages can lead to.
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
    pub(super) fn run(self, context: &Context) -> anyhow::Result<End> {
        if self.in_this_process { self.walk(context) } else { self.walk_in_child(context) }
    }

    fn walk_in_child(&self, context: &Context) -> anyhow::Result<End> {
        let program = std::env::current_exe().context("this program's own file can't be found")?;
        let mut child = Command::new(program);
        child
            .arg("--gallery")
            .arg(context.gallery.to_string())
            .args(["verify", "--in-this-process"]);
        for (given, flag) in
            [(self.deep, "--deep"), (self.json, "--json"), (context.quiet, "--quiet")]
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
                "{}: the gallery is damaged so badly that walking it crashed (signal {signal}); restore it from a backup",
                context.gallery
            );
        }
        Ok(if status.success() { End::Done } else { End::SomeFailed })
    }

    fn walk(&self, context: &Context) -> anyhow::Result<End> {
        let store = context.open(Access::Read)?;
        let verified = store
            .verify(|_, record, webp| if self.deep { look_into(record, webp) } else { None })?;
        let mut stdout = io::stdout().lock();
        if self.json {
            writeln!(stdout, "{}", serde_json::to_string(&verified)?)?;
        } else {
            for problem in &verified.problems {
                writeln!(stdout, "{}: {}", problem.subject, problem.problem)?;
            }
        }
        let found = match verified.problems.len() {
            0 => "no damage".to_owned(),
            1 => "1 problem".to_owned(),
            count => format!("{count} problems"),
        };
        context.say(format_args!(
            "{} images, {}: {found}",
            HumanCount(verified.images),
            DecimalBytes(verified.bytes)
        ));
        Ok(if verified.problems.is_empty() { End::Done } else { End::SomeFailed })
    }
}

/// Decodes an image and compares its size with its record's.
fn look_into(record: &ImageRecord, webp: &[u8]) -> Option<String> {
    match codec::probe(webp, &codec::DecodeLimits::NONE) {
        Err(error) => Some(format!("it does not decode: {error}")),
        Ok(size) if size != (record.width, record.height) => Some(format!(
            "it is {} x {} pixels, its record says {} x {}",
            size.0, size.1, record.width, record.height
        )),
        Ok(_) => None,
    }
}
