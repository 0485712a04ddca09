//! `imagepool tag`: puts tags on images and takes them off.

use super::global::{ExitReason, GlobalOptions, UsageError};
use super::output;
use super::show::no_such_image;
use crate::image::{ImageId, parse_tag, parse_tags};
use crate::store::Access;

/// Put tags on images (+T) and take them off (-T)
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The images' ids, and the tags: +T adds T, or several with commas between them, -T takes
    /// T off
    #[arg(
        required = true,
        value_name = "ID|+T|-T",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    terms: Vec<String>,
}

impl Args {
    pub(super) fn run(self, globals: &GlobalOptions) -> anyhow::Result<ExitReason> {
        let (mut ids, mut add, mut drop) = (Vec::new(), Vec::new(), Vec::new());
        for term in &self.terms {
            let wrong = |error: &dyn std::fmt::Display| UsageError(format!("{term:?}: {error}"));
            match term.split_at_checked(1) {
                Some(("+", text)) => add.extend(parse_tags(text).map_err(|error| wrong(&error))?),
                // A folder's name, and so its tag, may have a comma in it.
                Some(("-", text)) => drop.push(parse_tag(text).map_err(|error| wrong(&error))?),
                _ => ids.push(term.parse::<ImageId>().map_err(|error| wrong(&error))?),
            }
        }
        if ids.is_empty() {
            anyhow::bail!(UsageError(
                "give the id of at least one image; `imagepool list` shows them".into()
            ));
        }
        if add.is_empty() && drop.is_empty() {
            anyhow::bail!(UsageError("give at least one tag, as +T or -T".into()));
        }
        let store = globals.open(Access::Write)?;
        let mut reason = ExitReason::Done;
        for id in ids {
            match store.retag(id, &add, &drop)? {
                Some(record) => globals.say(format_args!("{id}  [{}]", record.tags.join(", "))),
                None => {
                    output::complain(no_such_image(id));
                    reason = ExitReason::Failed;
                }
            }
        }
        Ok(reason)
    }
}
