//! Writes JPEGs of every kind, byte by byte, in parts that can then be damaged.

use std::f64::consts::PI;

use super::entropy::{Band, Block, Coder, Table};
use super::scene::{self, HEIGHT, Model, WIDTH};

/// What all coefficients are divided by.
const QUANTUM: u8 = 2;
/// Most blocks in the interleaved unit of a scan (T.81, B.2.3).
const MAX_BLOCKS: usize = 10;

/// A scan: its components and what it has of their coefficients.
#[derive(Clone, Debug)]
pub struct Scan {
    pub components: Vec<usize>,
    pub band: Band,
}

/// How a JPEG is written.
#[derive(Clone, Debug)]
pub struct Layout {
    pub model: Model,
    /// Samples of each component across and down, for the same area.
    pub sampling: Vec<(usize, usize)>,
    pub ids: Vec<u8>,
    /// The marker of the frame, without 0xFF: 0xC0 for baseline, 0xC2 for progressive.
    pub frame: u8,
    pub scans: Vec<Scan>,
    /// Units between restart markers, or 0.
    pub restart: usize,
    pub jfif: bool,
    /// The transform that Adobe's segment tells.
    pub adobe: Option<u8>,
}

/// A part of a JPEG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A marker with its segment, by its code.
    Segment(u8, Vec<u8>),
    /// Data of a scan up to the next marker.
    Data(Vec<u8>),
    /// A restart marker.
    Restart(u8),
    /// Bytes that belong nowhere.
    Bytes(Vec<u8>),
}

/// Puts the parts together.
pub fn join(parts: &[Part]) -> Vec<u8> {
    let bytes = parts.iter().map(|part| match part {
        Part::Segment(marker @ (0xD8 | 0xD9), _) => vec![0xFF, *marker],
        Part::Segment(marker, content) => {
            let length = u16::try_from(content.len() + 2).unwrap().to_be_bytes();
            [&[0xFF, *marker], &length[..], content].concat()
        }
        Part::Data(bytes) | Part::Bytes(bytes) => bytes.clone(),
        Part::Restart(number) => vec![0xFF, 0xD0 + number % 8],
    });
    bytes.collect::<Vec<_>>().concat()
}

/// The scans of a sequential JPEG with these components in each.
pub fn sequential(components: &[&[usize]]) -> Vec<Scan> {
    let band = Band { first: 0, last: 63, high: 0, low: 0 };
    components.iter().map(|of| Scan { components: of.to_vec(), band }).collect()
}

impl Layout {
    /// A baseline JPEG in one scan.
    pub fn new(model: Model) -> Self {
        let components: Vec<usize> = (0..model.components()).collect();
        Self {
            model,
            sampling: vec![(1, 1); components.len()],
            ids: (1..).take(components.len()).collect(),
            frame: 0xC0,
            scans: sequential(&[&components]),
            restart: 0,
            jfif: matches!(model, Model::Grey | Model::YCbCr),
            adobe: None,
        }
    }

    /// Whether every scan fits what the standard allows.
    pub fn is_allowed(&self) -> bool {
        self.scans.iter().all(|scan| {
            let blocks =
                |component: &usize| self.sampling[*component].0 * self.sampling[*component].1;
            scan.components.len() == 1
                || scan.components.iter().map(blocks).sum::<usize>() <= MAX_BLOCKS
        })
    }

    /// Largest sampling of all components, across and down.
    pub fn largest(&self) -> (usize, usize) {
        let across = self.sampling.iter().map(|sampling| sampling.0).max().unwrap();
        (across, self.sampling.iter().map(|sampling| sampling.1).max().unwrap())
    }

    pub fn write(&self) -> Vec<Part> {
        let mut parts = vec![Part::Segment(0xD8, Vec::new())];
        if self.jfif {
            parts.push(Part::Segment(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0".to_vec()));
        }
        if let Some(transform) = self.adobe {
            parts.push(Part::Segment(0xEE, [b"Adobe\0\x64\0\0\0\0", &[transform][..]].concat()));
        }
        parts.push(Part::Segment(0xDB, [&[0][..], &[QUANTUM; 64]].concat()));
        let mut frame = vec![8, 0, HEIGHT as u8, 0, WIDTH as u8, self.ids.len() as u8];
        for (id, (across, down)) in self.ids.iter().zip(&self.sampling) {
            frame.extend([*id, (across << 4 | down) as u8, 0]);
        }
        parts.push(Part::Segment(self.frame, frame));
        if self.restart > 0 {
            let interval = u16::try_from(self.restart).unwrap().to_be_bytes();
            parts.push(Part::Segment(0xDD, interval.to_vec()));
        }
        let dc = Table::usual_dc();
        let ac = if self.is_progressive() { Table::of_all() } else { Table::usual_ac() };
        for (class, table) in [(0x00, &dc), (0x10, &ac)] {
            let content = [&[class][..], &table.counts, &table.symbols].concat();
            parts.push(Part::Segment(0xC4, content));
        }
        let blocks: Vec<_> = (0..self.ids.len()).map(|at| Blocks::of(self, at)).collect();
        for scan in &self.scans {
            self.write_scan(scan, &blocks, (&dc, &ac), &mut parts);
        }
        parts.push(Part::Segment(0xD9, Vec::new()));
        parts
    }

    fn is_progressive(&self) -> bool {
        self.frame == 0xC2
    }

    fn write_scan(
        &self,
        scan: &Scan,
        blocks: &[Blocks],
        (dc, ac): (&Table, &Table),
        parts: &mut Vec<Part>,
    ) {
        let Band { first, last, high, low } = scan.band;
        let mut header = vec![scan.components.len() as u8];
        scan.components.iter().for_each(|at| header.extend([self.ids[*at], 0]));
        header.extend([first as u8, last as u8, high << 4 | low]);
        parts.push(Part::Segment(0xDA, header));
        let units = self.units(scan, blocks);
        let interval = if self.restart == 0 { units.len() } else { self.restart };
        for (number, units) in units.chunks(interval).enumerate() {
            if number > 0 {
                parts.push(Part::Restart((number - 1) as u8));
            }
            let mut coder = Coder::new(dc, ac);
            for (component, block) in units.iter().flatten() {
                coder.put_block(*component, block, scan.band, self.is_progressive());
            }
            parts.push(Part::Data(coder.finish()));
        }
    }

    /// The units of a scan: one block of its only component, or blocks of all for the same area.
    fn units<'b>(&self, scan: &Scan, blocks: &'b [Blocks]) -> Vec<Vec<(usize, &'b Block)>> {
        if let [only] = scan.components[..] {
            let (across, down) = blocks[only].own;
            let places = (0..down).flat_map(|y| (0..across).map(move |x| (x, y)));
            return places.map(|(x, y)| vec![(only, blocks[only].at(x, y))]).collect();
        }
        let largest = self.largest();
        let (across, down) = (WIDTH.div_ceil(8 * largest.0), HEIGHT.div_ceil(8 * largest.1));
        let places = (0..down).flat_map(|y| (0..across).map(move |x| (x, y)));
        let unit = |(x, y): (usize, usize)| {
            let of = |component: &usize| {
                let (component, (h, v)) = (*component, self.sampling[*component]);
                let inner = (0..v).flat_map(move |down| (0..h).map(move |across| (across, down)));
                inner.map(move |(i, j)| (component, blocks[component].at(x * h + i, y * v + j)))
            };
            scan.components.iter().flat_map(of).collect()
        };
        places.map(unit).collect()
    }
}

/// The coefficients of a component.
struct Blocks {
    /// Blocks across and down that the component needs, when it is alone in a scan.
    own: (usize, usize),
    /// Blocks across, with those that fill up an interleaved unit.
    across: usize,
    blocks: Vec<Block>,
}

impl Blocks {
    fn of(layout: &Layout, component: usize) -> Self {
        let (h, v) = layout.sampling[component];
        let largest = layout.largest();
        let size = ((WIDTH * h).div_ceil(largest.0), (HEIGHT * v).div_ceil(largest.1));
        let own = (size.0.div_ceil(8), size.1.div_ceil(8));
        let (across, down) = (own.0.next_multiple_of(h), own.1.next_multiple_of(v));
        // A sample stands in the middle of its area.
        let place = |at: usize, size: usize, most: usize, of: usize| {
            (at.min(size - 1) as f64 + 0.5) * most as f64 / of as f64 - 0.5
        };
        let sample = |x: usize, y: usize| {
            let x = place(x, size.0, largest.0, h);
            scene::stored(layout.model, component, x, place(y, size.1, largest.1, v))
        };
        let places = (0..down).flat_map(|y| (0..across).map(move |x| (x, y)));
        let block = |(x, y): (usize, usize)| transform(|i, j| sample(x * 8 + i, y * 8 + j));
        Self { own, across, blocks: places.map(block).collect() }
    }

    fn at(&self, x: usize, y: usize) -> &Block {
        &self.blocks[y * self.across + x]
    }
}

/// Transforms and quantises a block (T.81, A.3.3).
fn transform(sample: impl Fn(usize, usize) -> f64) -> Block {
    let wave = |at: usize, frequency: usize| {
        let scale = if frequency == 0 { 0.125f64.sqrt() } else { 0.5 };
        scale * ((2 * at + 1) as f64 * frequency as f64 * PI / 16.0).cos()
    };
    let waves: [[f64; 8]; 8] =
        std::array::from_fn(|at| std::array::from_fn(|frequency| wave(at, frequency)));
    let mut rows = [[0.0; 8]; 8];
    for (y, row) in rows.iter_mut().enumerate() {
        for (x, waves) in waves.iter().enumerate() {
            let value = sample(x, y) - 128.0;
            row.iter_mut().zip(waves).for_each(|(sum, wave)| *sum += value * wave);
        }
    }
    let coefficient =
        |u: usize, v: usize| -> f64 { (0..8).map(|y| rows[y][u] * waves[y][v]).sum() };
    let mut places: Vec<(usize, usize)> = (0..64).map(|place| (place % 8, place / 8)).collect();
    // Zigzag order: by diagonals, which are walked in turn downwards and upwards.
    places.sort_by_key(|(u, v)| (u + v, if (u + v) % 2 == 0 { *u } else { *v }));
    let quantised =
        |(u, v): (usize, usize)| (coefficient(u, v) / f64::from(QUANTUM)).round() as i32;
    std::array::from_fn(|place| quantised(places[place]))
}
