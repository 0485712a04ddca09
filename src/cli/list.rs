//! `imagepool list`: prints what is in the gallery.

use std::io::{self, Write};

use clap::builder::FalseyValueParser;
use indicatif::DecimalBytes;

use super::filter::FilterArgs;
use super::global::{ExitReason, GlobalOptions};
use super::output::{self, printable};
use crate::image::{ImageId, ImageInfo, ImageRecord};

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
    pub(super) fn run(self, globals: &GlobalOptions) -> anyhow::Result<ExitReason> {
        let mut reader = globals.open_reader()?;
        let filter = self.filter.into_filter();
        let mut images: Vec<(ImageId, ImageRecord)> = Vec::new();
        reader.images(|id, record| {
            if filter.matches(&record) {
                images.push((id, record));
            }
        });
        images.sort_by_key(|(_, record)| std::cmp::Reverse(record.ordinal));
        output::print(|stdout| {
            if self.json {
                let infos: Vec<_> =
                    images.iter().map(|(id, record)| ImageInfo::new(*id, record)).collect();
                serde_json::to_writer(&mut *stdout, &infos)?;
                writeln!(stdout)
            } else {
                images.iter().try_for_each(|(id, record)| write_line(stdout, *id, record))
            }
        })?;
        Ok(globals.tell_damage(&reader))
    }
}

/// Writes what a person sees of an image.
fn write_line(stdout: &mut dyn Write, id: ImageId, record: &ImageRecord) -> io::Result<()> {
    let size = format!("{}x{}", record.width, record.height);
    let bytes = DecimalBytes(record.size_bytes).to_string();
    let renditions = format!("+{}", record.kept_renditions().count());
    let source = printable(&record.source);
    let tags = if record.tags.is_empty() {
        String::new()
    } else {
        format!("  [{}]", record.tags.join(", "))
    };
    writeln!(stdout, "{id}  {size:>11}  {bytes:>9} {renditions:>3}  {source}{tags}")
}
