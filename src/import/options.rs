//! How to import: the settings that the command line gives an import.

use std::time::Duration;

use super::exclude::ExcludeRules;
use crate::codec::{DecodeLimits, Settings};

/// How to import.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    pub settings: Settings,
    pub limits: DecodeLimits,
    /// Number of files converted at once; at least 1.
    pub jobs: usize,
    /// Tags put on every image, as if by hand.
    pub tags: Vec<String>,
    /// Whether the folders below each path are tags too.
    pub folder_tags: bool,
    /// Whether the keywords of pictures and the names of their albums are tags too.
    pub metadata_tags: bool,
    /// Which files and folders are left out.
    pub excludes: ExcludeRules,
    /// Whether pictures are skipped that look like an image of the gallery.
    pub skip_similar: bool,
    /// Whether pictures are imported whose images a person removed before.
    pub again: bool,
    /// Whether images are removed whose files are gone from the paths.
    pub prune: bool,
    /// Whether files are deleted once their images are durable.
    pub delete_originals: bool,
    /// How long a file must have been left alone before it is looked at, because it may be
    /// half-written. With this set, files with the name of a temporary file are ignored too.
    pub settle_time: Option<Duration>,
    /// Whether the import only reports what it would do, and changes nothing.
    pub dry_run: bool,
}
