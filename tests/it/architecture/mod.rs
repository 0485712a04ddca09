//! Checks of the house's rules, on parsed sources. ARCHITECTURE.md gives the reasons.
//!
//! In reading order: `tree` reads the repository, `facts` says what a file contains, `names`
//! resolves paths; then one file a rule: `circles`, `layers`, `length`, `words`, `customs`. Each
//! reports all violations at once and has tests of its own on made-up sources.

mod circles;
mod customs;
mod facts;
mod layers;
mod length;
mod names;
mod tree;
mod words;

use tree::{REPOSITORY, report};

#[test]
fn no_files_name_each_other_in_a_circle() {
    report(circles::check(&REPOSITORY));
}

#[test]
fn modules_depend_downwards_only() {
    report(layers::check_layers(&REPOSITORY));
}

#[test]
fn rooms_depend_in_one_direction() {
    report(layers::check_rooms(&REPOSITORY));
}

#[test]
fn files_functions_and_lines_stay_short() {
    report(length::check(&REPOSITORY));
}

#[test]
fn files_and_doc_comments_are_sentences() {
    report(words::check(&REPOSITORY));
}

#[test]
fn modules_follow_one_custom() {
    report(customs::check_modules(&REPOSITORY));
}

#[test]
fn no_code_stands_for_an_impossible_state() {
    report(customs::check_macros(&REPOSITORY));
}
