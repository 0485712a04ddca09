//! Which date counts.

use super::variants::{DATE, expect_all, of_exif, of_iptc, of_xmp};
use super::write::{Carried, Field, exif, jpeg_with, png_with, tiff_with, xmp};
use crate::pictures::photo;

use Field::Text;

const TAKEN: u16 = 0x9003;
const DIGITIZED: u16 = 0x9004;
const OFFSET: u16 = 0x9010;
const OFFSET_TAKEN: u16 = 0x9011;
const OFFSET_DIGITIZED: u16 = 0x9012;

#[test]
fn dates_are_those_of_the_camera() {
    expect_all(vec![
        ("no metadata", of_exif(&[]), ""),
        ("local time", of_exif(&[DATE]), "taken 2024-05-17T18:30:00"),
        (
            "offset",
            of_exif(&[DATE, (OFFSET_TAKEN, Text("+02:00"))]),
            "taken 2024-05-17T18:30:00+02:00",
        ),
        ("west", of_exif(&[DATE, (OFFSET, Text("-03:30"))]), "taken 2024-05-17T18:30:00-03:30"),
        ("utc", of_exif(&[DATE, (OFFSET_TAKEN, Text("Z"))]), "taken 2024-05-17T18:30:00Z"),
        (
            "blank offset",
            of_exif(&[DATE, (OFFSET_TAKEN, Text("   :  ")), (OFFSET, Text("+01:00"))]),
            "taken 2024-05-17T18:30:00+01:00",
        ),
        // Nowhere is local time so far ahead.
        (
            "absurd offset",
            of_exif(&[DATE, (OFFSET_TAKEN, Text("+99:00"))]),
            "taken 2024-05-17T18:30:00",
        ),
        ("subseconds", of_exif(&[DATE, (0x9291, Text("999"))]), "taken 2024-05-17T18:30:00"),
        // When the file was changed says nothing of the picture.
        ("changed", of_exif(&[(0x0132, Text("2024:05:17 18:30:00"))]), ""),
        (
            "digitized",
            of_exif(&[
                (DIGITIZED, Text("2024:05:17 18:30:00")),
                (OFFSET_DIGITIZED, Text("+02:00")),
                (TAKEN, Text("    :  :     :  :  ")),
            ]),
            "taken 2024-05-17T18:30:00+02:00",
        ),
        ("zeros", of_exif(&[(TAKEN, Text("0000:00:00 00:00:00"))]), ""),
        ("month 13", of_exif(&[(TAKEN, Text("2024:13:17 18:30:00"))]), ""),
        ("no leap year", of_exif(&[(TAKEN, Text("2023:02:29 18:30:00"))]), ""),
        (
            "leap second",
            of_exif(&[(TAKEN, Text("2016:12:31 23:59:60"))]),
            "taken 2016-12-31T23:59:59",
        ),
        ("before photography", of_exif(&[(TAKEN, Text("1601:01:01 00:00:00"))]), ""),
        ("1931", of_exif(&[(TAKEN, Text("1931:08:02 12:00:00"))]), "taken 1931-08-02T12:00:00"),
        // Cameras that write TIFF/EP.
        (
            "in the main directory",
            Box::new(|seed| tiff_with(&photo(40, 30, seed), &[DATE])),
            "taken 2024-05-17T18:30:00",
        ),
    ]);
}

#[test]
fn dates_of_people_count_where_the_camera_gave_none() {
    expect_all(vec![
        (
            "xmp exif",
            of_xmp("exif:DateTimeOriginal='2024-05-17T18:30:00.25+02:00'", ""),
            "taken 2024-05-17T18:30:00+02:00",
        ),
        (
            "xmp photoshop",
            of_xmp("", "<photoshop:DateCreated>2024-05-17</photoshop:DateCreated>"),
            "taken 2024-05-17T00:00:00",
        ),
        ("xmp created", of_xmp("xmp:CreateDate='2024-05'", ""), "taken 2024-05-01T00:00:00"),
        ("xmp changed", of_xmp("xmp:ModifyDate='2024-05-17T18:30:00Z'", ""), ""),
        (
            "iptc",
            of_iptc(&[(2, 55, b"20240517"), (2, 60, b"183000+0200")]),
            "taken 2024-05-17T18:30:00+02:00",
        ),
        (
            "png text",
            Box::new(|seed| {
                png_with(seed, &[("Creation Time", "Fri, 17 May 2024 18:30:00 +0200")], &[])
            }),
            "taken 2024-05-17T18:30:00+02:00",
        ),
        // A scan is digitised long after the picture was taken.
        (
            "scan",
            Box::new(|seed| {
                let exif = Some(exif(b"II", &[(DIGITIZED, Text("2024:05:17 18:30:00"))]));
                let xmp = Some(xmp("photoshop:DateCreated='1931-08-02T12:00:00'", ""));
                jpeg_with(seed, &Carried { exif, xmp, ..Carried::default() })
            }),
            "taken 1931-08-02T12:00:00",
        ),
        // The same time, of which only one says where.
        (
            "offset elsewhere",
            Box::new(|seed| {
                let exif = Some(exif(b"MM", &[DATE]));
                let xmp = Some(xmp("photoshop:DateCreated='2024-05-17T18:30:00+02:00'", ""));
                jpeg_with(seed, &Carried { exif, xmp, ..Carried::default() })
            }),
            "taken 2024-05-17T18:30:00+02:00",
        ),
    ]);
}
