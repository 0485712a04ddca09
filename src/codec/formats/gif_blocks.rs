//! Finds the frames of a GIF, past damaged blocks and bytes that belong to none.
//!
//! Programs differ in what they make of such bytes: some stop there, and others look for the next
//! block. This does the latter. Whatever is left out is remembered, so that it can be told.
//!
//! Format: `GIF89a` specification, sections 18 to 27.

/// The bytes that begin a block.
const IMAGE: u8 = 0x2C;
const EXTENSION: u8 = 0x21;
const TRAILER: u8 = 0x3B;

/// Labels of extensions.
const CONTROL: u8 = 0xF9;
const APPLICATION: u8 = 0xFF;

/// Length of the signature and of the screen descriptor, in bytes.
const HEADER_BYTES: usize = 13;
/// Length of an image descriptor, without the byte that begins it, in bytes.
const DESCRIPTOR_BYTES: usize = 9;
/// Largest size of the codes that a frame begins with, in bits.
const MAX_CODE_SIZE: u8 = 11;

/// What is wrong with a GIF whose frames are shown nevertheless.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Damage {
    /// There are bytes between blocks that belong to none.
    pub(super) junk: bool,
    /// Frames lack pixels, or were left out because none of theirs can be read.
    pub(super) broken: bool,
    /// Frames have a width or height of 0.
    pub(super) empty: bool,
    /// Frames have no table of colours.
    pub(super) colourless: bool,
    /// The file ends within a block.
    pub(super) truncated: bool,
    /// The file ends between blocks, without its trailer. Frames may have followed.
    pub(super) endless: bool,
    /// Frames have more pixels than their width and height say.
    pub(super) surplus: bool,
}

impl Damage {
    /// Returns a note on each kind.
    pub(super) fn notes(self) -> Vec<String> {
        [
            (self.junk, "bytes that belong to no block were skipped"),
            (self.broken, "broken frames: what can be read of them is shown"),
            (self.empty, "frames of a width or height of 0"),
            (self.colourless, "frames without a table of colours are shown black"),
            (self.truncated, "truncated: the file ends within a frame or block"),
            (
                self.endless && !self.truncated,
                "its end is missing: frames that followed are not shown",
            ),
            (self.surplus, "frames with more pixels than their size: the rest is not shown"),
        ]
        .into_iter()
        .filter(|(is_so, _)| *is_so)
        .map(|(_, note)| note.to_owned())
        .collect()
    }
}

/// A chain of blocks of up to 255 bytes, each behind its length.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SubBlocks<'s> {
    /// Those that are whole, with their lengths and without the terminator.
    pub(super) whole: &'s [u8],
    /// What is there of one that the end of the file cuts, without its length.
    pub(super) cut: &'s [u8],
    is_terminated: bool,
}

impl<'s> SubBlocks<'s> {
    /// Takes a chain from the front of `rest`.
    fn take(rest: &mut &'s [u8]) -> Self {
        let all = *rest;
        let mut end = 0;
        while let Some(length) = all.get(end) {
            let next = end + 1 + usize::from(*length);
            if *length == 0 {
                *rest = &all[next..];
                return Self { whole: &all[..end], cut: &[], is_terminated: true };
            }
            if next > all.len() {
                break;
            }
            end = next;
        }
        *rest = &[];
        Self {
            whole: &all[..end],
            cut: all.get(end + 1..).unwrap_or_default(),
            is_terminated: false,
        }
    }

    /// Returns the content of each whole block.
    pub(super) fn contents(self) -> impl Iterator<Item = &'s [u8]> {
        let mut rest = self.whole;
        std::iter::from_fn(move || {
            let (length, behind) = rest.split_first()?;
            let (content, behind) = behind.split_at_checked(usize::from(*length))?;
            rest = behind;
            Some(content)
        })
    }
}

/// A block that says something of a frame or of the whole.
#[derive(Debug)]
pub(super) enum Block<'s> {
    Frame(FrameBlock<'s>),
    /// An application's extension: its name, and what follows.
    Application(SubBlocks<'s>),
}

/// A frame, its pixels still coded.
#[derive(Debug)]
pub(super) struct FrameBlock<'s> {
    /// Content of the control extension before it, or zeros.
    pub(super) control: [u8; 4],
    pub(super) left: u16,
    pub(super) top: u16,
    pub(super) width: u16,
    pub(super) height: u16,
    pub(super) interlaced: bool,
    /// Its own or the file's table of colours, which may be empty.
    pub(super) palette: &'s [u8],
    pub(super) code_size: u8,
    pub(super) codes: SubBlocks<'s>,
}

impl FrameBlock<'_> {
    /// Returns the number of pixels that it claims to have.
    pub(super) fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// Whether the file ends before the frame does.
    pub(super) fn is_cut(&self) -> bool {
        !self.codes.is_terminated
    }
}

/// The blocks of a GIF that are still to come.
#[derive(Clone, Debug)]
pub(super) struct GifBlocks<'s> {
    rest: &'s [u8],
    /// Width of the screen, in pixels.
    pub(super) width: u16,
    /// Height of the screen, in pixels.
    pub(super) height: u16,
    palette: &'s [u8],
    control: [u8; 4],
    pub(super) damage: Damage,
}

impl<'s> GifBlocks<'s> {
    /// Reads the header, or returns `None` if the file ends within it.
    pub(super) fn new(source: &'s [u8]) -> Option<Self> {
        let (header, mut rest) = source.split_at_checked(HEADER_BYTES)?;
        let palette = take_palette(&mut rest, header[10])?;
        Some(Self {
            rest,
            width: u16::from_le_bytes([header[6], header[7]]),
            height: u16::from_le_bytes([header[8], header[9]]),
            palette,
            control: [0; 4],
            damage: Damage::default(),
        })
    }

    /// Takes a block from the front, or `None` if it says nothing that matters.
    fn take_block(&mut self, introducer: u8) -> Option<Block<'s>> {
        match introducer {
            IMAGE => self.take_frame().map(Block::Frame),
            EXTENSION => self.take_extension(),
            _ => {
                self.damage.junk = true;
                let next = (0..self.rest.len()).find(|at| self.may_begin_block(&self.rest[*at..]));
                self.rest = &self.rest[next.unwrap_or(self.rest.len())..];
                None
            }
        }
    }

    /// Whether a block begins here, behind bytes that belong to none, where it may be chance that a
    /// byte looks like the beginning of one.
    fn may_begin_block(&self, bytes: &[u8]) -> bool {
        match *bytes {
            [TRAILER, ..]
            | [EXTENSION, CONTROL, 4, _, _, _, _, 0, ..]
            | [EXTENSION, APPLICATION, 11, ..] => true,
            [IMAGE, l0, l1, t0, t1, w0, w1, h0, h1, flags, ..] => {
                let fits = |start, length, whole| {
                    let (start, length) = (u16::from_le_bytes(start), u16::from_le_bytes(length));
                    length > 0 && u32::from(start) + u32::from(length) <= u32::from(whole)
                };
                fits([l0, l1], [w0, w1], self.width)
                    && fits([t0, t1], [h0, h1], self.height)
                    && flags & 0x18 == 0
            }
            _ => false,
        }
    }

    fn take_frame(&mut self) -> Option<FrameBlock<'s>> {
        let control = std::mem::take(&mut self.control);
        let frame = self.take_descriptor();
        self.damage.truncated |= frame.is_none();
        let (frame, flags) = frame?;
        let own_palette = take_palette(&mut self.rest, flags);
        let code_size = self.rest.split_off_first();
        let (Some(own_palette), Some(code_size)) = (own_palette, code_size) else {
            self.damage.truncated = true;
            self.rest = &[];
            return None;
        };
        let codes = SubBlocks::take(&mut self.rest);
        let palette = if own_palette.is_empty() { self.palette } else { own_palette };
        let frame = FrameBlock { control, palette, code_size: *code_size, codes, ..frame };
        if frame.pixels() == 0 {
            self.damage.empty = true;
        } else if !(1..=MAX_CODE_SIZE).contains(code_size)
            || codes.whole.is_empty() && codes.cut.is_empty()
        {
            self.damage.broken = true;
            self.damage.truncated |= frame.is_cut();
            return None;
        } else {
            self.damage.colourless |= palette.is_empty();
        }
        Some(frame)
    }

    /// Takes an image descriptor. Returns its frame, still without its pixels, and its flags.
    fn take_descriptor(&mut self) -> Option<(FrameBlock<'s>, u8)> {
        let Some((descriptor, rest)) = self.rest.split_first_chunk::<DESCRIPTOR_BYTES>() else {
            self.rest = &[];
            return None;
        };
        self.rest = rest;
        let [l0, l1, t0, t1, w0, w1, h0, h1, flags] = *descriptor;
        let frame = FrameBlock {
            control: [0; 4],
            left: u16::from_le_bytes([l0, l1]),
            top: u16::from_le_bytes([t0, t1]),
            width: u16::from_le_bytes([w0, w1]),
            height: u16::from_le_bytes([h0, h1]),
            interlaced: flags & 0x40 != 0,
            palette: &[],
            code_size: 0,
            codes: SubBlocks::default(),
        };
        Some((frame, flags))
    }

    fn take_extension(&mut self) -> Option<Block<'s>> {
        let Some(label) = self.rest.split_off_first() else {
            self.damage.truncated = true;
            return None;
        };
        if *label == CONTROL {
            self.take_control();
            return None;
        }
        let content = SubBlocks::take(&mut self.rest);
        self.damage.truncated |= !content.is_terminated;
        (*label == APPLICATION).then_some(Block::Application(content))
    }

    /// Takes the content of a control extension, which is one block of four bytes. What follows in
    /// a damaged one is left to be skipped, because its terminator may be missing.
    fn take_control(&mut self) {
        let length = self.rest.split_off_first().copied().map_or(0, usize::from);
        let Some((content, rest)) = self.rest.split_at_checked(length) else {
            self.damage.truncated = true;
            self.rest = &[];
            return;
        };
        self.rest = rest;
        if let Some(control) = content.first_chunk() {
            self.control = *control;
        }
        self.damage.junk |= length != 4;
        if length > 0 && rest.first() == Some(&0) {
            self.rest = &rest[1..];
        }
    }
}

impl<'s> Iterator for GifBlocks<'s> {
    type Item = Block<'s>;

    fn next(&mut self) -> Option<Block<'s>> {
        loop {
            let Some(introducer) = self.rest.first().copied() else {
                self.damage.endless = true;
                return None;
            };
            match introducer {
                TRAILER => return None,
                IMAGE | EXTENSION => self.rest = &self.rest[1..],
                _ => {}
            }
            if let Some(block) = self.take_block(introducer) {
                return Some(block);
            }
        }
    }
}

/// Takes the table of colours that `flags` announce, which is empty if they announce none.
fn take_palette<'s>(rest: &mut &'s [u8], flags: u8) -> Option<&'s [u8]> {
    let length = if flags & 0x80 == 0 { 0 } else { 6 << (flags & 7) };
    let (palette, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(palette)
}
