//! The kinds of pixels that decoders give.

/// What the 8-bit samples of a pixel mean, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channels {
    Grey,
    GreyAlpha,
    Rgb,
    Rgba,
    /// 0 is no ink.
    Cmyk,
}

impl Channels {
    /// Bytes of a pixel.
    pub(crate) const fn count(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::GreyAlpha => 2,
            Self::Rgb => 3,
            Self::Rgba | Self::Cmyk => 4,
        }
    }

    /// Bytes that a pixel takes more while it becomes RGB or RGBA: greys are copied.
    pub(crate) const fn growth(self) -> usize {
        match self {
            Self::Grey => 3,
            Self::GreyAlpha => 4,
            Self::Rgb | Self::Rgba | Self::Cmyk => 0,
        }
    }

    pub(crate) const fn has_alpha(self) -> bool {
        matches!(self, Self::GreyAlpha | Self::Rgba)
    }
}
