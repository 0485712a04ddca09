//! Whether a gallery file that was just written is whole, before it takes another one's place.

use std::path::Path;

use crate::store::{Access, Locator, Reader, Store, StoreError, Verified};

/// Checks the gallery file `copy`, which nobody else has open. Returns the first damage in words,
/// and how much more there is. Errors name `origin`, because a person knows nothing of the copy.
pub(super) fn find_damage(copy: &Path, origin: &Path) -> Result<Option<String>, StoreError> {
    let problems = verify(copy).map_err(|error| error.at(origin))?.problems;
    Ok(problems.first().map(|first| {
        let more = match problems.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        format!("{}: {}{more}", first.subject, first.problem)
    }))
}

fn verify(copy: &Path) -> Result<Verified, StoreError> {
    let locator = Locator::File(copy.to_owned());
    let mut reader = Reader::open(&locator)?;
    if reader.is_draft() {
        drop(reader);
        drop(Store::open(&locator, Access::Read)?);
        reader = Reader::open(&locator)?;
    }
    reader.verify(&|_, _| None)
}
