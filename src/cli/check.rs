//! Whether a gallery file that was just written is whole, before it takes another one's place.

use std::path::Path;

use crate::store::{Access, Locator, Store, StoreError};

/// Checks the gallery file `copy`, which nobody else has open. Returns the first damage in words,
/// and how much more there is. Errors name `origin`, because a person knows nothing of the copy.
pub(super) fn find_damage(copy: &Path, origin: &Path) -> Result<Option<String>, StoreError> {
    let verified = Store::open(&Locator::File(copy.to_owned()), Access::Read)
        .and_then(|store| store.verify(|_, _, _| None));
    let problems = verified.map_err(|error| error.at(origin))?.problems;
    Ok(problems.first().map(|first| {
        let more = match problems.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        format!("{}: {}{more}", first.subject, first.problem)
    }))
}
