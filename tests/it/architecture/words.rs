//! Checks the form of doc comments: sentences that begin with a capital and end with a full stop.
//!
//! Help texts of flags and commands are left out, for clap has a style of its own. Whether a
//! sentence has a subject and a verb is for people to see.

use super::facts::Doc;
use super::tree::{SourceFile, Tree, Violation, expect_places, made_up};

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in &tree.rust {
        violations.extend(check_head(file));
        for doc in file.facts.docs.iter().filter(|doc| !doc.help) {
            violations.extend(check_doc(&file.path, doc));
        }
    }
    violations
}

fn check_head(file: &SourceFile) -> Option<Violation> {
    let says = file.text.starts_with("//! ");
    let advice = "the file does not begin with a sentence in `//!` on what it owns: write one";
    (!says).then(|| Violation::new(&file.path, 1, advice))
}

fn check_doc(path: &str, doc: &Doc) -> Vec<Violation> {
    let mut violations = Vec::new();
    let first = doc.lines.first().map_or("", |line| line.trim());
    let begins = |c: char| c.is_uppercase() || c.is_ascii_digit() || "`[".contains(c);
    if !first.trim_start_matches(['*', '_', '"']).starts_with(begins) {
        let advice = "the doc comment does not begin with a capital: write a sentence of its own";
        violations.push(Violation::new(path, doc.line, advice));
    }
    let blocks = blocks(&doc.lines);
    for (at, block) in blocks.iter().enumerate() {
        let before_list = blocks.get(at + 1).is_some_and(|next| next.kind != Kind::Text);
        if block.kind == Kind::Text && !ends_well(&block.last, before_list) {
            let advice = "the paragraph does not end with a full stop: end the sentence";
            violations.push(Violation::new(path, doc.line + block.end, advice));
        }
    }
    violations
}

fn ends_well(line: &str, before_list: bool) -> bool {
    let text = line.trim_end_matches([')', '"', '*', '_', '”']);
    text.ends_with('.') || before_list && text.ends_with(':')
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    /// A list, code, a table, a heading or links' addresses, which may end as they like.
    Other,
}

/// A paragraph, or what stands in the place of one.
#[derive(Debug)]
struct Block {
    kind: Kind,
    /// Index of the last line.
    end: usize,
    last: String,
}

fn blocks(lines: &[String]) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut in_code = false;
    let mut open = false;
    for (end, line) in lines.iter().enumerate() {
        let text = line.trim();
        let fence = text.starts_with("```");
        let last = text.to_owned();
        let in_list = || blocks.last().is_some_and(|block| block.kind == Kind::Other);
        if in_code || fence {
            in_code ^= fence;
            blocks.push(Block { kind: Kind::Other, end, last });
            open = false;
        } else if text.is_empty() {
            open = false;
        } else if begins_other(text) || (!open && in_list() && line.starts_with("   ")) {
            blocks.push(Block { kind: Kind::Other, end, last });
            open = true;
        } else if open {
            let block = blocks.last_mut().unwrap();
            (block.end, block.last) = (end, last);
        } else {
            blocks.push(Block { kind: Kind::Text, end, last });
            open = true;
        }
        if text.starts_with('#') {
            open = false;
        }
    }
    blocks
}

fn begins_other(text: &str) -> bool {
    let number = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let numbered = number.len() < text.len() && number.starts_with(". ");
    let link = text.starts_with('[') && text.contains("]: ");
    let marks = ["- ", "* ", "+ ", "|", "# ", "## ", "### "];
    numbered || link || marks.iter().any(|mark| text.starts_with(mark))
}

#[test]
fn a_file_begins_with_a_sentence() {
    let tree = made_up(&[
        ("src/bare.rs", "use std::fmt;"),
        ("src/code.rs", "//! `Code` is what it owns.\n//!\n//! And this."),
        ("src/good.rs", "//! It owns this, and goes on\n//! in a second line.\n\nuse std::fmt;"),
        ("src/late.rs", "\n//! Its first line is empty."),
        ("src/lower.rs", "//! lower case.\n"),
        ("src/open.rs", "//! It owns this\n//!\n//! And this.\n"),
    ]);
    let places = ["src/bare.rs:1", "src/late.rs:1", "src/lower.rs:1", "src/open.rs:1"];
    expect_places(&check(&tree), &places);
}

/// A file with one item under a doc comment.
#[cfg(test)]
fn documented(lines: &[&str]) -> Vec<Violation> {
    let docs: String = lines.iter().map(|line| format!("/// {line}\n")).collect();
    check(&made_up(&[("src/a.rs", &format!("//! A file.\n\n{docs}pub const A: u8 = 1;"))]))
}

#[test]
fn a_doc_comment_is_a_sentence() {
    for good in [
        ["Most bytes.", ""].as_slice(),
        &["`Bytes` at most.", ""],
        &["[`Bytes`] at most (of", "one file)."],
        &["3 bytes.", "", "# Errors", "It fails."],
        &["Either of:", "- one", "- two", "  or three"],
        &["Either of:", "", "1. one", "", "   and more of it"],
        &["So:", "```", "let lower = 1;", "```"],
        &["Of [that].", "", "[that]: crate::that"],
        &["So:", "", "| a | b |", "|---|---|"],
    ] {
        assert_eq!(documented(good), [], "{good:?}");
    }
    for (bad, place) in [
        (["and how long it waits.", ""].as_slice(), "src/a.rs:3"),
        (&["(And how long it waits.)", ""], "src/a.rs:3"),
        (&["Most bytes", ""], "src/a.rs:3"),
        (&["Most bytes;", ""], "src/a.rs:3"),
        (&["Most bytes of", "a file"], "src/a.rs:4"),
        (&["Most bytes:", "", "And more."], "src/a.rs:3"),
        (&["Most bytes.", "", "And more"], "src/a.rs:5"),
        (&["# Errors", "It fails"], "src/a.rs:4"),
        (&["Most bytes", "", "- one"], "src/a.rs:3"),
    ] {
        let violations = documented(bad);
        let places: Vec<String> =
            violations.iter().map(|v| format!("{}:{}", v.path, v.line)).collect();
        assert!(places.contains(&place.to_owned()), "{bad:?}: {violations:#?}");
    }
}

#[test]
fn a_doc_comment_is_found_wherever_it_stands() {
    let tree = made_up(&[(
        "src/a.rs",
        "//! A file.\n\
         struct A {\n/// a field\nb: u8 }\n\
         enum E {\n/// a variant\nV }\n\
         trait T {\n/// a method\nfn f(); }\n\
         mod inner {\n//! a module\n}\n",
    )]);
    let twice = |line: &'static str| [line, line];
    let places = ["src/a.rs:12", "src/a.rs:3", "src/a.rs:6", "src/a.rs:9"].map(twice);
    expect_places(&check(&tree), places.as_flattened());
}

#[test]
fn help_texts_are_free() {
    let flags =
        "//! A file.\n\n#[derive(Debug, clap::Args)]\nstruct Flags {\n/// its help\na: u8 }";
    let other = "//! A file.\n\n#[derive(Debug)]\nstruct Other {\n/// its text\na: u8 }";
    let modes =
        "//! A file.\n\n#[derive(ValueEnum)]\nenum Modes {\n/// its help\nA }\n/// more\nfn f() {}";
    let tree =
        made_up(&[("src/flags.rs", flags), ("src/modes.rs", modes), ("src/other.rs", other)]);
    let places = ["src/modes.rs:7", "src/modes.rs:7", "src/other.rs:5", "src/other.rs:5"];
    expect_places(&check(&tree), &places);
}
