//! `imagepool restore-image`: brings a removed image back, by importing its picture again.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::global::{ExitReason, GlobalOptions};
use super::import_flags::ImportFlags;
use super::{output, signals};
use crate::image::ImageId;
use crate::import::{
    ExcludeRules, FileReport, FileStatus, ImportOptions, Observer, ScanState, import,
};
use crate::store::{Access, RemovedMark};

/// Bring a removed image back from its picture, which must still be where it was imported from
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The image's id
    id: ImageId,

    #[command(flatten)]
    flags: ImportFlags,
}

impl Args {
    pub(super) fn run(self, globals: &GlobalOptions) -> anyhow::Result<ExitReason> {
        let store = globals.open(Access::Write)?;
        let marks = store.marks_of(self.id)?;
        if marks.is_empty() {
            let problem = match store.image(self.id)? {
                Some(_) => "it is in the gallery",
                None => "no image of this id was removed by `imagepool remove`",
            };
            output::complain(format_args!("{}: {problem}", self.id));
            return Ok(ExitReason::Failed);
        }
        let pictures: BTreeSet<PathBuf> = marks.iter().flat_map(find_pictures).collect();
        // The picture is known, so nothing about its name counts.
        let excludes = ExcludeRules::new([], false);
        let options = ImportOptions { again: true, excludes, ..self.flags.into_options() };
        let roots: Vec<_> = pictures.into_iter().collect();
        let mut console = RestoreConsole::default();
        let stop = signals::stop_flag()?;
        let state = &mut ScanState::default();
        import(Some(&store), &roots, &options, &stop, &mut console, state)?;
        for id in &console.images {
            if *id == self.id {
                globals.say(format_args!("{id} is back"));
            } else {
                globals.say(format_args!(
                    "{} is back as {id}, because it was converted with other settings this time",
                    self.id
                ));
            }
        }
        let left = store.marks_of(self.id)?;
        if left.is_empty() {
            return Ok(ExitReason::Done);
        }
        output::complain(format_args!(
            "{}: not every picture of it is where it was imported from; \
             `imagepool import --again PATH` takes it from where it is now, with its tags",
            self.id
        ));
        for origin in left.iter().flat_map(|(_, mark)| &mark.origins) {
            if !origin.path.as_os_str().is_empty() {
                output::say(format_args!("it was at {}", origin.path.display()));
            }
        }
        Ok(ExitReason::Failed)
    }
}

/// Finds the files that still hold a removed source.
fn find_pictures((hash, mark): &([u8; 32], RemovedMark)) -> Vec<PathBuf> {
    let holds_it = |path: &Path| hash_of(path).is_ok_and(|found| found == *hash);
    let paths = mark.origins.iter().map(|origin| origin.path.clone());
    paths.filter(|path| holds_it(path)).collect()
}

fn hash_of(path: &Path) -> io::Result<[u8; 32]> {
    // Opening what is no file may wait for ever.
    if !path.symlink_metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(*hasher.finalize().as_bytes())
}

/// Says what failed, and keeps the ids of the images that came back.
#[derive(Default)]
struct RestoreConsole {
    images: BTreeSet<ImageId>,
}

impl Observer for RestoreConsole {
    fn planned(&mut self, _files: u64, _bytes: u64) {}

    fn file_done(&mut self, report: &FileReport) -> io::Result<()> {
        if let (FileStatus::Failed, Some(reason)) = (report.status, &report.reason) {
            output::complain(format_args!("{}: {reason}", report.path.display()));
        } else {
            self.images.extend(report.id);
        }
        Ok(())
    }
}
