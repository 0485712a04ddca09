//! Checks tables row by row, and reports every wrong row instead of only the first.

use std::any::Any;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The rows of a table that went wrong; fails the test when it is dropped, if there are any.
#[derive(Default)]
pub struct Failures {
    checked: usize,
    wrong: Vec<String>,
}

impl Failures {
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs the check of one row, and remembers the row by its name when an assertion fails.
    pub fn check(&mut self, row: impl Display, check: impl FnOnce()) {
        self.checked += 1;
        if let Err(panic) = catch_unwind(AssertUnwindSafe(check)) {
            self.wrong.push(format!("{row}\n    {}", message(&*panic).replace('\n', "\n    ")));
        }
    }
}

impl Drop for Failures {
    fn drop(&mut self) {
        if self.wrong.is_empty() {
            return;
        }
        let summary = format!(
            "{} of {} rows are wrong:\n{}",
            self.wrong.len(),
            self.checked,
            self.wrong.join("\n")
        );
        // A second panic while the first unwinds would abort the whole test run.
        if std::thread::panicking() {
            eprintln!("{summary}");
        } else {
            panic!("{summary}");
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message")
}

#[test]
fn all_wrong_rows_are_reported() {
    let table = catch_unwind(|| {
        let mut failures = Failures::new();
        for number in 1..=4 {
            failures.check(format!("row {number}"), || assert!(number % 2 == 0, "{number} is odd"));
        }
    });
    let panic = table.unwrap_err();
    let expected = "2 of 4 rows are wrong:\nrow 1\n    1 is odd\nrow 3\n    3 is odd";
    assert_eq!(message(&*panic), expected);
}
