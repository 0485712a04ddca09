//! Whether a gallery file that was just written is whole, before it takes another one's place.

use std::path::Path;

use crate::store::{Locator, Reader, StoreError};

/// Checks the gallery file `copy`, which nobody else has open. Returns the first damage in words,
/// and how much more there is. Errors name `origin`, because a person knows nothing of the copy.
pub(super) fn find_damage(copy: &Path, origin: &Path) -> Result<Option<String>, StoreError> {
    let reader = Reader::open(&Locator::File(copy.to_owned()));
    let verified = reader.and_then(|reader| reader.verify(&|_, _| None));
    let problems = verified.map_err(|error| error.at(origin))?.problems;
    Ok(problems.first().map(|first| {
        let more = match problems.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        format!("{}: {}{more}", first.subject, first.problem)
    }))
}
