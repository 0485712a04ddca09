//! `imagepool show`: one image's record.

use std::io::{self, Write as _};

use anyhow::Context as _;
use clap::builder::FalseyValueParser;
use indicatif::DecimalBytes;

use super::list::printable;
use super::{Context, End};
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
    pub(super) fn run(self, context: &Context) -> anyhow::Result<End> {
        let record = context.open(Access::Read)?.image(self.id)?;
        let record = record.with_context(|| no_such_image(self.id))?;
        let mut stdout = io::stdout().lock();
        if self.json {
            writeln!(stdout, "{}", serde_json::to_string(&ImageInfo::new(self.id, &record))?)?;
            return Ok(End::Done);
        }
        let animation =
            if record.animated() { format!(", {} frames", record.frames) } else { String::new() };
        let alpha = if record.alpha { ", transparent" } else { "" };
        let source_bytes = DecimalBytes(record.source_bytes);
        for (name, value) in [
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
        ] {
            writeln!(stdout, "{name:>9}  {value}")?;
        }
        Ok(End::Done)
    }
}

pub(super) fn no_such_image(id: ImageId) -> String {
    format!("there is no image {id}; `imagepool list` shows them")
}
