//! `imagepool stats`: prints counts and sizes.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write};

use clap::builder::FalseyValueParser;
use indicatif::{BinaryBytes, DecimalBytes, HumanCount};
use serde::Serialize;

use super::global::{ExitReason, GlobalOptions};
use super::output;
use crate::image::{ImageRecord, Orientation, now};

/// Length of the longest bar of the histogram, in columns.
const BAR_COLUMNS: u64 = 40;

/// Count images, bytes and formats
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// As JSON on stdout
    #[arg(long, env = "IMAGEPOOL_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
}

#[derive(Debug, Default, Serialize)]
struct GalleryStats {
    images: u64,
    /// Length of all images, in bytes.
    bytes: u64,
    /// Length of all images' sources, in bytes.
    source_bytes: u64,
    /// What the gallery takes on disk, in bytes.
    disk_bytes: u64,
    animated: u64,
    landscape: u64,
    portrait: u64,
    square: u64,
    renditions: u64,
    /// Length of all renditions, in bytes.
    rendition_bytes: u64,
    /// Number of keys that are valid now.
    keys: u64,
    /// Number of images by their source's format.
    formats: BTreeMap<String, u64>,
    /// Number of images by tag.
    tags: BTreeMap<String, u64>,
    /// Number of images by size: of at least this power of two of bytes, and less than the next.
    sizes: BTreeMap<u64, u64>,
}

impl GalleryStats {
    fn count(&mut self, record: &ImageRecord) {
        self.images += 1;
        self.bytes += record.size_bytes;
        self.source_bytes += record.source_bytes;
        self.animated += u64::from(record.animated());
        self.renditions += record.kept_renditions().count() as u64;
        self.rendition_bytes +=
            record.kept_renditions().map(|rendition| rendition.size_bytes).sum::<u64>();
        *match record.orientation() {
            Orientation::Landscape => &mut self.landscape,
            Orientation::Portrait => &mut self.portrait,
            Orientation::Square => &mut self.square,
        } += 1;
        *self.formats.entry(record.source_format.clone()).or_default() += 1;
        for tag in &record.tags {
            *self.tags.entry(tag.clone()).or_default() += 1;
        }
        *self.sizes.entry(1 << record.size_bytes.max(1).ilog2()).or_default() += 1;
    }
}

impl Args {
    pub(super) fn run(self, globals: &GlobalOptions) -> anyhow::Result<ExitReason> {
        let mut reader = globals.open_reader()?;
        let now = now();
        let disk_bytes = reader.size_on_disk()?;
        let mut stats = GalleryStats { disk_bytes, ..GalleryStats::default() };
        stats.keys = reader.keys().iter().filter(|key| key.live(now)).count() as u64;
        reader.images(|_, record| stats.count(&record));
        if self.json {
            output::print_line(serde_json::to_string(&stats)?)?;
        } else {
            let has_bars = io::stdout().is_terminal();
            output::print(|stdout| describe(&stats, has_bars, stdout))?;
        }
        Ok(globals.tell_damage(&reader))
    }
}

fn describe(stats: &GalleryStats, has_bars: bool, out: &mut dyn Write) -> io::Result<()> {
    let list = |counts: &BTreeMap<String, u64>| {
        let mut counts: Vec<_> = counts.iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        counts
            .iter()
            .map(|(name, count)| format!("{name} {}", HumanCount(**count)))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let GalleryStats { images, landscape, portrait, square, animated, renditions, keys, .. } =
        *stats;
    for (name, value) in [
        ("images", format!("{} ({} animated)", HumanCount(images), HumanCount(animated))),
        ("orientation", format!("{landscape} landscape, {portrait} portrait, {square} square")),
        (
            "stored",
            format!(
                "{} from {} of sources",
                DecimalBytes(stats.bytes),
                DecimalBytes(stats.source_bytes)
            ),
        ),
        (
            "renditions",
            format!("{}, {}", HumanCount(renditions), DecimalBytes(stats.rendition_bytes)),
        ),
        ("on disk", DecimalBytes(stats.disk_bytes).to_string()),
        ("keys", keys.to_string()),
        ("formats", list(&stats.formats)),
        ("tags", list(&stats.tags)),
    ] {
        writeln!(out, "{name:>11}  {value}")?;
    }
    if !has_bars {
        return Ok(());
    }
    writeln!(out)?;
    let most = stats.sizes.values().copied().max().unwrap_or(1);
    for (size, count) in &stats.sizes {
        let columns = (count * BAR_COLUMNS).div_ceil(most);
        let bar = "█".repeat(usize::try_from(columns).unwrap_or(0));
        writeln!(out, "{:>11}  {bar} {}", BinaryBytes(*size).to_string(), HumanCount(*count))?;
    }
    Ok(())
}
