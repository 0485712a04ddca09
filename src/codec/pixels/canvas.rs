//! Composes the frames of GIF and APNG on the canvas of an animation.

use crate::codec::error::CodecError;

/// The part of the canvas that a frame covers, in pixels. What lies outside the canvas is cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Area {
    pub(crate) left: u32,
    pub(crate) top: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// How a frame's pixels combine with those below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blend {
    /// They replace those below, transparency included.
    Source,
    /// They are composited over those below, by their alpha.
    Over,
}

/// What happens to a frame's area when its time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disposal {
    /// It stays as it is.
    Keep,
    /// It becomes transparent.
    Clear,
    /// It becomes what it was before the frame.
    Restore,
}

/// The pixels that the frames drawn so far leave.
pub(crate) struct Canvas {
    width: u32,
    height: u32,
    /// RGBA, rows from the top.
    pixels: Vec<u8>,
    /// Disposal of the last frame.
    disposal: Disposal,
    /// Area of the last frame.
    area: Area,
    /// Pixels before the last frame, if they are to be restored.
    below: Option<Vec<u8>>,
}

impl Canvas {
    /// Returns a transparent canvas.
    pub(crate) fn new(width: u32, height: u32) -> Self {
        Self {
            width,
            height,
            pixels: vec![0; width as usize * height as usize * 4],
            disposal: Disposal::Keep,
            area: Area { left: 0, top: 0, width: 0, height: 0 },
            below: None,
        }
    }

    /// Disposes of the last frame and draws the next, whose RGBA pixels fill `area`.
    ///
    /// Returns the RGBA pixels of the whole canvas.
    ///
    /// # Errors
    /// Returns an error if the frame does not fill its area.
    pub(crate) fn draw(
        &mut self,
        frame: &[u8],
        area: Area,
        blend: Blend,
        disposal: Disposal,
    ) -> Result<&[u8], CodecError> {
        if frame.len() as u64 != u64::from(area.width) * u64::from(area.height) * 4 {
            return Err(CodecError::Container("a frame has another size than it says"));
        }
        self.dispose();
        if disposal == Disposal::Restore {
            self.below = Some(self.pixels.clone());
        }
        (self.disposal, self.area) = (disposal, area);
        let width = area.width as usize;
        for (index, row) in frame.chunks_exact(width.max(1) * 4).enumerate() {
            let Some(target) = self.row(area, index) else { break };
            match blend {
                Blend::Source => target.copy_from_slice(&row[..target.len()]),
                Blend::Over => {
                    for (below, above) in target.as_chunks_mut().0.iter_mut().zip(row.as_chunks().0)
                    {
                        *below = over(*above, *below);
                    }
                }
            }
        }
        Ok(&self.pixels)
    }

    /// Disposes of the last frame.
    fn dispose(&mut self) {
        match self.disposal {
            Disposal::Keep => {}
            Disposal::Clear => {
                for index in 0..self.area.height as usize {
                    let Some(row) = self.row(self.area, index) else { break };
                    row.fill(0);
                }
            }
            Disposal::Restore => {
                if let Some(below) = self.below.take() {
                    self.pixels = below;
                }
            }
        }
    }

    /// Returns the part of the canvas under a row of an area, or `None` if that is outside.
    fn row(&mut self, area: Area, index: usize) -> Option<&mut [u8]> {
        let y = area.top as usize + index;
        if y >= self.height as usize || area.left >= self.width {
            return None;
        }
        let columns = area.width.min(self.width - area.left) as usize;
        let start = (y * self.width as usize + area.left as usize) * 4;
        self.pixels.get_mut(start..start + columns * 4)
    }
}

/// Composites one pixel over another, their alpha not premultiplied.
///
/// Source: PNG specification (third edition), 12.2.
pub(crate) fn over(above: [u8; 4], below: [u8; 4]) -> [u8; 4] {
    match (above[3], below[3]) {
        (255, _) | (_, 0) => above,
        (0, _) => below,
        (above_alpha, below_alpha) => {
            let above_weight = u32::from(above_alpha) * 255;
            let below_weight = (255 - u32::from(above_alpha)) * u32::from(below_alpha);
            let weight = above_weight + below_weight;
            let mut mixed = [0; 4];
            for ((mixed, above), below) in mixed.iter_mut().zip(above).zip(below).take(3) {
                let sum = u32::from(above) * above_weight + u32::from(below) * below_weight;
                *mixed = u8::try_from((sum + weight / 2) / weight).unwrap_or(u8::MAX);
            }
            mixed[3] = u8::try_from((weight + 127) / 255).unwrap_or(u8::MAX);
            mixed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED: [u8; 4] = [255, 0, 0, 255];
    const BLUE: [u8; 4] = [0, 0, 255, 255];
    const NOTHING: [u8; 4] = [0; 4];

    fn draw(
        canvas: &mut Canvas,
        colour: [u8; 4],
        left: u32,
        width: u32,
        disposal: Disposal,
    ) -> Vec<[u8; 4]> {
        let area = Area { left, top: 0, width, height: 1 };
        let frame = colour.repeat(width as usize);
        canvas.draw(&frame, area, Blend::Over, disposal).unwrap().as_chunks().0.to_vec()
    }

    #[test]
    fn each_disposal_leaves_what_it_says() {
        for (disposal, expected) in [
            (Disposal::Keep, [RED, BLUE, BLUE, NOTHING]),
            (Disposal::Clear, [RED, NOTHING, NOTHING, NOTHING]),
            (Disposal::Restore, [RED, RED, NOTHING, NOTHING]),
        ] {
            let mut canvas = Canvas::new(4, 1);
            draw(&mut canvas, RED, 0, 2, Disposal::Keep);
            assert_eq!(draw(&mut canvas, BLUE, 1, 2, disposal), [RED, BLUE, BLUE, NOTHING]);
            assert_eq!(draw(&mut canvas, NOTHING, 0, 1, Disposal::Keep), expected, "{disposal:?}");
        }
    }

    #[test]
    fn what_lies_outside_is_cut_and_what_lies_about_its_size_is_refused() {
        let mut canvas = Canvas::new(4, 1);
        assert_eq!(draw(&mut canvas, RED, 3, 9, Disposal::Clear), [NOTHING, NOTHING, NOTHING, RED]);
        assert_eq!(draw(&mut canvas, RED, 99, 1, Disposal::Keep), [NOTHING; 4]);
        let area = Area { left: 0, top: 0, width: 2, height: 2 };
        assert!(canvas.draw(&[0; 4], area, Blend::Source, Disposal::Keep).is_err());
    }

    #[test]
    fn half_transparent_pixels_mix() {
        assert_eq!(over([255, 0, 0, 128], BLUE), [128, 0, 127, 255]);
        assert_eq!(over([255, 0, 0, 128], NOTHING), [255, 0, 0, 128]);
        assert_eq!(over(NOTHING, BLUE), BLUE);
        assert_eq!(over([10, 20, 30, 100], [10, 20, 30, 100])[..3], [10, 20, 30]);
    }
}
