//! What an answer other than success means: for the key it came through, and for the request.
//!
//! One status means opposite things at different providers: a 429 may be "wait two seconds" or
//! "come back next month", a 400 the client's mistake or a dead key. A gateway that goes by the
//! status bans good keys for a client's bad request, or retries one that is out of money in vain.
//! So the body's own code counts before the status, and all rules stand in one table.

mod body;
mod judge;
mod rule;
mod table;

pub(crate) use body::ErrorBody;
pub use judge::judge;
pub(crate) use judge::judge_body;

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// For the key it came through.
    pub key: KeyVerdict,
    /// For the request.
    pub request: RequestVerdict,
    /// Whether it was not the quota that was exceeded but the pace at which use may grow. The key
    /// has room; it has to be given work more slowly.
    pub growth: bool,
    /// keypool's own stable name for the case, such as `rate_limited` or `invalid_key`. Logs,
    /// metrics and the admin API show it, so a name once given stays.
    pub code: String,
    /// A short excerpt of the provider's message, keys masked.
    pub message: String,
}

/// What an answer means for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyVerdict {
    /// Nothing: the client's mistake, or nobody's.
    Blameless,
    /// The provider is overloaded for everybody.
    Overloaded,
    /// Something went wrong on the way or at the provider; it may be the key's fault.
    Fault,
    /// To blame only if another key serves the same request; then as [`Self::ModelDenied`].
    Suspect,
    /// Over a limit.
    RateLimited {
        /// When room will be, if the provider says.
        until_unix_micros: Option<u64>,
        /// What is over the limit.
        scope: Scope,
    },
    /// Nothing, but no key of this provider can help: it serves nobody from where the gateway is.
    NotServed,
    /// Dead: revoked, expired, disabled, or of an organisation that is.
    Invalid {
        /// What is dead: the key, or the whole account behind it.
        scope: Scope,
    },
    /// Out of money, or at a limit of spending.
    OutOfCredit {
        /// When it ends by itself, if known.
        until_unix_micros: Option<u64>,
        /// What is out of credit.
        scope: Scope,
    },
    /// This key may not use this model.
    ModelDenied,
}

/// How far a verdict reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// This key.
    Key,
    /// This key, for this model.
    KeyModel,
    /// All keys of its quota group.
    Group,
    /// All keys of its quota group, for this model.
    GroupModel,
}

/// What to do with the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestVerdict {
    /// Try another key.
    NextKey,
    /// Try another provider: no other key of this one could help.
    NextProvider,
    /// Try once more with the same key, after a short pause.
    SameKeyOnce,
    /// Hand the answer to the client: no key could cure it.
    Client,
}

#[cfg(test)]
mod tests;
