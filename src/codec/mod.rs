//! Pictures in, WebP out: untrusted bytes become pixels within limits, and pixels become WebP.

mod convert;
mod decode;
mod decoders;
mod encode;
mod error;
mod estimate;
mod formats;
mod guard;
mod header;
mod limits;
mod memory;
mod pixels;
mod settings;
mod sniff;
mod timer;

pub use convert::{Converted, convert, probe, render};
pub use encode::webp::MAX_WEBP_SIDE;
pub use error::CodecError;
pub use estimate::memory_bytes;
pub use guard::catches_panics;
pub use limits::DecodeLimits;
pub use memory::give_back_freed;
pub use settings::{Lossless, Settings};
pub use sniff::{PictureFormat, SNIFF_BYTES, Sniffed, sniff};
pub use timer::Timer;
