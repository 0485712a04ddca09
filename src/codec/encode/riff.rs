//! Reads the container of a WebP file, and removes its metadata without touching its pictures.
//!
//! Format: RFC 9649, section 2.

use std::borrow::Cow;

use crate::codec::error::CodecError;
use crate::codec::sniff::PictureFormat;

/// Length of the file's header, in bytes.
const HEADER_BYTES: usize = 12;
/// Length of a chunk's header, in bytes.
const CHUNK_HEADER_BYTES: usize = 8;
/// Length of the header of a frame in an animation, in bytes.
const FRAME_HEADER_BYTES: usize = 16;
/// Most chunks of a frame. Two are its alpha and its picture.
const MAX_FRAME_CHUNKS: usize = 16;
/// Flag of the `VP8X` chunk: the file has XMP metadata.
const FLAG_XMP: u8 = 0x04;
/// Flag of the `VP8X` chunk: the file has EXIF metadata.
const FLAG_EXIF: u8 = 0x08;
/// Flag of the `VP8X` chunk: pixels may be transparent.
const FLAG_ALPHA: u8 = 0x10;
/// Flag of the `VP8X` chunk: the file has a colour profile.
const FLAG_ICC: u8 = 0x20;

/// The name of a chunk, and its payload.
type Chunk<'w> = (&'w [u8], &'w [u8]);

/// A WebP file whose chunks are all whole. They are not kept, because a file can hold millions.
pub(crate) struct RiffContainer<'w> {
    /// The file up to the length in its header, without bytes that trail behind.
    file: &'w [u8],
}

impl<'w> RiffContainer<'w> {
    /// Reads the chunks of a file.
    ///
    /// # Errors
    /// Returns an error if the file or one of its chunks is cut short.
    pub(crate) fn parse(webp: &'w [u8]) -> Result<Self, CodecError> {
        let header = webp.get(..HEADER_BYTES).ok_or(CodecError::Container("its header is cut"))?;
        let riff_bytes = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
        let file = webp.get(..riff_bytes + 8).ok_or(CodecError::Truncated(PictureFormat::WebP))?;
        let mut rest =
            file.get(HEADER_BYTES..).ok_or(CodecError::Container("its header is cut"))?;
        while let Some((chunk, behind)) = next_chunk(rest)? {
            check_frame(chunk)?;
            rest = behind;
        }
        Ok(Self { file })
    }

    fn chunks(&self) -> impl Iterator<Item = Chunk<'w>> {
        let mut rest = self.file.get(HEADER_BYTES..).unwrap_or_default();
        std::iter::from_fn(move || {
            let (chunk, behind) = next_chunk(rest).ok()??;
            rest = behind;
            Some(chunk)
        })
    }

    /// Returns the payload of the first chunk with this name.
    pub(crate) fn chunk(&self, name: &[u8; 4]) -> Option<&'w [u8]> {
        self.chunks().find(|chunk| chunk.0 == name).map(|chunk| chunk.1)
    }

    /// Returns the payload of the first chunk with this name, if the header says that there is one:
    /// libwebp and browsers pass others by.
    fn announced(&self, name: &'static [u8; 4], flag: u8) -> Option<&'w [u8]> {
        let flags = *self.chunk(b"VP8X")?.first()?;
        if flags & flag == 0 { None } else { self.chunk(name) }
    }

    /// Returns the colour profile.
    pub(crate) fn profile(&self) -> Option<&'w [u8]> {
        self.announced(b"ICCP", FLAG_ICC)
    }

    /// Whether there are further colour profiles, which do not count.
    pub(crate) fn has_further_profiles(&self) -> bool {
        self.profile().is_some() && self.chunks().filter(|chunk| chunk.0 == b"ICCP").count() > 1
    }

    /// Returns the EXIF metadata.
    pub(crate) fn exif(&self) -> Option<&'w [u8]> {
        self.announced(b"EXIF", FLAG_EXIF)
    }

    /// Returns the number of frames of an animation, or 1 for a still picture.
    pub(crate) fn frames(&self) -> usize {
        self.chunks().filter(|chunk| chunk.0 == b"ANMF").count().max(1)
    }

    /// Returns the file without EXIF, XMP, colour profile, and chunks that WebP does not define, or
    /// that the header says are not there.
    ///
    /// A file without any of them is returned byte for byte.
    pub(crate) fn without_metadata(&self) -> Cow<'w, [u8]> {
        let header = self.chunk(b"VP8X").and_then(|header| header.first());
        let has_alpha = header.is_none_or(|flags| flags & FLAG_ALPHA != 0);
        let needed = |chunk: &Chunk<'_>| match chunk.0 {
            // Browsers pass it by. libwebp does not.
            b"ALPH" => has_alpha,
            name => matches!(name, b"VP8X" | b"VP8 " | b"VP8L" | b"ANIM" | b"ANMF"),
        };
        if self.chunks().all(|chunk| needed(&chunk)) {
            return Cow::Borrowed(self.file);
        }
        let length =
            |(_, payload): Chunk<'_>| CHUNK_HEADER_BYTES + payload.len().next_multiple_of(2);
        let length: usize = self.chunks().filter(needed).map(length).sum();
        let mut file = Vec::with_capacity(HEADER_BYTES + length);
        let riff_bytes = u32::try_from(HEADER_BYTES - 8 + length).unwrap_or(u32::MAX);
        file.extend_from_slice(b"RIFF");
        file.extend_from_slice(&riff_bytes.to_le_bytes());
        file.extend_from_slice(b"WEBP");
        for (name, payload) in self.chunks().filter(needed) {
            file.extend_from_slice(name);
            // A chunk's length was read from 32 bits.
            file.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
            let start = file.len();
            file.extend_from_slice(payload);
            if name == b"VP8X" && !payload.is_empty() {
                file[start] &= !(FLAG_XMP | FLAG_EXIF | FLAG_ICC);
            }
            if payload.len() % 2 == 1 {
                file.push(0);
            }
        }
        Cow::Owned(file)
    }
}

/// Checks that a frame of an animation is made of a few whole chunks. libwebp takes those that it
/// does not know for chunks of the file, and keeps a list of them.
fn check_frame((name, payload): Chunk<'_>) -> Result<(), CodecError> {
    let Some(mut rest) = payload.get(FRAME_HEADER_BYTES..).filter(|_| name == b"ANMF") else {
        return Ok(());
    };
    let mut chunks = 0;
    while let Some((_, behind)) = next_chunk(rest)? {
        chunks += 1;
        if chunks > MAX_FRAME_CHUNKS {
            return Err(CodecError::Container("a frame is made of too many chunks"));
        }
        rest = behind;
    }
    Ok(())
}

/// Reads the first chunk, and returns it with what is behind it, or `None` at the end.
fn next_chunk(bytes: &[u8]) -> Result<Option<(Chunk<'_>, &[u8])>, CodecError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let (header, body) = bytes
        .split_at_checked(CHUNK_HEADER_BYTES)
        .ok_or(CodecError::Container("a chunk's header is cut"))?;
    let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
    let payload = body.get(..length).ok_or(CodecError::Container("a chunk is cut"))?;
    let behind = body.get(length + length % 2..).unwrap_or_default();
    Ok(Some(((&header[..4], payload), behind)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let mut body = b"WEBP".to_vec();
        for (name, payload) in chunks {
            body.extend_from_slice(*name);
            body.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
            body.extend_from_slice(payload);
            body.extend(std::iter::repeat_n(0, payload.len() % 2));
        }
        [b"RIFF".as_slice(), &u32::try_from(body.len()).unwrap().to_le_bytes(), &body].concat()
    }

    #[test]
    fn metadata_goes_and_the_picture_stays_byte_for_byte() {
        let plain = file(&[(b"VP8X", &[0x10, 0, 0]), (b"VP8 ", b"abc")]);
        assert_eq!(RiffContainer::parse(&plain).unwrap().without_metadata(), plain);
        let trailing = [plain.as_slice(), b"trailing"].concat();
        assert_eq!(RiffContainer::parse(&trailing).unwrap().without_metadata(), plain);

        let tagged = file(&[
            (b"VP8X", &[0x3C, 0, 0]),
            (b"ICCP", b"a profile"),
            (b"VP8 ", b"abc"),
            (b"EXIF", b"where I live"),
            (b"XMP ", b"<x/>"),
            (b"junk", b"?"),
        ]);
        assert_eq!(RiffContainer::parse(&tagged).unwrap().without_metadata(), plain);
        assert_eq!(RiffContainer::parse(&tagged).unwrap().exif(), Some(b"where I live".as_slice()));
    }

    #[test]
    fn metadata_counts_only_where_the_header_announces_it() {
        let parts: [(&[u8; 4], &[u8]); 4] =
            [(b"ICCP", b"one"), (b"VP8 ", b"abc"), (b"ICCP", b"two"), (b"EXIF", b"turned")];
        let found = |header: &[(&[u8; 4], &[u8])]| {
            let file = file(&[header, &parts].concat());
            let container = RiffContainer::parse(&file).unwrap();
            let text = |payload: Option<&[u8]>| String::from_utf8(payload?.to_vec()).ok();
            let (profile, exif) = (text(container.profile()), text(container.exif()));
            (profile, exif, container.has_further_profiles())
        };
        let (profile, exif) = (Some("one".to_owned()), Some("turned".to_owned()));
        assert_eq!(found(&[]), (None, None, false));
        assert_eq!(found(&[(b"VP8X", &[])]), (None, None, false));
        assert_eq!(found(&[(b"VP8X", &[!FLAG_ICC & !FLAG_EXIF])]), (None, None, false));
        assert_eq!(found(&[(b"VP8X", &[FLAG_ICC])]), (profile.clone(), None, true));
        assert_eq!(found(&[(b"VP8X", &[FLAG_EXIF])]), (None, exif.clone(), false));
        assert_eq!(found(&[(b"VP8X", &[FLAG_EXIF | FLAG_ICC])]), (profile, exif, true));
    }

    #[test]
    fn alpha_that_is_not_announced_goes() {
        let alpha: (&[u8; 4], &[u8]) = (b"ALPH", b"abcd");
        let picture: (&[u8; 4], &[u8]) = (b"VP8 ", b"abcd");
        let unannounced: (&[u8; 4], &[u8]) = (b"VP8X", &[0, 0]);
        let announced: (&[u8; 4], &[u8]) = (b"VP8X", &[FLAG_ALPHA, 0]);
        let stored = |chunks: &[_]| {
            RiffContainer::parse(&file(chunks)).unwrap().without_metadata().into_owned()
        };
        assert_eq!(stored(&[unannounced, alpha, picture]), file(&[unannounced, picture]));
        let whole = [announced, alpha, picture];
        assert_eq!(stored(&whole), file(&whole));
    }

    #[test]
    fn a_frame_is_made_of_a_few_whole_chunks() {
        let frame = |inner: &[u8]| file(&[(b"ANMF", &[&[0; 16], inner].concat())]);
        let chunk = b"junk\0\0\0\0";
        assert!(RiffContainer::parse(&frame(&chunk.repeat(MAX_FRAME_CHUNKS))).is_ok());
        assert!(RiffContainer::parse(&frame(&chunk.repeat(MAX_FRAME_CHUNKS + 1))).is_err());
        assert!(RiffContainer::parse(&frame(b"junk\x02\0\0\0a")).is_err());
    }

    #[test]
    fn a_cut_file_is_refused_at_every_length() {
        let whole = file(&[(b"VP8X", &[0, 0, 0]), (b"VP8 ", b"abcd")]);
        for length in 0..whole.len() {
            assert!(RiffContainer::parse(&whole[..length]).is_err(), "the first {length} bytes");
        }
    }
}
