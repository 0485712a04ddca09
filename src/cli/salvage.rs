//! `imagepool salvage`: copies all that can be read of a damaged gallery into a new one.

use clap::builder::FalseyValueParser;
use indicatif::{DecimalBytes, HumanCount};

use super::global::{ExitReason, GlobalOptions, UsageError};
use super::output;
use crate::codec;
use crate::image::{ImageRecord, now};
use crate::store::{self, Damage, Locator, Salvaged};

/// Copy all that can be read of a damaged gallery into a new one
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The damaged gallery's data file, which is only read
    from: Locator,

    /// The new gallery's data file, which must not exist
    to: Locator,

    /// Print as JSON on stdout what was brought and what is missing
    #[arg(long, env = "IMAGEPOOL_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
}

impl Args {
    pub(super) fn run(self, globals: &GlobalOptions) -> anyhow::Result<ExitReason> {
        let Locator::File(from) = &self.from else {
            let advice = "salvage reads data files; sled mends its own folder when it opens it";
            anyhow::bail!(UsageError(advice.into()));
        };
        let Locator::File(to) = &self.to else {
            let advice = "salvage makes a data file; `imagepool copy` brings that to sled";
            anyhow::bail!(UsageError(advice.into()));
        };
        let salvaged = store::salvage(from, to, &rebuild)?;
        if self.json {
            output::print_line(serde_json::to_string(&salvaged)?)?;
        } else {
            for Damage { subject, problem } in salvaged.problems.iter().chain(&salvaged.missing) {
                output::say(format_args!("{subject}: {problem}"));
            }
        }
        globals.say(summary(&salvaged, &self));
        let is_whole = salvaged.missing.is_empty();
        Ok(if is_whole { ExitReason::Done } else { ExitReason::Failed })
    }
}

fn summary(salvaged: &Salvaged, args: &Args) -> String {
    let Salvaged { images, bytes, keys, missing, .. } = salvaged;
    let missing = match missing.len() {
        0 => "nothing is missing".to_owned(),
        1 => "1 thing is missing".to_owned(),
        count => format!("{} things are missing", HumanCount(count as u64)),
    };
    format!(
        "brought from {} to {}: images {} ({}), keys {keys}; {missing}",
        args.from,
        args.to,
        HumanCount(*images),
        DecimalBytes(*bytes)
    )
}

/// Makes the record of an image whose record is lost. What it came from is not known.
fn rebuild(webp: &[u8]) -> Option<ImageRecord> {
    // A WebP stays as it is, so the quality is not used.
    let settings = codec::Settings::default();
    let limits = codec::DecodeLimits::NONE;
    let timer = codec::Timer::new(limits.decode_time);
    let size_bytes = webp.len() as u64;
    let converted = codec::convert(webp.to_vec(), &settings, &limits, &timer).ok()?;
    Some(ImageRecord {
        width: converted.width,
        height: converted.height,
        size_bytes,
        frames: converted.frames,
        alpha: converted.alpha,
        imported_at: now(),
        source_format: converted.format.name().to_owned(),
        thumbhash: converted.thumbhash,
        color: converted.color,
        perceptual_hash: converted.perceptual_hash,
        ..ImageRecord::default()
    })
}
