//! Imports a file of any bytes: the import ends well and reports it, and the gallery stays whole.
#![no_main]

use std::io;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;

use imagepool::codec::Settings;
use imagepool::import::{
    ExcludeRules, FileReport, FileStatus, ImportOptions, Observer, ScanState, import,
};
use imagepool::store::{Access, Locator, Store};
use imagepool_fuzz::{LIMITS, tolerate_caught_panics};
use libfuzzer_sys::fuzz_target;

struct Last(Option<FileReport>);

impl Observer for Last {
    fn planned(&mut self, files: u64, _bytes: u64) {
        assert_eq!(files, 1);
    }

    fn file_done(&mut self, report: &FileReport) -> io::Result<()> {
        self.0 = Some(report.clone());
        Ok(())
    }
}

static FOLDER: LazyLock<tempfile::TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("a folder can be made"));

static STORE: LazyLock<Store> = LazyLock::new(|| {
    let locator = Locator::File(FOLDER.path().join("gallery.pool"));
    Store::open(&locator, Access::Create).expect("a gallery can be made")
});

fuzz_target!(|source: &[u8]| {
    tolerate_caught_panics();
    let pictures = FOLDER.path().join("pictures");
    std::fs::create_dir_all(&pictures).expect("a folder can be made");
    let path: PathBuf = pictures.join("a.jpg");
    std::fs::write(&path, source).expect("a file can be written");
    let options = ImportOptions {
        settings: Settings { quality: 1, renditions: vec![16], ..Settings::default() },
        limits: LIMITS,
        jobs: 1,
        tags: Vec::new(),
        folder_tags: true,
        metadata_tags: true,
        excludes: ExcludeRules::new([], true),
        skip_similar: false,
        again: false,
        // Each run removes the image of the one before, so that the gallery stays small.
        prune: true,
        delete_originals: false,
        settle_time: None,
        dry_run: false,
    };
    let mut last = Last(None);
    let stop = AtomicBool::new(false);
    let state = &mut ScanState::default();
    let summary = import(Some(&STORE), &[pictures], &options, &stop, &mut last, state)
        .expect("the import ends well");
    let report = last.0.expect("something is said of the file");
    if report.status == FileStatus::Imported {
        assert_eq!(summary.imported, 1);
        let id = report.id.expect("an imported file has an id");
        assert!(STORE.image(id).expect("the gallery can be read").is_some());
    }
    let verified = STORE.verify(|_, _, _| None).expect("the gallery can be read");
    assert!(verified.problems.is_empty(), "{:?}", verified.problems);
});
