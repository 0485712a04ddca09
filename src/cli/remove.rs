//! `imagepool remove`: takes images out of the gallery.

use std::collections::{BTreeSet, HashSet};
use std::io;

use anyhow::Context as _;

use super::filter::FilterArgs;
use super::global::{ExitReason, GlobalOptions, UsageError};
use super::output;
use super::show::no_such_image;
use crate::catalog::RecordFilter;
use crate::image::ImageId;
use crate::store::{Access, Store};

/// Remove images, which later imports leave out
///
/// `imagepool import --again` takes their pictures again, and `imagepool restore-image ID` brings
/// one back.
#[derive(Debug, clap::Args)]
// A variable of the environment must not choose what is removed.
#[command(mut_args = |arg| arg.env(None::<&str>))]
pub(super) struct Args {
    /// The images' ids, or - for a list on stdin: the first word of each line, as `imagepool list`
    /// prints them
    #[arg(value_name = "ID")]
    id: Vec<String>,

    #[command(flatten)]
    filter: FilterArgs,
}

impl Args {
    pub(super) fn run(self, globals: &GlobalOptions) -> anyhow::Result<ExitReason> {
        let filter = self.filter.into_filter();
        let has_filter = !filter.is_empty();
        let ids = match self.id.as_slice() {
            [] if has_filter => None,
            [] => anyhow::bail!(usage("give the ID of an image, - or a filter such as --tag T")),
            _ if has_filter => anyhow::bail!(usage("give either ids or filters, not both")),
            [dash] if dash == "-" => Some(read_ids()?),
            ids => Some(parse_ids(ids.iter().map(String::as_str))?),
        };
        let store = globals.open(Access::Write)?;
        let ids = match ids {
            Some(ids) => ids,
            None => matching(&store, &filter)?,
        };
        let ids: Vec<_> = ids.into_iter().collect();
        let removed: HashSet<_> = store.remove(&ids)?.into_iter().collect();
        let missing: Vec<_> = ids.iter().filter(|id| !removed.contains(id)).collect();
        for id in &missing {
            output::complain(no_such_image(**id));
        }
        globals.say(format_args!("{} removed", removed.len()));
        Ok(if missing.is_empty() { ExitReason::Done } else { ExitReason::Failed })
    }
}

fn usage(advice: &str) -> UsageError {
    UsageError(format!("{advice}; `imagepool list` shows the images"))
}

/// Reads all ids before the first image is removed: after a bad line nothing is.
fn read_ids() -> anyhow::Result<BTreeSet<ImageId>> {
    let text = io::read_to_string(io::stdin()).context("the ids on stdin can't be read")?;
    parse_ids(text.lines().filter_map(|line| line.split_whitespace().next()))
}

fn parse_ids<'t>(words: impl Iterator<Item = &'t str>) -> anyhow::Result<BTreeSet<ImageId>> {
    let parse = |word: &str| match word.parse() {
        Ok(id) => Ok(id),
        Err(error) => Err(UsageError(format!("{word:?}: {error}; nothing was removed")).into()),
    };
    words.map(parse).collect()
}

/// Returns the ids of the images that a filter matches. A damaged record makes it fail, because it
/// might be one of them.
fn matching(store: &Store, filter: &RecordFilter) -> anyhow::Result<BTreeSet<ImageId>> {
    let mut ids = BTreeSet::new();
    store.each_image(|id, record| {
        if filter.matches(&record) {
            ids.insert(id);
        }
    })?;
    Ok(ids)
}
