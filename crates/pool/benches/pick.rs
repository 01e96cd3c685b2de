//! What one request costs the pool: a grant and its settlement, for each strategy and pool size.
//!
//! The bound is 300 ns with 10 keys and 2 µs with 100,000 (design §7). Every tenth key is cooling
//! down, every key has a request and a token meter, and time moves on with each request.
//!
//! The variants named `learned` have had a report for every key, as the answers of most providers bring
//! one. `waiting` is the price of one more turn while very many wait.
//!
//! Run with `cargo bench -p keypool-pool`.

use std::collections::VecDeque;
use std::time::Duration;

use divan::{Bencher, black_box};
use keypool_pool::{
    Admission, Charge, Command, CooldownScope, Demand, Dimension, KeyConfig, KeyId, Lease, Limits,
    Outcome, Pool, PoolConfig, QuotaReading, Sequential, Strategy, Timestamp, Turn, Urgency, Usage,
    Verdict, Wait,
};

const SIZES: [u64; 5] = [1, 10, 100, 10_000, 100_000];
const START: Timestamp = Timestamp::from_unix_secs(1_700_000_000);

fn main() {
    divan::main();
}

fn demand() -> Demand<'static> {
    Demand {
        model: "claude-sonnet-4-5",
        input_tokens: 1000,
        output_tokens: 500,
        ..Demand::default()
    }
}

fn outcome(verdict: Verdict) -> Outcome {
    let charge = Charge::Actual {
        input_tokens: 900,
        output_tokens: 300,
    };
    Outcome {
        usage: Usage {
            input_tokens: 900,
            output_tokens: 300,
            ..Usage::default()
        },
        latency: Duration::from_millis(800),
        ..Outcome::of(verdict, charge)
    }
}

fn pool(strategy: Strategy, keys: u64, requests_per_minute: u64) -> Pool {
    let limits = Limits {
        requests_per_minute: Some(requests_per_minute),
        tokens_per_minute: Some(50_000_000_000),
        ..Limits::default()
    };
    let key = |number| KeyConfig {
        limits,
        ..KeyConfig::new(KeyId::from_bits(number))
    };
    let keys = (0..keys).map(key).collect();
    let config = PoolConfig {
        strategy,
        keys,
        ..PoolConfig::default()
    };
    match Pool::new(START, config) {
        Ok(pool) => pool,
        Err(error) => panic!("{error}"),
    }
}

/// A pool in service: every key has been used, and a tenth of them were refused for an hour.
fn warm_pool(strategy: Strategy, keys: u64) -> Pool {
    let mut pool = pool(strategy, keys, 10_000_000);
    let until = Some(START + Duration::from_hours(1));
    for number in 0..keys {
        let Admission::Granted(lease) = pool.handle_request(START, &demand()) else {
            panic!()
        };
        let verdict = if number % 10 == 9 {
            Verdict::RateLimited {
                until,
                scope: CooldownScope::Key,
            }
        } else {
            Verdict::Success
        };
        pool.handle_outcome(START, lease, &outcome(verdict));
    }
    while pool.poll_output(START).is_some() {}
    pool
}

/// The same, where an answer of each key has stated its limits.
fn learned_pool(strategy: Strategy, keys: u64) -> Pool {
    let mut pool = pool(strategy, keys, 10_000_000);
    let reading = |dimension, limit| QuotaReading {
        dimension,
        limit: Some(limit),
        remaining: Some(limit - 1),
        resets_at: None,
        grain: 1,
    };
    let readings = [
        reading(Dimension::RequestsPerMinute, 10_000_000),
        reading(Dimension::TokensPerMinute, 50_000_000_000),
    ];
    // Each key once.
    pool_in_turn(&mut pool);
    for _ in 0..keys {
        let Admission::Granted(lease) = pool.handle_request(START, &demand()) else {
            panic!()
        };
        pool.handle_quota_report(START, &lease, &readings);
        pool.handle_outcome(START, lease, &outcome(Verdict::Success));
    }
    let back = Command::SetStrategy(strategy);
    if let Err(error) = pool.handle_admin(START, back) {
        panic!("{error}")
    }
    while pool.poll_output(START).is_some() {}
    pool
}

fn pool_in_turn(pool: &mut Pool) {
    let in_turn = Command::SetStrategy(Strategy::RoundRobin);
    if let Err(error) = pool.handle_admin(START, in_turn) {
        panic!("{error}")
    }
}

fn grant_and_settle(bencher: Bencher<'_, '_>, strategy: Strategy, keys: u64) {
    measure(bencher, warm_pool(strategy, keys));
}

fn measure(bencher: Bencher<'_, '_>, mut pool: Pool) {
    let (demand, success) = (demand(), outcome(Verdict::Success));
    let mut now = START;
    bencher.bench_local(|| {
        now = now + Duration::from_micros(50);
        match pool.handle_request(now, black_box(&demand)) {
            Admission::Granted(lease) => pool.handle_outcome(now, lease, black_box(&success)),
            other => panic!("{other:?}"),
        }
    });
}

#[divan::bench(args = SIZES, sample_size = 2000, sample_count = 50)]
fn round_robin(bencher: Bencher<'_, '_>, keys: u64) {
    grant_and_settle(bencher, Strategy::RoundRobin, keys);
}

#[divan::bench(args = SIZES, sample_size = 2000, sample_count = 50)]
fn lru(bencher: Bencher<'_, '_>, keys: u64) {
    grant_and_settle(bencher, Strategy::Lru, keys);
}

#[divan::bench(args = SIZES, sample_size = 2000, sample_count = 50)]
fn least_loaded(bencher: Bencher<'_, '_>, keys: u64) {
    grant_and_settle(bencher, Strategy::LeastLoaded, keys);
}

#[divan::bench(args = SIZES, sample_size = 2000, sample_count = 50)]
fn weighted(bencher: Bencher<'_, '_>, keys: u64) {
    grant_and_settle(bencher, Strategy::Weighted, keys);
}

#[divan::bench(args = SIZES, sample_size = 2000, sample_count = 50)]
fn fill_first(bencher: Bencher<'_, '_>, keys: u64) {
    grant_and_settle(bencher, Strategy::FillFirst, keys);
}

#[divan::bench(args = [10, 100_000], sample_size = 2000, sample_count = 50)]
fn round_robin_learned(bencher: Bencher<'_, '_>, keys: u64) {
    measure(bencher, learned_pool(Strategy::RoundRobin, keys));
}

#[divan::bench(args = [10, 100_000], sample_size = 2000, sample_count = 50)]
fn lru_learned(bencher: Bencher<'_, '_>, keys: u64) {
    measure(bencher, learned_pool(Strategy::Lru, keys));
}

#[divan::bench(args = [10, 100_000], sample_size = 2000, sample_count = 50)]
fn least_loaded_learned(bencher: Bencher<'_, '_>, keys: u64) {
    measure(bencher, learned_pool(Strategy::LeastLoaded, keys));
}

#[divan::bench(args = [10, 100_000], sample_size = 2000, sample_count = 50)]
fn weighted_learned(bencher: Bencher<'_, '_>, keys: u64) {
    measure(bencher, learned_pool(Strategy::Weighted, keys));
}

#[divan::bench(args = [10, 100_000], sample_size = 2000, sample_count = 50)]
fn fill_first_learned(bencher: Bencher<'_, '_>, keys: u64) {
    measure(bencher, learned_pool(Strategy::FillFirst, keys));
}

/// Twice the load that the keys can bear: half of the demands are refused.
#[divan::bench(args = [10, 1000, 10_000], sample_size = 2000, sample_count = 50)]
fn overload(bencher: Bencher<'_, '_>, keys: u64) {
    // Every key gains room for one request a second.
    let mut pool = pool(Strategy::LeastLoaded, keys, 60);
    let (demand, success) = (demand(), outcome(Verdict::Success));
    let step = Duration::from_nanos(500_000_000 / keys).max(Duration::from_micros(1));
    let mut now = START;
    // Until the keys, all full at start, have drifted apart.
    for _ in 0..3 * keys {
        now = now + step;
        if let Admission::Granted(lease) = pool.handle_request(now, &demand) {
            pool.handle_outcome(now, lease, &success);
        }
    }
    bencher.bench_local(|| {
        now = now + step;
        if let Admission::Granted(lease) = pool.handle_request(now, black_box(&demand)) {
            pool.handle_outcome(now, lease, black_box(&success));
        }
    });
}

/// A pool whose keys serve one request at a time and are all busy, with so many requests waiting.
fn crowded(keys: u64, waiting: u64) -> (Pool, VecDeque<Lease>) {
    let mut pool = pool(Strategy::LeastLoaded, keys, 10_000_000);
    let one_each = Command::SetSequential(Sequential::Key);
    if let Err(error) = pool.handle_admin(START, one_each) {
        panic!("{error}")
    }
    let mut leases = VecDeque::new();
    for number in 0..waiting + keys {
        match pool.handle_request(START, &patient(number)) {
            Admission::Granted(lease) => leases.push_back(lease),
            Admission::Queued(_) => {}
            Admission::Refused(refusal) => panic!("{refusal:?}"),
        }
    }
    assert!(pool.poll_turn(START).is_none());
    (pool, leases)
}

fn patient(number: u64) -> Demand<'static> {
    let wait = Wait {
        until: START + Duration::from_hours(1),
        since: START,
        urgency: Urgency::Normal,
        tenant: number % 100,
        weight: 1,
        bytes: 1000,
        resumed: false,
    };
    Demand {
        wait: Some(wait),
        ..demand()
    }
}

/// One request ends, another begins to wait, and one of those that wait has its turn.
#[divan::bench(args = [10, 100, 1000, 9900], sample_size = 500, sample_count = 50)]
fn waiting(bencher: Bencher<'_, '_>, waiting: u64) {
    let (mut pool, mut leases) = crowded(10, waiting);
    let success = outcome(Verdict::Success);
    let mut now = START;
    let mut number = 0;
    bencher.bench_local(|| {
        now = now + Duration::from_micros(50);
        number += 1;
        if let Some(lease) = leases.pop_front() {
            pool.handle_outcome(now, lease, &success);
        }
        while let Some((_, turn)) = pool.poll_turn(now) {
            match turn {
                Turn::Granted(lease) => leases.push_back(lease),
                Turn::Refused(refusal) => panic!("{refusal:?}"),
            }
        }
        match pool.handle_request(now, black_box(&patient(number))) {
            Admission::Queued(_) => {}
            other => panic!("{other:?}"),
        }
    });
}

/// What it costs to know that nothing is to be done while very many wait.
#[divan::bench(sample_size = 2000, sample_count = 50)]
fn waiting_idle(bencher: Bencher<'_, '_>) {
    let (mut pool, leases) = crowded(10, 9900);
    bencher.bench_local(|| black_box(pool.poll_timeout()));
    drop(leases);
}
