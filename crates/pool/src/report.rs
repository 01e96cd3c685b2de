//! What a provider's answer says about a quota.

use serde::{Deserialize, Serialize};

use crate::limits::Dimension;
use crate::time::Timestamp;

/// One limit as an answer states it. What the answer leaves out is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuotaReading {
    /// What is limited, and over what time.
    pub dimension: Dimension,
    /// The limit.
    pub limit: Option<u64>,
    /// What is left of it, this request counted.
    pub remaining: Option<u64>,
    /// When all of it is available again.
    pub resets_at: Option<Timestamp>,
    /// `remaining` is rounded to the nearest multiple of this; 1 where it is exact.
    pub grain: u64,
}

/// Who owns the quota of a key, as its answers name them: hashes of the names. Equal values prove a
/// shared quota; different ones prove nothing, since workspaces may share an organisation's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuotaOwner {
    /// What identifies the owner among the pool's keys.
    pub id: u64,
    /// The owner's name for people, such as `organisation org-a`.
    pub name: String,
}

/// What a reading taught, worth telling an operator once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lesson {
    /// The limit that was counted on is higher than the provider's.
    TooHigh { from: u64, to: u64 },
    /// The limit that was declared is lower than the provider's, and was raised.
    TooLow { from: u64, to: u64 },
    /// The limit that was declared is so much lower that it is kept.
    KeptShare { declared: u64, stated: u64 },
    /// Somebody else uses the quota.
    ForeignUse { requests: u64, limit: u64 },
}
