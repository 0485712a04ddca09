//! The bytes of images and of their copies: a copy is smaller than what it is a copy of, and a JPEG
//! does not grow.

use std::fs;

use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage};
use serde_json::Value;

use crate::harness::{Failures, Workspace, on_each_engine};
use crate::pictures::{animation, decode, noise, photo, save};

on_each_engine!(copies_that_are_not_smaller_are_left_out_once_and_for_all);

/// Large pixels, whose edges a copy of another width smears.
fn pixel_art(width: u32, height: u32, pixel: u32) -> RgbImage {
    let colours = [[20, 20, 40], [240, 200, 60], [200, 40, 40], [60, 180, 90]];
    let cells = noise(width / pixel + 1, height / pixel + 1, 3);
    RgbImage::from_fn(width, height, |x, y| {
        let [value, ..] = cells.get_pixel(x / pixel, y / pixel).0;
        Rgb(colours[usize::from(value) % 4])
    })
}

/// One-pixel lines of text-like marks on a plain ground.
fn terminal(width: u32, height: u32) -> RgbImage {
    let dots = noise(width / 8 + 1, height / 16 + 1, 5);
    RgbImage::from_fn(width, height, |x, y| {
        let [a, b, _] = dots.get_pixel(x / 8, y / 16).0;
        let bit = (u32::from(a) << 8 | u32::from(b)) >> (x % 8 + y % 16 / 2) & 1;
        let is_ink = x % 8 < 6 && y % 16 < 12 && bit == 1;
        Rgb(if is_ink { [200, 200, 200] } else { [30, 30, 30] })
    })
}

fn copies_that_are_not_smaller_are_left_out_once_and_for_all(space: &Workspace) {
    save(pixel_art(704, 704, 11), &space.picture("pixels.png"));
    save(terminal(1600, 900), &space.picture("terminal.png"));
    save(photo(1400, 1000, 1), &space.picture("photo.png"));
    let summary = space.run(["import", "--json", "pictures"]).expect(0).json();
    assert_eq!(summary["imported"], 3, "{summary}");
    let images = space.list();
    let (server, key) = space.serve_with_key();
    let key = ("Authorization", &*format!("Bearer {key}"));
    let mut failures = Failures::new();
    for image in &images {
        let (id, source) = (image["id"].as_str().unwrap(), image["source"].as_str().unwrap());
        failures.check(source, || {
            let widths: Vec<_> = image["renditions"].as_array().unwrap().clone();
            let all = usize::from(image["width"].as_u64() > Some(1280)) + 2;
            if source == "photo.png" {
                assert_eq!(widths.len(), all, "{widths:?}");
            } else {
                assert!(widths.len() < all, "{widths:?}");
            }
            let mut larger = image["bytes"].as_u64().unwrap();
            for asked in [1280, 640, 320] {
                let path = format!("/images/{id}?w={asked}");
                let answer = server.request("GET", &path, &[key]);
                assert_eq!(answer.status, 200);
                let bytes = answer.body.len() as u64;
                let is_kept = widths.iter().any(|width| *width == asked);
                let shown = decode(&answer.body).width();
                assert_eq!(shown == asked, is_kept, "{asked}: {shown} of {widths:?}");
                assert!(if is_kept { bytes < larger } else { bytes == larger }, "{asked}");
                larger = bytes;
            }
        });
    }
    drop(failures);
    drop(server);
    space.run(["verify", "--deep"]).expect(0);
    // The gallery knows that they were tried: nothing is made again.
    let again = space.run(["import", "--json", "--report", "r", "pictures"]).expect(0).json();
    assert_eq!(again["already_present"], 3, "{again}");
    let report = fs::read_to_string(space.path("r")).unwrap();
    assert!(!report.contains("added"), "{report}");
    space.run(["import", "--renditions", "320,640,700,1280,1920", "pictures"]).expect(0);
    let widths = |source: &str| {
        let image = space.list().into_iter().find(|image| image["source"] == source).unwrap();
        image["renditions"].as_array().unwrap().clone()
    };
    assert!(widths("photo.png").iter().any(|width| *width == 700));
    assert!(widths("pixels.png").iter().all(|width| *width != 700), "larger than the image");
}

#[test]
fn copies_of_animations_are_animations() {
    let space = Workspace::file();
    fs::write(space.picture("a.webp"), animation(320, 240)).unwrap();
    space.run(["import", "--renditions", "160", "pictures"]).expect(0);
    let (server, key) = space.serve_with_key();
    let key = ("Authorization", &*format!("Bearer {key}"));
    let id = space.list()[0]["id"].as_str().unwrap().to_owned();
    let copy = server.request("GET", &format!("/images/{id}?w=160"), &[key]).body;
    let copy = webpx::AnimationDecoder::new(&copy).unwrap();
    assert_eq!((copy.info().width, copy.info().frame_count), (160, 3));
}

#[test]
fn a_jpeg_of_low_quality_does_not_grow() {
    let space = Workspace::file();
    let mut failures = Failures::new();
    for (quality, grows_at_75) in [(4, false), (10, true), (30, true), (92, false)] {
        let name = format!("{quality}.jpg");
        let file = fs::File::create(space.picture(&name)).unwrap();
        let blurred = image::imageops::blur(&noise(640, 480, quality), 1.0);
        JpegEncoder::new_with_quality(file, u8::try_from(quality).unwrap())
            .encode_image(&blurred)
            .unwrap();
        failures.check(&name, || {
            let path = format!("pictures/{name}");
            space.run(["import", "--renditions", "none", "--report", "r", &path]).expect(0);
            let report = fs::read_to_string(space.path("r")).unwrap();
            let line: Value = serde_json::from_str(&report).unwrap();
            let size = |field: &str| line[field].as_u64().unwrap();
            assert!(size("bytes_out") <= size("bytes_in"), "{line}");
            assert_eq!(report.contains("stored at quality"), grows_at_75, "{line}");
        });
    }
}

#[test]
fn thin_coloured_lines_stay_sharp_if_that_is_asked_for() {
    let space = Workspace::file();
    let lines = RgbImage::from_fn(400, 300, |x, y| {
        Rgb(if x % 5 == 0 || y % 7 == 0 { [230, 20, 20] } else { [250, 250, 250] })
    });
    save(lines.clone(), &space.picture("lines.png"));
    let stored = |flags: &[&str], status: &str| {
        let arguments = [&["import", "--lossless", "never", "--json", "pictures"], flags].concat();
        let summary = space.run(&arguments).expect(0).json();
        assert_eq!(summary[status], 1, "{summary}");
        decode(&space.stored(space.list()[0]["id"].as_str().unwrap()))
    };
    let error = |image: image::RgbaImage| {
        let pairs = image.pixels().zip(lines.pixels());
        let sum: u32 = pairs
            .flat_map(|(a, b)| (0..3).map(|channel| u32::from(a[channel].abs_diff(b[channel]))))
            .sum();
        f64::from(sum) / f64::from(3 * lines.width() * lines.height())
    };
    let usual = error(stored(&[], "imported"));
    let sharp = error(stored(&["--sharp-yuv"], "replaced"));
    assert!(sharp < usual * 0.9, "{sharp} and {usual}");
}
