//! Reservations follow what requests turn out to use.

use crate::support::*;
use keypool_pool::{
    Charge, Demand, Lease, Limits, Outcome, Pool, PoolConfig, Strategy, Usage, Verdict,
};

const SESSION: u64 = 7;

fn want(model: &'static str) -> Demand<'static> {
    Demand {
        model,
        output_tokens: 500,
        ..demand(1000)
    }
}

/// One request of class `m` that used so much.
fn used(pool: &mut Pool, input_tokens: u64, output_tokens: u64) {
    let lease = take_for(pool, START, &want("m"));
    let charge = Charge::Actual {
        input_tokens,
        output_tokens,
    };
    pool.handle_outcome(START, lease, &outcome(Verdict::Success, charge));
}

fn reserved(pool: &mut Pool, demand: &Demand<'_>) -> (u64, u64) {
    let lease = take_for(pool, START, demand);
    let reserved = lease.reserved();
    pool.handle_outcome(START, lease, &outcome(Verdict::Cancelled, Charge::Nothing));
    reserved
}

// acceptance 8
#[test]
fn what_is_reserved_follows_what_was_used() {
    let mut pool = pool(Strategy::LeastLoaded, keys(1, tpm(10_000_000)));
    assert_eq!(reserved(&mut pool, &want("m")), (1000, 500));
    assert_eq!(pool.estimate_error(), None);
    for _ in 0..500 {
        used(&mut pool, 1300, 50);
    }
    assert_eq!(reserved(&mut pool, &want("m")), (1300, 50));
    assert!(pool.estimate_error() < Some(0.05));
    assert_eq!(
        reserved(&mut pool, &want("n")),
        (1000, 500),
        "of other models nothing is known"
    );
}

#[test]
fn uses_that_spread_are_reserved_with_a_margin() {
    let mut pool = pool(Strategy::LeastLoaded, keys(1, tpm(100_000_000)));
    for number in 0..200 {
        used(&mut pool, 1000, if number % 2 == 0 { 50 } else { 150 });
    }
    let (input, output) = reserved(&mut pool, &want("m"));
    assert_eq!(input, 1000);
    assert!((150..=200).contains(&output), "{output}");
}

#[test]
fn what_failed_or_was_not_measured_teaches_nothing() {
    let mut pool = pool(Strategy::LeastLoaded, keys(1, tpm(10_000_000)));
    let charge = Charge::Actual {
        input_tokens: 10,
        output_tokens: 1,
    };
    let guess = Charge::Estimated {
        input_tokens: 10,
        output_tokens: 1,
    };
    for (verdict, charge) in [
        (Verdict::Success, guess),
        (Verdict::ClientError, charge),
        (Verdict::Cancelled, charge),
        (Verdict::Success, Charge::AsReserved),
        (Verdict::Success, Charge::RequestOnly),
    ] {
        let lease = take_for(&mut pool, START, &want("m"));
        pool.handle_outcome(START, lease, &outcome(verdict, charge));
    }
    assert_eq!(reserved(&mut pool, &want("m")), (1000, 500));
}

fn in_session() -> Demand<'static> {
    Demand {
        session: Some(SESSION),
        ..demand(10_000)
    }
}

/// A pool in which the session has filled a cache of 9000 tokens; and where.
fn warm(cache_reads_free: bool) -> (Pool, Lease) {
    let config = PoolConfig {
        cache_reads_free,
        keys: keys(2, Limits::default()),
        ..PoolConfig::default()
    };
    let mut pool = build(config);
    let lease = take_for(&mut pool, START, &in_session());
    let home = lease.key();
    let charged = if cache_reads_free { 1000 } else { 10_000 };
    let charge = Charge::Actual {
        input_tokens: charged,
        output_tokens: 0,
    };
    let outcome = Outcome {
        usage: Usage {
            input_tokens: 1000,
            cache_read_tokens: 9000,
            ..Usage::default()
        },
        ..outcome(Verdict::Success, charge)
    };
    pool.handle_outcome(START, lease, &outcome);
    let next = take_for(&mut pool, START, &in_session());
    assert_eq!(next.key(), home);
    (pool, next)
}

// acceptance 73
#[test]
fn a_warm_session_is_reserved_without_its_cached_prefix_where_cache_reads_are_free() {
    let (mut pool, lease) = warm(true);
    assert_eq!(lease.reserved(), (1000, 0));
    let home = [lease.key()];
    drop(lease);
    let elsewhere = Demand {
        excluded: &home,
        ..in_session()
    };
    assert_eq!(
        reserved(&mut pool, &elsewhere),
        (10_000, 0),
        "elsewhere there is no cache"
    );
}

#[test]
fn where_cache_reads_count_the_whole_prompt_is_reserved() {
    let (_pool, lease) = warm(false);
    assert_eq!(lease.reserved(), (10_000, 0));
}
