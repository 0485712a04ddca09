//! What a gallery stores of a key, and the check by argon2 that a key is the one stored.

use argon2::password_hash::PasswordVerifier as _;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params};
use serde::{Deserialize, Serialize};

use super::key::{ApiKey, KeyError, KeyId};
use super::secret::SigningSecret;

/// What a gallery stores of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    pub id: KeyId,
    /// The argon2id hash of the key, in PHC string format.
    pub phc: String,
    pub name: String,
    /// Time of creation, in seconds since 1970, UTC.
    pub created: u64,
    /// Time from which the key is refused, in seconds since 1970, UTC.
    pub expires: Option<u64>,
    /// Signs links; see `link.rs`. It ends with the key.
    pub signing_secret: SigningSecret,
    /// The tags of which an image must have one to be shown with this key; empty for all images.
    pub only_tags: Vec<String>,
}

impl KeyRecord {
    /// Makes the record of `key`.
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
            only_tags: Vec::new(),
        })
    }

    /// Whether the key may still be used at `now`, in seconds since 1970.
    #[must_use]
    pub fn live(&self, now: u64) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    /// Whether this is the record of `key`. The check takes tens of milliseconds and 19 MiB.
    ///
    /// A hash whose own cost parameters exceed ours is refused unread: a record that came from
    /// elsewhere must not decide how much memory and time the server spends.
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
