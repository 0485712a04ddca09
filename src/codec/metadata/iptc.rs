//! Reads the claims of IPTC, the older metadata of press agencies: the records of its Information
//! Interchange Model (IIM 4.2).

use super::claims::{Claims, parse_date};
use super::text;
use crate::image::TakenAt;

/// Most data sets that are read. Press pictures have some dozens.
const MAX_DATA_SETS: usize = 2_000;

/// What the first record's character set says for UTF-8 (ISO 2022).
const UTF_8: &[u8] = b"\x1B%G";

/// Reads data sets: each is a marker, the numbers of its record and of itself, a length of 16 bits,
/// and its content.
pub(super) fn read(iim: &[u8]) -> Claims {
    let sets: Vec<(u8, u8, &[u8])> = data_sets(iim).take(MAX_DATA_SETS).collect();
    let is_utf_8 = sets.contains(&(1, 90, UTF_8));
    let decode = |content: &[u8]| match str::from_utf8(content) {
        Err(_) if is_utf_8 => String::from_utf8_lossy(content).into_owned(),
        _ => text::decode(content),
    };
    let all = |number: u8| {
        let is_wanted = move |set: &&(u8, u8, &[u8])| (set.0, set.1) == (2, number);
        sets.iter().filter(is_wanted).map(|set| decode(set.2))
    };
    let first = |number: u8| all(number).find(|text| !text.trim().is_empty());
    let bylines: Vec<String> = all(80).filter(|text| !text.trim().is_empty()).collect();
    Claims {
        taken: date(first(55), first(60).as_deref()),
        made: date(first(62), first(63).as_deref()),
        stars: None,
        title: first(5),
        creator: (!bylines.is_empty()).then(|| bylines.join(", ")),
        copyright: first(116),
        licence: None,
        keywords: all(25).collect(),
        // Where it was taken: location codes and names, city, part of it, state, country.
        withheld: [26, 27, 90, 92, 95, 100, 101].into_iter().flat_map(all).collect(),
    }
}

fn data_sets(mut rest: &[u8]) -> impl Iterator<Item = (u8, u8, &[u8])> {
    std::iter::from_fn(move || {
        let (&[marker, record, number, high, low], behind) = rest.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        // The highest bit is for longer contents, which none of those read here has.
        let (content, behind) = behind.split_at_checked(length).filter(|_| marker == 0x1C)?;
        rest = behind;
        Some((record, number, content))
    })
}

/// Reads a date such as `20240517`, in which zeros stand for what is not known, and a time such as
/// `183000+0200`.
fn date(date: Option<String>, time: Option<&str>) -> Option<TakenAt> {
    let date = date?;
    let date = date.trim();
    let is_compact = date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit());
    if !is_compact {
        return parse_date(date);
    }
    let (year, month, day) = (&date[..4], &date[4..6], &date[6..]);
    if month == "00" || day == "00" {
        let known = if month == "00" { year.to_owned() } else { format!("{year}-{month}") };
        return parse_date(&known);
    }
    let midnight = format!("{year}-{month}-{day}");
    let time = time.map(str::trim).filter(|time| time.len() >= 6 && time.is_ascii());
    let with_time = time.and_then(|time| {
        let (hour, minute, second) = (&time[..2], &time[2..4], &time[4..6]);
        parse_date(&format!("{midnight}T{hour}:{minute}:{second}{}", &time[6..]))
    });
    with_time.or_else(|| parse_date(&midnight))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_may_lack_their_end() {
        let read =
            |day: &str, time: Option<&str>| date(Some(day.into()), time).map(|at| at.to_string());
        for (day, time, expected) in [
            ("20240517", Some("183000+0200"), Some("2024-05-17T18:30:00+02:00")),
            ("20240517", Some("183000"), Some("2024-05-17T18:30:00")),
            ("20240517", Some("nothing"), Some("2024-05-17T00:00:00")),
            ("20240517", None, Some("2024-05-17T00:00:00")),
            ("20240500", Some("183000"), Some("2024-05-01T00:00:00")),
            ("20240000", None, Some("2024-01-01T00:00:00")),
            ("00000000", None, None),
            ("20241317", None, None),
        ] {
            assert_eq!(read(day, time).as_deref(), expected, "{day} {time:?}");
        }
    }

    #[test]
    fn no_length_leads_beyond_the_end() {
        let iim = b"\x1C\x02\x05\x00\x03sea\x1C\x02\x19\x00\x04sand";
        for length in 0..iim.len() {
            let claims = read(&iim[..length]);
            assert_eq!(claims.title.is_some(), length >= 8, "the first {length} bytes");
        }
        assert_eq!(read(iim).keywords, ["sand"]);
    }
}
