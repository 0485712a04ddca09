//! Decodes PNG and APNG with the png crate: every depth and colour type.
//!
//! In reading order: `chunks` walks over a file and finds out what is damaged; of what the chunks
//! beside the pixels say, `colours` reads colours and `orientation` which side is up; `reader`
//! opens the decoder. `still` gives size, needs and the still picture, and `frames` the animation.

mod chunks;

mod colours;

mod orientation;

mod reader;

mod still;

mod frames;

pub(in crate::codec) use chunks::intact_contents;
pub(in crate::codec) use frames::PngFrames;
pub(in crate::codec) use orientation::raw_profile;
pub(in crate::codec) use still::{decode, header};
