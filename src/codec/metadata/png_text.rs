//! Reads the claims of PNG's text chunks, by the keywords that the standard defines.

use super::claims::{Claims, parse_date};
use crate::image::TakenAt;

/// Reads pairs of keyword and text.
pub(super) fn read(texts: &[(String, String)]) -> Claims {
    let first =
        |keyword: &str| texts.iter().find(|text| text.0 == keyword).map(|(_, text)| text.clone());
    Claims {
        made: first("Creation Time").and_then(|text| date(&text)),
        title: first("Title"),
        creator: first("Author"),
        copyright: first("Copyright"),
        ..Claims::default()
    }
}

/// Reads a date as RFC 3339 or RFC 1123 write it, or C's `asctime`.
fn date(text: &str) -> Option<TakenAt> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    if let Some(at) = parse_date(text) {
        return Some(at);
    }
    let (mut year, mut month, mut day, mut time, mut offset) = (None, None, None, None, "");
    for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
        let is_number = word.bytes().all(|byte| byte.is_ascii_digit());
        match word {
            "GMT" | "UTC" | "Z" => offset = "Z",
            _ if word.starts_with(['+', '-']) => offset = word,
            _ if word.contains(':') => time = Some(word),
            _ if is_number && word.len() == 4 => year = Some(word),
            _ if is_number => day = Some(word),
            _ => {
                let name = word.get(..3).unwrap_or_default();
                let number = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name));
                month = month.or(number);
            }
        }
    }
    parse_date(&format!("{}-{}-{}T{}{offset}", year?, month? + 1, day?, time?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_three_forms() {
        for (text, expected) in [
            ("2024-05-17T18:30:00+02:00", Some("2024-05-17T18:30:00+02:00")),
            ("Fri, 17 May 2024 18:30:00 GMT", Some("2024-05-17T18:30:00Z")),
            ("17 May 2024 18:30:00 +0200", Some("2024-05-17T18:30:00+02:00")),
            ("Fri May 17 18:30:00 2024", Some("2024-05-17T18:30:00")),
            ("Fri, 32 May 2024 18:30:00 GMT", None),
            ("today", None),
        ] {
            assert_eq!(date(text).map(|at| at.to_string()).as_deref(), expected, "{text}");
        }
    }
}
