//! Lists what is wrong with JPEGs, and what must become of them.

use std::ops::Range;

use super::kinds::progressive;
use super::scene::{HEIGHT, Model};
use super::writer::Part::{Bytes, Data, Restart, Segment};
use super::writer::{Layout, Part, join, sequential};

/// What must become of a JPEG.
pub enum Fate {
    /// It is shown as if nothing were wrong.
    Shown,
    /// It is shown but for these rows, with a note that has these words, and the original is kept.
    Noted(Range<usize>, &'static str),
    /// It is refused, with a reason that has these words.
    Refused(&'static str),
}
use Fate::{Noted, Refused, Shown};

const DAMAGED: &str = "its data is damaged";
const NO_END: &str = "its end is missing, but all of its pixels are there";
const CUT: &str = "truncated JPEG";
const NO_ROWS: Range<usize> = 0..0;

/// A baseline JPEG in one scan, with 16 rows between restart markers.
fn restarting() -> Vec<Part> {
    Layout { restart: 5, ..subsampled() }.write()
}

fn subsampled() -> Layout {
    Layout { sampling: vec![(2, 2), (1, 1), (1, 1)], ..Layout::new(Model::YCbCr) }
}

fn by_component() -> Vec<Part> {
    Layout { scans: sequential(&[&[0], &[1], &[2]]), ..subsampled() }.write()
}

fn in_steps(restart: usize) -> Vec<Part> {
    let scans = progressive(&[&[0, 1, 2]], true);
    Layout { frame: 0xC2, scans, restart, ..subsampled() }.write()
}

fn plain() -> Vec<Part> {
    subsampled().write()
}

/// The place of the last part.
fn end(parts: &[Part]) -> usize {
    parts.len() - 1
}

fn is_data(part: &Part) -> bool {
    matches!(part, Data(_))
}

/// Returns the parts, altered at the nth part that `is_it`.
fn altered(
    mut parts: Vec<Part>,
    number: usize,
    is_it: impl Fn(&Part) -> bool,
    alter: impl FnOnce(&mut Vec<Part>, usize),
) -> Vec<Part> {
    let place = (0..parts.len()).filter(|place| is_it(&parts[*place])).nth(number).unwrap();
    alter(&mut parts, place);
    parts
}

/// Alters the bytes of the nth piece of data.
fn with_data(parts: Vec<Part>, number: usize, alter: impl FnOnce(&mut Vec<u8>)) -> Vec<Part> {
    altered(parts, number, is_data, |parts, place| {
        let Data(bytes) = &mut parts[place] else { unreachable!("it was looked for") };
        alter(bytes);
    })
}

/// Puts bytes into the middle of a piece of data.
fn put_in(bytes: &mut Vec<u8>, more: &[u8]) {
    // Not between 0xFF and the zero that belongs to it.
    let middle = (bytes.len() / 2..).find(|place| bytes[*place - 1] != 0xFF).unwrap();
    bytes.splice(middle..middle, more.iter().copied());
}

fn with_frame(parts: Vec<Part>, marker: u8, alter: impl FnOnce(&mut Vec<u8>)) -> Vec<Part> {
    let is_frame = |part: &Part| matches!(part, Segment(0xC0 | 0xC2, _));
    altered(parts, 0, is_frame, |parts, place| {
        let Segment(old, content) = &mut parts[place] else { unreachable!("it was looked for") };
        *old = marker;
        alter(content);
    })
}

/// Returns the parts up to the nth piece of data, half of that, and `tail`.
fn cut(parts: Vec<Part>, number: usize, tail: &[Part]) -> Vec<Part> {
    let halved = with_data(parts, number, |bytes| {
        bytes.truncate(bytes.len() / 2);
        if bytes.last() == Some(&0xFF) {
            bytes.pop();
        }
    });
    altered(halved, number, is_data, |parts, place| {
        parts.truncate(place + 1);
        parts.extend(tail.iter().cloned());
    })
}

fn eoi() -> Part {
    Segment(0xD9, Vec::new())
}

pub fn all() -> Vec<(&'static str, Vec<u8>, Fate)> {
    let kinds =
        [ends(), missing_scans(), intervals(), middles(), arithmetic(), headers(), unknown_kinds()]
            .concat_all();
    kinds.into_iter().map(|(name, parts, fate)| (name, join(&parts), fate)).collect()
}

type Row = (&'static str, Vec<Part>, Fate);

/// Joins lists whose rows can't be copied.
trait ConcatAll {
    fn concat_all(self) -> Vec<Row>;
}

impl<const N: usize> ConcatAll for [Vec<Row>; N] {
    fn concat_all(self) -> Vec<Row> {
        self.into_iter().flatten().collect()
    }
}

/// What is wrong at the end.
fn ends() -> Vec<Row> {
    let ending = |parts: Vec<Part>, tail: &[Part]| {
        let place = end(&parts);
        [&parts[..place], tail].concat()
    };
    let bytes = |bytes: &[u8]| Bytes(bytes.to_vec());
    vec![
        ("no end", ending(plain(), &[]), Noted(NO_ROWS, NO_END)),
        ("no end, progressive", ending(in_steps(0), &[]), Noted(NO_ROWS, NO_END)),
        ("no end, by component", ending(by_component(), &[]), Noted(NO_ROWS, NO_END)),
        ("half an end", ending(plain(), &[bytes(&[0xFF])]), Noted(NO_ROWS, NO_END)),
        ("zeros for the end", ending(plain(), &[bytes(&[0; 16])]), Noted(NO_ROWS, NO_END)),
        ("many zeros for the end", ending(plain(), &[bytes(&[0; 512])]), Noted(NO_ROWS, DAMAGED)),
        ("junk for the end", ending(plain(), &[bytes(&[0x5A; 40])]), Noted(NO_ROWS, DAMAGED)),
        ("zeros before the end", ending(plain(), &[bytes(&[0; 9]), eoi()]), Shown),
        (
            "many zeros before the end",
            ending(plain(), &[bytes(&[0; 24]), eoi()]),
            Noted(NO_ROWS, DAMAGED),
        ),
        ("fill bytes before the end", ending(plain(), &[bytes(&[0xFF; 9]), eoi()]), Shown),
        (
            "junk before the end",
            ending(plain(), &[bytes(&[0x5A; 9]), eoi()]),
            Noted(NO_ROWS, DAMAGED),
        ),
        ("junk behind the end", ending(plain(), &[eoi(), bytes(&[0x5A; 9])]), Shown),
        ("cut", cut(plain(), 0, &[]), Refused(CUT)),
        ("cut between restart markers", cut(restarting(), 2, &[]), Refused(CUT)),
        ("cut at a restart marker", cut(restarting(), 1, &[Restart(1)]), Refused(CUT)),
        (
            "cut behind damage, between restart markers",
            altered(
                with_data(restarting(), 1, |bytes| put_in(bytes, &[0xFF, 0x35])),
                1,
                is_data,
                |parts, place| parts.truncate(place + 1),
            ),
            Refused(CUT),
        ),
        ("cut in the first scan", cut(by_component(), 0, &[]), Refused(CUT)),
        ("cut in the last scan", cut(by_component(), 2, &[]), Refused(CUT)),
        ("cut in a late step", cut(in_steps(0), 8, &[]), Refused(CUT)),
        ("cut in a header", plain()[..3].to_vec(), Refused(CUT)),
        ("an end in the middle", cut(plain(), 0, &[eoi()]), Noted(16..HEIGHT, DAMAGED)),
    ]
}

/// What scans are missing.
fn missing_scans() -> Vec<Row> {
    vec![
        (
            "without its last component",
            altered(by_component(), 2, is_data, |parts, place| {
                parts.truncate(place - 1);
                parts.push(eoi());
            }),
            Noted(0..HEIGHT, DAMAGED),
        ),
        (
            "without its last steps",
            altered(in_steps(0), 6, is_data, |parts, place| {
                parts.truncate(place - 1);
                parts.push(eoi());
            }),
            Noted(NO_ROWS, DAMAGED),
        ),
        (
            "without its last component and end",
            altered(by_component(), 2, is_data, |parts, place| parts.truncate(place - 1)),
            Refused(CUT),
        ),
        (
            "without its last steps and end",
            altered(in_steps(0), 6, is_data, |parts, place| parts.truncate(place - 1)),
            Refused(CUT),
        ),
    ]
}

/// What is wrong between or with restart markers.
fn intervals() -> Vec<Row> {
    let restart = |number: u8| move |part: &Part| *part == Restart(number);
    let without = |parts: &mut Vec<Part>, place: usize| {
        parts.remove(place);
    };
    let is_restart = |part: &Part| matches!(part, Restart(_));
    vec![
        (
            "a restart marker is missing",
            altered(restarting(), 0, restart(1), without),
            Noted(30..50, DAMAGED),
        ),
        (
            "a restart marker is missing in one of several scans",
            altered(
                Layout { restart: 10, scans: sequential(&[&[0], &[1], &[2]]), ..subsampled() }
                    .write(),
                1,
                is_restart,
                without,
            ),
            Noted(14..26, DAMAGED),
        ),
        (
            "a restart marker is missing in a step",
            altered(in_steps(5), 1, restart(1), without),
            Noted(30..50, DAMAGED),
        ),
        (
            "another restart marker",
            altered(restarting(), 0, restart(0), |parts, place| parts[place] = Restart(7)),
            Noted(14..34, DAMAGED),
        ),
        (
            "damage between two restart markers",
            with_data(restarting(), 1, |bytes| bytes.fill(0x5A)),
            Noted(14..34, DAMAGED),
        ),
        (
            "data is missing between two restart markers",
            with_data(restarting(), 1, |bytes| bytes.truncate(3)),
            Noted(14..34, DAMAGED),
        ),
        (
            "a marker within data, between restart markers",
            with_data(restarting(), 1, |bytes| put_in(bytes, &[0xFF, 0x35])),
            Noted(14..34, DAMAGED),
        ),
    ]
}

/// What is wrong in the middle of data.
fn middles() -> Vec<Row> {
    vec![
        (
            "a marker within data",
            with_data(plain(), 0, |bytes| put_in(bytes, &[0xFF, 0x35])),
            Noted(16..HEIGHT, DAMAGED),
        ),
        (
            "junk within data",
            with_data(plain(), 0, |bytes| put_in(bytes, &[0x5A; 200])),
            Noted(14..HEIGHT, DAMAGED),
        ),
        (
            "data is missing",
            with_data(plain(), 0, |bytes| {
                let half = bytes.len() / 2;
                bytes.drain(half..half + 20);
            }),
            Noted(14..HEIGHT, DAMAGED),
        ),
        (
            "a marker within a late step",
            with_data(in_steps(0), 8, |bytes| put_in(bytes, &[0xFF, 0x35])),
            Refused("Unsupported marker type 0x35"),
        ),
    ]
}

/// What is wrong with an arithmetic code. The files are [`plain`] as jpegtran codes it, the second
/// with a restart marker behind each row of blocks.
fn arithmetic() -> Vec<Row> {
    let whole = include_bytes!("../../data/jpegs/arithmetic.jpg");
    let restarting = include_bytes!("../../data/jpegs/arithmetic-restart.jpg");
    let bytes = |bytes: &[u8]| Bytes(bytes.to_vec());
    let marker = bytes(&[0xFF, 0x35, 0, 2]);
    // Three restart markers stand at these places, each with data before it.
    let markers: Vec<usize> = (0..8)
        .filter_map(|number| memchr::memmem::find(restarting, &[0xFF, 0xD0 + number]))
        .collect();
    let without_second = [&restarting[..markers[0] + 2], &restarting[markers[1]..]].concat();
    let without_last =
        [&restarting[..markers[2] + 2], &restarting[restarting.len() - 2..]].concat();
    vec![
        ("arithmetic", vec![bytes(whole)], Shown),
        ("arithmetic, with restart markers", vec![bytes(restarting)], Shown),
        ("arithmetic, cut", vec![bytes(&whole[..300])], Refused(CUT)),
        (
            "arithmetic, an end in the middle",
            vec![bytes(&whole[..300]), eoi()],
            Noted(14..HEIGHT, DAMAGED),
        ),
        (
            "arithmetic, a marker within data",
            vec![bytes(&whole[..300]), marker, bytes(&whole[300..])],
            Noted(14..HEIGHT, DAMAGED),
        ),
        (
            "arithmetic, no data between two restart markers",
            vec![Bytes(without_second)],
            Noted(14..34, DAMAGED),
        ),
        (
            "arithmetic, no data behind the last restart marker",
            vec![Bytes(without_last)],
            Noted(46..HEIGHT, DAMAGED),
        ),
    ]
}

/// What is odd in the headers.
fn headers() -> Vec<Row> {
    let is = |marker: u8| move |part: &Part| matches!(part, Segment(other, _) if *other == marker);
    let before = |parts: Vec<Part>, marker: u8, more: &[Part]| {
        altered(parts, 0, is(marker), |parts, place| {
            parts.splice(place..place, more.iter().cloned());
        })
    };
    let bytes = |bytes: &[u8]| Bytes(bytes.to_vec());
    let without_tables = || plain().into_iter().filter(|part| !is(0xC4)(part)).collect();
    let other_scan = |content: [u8; 3]| {
        altered(plain(), 0, is(0xDA), move |parts, place| {
            let Segment(_, header) = &mut parts[place] else { unreachable!("it was looked for") };
            let at = header.len() - 3;
            header[at..].copy_from_slice(&content);
        })
    };
    let height = u16::try_from(HEIGHT).unwrap().to_be_bytes();
    vec![
        ("no Huffman tables", without_tables(), Shown),
        ("a segment of length 0", before(plain(), 0xDB, &[bytes(&[0xFF, 0xE5, 0, 0])]), Shown),
        ("a segment of length 1", before(plain(), 0xC0, &[bytes(&[0xFF, 0xE5, 0, 1])]), Shown),
        ("an empty segment", before(plain(), 0xE0, &[Segment(0xEE, Vec::new())]), Shown),
        ("zeros between segments", before(plain(), 0xDB, &[bytes(&[0; 7])]), Shown),
        ("junk between segments", before(plain(), 0xDB, &[bytes(&[0x5A; 7])]), Shown),
        ("fill bytes between segments", before(plain(), 0xDB, &[bytes(&[0xFF; 7])]), Shown),
        ("a lone marker", before(plain(), 0xDB, &[bytes(&[0xFF, 0x01])]), Shown),
        ("a comment", before(plain(), 0xDA, &[Segment(0xFE, b"\xFF\xD9\xFF\xDA".to_vec())]), Shown),
        (
            "two intervals",
            before(plain(), 0xDA, &[Segment(0xDD, vec![0, 3]), Segment(0xDD, vec![0, 0])]),
            Shown,
        ),
        ("no interval", before(plain(), 0xDA, &[Segment(0xDD, vec![0, 0])]), Shown),
        ("extended sequential", with_frame(plain(), 0xC1, |_| ()), Shown),
        ("a scan of no coefficients", other_scan([0, 0, 0]), Shown),
        (
            "a comment between scans",
            altered(by_component(), 1, is(0xDA), |parts, place| {
                parts.insert(place, Segment(0xFE, b"\xFF\xD9 or \xFF\xDA".to_vec()));
            }),
            Shown,
        ),
        (
            "its height once more",
            altered(plain(), 0, is(0xD9), |parts, place| {
                parts.insert(place, Segment(0xDC, height.to_vec()));
            }),
            Shown,
        ),
        (
            "a second frame's scan",
            altered(plain(), 0, is(0xD9), |parts, place| {
                let again = parts[place - 2..place].to_vec();
                parts.splice(place..place, again);
            }),
            Noted(NO_ROWS, "its end is missing"),
        ),
    ]
}

/// What is no kind that is decoded.
fn unknown_kinds() -> Vec<Row> {
    let fractions = Layout { sampling: vec![(3, 1), (2, 1), (1, 1)], ..Layout::new(Model::YCbCr) };
    let two = |parts| {
        with_frame(parts, 0xC0, |frame| {
            frame[5] = 2;
            frame.truncate(12);
        })
    };
    vec![
        ("lossless", with_frame(plain(), 0xC3, |_| ()), Refused("lossless JPEG: not supported")),
        ("hierarchical", with_frame(plain(), 0xC5, |_| ()), Refused("hierarchical JPEG: not")),
        ("JPEG-LS", with_frame(plain(), 0xF7, |_| ()), Refused("JPEG-LS: not supported")),
        (
            "12 bits",
            with_frame(plain(), 0xC1, |frame| frame[0] = 12),
            Refused("JPEG with 12 bits a sample: not supported"),
        ),
        (
            "its height behind its pixels",
            with_frame(plain(), 0xC0, |frame| frame[1..3].fill(0)),
            Refused("JPEG whose height stands behind its pixels"),
        ),
        ("two components", two(plain()), Refused("Invalid component ID")),
        ("fractions of samples", fractions.write(), Refused("Fractional sampling")),
        (
            "too many scans",
            altered(
                in_steps(0),
                0,
                |part| *part == eoi(),
                |parts, place| {
                    let last_scan = parts[place - 2..place].to_vec();
                    parts.splice(place..place, std::iter::repeat_n(last_scan, 200).flatten());
                },
            ),
            Refused("it has more than 200 scans"),
        ),
        (
            "no picture",
            vec![Segment(0xD8, Vec::new()), Segment(0xFE, Vec::new()), eoi()],
            Refused("no image"),
        ),
    ]
}
