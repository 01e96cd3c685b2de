//! The answer to a request: a lease, or an honest refusal.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::lease::Lease;
use crate::queue::WaiterId;
use crate::time::Timestamp;

/// The pool's answer to a demand.
#[derive(Debug)]
#[must_use = "a granted lease that is dropped is charged in full"]
pub enum Admission {
    /// Send the request with this lease's key, then hand the lease back with its outcome.
    Granted(Lease),
    /// It waits for room; [`Pool::poll_turn`](crate::Pool::poll_turn) tells when its turn has come.
    Queued(WaiterId),
    /// No key can take it now.
    Refused(Refusal),
}

/// The end of a wait.
#[derive(Debug)]
#[must_use = "a granted lease that is dropped is charged in full"]
pub enum Turn {
    /// Send the request with this lease's key.
    Granted(Lease),
    /// It has waited for as long as it may, or an operator cleared the queue.
    Refused(Refusal),
}

/// Why nothing was granted, and when it could be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// The reason that held for the last keys standing; see [`RefusalReason`].
    pub reason: RefusalReason,
    /// The earliest instant at which this demand could be granted; `None` when no waiting helps.
    ///
    /// It is exact for meters and cool-downs, provided that nothing is given back before. Where
    /// only the end of a request in flight can make room it is
    /// [`CONCURRENCY_RETRY`](crate::bounds::CONCURRENCY_RETRY) from now, for unavailable keys the
    /// next probe, for [`RefusalReason::AllTried`] the instant at which a tried key has room
    /// for a fresh attempt, and for [`RefusalReason::BreakerOpen`] the instant at which a request may try
    /// (`None` when an operator decides that).
    ///
    /// In pools of more than [`REFUSAL_MEMORY_ABOVE`](crate::bounds::REFUSAL_MEMORY_ABOVE) keys it
    /// may be early, but never late.
    pub retry_at: Option<Timestamp>,
}

/// Why nothing was granted.
///
/// The keys are sifted in the order of the variants, and the reason is that of the sieve that
/// held back the last of them: with one key of the wrong model and one that is revoked, the
/// reason is [`AllUnavailable`](Self::AllUnavailable), since that key was the best hope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalReason {
    /// The pool has no keys.
    NoKeys,
    /// No key may serve the model: by its own list, or since the provider denied it.
    NoKeyForModel,
    /// No such key carries all wanted tags.
    NoKeyForTags,
    /// All such keys are disabled, expired or unavailable.
    AllUnavailable,
    /// All such keys have been tried for this request.
    AllTried,
    /// It carries state of an account all whose keys are gone or unavailable; no other key understands
    /// it.
    StateUnavailable,
    /// The demand exceeds a whole limit of each such key; waiting cannot help.
    TooLarge,
    /// All such keys are out of quota, cooling down, or busy.
    NoRoom,
    /// Too many attempts failed of late: no key was looked at.
    RetriesSpent,
    /// The circuit breaker of the provider or the model is open: no key was looked at.
    BreakerOpen,
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoKeys => "the pool has no keys",
            Self::NoKeyForModel => "no key may serve this model",
            Self::NoKeyForTags => "no key carries the wanted tags",
            Self::AllUnavailable => "all keys are unavailable",
            Self::AllTried => "all keys have been tried",
            Self::StateUnavailable => {
                "the keys of the account that made this request's state are unavailable"
            }
            Self::TooLarge => "the request is larger than any key's limit",
            Self::NoRoom => "no key has room now",
            Self::RetriesSpent => "too many attempts have failed of late",
            Self::BreakerOpen => "the circuit breaker is open",
        })
    }
}
