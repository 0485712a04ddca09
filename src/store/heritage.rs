//! What an image takes over from others.

use super::addition::Origin;

/// What an image takes over from those that its source had become under other settings.
#[derive(Default)]
pub(super) struct Heritage {
    /// Whether there was such an image.
    pub(super) replaces: bool,
    /// Whether the source had become this very image under other settings.
    pub(super) was_known: bool,
    /// The smallest ordinal of the images that have gone.
    pub(super) ordinal: Option<u32>,
    pub(super) hand_tags: Vec<String>,
    pub(super) refused_tags: Vec<String>,
    pub(super) origins: Vec<Origin>,
    /// Sources that were skipped because they look like an image that has gone.
    pub(super) skipped: Vec<Vec<u8>>,
}
