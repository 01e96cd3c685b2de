//! What a row of the table is made of.

use super::{RequestVerdict, Scope};
use crate::dialect::Dialect;
use crate::provider::ProviderKind;

/// One rule: to whom and what it applies, and what follows.
pub(super) struct Row {
    pub(super) who: Who,
    pub(super) status: Status,
    pub(super) sign: Sign,
    pub(super) key: KeyRule,
    pub(super) request: RequestVerdict,
    /// Whether the limit is one on growth.
    pub(super) growth: bool,
    pub(super) code: &'static str,
}

/// Whose answers a row speaks of.
#[derive(Clone, Copy)]
pub(super) enum Who {
    Anyone,
    /// All that speak the dialect by default.
    Speaker(Dialect),
    Only(ProviderKind),
}

impl Who {
    pub(super) fn covers(self, provider: ProviderKind) -> bool {
        match self {
            Self::Anyone => true,
            Self::Speaker(dialect) => provider.dialect() == dialect,
            Self::Only(kind) => provider == kind,
        }
    }
}

/// Which statuses a row speaks of.
#[derive(Clone, Copy)]
pub(super) enum Status {
    Any,
    Is(u16),
    OneOf(&'static [u16]),
    /// From the first to the last, both included.
    Range(u16, u16),
}

impl Status {
    pub(super) fn covers(self, status: u16) -> bool {
        match self {
            Self::Any => true,
            Self::Is(one) => status == one,
            Self::OneOf(some) => some.contains(&status),
            Self::Range(first, last) => first <= status && status <= last,
        }
    }
}

/// What the body must show. Messages are compared in lower case.
#[derive(Clone, Copy)]
pub(super) enum Sign {
    None,
    /// One of the body's codes is one of these.
    Code(&'static [&'static str]),
    /// One of the body's codes contains one of these.
    CodePart(&'static [&'static str]),
    /// The message starts with one of these.
    Starts(&'static [&'static str]),
    /// The message contains one of these.
    Says(&'static [&'static str]),
    /// The message contains one of each.
    SaysBoth(&'static [&'static str], &'static [&'static str]),
    /// The message states a limit and a larger request.
    AsksMoreThanLimit,
    /// Neither headers nor body say how long to wait.
    NoWaitStated,
    /// The body is empty, HTML, or otherwise not an error anybody wrote for a program.
    Unreadable,
}

/// What follows for the key, before the wait is worked out.
#[derive(Clone, Copy)]
pub(super) enum KeyRule {
    Blameless,
    Overloaded,
    Fault,
    Suspect,
    NotServed,
    Invalid(Scope),
    ModelDenied,
    RateLimited(Scope, Until),
    OutOfCredit(Scope, Until),
}

/// How long.
#[derive(Clone, Copy)]
pub(super) enum Until {
    /// As long as the pool thinks fit.
    Unknown,
    /// What headers or body say.
    Told,
    /// What headers or body say, else a second.
    ToldElseSecond,
    /// What headers or body say, else the next midnight in UTC.
    ToldElseMidnight,
    /// The first of the next month, 00:00 UTC.
    NextMonth,
    /// The date in the message, else as [`Self::NextMonth`].
    StatedElseNextMonth,
    /// The next midnight in US Pacific time.
    PacificMidnight,
}

impl Row {
    pub(super) const fn new(
        who: Who,
        status: Status,
        sign: Sign,
        key: KeyRule,
        request: RequestVerdict,
        code: &'static str,
    ) -> Self {
        Self {
            who,
            status,
            sign,
            key,
            request,
            growth: false,
            code,
        }
    }

    pub(super) const fn on_growth(mut self) -> Self {
        self.growth = true;
        self
    }
}
