//! A key, its public id, and what can be wrong with either or with a key's name.

use std::fmt;
use std::str::FromStr;

use argon2::Argon2;
use argon2::password_hash::PasswordHasher as _;
use rand::TryRng as _;
use serde::{Deserialize, Serialize};

use crate::image::{decode_hex, write_digits};

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
pub struct ApiKey(pub(super) [u8; 32]);

impl ApiKey {
    /// Makes a new random key.
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

    /// Returns the 64 digits, secret included, for the one time that a key is shown to its owner.
    #[must_use]
    pub fn reveal(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Hashes the key for storage, as a PHC string. This takes tens of milliseconds.
    ///
    /// The hash is argon2id, version 19, with 19 MiB, 2 passes and 1 lane, which is the second
    /// choice of RFC 9106 and of OWASP.
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

/// What went wrong with a key. It never says more of the key than its public id.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("an API key is 64 hexadecimal digits; `imagepool key rotate` makes one")]
    BadKey,
    #[error("a key's id is its first 16 hexadecimal digits, as `imagepool key list` prints them")]
    BadId,
    #[error("a key's name has 1 to {MAX_NAME_BYTES} bytes and no control characters")]
    BadName,
    #[error("that is a key, not the name of one, and names are shown; give a name")]
    KeyAsName,
    #[error("there is a key named {0:?} already; `imagepool key rotate --name {0}` replaces it")]
    NameTaken(String),
    #[error(
        "there is no key named {0:?}; `imagepool key list` shows the names, \
         `imagepool key add --name {0}` makes it"
    )]
    NoSuchName(String),
    #[error("there is no key {0}; `imagepool key list` shows them")]
    NoSuchKey(KeyId),
    #[error("the operating system gave no random numbers")]
    NoRandomness,
    #[error("argon2 failed: {0}")]
    Hash(argon2::password_hash::Error),
}

/// Checks whether a key may have this name.
///
/// # Errors
/// [`KeyError::BadName`], and [`KeyError::KeyAsName`], because a name is shown where a key must not
/// be.
pub fn check_name(name: &str) -> Result<(), KeyError> {
    if name.parse::<ApiKey>().is_ok() {
        return Err(KeyError::KeyAsName);
    }
    let fits =
        !name.is_empty() && name.len() <= MAX_NAME_BYTES && !name.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(KeyError::BadName) }
}
