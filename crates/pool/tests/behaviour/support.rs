//! Short forms for the pool's tests: plain keys, demands and outcomes, and a fixed start of time.

use std::time::Duration;

use keypool_pool::bounds::TRANSIT;
use keypool_pool::{
    Admission, AlertKind, Charge, Command, CooldownScope, Demand, Dimension, FaultKind, KeyConfig,
    KeyId, KeyPatch, KeySnapshot, KeyState, Lease, Limits, Outcome, Output, Pool, PoolConfig,
    QuotaReading, Refusal, Strategy, Timestamp, Turn, Urgency, Verdict, Wait, WaiterId,
};

/// So long after a full bucket was touched at the start: its refill begins when the request may have
/// arrived.
pub(crate) fn refilled(time: Duration) -> Timestamp {
    START + TRANSIT + time
}

/// 2023-11-14T22:13:20Z, in the middle of a UTC day.
pub(crate) const START: Timestamp = Timestamp::from_unix_secs(1_700_000_000);

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_mins(1);

pub(crate) fn id(number: u64) -> KeyId {
    KeyId::from_bits(number)
}

pub(crate) fn key(number: u64) -> KeyConfig {
    KeyConfig::new(id(number))
}

pub(crate) fn rpm(limit: u64) -> Limits {
    Limits {
        requests_per_minute: Some(limit),
        ..Limits::default()
    }
}

pub(crate) fn tpm(limit: u64) -> Limits {
    Limits {
        tokens_per_minute: Some(limit),
        ..Limits::default()
    }
}

/// Keys 1 to `count` with these limits.
pub(crate) fn keys(count: u64, limits: Limits) -> Vec<KeyConfig> {
    (1..=count)
        .map(|number| KeyConfig {
            limits,
            ..key(number)
        })
        .collect()
}

pub(crate) fn pool(strategy: Strategy, keys: Vec<KeyConfig>) -> Pool {
    build(PoolConfig {
        strategy,
        keys,
        ..PoolConfig::default()
    })
}

pub(crate) fn build(config: PoolConfig) -> Pool {
    Pool::new(START, config).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn demand(tokens: u64) -> Demand<'static> {
    Demand {
        model: "m",
        input_tokens: tokens,
        ..Demand::default()
    }
}

pub(crate) fn ask(pool: &mut Pool, now: Timestamp, demand: &Demand<'_>) -> Result<Lease, Refusal> {
    match pool.handle_request(now, demand) {
        Admission::Granted(lease) => Ok(lease),
        Admission::Refused(refusal) => Err(refusal),
        Admission::Queued(waiter) => panic!("{waiter} waits, though it did not ask to"),
    }
}

/// A grant that must succeed, for one request without tokens.
pub(crate) fn take(pool: &mut Pool, now: Timestamp) -> Lease {
    take_for(pool, now, &demand(0))
}

pub(crate) fn take_for(pool: &mut Pool, now: Timestamp, demand: &Demand<'_>) -> Lease {
    ask(pool, now, demand).unwrap_or_else(|refusal| panic!("refused: {refusal:?}"))
}

/// A refusal that must come, for one request without tokens.
pub(crate) fn refused(pool: &mut Pool, now: Timestamp) -> Refusal {
    refused_for(pool, now, &demand(0))
}

pub(crate) fn refused_for(pool: &mut Pool, now: Timestamp, demand: &Demand<'_>) -> Refusal {
    match ask(pool, now, demand) {
        Ok(lease) => panic!("granted {}", lease.key()),
        Err(refusal) => refusal,
    }
}

pub(crate) fn outcome(verdict: Verdict, charge: Charge) -> Outcome {
    Outcome {
        latency: Duration::from_millis(500),
        ..Outcome::of(verdict, charge)
    }
}

pub(crate) fn settle(pool: &mut Pool, now: Timestamp, lease: Lease, verdict: Verdict) {
    pool.handle_outcome(now, lease, &outcome(verdict, Charge::AsReserved));
}

/// One request from grant to settlement; tells the key.
pub(crate) fn run(pool: &mut Pool, now: Timestamp, verdict: Verdict) -> KeyId {
    let lease = take(pool, now);
    let key = lease.key();
    settle(pool, now, lease, verdict);
    key
}

pub(crate) const FAULT: Verdict = Verdict::Fault(FaultKind::ServerError);

pub(crate) fn limited(until: Option<Timestamp>) -> Verdict {
    Verdict::RateLimited {
        until,
        scope: CooldownScope::Key,
    }
}

pub(crate) fn shown(pool: &mut Pool, now: Timestamp, number: u64) -> KeySnapshot {
    pool.key_snapshot(now, id(number))
        .unwrap_or_else(|| panic!("no key {number}"))
}

pub(crate) fn state(pool: &mut Pool, now: Timestamp, number: u64) -> KeyState {
    shown(pool, now, number).state
}

pub(crate) fn score(pool: &mut Pool, now: Timestamp, number: u64) -> u8 {
    shown(pool, now, number).health_score
}

pub(crate) fn outputs(pool: &mut Pool, now: Timestamp) -> Vec<Output> {
    std::iter::from_fn(|| pool.poll_output(now)).collect()
}

pub(crate) fn enable(number: u64, enabled: bool) -> Command {
    Command::UpdateKey(
        id(number),
        KeyPatch {
            enabled: Some(enabled),
            ..KeyPatch::default()
        },
    )
}

/// Grants per key, by key number from 1.
pub(crate) fn requests_by_key(pool: &mut Pool, now: Timestamp) -> Vec<u64> {
    pool.snapshot(now)
        .keys
        .iter()
        .map(|key| key.requests)
        .collect()
}

/// One microsecond earlier.
pub(crate) fn just_before(at: Timestamp) -> Timestamp {
    Timestamp::from_unix_micros(at.as_unix_micros() - 1)
}

/// A reading of what an answer states, exact and without a reset.
pub(crate) fn reading(dimension: Dimension, limit: u64, remaining: u64) -> QuotaReading {
    QuotaReading {
        dimension,
        limit: Some(limit),
        remaining: Some(remaining),
        resets_at: None,
        grain: 1,
    }
}

/// The alerts that wait to be polled.
pub(crate) fn alerts(pool: &mut Pool, now: Timestamp) -> Vec<AlertKind> {
    let told = outputs(pool, now).into_iter();
    told.filter_map(|output| match output {
        Output::Alert(alert) => Some(alert.kind),
        Output::StateChanged(_) | Output::Probe(_) | Output::BreakerChanged(_) => None,
    })
    .collect()
}

/// What the answers of key 1 taught of a model class: limit and what remains.
pub(crate) fn learned(
    pool: &mut Pool,
    now: Timestamp,
    class: &str,
    dimension: Dimension,
) -> Option<(u64, i64)> {
    let meters = shown(pool, now, 1).meters.into_iter();
    meters
        .filter(|meter| meter.model_class.as_deref() == Some(class))
        .find(|meter| meter.dimension == dimension)
        .map(|meter| (meter.limit, meter.remaining))
}

/// A wait of the usual kind, from `since` on, for at most so long.
pub(crate) fn wait(since: Timestamp, at_most: Duration) -> Wait {
    Wait {
        until: since + at_most,
        since,
        urgency: Urgency::Normal,
        tenant: 0,
        weight: 1,
        bytes: 100,
        resumed: false,
    }
}

/// A request that has to wait.
pub(crate) fn queued(pool: &mut Pool, now: Timestamp, demand: &Demand<'_>) -> WaiterId {
    match pool.handle_request(now, demand) {
        Admission::Queued(waiter) => waiter,
        other => panic!("{other:?}"),
    }
}

/// A request without tokens that has to wait, for up to ten minutes, in this manner.
pub(crate) fn queued_as(pool: &mut Pool, now: Timestamp, wait: Wait) -> WaiterId {
    let demand = Demand {
        wait: Some(wait),
        ..demand(0)
    };
    queued(pool, now, &demand)
}

/// Those whose turn has come, in their order.
pub(crate) fn turns(pool: &mut Pool, now: Timestamp) -> Vec<(WaiterId, Turn)> {
    std::iter::from_fn(|| pool.poll_turn(now)).collect()
}

/// The lease of the one request whose turn has come.
pub(crate) fn only_turn(pool: &mut Pool, now: Timestamp) -> (WaiterId, Lease) {
    let mut turns = turns(pool, now);
    match (turns.pop(), turns.len()) {
        (Some((waiter, Turn::Granted(lease))), 0) => (waiter, lease),
        other => panic!("{other:?}"),
    }
}
