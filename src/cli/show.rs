//! `imagepool show`: prints one image's record.

use anyhow::Context as _;
use clap::builder::FalseyValueParser;
use indicatif::DecimalBytes;

use super::global::{ExitReason, GlobalOptions};
use super::output::{self, printable};
use crate::image::{Credit, ImageId, ImageInfo, ImageRecord, image_path, rfc3339};
use crate::store::Access;

/// Show what is known of an image
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The image's id
    id: ImageId,

    /// As JSON on stdout
    #[arg(long, env = "IMAGEPOOL_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
}

impl Args {
    pub(super) fn run(self, globals: &GlobalOptions) -> anyhow::Result<ExitReason> {
        let record = globals.open(Access::Read)?.image(self.id)?;
        let record = record.with_context(|| no_such_image(self.id))?;
        if self.json {
            output::print_line(serde_json::to_string(&ImageInfo::new(self.id, &record))?)?;
            return Ok(ExitReason::Done);
        }
        let animation =
            if record.animated() { format!(", {} frames", record.frames) } else { String::new() };
        let alpha = if record.alpha { ", transparent" } else { "" };
        let source_bytes = DecimalBytes(record.source_bytes);
        let mut lines = vec![
            ("id", self.id.to_string()),
            ("size", format!("{} x {} pixels{animation}{alpha}", record.width, record.height)),
            ("bytes", format!("{} ({})", record.size_bytes, DecimalBytes(record.size_bytes))),
            (
                "source",
                format!("{} ({}, {source_bytes})", printable(&record.source), record.source_format),
            ),
            ("tags", record.tags.join(", ")),
        ];
        lines.extend(said_of_itself(&record));
        lines.push(("imported", rfc3339(record.imported_at)));
        lines.push(("path", image_path(self.id)));
        output::print(|stdout| {
            lines.iter().try_for_each(|(name, value)| writeln!(stdout, "{name:>9}  {value}"))
        })?;
        Ok(ExitReason::Done)
    }
}

/// Returns the lines for what the picture says of itself. One that says nothing has none.
fn said_of_itself(record: &ImageRecord) -> Vec<(&'static str, String)> {
    let metadata = &record.metadata;
    let credit = metadata.credit();
    let of_credit = |part: for<'c> fn(&Credit<'c>) -> Option<&'c str>| {
        credit.as_ref().and_then(part).map(printable)
    };
    let lines = [
        ("taken", metadata.taken_at.map(|at| at.to_string())),
        ("rating", metadata.rating.map(|stars| format!("{stars} of 5"))),
        ("title", metadata.title.as_deref().map(printable)),
        ("creator", of_credit(|credit| credit.creator)),
        ("copyright", of_credit(|credit| credit.copyright)),
        ("licence", of_credit(|credit| credit.licence)),
    ];
    lines.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

pub(super) fn no_such_image(id: ImageId) -> String {
    format!("there is no image {id}; `imagepool list` shows them")
}
