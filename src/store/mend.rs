//! Mending: whether one image is whole, and storing it anew if it is not.

use super::addition::{Added, Addition, SourceKey};
use super::check::Verified;
use super::engine::Writer;
use super::error::StoreError;
use super::gallery::Store;
use super::record::{blob_key, decode_origin};
use super::tags::merge_tags;
use super::tree::Tree;
use crate::image::{ImageId, ImageRecord, Rendition};

/// What the gallery has of one image.
#[derive(Debug)]
pub enum Condition {
    /// There is no such image.
    Absent,
    /// Its record, its bytes and its renditions are what was written.
    Whole(Box<ImageRecord>),
    /// Something of it is not; the record is `None` if that does not decode.
    Damaged { record: Option<Box<ImageRecord>>, problem: String },
}

impl Store {
    /// Reads an image with its renditions, and compares them with its id and its record.
    ///
    /// # Errors
    /// When the gallery can't be read at all there.
    pub fn condition(&self, id: ImageId) -> Result<Condition, StoreError> {
        let record = match self.image(id) {
            Ok(Some(record)) => Box::new(record),
            Ok(None) => return Ok(Condition::Absent),
            Err(StoreError::Damaged { reason, .. }) => {
                return Ok(Condition::Damaged { record: None, problem: reason });
            }
            Err(error) => return Err(error),
        };
        let mut found = Verified::default();
        self.verify_image(id, &record, &mut found, &mut |_, _, _| None)?;
        Ok(match found.problems.into_iter().next() {
            Some(damage) => Condition::Damaged { record: Some(record), problem: damage.problem },
            // Bytes that are missing are no damage of an image that was removed meanwhile.
            None if self.image(id)?.is_none() => Condition::Absent,
            None => Condition::Whole(record),
        })
    }

    /// Returns the id of the image that a source became under some settings, whether or not that
    /// image is whole.
    ///
    /// # Errors
    /// When the gallery can't be read.
    pub fn source_id(&self, source: &SourceKey) -> Result<Option<ImageId>, StoreError> {
        Ok(self.get(Tree::Sources, &source.0, ImageId::from_slice)?.flatten())
    }

    /// Stores a damaged image anew, in one durable commit: from `addition`, which has an image.
    ///
    /// If that has another id, because the encoder has changed since, it takes the damaged image's
    /// place, with its ordinal, tags, origins and source marks. Renditions that are neither whole
    /// nor in the addition are dropped.
    ///
    /// Nothing changes if a person removed the image meanwhile.
    ///
    /// # Errors
    /// As [`Store::add`].
    pub fn mend(&self, damaged: ImageId, addition: &Addition) -> Result<Added, StoreError> {
        self.write(|writer| {
            if writer.refuses(addition)? {
                return Ok(Added::RemovedBefore);
            }
            let record = match writer.image(damaged) {
                Ok(record) => record,
                Err(StoreError::Damaged { .. }) => None,
                Err(error) => return Err(error),
            };
            match record {
                Some(record) if addition.id == damaged => writer.rewrite(record, addition),
                record => writer.replace(damaged, record, addition),
            }
        })
    }
}

impl Writer<'_> {
    /// Writes the bytes of an image anew, whose record is `record`.
    fn rewrite(
        &mut self,
        mut record: ImageRecord,
        addition: &Addition,
    ) -> Result<Added, StoreError> {
        let id = addition.id;
        if let Some((_, webp)) = &addition.image {
            self.put(Tree::Blobs, &blob_key(id, 0), webp)?;
            record.size_bytes = webp.len() as u64;
        }
        let mut whole = Vec::new();
        for rendition in record.renditions {
            if !rendition.is_kept() {
                whole.push(rendition);
                continue;
            }
            let key = blob_key(id, rendition.width);
            match self.get(Tree::Blobs, &key)? {
                Some(webp) if rendition == Rendition::of(rendition.width, &webp) => {
                    whole.push(rendition);
                }
                Some(_) => self.delete(Tree::Blobs, &key)?,
                None => {}
            }
        }
        record.renditions = whole;
        self.put_image(id, &record)?;
        self.add(addition)
    }

    /// Puts the image of `addition` in the place of a damaged one, whose record is `record` if that
    /// can be read.
    fn replace(
        &mut self,
        damaged: ImageId,
        record: Option<ImageRecord>,
        addition: &Addition,
    ) -> Result<Added, StoreError> {
        let id = addition.id;
        let sources = self.sources_of(damaged)?;
        let mut origins = Vec::new();
        for key in self.keys_of(Tree::Origins, damaged)? {
            let bytes = self.get(Tree::Origins, &key)?.unwrap_or_default();
            // One that does not decode names no file, so nothing is lost with it.
            origins.extend(decode_origin(&key, &bytes));
        }
        self.erase(damaged)?;
        let added = self.add(addition)?;
        for source in sources {
            self.put_source(&source, id)?;
        }
        for origin in origins {
            self.put_origin(id, &origin)?;
        }
        let Some(mut new) = self.image(id)? else { return Ok(added) };
        if let Some(record) = record {
            merge_tags(&mut new.hand_tags, &record.hand_tags, &[]);
            merge_tags(&mut new.refused_tags, &record.refused_tags, &addition.hand_tags);
            if added == Added::New {
                new.ordinal = record.ordinal;
            }
        }
        self.refresh_tags(id, &mut new)?;
        self.put_image(id, &new)?;
        Ok(added)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::store::migrate::FORMAT_KEY;
    use crate::store::{Access, Locator, Origin};

    const SOURCE: SourceKey = SourceKey([7; 40]);

    fn addition(webp: &[u8], tag: &str, path: &str) -> Addition {
        let record = ImageRecord {
            width: 50,
            height: 40,
            size_bytes: webp.len() as u64,
            frames: 1,
            alpha: false,
            imported_at: 1_700_000_000,
            source_hash: [7; 32],
            source_bytes: 3,
            source_format: "PNG".into(),
            source: "a.png".into(),
            thumbhash: vec![1],
            color: [1, 2, 3],
            perceptual_hash: 5,
            ..ImageRecord::default()
        };
        Addition {
            id: ImageId::of(webp),
            image: Some((Box::new(record), webp.to_vec())),
            hand_tags: vec![tag.into()],
            renditions: vec![(16, [webp, b"16"].concat())],
            source: SOURCE,
            origin: Some(Origin {
                path: PathBuf::from(path),
                source_hash: [7; 32],
                folder_tags: vec!["sea".into()],
            }),
            moved_from: Vec::new(),
            again: false,
        }
    }

    /// Makes a gallery of two images, the second of which lost a byte of each of its blobs.
    fn damaged_gallery(locator: &Locator) -> (Store, ImageId) {
        let store = Store::open(locator, Access::Create).unwrap();
        let mut other = addition(b"other", "other", "/other.png");
        other.source = SourceKey([8; 40]);
        let image = addition(b"image", "by hand", "/a.png");
        store.add(&[other, addition(b"image", "by hand", "/a.png")]).unwrap();
        store
            .write(|writer| {
                writer.put(Tree::Blobs, &blob_key(image.id, 0), b"imag")?;
                writer.put(Tree::Blobs, &blob_key(image.id, 16), b"imag")
            })
            .unwrap();
        assert!(matches!(store.condition(image.id).unwrap(), Condition::Damaged { .. }));
        (store, image.id)
    }

    fn on_each_engine(test: impl Fn(&Locator)) {
        let dir = tempfile::tempdir().unwrap();
        test(&Locator::File(dir.path().join("g.pool")));
        #[cfg(feature = "sled")]
        test(&Locator::Sled(dir.path().join("g.sled")));
    }

    fn verify(store: &Store) {
        assert_eq!(store.verify(|_, _, _| None).unwrap().problems, []);
    }

    #[test]
    fn work_that_destroys_sees_the_gallery_that_took_the_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("g.pool");
        let other = dir.path().join("other.pool");
        let store = Store::open(&Locator::File(path.clone()), Access::Create).unwrap();
        drop(Store::open(&Locator::File(other.clone()), Access::Create).unwrap());
        let image = addition(b"image", "by hand", "/a.png");
        store.add(&[addition(b"image", "by hand", "/a.png")]).unwrap();
        let look = || store.while_in_place(|| store.condition(image.id).unwrap());
        assert!(matches!(look(), Ok(Condition::Whole(_))));
        std::fs::rename(other, &path).unwrap();
        assert!(matches!(look(), Ok(Condition::Absent)), "it was read in the old file");
        std::fs::remove_file(path).unwrap();
        assert!(look().is_err(), "there is no gallery any more");
    }

    #[test]
    fn an_image_is_mended_from_the_same_bytes() {
        on_each_engine(|locator| {
            let (store, id) = damaged_gallery(locator);
            store.mend(id, &addition(b"image", "folder", "/b.png")).unwrap();
            let Condition::Whole(record) = store.condition(id).unwrap() else {
                panic!("still damaged")
            };
            assert_eq!((record.ordinal, record.renditions.len()), (1, 1));
            assert_eq!(record.tags, ["by hand", "folder", "sea"]);
            verify(&store);
        });
    }

    #[test]
    fn an_image_whose_record_is_lost_is_made_anew() {
        on_each_engine(|locator| {
            let (store, id) = damaged_gallery(locator);
            store.write(|writer| writer.put(Tree::Images, id.as_bytes(), b"rubbish")).unwrap();
            assert_eq!(store.source_id(&SOURCE).unwrap(), Some(id));
            store.mend(id, &addition(b"image", "folder", "/a.png")).unwrap();
            assert!(matches!(store.condition(id).unwrap(), Condition::Whole(_)));
            verify(&store);
        });
    }

    #[test]
    fn other_bytes_take_the_place_of_a_damaged_image() {
        on_each_engine(|locator| {
            let (store, id) = damaged_gallery(locator);
            let new = addition(b"as a newer encoder writes it", "folder", "/b.png");
            store.mend(id, &new).unwrap();
            assert!(matches!(store.condition(id).unwrap(), Condition::Absent));
            let (found, record) = store.source(&SOURCE).unwrap().unwrap();
            assert_eq!((found, record.ordinal), (new.id, 1));
            assert_eq!(record.tags, ["by hand", "folder", "sea"]);
            let origins = store.origins_below("/".as_ref()).unwrap();
            let of_new = origins.iter().filter(|(owner, _)| *owner == new.id);
            assert_eq!((origins.len(), of_new.count()), (3, 2));
            verify(&store);
        });
    }

    /// The whole image of a source went, and the damaged one that took its place was not mended.
    #[test]
    fn an_image_that_takes_anothers_place_is_whole() {
        on_each_engine(|locator| {
            let (store, damaged) = damaged_gallery(locator);
            let source = |settings| SourceKey::new(&[9; 32], [settings; 8]);
            let mut old = addition(b"old", "folder", "/c.png");
            let mut new = addition(b"image", "folder", "/c.png");
            for (addition, settings) in [(&mut old, 1), (&mut new, 2)] {
                addition.source = source(settings);
                addition.origin.as_mut().unwrap().source_hash = [9; 32];
                if let Some((record, _)) = &mut addition.image {
                    record.source_hash = [9; 32];
                }
                addition.renditions.clear();
            }
            let old_id = old.id;
            assert_eq!(store.add(&[old]).unwrap(), [Added::New]);
            assert_eq!(store.add(&[new]).unwrap(), [Added::Replaced]);
            assert!(store.image(old_id).unwrap().is_none());
            let right = store.blob(damaged, 0, |webp| webp == b"image").unwrap();
            assert_eq!(right, Some(true), "the old image is gone, and the new one damaged");
        });
    }

    #[test]
    fn what_a_person_removed_meanwhile_is_not_mended() {
        on_each_engine(|locator| {
            let (store, id) = damaged_gallery(locator);
            store.remove(&[id]).unwrap();
            // The same image comes from another file.
            let mut other = addition(b"image", "folder", "/b.png");
            other.source = SourceKey([9; 40]);
            other.origin = None;
            assert_eq!(store.add(&[other]).unwrap(), [Added::New]);
            let mut new = addition(b"as a newer encoder writes it", "folder", "/a.png");
            assert_eq!(store.mend(id, &new).unwrap(), Added::RemovedBefore);
            assert!(matches!(store.condition(id).unwrap(), Condition::Whole(_)), "it was erased");
            new.again = true;
            assert_eq!(store.mend(id, &new).unwrap(), Added::New);
            assert!(matches!(store.condition(id).unwrap(), Condition::Absent));
        });
    }

    /// A program of a later version may have put its gallery there.
    #[test]
    fn nothing_is_written_into_a_gallery_of_another_format() {
        on_each_engine(|locator| {
            let store = Store::open(locator, Access::Create).unwrap();
            store.write(|writer| writer.put(Tree::Meta, FORMAT_KEY, &[2, 0, 0, 0])).unwrap();
            let refused = store.add(&[addition(b"image", "by hand", "/a.png")]);
            assert!(matches!(refused, Err(StoreError::Newer { .. })), "{refused:?}");
            assert!(store.image(ImageId::of(b"image")).unwrap().is_none());
        });
    }

    /// The mark was longer than a record may be, and no image of the batch could be removed.
    #[test]
    fn an_image_of_very_many_files_can_be_removed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&Locator::File(dir.path().join("g.pool")), Access::Create).unwrap();
        let mut additions = vec![addition(b"image", "by hand", "/a.png")];
        additions.extend((0..300).map(|number| {
            let mut copy =
                addition(b"image", "by hand", &format!("/{}/{number}", "x".repeat(4000)));
            copy.image = None;
            copy
        }));
        store.add(&additions).unwrap();
        let id = additions[0].id;
        assert_eq!(store.remove(&[id]).unwrap(), [id]);
        let marks = store.marks_of(id).unwrap();
        let origins = &marks[0].1.origins;
        assert!((100..300).contains(&origins.len()), "{} are kept", origins.len());
        assert_eq!(store.add(&additions[..1]).unwrap(), [Added::RemovedBefore]);
    }

    #[test]
    fn an_origin_that_came_back_is_not_forgotten() {
        on_each_engine(|locator| {
            let store = Store::open(locator, Access::Create).unwrap();
            store.add(&[addition(b"image", "by hand", "/a.png")]).unwrap();
            let origins = store.origins_below("/".as_ref()).unwrap();
            assert_eq!(store.forget_origins(&origins, |_| false).unwrap(), []);
            assert_eq!(store.origins_below("/".as_ref()).unwrap(), origins);
            assert_eq!(store.forget_origins(&origins, |_| true).unwrap(), [ImageId::of(b"image")]);
        });
    }

    /// An original would be deleted for an image in a folder that is gone.
    #[cfg(feature = "sled")]
    #[test]
    fn a_sled_folder_that_was_moved_is_not_in_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("g.sled");
        let store = Store::open(&Locator::Sled(path.clone()), Access::Create).unwrap();
        assert!(store.while_in_place(|| ()).is_ok());
        std::fs::rename(&path, dir.path().join("moved")).unwrap();
        assert!(store.while_in_place(|| ()).is_err());
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("db"), "another").unwrap();
        assert!(store.while_in_place(|| ()).is_err());
    }
}
