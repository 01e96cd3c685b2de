//! A secret that cannot be printed by accident.

use std::fmt;

use keypool_pool::KeyId;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

/// Shortest secret of which any character is shown; below it the mask is `****` alone.
const SHORTEST_SHOWN: usize = 12;

/// An API key or token. `Debug` shows the mask; memory is zeroised on drop.
#[derive(Clone)]
pub struct Secret {
    text: SecretString,
    /// Taken once, since it is compared with for every request.
    digest: Digest,
}

/// The SHA-256 of a secret or of what was presented as one. Of equal length for all, so that a
/// comparison tells nothing of theirs.
#[derive(Clone, Copy)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    /// The digest of a text.
    #[must_use]
    pub(crate) fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }
}

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        let value = value.into();
        Self {
            digest: Digest::of(&value),
            text: SecretString::from(value),
        }
    }

    /// The secret itself, for the one place that puts it on the wire.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    /// First 4 characters, `****`, last 4; `****` alone for a short secret.
    #[must_use]
    pub fn mask(&self) -> String {
        let secret = self.expose();
        let count = secret.chars().count();
        if count < SHORTEST_SHOWN {
            return "****".to_owned();
        }
        let head: String = secret.chars().take(4).collect();
        let tail: String = secret.chars().skip(count - 4).collect();
        format!("{head}****{tail}")
    }

    /// The key's stable id: the first 48 bits of its SHA-256.
    #[must_use]
    pub fn id(&self) -> KeyId {
        KeyId::from_sha256(&self.digest.0)
    }

    /// The id of what is a key of its own at each place where the secret is used.
    #[must_use]
    pub fn id_at(&self, place: &str) -> KeyId {
        let mut digest = Sha256::new();
        digest.update(self.digest.0);
        digest.update(place);
        KeyId::from_sha256(&digest.finalize().into())
    }

    /// Compares without telling by its duration where the two differ, nor how long the secret is.
    #[must_use]
    pub fn matches(&self, candidate: &str) -> bool {
        self.has_digest(&Digest::of(candidate))
    }

    /// The same, for a candidate that is compared with many secrets.
    #[must_use]
    pub(crate) fn has_digest(&self, candidate: &Digest) -> bool {
        self.digest.0.ct_eq(&candidate.0).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.mask())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_shows_four_characters_at_each_end_and_short_secrets_not_at_all() {
        // acceptance 39
        assert_eq!(Secret::new("sk-ant-api03-key1").mask(), "sk-a****key1");
        assert_eq!(Secret::new("elevenchars").mask(), "****");
        assert_eq!(
            format!("{:?}", Secret::new("sk-ant-api03-key1")),
            "sk-a****key1"
        );
    }

    #[test]
    fn only_the_whole_secret_matches() {
        let secret = Secret::new("sk-ant-api03-key1");
        assert!(secret.matches("sk-ant-api03-key1"));
        assert!(!secret.matches("sk-ant-api03-key"));
        assert!(!secret.matches(""));
    }
}
