//! `imagepool list`: what is in the gallery.

use std::io::{self, Write as _};

use clap::builder::FalseyValueParser;
use indicatif::DecimalBytes;

use super::filter::FilterArgs;
use super::{Context, End};
use crate::image::{ImageId, ImageInfo, ImageRecord};
use crate::store::Access;

/// List images, newest first
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    filter: FilterArgs,

    /// As a JSON array on stdout
    #[arg(long, env = "IMAGEPOOL_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<End> {
        let store = context.open(Access::Read)?;
        let filter = self.filter.into_filter();
        let mut images: Vec<(ImageId, ImageRecord)> = Vec::new();
        store.each_image(|id, record| {
            if filter.matches(&record) {
                images.push((id, record));
            }
        })?;
        images.sort_by_key(|(_, record)| std::cmp::Reverse(record.ordinal));
        let mut stdout = io::BufWriter::new(io::stdout().lock());
        if self.json {
            let infos: Vec<_> =
                images.iter().map(|(id, record)| ImageInfo::new(*id, record)).collect();
            serde_json::to_writer(&mut stdout, &infos)?;
            writeln!(stdout)?;
        } else {
            for (id, record) in &images {
                let size = format!("{}x{}", record.width, record.height);
                let bytes = DecimalBytes(record.size_bytes).to_string();
                let renditions = format!("+{}", record.renditions.len());
                write!(
                    stdout,
                    "{id}  {size:>11}  {bytes:>9} {renditions:>3}  {}",
                    printable(&record.source)
                )?;
                writeln!(
                    stdout,
                    "{}",
                    if record.tags.is_empty() {
                        String::new()
                    } else {
                        format!("  [{}]", record.tags.join(", "))
                    }
                )?;
            }
        }
        stdout.flush()?;
        Ok(End::Done)
    }
}

/// A file name without the control characters that could drive a terminal.
pub(super) fn printable(name: &str) -> String {
    name.chars()
        .map(|character| if character.is_control() { '\u{FFFD}' } else { character })
        .collect()
}
