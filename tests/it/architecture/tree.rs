//! The files of the repository that the checks read, and the form of what they report.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use walkdir::WalkDir;

use super::facts::{self, Facts};

/// Folders with Rust whose files all checks read.
const RUST: [&str; 4] = ["src", "tests", "benches", "fuzz"];
/// Folders whose Markdown is read, beside the root.
const MARKDOWN: [&str; 2] = ["docs", "migrations"];

/// The repository as it is.
pub(super) static REPOSITORY: LazyLock<Tree> = LazyLock::new(|| {
    let tree = Tree::parse(&texts());
    let sources = tree.sources().count();
    assert!(sources > 40, "only {sources} files were found below src");
    tree
});

/// Texts by their paths, which begin at the repository's root.
pub(super) type Texts = BTreeMap<String, String>;

pub(super) struct Tree {
    pub rust: Vec<SourceFile>,
    pub markdown: Vec<(String, String)>,
}

pub(super) struct SourceFile {
    pub path: String,
    pub text: String,
    pub facts: Facts,
}

impl Tree {
    pub fn parse(texts: &Texts) -> Self {
        let mut tree = Self { rust: Vec::new(), markdown: Vec::new() };
        for (path, text) in texts {
            if path.ends_with(".rs") {
                let facts = facts::read(text);
                let facts = facts.unwrap_or_else(|error| panic!("{path} is no Rust: {error}"));
                tree.rust.push(SourceFile { path: path.clone(), text: text.clone(), facts });
            } else {
                tree.markdown.push((path.clone(), text.clone()));
            }
        }
        tree
    }

    /// The files of the program itself.
    pub fn sources(&self) -> impl Iterator<Item = &SourceFile> {
        self.rust.iter().filter(|file| file.path.starts_with("src/"))
    }
}

fn texts() -> Texts {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts = Texts::new();
    let mut read = |folder: &str, ending: &str, depth: usize| {
        let built = root.join("fuzz/target");
        let walk = WalkDir::new(root.join(folder)).max_depth(depth).into_iter();
        for entry in walk.filter_entry(|entry| entry.path() != built).map(Result::unwrap) {
            if entry.path().extension().is_some_and(|found| found == ending) {
                let path = entry.path().strip_prefix(root).unwrap().display().to_string();
                texts.insert(path, fs::read_to_string(entry.path()).unwrap());
            }
        }
    };
    for folder in RUST {
        read(folder, "rs", usize::MAX);
    }
    for folder in MARKDOWN {
        read(folder, "md", usize::MAX);
    }
    read("", "md", 1);
    texts
}

/// A tree of made-up files.
pub(super) fn made_up(files: &[(&str, &str)]) -> Tree {
    let texts = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
    Tree::parse(&texts.collect())
}

/// Where a rule is broken, and what to do.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Violation {
    pub path: String,
    pub line: usize,
    pub advice: String,
}

impl Violation {
    pub fn new(path: &str, line: usize, advice: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, advice: advice.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.advice)
    }
}

/// Panics with all violations, if there are any.
pub(super) fn report(mut violations: Vec<Violation>) {
    violations.sort();
    let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{} violations\n{}\n", lines.len(), lines.join("\n"));
}

/// Compares the places of violations, such as `src/a.rs:3`, with those that are expected.
#[track_caller]
pub(super) fn expect_places(violations: &[Violation], expected: &[&str]) {
    let mut places: Vec<String> = violations
        .iter()
        .map(|violation| format!("{}:{}", violation.path, violation.line))
        .collect();
    places.sort();
    assert_eq!(places, expected, "{violations:#?}");
}
