//! Tests what a file holds beside the picture that its image shows: it is noted, and
//! `--delete-originals` leaves the file alone.

use std::fs;
use std::path::Path;

use image::{DynamicImage, ImageFormat};
use serde_json::Value;

use crate::harness::{Failures, Workspace};
use crate::pictures::{BLUE, RED, apng, gif, jpeg, photo, png_with_profile, webp, with_exif};

/// A file, and a word of the note on what is not shown. Without one, all of it is shown.
type Row = (&'static str, Vec<u8>, Option<&'static str>);

fn encoded(format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    DynamicImage::from(photo(60, 40, 3)).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A box of an ISO media file.
fn media_box(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len() + 8).unwrap().to_be_bytes();
    [&length, &kind[..], content].concat()
}

fn film() -> Vec<u8> {
    [media_box(b"ftyp", b"mp42\0\0\0\0isommp42"), media_box(b"mdat", &[7; 100])].concat()
}

fn segment(marker: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len() + 2).unwrap().to_be_bytes();
    [&[0xFF, marker][..], &length, content].concat()
}

/// Puts segments behind the start marker of a JPEG.
fn with_segments(jpeg: &[u8], segments: &[Vec<u8>]) -> Vec<u8> {
    [&jpeg[..2], &segments.concat(), &jpeg[2..]].concat()
}

/// A JPEG with another one behind it, which its index says is of a kind.
fn with_index(first: &[u8], second: &[u8], kind: u32) -> Vec<u8> {
    const SEGMENT_BYTES: u32 = 4 + 4 + 50 + 32;
    let first_bytes = u32::try_from(first.len()).unwrap() + SEGMENT_BYTES;
    let mut index = b"MPF\0II*\0\x08\0\0\0\x03\0".to_vec();
    index.extend(b"\0\xB0\x07\0\x04\0\0\x000100\x01\xB0\x04\0\x01\0\0\0\x02\0\0\0");
    index.extend(b"\x02\xB0\x07\0\x20\0\0\0\x32\0\0\0\0\0\0\0");
    // Offsets count from the index behind its name, which stands ten bytes into the file.
    let second_bytes = u32::try_from(second.len()).unwrap();
    for entry in [[0x2003_0000, first_bytes, 0, 0], [kind, second_bytes, first_bytes - 10, 0]] {
        index.extend(entry.iter().flat_map(|field| field.to_le_bytes()));
    }
    [with_segments(first, &[segment(0xE2, &index)]), second.to_vec()].concat()
}

/// A TIFF of eight by eight grey pixels with further tags, and a directory within it.
fn tiff(further: &[(u16, &[u8])], inner: Option<u32>) -> Vec<u8> {
    let mut file = b"II*\0\0\0\0\0".to_vec();
    file.extend((0..64).map(|level| level * 3));
    let mut write = |subfile: u32, further: Vec<(u16, Vec<u8>)>| {
        let numbers: [(u16, u32); 9] = [
            (254, subfile),
            (256, 8),
            (257, 8),
            (258, 8),
            (259, 1),
            (262, 1),
            (273, 8),
            (278, 8),
            (279, 64),
        ];
        let mut entries = Vec::new();
        for (tag, number) in numbers {
            entries.extend([&tag.to_le_bytes()[..], &[4, 0, 1, 0, 0, 0]].concat());
            entries.extend(number.to_le_bytes());
        }
        for (tag, value) in &further {
            let offset = u32::try_from(file.len()).unwrap();
            file.extend(value);
            // Further numbers stand in the entry, and override nothing.
            let is_offset = *tag != 37724;
            entries.extend([&tag.to_le_bytes()[..], &[if is_offset { 4 } else { 7 }, 0]].concat());
            let count = if is_offset { 1 } else { u32::try_from(value.len()).unwrap() };
            entries.extend(count.to_le_bytes());
            let inline = u32::from_le_bytes(value[..4].try_into().unwrap());
            entries.extend(if is_offset { inline } else { offset }.to_le_bytes());
        }
        let at = u32::try_from(file.len()).unwrap();
        file.extend(u16::try_from(9 + further.len()).unwrap().to_le_bytes());
        file.extend([entries, vec![0; 4]].concat());
        at
    };
    let inner = inner.map(|subfile| write(subfile, Vec::new()));
    let mut further: Vec<_> = further.iter().map(|(tag, value)| (*tag, value.to_vec())).collect();
    further.splice(0..0, inner.map(|at| (330, at.to_le_bytes().to_vec())));
    let first = write(0, further);
    file[4..8].copy_from_slice(&first.to_le_bytes());
    file
}

/// Takes a row from what the first frame of a GIF says of its height.
fn with_less_rows(gif: &[u8]) -> Vec<u8> {
    let mut gif = gif.to_vec();
    // What begins a frame, and where its canvas is.
    let at = memchr::memmem::find(&gif, b"\x2C\0\0\0\0").unwrap();
    gif[at + 7] -= 1;
    gif
}

/// A TIFF of grey floating-point samples, all of them fractions up to 1 but for one.
fn floats(sample: f32) -> Vec<u8> {
    let mut file = b"II*\0\0\0\0\0".to_vec();
    let samples = [&[0.25, 0.5, 0.75, 1.0][..], &[0.1; 11], &[sample]].concat();
    file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    let at = u32::try_from(file.len()).unwrap();
    file[4..8].copy_from_slice(&at.to_le_bytes());
    let tags: [(u16, u32); 9] = [
        (256, 4),
        (257, 4),
        (258, 32),
        (259, 1),
        (262, 1),
        (273, 8),
        (278, 4),
        (279, 64),
        (339, 3),
    ];
    file.extend(u16::try_from(tags.len()).unwrap().to_le_bytes());
    for (tag, number) in tags {
        file.extend([&tag.to_le_bytes()[..], &[4, 0, 1, 0, 0, 0]].concat());
        file.extend(number.to_le_bytes());
    }
    [file, vec![0; 4]].concat()
}

/// A BMP of two by two pixels in runs.
fn bmp_of_runs(runs: &[u8]) -> Vec<u8> {
    let mut bmp = vec![0; 54 + 1024];
    bmp[..2].copy_from_slice(b"BM");
    // Where pixels begin, the header's length, width and height, planes, bits, and compression.
    for (at, value) in [(10, 54), (11, 4), (14, 40), (18, 2), (22, 2), (26, 1), (28, 8), (30, 1)] {
        bmp[at] = value;
    }
    [&bmp[..], runs].concat()
}

/// The chunks of a PNG.
fn png_chunks(png: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = &png[8..];
    let mut chunks = Vec::new();
    while let Some(length) = rest.first_chunk() {
        let (chunk, behind) = rest.split_at(u32::from_be_bytes(*length) as usize + 12);
        chunks.push(chunk.to_vec());
        rest = behind;
    }
    chunks
}

/// A PNG of these chunks, whose animation is said to have this many frames.
fn with_count(frames: u8, chunks: &[&[u8]]) -> Vec<u8> {
    let mut png = [b"\x89PNG\r\n\x1A\n", &*chunks.concat()].concat();
    let at = memchr::memmem::find(&png, b"acTL").unwrap();
    png[at + 7] = frames;
    let mut crc = flate2::Crc::new();
    crc.update(&png[at..at + 12]);
    png[at + 12..at + 16].copy_from_slice(&crc.sum().to_be_bytes());
    png
}

fn jpeg_rows() -> Vec<Row> {
    let plain = jpeg(&photo(60, 40, 3), None);
    let small = jpeg(&photo(30, 20, 3), None);
    let gain_map = with_segments(&small, &[segment(0xE1, b"xap/1.0/\0 hdrgm:Version='1.0'")]);
    let behind = |bytes: &[u8]| [&plain[..], bytes].concat();
    let with = |marker: u8, content: &[u8]| with_segments(&plain, &[segment(marker, content)]);
    let samsung = |content: &[u8]| behind(&[content, b"SEFH\x6B\0\0\0\x10\0\0\0SEFT"].concat());
    vec![
        ("plain.jpg", plain.clone(), None),
        ("exif.jpg", with_exif(&plain, 6), None),
        ("zeros.jpg", behind(&[0; 70_000]), None),
        ("maker.jpg", behind(&[&[0; 900][..], &[7; 64], &[0xFF; 900]].concat()), None),
        ("samsung.jpg", samsung(b"Image_UTC_Data1700000000000"), None),
        ("thumbnail.jpg", with_index(&plain, &small, 0x01_0002), None),
        ("film.jpg", behind(&film()), Some("the film behind the picture")),
        ("film-padded.jpg", behind(&[&[0; 900][..], &film()].concat()), Some("the film behind")),
        ("film-samsung.jpg", samsung(&film()), Some("the film behind the picture")),
        (
            "sound-samsung.jpg",
            samsung(&[b"SoundShot_000", &[7; 900][..]].concat()),
            Some("the sound behind the picture"),
        ),
        ("stereo.mpo", with_index(&plain, &small, 0x02_0002), Some("only the first of 2 pictures")),
        ("burst.jpg", behind(&small.repeat(3)), Some("only the first of 4 pictures")),
        ("cut-second.jpg", behind(&small[..500]), Some("only the first of 2 pictures")),
        ("gain-map.jpg", with_index(&plain, &gain_map, 0), Some("HDR gain map")),
        ("bytes.jpg", behind(&[7; 65]), Some("65 bytes behind the picture are not kept")),
        ("depth.jpg", with(0xE1, b"xap/1.0/\0 GDepth:Format='RangeInverse'"), Some("depth map")),
        ("focus.jpg", with(0xE1, b"xap/1.0/\0 GImage:Mime='image/jpeg'"), Some("its original")),
        ("sound.jpg", with(0xE1, b"xap/1.0/\0 GAudio:Mime='audio/mp4a'"), Some("its sound")),
        ("wave.jpg", with(0xE2, b"RIFF\0\0\0\0WAVEfmt "), Some("its sound")),
        ("heat.jpg", with(0xE1, b"FLIR\0\x01\0\0"), Some("its thermal data")),
        ("bulk.jpg", with(0xE3, &[0x5A; 40_000]), Some("40000 bytes of unknown segments")),
        ("small.jpg", with(0xE3, &[0x5A; 30_000]), None),
        (
            "credentials.jpg",
            with(0xEB, &[b"JP\0\x01\0\0\0\x01\0\0\x9C\x40jumb", &[0; 40_000][..]].concat()),
            None,
        ),
        (
            "residual.jpg",
            with(0xEB, b"JP\0\x01\0\0\0\x01\0\0\0\x0CRESI1234"),
            Some("its residual of JPEG XT"),
        ),
    ]
}

fn other_rows() -> Vec<Row> {
    let png = encoded(ImageFormat::Png);
    let bmp = encoded(ImageFormat::Bmp);
    let pnm = encoded(ImageFormat::Pnm);
    let still = webp(&photo(60, 40, 3), 80.0);
    let animation = gif(40, 30, &[(RED, 5), (BLUE, 5)]);
    let small = jpeg(&photo(30, 20, 3), None);
    let whole_frames = animation.len() - 1;
    let chunk = [b"\0\0\0\x04mkBS1234", &[0xEE; 4][..]].concat();
    // Behind the signature and the header.
    let fireworks = [&png[..33], &chunk, &png[33..]].concat();
    let frames = apng(40, 30, &[(RED, 200), (BLUE, 200)], 0);
    let frames = png_chunks(&frames);
    // Behind the header and the count: place, pixels, place, pixels.
    let [header, count, of_first, first, of_second, second, end] = &frames[..] else { panic!() };
    let hidden = [header, count, first, of_second, second, end].map(|chunk| &**chunk);
    let late = [header, of_first, first, count, of_second, second, end].map(|chunk| &**chunk);
    let frames: Vec<_> = frames.iter().map(|chunk| &**chunk).collect();
    let grey = moxcms::ColorProfile::new_gray_with_gamma(2.2).encode().unwrap();
    let profile = png_with_profile((2, 1), png::ColorType::Rgb, &[9; 6], grey);
    // Two samples a pixel, of which the second has no meaning.
    let with_channel = tiff(&[(277, &[2, 0, 0, 0]), (338, &[0; 4])], None);
    let mut cut_pages = tiff(&[], None);
    let next = cut_pages.len() - 4;
    cut_pages[next..].copy_from_slice(&[0xFF; 4]);
    let layers = b"Adobe Photoshop Document Data Block\0MIB8ryaL\x04\0\0\0abcd";
    let block = b"Adobe Photoshop Document Data Block\0MIB8kksM\x04\0\0\0abcd";
    vec![
        ("plain.png", [&png[..], &[0; 900]].concat(), None),
        ("animation.gif", [&animation[..], b"\0\0\0"].concat(), None),
        ("plain.webp", still.clone(), None),
        ("plain.bmp", [&bmp[..], &[0; 2]].concat(), None),
        ("plain.ppm", [&pnm[..], b"\n"].concat(), None),
        ("sizes.ico", encoded(ImageFormat::Ico), None),
        ("plain.tif", tiff(&[], None), None),
        ("smaller.tif", tiff(&[], Some(1)), None),
        ("flat.tif", tiff(&[(37724, block)], None), None),
        (
            "bytes.png",
            [&png[..], b"junk"].concat(),
            Some("4 bytes behind the picture are not kept"),
        ),
        ("zip.png", [&png[..], b"PK\x03\x04", &[7; 90]].concat(), Some("the zip archive behind")),
        ("layers.png", fireworks, Some("layers and pages")),
        ("film.gif", [&animation[..], &film()].concat(), Some("the film behind the picture")),
        ("endless.gif", animation[..whole_frames].to_vec(), Some("its end is missing")),
        ("cut-rows.gif", with_less_rows(&animation), Some("more pixels than their size")),
        ("tall.gif", gif(3, 16_400, &[(RED, 5), (BLUE, 5)]), Some("scaled down from 3 x 16400")),
        ("picture.webp", [&still[..], &small].concat(), Some("bytes behind the picture")),
        ("bytes.bmp", [&bmp[..], &[7; 90]].concat(), Some("90 bytes behind the picture")),
        ("two.ppm", pnm.repeat(2), Some("only the first of several pictures")),
        ("mask.tif", tiff(&[], Some(4)), Some("its mask is not kept")),
        ("slices.tif", tiff(&[(32997, &[5, 0, 0, 0])], None), Some("first of 5 slices")),
        ("channels.tif", with_channel, Some("1 channels beside its colours")),
        ("cut-pages.tif", cut_pages, Some("what follows its pages")),
        ("bright.tif", floats(2.5), Some("brighter than white")),
        ("floats.tif", floats(0.5), None),
        ("profile.png", profile, Some("other kinds of pixels")),
        ("runs.bmp", bmp_of_runs(&[0, 1]), Some("lacks pixels")),
        ("all-runs.bmp", bmp_of_runs(&[2, 0, 0, 0, 2, 0, 0, 1]), None),
        ("frames.png", with_count(2, &frames), None),
        ("more-frames.png", with_count(1, &frames), Some("1 frames of its animation")),
        ("no-count.png", with_count(0, &frames), Some("1 frames of its animation")),
        ("late-count.png", with_count(2, &late), Some("1 frames of its animation")),
        ("still.png", with_count(1, &hidden), Some("1 frames of its animation")),
        ("layers.tif", tiff(&[(37724, layers)], None), Some("its layers")),
        ("within.tif", tiff(&[], Some(0)), Some("only the first page, and not the 1 pictures")),
    ]
}

fn rows_of_features() -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    if cfg!(feature = "heic") {
        let heic = include_bytes!("../data/quadrants.heic");
        let with = |bytes: &[u8]| [&heic[..], bytes].concat();
        rows.push(("plain.heic", with(&media_box(b"free", &[7; 900])), None));
        let film_beside = Some("the film beside the picture");
        rows.push(("film.heic", with(&media_box(b"mpvd", &film())), film_beside));
        rows.push(("appended.heic", with(&film()), Some("the film behind the picture")));
        rows.push(("bytes.heic", with(&[0x99; 90]), Some("90 bytes behind the picture")));
    }
    if cfg!(feature = "avif") {
        let avif = include_bytes!("../data/quadrants.avif");
        rows.push(("plain.avif", avif.to_vec(), None));
        rows.push((
            "film.avif",
            [&avif[..], &film()].concat(),
            Some("the film behind the picture"),
        ));
    }
    if cfg!(feature = "jxl") {
        let bare = include_bytes!("../data/quadrants.jxl");
        let boxed = |further: &[u8]| {
            let start = [b"\0\0\0\x0CJXL \r\n\x87\n", &media_box(b"ftyp", b"jxl \0\0\0\0jxl ")[..]];
            [&start.concat(), &media_box(b"jxlc", bare)[..], further].concat()
        };
        rows.push(("plain.jxl", boxed(&[]), None));
        rows.push(("gain-map.jxl", boxed(&media_box(b"jhgm", &[7; 90])), Some("HDR gain map")));
        rows.push(("film.jxl", boxed(&film()), Some("the film behind the picture")));
    }
    rows
}

/// Pictures that were made by hand for `every_kind_of_picture`.
fn kinds(space: &Workspace) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/kinds");
    let index: Vec<Value> =
        serde_json::from_slice(&fs::read(folder.join("index.json")).unwrap()).unwrap();
    let kept = ["Camera raw", "Beside the picture"];
    let rows: Vec<_> = index
        .iter()
        .filter(|row| kept.contains(&row["group"].as_str().unwrap()))
        .map(|row| {
            let text = |key: &str| row[key].as_str().unwrap().to_owned();
            fs::copy(folder.join("sources").join(text("file")), space.picture(text("file")))
                .unwrap();
            (text("file"), text("note"))
        })
        .collect();
    assert!(rows.len() > 10, "{rows:?}");
    rows
}

#[test]
fn what_an_image_does_not_show_keeps_its_original() {
    let space = Workspace::file();
    let rows = [jpeg_rows(), other_rows(), rows_of_features()].concat();
    let mut expected: Vec<(String, Option<String>)> = Vec::new();
    for (name, bytes, note) in rows {
        fs::write(space.picture(name), bytes).unwrap();
        expected.push((name.into(), note.map(Into::into)));
    }
    expected.extend(kinds(&space).into_iter().map(|(name, note)| (name, Some(note))));
    space.run(["import", "--delete-originals", "--report", "r", "pictures"]).expect(0);
    let report = fs::read_to_string(space.path("r")).unwrap();
    let lines: Vec<Value> =
        report.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut failures = Failures::new();
    for (name, note) in expected {
        failures.check(&name, || {
            let path = format!("pictures/{name}");
            let line = lines.iter().find(|line| line["path"] == *path).expect("a line");
            assert_eq!(space.picture(&name).exists(), note.is_some(), "{line}");
            let notes = line["notes"].to_string();
            let words = note.as_deref().unwrap_or("original deleted");
            assert!(notes.contains(words), "{line}");
        });
    }
}
