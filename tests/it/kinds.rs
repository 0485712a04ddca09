//! Tests how `import` shows each kind of picture.

use std::fs;

use image::{DynamicImage, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};
use serde_json::{Value, json};

use crate::harness::{Failures, Workspace, on_each_engine};
use crate::pictures::{
    BLUE, Colour, GREEN, NOTHING, RED, animation, apng, decode, frames, gif, is_near, jpeg, noise,
    photo, png_with_profile, save, webp, webp_with_profile,
};

on_each_engine!(renditions_lie_beside_the_image, renditions_that_are_missing_are_added_later);

/// Imports the folder and returns its only image.
#[track_caller]
fn import_one(space: &Workspace, arguments: &[&str]) -> Value {
    space
        .run([&["import", "--report", "report.jsonl"], arguments, &["pictures"]].concat())
        .expect(0);
    let images = space.list();
    assert_eq!(images.len(), 1, "{images:?}");
    images[0].clone()
}

fn stored(space: &Workspace, image: &Value) -> Vec<u8> {
    space.stored(image["id"].as_str().unwrap())
}

#[track_caller]
fn assert_frames(found: &[(Colour, u32)], expected: &[(Colour, u32)]) {
    let matches = found.len() == expected.len()
        && found.iter().zip(expected).all(|(a, b)| is_near(a.0, b.0) && a.1 == b.1);
    assert!(matches, "{found:?} is not {expected:?}");
}

#[test]
fn a_gif_stays_animated_with_its_timing() {
    let space = Workspace::file();
    // Delays of 0 and 10 ms mean 100 ms, as in browsers.
    let source = gif(40, 30, &[(RED, 5), (GREEN, 0), (NOTHING, 70), (BLUE, 1)]);
    fs::write(space.picture("a.gif"), source).unwrap();
    let image = import_one(&space, &[]);
    assert_eq!(
        (&image["frames"], &image["animated"], &image["alpha"]),
        (&json!(4), &json!(true), &json!(true))
    );
    let (found, plays) = frames(&stored(&space, &image));
    assert_frames(&found, &[(RED, 50), (GREEN, 100), (NOTHING, 700), (BLUE, 100)]);
    assert_eq!(plays, 0, "for ever");
    space.assert_verified();
}

const GRASS: Colour = [30, 200, 30, 255];
const ROSE: Colour = [220, 30, 30, 255];
const SEA: Colour = [30, 30, 220, 255];
const PAPER: Colour = [240, 240, 240, 255];

/// A format, whether it is built in, a picture of 32 x 24 pixels in four quadrants, and the
/// quadrants' colours. The pictures are by avifenc (turned a quarter to the left), heif-enc and
/// cjxl.
const QUADRANTS: [(&str, bool, &[u8], [Colour; 4]); 3] = [
    (
        "AVIF",
        cfg!(feature = "avif"),
        include_bytes!("../data/quadrants.avif"),
        [GRASS, PAPER, ROSE, SEA],
    ),
    (
        "HEIC",
        cfg!(feature = "heic"),
        include_bytes!("../data/quadrants.heic"),
        [ROSE, GRASS, SEA, PAPER],
    ),
    (
        "JPEG XL",
        cfg!(feature = "jxl"),
        include_bytes!("../data/quadrants.jxl"),
        [ROSE, GRASS, SEA, PAPER],
    ),
];

#[test]
fn newer_formats_are_read_where_they_are_built_in() {
    let mut failures = Failures::new();
    for (format, is_built_in, source, expected) in QUADRANTS {
        failures.check(format, || {
            let space = Workspace::file();
            // The name's ending must not matter.
            fs::write(space.picture("a.png"), source).unwrap();
            if is_built_in {
                assert_quadrants(&space, format, expected);
            } else {
                let refusal = format!("{format}: not supported by this build");
                space.run(["import", "pictures"]).expect(1).complains_of(&[&refusal]);
            }
        });
    }
}

/// Imports the only picture and asserts the colours of its quadrants, row by row.
fn assert_quadrants(space: &Workspace, format: &str, expected: [Colour; 4]) {
    let image = import_one(space, &["--quality", "95"]);
    let report = fs::read_to_string(space.path("report.jsonl")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&report).unwrap()["format"], json!(format));
    let picture = decode(&stored(space, &image));
    let (width, height) = picture.dimensions();
    assert_eq!((width, height), if format == "AVIF" { (24, 32) } else { (32, 24) });
    let corners = [(4, 4), (width - 5, 4), (4, height - 5), (width - 5, height - 5)];
    for ((x, y), colour) in corners.into_iter().zip(expected) {
        let found = picture.get_pixel(x, y).0;
        assert!(is_near(found, colour), "at {x}, {y}: {found:?}, not {colour:?}");
    }
    space.assert_verified();
}

#[test]
fn a_gif_that_claims_too_small_a_screen_is_shown_whole() {
    let space = Workspace::file();
    let mut source = gif(40, 30, &[(RED, 5), (GREEN, 5)]);
    source[6..10].copy_from_slice(&[10, 0, 0, 0]);
    fs::write(space.picture("a.gif"), source).unwrap();
    let image = import_one(&space, &[]);
    assert_eq!((&image["width"], &image["height"]), (&json!(40), &json!(30)));
    let (found, _) = frames(&stored(&space, &image));
    assert_frames(&found, &[(RED, 50), (GREEN, 50)]);
}

#[test]
fn a_gif_whose_further_frames_are_broken_is_shown_so_far_and_kept() {
    let (first, second) = ((RED, 5), (GREEN, 5));
    let mut failures = Failures::new();
    for good in [&[first] as &[_], &[first, second]] {
        failures.check(format!("{} good frames", good.len()), || {
            let space = Workspace::file();
            let mut source = gif(40, 30, &[good, &[(BLUE, 5)]].concat());
            // The size of the next frame's codes, which follows a control extension (8 bytes), an
            // image descriptor (10) and a palette of two colours (6).
            source[gif(40, 30, good).len() - 1 + 8 + 10 + 6] = 99;
            fs::write(space.picture("a.gif"), source).unwrap();
            space.run(["import", "--delete-originals", "--report", "r", "pictures"]).expect(0);
            let lines = fs::read_to_string(space.path("r")).unwrap();
            assert!(lines.contains("broken frames") && lines.contains("original kept"), "{lines}");
            assert_eq!(space.list()[0]["frames"], json!(good.len()));
        });
    }
}

#[test]
fn an_animated_png_stays_animated_and_plays_as_often() {
    let space = Workspace::file();
    fs::write(space.picture("a.png"), apng(24, 24, &[(BLUE, 40), (RED, 250), (NOTHING, 1000)], 3))
        .unwrap();
    let image = import_one(&space, &[]);
    let (found, plays) = frames(&stored(&space, &image));
    assert_frames(&found, &[(BLUE, 40), (RED, 250), (NOTHING, 1000)]);
    assert_eq!(plays, 3);
}

#[test]
fn a_gif_of_one_frame_is_a_still_image() {
    let space = Workspace::file();
    fs::write(space.picture("a.gif"), gif(40, 30, &[(RED, 5)])).unwrap();
    let image = import_one(&space, &[]);
    assert_eq!((&image["frames"], &image["animated"]), (&json!(1), &json!(false)));
}

#[test]
fn animations_with_too_many_frames_are_refused_before_they_are_decoded() {
    let space = Workspace::file();
    fs::write(space.picture("a.gif"), gif(10, 10, &[(RED, 5); 30])).unwrap();
    let refused = |arguments: &[&str], reason: &str| {
        space
            .run([&["import"], arguments, &["pictures"]].concat())
            .expect(1)
            .complains_of(&["a.gif", reason]);
    };
    refused(&["--max-frames", "29"], "30 frames are more than --max-frames 29");
    refused(
        &["--max-total-pixels", "2999"],
        "30 frames of 10 x 10 pixels are more than --max-total-pixels 2999",
    );
    space.run(["import", "--max-frames", "30", "--max-total-pixels", "3000", "pictures"]).expect(0);
}

#[test]
fn grey_and_cmyk_profiles_are_applied() {
    let space = Workspace::file();
    // Half the light is 188 in sRGB.
    let linear = moxcms::ColorProfile::new_gray_with_gamma(1.0).encode().unwrap();
    let source = png_with_profile((20, 20), png::ColorType::Grayscale, &[128; 400], linear);
    fs::write(space.picture("a.png"), source).unwrap();
    let image = import_one(&space, &[]);
    let middle = decode(&stored(&space, &image)).get_pixel(10, 10).0;
    assert!(is_near(middle, [188, 188, 188, 255]), "{middle:?}");
}

#[test]
fn a_webp_with_foreign_colours_is_encoded_anew_and_one_in_srgb_is_not() {
    let space = Workspace::file();
    let plain = webp(&RgbImage::from_pixel(32, 32, Rgb([200, 100, 50])), 95.0);
    let srgb = moxcms::ColorProfile::new_srgb().encode().unwrap();
    fs::write(space.picture("srgb.webp"), webp_with_profile(&plain, 32, 32, &srgb)).unwrap();
    let image = import_one(&space, &[]);
    let kept = stored(&space, &image);
    assert!(
        kept.windows(plain.len() - 12).any(|window| window == &plain[12..]),
        "it was encoded anew"
    );
    assert!(!kept.windows(4).any(|window| window == b"ICCP"));

    let p3 = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    fs::write(space.picture("p3.webp"), webp_with_profile(&plain, 32, 32, &p3)).unwrap();
    space.import();
    let other = space.ids().into_iter().find(|id| image["id"] != **id).unwrap();
    let middle = decode(&space.stored(&other)).get_pixel(16, 16).0;
    assert!(is_near(middle, [215, 93, 31, 255]), "{middle:?}");
}

#[test]
fn drawings_are_stored_without_loss_where_that_is_smaller() {
    let space = Workspace::file();
    let drawing = RgbImage::from_fn(300, 200, |x, y| {
        if (x / 7 + y / 5) % 3 == 0 { Rgb([250, 40, 9]) } else { Rgb([9, 9, 90]) }
    });
    save(drawing.clone(), &space.picture("drawing.png"));
    let image = import_one(&space, &["--renditions", "none"]);
    assert_eq!(DynamicImage::from(decode(&stored(&space, &image))).into_rgb8(), drawing);

    // Another setting makes another image.
    space.run(["import", "--lossless", "never", "pictures"]).expect(0);
    let lossy = space.ids().into_iter().find(|id| image["id"] != **id).unwrap();
    assert_ne!(DynamicImage::from(decode(&space.stored(&lossy))).into_rgb8(), drawing);
}

#[test]
fn lossless_always_keeps_every_pixel() {
    let space = Workspace::file();
    let picture = RgbaImage::from_fn(60, 40, |x, y| {
        Rgba([(x * 4) as u8, (y * 6) as u8, 9, if x > 30 { 255 } else { 128 }])
    });
    save(picture.clone(), &space.picture("a.png"));
    let image = import_one(&space, &["--lossless", "always"]);
    assert_eq!(decode(&stored(&space, &image)), picture);
}

fn renditions_lie_beside_the_image(space: &Workspace) {
    save(photo(700, 350, 1), &space.picture("a.png"));
    let image = import_one(space, &["--renditions", "640,100,700,900"]);
    // Widths that are not smaller are left out.
    assert_eq!(image["renditions"], json!([100, 640]));
    let stats = space.run(["stats", "--json"]).expect(0).json();
    assert_eq!((&stats["renditions"], &stats["images"]), (&json!(2), &json!(1)), "{stats}");
    assert!(stats["rendition_bytes"].as_u64().unwrap() > 100);
    space.assert_verified();
}

fn renditions_that_are_missing_are_added_later(space: &Workspace) {
    save(photo(400, 300, 1), &space.picture("a.png"));
    fs::write(space.picture("b.webp"), animation(300, 200)).unwrap();
    space.run(["import", "--renditions", "none", "pictures"]).expect(0);
    assert!(space.list().iter().all(|image| image["renditions"] == json!([])));
    let again =
        space.run(["import", "--renditions", "64,200", "--json", "pictures"]).expect(0).json();
    assert_eq!((&again["imported"], &again["already_present"]), (&json!(0), &json!(2)));
    assert!(
        space.list().iter().all(|image| image["renditions"] == json!([64, 200])),
        "{:?}",
        space.list()
    );
    // Renditions that are there stay.
    space.run(["import", "--renditions", "100", "pictures"]).expect(0);
    assert!(space.list().iter().all(|image| image["renditions"] == json!([64, 100, 200])));
    space.assert_verified();
}

#[test]
fn icons_targa_qoi_and_netpbm_are_taken_by_their_content() {
    let space = Workspace::file();
    let picture = DynamicImage::from(photo(48, 48, 3));
    for (name, format) in [
        ("a.bin", ImageFormat::Ico),
        ("b.bin", ImageFormat::Tga),
        ("c.bin", ImageFormat::Qoi),
        ("d.bin", ImageFormat::Pnm),
    ] {
        picture.save_with_format(space.picture(name), format).unwrap();
    }
    // A header that could be one of TGA, before something else.
    let no_targa = b"\0\0\x02\0\0\0\0\0\0\0\0\0\x40\0\x40\0\x18\0 and nothing more";
    fs::write(space.picture("e.bin"), no_targa).unwrap();
    let summary = space.run(["import", "--json", "pictures"]).expect(0).json();
    // Four formats of the same pixels give one image.
    assert_eq!((&summary["imported"], &summary["duplicates"]), (&json!(1), &json!(3)), "{summary}");
    let found = decode(&stored(&space, &space.list()[0]));
    let mean: u64 = found
        .pixels()
        .zip(picture.to_rgba8().pixels())
        .map(|(a, b)| u64::from(a[0].abs_diff(b[0])))
        .sum();
    assert!(mean / (48 * 48) <= 3);
}

#[test]
fn deep_and_grey_sources_come_out_right() {
    let space = Workspace::file();
    let deep = image::ImageBuffer::<Luma<u16>, _>::from_fn(64, 64, |x, _| {
        Luma([u16::try_from(x * 1040).unwrap()])
    });
    save(DynamicImage::ImageLuma16(deep), &space.picture("deep.png"));
    let image = import_one(&space, &["--quality", "95"]);
    let found = decode(&stored(&space, &image));
    let mut failures = Failures::new();
    for x in [2, 30, 60] {
        failures.check(format!("at {x}"), || {
            let (found, expected) = (found.get_pixel(x, 32)[0], (x * 1040 / 257) as u8);
            assert!(found.abs_diff(expected) <= 4, "{found}, not {expected}");
        });
    }
}

#[test]
fn nothing_of_the_metadata_is_stored() {
    let space = Workspace::file();
    let secret = b"GPS 48.1372 N 11.5756 E";
    let jpeg = jpeg(&photo(80, 60, 1), None);
    let segment = |marker: u8, payload: &[u8]| {
        [
            &[0xFF, marker],
            u16::try_from(payload.len() + 2).unwrap().to_be_bytes().as_slice(),
            payload,
        ]
        .concat()
    };
    let exif = segment(0xE1, &[b"Exif\0\0".as_slice(), secret].concat());
    let xmp = segment(0xE1, &[b"http://ns.adobe.com/xap/1.0/\0".as_slice(), secret].concat());
    let comment = segment(0xFE, secret);
    fs::write(space.picture("a.jpg"), [&jpeg[..2], &exif, &xmp, &comment, &jpeg[2..]].concat())
        .unwrap();
    let image = import_one(&space, &[]);
    let stored = stored(&space, &image);
    let mut failures = Failures::new();
    for trace in ["GPS", "EXIF", "XMP ", "48.1372"] {
        let is_trace = |window: &[u8]| window == trace.as_bytes();
        failures.check(trace, || assert!(!stored.windows(trace.len()).any(is_trace)));
    }
}

#[test]
fn a_picture_that_needs_too_much_memory_is_refused_and_the_others_are_not() {
    let space = Workspace::file();
    save(noise(2000, 1500, 1), &space.picture("large.png"));
    save(photo(100, 100, 1), &space.picture("small.png"));
    let import = space.run(["import", "--memory", "12MB", "--json", "pictures"]).expect(1);
    import.complains_of(&[
        "large.png",
        "2000 x 1500 pixels of this kind take up to",
        "more than --memory 12MB",
    ]);
    assert_eq!(import.json()["imported"], 1);
    // A picture waits for its turn when there is room for it alone.
    save(noise(2000, 1500, 2), &space.picture("other.png"));
    let both =
        space.run(["import", "--memory", "150MB", "--jobs", "4", "--json", "pictures"]).expect(0);
    assert_eq!(both.json()["imported"], 2);
}
