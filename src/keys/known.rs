//! A key in the server's memory, with what was already proven of it.
//!
//! The first right key pays for argon2. What it proved is remembered as a keyed BLAKE3 of the key,
//! under a random key of this process. From then on any other secret is refused by that comparison
//! alone, in constant time.

use std::sync::OnceLock;

use subtle::ConstantTimeEq as _;

use super::key::ApiKey;
use super::record::KeyRecord;

/// A key record and the proof of the key's first use.
pub struct KnownKey {
    pub record: KeyRecord,
    proof: OnceLock<[u8; 32]>,
}

/// What memory says of a presented key.
#[derive(Debug, PartialEq, Eq)]
pub enum Recall {
    Right,
    Wrong,
    /// The key was not used since its record was loaded: [`KeyRecord::verify`] must decide.
    Unproven,
}

impl KnownKey {
    #[must_use]
    pub fn new(record: KeyRecord) -> Self {
        Self { record, proof: OnceLock::new() }
    }

    /// Takes over what was proven of `earlier`, if it has the same hash.
    #[must_use]
    pub fn carry_over(self, earlier: &Self) -> Self {
        if self.record.phc == earlier.record.phc {
            Self { record: self.record, proof: earlier.proof.clone() }
        } else {
            self
        }
    }

    /// Compares `key` with what was proven, in well under a microsecond.
    #[must_use]
    pub fn recall(&self, memory_key: &[u8; 32], key: &ApiKey) -> Recall {
        let Some(proof) = self.proof.get() else { return Recall::Unproven };
        let presented = blake3::keyed_hash(memory_key, &key.0);
        if bool::from(presented.as_bytes().ct_eq(proof)) { Recall::Right } else { Recall::Wrong }
    }

    /// Remembers that [`KeyRecord::verify`] accepted `key`.
    pub fn remember(&self, memory_key: &[u8; 32], key: &ApiKey) {
        // Two first uses at once prove the same key, so losing this race changes nothing.
        let _ = self.proof.set(*blake3::keyed_hash(memory_key, &key.0).as_bytes());
    }
}
