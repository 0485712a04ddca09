//! What a check found.

use serde::Serialize;

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Ok,
    Warning,
    Problem,
}

impl Status {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// What a check found, and what to do about it.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    pub(super) status: Status,
    pub(super) message: String,
}

impl Finding {
    pub(super) fn ok(message: impl Into<String>) -> Self {
        Self { status: Status::Ok, message: message.into() }
    }

    pub(super) fn warning(message: impl Into<String>) -> Self {
        Self { status: Status::Warning, message: message.into() }
    }

    pub(super) fn problem(message: impl Into<String>) -> Self {
        Self { status: Status::Problem, message: message.into() }
    }
}
