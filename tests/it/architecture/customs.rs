//! Checks where modules live and what their `mod.rs` names, and macros that types make needless.

use std::collections::BTreeSet;

use super::names::{Names, module_path};
use super::tree::{SourceFile, Tree, Violation, expect_places, made_up};

/// Macros for states that can't be, or code that is not there.
const NEEDLESS: [&str; 3] = ["unreachable", "todo", "unimplemented"];

/// Reports a file beside its folder, one that no `mod` leads to, and one that no map names.
pub(super) fn check_modules(tree: &Tree) -> Vec<Violation> {
    let names = Names::read(tree);
    let mut violations = Vec::new();
    let folders: BTreeSet<&str> =
        tree.rust.iter().filter_map(|file| Some(file.path.rsplit_once('/')?.0)).collect();
    for file in &tree.rust {
        if folders.contains(file.path.trim_end_matches(".rs")) {
            let folder = file.path.trim_end_matches(".rs");
            let advice = format!("{folder}/ stands beside it: move it to {folder}/mod.rs");
            violations.push(Violation::new(&file.path, 1, advice));
        }
        if file.path.ends_with("/mod.rs") || file.path == "src/lib.rs" {
            violations.extend(check_map(tree, &names, file));
        }
    }
    let declared = declared(tree);
    for file in tree.sources() {
        let path = module_path(&file.path);
        if !path.is_empty() && path != ["main"] && !declared.contains(&path) {
            let advice = "no `mod` leads to this file: declare it or delete it";
            violations.push(Violation::new(&file.path, 1, advice));
        }
    }
    violations
}

/// Reports modules of a folder that the folder's map does not name.
fn check_map(tree: &Tree, names: &Names<'_>, map: &SourceFile) -> Option<Violation> {
    let is_head = |first: &&super::facts::Doc| first.inner && first.line == 1;
    let head = map.facts.docs.first().filter(is_head);
    let text = head.map_or(String::new(), |doc| doc.lines.join("\n"));
    let folder = map.path.rsplit_once('/')?.0;
    let mut missing = BTreeSet::new();
    for file in tree.rust.iter().filter(|file| !names.tests.contains(file.path.as_str())) {
        let Some(below) = file.path.strip_prefix(folder) else { continue };
        let name = match below.trim_start_matches('/').split('/').collect::<Vec<_>>()[..] {
            [name] => name.trim_end_matches(".rs"),
            [name, "mod.rs"] => name,
            _ => continue,
        };
        if below.starts_with('/')
            && !["mod", "lib", "main"].contains(&name)
            && !is_named(&text, name)
        {
            missing.insert(name);
        }
    }
    let missing: Vec<&str> = missing.into_iter().collect();
    let advice = || format!("its `//!` does not name {}: add them", missing.join(", "));
    (!missing.is_empty()).then(|| Violation::new(&map.path, 1, advice()))
}

/// Whether a text has a name in a code span, perhaps as a file, a folder or the head of a path.
fn is_named(text: &str, name: &str) -> bool {
    text.split('`').skip(1).step_by(2).any(|span| {
        span.strip_prefix(name).is_some_and(|rest| {
            rest.is_empty() || rest == ".rs" || rest == "/" || rest.starts_with("::")
        })
    })
}

/// Paths of all modules that a `mod name;` of the library declares, for tests or not.
fn declared(tree: &Tree) -> BTreeSet<Vec<String>> {
    let mut declared = BTreeSet::new();
    for file in tree.sources() {
        for scope in &file.facts.scopes {
            for (child, _) in &scope.children {
                let mut path = module_path(&file.path);
                path.extend(scope.below.iter().cloned());
                path.push(child.clone());
                declared.insert(path);
            }
        }
    }
    declared
}

/// Reports calls of macros for states that can't be, outside tests.
pub(super) fn check_macros(tree: &Tree) -> Vec<Violation> {
    let names = Names::read(tree);
    let mut violations = Vec::new();
    for file in tree.sources().filter(|file| !names.tests.contains(file.path.as_str())) {
        for (name, line) in &file.facts.macros {
            if NEEDLESS.contains(&name.as_str()) {
                let advice = format!("{name}!: choose types that can't be in that state");
                violations.push(Violation::new(&file.path, *line, advice));
            }
        }
    }
    violations
}

#[test]
fn a_module_with_a_folder_is_its_mod_file() {
    let tree = made_up(&[
        ("src/lib.rs", "//! [`a`] and [`b`].\nmod a; mod b;"),
        ("src/a.rs", "mod x;"),
        ("src/a/x.rs", "//! One."),
        ("src/b/mod.rs", "//! `x` and `ax`.\nmod ax; mod x;"),
        ("src/b/ax.rs", "//! One."),
        ("src/b/x.rs", "//! One."),
    ]);
    expect_places(&check_modules(&tree), &["src/a.rs:1"]);
}

#[test]
fn a_map_names_each_file_of_its_folder() {
    let tree = made_up(&[
        ("src/lib.rs", "//! `room/` is one, [`hall`](hall) is another.\nmod hall; mod room;"),
        ("src/hall.rs", "//! One."),
        (
            "src/room/mod.rs",
            "//! `one`, [`two`], `three.rs`; four, `fives`.\n/// `four`\nmod one; mod two;\n\
             mod three; mod four; mod five; #[cfg(test)] mod tests;",
        ),
        ("src/room/one.rs", ""),
        ("src/room/two/mod.rs", "//! `deep`."),
        ("src/room/two/deep.rs", ""),
        ("src/room/three.rs", ""),
        ("src/room/four.rs", ""),
        ("src/room/five.rs", ""),
        ("src/room/tests.rs", ""),
    ]);
    let violations = check_modules(&tree);
    let maps: Vec<&Violation> = violations.iter().filter(|v| v.advice.contains("//!")).collect();
    assert_eq!(maps.len(), 1, "{violations:#?}");
    assert_eq!(maps[0].path, "src/room/mod.rs");
    assert!(maps[0].advice.contains("name five, four:"), "{violations:#?}");
}

#[test]
fn a_file_that_no_module_declares_is_reported() {
    let tree = made_up(&[
        ("src/lib.rs", "//! `a`, `b`, `dead`.\nmod a; mod b;"),
        ("src/main.rs", "fn main() {}"),
        ("src/a.rs", ""),
        ("src/b/mod.rs", "//! `deep`.\nmod deep;"),
        ("src/b/deep.rs", ""),
        ("src/dead.rs", ""),
    ]);
    expect_places(&check_modules(&tree), &["src/dead.rs:1"]);
}

#[test]
fn macros_for_states_that_can_not_be_are_reported() {
    let tree = made_up(&[(
        "src/a.rs",
        "fn a() { unreachable!(); }\n\
         fn b() { println!(\"{}\", if true { 1 } else { std::todo!() }); }\n\
         macro_rules! m { () => { unimplemented!(\"x\") } }\n\
         fn unreachable() {} fn c() { unreachable(); }\n\
         /// Not `todo!()`.\nfn d() { f(\"todo!()\"); assert!(todo != 1); }\n\
         #[cfg(test)] mod tests { fn e() { todo!() } }\n\
         #[cfg(not(test))]\nfn g() { todo!() }\n",
    )]);
    expect_places(&check_macros(&tree), &["src/a.rs:1", "src/a.rs:2", "src/a.rs:3", "src/a.rs:9"]);
}
