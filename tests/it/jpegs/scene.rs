//! Defines what every JPEG of the table shows: a formula, so its truth needs no decoder.

use std::f64::consts::TAU;

/// Neither side is a multiple of any block.
pub const WIDTH: usize = 75;
pub const HEIGHT: usize = 53;

/// How the components of a JPEG stand for colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    Grey,
    YCbCr,
    Rgb,
    /// Stored as the inverse of ink.
    Cmyk,
    /// CMYK whose first three components are as YCbCr.
    Ycck,
}

impl Model {
    pub fn components(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::YCbCr | Self::Rgb => 3,
            Self::Cmyk | Self::Ycck => 4,
        }
    }
}

/// Y, Cb and Cr at a place in pixels. They change so slowly that any subsampling keeps them, and so
/// much that a block in a wrong place shows.
fn ycbcr(x: f64, y: f64) -> [f64; 3] {
    let (x, y) = (x / WIDTH as f64, y / HEIGHT as f64);
    let luma = 25.0f64.mul_add((TAU * y).sin(), 110.0f64.mul_add(x, 60.0));
    let cb = 60.0f64.mul_add((y - 0.5) * (1.0 - x), 128.0);
    let cr = 50.0f64.mul_add((x - 0.5) * (TAU / 2.0 * y).cos(), 128.0);
    [luma, cb, cr]
}

fn rgb([y, cb, cr]: [f64; 3]) -> [f64; 3] {
    let (cb, cr) = (cb - 128.0, cr - 128.0);
    [1.402f64.mul_add(cr, y), y - 0.344_136 * cb - 0.714_136 * cr, 1.772f64.mul_add(cb, y)]
}

/// The share of light that black ink lets through.
fn black(x: f64) -> f64 {
    0.2f64.mul_add(-x / WIDTH as f64, 1.0)
}

/// The value that a component stores at a place.
pub fn stored(model: Model, component: usize, x: f64, y: f64) -> f64 {
    let shown = ycbcr(x, y);
    let value = match (model, component) {
        (Model::Cmyk | Model::Ycck, 3) => 255.0 * black(x),
        (Model::Grey | Model::YCbCr, _) => shown[component],
        (Model::Rgb, _) => rgb(shown)[component],
        (Model::Cmyk, _) => rgb(shown)[component] / black(x),
        (Model::Ycck, _) => {
            // What YCbCr stands for is the inverse of what is stored.
            let [r, g, b] = rgb(shown).map(|value| 255.0 - value / black(x));
            [
                0.299 * r + 0.587 * g + 0.114 * b,
                128.0 - 0.168_736 * r - 0.331_264 * g + 0.5 * b,
                128.0 + 0.5 * r - 0.418_688 * g - 0.081_312 * b,
            ][component]
        }
    };
    value.clamp(0.0, 255.0)
}

/// The colour of a pixel.
pub fn shown(model: Model, x: usize, y: usize) -> [f64; 3] {
    let pixel = ycbcr(x as f64, y as f64);
    if model == Model::Grey { [pixel[0]; 3] } else { rgb(pixel) }
}
