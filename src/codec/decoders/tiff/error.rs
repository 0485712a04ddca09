//! Names the errors of the TIFF reader: why a TIFF can't be shown.

use std::io;

use crate::codec::error::CodecError;
use crate::codec::sniff::PictureFormat;

#[derive(Debug, thiserror::Error)]
pub(super) enum TiffError {
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

impl From<TiffError> for CodecError {
    fn from(problem: TiffError) -> Self {
        match problem {
            TiffError::Truncated => Self::Truncated(PictureFormat::Tiff),
            other => Self::Decode { format: PictureFormat::Tiff, source: other.into() },
        }
    }
}

/// Turns the error of a decompressor into ours. Data that ends too early means a truncated file.
pub(super) fn from_io(error: io::Error) -> CodecError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => TiffError::Truncated.into(),
        _ => CodecError::Decode { format: PictureFormat::Tiff, source: error.into() },
    }
}
