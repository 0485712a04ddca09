//! Swaps rows and columns of pixels, within their own memory.
//!
//! The picture is cut into square tiles. Each band of tiles is gathered so that a tile's pixels lie
//! together, the tiles are moved to their places along the cycles of the permutation, and the bands
//! are laid out in rows again. The strips at the right and at the bottom that fill no tile are kept
//! aside meanwhile. Beside the picture this takes the memory of two bands and those strips.

/// Width and height of a tile, in pixels. A tile has some kilobytes, which are moved at once.
const SIDE: usize = 64;

/// Transposes `width * height` pixels of `pixel_bytes` each.
pub(crate) fn in_place(
    mut pixels: Vec<u8>,
    width: usize,
    height: usize,
    pixel_bytes: usize,
) -> Vec<u8> {
    let (columns, rows) = (width / SIDE, height / SIDE);
    let right = transposed_part(&pixels, width, pixel_bytes, (columns * SIDE, 0), (width, height));
    let below =
        transposed_part(&pixels, width, pixel_bytes, (0, rows * SIDE), (columns * SIDE, height));

    let (tiled_width, tiled_height) = (columns * SIDE, rows * SIDE);
    let (row, tiled_row) = (width * pixel_bytes, tiled_width * pixel_bytes);
    for y in 0..tiled_height {
        pixels.copy_within(y * row..y * row + tiled_row, y * tiled_row);
    }
    if tiled_row > 0 {
        let tiled = &mut pixels[..tiled_height * tiled_row];
        for band in tiled.chunks_exact_mut(SIDE * tiled_row) {
            gather(band, columns, pixel_bytes);
        }
        permute(tiled, columns, rows, SIDE * SIDE * pixel_bytes);
        for band in tiled.chunks_exact_mut((SIDE * tiled_height * pixel_bytes).max(1)) {
            lay_out(band, rows, pixel_bytes);
        }
    }

    // A row is now what was a column: first that of the tiles, then what was below them.
    let (row, tiled_row) = (height * pixel_bytes, tiled_height * pixel_bytes);
    let below_row = row - tiled_row;
    for y in (0..tiled_width).rev() {
        pixels.copy_within(y * tiled_row..(y + 1) * tiled_row, y * row);
        pixels[y * row + tiled_row..(y + 1) * row]
            .copy_from_slice(&below[y * below_row..(y + 1) * below_row]);
    }
    let kept = tiled_width * row;
    pixels[kept..].copy_from_slice(&right);
    pixels
}

/// Returns a part of the picture, transposed, from one corner to the other.
fn transposed_part(
    pixels: &[u8],
    width: usize,
    pixel_bytes: usize,
    (left, top): (usize, usize),
    (right, bottom): (usize, usize),
) -> Vec<u8> {
    let mut part = Vec::with_capacity((right - left) * (bottom - top) * pixel_bytes);
    for x in left..right {
        for y in top..bottom {
            let at = (y * width + x) * pixel_bytes;
            part.extend_from_slice(&pixels[at..at + pixel_bytes]);
        }
    }
    part
}

/// Turns the rows of a band into one tile after the other, each of them transposed.
fn gather(band: &mut [u8], tiles: usize, pixel_bytes: usize) {
    let rows = band.to_vec();
    let mut target = band.chunks_exact_mut(pixel_bytes);
    for tile in 0..tiles {
        for x in 0..SIDE {
            for y in 0..SIDE {
                let at = ((y * tiles + tile) * SIDE + x) * pixel_bytes;
                if let Some(target) = target.next() {
                    target.copy_from_slice(&rows[at..at + pixel_bytes]);
                }
            }
        }
    }
}

/// Turns the tiles of a band back into rows.
fn lay_out(band: &mut [u8], tiles: usize, pixel_bytes: usize) {
    let gathered = band.to_vec();
    let tile_row = SIDE * pixel_bytes;
    for (index, target) in band.chunks_exact_mut(tile_row).enumerate() {
        let (y, tile) = (index / tiles, index % tiles);
        target.copy_from_slice(&gathered[(tile * SIDE + y) * tile_row..][..tile_row]);
    }
}

/// Moves the tile at row `r` and column `c` to row `c` and column `r`.
fn permute(tiles: &mut [u8], columns: usize, rows: usize, tile_bytes: usize) {
    let mut moved = vec![false; columns * rows];
    for start in 0..moved.len() {
        if moved[start] {
            continue;
        }
        let mut held = tiles[start * tile_bytes..][..tile_bytes].to_vec();
        let mut at = start;
        loop {
            moved[at] = true;
            at = at % columns * rows + at / columns;
            held.swap_with_slice(&mut tiles[at * tile_bytes..][..tile_bytes]);
            if at == start {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pixel_of_every_shape_finds_its_place() {
        for (width, height) in [
            (1, 1),
            (63, 64),
            (64, 64),
            (65, 200),
            (200, 65),
            (128, 320),
            (331, 129),
            (3, 500),
            (500, 3),
        ] {
            for pixel_bytes in [3, 4] {
                let pixel = |x: usize, y: usize| {
                    [x, y, x >> 8 | y >> 8 << 4, 7].map(|value| u8::try_from(value % 256).unwrap())
                };
                let rows =
                    |width: usize, height: usize, pixel: &dyn Fn(usize, usize) -> [u8; 4]| {
                        let mut pixels = Vec::new();
                        for y in 0..height {
                            for x in 0..width {
                                pixels.extend_from_slice(&pixel(x, y)[..pixel_bytes]);
                            }
                        }
                        pixels
                    };
                let transposed = in_place(rows(width, height, &pixel), width, height, pixel_bytes);
                let expected = rows(height, width, &|x, y| pixel(y, x));
                assert!(transposed == expected, "{width} x {height}, {pixel_bytes} bytes");
            }
        }
    }
}
