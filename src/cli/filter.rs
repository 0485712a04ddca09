//! Which images a command is about.

use crate::image::{ImageRecord, Orientation, parse_tag};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Filters")]
pub(super) struct Filter {
    /// Only images with this tag; -T leaves them out (repeatable)
    #[arg(long, env = "IMAGEPOOL_TAG", value_name = "T", value_parser = parse_tag_term, allow_hyphen_values = true)]
    tag: Vec<TagTerm>,

    /// landscape, portrait or square
    #[arg(long, env = "IMAGEPOOL_ORIENTATION", value_name = "O")]
    orientation: Option<Orientation>,

    /// Only images at least this wide, in pixels
    #[arg(long, env = "IMAGEPOOL_MIN_WIDTH", value_name = "N")]
    min_width: Option<u32>,

    /// Only images at most this wide, in pixels
    #[arg(long, env = "IMAGEPOOL_MAX_WIDTH", value_name = "N")]
    max_width: Option<u32>,

    /// Only images at least this high, in pixels
    #[arg(long, env = "IMAGEPOOL_MIN_HEIGHT", value_name = "N")]
    min_height: Option<u32>,

    /// Only images at most this high, in pixels
    #[arg(long, env = "IMAGEPOOL_MAX_HEIGHT", value_name = "N")]
    max_height: Option<u32>,

    /// Only animations, or only still images
    #[arg(long, env = "IMAGEPOOL_ANIMATED", value_name = "true|false")]
    animated: Option<bool>,
}

#[derive(Clone, Debug)]
struct TagTerm {
    tag: String,
    wanted: bool,
}

fn parse_tag_term(text: &str) -> Result<TagTerm, crate::image::BadTag> {
    match text.strip_prefix('-') {
        Some(unwanted) => Ok(TagTerm { tag: parse_tag(unwanted)?, wanted: false }),
        None => Ok(TagTerm { tag: parse_tag(text)?, wanted: true }),
    }
}

impl Filter {
    pub(super) fn matches(&self, record: &ImageRecord) -> bool {
        let within = |value: u32, min: Option<u32>, max: Option<u32>| {
            min.is_none_or(|min| value >= min) && max.is_none_or(|max| value <= max)
        };
        self.tag.iter().all(|term| record.tags.contains(&term.tag) == term.wanted)
            && self.orientation.is_none_or(|orientation| record.orientation() == orientation)
            && within(record.width, self.min_width, self.max_width)
            && within(record.height, self.min_height, self.max_height)
            && self.animated.is_none_or(|animated| record.animated() == animated)
    }
}
