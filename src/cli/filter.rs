//! The flags that say which images a command is about.

use crate::catalog::{Filter, RecordFilter, TagTerm};
use crate::image::{Orientation, TakenAt};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Filters")]
pub(super) struct FilterArgs {
    /// Only images with this tag; -T leaves them out (repeatable)
    #[arg(long, env = "IMAGEPOOL_TAG", value_name = "T", allow_hyphen_values = true)]
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

    /// Only pictures taken at this time or later, such as 2024, 2024-05-17 or
    /// 2024-05-17T18:30:00+02:00
    #[arg(long, env = "IMAGEPOOL_TAKEN_AFTER", value_name = "DATE")]
    taken_after: Option<TakenAt>,

    /// Only pictures taken before this time: before 2024 leaves all of 2024 out
    #[arg(long, env = "IMAGEPOOL_TAKEN_BEFORE", value_name = "DATE")]
    taken_before: Option<TakenAt>,

    /// Only pictures with at least so many stars, 0 to 5
    #[arg(
        long,
        env = "IMAGEPOOL_MIN_RATING",
        value_name = "N",
        value_parser = clap::value_parser!(u8).range(0..=5)
    )]
    min_rating: Option<u8>,
}

impl FilterArgs {
    pub(super) fn into_filter(self) -> RecordFilter {
        let filter = Filter {
            tags: self.tag,
            orientation: self.orientation,
            min_width: self.min_width,
            max_width: self.max_width,
            min_height: self.min_height,
            max_height: self.max_height,
            animated: self.animated,
        }
        .normalise();
        RecordFilter {
            filter,
            taken_after: self.taken_after,
            taken_before: self.taken_before,
            min_rating: self.min_rating,
        }
    }
}
