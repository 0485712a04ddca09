//! The format of log lines, `TIME LEVEL message name=value ...`, which is tracing's own, colours
//! included.
//!
//! What a line quotes, such as the name of a file, has its control characters replaced: it can
//! neither begin a line that looks like another event nor drive a terminal.
//!
//! It leaves out spans, and asks the calendar once a second. The access log has a line
//! for each request, and with tracing's own code those took a quarter of the server's time.

use std::cell::RefCell;
use std::fmt::{self, Debug, Write as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Formats lines.
pub(super) struct LineFormat;

impl<S, N> FormatEvent<S, N> for LineFormat
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = *event.metadata().level();
        if line.has_ansi_escapes() {
            line.write_str("\x1B[2m")?;
            UtcTime.format_time(&mut line)?;
            write!(line, "\x1B[0m \x1B[{}m{:>5}\x1B[0m", colour(level), level.as_str())?;
        } else {
            UtcTime.format_time(&mut line)?;
            write!(line, " {:>5}", level.as_str())?;
        }
        let mut fields = FieldWriter { line: &mut line, result: Ok(()) };
        event.record(&mut fields);
        fields.result?;
        line.write_char('\n')
    }
}

/// Returns the number of a level's colour on a terminal.
const fn colour(level: Level) -> u8 {
    match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG => 34,
        Level::TRACE => 35,
    }
}

/// What stands for a control character.
const REPLACEMENT: &str = "\u{FFFD}";

/// Replaces control characters in what is written.
struct Printable<'f, 'w>(&'f mut Writer<'w>);

impl fmt::Write for Printable<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut parts = text.split(char::is_control);
        parts.next().map_or(Ok(()), |first| self.0.write_str(first))?;
        parts.try_for_each(|part| {
            self.0.write_str(REPLACEMENT)?;
            self.0.write_str(part)
        })
    }
}

/// Writes the fields of an event, each behind a space.
struct FieldWriter<'f, 'w> {
    line: &'f mut Writer<'w>,
    result: fmt::Result,
}

impl FieldWriter<'_, '_> {
    fn name(&mut self, field: &Field) -> fmt::Result {
        self.line.write_char(' ')?;
        if field.name() == "message" {
            return Ok(());
        }
        if self.line.has_ansi_escapes() {
            return write!(self.line, "\x1B[3m{}\x1B[0m\x1B[2m=\x1B[0m", field.name());
        }
        self.line.write_str(field.name())?;
        self.line.write_char('=')
    }
}

impl Visit for FieldWriter<'_, '_> {
    fn record_u64(&mut self, field: &Field, value: u64) {
        let mut digits = [0; 20];
        let mut start = digits.len();
        let mut rest = value;
        while rest > 0 || start == digits.len() {
            start -= 1;
            digits[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        let written = self.name(field).and_then(|()| {
            self.line.write_str(str::from_utf8(&digits[start..]).map_err(|_| fmt::Error)?)
        });
        self.result = self.result.and(written);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let written =
            self.name(field).and_then(|()| write!(Printable(&mut *self.line), "{value:?}"));
        self.result = self.result.and(written);
    }
}

/// Writes the time in UTC, to the microsecond (RFC 3339).
struct UtcTime;

impl FormatTime for UtcTime {
    fn format_time(&self, line: &mut Writer<'_>) -> fmt::Result {
        thread_local! {
            /// The last second that was asked for, since 1970, and its text without the zone.
            static SECOND: RefCell<(u64, String)> =
                const { RefCell::new((u64::MAX, String::new())) };
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        SECOND.with_borrow_mut(|(second, written)| {
            if *second != now.as_secs() {
                *second = now.as_secs();
                let time = UNIX_EPOCH + Duration::from_secs(*second);
                *written = humantime::format_rfc3339_seconds(time).to_string();
                // The zone comes after the fraction.
                written.pop();
            }
            line.write_str(written)
        })?;
        let mut fraction = *b".000000Z";
        let mut rest = now.subsec_micros();
        for digit in fraction[1..7].iter_mut().rev() {
            *digit += (rest % 10) as u8;
            rest /= 10;
        }
        line.write_str(str::from_utf8(&fraction).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(line)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Logs some events and returns their lines, each as its time and the rest.
    fn logged(subscriber: impl FnOnce(Lines) -> tracing::Dispatch) -> Vec<(String, String)> {
        let lines = Lines::default();
        tracing::dispatcher::with_default(&subscriber(lines.clone()), || {
            let (none, some) = (None::<u64>, Some(7_u64));
            tracing::info!(peer = %"127.0.0.1:80", status = 200_u16, none, some, "answered");
            tracing::warn!(zero = 0_u64, large = u64::MAX, less = -5_i64, yes = true, part = 0.5);
            let (text, path) = ("with \"quotes\"\nand lines", std::path::Path::new("/a b"));
            tracing::error!(text, ?path, "it {}", "failed");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let split = |line: &str| {
            line.split_once(' ').map(|(time, rest)| (time.to_owned(), rest.to_owned()))
        };
        text.lines().map(|line| split(line).unwrap()).collect()
    }

    #[test]
    fn a_file_name_forges_no_line_and_drives_no_terminal() {
        let path = std::path::Path::new("a\n2026-01-01 ERROR \r\u{1b}[2J\u{9b}2J\t.png");
        for colours in [false, true] {
            let lines = Lines::default();
            let format = fmt().with_ansi(colours).event_format(LineFormat);
            let subscriber = format.with_writer(Mutex::new(lines.clone())).finish();
            tracing::subscriber::with_default(subscriber, || {
                tracing::warn!(path = %path.display(), "not imported: {}", path.display());
            });
            let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
            let line = text.strip_suffix('\n').unwrap();
            let own = if colours { line.matches("\x1B[").count() } else { 0 };
            assert_eq!(colours, own > 0, "{line:?}");
            assert!(!line.contains("\x1B[2J") && line.ends_with(".png"), "{line:?}");
            assert_eq!(line.chars().filter(|it| it.is_control()).count(), own, "{line:?}");
        }
    }

    #[test]
    fn lines_are_those_of_tracing() {
        for colours in [false, true] {
            let theirs = logged(|lines| {
                let format = fmt().with_ansi(colours).with_target(false);
                format.with_writer(Mutex::new(lines)).finish().into()
            });
            let ours = logged(|lines| {
                let format = fmt().with_ansi(colours).event_format(LineFormat);
                format.with_writer(Mutex::new(lines)).finish().into()
            });
            assert_eq!(ours.len(), theirs.len());
            for ((our_time, ours), (their_time, theirs)) in ours.iter().zip(&theirs) {
                assert_eq!(ours, theirs);
                assert_eq!(our_time.len(), their_time.len(), "{our_time} and {their_time}");
                let [ours, theirs] = [our_time, their_time].map(|time| {
                    let time = time.trim_start_matches("\x1B[2m").trim_end_matches("\x1B[0m");
                    humantime::parse_rfc3339(time).unwrap()
                });
                assert!(
                    theirs <= ours && ours < theirs + Duration::from_secs(60),
                    "{our_time} and {their_time}"
                );
            }
        }
    }
}
