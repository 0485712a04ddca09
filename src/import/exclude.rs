//! Which files and folders an import leaves out: what a person excludes, the names in `.ignore`
//! files, and what programs leave beside pictures.
//!
//! Patterns are those of `.gitignore` files, and names are compared in NFC. A given path is never
//! left out by default, because whoever named it meant it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ignore::Match;
use ignore::gitignore::{Gitignore, Glob};

use super::glob::{ExcludeGlob, build, compile};
use crate::image::nfc;

/// Names that are left out by default, in whatever case. All of them are made by programs, and none
/// is a name that people give to a folder of pictures.
const DEFAULTS: [&str; 43] = [
    // Trash: of desktops, Windows, Android, macOS, digiKam, Synology, QNAP, Samba; and what is
    // being written. A folder of pictures may be named `Recycler`, but not what Windows
    // puts into it.
    ".Trash",
    ".Trash-*",
    ".Trashes",
    "$RECYCLE.BIN",
    ".trashed-*",
    ".pending-*",
    ".dtrash",
    "#recycle",
    "@Recycle",
    ".recycle",
    "**/RECYCLER/S-1-*",
    ".globalTrash",
    // Thumbnails, and other pictures made of pictures.
    ".thumbnails",
    "@eaDir",
    ".@__thumb",
    ".@upload_cache",
    ".thumbs",
    ".thumb",
    ".tmb",
    ".xvpics",
    "Thumbs.db",
    "ehthumbs.db",
    // Older states of files.
    ".stversions",
    ".snapshot",
    ".snapshots",
    "@snapshots",
    "~snapshot",
    ".zfs",
    ".picasaoriginals",
    "#snapshot",
    "@Recently-Snapshot",
    // What systems keep for themselves.
    "lost+found",
    "System Volume Information",
    "desktop.ini",
    ".DS_Store",
    "._*",
    ".AppleDouble",
    "__MACOSX",
    ".Spotlight-V100",
    ".fseventsd",
    ".TemporaryItems",
    ".SynologyWorkingDirectory",
    ".dropbox.cache",
];

/// The file that keeps programs from showing the pictures of its folder, as on Android.
const NO_MEDIA: &str = ".nomedia";
/// The file whose lines name what programs leave out below its folder.
const IGNORE_FILE: &str = ".ignore";
/// Longest `.ignore` file that is obeyed, in bytes.
const MAX_IGNORE_FILE_BYTES: usize = 64 << 10;
/// Most bytes of the `.ignore` files that hold for one folder. In memory they take up to fifty
/// times as much.
const MAX_OPEN_BYTES: usize = 256 << 10;

/// What an import leaves out.
#[derive(Clone, Debug)]
pub struct ExcludeRules {
    /// What a person excludes.
    asked: Gitignore,
    /// Names that are left out by default; `None` if nothing is.
    defaults: Option<Gitignore>,
}

impl ExcludeRules {
    /// Makes the rules of these patterns, of which the last that matches counts, and with
    /// `defaults` those that hold by default.
    pub fn new(globs: impl IntoIterator<Item = ExcludeGlob>, defaults: bool) -> Self {
        Self {
            asked: build(false, globs.into_iter().map(|glob| glob.0)),
            defaults: defaults
                .then(|| build(true, DEFAULTS.map(|name| name.replace('#', "\\#")).into_iter())),
        }
    }
}

/// Decides what a walk below one given path leaves out. Folders must come before what is in them.
pub(super) struct Excluder<'r> {
    rules: &'r ExcludeRules,
    root: &'r Path,
    /// The `.ignore` files of the folders that the walk is in, the innermost last.
    ignore_files: Vec<IgnoreFile>,
    /// The last `.ignore` file that was read. Folders that lie side by side often have the same.
    latest: Option<Arc<IgnoreText>>,
}

struct IgnoreFile {
    folder: PathBuf,
    content: Arc<IgnoreText>,
}

struct IgnoreText {
    text: String,
    rules: Gitignore,
}

impl<'r> Excluder<'r> {
    pub(super) fn new(rules: &'r ExcludeRules, root: &'r Path) -> Self {
        Self { rules, root, ignore_files: Vec::new(), latest: None }
    }

    /// Returns why the entry at `path` is left out, or `None` if it is not.
    pub(super) fn reason(&mut self, path: &Path, is_folder: bool) -> Option<String> {
        if path == self.root {
            let name = (!is_folder).then_some(path.file_name()?)?;
            return match find(&self.rules.asked, Path::new(name), false) {
                Match::Ignore(glob) => Some(asked(glob)),
                _ => None,
            };
        }
        self.ignore_files.retain(|file| path.starts_with(&file.folder));
        let below = path.strip_prefix(self.root).unwrap_or(path);
        match find(&self.rules.asked, below, is_folder) {
            Match::Ignore(glob) => return Some(asked(glob)),
            Match::Whitelist(_) => return None,
            Match::None => {}
        }
        let defaults = self.rules.defaults.as_ref()?;
        for file in self.ignore_files.iter().rev() {
            let below = path.strip_prefix(&file.folder).unwrap_or(path);
            match find(&file.content.rules, below, is_folder) {
                Match::Ignore(glob) => {
                    let place = file.folder.join(IGNORE_FILE);
                    let what = format!("{} in {}", glob.original(), place.display());
                    return Some(by_default(&what));
                }
                Match::Whitelist(_) => return None,
                Match::None => {}
            }
        }
        match find(defaults, below, is_folder) {
            Match::Ignore(glob) => Some(by_default(glob.original().trim_start_matches('\\'))),
            _ => None,
        }
    }

    /// Looks into a folder before the walk does, for files that say what to leave out. Returns why
    /// the whole folder is, or `None` if it is not.
    ///
    /// `open` opens a file of the folder, or returns `None` for a link.
    ///
    /// # Errors
    /// When the files can't be read. Nobody knows then what to leave out.
    pub(super) fn enter(
        &mut self,
        folder: &Path,
        open: impl FnOnce(&str) -> io::Result<Option<File>>,
    ) -> Result<Option<String>, String> {
        if self.rules.defaults.is_none() {
            return Ok(None);
        }
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            format!("left out, because {what} can't be read: {error}")
        };
        let exists = |name| exists(folder, name).map_err(|error| failed("the folder", &error));
        if folder != self.root && exists(NO_MEDIA)? {
            return Ok(Some(by_default("a folder with .nomedia")));
        }
        let failed = |error: &dyn std::fmt::Display| failed("its .ignore", error);
        if exists(IGNORE_FILE)?
            && let Some(text) = read(open).map_err(|error| failed(&error))?
        {
            self.obey(folder, text).map_err(|error| failed(&error))?;
        }
        Ok(None)
    }

    /// Obeys an `.ignore` file below its folder.
    fn obey(&mut self, folder: &Path, text: String) -> Result<(), String> {
        self.ignore_files.retain(|file| folder.starts_with(&file.folder));
        let open: usize = self.ignore_files.iter().map(|file| file.content.text.len()).sum();
        if open + text.len() > MAX_OPEN_BYTES {
            let limit = MAX_OPEN_BYTES >> 10;
            return Err(format!("with those of the folders around it, it exceeds {limit} KiB"));
        }
        let content = match self.latest.take() {
            Some(latest) if latest.text == text => latest,
            _ => Arc::new(IgnoreText { rules: compile(&text)?, text }),
        };
        self.latest = Some(Arc::clone(&content));
        self.ignore_files.push(IgnoreFile { folder: folder.to_owned(), content });
        Ok(())
    }
}

fn asked(glob: &Glob) -> String {
    format!("left out by --exclude {}", glob.original())
}

fn by_default(what: &str) -> String {
    format!("left out by default: {what}; --no-default-excludes takes it")
}

/// Finds the rule for a path, which is compared in NFC if it is text.
fn find<'g>(rules: &'g Gitignore, path: &Path, is_folder: bool) -> Match<&'g Glob> {
    match path.to_str() {
        Some(text) => rules.matched(&*nfc(text), is_folder),
        None => rules.matched(path, is_folder),
    }
}

fn exists(folder: &Path, name: &str) -> io::Result<bool> {
    match folder.join(name).symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reads an `.ignore` file, or returns `None` for a folder of that name.
fn read(
    open: impl FnOnce(&str) -> io::Result<Option<File>>,
) -> Result<Option<String>, Box<dyn std::error::Error>> {
    let file = open(IGNORE_FILE)?.ok_or("it is a link; links are not followed")?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Ok(None);
    }
    if !metadata.is_file() {
        return Err("it is no regular file".into());
    }
    let mut bytes = Vec::new();
    file.take(MAX_IGNORE_FILE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_IGNORE_FILE_BYTES {
        return Err(format!("it is longer than {} KiB", MAX_IGNORE_FILE_BYTES >> 10).into());
    }
    Ok(Some(String::from_utf8(bytes).map_err(|_| "it is no UTF-8 text")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(globs: &[&str], defaults: bool) -> ExcludeRules {
        ExcludeRules::new(globs.iter().map(|glob| glob.parse().unwrap()), defaults)
    }

    #[test]
    fn every_default_name_is_left_out_by_default_alone() {
        let root = Path::new("/given/@eaDir");
        let mut wrong = Vec::new();
        for name in DEFAULTS {
            let name = name.replace('*', "1000");
            for name in [name.clone(), name.to_uppercase(), format!("a/b/{name}")] {
                let path = root.join(&name);
                let left_out =
                    |rules: ExcludeRules| Excluder::new(&rules, root).reason(&path, true).is_some();
                if !left_out(rules(&[], true)) || left_out(rules(&[], false)) {
                    wrong.push(name);
                }
            }
        }
        assert_eq!(wrong, [""; 0]);
        let rules = rules(&[], true);
        for kept in [
            "",
            "RECYCLER",
            "snapshots",
            "thumbs",
            "eaDir",
            ".hidden",
            "recycle",
            "Trash",
            "x._y.jpg",
            "thumbnails",
        ] {
            let reason = Excluder::new(&rules, root).reason(&root.join(kept), true);
            assert_eq!(reason, None, "{kept}");
        }
    }

    #[test]
    fn patterns_are_those_of_gitignore() {
        let root = Path::new("given");
        let mut wrong = Vec::new();
        for (globs, path, is_folder, is_left_out) in [
            (&["*.gif"] as &[&str], "given/a/b.gif", false, true),
            (&["*.gif"], "given/a/b.GIF", false, false),
            (&["*.{gif,png}"], "given/b.png", false, true),
            (&["raw"], "given/a/raw", true, true),
            (&["raw"], "given/a/raws", true, false),
            (&["raw/"], "given/raw", false, false),
            (&["a/raw"], "given/a/raw", true, true),
            (&["a/raw"], "given/b/a/raw", true, false),
            (&["/raw"], "given/a/raw", true, false),
            (&["**/a/raw"], "given/b/a/raw", true, true),
            (&["a/**/raw"], "given/a/b/c/raw", true, true),
            (&["#1"], "given/#1", true, true),
            (&["*.jpg", "!keep.jpg"], "given/keep.jpg", false, false),
            (&["!@eaDir"], "given/@eaDir", true, false),
            (&["cafe\u{301}"], "given/caf\u{e9}", true, true),
            (&["caf\u{e9}"], "given/cafe\u{301}", true, true),
            (&["given"], "given", true, false),
            (&["./raw"], "given/raw", true, true),
            (&["./raw"], "given/a/raw", true, false),
            (&["*", "!./raw/"], "given/raw", true, false),
            (&["trail\\ "], "given/trail ", true, true),
            (&["trail\\\\ "], "given/trail\\", true, true),
            (&[" raw "], "given/raw", true, true),
            (&["..."], "given/...", true, true),
        ] {
            let rules = rules(globs, true);
            let reason = Excluder::new(&rules, root).reason(Path::new(path), is_folder);
            if reason.is_some() != is_left_out {
                wrong.push((globs, path, reason));
            }
        }
        assert!(wrong.is_empty(), "{wrong:?}");
        let rules = rules(&["*.gif"], true);
        let file = Path::new("given/a.gif");
        assert!(Excluder::new(&rules, file).reason(file, false).is_some(), "a file that is given");
    }

    #[test]
    fn ignore_files_are_bounded_together() {
        let rules = rules(&[], true);
        let mut excluder = Excluder::new(&rules, Path::new("given"));
        let text = format!("*.raw\n#{}", " ".repeat(MAX_OPEN_BYTES / 4 - 7));
        for folder in ["given", "given/a", "given/a/b", "given/a/b/c", "given/a/b/d"] {
            assert_eq!(excluder.obey(Path::new(folder), text.clone()), Ok(()), "{folder}");
        }
        let first = &excluder.ignore_files[0].content;
        let are_one = excluder.ignore_files.iter().all(|file| Arc::ptr_eq(&file.content, first));
        assert!(are_one, "a text is compiled once");
        let error = excluder.obey(Path::new("given/a/b/d/e"), "*.gif".into()).unwrap_err();
        assert!(error.contains("256 KiB"), "{error}");
        assert_eq!(excluder.obey(Path::new("given/f"), "*.gif".into()), Ok(()));
        assert!(excluder.reason(Path::new("given/f/a.gif"), false).is_some());
    }

    #[test]
    fn a_folder_that_can_not_be_looked_into_is_blamed_itself() {
        let rules = rules(&[], true);
        let no_folder = tempfile::NamedTempFile::new().unwrap();
        let mut excluder = Excluder::new(&rules, Path::new("/"));
        let error = excluder.enter(no_folder.path(), |_| Ok(None)).unwrap_err();
        assert!(error.contains("the folder can't be read: "), "{error}");
    }
}
