//! Why a TIFF can't be shown.

use std::io;

use crate::codec::error::CodecError;
use crate::codec::sniff::PictureFormat;

#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error("the end is missing")]
    Truncated,
    #[error("{0}")]
    Corrupt(&'static str),
    #[error("{0} is not supported")]
    Unsupported(&'static str),
    #[error("compression {number} ({name}) is not supported")]
    Compression { number: u64, name: &'static str },
    #[error("photometric interpretation {0} is not supported")]
    Photometric(u64),
    #[error("{what} of {bits} bits a sample are not supported")]
    Bits { what: &'static str, bits: u64 },
}

impl From<Problem> for CodecError {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Truncated => Self::Truncated(PictureFormat::Tiff),
            other => Self::Decode { format: PictureFormat::Tiff, source: other.into() },
        }
    }
}

/// What a reader of compressed bytes says: one that ends too soon lies in a file that does.
pub(super) fn reading(error: io::Error) -> CodecError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Problem::Truncated.into(),
        _ => CodecError::Decode { format: PictureFormat::Tiff, source: error.into() },
    }
}
