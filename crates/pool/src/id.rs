//! The stable name of a key.
//!
//! An id comes from a hash of the secret, never from a position in a list: with positions,
//! removing one key changes which key an operator's next command hits.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

const PREFIX: &str = "key_";
const ID_BYTES: usize = 6;
const HEX_DIGITS: usize = 2 * ID_BYTES;

/// A key's id: 48 bits, written `key_` and 12 lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(u64);

impl KeyId {
    /// The id of the secret with this SHA-256: its first 6 bytes.
    #[must_use]
    pub const fn from_sha256(digest: &[u8; 32]) -> Self {
        let mut bytes = [0; 8];
        let (_, low) = bytes.split_at_mut(8 - ID_BYTES);
        let (first, _) = digest.split_at(ID_BYTES);
        low.copy_from_slice(first);
        Self(u64::from_be_bytes(bytes))
    }

    /// The id with these 48 low bits; higher bits are dropped.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits & 0xffff_ffff_ffff)
    }

    /// The 48 bits of the id.
    #[must_use]
    pub const fn as_bits(self) -> u64 {
        self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{:012x}", self.0)
    }
}

/// The text is not `key_` followed by 12 lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a key id is `key_` followed by 12 lower-case hex digits")]
pub struct ParseKeyIdError;

impl FromStr for KeyId {
    type Err = ParseKeyIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix(PREFIX).ok_or(ParseKeyIdError)?;
        let well_formed = digits.len() == HEX_DIGITS
            && digits
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !well_formed {
            return Err(ParseKeyIdError);
        }
        u64::from_str_radix(digits, 16)
            .map(Self)
            .map_err(|_| ParseKeyIdError)
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_text_and_json() {
        let mut digest = [0xff; 32];
        digest[..6].copy_from_slice(&[0x00, 0x1a, 0xb2, 0x00, 0xff, 0x09]);
        let id = KeyId::from_sha256(&digest);
        assert_eq!(id.to_string(), "key_001ab200ff09");
        assert_eq!(id.to_string().parse(), Ok(id));
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<KeyId>(&json).unwrap(), id);
    }

    #[test]
    fn anything_but_the_one_form_is_refused() {
        for text in [
            "",
            "key_",
            "key_001ab200ff0",
            "key_001AB200FF09",
            "key_+01ab200ff09",
            "001ab200ff09",
        ] {
            assert_eq!(text.parse::<KeyId>(), Err(ParseKeyIdError), "{text}");
        }
    }
}
