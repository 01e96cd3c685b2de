//! From what an answer says, as [`keypool_wire`] reads it, to what the pool takes.
//!
//! The two crates do not know each other, and a figure handed over in the wrong unit would be obeyed. So
//! each reading passes here, in a match without a wild card: whoever adds a kind of limit to one side is
//! told by the compiler.

use keypool_pool::{
    CooldownScope, Dimension, Failed, FaultKind, QuotaOwner, QuotaReading, Suspicion, Timestamp,
    Verdict,
};
use keypool_wire::{Counted, Headers, Judgement, KeyVerdict, Period, RequestVerdict, Scope};

/// The headers of a simulated answer.
pub(crate) struct SimHeaders<'a>(pub(crate) &'a [(&'static str, String)]);

impl Headers for SimHeaders<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let mut headers = self.0.iter();
        headers
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// What a reading says, in the pool's terms; `None` for a limit that the pool does not count.
pub(crate) fn reading(now: Timestamp, read: &keypool_wire::QuotaReading) -> Option<QuotaReading> {
    let dimension = match (read.counted, read.period) {
        (Counted::Requests, Period::Second) => Dimension::RequestsPerSecond,
        (Counted::Tokens, Period::Second) => Dimension::TokensPerSecond,
        (Counted::Requests, Period::Minute) => Dimension::RequestsPerMinute,
        (Counted::Tokens, Period::Minute) => Dimension::TokensPerMinute,
        (Counted::InputTokens, Period::Minute) => Dimension::InputTokensPerMinute,
        (Counted::OutputTokens, Period::Minute) => Dimension::OutputTokensPerMinute,
        (Counted::Requests, Period::Day) => Dimension::RequestsPerDay,
        (Counted::Tokens, Period::Day) => Dimension::TokensPerDay,
        (Counted::InputTokens | Counted::OutputTokens, Period::Second | Period::Day) => {
            return None;
        }
    };
    Some(QuotaReading {
        dimension,
        limit: read.limit,
        remaining: read.remaining,
        resets_at: read.resets_in.map(|wait| now + wait),
        grain: read.grain,
    })
}

/// Who owns a quota: the narrowest name that an answer gives.
pub(crate) fn owner(named: &keypool_wire::QuotaOwner<'_>) -> Option<QuotaOwner> {
    let (what, name) = match (named.organisation, named.workspace) {
        (Some(organisation), _) => ("organisation", organisation),
        (None, Some(workspace)) => ("workspace", workspace),
        (None, None) => return None,
    };
    Some(QuotaOwner {
        id: fnv(name),
        name: format!("{what} {name}"),
    })
}

fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// What a judgement says of the key and of the request.
pub(crate) fn meaning(judged: &Judgement, status: u16) -> (Verdict, Failed) {
    let suspected = |suspicion| (Verdict::Suspected(suspicion), Failed::Suspected(suspicion));
    let instant = |micros: Option<u64>| micros.map(Timestamp::from_unix_micros);
    let (verdict, failed) = match judged.key {
        KeyVerdict::Blameless => (Verdict::ClientError, Failed::Key),
        KeyVerdict::Overloaded => (Verdict::Overloaded, Failed::Overloaded),
        KeyVerdict::NotServed => (Verdict::NotServed, Failed::Provider),
        KeyVerdict::Fault if status == 504 => suspected(Suspicion::Fault(FaultKind::Timeout)),
        KeyVerdict::Fault => suspected(Suspicion::Fault(FaultKind::ServerError)),
        KeyVerdict::Suspect => suspected(Suspicion::ModelDenied),
        KeyVerdict::Invalid {
            scope: Scope::Group | Scope::GroupModel,
        } => suspected(Suspicion::AccountInvalid),
        KeyVerdict::Invalid { .. } => suspected(Suspicion::Invalid),
        KeyVerdict::RateLimited {
            until_unix_micros,
            scope,
        } => {
            let until = instant(until_unix_micros);
            let scope = scope_of(scope);
            (Verdict::RateLimited { until, scope }, Failed::Quota)
        }
        KeyVerdict::OutOfCredit {
            until_unix_micros,
            scope,
        } => {
            let until = instant(until_unix_micros);
            let scope = scope_of(scope);
            (Verdict::OutOfCredit { until, scope }, Failed::Key)
        }
        KeyVerdict::ModelDenied => (Verdict::ModelDenied, Failed::Key),
    };
    match judged.request {
        RequestVerdict::NextKey => (verdict, failed),
        RequestVerdict::NextProvider => (verdict, Failed::Provider),
        RequestVerdict::SameKeyOnce => (verdict, Failed::Conflict),
        RequestVerdict::Client => (verdict, Failed::Request),
    }
}

const fn scope_of(scope: Scope) -> CooldownScope {
    match scope {
        Scope::Key => CooldownScope::Key,
        Scope::KeyModel => CooldownScope::KeyModel,
        Scope::Group => CooldownScope::Group,
        Scope::GroupModel => CooldownScope::GroupModel,
    }
}
