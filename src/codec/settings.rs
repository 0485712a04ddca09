//! Defines the settings of a conversion: quality, lossless or lossy, widths of renditions.

/// When images are stored without loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lossless {
    /// Where it is smaller; tried for sources that are themselves lossless and have few colours.
    Auto,
    /// For every source.
    Always,
    /// For no source.
    Never,
}

/// The settings that shape the result of a conversion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Quality of lossy images for libwebp, 0 to 100.
    pub quality: u8,
    /// When images are stored without loss.
    pub lossless: Lossless,
    /// Whether lossy still images are made with libwebp's sharp conversion to YUV, which takes more
    /// time and keeps thin coloured lines.
    pub sharp_yuv: bool,
    /// Widths of the renditions in pixels, ascending. Those not smaller than the image are left
    /// out.
    pub renditions: Vec<u16>,
}

/// What the command line defaults to, but for renditions.
impl Default for Settings {
    fn default() -> Self {
        Self { quality: 75, lossless: Lossless::Auto, sharp_yuv: false, renditions: Vec::new() }
    }
}

impl Settings {
    /// Returns a hash of the settings that shape the image itself.
    ///
    /// The same source under the same hash gives the same image. Renditions lie beside the image,
    /// so their widths do not count.
    #[must_use]
    pub fn hash(&self) -> [u8; 8] {
        let mut hash = [0; 8];
        let sharp = if self.sharp_yuv { ", sharp YUV" } else { "" };
        let text =
            format!("imagepool 1: quality {}, lossless {:?}{sharp}", self.quality, self.lossless);
        hash.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..8]);
        hash
    }
}
