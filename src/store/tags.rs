//! Lists of tags: sorted, and without repeats.

/// Adds and drops tags, and keeps them sorted and without repeats.
pub(super) fn merge_tags(tags: &mut Vec<String>, add: &[String], drop: &[String]) {
    tags.extend(add.iter().cloned());
    tags.retain(|tag| !drop.contains(tag));
    tags.sort_unstable();
    tags.dedup();
}
