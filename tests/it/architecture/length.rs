//! Checks the length of files, functions and lines.

use super::tree::{Tree, Violation, expect_places, made_up};

const FILE_LINES: usize = 500;
/// Lines from a function's signature to its closing brace.
const FUNCTION_LINES: usize = 70;
/// Characters in a line of code, comments or Markdown.
const COLUMNS: usize = 100;

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in &tree.rust {
        let lines = file.text.lines().count();
        if lines > FILE_LINES {
            let advice = format!("file of {lines} lines, {FILE_LINES} at most: split it");
            violations.push(Violation::new(&file.path, FILE_LINES + 1, advice));
        }
        for function in file.facts.functions.iter().filter(|f| f.lines > FUNCTION_LINES) {
            let advice = format!(
                "function {} of {} lines, {FUNCTION_LINES} at most: split it",
                function.name, function.lines
            );
            violations.push(Violation::new(&file.path, function.line, advice));
        }
        for (at, line) in file.text.lines().enumerate() {
            if !is_address(line.trim_start().trim_start_matches(['/', '!'])) {
                violations.extend(too_wide(&file.path, at, line));
            }
        }
    }
    for (path, text) in &tree.markdown {
        let mut in_code = false;
        for (at, line) in text.lines().enumerate() {
            let line_start = line.trim_start();
            let fence = line_start.starts_with("```");
            in_code ^= fence;
            let free = in_code || fence || line_start.starts_with('|') || is_address(line);
            if !free {
                violations.extend(too_wide(path, at, line));
            }
        }
    }
    violations
}

fn too_wide(path: &str, at: usize, line: &str) -> Option<Violation> {
    let columns = line.chars().count();
    let advice = || format!("line of {columns} columns, {COLUMNS} at most: break it");
    (columns > COLUMNS).then(|| Violation::new(path, at + 1, advice()))
}

/// Whether a line is one URL, perhaps behind a list's mark or a link's name, which can't be broken.
fn is_address(line: &str) -> bool {
    let mut words = line.split_whitespace().filter(|word| {
        let is_mark = ["-", "*", ">"].contains(word);
        let is_name = word.starts_with('[') && word.ends_with("]:");
        !is_mark && !is_name
    });
    matches!((words.next(), words.next()), (Some(word), None) if word.contains("://"))
}

#[cfg(test)]
fn function_of(lines: usize) -> String {
    format!("fn long() {{\n{}}}\n", "    call();\n".repeat(lines - 2))
}

#[test]
fn a_long_file_is_reported() {
    let tree = made_up(&[
        ("src/long.rs", &"// Line.\n".repeat(501)),
        ("src/near.rs", &"// Line.\n".repeat(500)),
    ]);
    expect_places(&check(&tree), &["src/long.rs:501"]);
}

#[test]
fn a_long_function_is_reported_wherever_it_stands() {
    let long = function_of(71);
    let near = function_of(70);
    let tree = made_up(&[
        ("benches/pick.rs", &long),
        ("src/a.rs", &format!("/// Docs.\n#[inline]\npub(crate) {long}")),
        ("src/b.rs", &format!("impl B {{\n{long}}}\ntrait T {{\n{long}}}")),
        ("src/c.rs", &format!("#[cfg(test)]\nmod tests {{\n{long}}}")),
        ("src/near.rs", &format!("/// Docs.\n#[inline]\npub(crate) {near}")),
        ("src/two.rs", &format!("{near}{near}")),
        ("tests/it/a.rs", &format!("proptest! {{\n{long}}}")),
    ]);
    let places = [
        "benches/pick.rs:1",
        "src/a.rs:3",
        "src/b.rs:2",
        "src/b.rs:75",
        "src/c.rs:3",
        "tests/it/a.rs:2",
    ];
    expect_places(&check(&tree), &places);
}

#[test]
fn a_wide_line_is_reported() {
    let wide = format!("// {}", "é".repeat(98));
    let near = format!("// {}", "é".repeat(97));
    let url = format!("// https://{}", "a".repeat(98));
    let tree = made_up(&[("src/a.rs", &format!("{near}\n{url}\n{wide}\n// See {url}"))]);
    expect_places(&check(&tree), &["src/a.rs:3", "src/a.rs:4"]);
}

#[test]
fn markdown_may_be_wide_where_it_can_not_be_broken() {
    let wide = "word ".repeat(21);
    let url = format!("https://{}", "a".repeat(98));
    let text = format!(
        "| {wide} |\n```\n{wide}\n```\n- {url}\n[a]: {url}\n{wide}\nSee {url}\n{}",
        "a".repeat(100)
    );
    let tree = made_up(&[("docs/a.md", &text)]);
    expect_places(&check(&tree), &["docs/a.md:7", "docs/a.md:8"]);
}
