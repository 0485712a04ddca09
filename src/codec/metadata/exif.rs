//! Reads the claims of EXIF.

use super::claims::{Claims, Stars, parse_date};
use super::text::decode;
use crate::codec::decoders::tiff::exif::{ExifFields, field};
use crate::image::{TakenAt, parse_offset};

/// Reads EXIF metadata, or a TIFF with a picture. When the file was changed is not looked at, and
/// neither is the description, into which cameras write their names.
pub(super) fn read(exif: &[u8]) -> Claims {
    let Some(fields) = ExifFields::read(exif) else { return Claims::default() };
    let text = |tag: u16| fields.text(tag).map(decode);
    let stars = || fields.number(field::RATING).and_then(|stars| Stars::parse(&stars.to_string()));
    let percent = || fields.number(field::RATING_PERCENT).and_then(Stars::of_percent);
    let split = |text: String| text.split(';').map(str::to_owned).collect();
    Claims {
        taken: date(&fields, field::DATE_ORIGINAL, field::OFFSET_ORIGINAL),
        made: date(&fields, field::DATE_DIGITIZED, field::OFFSET_DIGITIZED),
        stars: stars().or_else(percent),
        title: fields.windows_text(field::XP_TITLE),
        creator: text(field::ARTIST).or_else(|| fields.windows_text(field::XP_AUTHOR)),
        copyright: text(field::COPYRIGHT),
        licence: None,
        keywords: fields.windows_text(field::XP_KEYWORDS).map(split).unwrap_or_default(),
        withheld: Vec::new(),
    }
}

fn date(fields: &ExifFields<'_>, date: u16, offset: u16) -> Option<TakenAt> {
    let at = parse_date(&decode(fields.text(date)?))?;
    let offset_of = |tag: u16| fields.text(tag).and_then(|text| parse_offset(&decode(text)));
    let offset = at.offset_minutes.or_else(|| offset_of(offset));
    let offset_minutes = offset.or_else(|| offset_of(field::OFFSET));
    Some(TakenAt { offset_minutes, ..at })
}
