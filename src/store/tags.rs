//! Lists of tags: in NFC, sorted, and without repeats.
//!
//! Galleries may have tags that were stored before all of them were brought to NFC.

use std::borrow::Cow;

use crate::image::nfc;

/// Adds and drops tags, and keeps them in NFC, sorted and without repeats.
pub(super) fn merge_tags(tags: &mut Vec<String>, add: &[String], drop: &[String]) {
    tags.extend(add.iter().cloned());
    for tag in tags.iter_mut() {
        if let Cow::Owned(composed) = nfc(tag) {
            *tag = composed;
        }
    }
    tags.retain(|tag| !has_tag(drop, tag));
    tags.sort_unstable();
    tags.dedup();
}

/// Whether a tag, which is in NFC, is one of these.
pub(super) fn has_tag(tags: &[String], tag: &str) -> bool {
    tags.iter().any(|other| nfc(other) == tag)
}
