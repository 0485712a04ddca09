//! API keys: how they look, how they are kept, who may read with them.
//!
//! A key is 64 hexadecimal digits, 32 bytes from the operating system. The first 16 digits are its public id and
//! may stand in logs; the rest is secret. Only an argon2id hash of the whole key is ever kept. No I/O and no
//! transport here: `store` keeps the records, `http` and `cli` present the keys.

mod link;

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Argon2, Params};
use rand::TryRng as _;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use crate::image::{decode_hex, write_digits};
pub use link::{BadLink, Link, SigningSecret};

/// The key that `serve` creates and `key rotate` replaces when no name is given.
pub const DEFAULT_KEY_NAME: &str = "default";

/// Longest name of a key, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// The public part of a key: its first 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyId(pub [u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_digits(f, &self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl FromStr for KeyId {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        decode_hex(text).map(Self).ok_or(KeyError::BadId)
    }
}

/// A whole key, secret included. It has no `Display`, and its `Debug` shows the public id only.
#[derive(Clone)]
pub struct ApiKey([u8; 32]);

impl ApiKey {
    /// A new random key.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`] when the operating system has none to give.
    pub fn generate() -> Result<Self, KeyError> {
        let mut bytes = [0; 32];
        rand::rngs::SysRng.try_fill_bytes(&mut bytes).map_err(|_| KeyError::NoRandomness)?;
        Ok(Self(bytes))
    }

    #[must_use]
    pub fn id(&self) -> KeyId {
        let mut id = [0; 8];
        id.copy_from_slice(&self.0[..8]);
        KeyId(id)
    }

    /// The 64 digits, secret included: for the one time a key is shown to its owner.
    #[must_use]
    pub fn reveal(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Hashes the key for keeping: argon2id, version 19, 19 MiB, 2 passes, 1 lane (RFC 9106's and OWASP's
    /// second choice), as a PHC string. Takes tens of milliseconds.
    ///
    /// # Errors
    /// [`KeyError::Hash`] when the memory can't be had.
    pub fn hash(&self) -> Result<String, KeyError> {
        let hash =
            Argon2::default().hash_password(self.reveal().as_bytes()).map_err(KeyError::Hash)?;
        Ok(hash.to_string())
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({}…)", self.id())
    }
}

impl FromStr for ApiKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        decode_hex(text).map(Self).ok_or(KeyError::BadKey)
    }
}

/// What a gallery keeps of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    pub id: KeyId,
    /// argon2id, PHC string format.
    pub phc: String,
    pub name: String,
    /// Seconds since 1970, UTC.
    pub created: u64,
    /// Seconds since 1970, UTC; from then on the key is refused.
    pub expires: Option<u64>,
    /// Under which [`Link`]s are signed; it ends with the key.
    pub signing_secret: SigningSecret,
}

impl KeyRecord {
    /// The record that keeps `key`.
    ///
    /// # Errors
    /// [`KeyError::Hash`] as [`ApiKey::hash`], [`KeyError::NoRandomness`] as [`ApiKey::generate`].
    pub fn new(
        key: &ApiKey,
        name: &str,
        created: u64,
        expires: Option<u64>,
    ) -> Result<Self, KeyError> {
        let signing_secret = SigningSecret::generate()?;
        Ok(Self {
            id: key.id(),
            phc: key.hash()?,
            name: name.to_owned(),
            created,
            expires,
            signing_secret,
        })
    }

    #[must_use]
    pub fn live(&self, now: u64) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    /// Whether `key` is the key that this record keeps. Takes tens of milliseconds and 19 MiB.
    ///
    /// A hash whose own cost parameters exceed ours is refused unread: a record that came from elsewhere must not
    /// decide how much memory and time the server spends.
    #[must_use]
    pub fn verify(&self, key: &ApiKey) -> bool {
        let Ok(hash) = PasswordHash::new(&self.phc) else { return false };
        let Ok(params) = Params::try_from(&hash) else { return false };
        let affordable = params.m_cost() <= Params::DEFAULT_M_COST
            && params.t_cost() <= Params::DEFAULT_T_COST
            && params.p_cost() <= Params::DEFAULT_P_COST;
        affordable && Argon2::default().verify_password(key.reveal().as_bytes(), &hash).is_ok()
    }
}

/// What went wrong with a key; never says more of the key than its public id.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("an API key is 64 hexadecimal digits; `imagepool key rotate` makes one")]
    BadKey,
    #[error("a key's id is its first 16 hexadecimal digits, as `imagepool key list` prints them")]
    BadId,
    #[error("a key's name has 1 to {MAX_NAME_BYTES} bytes and no control characters")]
    BadName,
    #[error("there is a key named {0:?} already; `imagepool key rotate --name {0}` replaces it")]
    NameTaken(String),
    #[error(
        "there is no key named {0:?}; `imagepool key list` shows the names, `imagepool key add --name {0}` makes it"
    )]
    NoSuchName(String),
    #[error("there is no key {0}; `imagepool key list` shows them")]
    NoSuchKey(KeyId),
    #[error("the operating system gave no random numbers")]
    NoRandomness,
    #[error("argon2 failed: {0}")]
    Hash(argon2::password_hash::Error),
}

/// Checks a name for a key.
///
/// # Errors
/// [`KeyError::BadName`].
pub fn check_name(name: &str) -> Result<(), KeyError> {
    let fits =
        !name.is_empty() && name.len() <= MAX_NAME_BYTES && !name.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(KeyError::BadName) }
}

/// Adds `new` under a name that no live key has.
///
/// # Errors
/// [`KeyError::NameTaken`].
pub fn add(keys: &mut Vec<KeyRecord>, new: KeyRecord) -> Result<(), KeyError> {
    if keys.iter().any(|key| key.name == new.name && key.live(new.created)) {
        return Err(KeyError::NameTaken(new.name));
    }
    keys.push(new);
    Ok(())
}

/// Puts `new` in the place of all keys of its name, at once or `grace_seconds` after its creation.
///
/// # Errors
/// [`KeyError::NoSuchName`] when no live key has the name, unless it is the default's.
pub fn rotate(
    keys: &mut Vec<KeyRecord>,
    new: KeyRecord,
    grace_seconds: Option<u64>,
) -> Result<(), KeyError> {
    let named = |key: &KeyRecord| key.name == new.name && key.live(new.created);
    if new.name != DEFAULT_KEY_NAME && !keys.iter().any(named) {
        return Err(KeyError::NoSuchName(new.name));
    }
    match grace_seconds {
        None => keys.retain(|key| key.name != new.name),
        Some(grace) => {
            let end = new.created.saturating_add(grace);
            for key in keys.iter_mut().filter(|key| key.name == new.name) {
                key.expires = Some(key.expires.map_or(end, |expires| expires.min(end)));
            }
        }
    }
    keys.push(new);
    Ok(())
}

/// Ends the key with this id.
///
/// # Errors
/// [`KeyError::NoSuchKey`].
pub fn revoke(keys: &mut Vec<KeyRecord>, id: KeyId) -> Result<(), KeyError> {
    let before = keys.len();
    keys.retain(|key| key.id != id);
    if keys.len() < before { Ok(()) } else { Err(KeyError::NoSuchKey(id)) }
}

/// A key record in memory, with what was already proven of it.
///
/// The first right key pays for argon2; what it proved is remembered as a keyed BLAKE3 of the key, under a random
/// key of this process. From then on any other secret is refused by that comparison alone, in constant time.
pub struct KnownKey {
    pub record: KeyRecord,
    proof: OnceLock<[u8; 32]>,
}

/// What memory says of a presented key.
#[derive(Debug, PartialEq, Eq)]
pub enum Recall {
    Right,
    Wrong,
    /// The key was not used since it was loaded: [`KeyRecord::verify`] must decide.
    Unproven,
}

impl KnownKey {
    #[must_use]
    pub fn new(record: KeyRecord) -> Self {
        Self { record, proof: OnceLock::new() }
    }

    /// Takes over what was proven of the same record.
    #[must_use]
    pub fn carry_over(self, earlier: &Self) -> Self {
        if self.record.phc == earlier.record.phc {
            Self { record: self.record, proof: earlier.proof.clone() }
        } else {
            self
        }
    }

    /// Compares with what was proven; well under a microsecond.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, created: u64, expires: Option<u64>) -> (ApiKey, KeyRecord) {
        let key = ApiKey::generate().unwrap();
        let record = KeyRecord::new(&key, name, created, expires).unwrap();
        (key, record)
    }

    #[test]
    fn only_the_right_key_verifies() {
        let (key, record) = record("default", 0, None);
        assert!(record.verify(&key));
        let mut close = key.clone();
        close.0[31] ^= 1;
        assert_eq!(close.id(), key.id());
        assert!(!record.verify(&close));
        assert!(record.phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", record.phc);
    }

    #[test]
    fn a_hash_that_asks_for_more_work_than_ours_is_refused() {
        let (key, mut record) = record("default", 0, None);
        for costly in ["m=4194304,t=2,p=1", "m=19456,t=3,p=1", "m=19456,t=2,p=2"] {
            let phc = record.phc.replace("m=19456,t=2,p=1", costly);
            record.phc = phc;
            assert!(!record.verify(&key));
        }
    }

    #[test]
    fn what_was_proven_is_recalled_and_dropped_with_the_record() {
        let memory_key = [7; 32];
        let (key, record) = record("default", 0, None);
        let (other, _) = self::record("default", 0, None);
        let known = KnownKey::new(record.clone());
        assert_eq!(known.recall(&memory_key, &key), Recall::Unproven);
        known.remember(&memory_key, &key);
        assert_eq!(known.recall(&memory_key, &key), Recall::Right);
        assert_eq!(known.recall(&memory_key, &other), Recall::Wrong);

        let same =
            KnownKey::new(KeyRecord { expires: Some(9), ..record.clone() }).carry_over(&known);
        assert_eq!(same.recall(&memory_key, &key), Recall::Right);
        let rehashed =
            KnownKey::new(KeyRecord { phc: key.hash().unwrap(), ..record }).carry_over(&known);
        assert_eq!(rehashed.recall(&memory_key, &key), Recall::Unproven);
    }

    #[test]
    fn rotation_ends_the_old_key_at_once_or_after_the_grace() {
        let mut keys = vec![record("default", 10, None).1, record("blog", 10, None).1];
        rotate(&mut keys, record("default", 20, None).1, None).unwrap();
        assert_eq!(
            keys.iter().map(|key| (key.name.as_str(), key.created)).collect::<Vec<_>>(),
            [("blog", 10), ("default", 20)]
        );

        rotate(&mut keys, record("default", 30, None).1, Some(5)).unwrap();
        assert_eq!(keys[1].expires, Some(35));
        assert!(keys[1].live(34) && !keys[1].live(35) && keys[2].live(u64::MAX));

        let refused = rotate(&mut keys, record("nobody", 30, None).1, None);
        assert!(matches!(refused, Err(KeyError::NoSuchName(_))));
        assert!(matches!(add(&mut keys, record("blog", 40, None).1), Err(KeyError::NameTaken(_))));
    }

    #[test]
    fn debug_output_never_shows_the_secret() {
        let key = ApiKey::generate().unwrap();
        assert!(!format!("{key:?}").contains(&key.reveal()[16..]));
    }
}
