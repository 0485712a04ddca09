//! `imagepool tag`: put tags on images and take them off.

use super::show::no_such_image;
use super::{Context, End, Usage};
use crate::image::{ImageId, parse_tag};
use crate::store::Access;

/// Put tags on images (+T) and take them off (-T)
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The images' ids, and the tags: +T adds T, -T takes it off
    #[arg(
        required = true,
        value_name = "ID|+T|-T",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    terms: Vec<String>,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<End> {
        let (mut ids, mut add, mut drop) = (Vec::new(), Vec::new(), Vec::new());
        for term in &self.terms {
            let wrong = |error: &dyn std::fmt::Display| Usage(format!("{term:?}: {error}"));
            let tag = |text: &str| parse_tag(text).map_err(|error| wrong(&error));
            match term.split_at_checked(1) {
                Some(("+", text)) => add.push(tag(text)?),
                Some(("-", text)) => drop.push(tag(text)?),
                _ => ids.push(term.parse::<ImageId>().map_err(|error| wrong(&error))?),
            }
        }
        if ids.is_empty() {
            anyhow::bail!(Usage(
                "give the id of at least one image; `imagepool list` shows them".into()
            ));
        }
        if add.is_empty() && drop.is_empty() {
            anyhow::bail!(Usage("give at least one tag, as +T or -T".into()));
        }
        let store = context.open(Access::Write)?;
        let mut end = End::Done;
        for id in ids {
            match store.retag(id, &add, &drop)? {
                Some(record) => context.say(format_args!("{id}  [{}]", record.tags.join(", "))),
                None => {
                    eprintln!("error: {}", no_such_image(id));
                    end = End::SomeFailed;
                }
            }
        }
        Ok(end)
    }
}
