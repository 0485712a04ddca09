//! Images, their bytes and keys, as far as they can be had.

use std::collections::BTreeSet;
use std::path::Path;

use super::finding::{FILE, Inspect, LostRanges};
use crate::image::{ImageId, ImageRecord};
use crate::keys::KeyRecord;
use crate::store::check::{Damage, Verified};
use crate::store::error::{StoreError, hex};
use crate::store::file::examine_kind;
use crate::store::file::pages::{Found, Purpose, Snapshot};
use crate::store::gallery::{Store, lies_elsewhere};
use crate::store::locator::Locator;
use crate::store::migrate::{self, FORMAT_KEY, RECORDS_KEY};
use crate::store::record::{blob_key, decode_image, decode_key, split_blob_key};
use crate::store::tree::{Access, Tree};

/// A gallery, open for reading what can be read of it. Each of its methods that visit a tree can be
/// called once.
pub struct Reader {
    source: Source,
    is_draft: bool,
    was_migrated: bool,
    notes: Vec<String>,
    problems: Vec<Damage>,
}

/// Looks at an entry, and returns what is wrong with it.
type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> Option<Damage> + 'v;

enum Source {
    Pages(Box<Snapshot>),
    Engine(Store),
}

impl Reader {
    /// Opens a gallery that may be damaged. A draft of format 1 is brought to that format.
    ///
    /// # Errors
    /// When there is nothing of a gallery, when it may not be read, when it is of a newer format,
    /// or when another process has it open in a way that makes reading it unsafe.
    pub fn open(locator: &Locator) -> Result<Self, StoreError> {
        let reader = Self::open_as_it_is(locator)?;
        if !reader.is_draft {
            return Ok(reader);
        }
        drop(reader);
        let was_migrated = Store::open(locator, Access::Read)?.was_migrated();
        Ok(Self { was_migrated, ..Self::open_as_it_is(locator)? })
    }

    fn open_as_it_is(locator: &Locator) -> Result<Self, StoreError> {
        let path = match locator {
            Locator::File(path) => path,
            Locator::Sled(_) => {
                let store = Store::open(locator, Access::Read)?;
                let was_migrated = store.was_migrated();
                return Ok(Self { was_migrated, ..Self::new(Source::Engine(store)) });
            }
        };
        let path = std::path::absolute(path).map_err(|source| StoreError::io(path, source))?;
        let snapshot = open_snapshot(&path, Purpose::Read, StoreError::is_damage)?;
        let notes = snapshot.notes().to_vec();
        let problems = snapshot.problems().iter().map(|problem| Damage::new(FILE, problem));
        let problems = problems.collect();
        let mut reader = Self { notes, problems, ..Self::new(Source::Pages(Box::new(snapshot))) };
        reader.check_format(locator)?;
        Ok(reader)
    }

    fn new(source: Source) -> Self {
        Self {
            source,
            is_draft: false,
            was_migrated: false,
            notes: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Refuses another format. A gallery whose format can't be read is taken for one of this.
    fn check_format(&mut self, locator: &Locator) -> Result<(), StoreError> {
        let (mut format, mut has_records) = (None, false);
        self.scan(Tree::Meta, &mut |key, value| {
            if key == FORMAT_KEY {
                format = Some(value.to_vec());
            }
            has_records |= key == RECORDS_KEY;
            None
        });
        self.is_draft = format.is_some() && !has_records && self.problems.is_empty();
        let Some(format) = format else { return Ok(()) };
        match migrate::check(locator, Some(&format)) {
            Err(StoreError::Damaged { reason, .. }) => {
                self.problems.push(Damage::new(Tree::Meta.name(), reason));
                Ok(())
            }
            checked => checked,
        }
    }

    /// Whether the gallery was a draft of format 1 until it was opened here.
    #[must_use]
    pub const fn was_migrated(&self) -> bool {
        self.was_migrated
    }

    /// What the reader should know of how the gallery is read.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What was found to be wrong so far.
    #[must_use]
    pub fn problems(&self) -> &[Damage] {
        &self.problems
    }

    /// Length of the gallery on disk, in bytes.
    ///
    /// # Errors
    /// When the file system does not answer.
    pub fn size_on_disk(&self) -> Result<u64, StoreError> {
        match &self.source {
            Source::Pages(snapshot) => Ok(snapshot.file().length()),
            Source::Engine(store) => store.size_on_disk(),
        }
    }

    /// Visits every image whose record can be read, ascending by id.
    pub fn images(&mut self, mut visit: impl FnMut(ImageId, ImageRecord)) {
        self.scan(Tree::Images, &mut |key, value| {
            let Some(id) = ImageId::from_slice(key) else {
                return Some(Damage::new(hex(key), "the key is no image id"));
            };
            match decode_image(id, value) {
                Ok(record) => visit(id, record),
                Err(error) => return Some(Damage::new(hex(key), error.reason())),
            }
            None
        });
    }

    /// Returns the records of all keys that can be read, expired ones too.
    pub fn keys(&mut self) -> Vec<KeyRecord> {
        let mut keys = Vec::new();
        self.scan(Tree::Keys, &mut |key, value| match decode_key(key, value) {
            Ok(key) => {
                keys.push(key);
                None
            }
            Err(error) => Some(Damage::new(hex(key), error.reason())),
        });
        keys
    }

    /// Visits the WebP of each of these images, or of all, that has the bytes that its id names.
    ///
    /// # Errors
    /// Those of `visit`, which end the visits.
    pub fn bytes<E>(
        &mut self,
        ids: Option<&BTreeSet<ImageId>>,
        mut visit: impl FnMut(ImageId, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut ended = Ok(());
        let is_image = |key: &[u8]| split_blob_key(key).is_some_and(|(_, width)| width == 0);
        let keys = |ids: &BTreeSet<ImageId>| -> Vec<Vec<u8>> {
            ids.iter().map(|id| blob_key(*id, 0).to_vec()).collect()
        };
        self.scan_some(Tree::Blobs, ids.map(keys).as_deref(), is_image, &mut |key, webp| {
            let (id, _) = split_blob_key(key).filter(|_| ended.is_ok())?;
            if lies_elsewhere(webp) {
                let problem = "its bytes lie outside the gallery, which this imagepool knows \
                               nothing of";
                return Some(Damage::new(id.to_string(), problem));
            }
            if ImageId::of(webp) != id {
                let problem = "its bytes are not those that its id names";
                return Some(Damage::new(id.to_string(), problem));
            }
            ended = visit(id, webp);
            None
        });
        ended
    }

    /// Looks at all pages of all trees, but at no bytes of images, and returns what is wrong. Sled
    /// looks after its own.
    #[must_use]
    pub fn check_pages(mut self) -> Vec<Damage> {
        if let Source::Pages(snapshot) = &mut self.source {
            for tree in Tree::ALL.into_iter().filter(|tree| *tree != Tree::Meta) {
                let mut lost = LostRanges::new(tree);
                let miscounted = snapshot.walk(tree, &mut |found| {
                    if let Found::Lost(range) = found {
                        lost.push(range);
                    }
                });
                self.problems.extend(lost.findings());
                self.problems.extend(miscounted.map(|reason| Damage::new(tree.name(), reason)));
            }
            let of_file = snapshot.free_list_problems().iter().cloned();
            let of_file = of_file.chain(snapshot.account()).collect::<Vec<_>>();
            self.problems.extend(of_file.into_iter().map(|problem| Damage::new(FILE, problem)));
        }
        self.problems
    }

    /// Checks the whole gallery.
    ///
    /// `inspect` is called with each image whose bytes are those that its id names.
    ///
    /// # Errors
    /// When sled can't be read on at all.
    pub fn verify(self, inspect: &Inspect<'_>) -> Result<Verified, StoreError> {
        match self.source {
            Source::Pages(snapshot) => Ok(super::survey::survey(*snapshot, self.problems, inspect)),
            Source::Engine(store) => {
                store.verify(|_, record, webp| inspect(webp, (record.width, record.height)))
            }
        }
    }

    /// Visits the entries of a tree whose values can be read. `visit` may return what is wrong with
    /// one.
    fn scan(&mut self, tree: Tree, visit: &mut Visit<'_>) {
        self.scan_some(tree, None, |_| true, visit);
    }

    /// The same for the entries whose keys are wanted, of `keys` alone if they are given, which
    /// ascend.
    fn scan_some(
        &mut self,
        tree: Tree,
        keys: Option<&[Vec<u8>]>,
        wants: fn(&[u8]) -> bool,
        visit: &mut Visit<'_>,
    ) {
        let problems = &mut self.problems;
        match &mut self.source {
            Source::Pages(snapshot) => {
                let file = snapshot.file();
                let mut lost = LostRanges::new(tree);
                let mut look = |found: Found<'_>| match found {
                    Found::Entry { key, .. } if !wants(key) => {}
                    Found::Entry { key, value, .. } => match file.value(value) {
                        Ok((bytes, _)) => problems.extend(visit(key, &bytes)),
                        Err(reason) => problems.push(Damage::new(hex(key), reason)),
                    },
                    Found::Lost(range) => lost.push(range),
                };
                let miscounted = match keys {
                    None => snapshot.walk(tree, &mut look),
                    Some(keys) => {
                        snapshot.walk_to(tree, keys, &mut look);
                        None
                    }
                };
                problems.extend(lost.findings());
                problems.extend(miscounted.map(|reason| Damage::new(tree.name(), reason)));
            }
            Source::Engine(store) => {
                let mut look = |key: &[u8], value: &[u8]| {
                    if wants(key) {
                        problems.extend(visit(key, value));
                    }
                };
                let ended = match keys {
                    None => store
                        .scan(tree, &mut |key, value| {
                            look(key, value);
                            Ok(())
                        })
                        .map(|_| ()),
                    Some(keys) => keys.iter().try_for_each(|key| {
                        store.get(tree, key, |value| look(key, value)).map(|_| ())
                    }),
                };
                let ended = ended.err().map(|error| Damage::new(tree.name(), error.to_string()));
                problems.extend(ended);
            }
        }
    }
}

/// Opens a state of the gallery file at an absolute path.
pub(super) fn open_snapshot(
    path: &Path,
    purpose: Purpose,
    may_go_on: impl FnMut(&StoreError) -> bool,
) -> Result<Snapshot, StoreError> {
    examine_kind(path, Access::Read)?;
    Snapshot::open(path, purpose, may_go_on)
}
