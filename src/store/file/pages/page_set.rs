//! Sets of page numbers, a bit for each page of the file.

/// A set of page numbers below a bound.
#[derive(Clone)]
pub(super) struct PageSet {
    words: Vec<u64>,
    bound: u64,
}

impl PageSet {
    /// An empty set for numbers below `bound`.
    pub(super) fn new(bound: u64) -> Self {
        let words = usize::try_from(bound.div_ceil(64)).unwrap_or(0);
        Self { words: vec![0; words], bound }
    }

    pub(super) fn bound(&self) -> u64 {
        self.bound
    }

    fn place(number: u64) -> (usize, u64) {
        (usize::try_from(number / 64).unwrap_or(usize::MAX), 1 << (number % 64))
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        let (word, bit) = Self::place(number);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Adds a number. Returns `false` if it was there. Numbers beyond the bound are left out.
    pub(super) fn insert(&mut self, number: u64) -> bool {
        let (word, bit) = Self::place(number);
        match self.words.get_mut(word) {
            Some(word) if number < self.bound => {
                let is_new = *word & bit == 0;
                *word |= bit;
                is_new
            }
            _ => true,
        }
    }

    pub(super) fn remove(&mut self, number: u64) {
        let (word, bit) = Self::place(number);
        if let Some(word) = self.words.get_mut(word) {
            *word &= !bit;
        }
    }

    /// The numbers below the bound that are not in the set.
    pub(super) fn absent(&self) -> impl Iterator<Item = u64> + '_ {
        (0..self.bound).filter(|number| !self.contains(*number))
    }
}
