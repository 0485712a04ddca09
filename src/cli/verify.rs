//! `imagepool verify`: checks that everything is there, and as it was stored.
//!
//! Of a damaged gallery it says which images can be had, and which can't and why.

use clap::builder::FalseyValueParser;
use indicatif::{DecimalBytes, HumanCount};

use super::global::{ExitReason, GlobalOptions};
use super::output;
use crate::codec;
use crate::store::Verified;

/// Check every image against its id and its record
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Decode every image too
    #[arg(long, env = "IMAGEPOOL_DEEP", value_parser = FalseyValueParser::new())]
    deep: bool,

    /// Print the findings as JSON on stdout
    #[arg(long, env = "IMAGEPOOL_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
}

impl Args {
    pub(super) fn run(self, globals: &GlobalOptions) -> anyhow::Result<ExitReason> {
        let reader = globals.open_reader()?;
        reader.notes().iter().for_each(|note| globals.say(note));
        let verified =
            if self.deep { reader.verify(&find_damage) } else { reader.verify(&|_, _| None) }?;
        if self.json {
            output::print_line(serde_json::to_string(&verified)?)?;
        } else {
            output::print(|stdout| {
                verified.problems.iter().try_for_each(|damage| {
                    writeln!(stdout, "{}: {}", damage.subject, damage.problem)
                })
            })?;
        }
        if verified.problems.is_empty() {
            globals.say(format_args!(
                "{} images, {}: no damage",
                HumanCount(verified.images),
                DecimalBytes(verified.bytes)
            ));
            return Ok(ExitReason::Done);
        }
        globals.say(summary(&verified, &globals.gallery.to_string()));
        Ok(ExitReason::Failed)
    }
}

/// Says how much of a damaged gallery is left, and what to do.
fn summary(verified: &Verified, gallery: &str) -> String {
    let problems = match verified.problems.len() {
        1 => "1 problem".to_owned(),
        count => format!("{} problems", HumanCount(count as u64)),
    };
    let lost = match verified.unreadable {
        Some(count) => format!("{} can't", HumanCount(count)),
        None => "how many can't is not known".to_owned(),
    };
    format!(
        "{problems}; {} images can be had, {lost}. A backup mends it, or \
         `imagepool salvage {gallery} NEW` copies what can be had, perhaps more, to a new gallery",
        HumanCount(verified.readable),
    )
}

/// Decodes an image and returns what is wrong with it: its bytes, or its size beside its record's.
fn find_damage(webp: &[u8], expected: (u32, u32)) -> Option<String> {
    match codec::probe(webp, &codec::DecodeLimits::NONE) {
        Err(error) => Some(format!("it does not decode: {error}")),
        Ok(size) if size != expected => Some(format!(
            "it is {} x {} pixels, its record says {} x {}",
            size.0, size.1, expected.0, expected.1
        )),
        Ok(_) => None,
    }
}
