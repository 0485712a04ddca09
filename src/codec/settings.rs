//! What a conversion is asked to make.

/// When pictures are stored without loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lossless {
    /// Where it is smaller, of sources that are themselves lossless and have few colours.
    Auto,
    Always,
    Never,
}

/// What shapes the result of a conversion, beside the source itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// libwebp's quality of lossy images, 0 to 100.
    pub quality: u8,
    pub lossless: Lossless,
    /// Widths of the renditions, ascending; those that are not smaller than the image are left out.
    pub renditions: Vec<u16>,
}

impl Settings {
    /// Names what shapes the image itself: the same source under the same hash gives the same image. Renditions lie
    /// beside it and do not count.
    #[must_use]
    pub fn hash(&self) -> [u8; 8] {
        let mut hash = [0; 8];
        let text = format!("imagepool 1: quality {}, lossless {:?}", self.quality, self.lossless);
        hash.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..8]);
        hash
    }
}
