//! Walks over the chunks of a PNG: which of them the decoder is given, and what is damaged.
//!
//! The decoder gives up where other programs show the picture: at the wrong checksum of a chunk,
//! and where the end is missing. So it is given a PNG without such faults, and the faults are told.

use std::borrow::Cow;

use flate2::Crc;

const SIGNATURE_BYTES: usize = 8;

/// Bytes of a chunk beside its content: length, kind and checksum.
const CHUNK_FRAME_BYTES: usize = 12;

/// Bytes of a chunk before its content: length and kind.
const CHUNK_HEAD_BYTES: usize = 8;

/// The last chunk of every PNG.
const END: &[u8; CHUNK_FRAME_BYTES] = b"\0\0\0\0IEND\xAE\x42\x60\x82";

/// Longest chunk beside the pixels that the decoder is given, in bytes. None of those that it needs
/// is as long, and it would keep all of the others.
const MAX_KEPT_BYTES: usize = 64 << 10;

/// Most kinds of chunks that a note names.
const MAX_NAMED: usize = 4;

/// A chunk that is there as a whole.
pub(super) struct Chunk<'s> {
    pub(super) kind: [u8; 4],
    pub(super) content: &'s [u8],
    /// All of its bytes.
    bytes: &'s [u8],
}

impl Chunk<'_> {
    /// Whether its checksum is right.
    pub(super) fn is_intact(&self) -> bool {
        let Some((bytes, stored)) = self.bytes.split_last_chunk() else { return false };
        let mut crc = Crc::new();
        crc.update(&bytes[4..]);
        crc.sum() == u32::from_be_bytes(*stored)
    }

    fn holds_pixels(&self) -> bool {
        holds_pixels(self.kind)
    }

    /// Whether the picture can't be shown without it, even if its checksum is wrong.
    fn is_essential(&self) -> bool {
        let is_critical = self.kind[0].is_ascii_uppercase();
        is_critical || matches!(&self.kind, b"acTL" | b"fcTL" | b"fdAT")
    }

    /// Whether the decoder is given it. It refuses code points of colours that it does not know,
    /// and needs none.
    fn is_given(&self) -> bool {
        if self.kind == *b"cICP" {
            return false;
        }
        self.holds_pixels()
            || self.content.len() <= MAX_KEPT_BYTES && (self.is_essential() || self.is_intact())
    }
}

fn holds_pixels(kind: [u8; 4]) -> bool {
    matches!(&kind, b"IDAT" | b"fdAT")
}

/// Returns the chunks of a PNG up to its end. One that is cut short ends them, and so does what is
/// no chunk.
pub(super) fn chunks(source: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let mut rest = source.get(SIGNATURE_BYTES..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (kind, length) = head(rest)?;
        let (bytes, behind) = rest.split_at_checked(length.checked_add(CHUNK_FRAME_BYTES)?)?;
        rest = if kind == *b"IEND" { &[] } else { behind };
        Some(Chunk { kind, content: &bytes[CHUNK_HEAD_BYTES..][..length], bytes })
    })
}

/// Returns the kinds and contents of the chunks whose checksums are right.
pub(in crate::codec) fn intact_contents(source: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    chunks(source).filter(Chunk::is_intact).map(|chunk| (chunk.kind, chunk.content))
}

/// Reads the kind of a chunk and the length of its content.
fn head(rest: &[u8]) -> Option<([u8; 4], usize)> {
    let [a, b, c, d, kind @ ..] = *rest.first_chunk::<CHUNK_HEAD_BYTES>()?;
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
    kind.iter().all(u8::is_ascii_alphabetic).then_some((kind, length))
}

/// Returns the first intact chunk of a kind in front of the pixels.
pub(super) fn before_pixels<'s>(source: &'s [u8], kind: &[u8; 4]) -> Option<&'s [u8]> {
    let mut before = chunks(source).take_while(|chunk| chunk.kind != *b"IDAT");
    before.find(|chunk| chunk.kind == *kind && chunk.is_intact()).map(|chunk| chunk.content)
}

/// How a PNG ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Ending {
    /// With the chunk that says so.
    #[default]
    Proper,
    /// Behind a chunk, or within one.
    CutOff,
    /// With the chunk that says so, which damage before it hides.
    Hidden,
}

/// What of a PNG is not shown, or doubtful, though its pixels may all be there.
#[derive(Debug, Default)]
pub(super) struct Damage {
    /// Kinds of chunks that are used though their checksum is wrong.
    doubtful: Vec<[u8; 4]>,
    /// Kinds of chunks that are left out because their checksum is wrong.
    left_out: Vec<[u8; 4]>,
    ending: Ending,
    /// Whether other chunks are between those that hold the still picture.
    is_interrupted: bool,
    /// Bytes from the first to the last chunk.
    chunk_bytes: usize,
}

impl Damage {
    /// Looks for damage. The checksums of pixels are checked only if that is asked for.
    pub(super) fn find(source: &[u8], with_pixels: bool) -> Self {
        let mut damage = Self::default();
        let mut last_kind = [0; 4];
        let mut has_pixels = false;
        for chunk in chunks(source) {
            damage.chunk_bytes += chunk.bytes.len();
            if chunk.kind == *b"IDAT" {
                damage.is_interrupted |= has_pixels && last_kind != *b"IDAT";
                has_pixels = true;
            }
            last_kind = chunk.kind;
            if chunk.holds_pixels() && !with_pixels || chunk.is_intact() {
                continue;
            }
            let kinds =
                if chunk.is_essential() { &mut damage.doubtful } else { &mut damage.left_out };
            if kinds.len() <= MAX_NAMED && !kinds.contains(&chunk.kind) {
                kinds.push(chunk.kind);
            }
        }
        if last_kind != *b"IEND" {
            let rest = source.get(SIGNATURE_BYTES + damage.chunk_bytes..).unwrap_or_default();
            damage.ending = if rest.ends_with(END) { Ending::Hidden } else { Ending::CutOff };
        }
        damage
    }

    /// Whether the file ends before its picture does.
    pub(super) const fn is_cut_off(&self) -> bool {
        matches!(self.ending, Ending::CutOff)
    }

    /// Whether pixels may be missing because of damage inside, not at the end.
    pub(super) const fn is_inside(&self) -> bool {
        self.is_interrupted || matches!(self.ending, Ending::Hidden)
    }

    /// Returns a note on each kind of damage.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.doubtful.is_empty() {
            notes.push(format!("damaged: the checksum of {} is wrong", named(&self.doubtful)));
        }
        if !self.left_out.is_empty() {
            let kinds = named(&self.left_out);
            notes.push(format!("damaged: {kinds} was left out, because its checksum is wrong"));
        }
        match self.ending {
            Ending::Proper => {}
            Ending::CutOff => {
                notes.push("damaged: its end is missing".into());
            }
            Ending::Hidden => {
                notes.push("damaged: what is behind its pixels can't be read".into());
            }
        }
        notes
    }

    /// Returns the source as the decoder takes it: without long chunks that have nothing to do with
    /// its pixels, without damaged ones that it can do without, and with an end. Mostly it is that
    /// already.
    pub(super) fn mend<'s>(&self, source: &'s [u8]) -> Cow<'s, [u8]> {
        if self.ending == Ending::Proper && chunks(source).all(|chunk| chunk.is_given()) {
            return Cow::Borrowed(source);
        }
        let (signature, rest) = source.split_at(SIGNATURE_BYTES.min(source.len()));
        let mut mended = Vec::with_capacity(source.len() + 2 * CHUNK_FRAME_BYTES);
        mended.extend_from_slice(signature);
        for chunk in chunks(source).filter(Chunk::is_given) {
            mended.extend_from_slice(chunk.bytes);
        }
        if self.ending != Ending::Proper {
            let rest = rest.get(self.chunk_bytes..).unwrap_or_default();
            // Pixels whose chunk is cut short may be all that is needed.
            if let Some((kind, _)) = head(rest).filter(|(kind, _)| holds_pixels(*kind)) {
                let pixels = &rest[CHUNK_HEAD_BYTES..];
                let length = u32::try_from(pixels.len()).unwrap_or(u32::MAX);
                mended.extend_from_slice(&length.to_be_bytes());
                mended.extend_from_slice(&kind);
                mended.extend_from_slice(pixels);
                mended.extend_from_slice(&[0; 4]);
            }
            mended.extend_from_slice(END);
        }
        Cow::Owned(mended)
    }
}

/// Lists kinds of chunks.
fn named(kinds: &[[u8; 4]]) -> String {
    let kinds_named = kinds.iter().take(MAX_NAMED);
    let mut names: Vec<_> = kinds_named.map(|kind| kind.escape_ascii().to_string()).collect();
    if kinds.len() > MAX_NAMED {
        names.push("others".into());
    }
    names.join(", ")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        let mut crc = Crc::new();
        crc.update(kind);
        crc.update(content);
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&length[..], kind, content, &crc.sum().to_be_bytes()].concat()
    }

    pub(crate) fn png(chunks: &[Vec<u8>]) -> Vec<u8> {
        [b"\x89PNG\r\n\x1A\n".to_vec(), chunks.concat()].concat()
    }

    fn with_wrong_checksum(mut chunk: Vec<u8>) -> Vec<u8> {
        *chunk.last_mut().unwrap() ^= 1;
        chunk
    }

    #[test]
    fn what_is_damaged_is_told_and_mended() {
        let (header, text) = (chunk(b"IHDR", &[0; 13]), chunk(b"tEXt", b"Comment\0x"));
        let (pixels, end) = (chunk(b"IDAT", b"pixels"), chunk(b"IEND", b""));
        let all = [&header, &text, &pixels, &end].map(Clone::clone);
        let whole = png(&all);
        let with = |at: usize, chunk: Vec<u8>| {
            let mut chunks = all.clone();
            chunks[at] = chunk;
            png(&chunks)
        };
        let long = chunk(b"zTXt", &vec![0; MAX_KEPT_BYTES + 1]);
        let doubtful = with_wrong_checksum(pixels.clone());
        let cut = [&2_u32.to_be_bytes()[..], b"IDATpi", &[0; 4], &end].concat();
        let without_text = png(&[header.clone(), pixels.clone(), end.clone()]);
        let rows: [(Vec<u8>, Vec<u8>, &[&str]); 12] = [
            (whole.clone(), whole.clone(), &[]),
            (with(1, long), without_text.clone(), &[]),
            (with(3, Vec::new()), whole.clone(), &["end is missing"]),
            (whole[..whole.len() - 1].to_vec(), whole.clone(), &["end is missing"]),
            (with(2, pixels[..10].to_vec())[..54 + 10].to_vec(), Vec::new(), &["end is missing"]),
            (with(2, doubtful.clone()), with(2, doubtful), &["checksum of IDAT is wrong"]),
            (with(1, with_wrong_checksum(text)), without_text, &["tEXt was left out"]),
            // What is behind the end or beside the picture is noted elsewhere.
            ([&whole[..], b"junk"].concat(), Vec::new(), &[]),
            ([&whole[..], &[0; 99]].concat(), Vec::new(), &[]),
            (with(1, chunk(b"mkBF", b"")), with(1, chunk(b"mkBF", b"")), &[]),
            (with(3, [b"\xFF\xFF\xFF\xFFtEXt", &end[..]].concat()), whole, &["can't be read"]),
            (with(1, chunk(b"cICP", &[1, 13, 1, 1])), png(&[header, pixels, end]), &[]),
        ];
        for (number, (source, expected, notes)) in rows.into_iter().enumerate() {
            let damage = Damage::find(&source, true);
            let told = damage.notes();
            assert_eq!(told.len(), notes.len(), "{number}: {told:?}");
            let is_told = notes.iter().zip(&told).all(|(note, told)| told.contains(note));
            assert!(is_told, "{number}: {told:?}");
            let expected = match number {
                4 => [&png(&all[..2])[..], &cut].concat(),
                7 | 8 => source.clone(),
                _ => expected,
            };
            assert!(damage.mend(&source) == expected, "{number}");
        }
    }

    #[test]
    fn many_kinds_of_damage_make_a_short_note() {
        let kinds = [b"teXt", b"abCd", b"efGh", b"ijKl", b"mnOp", b"qrSt"];
        let chunks = kinds.map(|kind| with_wrong_checksum(chunk(kind, b"")));
        let damage = Damage::find(&png(&chunks), false);
        assert_eq!(damage.ending, Ending::CutOff);
        assert!(damage.notes()[0].contains("teXt, abCd, efGh, ijKl, others was left out"));
    }
}
