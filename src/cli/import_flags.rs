//! The flags that `import` and `serve` share: how pictures are converted, and the limits of a
//! source.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use clap::builder::FalseyValueParser;

use super::global::UsageError;
use crate::codec::{DecodeLimits, Lossless, MAX_WEBP_SIDE, Settings};
use crate::image::{BadTag, parse_tags};
use crate::import::{BadGlob, ExcludeGlob, ExcludeRules, ImportOptions};

#[derive(Debug, clap::Args)]
pub(super) struct ImportFlags {
    /// WebP quality of lossy images, 0 (small) to 100 (best); lower for a JPEG that would grow
    // The default is that of `cwebp`, and so of the old service.
    #[arg(
        long,
        env = "IMAGEPOOL_QUALITY",
        default_value_t = 75,
        value_parser = clap::value_parser!(u8).range(0..=100)
    )]
    quality: u8,

    /// When to store without loss; auto: where that is smaller, of lossless sources with few
    /// colours
    #[arg(long, env = "IMAGEPOOL_LOSSLESS", value_name = "WHEN", default_value = "auto")]
    lossless: LosslessFlag,

    /// Keep thin coloured lines sharp in lossy still images, such as red text; takes longer
    #[arg(long, env = "IMAGEPOOL_SHARP_YUV", value_parser = FalseyValueParser::new())]
    sharp_yuv: bool,

    /// Widths of smaller copies stored beside each image, or none
    #[arg(
        long,
        env = "IMAGEPOOL_RENDITIONS",
        value_name = "WIDTHS",
        default_value = "320,640,1280,1920",
        value_parser = parse_widths
    )]
    renditions: RenditionWidths,

    /// Pictures converted at once [default: one a core]
    #[arg(
        long,
        env = "IMAGEPOOL_JOBS",
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=1024)
    )]
    jobs: Option<u16>,

    /// A tag for every image, or several with commas between them (repeatable)
    #[arg(long, env = "IMAGEPOOL_TAG", value_name = "T", value_parser = parse_tag_list)]
    tag: Vec<TagList>,

    /// Leave out what matches, as in a .gitignore file (repeatable, or with commas in between)
    #[arg(long, env = "IMAGEPOOL_EXCLUDE", value_name = "GLOB", value_parser = parse_globs)]
    exclude: Vec<GlobList>,

    /// Also take what is left out by default: trash, thumbnails and other files of programs,
    /// folders with a .nomedia file, names in .ignore files
    #[arg(long, env = "IMAGEPOOL_NO_DEFAULT_EXCLUDES", value_parser = FalseyValueParser::new())]
    no_default_excludes: bool,

    /// Do not make a tag of each folder below PATH
    #[arg(long, env = "IMAGEPOOL_NO_DIR_TAGS", value_parser = FalseyValueParser::new())]
    no_dir_tags: bool,

    /// Make tags of the keywords and albums that pictures name in EXIF, IPTC or XMP
    #[arg(long, env = "IMAGEPOOL_METADATA_TAGS", value_parser = FalseyValueParser::new())]
    metadata_tags: bool,

    /// Leave out pictures that look like an image of the gallery, at another size or quality
    #[arg(long, env = "IMAGEPOOL_SKIP_SIMILAR", value_parser = FalseyValueParser::new())]
    skip_similar: bool,

    /// Memory that conversions may take together
    #[arg(
        long,
        env = "IMAGEPOOL_MEMORY",
        value_name = "SIZE",
        default_value = "900MB",
        value_parser = parse_size,
        help_heading = LIMITS
    )]
    memory: u64,

    /// Largest source file
    #[arg(
        long,
        env = "IMAGEPOOL_MAX_SOURCE_BYTES",
        value_name = "SIZE",
        default_value = "256MB",
        value_parser = parse_size,
        help_heading = LIMITS
    )]
    max_source_bytes: u64,

    /// Most pixels of a picture, or of one frame
    #[arg(
        long,
        env = "IMAGEPOOL_MAX_PIXELS",
        value_name = "N",
        default_value_t = 300_000_000,
        help_heading = LIMITS
    )]
    max_pixels: u64,

    /// Most frames of an animation
    #[arg(
        long,
        env = "IMAGEPOOL_MAX_FRAMES",
        value_name = "N",
        default_value_t = 10_000,
        help_heading = LIMITS
    )]
    max_frames: u32,

    /// Most pixels of an animation, over all frames
    #[arg(
        long,
        env = "IMAGEPOOL_MAX_TOTAL_PIXELS",
        value_name = "N",
        default_value_t = 2_000_000_000,
        help_heading = LIMITS
    )]
    max_total_pixels: u64,

    /// Longest time to decode one picture
    #[arg(
        long,
        env = "IMAGEPOOL_DECODE_TIME",
        value_name = "TIME",
        default_value = "60s",
        value_parser = humantime::parse_duration,
        help_heading = LIMITS
    )]
    decode_time: Duration,
}

/// The heading of the limits in `--help`.
const LIMITS: &str = "Limits";

impl ImportFlags {
    /// Makes patterns relative that were given as paths below one of the imported folders.
    pub(super) fn exclude_below(&mut self, roots: &[PathBuf]) -> Result<(), UsageError> {
        for GlobList(globs) in &mut self.exclude {
            let below = std::mem::take(globs).into_iter().map(|glob| glob.below(roots));
            *globs = below
                .collect::<Result<_, _>>()
                .map_err(|error| UsageError(format!("--exclude: {error}")))?;
        }
        Ok(())
    }

    /// Returns the options that these flags say. The others are off.
    pub(super) fn into_options(self) -> ImportOptions {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        ImportOptions {
            settings: Settings {
                quality: self.quality,
                lossless: self.lossless.into(),
                sharp_yuv: self.sharp_yuv,
                renditions: self.renditions.0,
            },
            limits: DecodeLimits {
                source_bytes: self.max_source_bytes,
                pixels: self.max_pixels,
                frames: self.max_frames,
                total_pixels: self.max_total_pixels,
                memory_bytes: self.memory,
                decode_time: self.decode_time,
            },
            jobs: self.jobs.map_or_else(cores, usize::from),
            tags: self.tag.into_iter().flat_map(|list| list.0).collect(),
            excludes: ExcludeRules::new(
                self.exclude.into_iter().flat_map(|list| list.0),
                !self.no_default_excludes,
            ),
            folder_tags: !self.no_dir_tags,
            metadata_tags: self.metadata_tags,
            skip_similar: self.skip_similar,
            prune: false,
            delete_originals: false,
            settle_time: None,
            dry_run: false,
            again: false,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LosslessFlag {
    Auto,
    Always,
    Never,
}

impl From<LosslessFlag> for Lossless {
    fn from(flag: LosslessFlag) -> Self {
        match flag {
            LosslessFlag::Auto => Self::Auto,
            LosslessFlag::Always => Self::Always,
            LosslessFlag::Never => Self::Never,
        }
    }
}

/// The widths of one flag. clap would take a plain `Vec` for a flag that is given several times.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RenditionWidths(Vec<u16>);

fn parse_widths(text: &str) -> Result<RenditionWidths, String> {
    if text == "none" {
        return Ok(RenditionWidths(Vec::new()));
    }
    let width = |text: &str| {
        let width = text
            .trim()
            .parse()
            .ok()
            .filter(|width| (1..=MAX_WEBP_SIDE).contains(&u32::from(*width)));
        width.ok_or_else(|| {
            format!(
                "`{text}` is no width from 1 to {MAX_WEBP_SIDE}; \
                 give widths such as 320,640 or none"
            )
        })
    };
    let mut widths = text.split(',').map(width).collect::<Result<Vec<u16>, _>>()?;
    widths.sort_unstable();
    widths.dedup();
    Ok(RenditionWidths(widths))
}

/// The tags of one flag.
#[derive(Clone, Debug)]
struct TagList(Vec<String>);

fn parse_tag_list(text: &str) -> Result<TagList, BadTag> {
    parse_tags(text).map(TagList)
}

/// The globs of one flag.
#[derive(Clone, Debug, PartialEq, Eq)]
struct GlobList(Vec<ExcludeGlob>);

/// Parses globs with commas between them. A comma within braces or brackets, or behind a
/// backslash, is part of a glob.
fn parse_globs(text: &str) -> Result<GlobList, BadGlob> {
    let (mut start, mut depth, mut escaped) = (0, 0_u32, false);
    let mut globs = Vec::new();
    let mut push = |glob: &str| {
        (!glob.trim().is_empty()).then(|| glob.parse().map(|glob| globs.push(glob))).transpose()
    };
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                push(&text[start..at])?;
                start = at + 1;
            }
            _ => {}
        }
    }
    push(&text[start..])?;
    if globs.is_empty() {
        // It may be a variable that a shell does not know, so it is refused and not dropped.
        globs.push("".parse()?);
    }
    Ok(GlobList(globs))
}

/// Parses a number of bytes, with an optional unit: kB, MB, GB (powers of 1,000) or KiB, MiB, GiB
/// (of 1,024).
fn parse_size(text: &str) -> Result<u64, &'static str> {
    const FORM: &str = "give a size such as 900MB or 1GiB";
    let digits = text.trim().trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let number: u64 = digits.parse().map_err(|_| FORM)?;
    let unit = text.trim()[digits.len()..].trim().to_ascii_lowercase();
    let factor: u64 = match unit.trim_end_matches('b') {
        "" => 1,
        "k" => 1_000,
        "m" => 1_000_000,
        "g" => 1_000_000_000,
        "ki" => 1 << 10,
        "mi" => 1 << 20,
        "gi" => 1 << 30,
        _ => return Err(FORM),
    };
    number.checked_mul(factor).ok_or(FORM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("900MB", 900_000_000),
            ("1GiB", 1 << 30),
            ("12", 12),
            ("5 kB", 5000),
            ("2m", 2_000_000),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "MB", "-1", "1.5GB", "1TB", "99999999999GB", "12 34"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn globs_are_parted_by_commas_outside_of_braces() {
        for (text, globs) in [
            ("*.gif", &["*.gif"] as &[&str]),
            ("*.{gif,png}, raw/**,", &["*.{gif,png}", " raw/**"]),
            ("a\\,b,[,;]", &["a\\,b", "[,;]"]),
            ("trail\\ , a", &["trail\\ ", "a"]),
        ] {
            let globs = globs.iter().map(|glob| glob.parse().unwrap()).collect();
            assert_eq!(parse_globs(text).unwrap(), GlobList(globs), "{text}");
        }
        for blank in ["", " ", " , "] {
            assert!(parse_globs(blank).is_err(), "{blank:?}");
        }
        for bad in ["[", "*.{gif", "a,{b"] {
            assert!(
                parse_globs(bad).unwrap_err().to_string().contains(bad.trim_start_matches("a,"))
            );
        }
    }

    #[test]
    fn widths_are_sorted_and_none_is_none() {
        assert_eq!(parse_widths("640, 320,640"), Ok(RenditionWidths(vec![320, 640])));
        assert_eq!(parse_widths("none"), Ok(RenditionWidths(Vec::new())));
        for bad in ["", "0", "16384", "a", "320;640", "-1"] {
            assert!(parse_widths(bad).is_err(), "{bad}");
        }
    }
}
