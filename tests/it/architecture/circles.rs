//! Checks that no file names an item of a file that names, directly or by others, one of its own.
//!
//! `mod name;` is no edge, nor is a re-export of what stands below the module. Whoever uses a
//! re-export names the file where the item is defined.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;

use super::names::{Names, Target};
use super::tree::{Tree, Violation, expect_places, made_up};

/// For each file the files that it names, with the line and the path of the first place.
type Edges<'a> = BTreeMap<&'a str, BTreeMap<&'a str, (usize, String)>>;

/// Reports each knot of files that lead to each other, with a shortest circle in it.
pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let names = Names::read(tree);
    let edges = edges(&names);
    let reach: BTreeMap<&str, BTreeSet<&str>> =
        edges.keys().map(|file| (*file, reachable(&edges, file))).collect();
    let mut done = BTreeSet::new();
    let mut violations = Vec::new();
    for file in edges.keys() {
        if done.contains(file) || !reach[file].contains(file) {
            continue;
        }
        let leads_back = |other: &&&str| reach.get(**other).is_some_and(|r| r.contains(file));
        let knot: Vec<&str> = reach[file].iter().filter(leads_back).copied().collect();
        done.extend(knot.iter().copied());
        violations.push(describe(&edges, &knot));
    }
    violations
}

fn edges<'a>(names: &Names<'a>) -> Edges<'a> {
    let mut edges = Edges::new();
    for reference in names.references() {
        let from = reference.file.path.as_str();
        for target in &reference.targets {
            let Target::Item(module) = target else { continue };
            let to = names.modules[*module].file.path.as_str();
            if from != to && !reference.passed_up {
                let place = (reference.line, reference.path.clone());
                edges.entry(from).or_default().entry(to).or_insert(place);
            }
        }
    }
    edges
}

fn reachable<'a>(edges: &Edges<'a>, from: &str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open = vec![from];
    while let Some(file) = open.pop() {
        for next in edges.get(file).into_iter().flat_map(BTreeMap::keys) {
            if found.insert(*next) {
                open.push(next);
            }
        }
    }
    found
}

/// A shortest way from a file back to itself; it begins and ends with that file.
fn circle<'a>(edges: &Edges<'a>, start: &'a str) -> Vec<&'a str> {
    let mut open = VecDeque::from([vec![start]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = open.pop_front() {
        let last = way[way.len() - 1];
        for next in edges.get(last).into_iter().flat_map(BTreeMap::keys) {
            let mut longer = way.clone();
            longer.push(next);
            if *next == start {
                return longer;
            }
            if seen.insert(*next) {
                open.push_back(longer);
            }
        }
    }
    unreachable!("{start} does not lead to itself")
}

fn describe(edges: &Edges<'_>, knot: &[&str]) -> Violation {
    let shortest = shortest_circles(edges, knot);
    let first = &shortest[0];
    let (line, _) = edges[first[0]][first[1]];
    let mut advice = format!(
        "circle: {} files lead to each other ({}); move what both ends need to a file of its own, \
         or let one end take it as an argument. Shortest circles:",
        knot.len(),
        knot.join(", "),
    );
    for circle in &shortest {
        for pair in circle.windows(2) {
            let (line, path) = &edges[pair[0]][pair[1]];
            write!(advice, "\n    {}:{line} names `{path}` of {}", pair[0], pair[1]).unwrap();
        }
        advice.push('\n');
    }
    Violation::new(first[0], line, advice)
}

/// All pairs of files that name each other, or else one of the shortest circles.
fn shortest_circles<'a>(edges: &Edges<'a>, knot: &[&'a str]) -> Vec<Vec<&'a str>> {
    let mut circles: Vec<Vec<&str>> = knot.iter().map(|file| circle(edges, file)).collect();
    circles.sort_by_key(Vec::len);
    if circles[0].len() > 3 {
        circles.truncate(1);
        return circles;
    }
    let names = |from: &str, to: &str| edges[from].contains_key(to);
    let mut pairs = Vec::new();
    for (at, a) in knot.iter().enumerate() {
        let mutual = knot[at + 1..].iter().filter(|b| names(a, b) && names(b, a));
        pairs.extend(mutual.map(|b| vec![*a, *b, *a]));
    }
    pairs
}

#[test]
fn a_circle_is_found_however_it_is_written() {
    let ways = [
        "use super::b::B;",
        "use crate::b::B as Other;",
        "use crate::b::{self, B};",
        "use crate::{b::{B}};",
        "use crate::b::*; fn f() -> B { B }",
        "use crate::b; fn f() -> b::B { loop {} }",
        "use crate::b as other; fn f() { other::B::new(); }",
        "fn f() { super::b::make(); }",
        "use crate::B;",
        "fn f() { println!(\"{}\", crate::b::make()); }",
        "mod inner { use super::super::b::B; }",
        "#[serde(with = \"crate::b::hex\")] struct A;",
        "impl crate::Trait for A {}",
        "use crate::again::Renamed;",
        "fn f() { let g: Vec<crate::b::B> = Vec::new(); }",
    ];
    let b = "pub struct B; pub fn make() {} pub trait Trait {} use crate::a::A;";
    let again = "pub(crate) use crate::b::B as Renamed;";
    let lib = "mod a; mod again; mod b; pub use b::{B, Trait};";
    for way in ways {
        let a = format!("pub struct A; {way}");
        let tree = made_up(&[
            ("src/lib.rs", lib),
            ("src/a.rs", &a),
            ("src/again.rs", again),
            ("src/b.rs", b),
        ]);
        let violations = check(&tree);
        assert_eq!(violations.len(), 1, "{way}: {violations:#?}");
        assert!(violations[0].advice.contains("(src/a.rs, src/b.rs)"), "{way}: {violations:#?}");
    }
}

#[test]
fn what_is_no_circle_is_not_reported() {
    let ways = [
        "mod tests_only { } #[cfg(test)] mod tests { use crate::b::B; }",
        "#[cfg(all(test, unix))] fn f() { crate::b::make(); }",
        "use b::B;",
        "use ::b::B;",
        "use crate::b;",
        "fn f(b: u8) -> u8 { b }",
        "pub(super) fn f() {}",
        "/// See [`crate::b::B`].\nstruct Other;",
        "fn f(x: Other) { x.make(); }",
        "fn f() { format!(\"crate::b::B\"); }",
        "use crate::c::C;",
    ];
    let b = "pub struct B; pub fn make() {} use crate::a::A;";
    for way in ways {
        let a = format!("pub struct A; {way}");
        let tree = made_up(&[
            ("src/lib.rs", "mod a; mod b; mod c; pub use b::B;"),
            ("src/a.rs", &a),
            ("src/b.rs", b),
            ("src/c.rs", "pub struct C;"),
        ]);
        assert_eq!(check(&tree), [], "{way}");
    }
}

#[test]
fn a_module_and_its_child_may_not_name_each_other() {
    let child = "use super::Parent; pub struct Child;";
    for (parent, expected) in [
        ("mod child; pub use child::Child; pub struct Parent;", [].as_slice()),
        ("mod child; pub use child::*; pub struct Parent;", &[]),
        ("mod child; use child::Child; pub struct Parent(Child);", &["src/room/child.rs:1"]),
        ("mod child; pub use child::Child;\npub struct Parent(Child);", &["src/room/child.rs:1"]),
    ] {
        let tree = made_up(&[
            ("src/lib.rs", "mod room;"),
            ("src/room/mod.rs", parent),
            ("src/room/child.rs", child),
        ]);
        expect_places(&check(&tree), expected);
    }
}

#[test]
fn the_shortest_circles_of_a_knot_are_shown() {
    let tree = made_up(&[
        ("src/lib.rs", "mod a; mod b; mod c;"),
        ("src/a.rs", "pub struct A;\nuse crate::b::B;"),
        ("src/b.rs", "pub struct B;\nuse crate::c::C;"),
        ("src/c.rs", "pub struct C;\nuse crate::a::A;\n\nuse crate::b::B;"),
    ]);
    let violations = check(&tree);
    assert_eq!(violations.len(), 1);
    let advice = &violations[0].advice;
    assert!(advice.contains("3 files"), "{advice}");
    assert!(advice.contains("src/b.rs:2 names `crate::c::C` of src/c.rs"), "{advice}");
    assert!(advice.contains("src/c.rs:4 names `crate::b::B` of src/b.rs"), "{advice}");
    assert!(!advice.contains("src/a.rs:2"), "{advice}");
}

#[test]
fn a_circle_of_three_files_is_shown_once() {
    let tree = made_up(&[
        ("src/lib.rs", "mod a; mod b; mod c; mod d;"),
        ("src/a.rs", "pub struct A; use crate::b::B; use crate::d::D;"),
        ("src/b.rs", "pub struct B; use crate::c::C;"),
        ("src/c.rs", "pub struct C; use crate::a::A;"),
        ("src/d.rs", "pub struct D;"),
    ]);
    let violations = check(&tree);
    assert_eq!(violations.len(), 1);
    assert_eq!(violations[0].advice.matches(" names `").count(), 3, "{violations:#?}");
    assert!(!violations[0].advice.contains("src/d.rs"), "{violations:#?}");
}

#[test]
fn names_that_a_module_shares_with_its_function_are_followed() {
    let tree = made_up(&[
        ("src/lib.rs", "mod room;"),
        ("src/room/mod.rs", "mod a; mod convert; pub use convert::{convert, Other};"),
        ("src/room/a.rs", "pub struct A; fn f() { super::convert(); }"),
        ("src/room/convert.rs", "pub struct Other; pub fn convert() {}\nuse super::a::A;"),
    ]);
    expect_places(&check(&tree), &["src/room/a.rs:1"]);
}

#[test]
fn macros_of_a_module_above_are_seen_below_it() {
    let above = "macro_rules! both { () => {} }\nmod child;\nuse child::Child;";
    let tree = made_up(&[
        ("src/lib.rs", "mod room;"),
        ("src/room/mod.rs", above),
        ("src/room/child.rs", "pub struct Child;\nfn f() { both!(); }"),
    ]);
    expect_places(&check(&tree), &["src/room/child.rs:2"]);
}
