//! Black and white pixels as fax machines send them: ITU-T T.4 (Group 3, one and two-dimensional), T.6 (Group 4), and
//! TIFF's Modified Huffman (TIFF 6.0, sections 10 and 11).
//!
//! The codes are those of the fax crate; its decoders know neither Modified Huffman nor Group 3 in two dimensions.
//! Uncompressed mode, an extension that nobody writes, is left out.

use std::borrow::Cow;
use std::io::{self, Read};

use fax::BitReader;
use fax::maps::{Mode, black, mode, white};

use super::layout::Compression;

/// Zeros that only the end of a line has, before its one.
const END_OF_LINE_ZEROS: u8 = 11;

/// Reads rows of packed bits, 1 for black, the first pixel in the highest bit, each row from a byte of its own.
pub(super) struct Fax<'s> {
    bits: Bits<'s>,
    compression: Compression,
    width: usize,
    /// Where the colour changes in the row above and in this one, ascending; the first change is to black.
    reference: Vec<usize>,
    changes: Vec<usize>,
    row: Vec<u8>,
    /// Bytes of `row` that were handed out.
    taken: usize,
    /// Rows so far.
    rows: usize,
    /// The end was marked: the rest is white.
    ended: bool,
    /// The last line was damaged: the next one is wherever an end of line is found.
    lost: bool,
}

/// Why a row ended before its time.
enum Stop {
    EndOfData,
    Marked,
    Damaged,
}

impl<'s> Fax<'s> {
    pub(super) fn new(source: Cow<'s, [u8]>, compression: Compression, width: u32) -> Self {
        let width = width as usize;
        Self {
            bits: Bits { source, at: 0 },
            compression,
            width,
            reference: Vec::new(),
            changes: Vec::new(),
            row: vec![0; width.div_ceil(8)],
            taken: width.div_ceil(8),
            rows: 0,
            ended: false,
            lost: false,
        }
    }

    fn next_row(&mut self) -> io::Result<()> {
        std::mem::swap(&mut self.reference, &mut self.changes);
        self.changes.clear();
        let result = if self.ended { Ok(()) } else { self.decode_row() };
        match result {
            Ok(()) => {}
            Err(Stop::Marked) if self.rows > 0 => {
                self.ended = true;
                self.changes.clear();
            }
            // One bad line of a fax costs that line; the next begins at a mark.
            Err(Stop::Damaged) if matches!(self.compression, Compression::FaxGroup3 { .. }) => {
                self.lost = true;
            }
            Err(Stop::EndOfData) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, "corrupt fax data")),
        }
        self.rows += 1;
        self.paint();
        Ok(())
    }

    fn decode_row(&mut self) -> Result<(), Stop> {
        match self.compression {
            Compression::FaxGroup4 => self.two_dimensional(),
            Compression::FaxGroup3 { two_dimensional } => {
                while std::mem::take(&mut self.lost) && self.bits.peek(END_OF_LINE_ZEROS) != Some(0)
                {
                    self.bits.take(1)?;
                    self.lost = true;
                }
                let mut marks = 0;
                let mut tag = 1;
                while self.bits.skip_end_of_line()? {
                    marks += 1;
                    if two_dimensional {
                        tag = self.bits.take(1)?;
                    }
                }
                // Several ends in a row are the end of the page.
                if marks > 1 && self.rows > 0 {
                    return Err(Stop::Marked);
                }
                if tag == 0 { self.two_dimensional() } else { self.one_dimensional() }
            }
            _ => {
                self.one_dimensional()?;
                let at_words = matches!(self.compression, Compression::FaxRows { at_words: true });
                self.bits.align(if at_words { 16 } else { 8 });
                Ok(())
            }
        }
    }

    fn one_dimensional(&mut self) -> Result<(), Stop> {
        let mut at = 0;
        let mut is_black = false;
        while at < self.width {
            at = self.run(at, is_black)?;
            is_black = !is_black;
        }
        Ok(())
    }

    /// T.4, 4.2: a row told by how it differs from the one above.
    fn two_dimensional(&mut self) -> Result<(), Stop> {
        let mut at = 0;
        let mut is_black = false;
        let mut is_first = true;
        // Index of a change above, behind which the wanted one lies.
        let mut above = 0_usize;
        while at < self.width {
            above = above.saturating_sub(2);
            above += usize::from(above % 2 != usize::from(is_black));
            let above_at = |index: usize| self.reference.get(index).copied().unwrap_or(self.width);
            while above_at(above) < self.width
                && (above_at(above) < at || above_at(above) == at && !is_first)
            {
                above += 2;
            }
            let (change, next) = (above_at(above), above_at(above + 1));
            match self.bits.mode()? {
                Mode::Pass => at = next,
                Mode::Horizontal => {
                    let middle = self.run(at, is_black)?;
                    at = self.run(middle, !is_black)?;
                }
                Mode::Vertical(delta) => {
                    let target = change.checked_add_signed(delta.into()).ok_or(Stop::Damaged)?;
                    if target < at {
                        return Err(Stop::Damaged);
                    }
                    at = self.change(target)?;
                    is_black = !is_black;
                }
                Mode::Extension => return Err(Stop::Damaged),
                Mode::EOF => return Err(Stop::Marked),
            }
            is_first = false;
        }
        Ok(())
    }

    /// A run of pixels, and the change behind it.
    fn run(&mut self, from: usize, is_black: bool) -> Result<usize, Stop> {
        let length = self.bits.run(is_black)?;
        self.change(from.saturating_add(length))
    }

    /// The colour changes here, or at the end of the row.
    fn change(&mut self, at: usize) -> Result<usize, Stop> {
        // Runs of no pixels could go on for as long as the file does.
        if self.changes.len() > 2 * self.width + 2 {
            return Err(Stop::Damaged);
        }
        let at = at.min(self.width);
        self.changes.push(at);
        Ok(at)
    }

    fn paint(&mut self) {
        self.row.fill(0);
        self.taken = 0;
        for run in self.changes.chunks(2) {
            let (from, to) = (run[0], run.get(1).copied().unwrap_or(self.width));
            if from >= to {
                continue;
            }
            let (first, last) = (from / 8, (to - 1) / 8);
            let (head, tail) = (0xFF >> (from % 8), 0xFF << (7 - (to - 1) % 8));
            if first == last {
                self.row[first] |= head & tail;
            } else {
                self.row[first] |= head;
                self.row[first + 1..last].fill(0xFF);
                self.row[last] |= tail;
            }
        }
    }
}

impl Read for Fax<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.row.len() {
            self.next_row()?;
        }
        let count = target.len().min(self.row.len() - self.taken);
        target[..count].copy_from_slice(&self.row[self.taken..][..count]);
        self.taken += count;
        Ok(count)
    }
}

/// Bits from the highest of each byte, zeros behind the end.
struct Bits<'s> {
    source: Cow<'s, [u8]>,
    /// In bits.
    at: usize,
}

impl Bits<'_> {
    fn length(&self) -> usize {
        self.source.len().saturating_mul(8)
    }

    fn take(&mut self, count: u8) -> Result<u16, Stop> {
        let bits = self.peek(count);
        self.consume(count).map_err(|()| Stop::EndOfData)?;
        bits.ok_or(Stop::Damaged)
    }

    fn align(&mut self, bits: usize) {
        self.at = self.at.next_multiple_of(bits);
    }

    /// What is wrong where no code fits.
    fn stop(&self) -> Stop {
        // The longest code has 13 bits.
        if self.at + 13 > self.length() { Stop::EndOfData } else { Stop::Damaged }
    }

    fn mode(&mut self) -> Result<Mode, Stop> {
        mode::decode(self).ok_or_else(|| self.stop())
    }

    /// The length of a run: codes for multiples of 64, then one for the rest.
    fn run(&mut self, is_black: bool) -> Result<usize, Stop> {
        let mut run = 0_usize;
        loop {
            let code = if is_black { black::decode(self) } else { white::decode(self) };
            let code = usize::from(code.ok_or_else(|| self.stop())?);
            run = run.saturating_add(code);
            if code < 64 {
                return Ok(run);
            }
        }
    }

    /// Steps over the end of a line, and whatever is before it where that begins with zeros; whether there was one.
    fn skip_end_of_line(&mut self) -> Result<bool, Stop> {
        if self.at >= self.length() {
            return Err(Stop::EndOfData);
        }
        if self.peek(END_OF_LINE_ZEROS) != Some(0) {
            return Ok(false);
        }
        // Any number of zeros may fill up before the one.
        while self.take(1)? == 0 {}
        Ok(true)
    }
}

impl BitReader for Bits<'_> {
    type Error = ();

    fn peek(&self, bits: u8) -> Option<u16> {
        let first = self.at / 8;
        let byte =
            |index: usize| u32::from(self.source.get(first + index).copied().unwrap_or_default());
        let window = byte(0) << 16 | byte(1) << 8 | byte(2);
        let shift = 24_u32.checked_sub(u32::try_from(self.at % 8).ok()? + u32::from(bits))?;
        u16::try_from(window >> shift & ((1 << bits) - 1)).ok()
    }

    fn consume(&mut self, bits: u8) -> Result<(), ()> {
        self.at += usize::from(bits);
        if self.at > self.length() { Err(()) } else { Ok(()) }
    }

    fn bits_to_byte_boundary(&self) -> u8 {
        u8::try_from(self.at.next_multiple_of(8) - self.at).unwrap_or_default()
    }
}
