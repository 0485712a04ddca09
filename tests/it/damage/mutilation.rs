//! What is done to a gallery's file.

use rand::RngExt as _;
use rand::rngs::StdRng;

use super::scene::{PAGE, Scene};

/// A way to damage a file.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Bit,
    Bytes,
    ZeroPage,
    RandomPage,
    PageHead,
    MetaBit,
    MetaPage,
    Cut,
    Swap,
    OlderPage,
    Several,
}

impl Kind {
    pub const ALL: [Self; 11] = [
        Self::Bit,
        Self::Bytes,
        Self::ZeroPage,
        Self::RandomPage,
        Self::PageHead,
        Self::MetaBit,
        Self::MetaPage,
        Self::Cut,
        Self::Swap,
        Self::OlderPage,
        Self::Several,
    ];

    /// Damages a copy of the scene's file. Returns it, and what was done.
    pub fn apply(self, scene: &Scene, rng: &mut StdRng) -> (Vec<u8>, String) {
        // A backup has no free pages, and its roots at its end.
        let is_backup = !matches!(self, Self::OlderPage) && rng.random_ratio(1, 4);
        let mut file = if is_backup { scene.backup.clone() } else { scene.file.clone() };
        let what = self.damage(&mut file, scene, rng);
        (file, if is_backup { format!("of a backup, {what}") } else { what })
    }

    fn damage(self, file: &mut Vec<u8>, scene: &Scene, rng: &mut StdRng) -> String {
        let pages = file.len() / PAGE;
        let page = rng.random_range(2..pages);
        let start = page * PAGE;
        let meta = rng.random_range(0..2_usize);
        match self {
            Self::Bit => {
                let at = rng.random_range(0..PAGE);
                file[start + at] ^= 1 << rng.random_range(0..8);
                format!("a bit of byte {at} of page {page}")
            }
            Self::Bytes => {
                let count = rng.random_range(1..64);
                let at = rng.random_range(0..PAGE - count);
                rng.fill(&mut file[start + at..start + at + count]);
                format!("{count} bytes from byte {at} of page {page} on")
            }
            Self::ZeroPage => {
                file[start..start + PAGE].fill(0);
                format!("page {page} zeroed")
            }
            Self::RandomPage => {
                rng.fill(&mut file[start..start + PAGE]);
                format!("page {page} of random bytes")
            }
            Self::PageHead => {
                let count = rng.random_range(1..200);
                file[start..start + count].fill(0xA5);
                format!("the first {count} bytes of page {page}")
            }
            Self::MetaBit => {
                let at = rng.random_range(0..168);
                file[meta * PAGE + at] ^= 1 << rng.random_range(0..8);
                format!("a bit of byte {at} of meta page {meta}")
            }
            Self::MetaPage => {
                let bytes = &mut file[meta * PAGE..(meta + 1) * PAGE];
                if rng.random() {
                    bytes.fill(0);
                } else {
                    rng.fill(bytes);
                }
                format!("meta page {meta}")
            }
            _ => self.damage_widely(file, page, scene, rng),
        }
    }

    /// Does what does not stay in one place.
    fn damage_widely(
        self,
        file: &mut Vec<u8>,
        page: usize,
        scene: &Scene,
        rng: &mut StdRng,
    ) -> String {
        let start = page * PAGE;
        match self {
            Self::Cut => {
                let length = rng.random_range(0..file.len());
                file.truncate(length);
                format!("cut to {length} bytes")
            }
            Self::Swap => {
                let other = rng.random_range(2..file.len() / PAGE);
                for at in 0..PAGE {
                    file.swap(start + at, other * PAGE + at);
                }
                format!("pages {page} and {other} swapped")
            }
            Self::OlderPage => {
                // An older meta page is a sound file of an older state.
                let older = &scene.past[rng.random_range(0..scene.past.len())];
                if let Some(older) = older.get(start..start + PAGE) {
                    file[start..start + PAGE].copy_from_slice(older);
                }
                format!("page {page} as it was")
            }
            _ => {
                let count = rng.random_range(2..6);
                let mut done = Vec::new();
                for _ in 0..count {
                    let kind = Self::ALL[rng.random_range(0..5)];
                    done.push(kind.damage(file, scene, rng));
                }
                done.join(", ")
            }
        }
    }
}
