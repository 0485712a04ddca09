//! API keys: what they look like, how they are stored, and who may read with them.
//!
//! A key is 64 hexadecimal digits, 32 bytes from the operating system. The first 16 digits are its
//! public id and may appear in logs; the rest is secret. Only an argon2id hash of the whole key is
//! ever stored. There is no I/O and no transport here: `store` keeps the records, `http` and `cli`
//! present the keys.
//!
//! In reading order:
//!
//! - `key`: a key, its id, and what can be wrong with either.
//! - `secret`: the secret under which links are signed.
//! - `record`: what a gallery stores of a key, and the check by argon2.
//! - `known`: a key in the server's memory, checked by one hash after its first use.
//! - `changes`: adding, rotating and revoking.
//! - `link`: signed links.
//! - `redact`: texts that may quote a key, without its secret part.

mod changes;
mod key;
mod known;
mod link;
mod record;
mod redact;
mod secret;
#[cfg(test)]
mod tests;

pub use changes::{DEFAULT_KEY_NAME, add, revoke, rotate};
pub use key::{ApiKey, KeyError, KeyId, check_name};
pub use known::{KnownKey, Recall};
pub use link::{BadLink, SignedLink};
pub use record::KeyRecord;
pub use redact::{SUSPECT_DIGITS, redact};
pub use secret::SigningSecret;
