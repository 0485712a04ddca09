//! One file: read it, recognise it, convert it unless the gallery has it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::Options;
use super::report::{Report, Status};
use super::walk::{Met, Source};
use crate::codec::{self, CodecError, Converted, SNIFF_BYTES, Sniffed};
use crate::image::{self, ImageRecord};
use crate::store::{Addition, SourceKey, Store, StoreError};

/// What a worker made of a file.
pub(super) enum Finished {
    /// Nothing is to be stored.
    Settled(Report),
    /// True once the addition is committed.
    Pending { report: Report, addition: Addition },
    /// The same bytes as a file before it in this import; `report` is filled in when that one is through.
    Twin { report: Report, source: SourceKey, tags: Vec<String> },
    /// The gallery itself failed.
    Broken(StoreError),
}

pub(super) struct Worker<'i> {
    store: Option<&'i Store>,
    options: &'i Options,
    settings_hash: [u8; 8],
    /// Sources that some worker has in hand or is through with, and whether the gallery had them before.
    claimed: Mutex<HashMap<SourceKey, bool>>,
}

impl<'i> Worker<'i> {
    pub(super) fn new(store: Option<&'i Store>, options: &'i Options) -> Self {
        Self { store, options, settings_hash: options.settings.hash(), claimed: Mutex::default() }
    }

    pub(super) fn process(&self, met: Met) -> Finished {
        match met {
            Met::Skipped { path, reason } => Finished::Settled(refused(path, Status::NotImage, reason)),
            Met::Failed { path, reason } => Finished::Settled(refused(path, Status::Failed, reason)),
            Met::Source(source) => self.process_source(source).unwrap_or_else(Finished::Broken),
        }
    }

    fn process_source(&self, source: Source) -> Result<Finished, StoreError> {
        // Not even opened: closing it would drop the locks by which other processes know that this one is there.
        if self.store.is_some_and(|store| store.locator().holds(&source.path)) {
            return Ok(Finished::Settled(refused(source.path, Status::NotImage, "the gallery itself")));
        }
        let bytes = match self.read(&source) {
            Ok(bytes) => bytes,
            Err((status, reason)) => {
                let report = Report { bytes_in: source.size_bytes, ..refused(source.path, status, reason) };
                return Ok(Finished::Settled(report));
            }
        };
        let hash = *blake3::hash(&bytes).as_bytes();
        let key = SourceKey::new(&hash, self.settings_hash);
        let tags = self.tags(&source);
        let mut report = Report { bytes_in: bytes.len() as u64, ..blank(source.path.clone()) };

        let known = self.store.map(|store| store.source(&key)).transpose()?.flatten();
        if self.claim(key, known.is_some()) == Some(false) {
            return Ok(Finished::Twin { report, source: key, tags });
        }
        if let Some((id, record)) = known {
            report.describe(&record);
            report.status = Status::AlreadyPresent;
            report.id = Some(id);
            let tagged = tags.iter().all(|tag| record.tags.contains(tag));
            return Ok(if tagged || self.options.dry_run {
                Finished::Settled(report)
            } else {
                report.notes.push("tags added".into());
                Finished::Pending { report, addition: Addition::Known { id, tags, source: key } }
            });
        }
        if self.options.dry_run {
            return Ok(Finished::Settled(match codec::probe(&bytes, &self.options.limits) {
                Ok((width, height)) => Report { width: Some(width), height: Some(height), ..report },
                Err(error) => report.refuse(&error),
            }));
        }
        let converted = match codec::convert(&bytes, self.options.settings, &self.options.limits) {
            Ok(converted) => converted,
            Err(error) => return Ok(Finished::Settled(report.refuse(&error))),
        };
        report.notes.clone_from(&converted.notes);
        let (record, webp) = into_record(converted, &source, hash, bytes.len() as u64, tags);
        let id = image::ImageId::of(&webp);
        report.describe(&record);
        report.id = Some(id);
        let addition = Addition::Image { id, record: Box::new(record), webp, source: key };
        Ok(Finished::Pending { report, addition })
    }

    /// What an earlier file with the same bytes found; `None` for the first.
    fn claim(&self, key: SourceKey, known: bool) -> Option<bool> {
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier = claimed.get(&key).copied();
        if earlier.is_none() {
            claimed.insert(key, known);
        }
        earlier
    }

    /// The file's bytes, if they are a picture of a format and length that are taken.
    fn read(&self, source: &Source) -> Result<Vec<u8>, (Status, String)> {
        let failed = |error: io::Error| (Status::Failed, error.to_string());
        if source.size_bytes == 0 {
            return Err((Status::NotImage, "an empty file".into()));
        }
        let mut file = File::open(&source.path).map_err(failed)?;
        let mut bytes = Vec::new();
        file.by_ref().take(SNIFF_BYTES as u64).read_to_end(&mut bytes).map_err(failed)?;
        match codec::sniff(&bytes) {
            Sniffed::Picture(_) => {}
            Sniffed::Unsupported(name) => {
                return Err((Status::Failed, CodecError::Unsupported(name).to_string()));
            }
            Sniffed::Nothing => return Err((Status::NotImage, CodecError::NotAPicture.to_string())),
        }
        let limit = self.options.limits.source_bytes;
        // One byte more than the limit tells a file that has grown since the walk.
        file.take((limit + 1).saturating_sub(bytes.len() as u64)).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > limit {
            return Err((Status::Failed, format!("it has more than {limit} bytes, the limit")));
        }
        Ok(bytes)
    }

    fn tags(&self, source: &Source) -> Vec<String> {
        let mut tags = self.options.tags.clone();
        if self.options.folder_tags {
            tags.extend(source.folder_tags.iter().cloned());
        }
        tags.sort_unstable();
        tags.dedup();
        tags
    }
}

impl Report {
    pub(super) fn describe(&mut self, record: &ImageRecord) {
        self.width = Some(record.width);
        self.height = Some(record.height);
        self.format = Some(record.source_format.clone());
        self.bytes_out = Some(record.size_bytes);
    }

    fn refuse(self, error: &CodecError) -> Self {
        Self { status: Status::Failed, reason: Some(error.to_string()), ..self }
    }
}

/// A report of a file that will be imported unless something else is found.
fn blank(path: PathBuf) -> Report {
    Report {
        path,
        status: Status::Imported,
        id: None,
        width: None,
        height: None,
        format: None,
        bytes_in: 0,
        bytes_out: None,
        reason: None,
        notes: Vec::new(),
    }
}

fn refused(path: PathBuf, status: Status, reason: impl Into<String>) -> Report {
    Report { status, reason: Some(reason.into()), ..blank(path) }
}

fn into_record(
    converted: Converted,
    source: &Source,
    source_hash: [u8; 32],
    source_bytes: u64,
    tags: Vec<String>,
) -> (ImageRecord, Vec<u8>) {
    let record = ImageRecord {
        width: converted.width,
        height: converted.height,
        size_bytes: converted.webp.len() as u64,
        frames: converted.frames,
        alpha: converted.alpha,
        imported_at: image::now(),
        source_hash,
        source_bytes,
        source_format: converted.format.name().to_owned(),
        source: source.name.clone(),
        tags,
        thumbhash: converted.thumbhash,
        color: converted.color,
        renditions: Vec::new(),
    };
    (record, converted.webp)
}
