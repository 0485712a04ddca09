//! The secret under which a key's links are signed. It ends with the key.

use std::fmt;

use rand::TryRng as _;
use serde::{Deserialize, Serialize};

use super::key::KeyError;

/// 32 random bytes that sign links. Its `Debug` shows none of them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningSecret(pub(super) [u8; 32]);

impl SigningSecret {
    /// Makes a new random secret.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`] when the operating system has none to give.
    pub(super) fn generate() -> Result<Self, KeyError> {
        let mut bytes = [0; 32];
        rand::rngs::SysRng.try_fill_bytes(&mut bytes).map_err(|_| KeyError::NoRandomness)?;
        Ok(Self(bytes))
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(…)")
    }
}
