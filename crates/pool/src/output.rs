//! What the pool wants done or known, as data for its caller.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::breaker::BreakerState;
use crate::id::KeyId;
use crate::outcome::ErrorNote;
use crate::snapshot::KeyState;

/// Something to do or to tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Output {
    /// A key's state is another; worth one log line.
    StateChanged(StateChange),
    /// Make the provider's cheapest free call with this key and report by
    /// [`Pool::handle_probe`](crate::Pool::handle_probe).
    Probe(KeyId),
    /// Something an operator should know.
    Alert(Alert),
    /// A circuit breaker opened, lets a request try, or closed.
    BreakerChanged(BreakerChange),
}

/// A circuit breaker's state before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BreakerChange {
    /// The model it is about; `None` for the provider as a whole.
    pub model: Option<String>,
    /// What it was.
    pub from: BreakerState,
    /// What it is.
    pub to: BreakerState,
    /// Why, for people.
    pub reason: String,
}

/// A key's state before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StateChange {
    /// The key.
    pub key: KeyId,
    /// What it was.
    pub from: KeyState,
    /// What it is.
    pub to: KeyState,
    /// Why, for people.
    pub reason: String,
}

/// Something an operator should know about a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// The key.
    pub key: KeyId,
    /// What it is about.
    pub kind: AlertKind,
    /// What happened, for people.
    pub message: String,
}

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlertKind {
    /// The provider refuses the key.
    KeyInvalid,
    /// The key's account has no credit.
    OutOfCredit,
    /// The key's configured end has come.
    KeyExpired,
    /// The key's health score fell below 80.
    HealthLow,
    /// A declared limit is not what the provider's answers state.
    LimitCorrected,
    /// Somebody else uses the key's quota.
    ForeignUse,
    /// Keys that were counted as independent share one quota.
    SharedQuota,
    /// The provider refuses most keys at once.
    MostKeysRefused,
    /// The provider serves nobody from where the gateway is.
    NotServed,
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeResult {
    /// The provider accepts the key.
    Passed,
    /// The provider refuses the key.
    Failed(ErrorNote),
    /// The probe itself failed and says nothing about the key.
    Inconclusive,
}

/// Why something will change by itself at the instant of
/// [`Pool::poll_timeout`](crate::Pool::poll_timeout).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "key")]
pub enum WakeReason {
    /// A cool-down ends.
    CooldownEnds(KeyId),
    /// Credit returns.
    CreditReturns(KeyId),
    /// A degraded key will have been without error for long enough.
    DegradedRecovers(KeyId),
    /// An unavailable key is to be probed.
    ProbeDue(KeyId),
    /// A key's configured end comes.
    KeyExpires(KeyId),
    /// A trial request has been under way long enough to count as accepted.
    TrialLapses(KeyId),
    /// Outputs wait to be polled.
    OutputsWaiting,
    /// A waiting request may go, or has waited for long enough.
    QueueMoves,
}

impl fmt::Display for WakeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CooldownEnds(key) => write!(f, "{key} cooldown ends"),
            Self::CreditReturns(key) => write!(f, "{key} credit returns"),
            Self::DegradedRecovers(key) => write!(f, "{key} five minutes without an error"),
            Self::ProbeDue(key) => write!(f, "{key} probe due"),
            Self::KeyExpires(key) => write!(f, "{key} expires"),
            Self::TrialLapses(key) => write!(f, "{key} trial request was accepted"),
            Self::QueueMoves => f.write_str("a waiting request may go"),
            Self::OutputsWaiting => f.write_str("outputs wait to be polled"),
        }
    }
}
