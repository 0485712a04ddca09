//! Finds the end of a picture in formats whose pieces are short to walk: GIF, PNG, WebP, BMP and
//! PNM. What is too damaged to walk has nothing behind it that can be told apart.

use super::behind;

/// Chunks in which Fireworks keeps layers and pages (PNG).
const LAYER_CHUNKS: [&[u8]; 3] = [b"mkBF", b"mkBS", b"mkTS"];
/// Chunks that hold a map which brightens the picture (PNG).
const GAIN_MAP_CHUNKS: [&[u8]; 2] = [b"gmAP", b"gdAT"];

/// Returns what lies behind the trailer of a GIF (`GIF89a`, section 27).
pub(super) fn behind_gif(gif: &[u8]) -> &[u8] {
    gif_end(gif).and_then(|end| gif.get(end..)).unwrap_or_default()
}

/// Walks the blocks. Bytes between blocks that begin none are passed over.
fn gif_end(gif: &[u8]) -> Option<usize> {
    let palette_bytes = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let mut at = 13 + palette_bytes(*gif.get(10)?);
    loop {
        match *gif.get(at)? {
            0x3B => return Some(at + 1),
            0x2C => at += 11 + palette_bytes(*gif.get(at + 9)?),
            0x21 => at += 2,
            _ => {
                at += 1;
                continue;
            }
        }
        while let length @ 1.. = usize::from(*gif.get(at)?) {
            at += 1 + length;
        }
        at += 1;
    }
}

/// Returns what lies behind the chunks of a WebP.
pub(super) fn behind_webp(webp: &[u8]) -> &[u8] {
    let length = webp.get(4..8).and_then(|four| <[u8; 4]>::try_from(four).ok());
    let end =
        length.map_or(usize::MAX, |four| (u32::from_le_bytes(four) as usize).saturating_add(8));
    webp.get(end..).unwrap_or_default()
}

/// Returns what lies behind the pixels of a BMP, and behind the length that its header gives.
pub(super) fn behind_bmp(bmp: &[u8]) -> &[u8] {
    let long = |at: usize| {
        let four = bmp.get(at..at + 4).and_then(|four| <[u8; 4]>::try_from(four).ok());
        four.map_or(0, u32::from_le_bytes)
    };
    let word = |at: usize| u64::from(long(at) & 0xFFFF);
    let (width, height, depth, pixel_bytes) = if long(14) < 40 {
        (word(18), word(20), word(24), 0)
    } else {
        // Pictures from the top have a negative height.
        let height = i32::from_le_bytes(long(22).to_le_bytes()).unsigned_abs();
        (long(18).into(), height.into(), word(28), u64::from(long(34)))
    };
    let row_bytes = (width * depth).div_ceil(32) * 4;
    let pixels_end =
        u64::from(long(10)).saturating_add(row_bytes.saturating_mul(height).max(pixel_bytes));
    let end = usize::try_from(pixels_end.max(long(2).into())).unwrap_or(usize::MAX);
    bmp.get(end..).unwrap_or_default()
}

/// Returns notes on what is in other chunks of a PNG than its picture, and behind the last one.
pub(super) fn beside_png(png: &[u8]) -> Vec<String> {
    let (mut at, mut has_layers, mut has_gain_map) = (8, false, false);
    let mut animation = PngAnimation::default();
    let mut behind = &[][..];
    while let Some(&[a, b, c, d, ref name @ ..]) = png.get(at..).and_then(<[u8]>::first_chunk::<8>)
    {
        animation.pass(*name, png.get(at + 8..).unwrap_or_default());
        has_layers |= LAYER_CHUNKS.contains(&&name[..]);
        has_gain_map |= GAIN_MAP_CHUNKS.contains(&&name[..]);
        at = at.saturating_add(12 + u32::from_be_bytes([a, b, c, d]) as usize);
        if name == b"IEND" {
            behind = png.get(at..).unwrap_or_default();
            break;
        }
    }
    let layers = has_layers.then(|| "its layers and pages are not kept".into());
    let gain_map = has_gain_map.then(|| "its HDR gain map is not kept".into());
    // Cameras write no PNG, so all but zeros says something.
    let says_something = behind.iter().any(|byte| *byte != 0);
    let bytes = || says_something.then(|| behind::bytes_note(behind.len()));
    let behind = behind::note(behind).or_else(bytes);
    let notes = layers.into_iter().chain(gain_map).chain(animation.note());
    notes.chain(behind).collect()
}

/// What the chunks of a PNG say of its animation.
#[derive(Default)]
struct PngAnimation {
    /// Number of frames that the animation is said to have, in front of the pixels.
    said: u32,
    /// Number of frames that are there.
    found: u32,
    /// Whether the still picture came.
    has_still: bool,
    /// Whether that is a frame, too.
    still_is_frame: bool,
}

impl PngAnimation {
    /// Takes a chunk: its name, and what follows that.
    fn pass(&mut self, name: [u8; 4], content: &[u8]) {
        match &name {
            b"acTL" if !self.has_still => {
                self.said = content.first_chunk().copied().map_or(0, u32::from_be_bytes);
            }
            b"fcTL" => {
                self.found = self.found.saturating_add(1);
                self.still_is_frame |= !self.has_still;
            }
            b"IDAT" => self.has_still = true,
            _ => {}
        }
    }

    /// Returns a note on the frames, or the still picture, that are not shown.
    fn note(&self) -> Option<String> {
        let is_shown = self.said > 1;
        let shown = if is_shown { self.said } else { u32::from(self.still_is_frame) };
        let left_out = self.found.saturating_sub(shown);
        if left_out > 0 {
            return Some(format!("{left_out} frames of its animation are not kept"));
        }
        (is_shown && !self.still_is_frame)
            .then(|| "the still picture beside its animation is not kept".into())
    }
}

/// Returns a note on what follows the pixels of a PNM, which is another picture as a rule.
pub(super) fn beside_pnm(pnm: &[u8]) -> Option<String> {
    let end = pnm_end(pnm)?;
    let rest = pnm.get(end..)?.trim_ascii_start();
    match rest {
        [b'P', b'1'..=b'7', ..] => Some("only the first of several pictures".into()),
        _ => behind::note(rest),
    }
}

/// Returns where the samples of a binary PNM end. Those in letters end with the file.
fn pnm_end(pnm: &[u8]) -> Option<usize> {
    let kind = *pnm.get(1)?;
    let (start, [width, height, depth, most]) =
        if kind == b'7' { pam_header(pnm)? } else { pnm_header(pnm, kind)? };
    let row_bytes = if kind == b'4' {
        width.div_ceil(8)
    } else {
        width.checked_mul(depth)?.checked_mul(if most > 255 { 2 } else { 1 })?
    };
    start.checked_add(usize::try_from(row_bytes.checked_mul(height)?).ok()?)
}

/// Reads numbers between white space and comments. One white space follows the last.
fn pnm_header(pnm: &[u8], kind: u8) -> Option<(usize, [u64; 4])> {
    let depth = match kind {
        b'4' | b'5' => 1,
        b'6' => 3,
        _ => return None,
    };
    let mut at = 2;
    let mut number = || {
        loop {
            match pnm.get(at)? {
                b'#' => at += memchr::memchr(b'\n', &pnm[at..])?,
                byte if byte.is_ascii_whitespace() => at += 1,
                _ => break,
            }
        }
        let digits = pnm[at..].iter().take(10).take_while(|byte| byte.is_ascii_digit()).count();
        at += digits;
        str::from_utf8(&pnm[at - digits..at]).ok()?.parse::<u64>().ok()
    };
    let (width, height) = (number()?, number()?);
    let most = if kind == b'4' { 1 } else { number()? };
    Some((at + 1, [width, height, depth, most]))
}

/// Reads the lines of a PAM's header, each a word and a number.
fn pam_header(pam: &[u8]) -> Option<(usize, [u64; 4])> {
    const WORDS: [&str; 4] = ["WIDTH", "HEIGHT", "DEPTH", "MAXVAL"];
    const MAX_LINES: usize = 1_000;
    let (mut at, mut numbers) = (0, [0; 4]);
    for _ in 0..MAX_LINES {
        let length = memchr::memchr(b'\n', pam.get(at..)?)?;
        let line = str::from_utf8(&pam[at..at + length]).unwrap_or_default().trim();
        at += length + 1;
        if line == "ENDHDR" {
            return Some((at, numbers));
        }
        if let Some((word, number)) = line.split_once(char::is_whitespace)
            && let Some(index) = WORDS.iter().position(|known| *known == word)
        {
            numbers[index] = number.trim().parse().ok()?;
        }
    }
    None
}
