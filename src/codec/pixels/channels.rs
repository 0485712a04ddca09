//! Names the kinds of pixels that decoders give, all with 8 bits a sample.

/// The meaning of a pixel's samples, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channels {
    Grey,
    GreyAlpha,
    Rgb,
    Rgba,
    /// Amounts of ink, where 0 is no ink.
    Cmyk,
}

impl Channels {
    /// Returns the number of bytes of a pixel.
    pub(crate) const fn count(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::GreyAlpha => 2,
            Self::Rgb => 3,
            Self::Rgba | Self::Cmyk => 4,
        }
    }

    /// Returns the bytes that a pixel takes in addition while it becomes RGB or RGBA.
    ///
    /// Only greys need a copy, because their pixels grow.
    pub(crate) const fn growth(self) -> usize {
        match self {
            Self::Grey => 3,
            Self::GreyAlpha => 4,
            Self::Rgb | Self::Rgba | Self::Cmyk => 0,
        }
    }

    /// Whether a pixel has an alpha sample.
    pub(crate) const fn has_alpha(self) -> bool {
        matches!(self, Self::GreyAlpha | Self::Rgba)
    }
}
