//! Patterns as those of `.gitignore` files: of `--exclude`, and of `.ignore` files.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::image::nfc;

/// Most lines of an `.ignore` file that are no comments.
const MAX_PATTERNS: usize = 1_000;

/// What may be given as a pattern.
const WHAT_TO_GIVE: &str = "give names, or paths below the imported folder, where a leading / \
                            stands for that folder";

/// A pattern of `--exclude`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExcludeGlob(pub(super) String);

/// The error for a text that is no pattern.
#[derive(Debug, thiserror::Error)]
#[error("{glob:?} is no pattern: {reason}")]
pub struct BadGlob {
    glob: String,
    reason: String,
}

impl FromStr for ExcludeGlob {
    type Err = BadGlob;

    fn from_str(text: &str) -> Result<Self, BadGlob> {
        let bad = |reason| BadGlob { glob: text.to_owned(), reason };
        let trimmed = trim(text);
        let (sign, path) = split_sign(trimmed);
        let path = match path.strip_prefix("./") {
            Some(below) => format!("/{below}"),
            None => path.to_owned(),
        };
        let names = path.strip_prefix('/').unwrap_or(&path);
        let mut names = names.strip_suffix('/').unwrap_or(names).split('/');
        if names.any(|name| matches!(name, "" | "." | "..")) {
            return Err(bad(format!("no file is ever found by it; {WHAT_TO_GIVE}")));
        }
        // Such a line of a file would be a comment.
        let escape = if trimmed.starts_with('#') { "\\" } else { "" };
        let glob = format!("{escape}{sign}{path}");
        let mut builder = matcher(false);
        builder.allow_unclosed_class(false);
        add(&mut builder, &glob).map_err(bad)?;
        Ok(Self(glob))
    }
}

impl ExcludeGlob {
    /// Makes the pattern relative to the only root if it is a path on disk that begins with it.
    ///
    /// # Errors
    /// When it begins with one of several roots, or is a root itself.
    pub fn below(self, roots: &[PathBuf]) -> Result<Self, BadGlob> {
        let (sign, path) = split_sign(&self.0);
        let below = |root: &PathBuf| {
            let places = [std::path::absolute(root), root.canonicalize()];
            let places = places.into_iter().flatten().filter(|place| place.parent().is_some());
            let below = |place: PathBuf| Path::new(path).strip_prefix(place).ok()?.to_str();
            places.filter_map(below).next()
        };
        let Some(below) = roots.iter().find_map(below) else { return Ok(self) };
        if roots.len() > 1 || below.is_empty() {
            let reason = format!("it begins with a path that is imported; {WHAT_TO_GIVE}");
            return Err(BadGlob { glob: self.0, reason });
        }
        let slash = if path.ends_with('/') { "/" } else { "" };
        Ok(Self(format!("{sign}/{below}{slash}")))
    }
}

/// Splits off the `!` that takes back.
fn split_sign(glob: &str) -> (&str, &str) {
    glob.split_at(usize::from(glob.starts_with('!')))
}

/// Takes away the spaces around a pattern, but not one behind a backslash.
fn trim(text: &str) -> &str {
    let trimmed = text.trim();
    let bare = trimmed.trim_end_matches('\\');
    let is_escaped = (trimmed.len() - bare.len()) % 2 == 1;
    let rest = text.trim_start();
    let space = rest[trimmed.len()..].chars().next().filter(|_| is_escaped);
    &rest[..trimmed.len() + space.map_or(0, char::len_utf8)]
}

/// Makes a matcher of patterns that are known to be good.
pub(super) fn build(any_case: bool, globs: impl Iterator<Item = String>) -> Gitignore {
    let mut builder = matcher(any_case);
    for glob in globs {
        let added = add(&mut builder, &glob);
        debug_assert!(added.is_ok(), "{added:?}");
    }
    builder.build().unwrap_or_else(|_| Gitignore::empty())
}

/// Makes a builder for patterns that are matched against relative paths.
pub(super) fn matcher(any_case: bool) -> GitignoreBuilder {
    let mut builder = GitignoreBuilder::new("");
    // The error is for a later version.
    let _ = builder.case_insensitive(any_case);
    builder
}

/// Adds a line, or returns what is wrong with it.
pub(super) fn add(builder: &mut GitignoreBuilder, line: &str) -> Result<(), String> {
    match builder.add_line(None, &nfc(line)) {
        Ok(_) => Ok(()),
        Err(ignore::Error::Glob { err, .. }) => Err(err),
        Err(error) => Err(error.to_string()),
    }
}

/// Makes a matcher of the text of an `.ignore` file.
pub(super) fn compile(text: &str) -> Result<Gitignore, String> {
    let lines = || text.trim_start_matches('\u{FEFF}').lines();
    let is_pattern = |line: &&str| !line.trim().is_empty() && !line.starts_with('#');
    if lines().filter(is_pattern).count() > MAX_PATTERNS {
        return Err(format!("it has more than {MAX_PATTERNS} patterns"));
    }
    let mut builder = matcher(false);
    for (index, line) in lines().enumerate() {
        add(&mut builder, line).map_err(|error| format!("line {}: {error}", index + 1))?;
    }
    builder.build().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_pattern_is_named() {
        for bad in ["[", "{a", "a}", "[z-a]"] {
            let error = bad.parse::<ExcludeGlob>().unwrap_err().to_string();
            assert!(error.contains(bad), "{error}");
        }
    }

    #[test]
    fn a_file_of_too_many_patterns_is_refused() {
        let many = |patterns| format!("# many\n\n{}", "*.gif\n".repeat(patterns));
        assert!(compile(&many(MAX_PATTERNS)).is_ok());
        assert!(compile(&many(MAX_PATTERNS + 1)).unwrap_err().contains("1000 patterns"));
    }

    #[test]
    fn a_pattern_that_matches_nothing_is_refused() {
        let nothing = [
            "", " ", "/", ".", "..", "./", "!", "! ", "!/", "!..", "//a", "a//b", "../a", "a/../b",
            "a/..", "/..", "./../a", "!../a", "a/.", "a/./b", "././a",
        ];
        let taken = nothing.map(|glob| glob.parse::<ExcludeGlob>().ok());
        assert_eq!(taken, nothing.map(|_| None));
    }

    #[test]
    fn a_pattern_that_is_a_path_on_disk_is_made_relative() {
        let dir = tempfile::tempdir().unwrap();
        let (root, link) = (dir.path().join("given"), dir.path().join("link"));
        std::fs::create_dir(&root).unwrap();
        std::os::unix::fs::symlink("given", &link).unwrap();
        let roots = [link.clone()];
        let below = |glob: String, roots: &[PathBuf]| {
            glob.parse::<ExcludeGlob>().unwrap().below(roots).map(|glob| glob.0).ok()
        };
        let (root, link) = (root.display(), link.display());
        let expect = |relative: &str| Some(relative.to_owned());
        for (glob, expected) in [
            (format!("{root}/raw"), expect("/raw")),
            (format!("{link}/a/*.gif"), expect("/a/*.gif")),
            (format!("!{root}/raw/"), expect("!/raw/")),
            (format!("{root}s/raw"), expect(&format!("{root}s/raw"))),
            ("/raw".into(), expect("/raw")),
            (format!("{root}"), None),
            (format!("{link}/"), None),
        ] {
            assert_eq!(below(glob.clone(), &roots), expected, "{glob}");
        }
        assert_eq!(below("/raw".into(), &[PathBuf::from("/")]), expect("/raw"));
        let two = [roots[0].clone(), dir.path().to_owned()];
        assert_eq!(below(format!("{root}/raw"), &two), None);
    }
}
