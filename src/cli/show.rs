//! `imagepool show`: prints one image's record.

use anyhow::Context as _;
use clap::builder::FalseyValueParser;
use indicatif::DecimalBytes;

use super::global::{ExitReason, GlobalOptions};
use super::list::printable;
use super::output;
use crate::image::{ImageId, ImageInfo, image_path, rfc3339};
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
        let lines = [
            ("id", self.id.to_string()),
            ("size", format!("{} x {} pixels{animation}{alpha}", record.width, record.height)),
            ("bytes", format!("{} ({})", record.size_bytes, DecimalBytes(record.size_bytes))),
            (
                "source",
                format!("{} ({}, {source_bytes})", printable(&record.source), record.source_format),
            ),
            ("tags", record.tags.join(", ")),
            ("imported", rfc3339(record.imported_at)),
            ("path", image_path(self.id)),
        ];
        output::print(|stdout| {
            lines.iter().try_for_each(|(name, value)| writeln!(stdout, "{name:>9}  {value}"))
        })?;
        Ok(ExitReason::Done)
    }
}

pub(super) fn no_such_image(id: ImageId) -> String {
    format!("there is no image {id}; `imagepool list` shows them")
}
