//! Lists the sound kinds of JPEG: samplings, scans, restart markers and colours.

use super::entropy::Band;
use super::scene::Model;
use super::writer::{Layout, Scan, join, sequential};

/// A JPEG with its name.
pub type Kind = (String, Model, Vec<u8>);

/// Sampling factors of Y, Cb and Cr. Those of libjpeg divide each other.
const SAMPLINGS: [[(usize, usize); 3]; 20] = [
    [(1, 1), (1, 1), (1, 1)],
    [(2, 1), (1, 1), (1, 1)],
    [(2, 2), (1, 1), (1, 1)],
    [(1, 2), (1, 1), (1, 1)],
    [(4, 1), (1, 1), (1, 1)],
    [(1, 4), (1, 1), (1, 1)],
    [(4, 2), (1, 1), (1, 1)],
    [(2, 4), (1, 1), (1, 1)],
    [(3, 1), (1, 1), (1, 1)],
    [(1, 3), (1, 1), (1, 1)],
    [(3, 2), (1, 1), (1, 1)],
    [(1, 1), (2, 2), (2, 2)],
    [(1, 1), (2, 1), (2, 1)],
    [(1, 1), (1, 2), (2, 1)],
    [(2, 2), (2, 1), (1, 2)],
    [(2, 2), (2, 1), (2, 1)],
    [(2, 1), (1, 2), (1, 1)],
    [(2, 2), (2, 2), (2, 2)],
    [(2, 1), (2, 1), (2, 1)],
    [(4, 4), (2, 2), (1, 1)],
];

/// The scans of three components, and whether they are progressive.
fn scripts() -> Vec<(&'static str, bool, Vec<Scan>)> {
    vec![
        ("in one scan", false, sequential(&[&[0, 1, 2]])),
        ("Y, Cb, Cr", false, sequential(&[&[0], &[1], &[2]])),
        ("Cr, Cb, Y", false, sequential(&[&[2], &[1], &[0]])),
        ("Cb, Cr, Y", false, sequential(&[&[1], &[2], &[0]])),
        ("Y, then Cb with Cr", false, sequential(&[&[0], &[1, 2]])),
        ("Y with Cb, then Cr", false, sequential(&[&[0, 1], &[2]])),
        ("progressive", true, progressive(&[&[0, 1, 2]], true)),
        ("progressive by component", true, progressive(&[&[0], &[1], &[2]], true)),
        ("progressive by component, backwards", true, progressive(&[&[2], &[1], &[0]], true)),
        ("progressive by frequency alone", true, progressive(&[&[0, 1, 2]], false)),
    ]
}

/// Progressive scans: the DC coefficients with these components in each, then the AC coefficients
/// of each component, and then the bits that were left away.
pub fn progressive(dc: &[&[usize]], refined: bool) -> Vec<Scan> {
    let low = u8::from(refined);
    let band = |first, last, high, low| Band { first, last, high, low };
    let order: Vec<usize> = dc.concat();
    let each = |band: Band| order.iter().map(move |at| Scan { components: vec![*at], band });
    let dc = |band: Band| dc.iter().map(move |of| Scan { components: of.to_vec(), band });
    let mut scans: Vec<Scan> = dc(band(0, 0, 0, low)).collect();
    scans.extend(each(band(1, 5, 0, 2 * low)));
    scans.extend(each(band(6, 63, 0, 2 * low)));
    if refined {
        scans.extend(each(band(1, 63, 2, 1)));
        scans.extend(dc(band(0, 0, 1, 0)));
        scans.extend(each(band(1, 63, 1, 0)));
    }
    scans
}

pub fn all() -> Vec<Kind> {
    [sampled(), restarted(), grey(), of_three_colours(), of_four_colours()].concat()
}

fn kind(name: String, layout: &Layout) -> Kind {
    (name, layout.model, join(&layout.write()))
}

fn frame(is_progressive: bool) -> u8 {
    if is_progressive { 0xC2 } else { 0xC0 }
}

/// Every sampling in every order of scans that is allowed with it.
fn sampled() -> Vec<Kind> {
    let mut kinds = Vec::new();
    for sampling in SAMPLINGS {
        for (script, is_progressive, scans) in scripts() {
            let mut layout = Layout::new(Model::YCbCr);
            layout.sampling = sampling.to_vec();
            (layout.frame, layout.scans) = (frame(is_progressive), scans);
            if layout.is_allowed() {
                kinds.push(kind(format!("{sampling:?} {script}"), &layout));
            }
        }
    }
    kinds
}

fn restarted() -> Vec<Kind> {
    let mut kinds = Vec::new();
    for sampling in [SAMPLINGS[0], SAMPLINGS[2], SAMPLINGS[11]] {
        for (script, is_progressive, scans) in scripts() {
            for restart in [1, 4, 1000] {
                let mut layout = Layout::new(Model::YCbCr);
                layout.sampling = sampling.to_vec();
                (layout.frame, layout.scans) = (frame(is_progressive), scans.clone());
                layout.restart = restart;
                kinds.push(kind(format!("{sampling:?} {script}, restart {restart}"), &layout));
            }
        }
    }
    kinds
}

fn grey() -> Vec<Kind> {
    let mut kinds = Vec::new();
    for sampling in [(1, 1), (2, 2), (4, 1)] {
        for is_progressive in [false, true] {
            for adobe in [None, Some(0), Some(1), Some(2)] {
                let mut layout = Layout::new(Model::Grey);
                layout.sampling = vec![sampling];
                if is_progressive {
                    (layout.frame, layout.scans) = (0xC2, progressive(&[&[0]], true));
                }
                (layout.adobe, layout.jfif) = (adobe, adobe.is_none());
                let name = format!("grey {sampling:?}, progressive {is_progressive}, {adobe:?}");
                kinds.push(kind(name, &layout));
            }
        }
    }
    kinds
}

/// Three components whose colours JFIF, Adobe's segment or their ids tell, in this order.
fn of_three_colours() -> Vec<Kind> {
    let mut kinds = Vec::new();
    for ids in [[1, 2, 3], *b"RGB", [0, 1, 2], [17, 4, 200], *b"rgb"] {
        for adobe in [None, Some(0), Some(1), Some(2)] {
            for jfif in [true, false] {
                let model = match (jfif, adobe) {
                    (false, Some(0)) => Model::Rgb,
                    (false, None) if ids == *b"RGB" => Model::Rgb,
                    _ => Model::YCbCr,
                };
                let mut layout = Layout::new(model);
                (layout.ids, layout.adobe, layout.jfif) = (ids.to_vec(), adobe, jfif);
                if model == Model::YCbCr {
                    layout.sampling = SAMPLINGS[2].to_vec();
                }
                kinds.push(kind(format!("ids {ids:?}, JFIF {jfif}, Adobe {adobe:?}"), &layout));
                (layout.frame, layout.scans) = (0xC2, progressive(&[&[0, 1, 2]], true));
                let name = format!("progressive, ids {ids:?}, JFIF {jfif}, Adobe {adobe:?}");
                kinds.push(kind(name, &layout));
            }
        }
    }
    kinds
}

fn of_four_colours() -> Vec<Kind> {
    let mut kinds = Vec::new();
    let fine_luma = [(2, 2), (1, 1), (1, 1), (2, 2)];
    for (adobe, model) in [
        (None, Model::Cmyk),
        (Some(0), Model::Cmyk),
        (Some(2), Model::Ycck),
        (Some(1), Model::Ycck),
    ] {
        for sampling in [[(1, 1); 4], fine_luma] {
            for (script, is_progressive, scans) in [
                ("in one scan", false, sequential(&[&[0, 1, 2, 3]])),
                ("each in its scan", false, sequential(&[&[0], &[1], &[2], &[3]])),
                ("backwards", false, sequential(&[&[3], &[2], &[1], &[0]])),
                ("progressive", true, progressive(&[&[0, 1, 2, 3]], true)),
            ] {
                let mut layout = Layout::new(model);
                (layout.adobe, layout.sampling) = (adobe, sampling.to_vec());
                (layout.frame, layout.scans) = (frame(is_progressive), scans);
                kinds.push(kind(format!("{model:?} {adobe:?} {sampling:?} {script}"), &layout));
            }
        }
    }
    kinds
}
