//! Gives the frames of an APNG, composed.

use image::metadata::Orientation;
use png::{BlendOp, DisposeOp};

use super::chunks::Damage;
use super::colours::Colours;
use super::orientation::orientation;
use super::reader::{PngReader, channels, decode_error, frame_buffer, open};
use crate::codec::error::CodecError;
use crate::codec::pixels::canvas::{Area, Blend, Canvas, Disposal};
use crate::codec::pixels::channels::Channels;
use crate::codec::pixels::deep_colour::DeepConversion;
use crate::codec::pixels::frames::{Frame, Frames, shown_ms};
use crate::codec::pixels::profile::Profile;
use crate::codec::timer::Timer;

/// The frames of an APNG.
pub(in crate::codec) struct PngFrames<'s> {
    source: &'s [u8],
    damage: Damage,
    colours: Colours,
    /// Converts samples of 16 bits, before frames are composed.
    conversion: Option<DeepConversion>,
    /// What is to be known of that conversion.
    notes: Vec<String>,
    reader: PngReader<'s>,
    canvas: Canvas,
    channels: Channels,
    buffer: Vec<u8>,
    remaining: u32,
    loop_count: u16,
}

impl<'s> PngFrames<'s> {
    /// Opens an animation, and skips the still picture if that is not one of its frames.
    pub(in crate::codec) fn open(source: &'s [u8], timer: &'s Timer) -> Result<Self, CodecError> {
        let damage = Damage::find(source, true);
        let mut colours = Colours::read(source);
        let is_deep = colours.needs_deep_samples(source);
        let fail = |error| decode_error(error, &damage);
        let mut reader = open(damage.mend(source), is_deep, false, timer).map_err(fail)?;
        let (width, height) = reader.info().size();
        let animation = reader.info().animation_control().copied();
        let mut buffer = frame_buffer(&reader).map_err(fail)?;
        if reader.info().frame_control().is_none() {
            reader.next_frame(&mut buffer).map_err(fail)?;
        }
        let channels = channels(&reader);
        let mut notes = Vec::new();
        let conversion = is_deep.then(|| {
            let profile = colours.profile.take();
            let (conversion, note) = DeepConversion::new(channels, profile.as_ref());
            // What is left out keeps the original, and the rest does not.
            if conversion.lacks_profile() { &mut colours.notes } else { &mut notes }.extend(note);
            conversion
        });
        Ok(Self {
            source,
            damage,
            colours,
            conversion,
            notes,
            canvas: Canvas::new(width, height),
            channels,
            reader,
            buffer,
            remaining: animation.map_or(1, |animation| animation.num_frames),
            loop_count: animation
                .map_or(0, |animation| u16::try_from(animation.num_plays).unwrap_or(u16::MAX)),
        })
    }

    /// Returns the first bytes of the buffer as RGBA, for rows of `width` pixels.
    fn to_rgba(&self, bytes: usize, width: u32) -> Vec<u8> {
        let samples = &self.buffer[..bytes];
        match &self.conversion {
            None => to_rgba(samples, self.channels),
            Some(conversion) => {
                let converted = conversion.apply(samples, width as usize);
                if self.channels.has_alpha() {
                    return converted;
                }
                to_rgba(&converted, Channels::Rgb)
            }
        }
    }
}

impl Frames for PngFrames<'_> {
    fn next(&mut self) -> Result<Option<Frame>, CodecError> {
        if self.remaining == 0 {
            return Ok(None);
        }
        self.remaining -= 1;
        let output = self.reader.next_frame(&mut self.buffer);
        let output = output.map_err(|error| decode_error(error, &self.damage))?;
        let control =
            *self.reader.info().frame_control().ok_or(CodecError::Container(
                "a frame of its animation says nothing of its place",
            ))?;
        let frame = self.to_rgba(output.buffer_size(), output.width);
        let area = Area {
            left: control.x_offset,
            top: control.y_offset,
            width: control.width,
            height: control.height,
        };
        let blend = match control.blend_op {
            BlendOp::Source => Blend::Source,
            BlendOp::Over => Blend::Over,
        };
        let disposal = match control.dispose_op {
            DisposeOp::None => Disposal::Keep,
            DisposeOp::Background => Disposal::Clear,
            DisposeOp::Previous => Disposal::Restore,
        };
        let rgba = self.canvas.draw(&frame, area, blend, disposal)?.to_vec();
        let denominator = if control.delay_den == 0 { 100 } else { u32::from(control.delay_den) };
        let delay_ms = (u32::from(control.delay_num) * 1000 + denominator / 2) / denominator;
        Ok(Some(Frame { rgba, duration_ms: shown_ms(delay_ms) }))
    }

    fn loop_count(&self) -> u16 {
        self.loop_count
    }

    fn profile(&self) -> Option<Profile> {
        self.colours.profile.clone()
    }

    fn orientation(&self) -> Orientation {
        orientation(self.source)
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn damage(&self) -> Vec<String> {
        [self.damage.notes(), self.colours.notes.clone()].concat()
    }
}

fn to_rgba(samples: &[u8], channels: Channels) -> Vec<u8> {
    let grey = |[grey, alpha]: [u8; 2]| [grey, grey, grey, alpha];
    match channels {
        Channels::Grey => samples.iter().flat_map(|value| grey([*value, 255])).collect(),
        Channels::GreyAlpha => {
            samples.as_chunks().0.iter().flat_map(|pixel| grey(*pixel)).collect()
        }
        Channels::Rgb => {
            samples.as_chunks().0.iter().flat_map(|[r, g, b]| [*r, *g, *b, 255]).collect()
        }
        Channels::Rgba | Channels::Cmyk => samples.to_vec(),
    }
}
