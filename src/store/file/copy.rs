//! Copies trees of another engine into an LMDB file.

use std::fs::{self, File};
use std::path::Path;

use super::engine::FileEngine;
use crate::store::error::StoreError;
use crate::store::locator::lock_path;
use crate::store::tree::{Access, EntryVisitor, Tree};

/// Writes the trees that `scan` visits into `target`, by way of a gallery file at `scratch`.
pub(in crate::store) fn copy_of(
    scratch: &Path,
    target: &mut File,
    scan: impl Fn(Tree, &mut EntryVisitor<'_>) -> Result<u64, StoreError>,
) -> Result<(), StoreError> {
    /// Size of a commit, in bytes. LMDB keeps in memory what is not committed.
    const COMMIT_BYTES: usize = 32 << 20;
    let copied = FileEngine::open(scratch, Access::Create).and_then(|engine| {
        for tree in Tree::ALL {
            let mut batch = Vec::new();
            let mut batch_bytes = 0;
            let flush = |batch: &mut Vec<(Vec<u8>, Vec<u8>)>| {
                engine.write(|mut writer| {
                    let mut entries = batch.drain(..);
                    entries.try_for_each(|(key, value)| writer.put(tree, &key, &value))?;
                    writer.commit()
                })
            };
            scan(tree, &mut |key, value| {
                batch_bytes += key.len() + value.len();
                batch.push((key.to_vec(), value.to_vec()));
                if batch_bytes < COMMIT_BYTES {
                    return Ok(());
                }
                batch_bytes = 0;
                flush(&mut batch)
            })?;
            flush(&mut batch)?;
        }
        engine.copy_to(target)
    });
    for leftover in [scratch.to_owned(), lock_path(scratch)] {
        // A leftover that can't be removed does not make the copy worse.
        let _ = fs::remove_file(leftover);
    }
    copied
}
