//! Why this key, and why not those.

use serde::{Deserialize, Serialize};

use crate::id::KeyId;
use crate::limits::Dimension;
use crate::refusal::Refusal;
use crate::time::Timestamp;

/// What the pool would do with a demand now, key by key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Every key, in configuration order.
    pub keys: Vec<(KeyId, Standing)>,
    /// What the refusal would say, if no key is chosen.
    pub refusal: Option<Refusal>,
}

/// Where one key stands for a demand.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Standing {
    /// It would be granted.
    Chosen {
        /// Used share of its tightest limit, 0 to 1 (above 1 in debt).
        load: f64,
    },
    /// It has room; the strategy preferred another.
    Eligible {
        /// Used share of its tightest limit, 0 to 1 (above 1 in debt).
        load: f64,
    },
    /// It cannot take the demand.
    Barred {
        /// The first thing that stands against it.
        reason: BarReason,
        /// When nothing will stand against it any more, as far as time alone decides.
        until: Option<Timestamp>,
    },
}

/// What stands against a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BarReason {
    /// Its model list does not have the model.
    ModelNotListed,
    /// The provider denied it the model.
    ModelDenied,
    /// It lacks a wanted tag.
    TagMissing,
    /// An operator disabled it.
    Disabled,
    /// It has expired.
    Expired,
    /// The provider refuses it, or its account has no credit.
    Unavailable,
    /// It was tried for this request.
    Excluded,
    /// Another account made the state that the request carries.
    StateElsewhere,
    /// The demand exceeds this whole limit of the key or its group.
    TooLarge(Dimension),
    /// It is cooling down.
    CoolingDown,
    /// It is cooling down for this model.
    ModelCoolingDown,
    /// It returns from trouble and its one trial request is under way.
    OnTrial,
    /// It has no room left under this limit of its own or its group's.
    NoRoom(Dimension),
}
