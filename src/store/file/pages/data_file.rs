//! The data file, read by position. A page that can't be read is a finding like any other.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::page::{OverflowHeader, Place, Run, Value};
use crate::store::error::StoreError;
use crate::store::file::layout::HEADER_BYTES;
use crate::store::file::meta_pages::MetaPages;

/// A data file and the length of its pages.
pub(in crate::store) struct DataFile {
    file: File,
    path: PathBuf,
    /// Length of the file when it was opened, in bytes. It may have grown since.
    length: u64,
    page_bytes: usize,
}

impl DataFile {
    /// Takes the file that is open. The length of its pages is 4096 bytes until it is known.
    pub(super) fn new(file: File, path: &Path) -> Result<Self, StoreError> {
        let metadata = file.metadata().map_err(|source| StoreError::io(path, source))?;
        Ok(Self { file, path: path.to_owned(), length: metadata.len(), page_bytes: 4096 })
    }

    pub(in crate::store) fn length(&self) -> u64 {
        self.length
    }

    /// Reads the meta pages, as LMDB's opening is guarded by.
    pub(super) fn meta_pages(&self) -> Result<MetaPages, StoreError> {
        MetaPages::read(&self.file).map_err(|source| StoreError::io(&self.path, source))
    }

    pub(super) fn page_bytes(&self) -> usize {
        self.page_bytes
    }

    pub(super) fn set_page_bytes(&mut self, page_bytes: usize) {
        self.page_bytes = page_bytes;
    }

    /// Number of whole pages in the file.
    pub(super) fn pages(&self) -> u64 {
        self.length / self.page_bytes as u64
    }

    /// Reads bytes at an offset, or says why they can't be had.
    pub(super) fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>, String> {
        // Nothing is allocated for bytes that the file does not have.
        if offset.checked_add(length as u64).is_none_or(|end| end > self.length) {
            return Err("it lies behind the end of the file".into());
        }
        let mut bytes = vec![0; length];
        match self.file.read_exact_at(&mut bytes, offset) {
            Ok(()) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err("the file was cut while it was read".into())
            }
            Err(error) => Err(format!("it can't be read: {error}")),
        }
    }

    /// Reads a page.
    pub(super) fn page(&self, number: u64) -> Result<Vec<u8>, String> {
        self.read(number.saturating_mul(self.page_bytes as u64), self.page_bytes)
    }

    /// Reads the bytes at a place.
    pub(in crate::store) fn bytes_at(&self, place: Place) -> Result<Vec<u8>, String> {
        self.read(place.offset, place.bytes as usize)
    }

    /// Reads a value, wherever it is; see [`DataFile::value_at`].
    pub(in crate::store) fn value(
        &self,
        value: Value<'_>,
    ) -> Result<(Bytes, Option<String>), String> {
        match value {
            Value::Inside(bytes) => Ok((Bytes::copy_from_slice(bytes), None)),
            Value::Outside(run) => self.value_at(run),
        }
    }

    /// Reads a value out of its pages. What is wrong with their header comes beside it, because the
    /// bytes may be whole all the same.
    pub(in crate::store) fn value_at(&self, run: Run) -> Result<(Bytes, Option<String>), String> {
        let offset = run.first_page.saturating_mul(self.page_bytes as u64);
        let length = run.bytes as usize;
        let bytes = self
            .read(offset, HEADER_BYTES + length)
            .map_err(|reason| format!("page {}: {reason}", run.first_page))?;
        let problem = OverflowHeader::check(&bytes, run, self.page_bytes);
        Ok((Bytes::from(bytes).slice(HEADER_BYTES..), problem))
    }
}
