//! Whether a gallery file that was just written is whole, before it takes another one's place.

use std::path::Path;

use crate::store::{Locator, Reader, StoreError};

/// What a check of a gallery file found.
pub(super) struct Checked {
    /// The first damage in words, and how much more there is.
    pub(super) damage: Option<String>,
    /// Whether it was a draft of format 1, which it is no more.
    pub(super) was_migrated: bool,
}

/// Checks the gallery file `copy`, which nobody else has open. Errors name `origin`, because a
/// person knows nothing of the copy.
pub(super) fn check(copy: &Path, origin: &Path) -> Result<Checked, StoreError> {
    let reader = Reader::open(&Locator::File(copy.to_owned())).map_err(|error| error.at(origin))?;
    let was_migrated = reader.was_migrated();
    let problems = reader.verify(&|_, _| None).map_err(|error| error.at(origin))?.problems;
    let damage = problems.first().map(|first| {
        let more = match problems.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        format!("{}: {}{more}", first.subject, first.problem)
    });
    Ok(Checked { damage, was_migrated })
}

/// The same of a copy of a gallery that is no draft. Returns the damage in words.
pub(super) fn find_damage(copy: &Path, origin: &Path) -> Result<Option<String>, StoreError> {
    check(copy, origin).map(|checked| checked.damage)
}
