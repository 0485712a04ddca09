//! New keys, which take effect only once their owner has seen them.

use anyhow::Context as _;

use super::output;
use crate::keys::{KeyError, KeyRecord};
use crate::store::Store;

/// What a change of the keys is about to do.
pub(super) struct Announcement<T> {
    /// The text that shows the new key.
    pub(super) text: String,
    /// What the caller wants to know of the change.
    pub(super) about: T,
}

/// Changes the keys in one commit. `change` returns the text that shows the new key, or `None` to
/// make none; the text is printed before anything is stored. If it can't be printed nothing
/// changes, so no old key ends for a new one that nobody knows. Other writers wait until it is
/// printed.
pub(super) fn show_then_store<T>(
    store: &Store,
    change: impl FnOnce(&mut Vec<KeyRecord>) -> Result<Option<Announcement<T>>, KeyError>,
) -> anyhow::Result<Option<T>> {
    let mut was_shown = false;
    let stored = store.change_keys(|keys| {
        let mut changed = keys.clone();
        let Some(announcement) = change(&mut changed)? else { return Ok(Ok(None)) };
        Ok(output::print_secret(&announcement.text).map(|()| {
            was_shown = true;
            *keys = changed;
            Some(announcement.about)
        }))
    });
    let shown = match stored {
        Err(error) if was_shown => {
            return Err(error)
                .context("the new key was shown but is not valid, and no key has ended");
        }
        stored => stored?,
    };
    shown.context("the new key can't be shown, so it was not made, and no key has ended")
}
