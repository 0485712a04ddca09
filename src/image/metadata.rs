//! What a picture says of itself, as far as a gallery keeps it.
//!
//! How it is read from files is in `codec/metadata`. Places, serial numbers, faces and thumbnails
//! have no field here, so that they can't be stored.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};

/// Greatest difference between local time and UTC, in minutes.
const MAX_OFFSET_MINUTES: i16 = 14 * 60;

/// What a gallery keeps of a picture's metadata. It lies in an image's record as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PictureMetadata {
    pub taken_at: Option<TakenAt>,
    /// Stars that the picture was given, 0 to 5.
    pub rating: Option<u8>,
    pub title: Option<String>,
    /// Who made the picture.
    pub creator: Option<String>,
    /// The copyright notice, or the URL of a licence, or both: the notice, a line feed, the URL.
    pub licence: Option<String>,
}

impl PictureMetadata {
    /// Takes over what is missing here, and returns whether that was anything.
    pub fn fill_from(&mut self, other: &Self) -> bool {
        let mut filled = fill(&mut self.taken_at, other.taken_at.as_ref());
        filled |= fill(&mut self.rating, other.rating.as_ref());
        filled |= fill(&mut self.title, other.title.as_ref());
        filled |= fill(&mut self.creator, other.creator.as_ref());
        filled | fill(&mut self.licence, other.licence.as_ref())
    }

    /// Whether there is nothing left to take over.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let texts = [&self.title, &self.creator, &self.licence];
        self.taken_at.is_some() && self.rating.is_some() && texts.iter().all(|text| text.is_some())
    }

    /// Puts a copyright notice and the URL of a licence into one text. Neither has a line feed.
    #[must_use]
    pub fn join_licence(copyright: Option<String>, licence: Option<String>) -> Option<String> {
        match (copyright, licence) {
            (Some(copyright), Some(licence)) => Some(format!("{copyright}\n{licence}")),
            (copyright, licence) => copyright.or(licence),
        }
    }

    /// Whom the picture is owed to, or `None` if it does not say.
    #[must_use]
    pub fn credit(&self) -> Option<Credit<'_>> {
        let (copyright, licence) = match self.licence.as_deref() {
            None => (None, None),
            Some(text) => match text.split_once('\n') {
                Some((copyright, licence)) => (Some(copyright), Some(licence)),
                None if is_url(text) => (None, Some(text)),
                None => (Some(text), None),
            },
        };
        let credit = Credit { creator: self.creator.as_deref(), copyright, licence };
        (self.creator.is_some() || self.licence.is_some()).then_some(credit)
    }
}

fn fill<T: Clone>(field: &mut Option<T>, other: Option<&T>) -> bool {
    let fills = field.is_none() && other.is_some();
    if fills {
        *field = other.cloned();
    }
    fills
}

/// Whether a text is a URL that a browser opens.
#[must_use]
pub fn is_url(text: &str) -> bool {
    let is_web = text.starts_with("https://") || text.starts_with("http://");
    is_web && !text.contains(char::is_whitespace)
}

/// Whom a picture is owed to, as clients see it.
#[derive(Serialize)]
pub struct Credit<'a> {
    pub creator: Option<&'a str>,
    /// The copyright notice.
    pub copyright: Option<&'a str>,
    /// URL of the licence.
    pub licence: Option<&'a str>,
}

/// When a picture was taken, by the clock of the camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TakenAt {
    /// Local time, in seconds since 1970.
    pub local_seconds: i64,
    /// What local time is ahead of UTC, in minutes; `None` if the picture does not say.
    pub offset_minutes: Option<i16>,
}

/// The error for a text that names no date.
#[derive(Debug, thiserror::Error)]
#[error("a date is 2024, 2024-05, 2024-05-17, 2024-05-17T18:30 or 2024-05-17T18:30:00+02:00")]
pub struct BadDate;

impl FromStr for TakenAt {
    type Err = BadDate;

    /// Reads a date as people, EXIF, XMP and RFC 3339 write it. What is missing at its end is the
    /// earliest that it can be. Fractions of a second are dropped.
    fn from_str(text: &str) -> Result<Self, BadDate> {
        Scanner(text.as_bytes()).date().ok_or(BadDate)
    }
}

impl TakenAt {
    /// Whether this is before `other`: as instants if both name their offset from UTC, or else by
    /// local time.
    #[must_use]
    pub fn is_before(&self, other: &Self) -> bool {
        let instant = |at: &Self, offset: i16| at.local_seconds - 60 * i64::from(offset);
        match (self.offset_minutes, other.offset_minutes) {
            (Some(own), Some(others)) => instant(self, own) < instant(other, others),
            _ => self.local_seconds < other.local_seconds,
        }
    }

    /// The year of local time.
    #[must_use]
    pub fn year(&self) -> i32 {
        self.local().map_or(0, OffsetDateTime::year)
    }

    fn local(self) -> Option<OffsetDateTime> {
        OffsetDateTime::from_unix_timestamp(self.local_seconds).ok()
    }
}

impl fmt::Display for TakenAt {
    /// Writes RFC 3339, without an offset if the picture names none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(local) = self.local() else { return f.write_str("an unknown time") };
        let (year, month, day) = local.to_calendar_date();
        let (hour, minute, second) = local.to_hms();
        let month = u8::from(month);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        match self.offset_minutes {
            None => Ok(()),
            Some(0) => f.write_str("Z"),
            Some(offset) => {
                let sign = if offset < 0 { '-' } else { '+' };
                let minutes = offset.unsigned_abs();
                write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
        }
    }
}

/// Reads what local time is ahead of UTC, in minutes: `Z`, `+02:00`, `+0200` or `+02`.
#[must_use]
pub fn parse_offset(text: &str) -> Option<i16> {
    let mut scanner = Scanner(text.as_bytes());
    scanner.skip(b" ");
    let offset = scanner.offset()?;
    scanner.is_done().then_some(offset)
}

/// What is left of a text that names a date.
struct Scanner<'t>(&'t [u8]);

impl Scanner<'_> {
    fn date(&mut self) -> Option<TakenAt> {
        self.skip(b" ");
        let year = self.number(4, 4)?;
        let (mut month, mut day) = (1, 1);
        let mut time = Time::MIDNIGHT;
        let mut offset = None;
        if self.take(b"-:/.") {
            month = self.padded_number()?;
            if self.take(b"-:/.") {
                day = self.padded_number()?;
                time = self.time()?;
                self.skip(b" ");
                if !self.is_done() {
                    offset = Some(self.offset()?);
                }
            }
        }
        if !self.is_done() {
            return None;
        }
        let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
        let date = Date::from_calendar_date(year.into(), month, u8::try_from(day).ok()?).ok()?;
        let local_seconds = PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp();
        Some(TakenAt { local_seconds, offset_minutes: offset })
    }

    /// Reads a time, which may be missing, or blank as in EXIF.
    fn time(&mut self) -> Option<Time> {
        if !self.take(b"Tt") {
            let rest = self.0.iter().position(|byte| !b" :\0".contains(byte));
            if rest.is_none() || !self.take(b" ") {
                self.0 = rest.map_or(&[], |_| self.0);
                return Some(Time::MIDNIGHT);
            }
        }
        let hour = self.padded_number()?;
        let minute = self.take(b":").then(|| self.padded_number())??;
        let mut second = 0;
        if self.take(b":") {
            second = self.padded_number()?;
            if self.take(b".,") {
                self.skip(b"0123456789");
            }
        }
        // A leap second counts as the one before, because seconds since 1970 have none.
        let second = if second == 60 { 59 } else { second };
        let small = |number: u16| u8::try_from(number).ok();
        Time::from_hms(small(hour)?, small(minute)?, small(second)?).ok()
    }

    fn offset(&mut self) -> Option<i16> {
        if self.take(b"Zz") {
            return Some(0);
        }
        let is_behind = self.0.first() == Some(&b'-');
        if !self.take(b"+-") {
            return None;
        }
        let hours = self.number(2, 2)?;
        self.take(b":");
        let minutes = if self.is_done() { 0 } else { self.number(2, 2)? };
        let offset = i16::try_from(hours * 60 + minutes).ok().filter(|_| minutes < 60)?;
        let is_real = offset <= MAX_OFFSET_MINUTES;
        is_real.then_some(if is_behind { -offset } else { offset })
    }

    /// Takes one byte if it is one of these.
    fn take(&mut self, bytes: &[u8]) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if bytes.contains(first) => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn skip(&mut self, bytes: &[u8]) {
        while self.take(bytes) {}
    }

    /// Reads one or two digits, of which the first may be a space.
    fn padded_number(&mut self) -> Option<u16> {
        self.take(b" ");
        self.number(1, 2)
    }

    fn number(&mut self, least: usize, most: usize) -> Option<u16> {
        let digits = self.0.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = self.0.split_at_checked(digits).filter(|_| digits >= least)?;
        self.0 = rest;
        Some(number.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0')))
    }

    /// Whether nothing is left but padding.
    fn is_done(&self) -> bool {
        self.0.iter().all(|byte| b" \0".contains(byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_people_and_programs_write_them() {
        let mut wrong = Vec::new();
        for (text, expected) in [
            ("2024", "2024-01-01T00:00:00"),
            ("2024-05", "2024-05-01T00:00:00"),
            ("2024-05-17", "2024-05-17T00:00:00"),
            ("2024-05-17T18:30", "2024-05-17T18:30:00"),
            ("2024-05-17T18:30Z", "2024-05-17T18:30:00Z"),
            ("2024-05-17 18:30:59.999", "2024-05-17T18:30:59"),
            ("2024-05-17T18:30:00.5+02:00", "2024-05-17T18:30:00+02:00"),
            ("2024-05-17T18:30:00-0330", "2024-05-17T18:30:00-03:30"),
            ("2024:05:17 18:30:00", "2024-05-17T18:30:00"),
            ("2024:05:17 18:30:00\0", "2024-05-17T18:30:00"),
            ("2024:05:17 18:30:00+02:00", "2024-05-17T18:30:00+02:00"),
            ("2024:05:17   :  :  ", "2024-05-17T00:00:00"),
            ("2024: 5: 7  8: 3: 0", "2024-05-07T08:03:00"),
            ("2024/5/7 8:03", "2024-05-07T08:03:00"),
            ("2024:02:29 00:00:00", "2024-02-29T00:00:00"),
            ("2016:12:31 23:59:60", "2016-12-31T23:59:59"),
            ("1901:01:01 00:00:00", "1901-01-01T00:00:00"),
        ] {
            let read = text.parse::<TakenAt>().map_or_else(|_| "none".into(), |at| at.to_string());
            if read != expected {
                wrong.push(format!("{text:?} is {read}, not {expected}"));
            }
        }
        for text in [
            "",
            "    :  :     :  :  ",
            "0000:00:00 00:00:00",
            "2024:13:01 00:00:00",
            "2023:02:29 00:00:00",
            "2024:04:31 00:00:00",
            "2024:05:17 24:00:00",
            "2024:05:17 18:60:00",
            "2024:05:17 01:30:00 PM",
            "2024-05-17T18:30:00+15:00",
            "2024-05-17T",
            "20240517",
            "24-05-17",
            "yesterday",
            "+024-05-17",
        ] {
            if let Ok(at) = text.parse::<TakenAt>() {
                wrong.push(format!("{text:?} is {at}, not an error"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn times_are_compared_as_instants_only_if_both_say_where() {
        let is_before = |a: &str, b: &str| {
            a.parse::<TakenAt>().unwrap().is_before(&b.parse::<TakenAt>().unwrap())
        };
        assert!(is_before("2024-05-17T18:30:00+02:00", "2024-05-17T17:00:00Z"));
        assert!(!is_before("2024-05-17T18:30:00+02:00", "2024-05-17T17:00:00"));
        assert!(!is_before("2024-05-17", "2024-05-17"));
    }

    #[test]
    fn a_licence_comes_apart_as_it_was_put_together() {
        let (notice, url) = ("© A. Person", "https://example.org/by/4.0/");
        for (copyright, licence) in
            [(None, None), (Some(notice), None), (None, Some(url)), (Some(notice), Some(url))]
        {
            let joined =
                PictureMetadata::join_licence(copyright.map(Into::into), licence.map(Into::into));
            let metadata = PictureMetadata { licence: joined, ..PictureMetadata::default() };
            let parts = metadata.credit().map(|credit| (credit.copyright, credit.licence));
            assert_eq!(parts.unwrap_or_default(), (copyright, licence));
        }
    }
}
