//! Changes to a gallery's keys: add, rotate, revoke. The caller stores the result.

use super::key::{KeyError, KeyId};
use super::record::KeyRecord;

/// Name of the key that `serve` creates and that `key rotate` replaces when no name is given.
pub const DEFAULT_KEY_NAME: &str = "default";

/// Adds `new`, whose name no live key may have.
///
/// # Errors
/// [`KeyError::NameTaken`].
pub fn add(keys: &mut Vec<KeyRecord>, new: KeyRecord) -> Result<(), KeyError> {
    if keys.iter().any(|key| key.name == new.name && key.live(new.created)) {
        return Err(KeyError::NameTaken(new.name));
    }
    keys.push(new);
    Ok(())
}

/// Replaces all keys of the name by `new`. They end at once, or `grace_seconds` after its creation.
/// What the newest of them was limited to, `new` is limited to.
///
/// # Errors
/// [`KeyError::NoSuchName`] when no live key has the name, unless it is the default's.
pub fn rotate(
    keys: &mut Vec<KeyRecord>,
    mut new: KeyRecord,
    grace_seconds: Option<u64>,
) -> Result<(), KeyError> {
    let named = |key: &&KeyRecord| key.name == new.name && key.live(new.created);
    match keys.iter().filter(named).max_by_key(|key| key.created) {
        Some(key) => new.only_tags.clone_from(&key.only_tags),
        None if new.name == DEFAULT_KEY_NAME => {}
        None => return Err(KeyError::NoSuchName(new.name)),
    }
    match grace_seconds {
        None => keys.retain(|key| key.name != new.name),
        Some(grace) => {
            let end = new.created.saturating_add(grace);
            for key in keys.iter_mut().filter(|key| key.name == new.name) {
                key.expires = Some(key.expires.map_or(end, |expires| expires.min(end)));
            }
        }
    }
    keys.push(new);
    Ok(())
}

/// Ends the key with this id.
///
/// # Errors
/// [`KeyError::NoSuchKey`].
pub fn revoke(keys: &mut Vec<KeyRecord>, id: KeyId) -> Result<(), KeyError> {
    let before = keys.len();
    keys.retain(|key| key.id != id);
    if keys.len() < before { Ok(()) } else { Err(KeyError::NoSuchKey(id)) }
}
