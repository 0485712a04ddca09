//! A new gallery of all that can be read of a damaged one.
//!
//! The damaged one is only read. The new one is made whole before it has its name.

use std::path::Path;

use super::claims::Claims;
use super::finding::FILE;
use super::reader::open_snapshot;
use super::rescue::{Rebuild, Rescue, Salvaged};
use crate::store::check::Damage;
use crate::store::error::StoreError;
use crate::store::file::pages::Purpose;
use crate::store::gallery::Store;
use crate::store::locator::Locator;
use crate::store::migrate::{self, FORMAT_KEY, RECORDS_KEY};
use crate::store::tree::Tree;

/// Copies all that can be read of the gallery file `from` into a new one, `to`.
///
/// # Errors
/// When `from` has nothing of a gallery, or `to` exists or can't be written. There is nothing at
/// `to` then.
pub fn salvage(from: &Path, to: &Path, rebuild: &Rebuild<'_>) -> Result<Salvaged, StoreError> {
    let exists = || StoreError::Exists { path: to.to_owned() };
    if std::fs::symlink_metadata(to).is_ok() {
        return Err(exists());
    }
    let from = std::path::absolute(from).map_err(|source| StoreError::io(from, source))?;
    let mut snapshot = open_snapshot(&from, Purpose::Salvage, |error| {
        !matches!(error, StoreError::Missing { .. })
    })?;
    let mut claims = Claims::read(&mut snapshot);
    // The new gallery has the format of today.
    claims.meta.remove(RECORDS_KEY);
    if let Some(format) = claims.meta.remove(FORMAT_KEY)
        && let Err(error @ StoreError::Newer { .. }) =
            migrate::check(&Locator::File(from), Some(&format))
    {
        return Err(error);
    }
    let is_newest = snapshot.is_newest();
    let mut salvaged = None;
    let is_made = Store::publish(to, |store| {
        let rescue = Rescue::new(&snapshot, store, rebuild, &mut claims);
        salvaged = Some(rescue.run(is_newest)?);
        Ok(())
    })?;
    let mut salvaged = salvaged.filter(|_| is_made).ok_or_else(exists)?;
    let problems = snapshot.notes().iter().chain(snapshot.problems());
    let problems = problems.map(|problem| Damage::new(FILE, problem));
    salvaged.problems = problems.chain(std::mem::take(&mut claims.problems)).collect();
    salvaged.note_unnamed(snapshot.entries(Tree::Images), &claims);
    salvaged.note_keys(snapshot.entries(Tree::Keys), is_newest);
    if !snapshot.is_draft() {
        salvaged.note_marks(snapshot.entries(Tree::Removed));
    }
    Ok(salvaged)
}

impl Salvaged {
    /// Notes images of which nothing is known but that there were so many.
    fn note_unnamed(&mut self, entries: Option<u64>, claims: &Claims) {
        let named = claims.wanted().len() as u64;
        let problem = match entries {
            Some(entries) if entries > named => {
                format!("{} more images are lost, of which nothing is known", entries - named)
            }
            None if !claims.has_all_records => {
                "more images may be lost; how many there were is not known".to_owned()
            }
            _ => return,
        };
        self.missing.push(Damage::new(Tree::Images.name(), problem));
    }

    /// Notes marks of removed images that are lost.
    fn note_marks(&mut self, entries: Option<u64>) {
        let problem = match entries {
            Some(entries) if entries > self.marks => {
                format!("{} of the marks can't be read", entries - self.marks)
            }
            None => "the marks can't be read".to_owned(),
            _ => return,
        };
        let problem = format!("{problem}, so an import may bring images back that were removed");
        self.missing.push(Damage::new(Tree::Removed.name(), problem));
    }

    fn note_keys(&mut self, entries: Option<u64>, is_newest: bool) {
        let problem = match entries {
            _ if !is_newest => {
                "none is brought, because one that was revoked since might come back; \
                 `imagepool key rotate` makes a new one"
                    .to_owned()
            }
            Some(entries) if entries > self.keys => {
                format!("{} can't be read", entries - self.keys)
            }
            None => "they can't be read; `imagepool key rotate` makes a new one".to_owned(),
            _ => return,
        };
        self.missing.push(Damage::new(Tree::Keys.name(), problem));
    }
}
