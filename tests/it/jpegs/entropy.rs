//! Codes coefficients with Huffman codes, as ITU-T T.81 has it: annex F for sequential scans, annex
//! G for progressive ones.

/// 64 coefficients in zigzag order.
pub type Block = [i32; 64];

/// Which coefficients a scan has, and which of their bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Band {
    pub first: usize,
    pub last: usize,
    /// Bits that earlier scans left away, or 0 if there was none.
    pub high: u8,
    /// Bits that this scan leaves away.
    pub low: u8,
}

/// A Huffman table: how many codes there are of each length, and their symbols in order.
pub struct Table {
    pub counts: [u8; 16],
    pub symbols: Vec<u8>,
}

impl Table {
    /// The usual table for differences of DC coefficients (K.3.3.1, luminance).
    pub fn usual_dc() -> Self {
        Self {
            counts: [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0],
            symbols: (0..12).collect(),
        }
    }

    /// The usual table for AC coefficients (K.3.3.2, luminance).
    pub fn usual_ac() -> Self {
        let mut symbols = vec![
            0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51,
            0x61, 0x07, 0x22, 0x71, 0x14, 0x32, 0x81, 0x91, 0xA1, 0x08, 0x23, 0x42, 0xB1, 0xC1,
            0x15, 0x52, 0xD1, 0xF0, 0x24, 0x33, 0x62, 0x72, 0x82,
        ];
        let rest = (0..16_u8).flat_map(|run| (1..11).map(move |size| run << 4 | size));
        let missing: Vec<u8> = rest.filter(|symbol| !symbols.contains(symbol)).collect();
        symbols.extend(missing);
        Self { counts: [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7D], symbols }
    }

    /// A table of all symbols, which progressive scans need.
    pub fn of_all() -> Self {
        let mut counts = [0; 16];
        (counts[7], counts[8]) = (128, 128);
        Self { counts, symbols: (0..=255).collect() }
    }

    /// The code of a symbol, and its length in bits.
    fn code(&self, symbol: u8) -> (u32, u32) {
        let place = self.symbols.iter().position(|other| *other == symbol).expect("a code");
        let (mut code, mut passed) = (0, 0);
        for (length, count) in (1..).zip(self.counts.map(usize::from)) {
            if place < passed + count {
                return (code + u32::try_from(place - passed).unwrap(), length);
            }
            code = (code + u32::try_from(count).unwrap()) << 1;
            passed += count;
        }
        unreachable!("a table has as many codes as symbols");
    }
}

/// Writes the data between two restart markers.
pub struct Coder<'t> {
    dc: &'t Table,
    ac: &'t Table,
    bytes: Vec<u8>,
    pending: u32,
    pending_bits: u32,
    /// The last DC coefficient of each component.
    last_dc: [i32; 4],
    /// Blocks that end here, not written yet, and the corrections that go with them.
    ended_blocks: u32,
    ended_corrections: Vec<u32>,
}

impl<'t> Coder<'t> {
    pub fn new(dc: &'t Table, ac: &'t Table) -> Self {
        Self {
            dc,
            ac,
            bytes: Vec::new(),
            pending: 0,
            pending_bits: 0,
            last_dc: [0; 4],
            ended_blocks: 0,
            ended_corrections: Vec::new(),
        }
    }

    /// Ends the data, and fills the last byte with ones.
    pub fn finish(mut self) -> Vec<u8> {
        self.put_ended_blocks();
        self.put(0x7F, 7);
        self.bytes
    }

    /// Codes a block of a component.
    pub fn put_block(&mut self, component: usize, block: &Block, band: Band, progressive: bool) {
        if !progressive {
            self.put_dc(component, block[0]);
            self.put_ac(block, Band { first: 1, ..band }, false);
        } else if band.first == 0 {
            if band.high == 0 {
                self.put_dc(component, block[0] >> band.low);
            } else {
                self.put((block[0] >> band.low & 1).unsigned_abs(), 1);
            }
        } else if band.high == 0 {
            self.put_ac(block, band, true);
        } else {
            self.refine_ac(block, band);
        }
    }

    fn put(&mut self, bits: u32, count: u32) {
        for place in (0..count).rev() {
            self.pending = self.pending << 1 | bits >> place & 1;
            self.pending_bits += 1;
            if self.pending_bits == 8 {
                let byte = self.pending.to_le_bytes()[0];
                self.bytes.push(byte);
                if byte == 0xFF {
                    self.bytes.push(0);
                }
                (self.pending, self.pending_bits) = (0, 0);
            }
        }
    }

    fn put_ac_symbol(&mut self, symbol: u8) {
        let (code, length) = self.ac.code(symbol);
        self.put(code, length);
    }

    /// Writes the bits of a number whose symbol told how many there are.
    fn put_number(&mut self, value: i32, size: u32) {
        let bits = if value < 0 { value - 1 } else { value };
        self.put(bits.cast_unsigned(), size);
    }

    fn put_dc(&mut self, component: usize, value: i32) {
        let difference = value - std::mem::replace(&mut self.last_dc[component], value);
        let size = 32 - difference.unsigned_abs().leading_zeros();
        let (code, length) = self.dc.code(size as u8);
        self.put(code, length);
        self.put_number(difference, size);
    }

    fn put_ac(&mut self, block: &Block, band: Band, counts_ended: bool) {
        let mut run = 0;
        for value in &block[band.first..=band.last] {
            let magnitude = value.abs() >> band.low;
            if magnitude == 0 {
                run += 1;
                continue;
            }
            self.put_ended_blocks();
            while run > 15 {
                self.put_ac_symbol(0xF0);
                run -= 16;
            }
            let size = 32 - magnitude.unsigned_abs().leading_zeros();
            self.put_ac_symbol(run << 4 | size as u8);
            self.put_number(magnitude * value.signum(), size);
            run = 0;
        }
        match (run, counts_ended) {
            (0, _) => {}
            (_, true) => self.ended_blocks += 1,
            (_, false) => self.put_ac_symbol(0),
        }
    }

    /// Adds one bit to each coefficient (G.1.2.3).
    fn refine_ac(&mut self, block: &Block, band: Band) {
        let magnitudes = block.map(|value| value.unsigned_abs() >> band.low);
        let last_new = (band.first..=band.last).rfind(|place| magnitudes[*place] == 1);
        let (mut run, mut corrections) = (0, Vec::new());
        for place in band.first..=band.last {
            if magnitudes[place] == 0 {
                run += 1;
                continue;
            }
            while run > 15 && last_new.is_some_and(|last| place <= last) {
                self.put_ended_blocks();
                self.put_ac_symbol(0xF0);
                run -= 16;
                self.put_bits(&std::mem::take(&mut corrections));
            }
            if magnitudes[place] > 1 {
                corrections.push(magnitudes[place] & 1);
                continue;
            }
            self.put_ended_blocks();
            self.put_ac_symbol(run << 4 | 1);
            self.put(u32::from(block[place] > 0), 1);
            self.put_bits(&std::mem::take(&mut corrections));
            run = 0;
        }
        if run > 0 || !corrections.is_empty() {
            self.ended_blocks += 1;
            self.ended_corrections.extend(corrections);
        }
    }

    fn put_bits(&mut self, bits: &[u32]) {
        bits.iter().for_each(|bit| self.put(*bit, 1));
    }

    fn put_ended_blocks(&mut self) {
        if self.ended_blocks == 0 {
            return;
        }
        let size = self.ended_blocks.ilog2();
        self.put_ac_symbol((size as u8) << 4);
        self.put(self.ended_blocks, size);
        self.ended_blocks = 0;
        let corrections = std::mem::take(&mut self.ended_corrections);
        self.put_bits(&corrections);
    }
}
