//! How fast traffic may grow while little is known of a quota.

use std::time::Duration;

use crate::support::*;
use keypool_pool::{
    Charge, Command, CooldownScope, Demand, KeyConfig, Lease, Limits, Outcome, Pool, RefusalReason,
    Strategy, Timestamp, Verdict,
};

const QUARTER: Duration = Duration::from_millis(250);

/// All that can be had at an instant.
fn take_all(pool: &mut Pool, now: Timestamp) -> Vec<Lease> {
    std::iter::from_fn(|| ask(pool, now, &demand(0)).ok()).collect()
}

fn one_key(limits: Limits) -> Pool {
    pool(Strategy::LeastLoaded, keys(1, limits))
}

// acceptance 25
#[test]
fn a_new_key_without_limits_begins_with_sixteen_in_flight_and_doubles_each_quarter_second() {
    let mut pool = one_key(Limits::default());
    let mut leases = take_all(&mut pool, START);
    assert_eq!(leases.len(), 16);
    let refusal = refused(&mut pool, START);
    assert_eq!(refusal.reason, RefusalReason::NoRoom);
    assert_eq!(refusal.retry_at, Some(START + QUARTER));
    refused(&mut pool, just_before(START + QUARTER));
    for (quarters, total) in [(1, 32), (2, 64), (4, 256)] {
        leases.extend(take_all(&mut pool, START + QUARTER * quarters));
        assert_eq!(leases.len(), total);
    }
    // What ends makes room at once.
    settle(
        &mut pool,
        START + SECOND,
        leases.remove(0),
        Verdict::Success,
    );
    assert_eq!(take_all(&mut pool, START + SECOND).len(), 1);
}

#[test]
fn a_new_key_whose_limits_are_known_begins_with_sixty_four() {
    let mut pool = one_key(rpm(1000));
    assert_eq!(take_all(&mut pool, START).len(), 64);
}

#[test]
fn a_slow_start_is_over_after_some_seconds_whatever_was_sent() {
    let mut pool = one_key(rpm(100_000));
    run(&mut pool, START, Verdict::Success);
    let leases = take_all(&mut pool, START + SECOND * 3);
    assert!(leases.len() > 5000, "{}", leases.len());
}

// acceptance 50, 52
#[test]
fn a_key_that_returns_takes_eight_at_a_time_once_its_trial_has_passed() {
    let mut pool = one_key(Limits::default());
    run(&mut pool, START, limited(Some(START + SECOND * 10)));
    let now = START + SECOND * 10;
    let trial = take(&mut pool, now);
    refused(&mut pool, now);
    settle(&mut pool, now, trial, Verdict::Success);
    let leases = take_all(&mut pool, now);
    assert_eq!(leases.len(), 8);
    assert_eq!(take_all(&mut pool, now + QUARTER).len(), 8, "as many again");
}

#[test]
fn a_group_starts_as_one_and_its_keys_do_not_each() {
    let join = |key| KeyConfig {
        quota_group: Some("org".to_owned()),
        ..key
    };
    let config = keypool_pool::PoolConfig {
        quota_groups: vec![("org".to_owned(), Limits::default())],
        keys: keys(4, Limits::default()).into_iter().map(join).collect(),
        ..Default::default()
    };
    let mut pool = build(config);
    assert_eq!(take_all(&mut pool, START).len(), 16);
}

fn grew_too_fast(until: Timestamp) -> Outcome {
    let verdict = Verdict::RateLimited {
        until: Some(until),
        scope: CooldownScope::KeyModel,
    };
    Outcome {
        grew_too_fast: true,
        ..outcome(verdict, Charge::RequestOnly)
    }
}

/// The pace after 120 requests in half a minute, the last of which was refused since traffic grew too
/// fast; from the instant on.
fn paced() -> (Pool, Timestamp) {
    let mut pool = one_key(rpm(100_000));
    for number in 0..119_u32 {
        run(&mut pool, START + QUARTER * number, Verdict::Success);
    }
    let now = START + SECOND * 30;
    let lease = take(&mut pool, now);
    pool.handle_outcome(now, lease, &grew_too_fast(now + SECOND));
    (pool, now)
}

/// How many get through when twenty a second are offered.
fn throughput(pool: &mut Pool, from: Timestamp, seconds: u32) -> usize {
    let offered = (0..seconds * 20).map(|number| from + Duration::from_millis(50) * number);
    let granted = offered.filter(|&now| match ask(pool, now, &demand(0)) {
        Ok(lease) => {
            settle(pool, now, lease, Verdict::Success);
            true
        }
        Err(_) => false,
    });
    granted.count()
}

#[test]
fn after_growing_too_fast_half_the_pace_is_kept_and_raised_step_by_step() {
    let (mut pool, refused_at) = paced();
    // One a second, then one and a half, ...
    let first = throughput(&mut pool, refused_at + SECOND, 28);
    assert!((27..=29).contains(&first), "{first}");
    let second = throughput(&mut pool, refused_at + SECOND * 30, 30);
    assert!((43..=46).contains(&second), "{second}");
    let late = throughput(&mut pool, refused_at + SECOND * 211, 10);
    assert_eq!(late, 200, "the pace is over");
}

#[test]
fn a_pace_names_the_instant_at_which_the_next_may_go() {
    let (mut pool, refused_at) = paced();
    let now = refused_at + SECOND;
    run(&mut pool, now, Verdict::Success);
    let refusal = refused(&mut pool, now);
    let at = refusal.retry_at.unwrap();
    assert_eq!(at, now + SECOND);
    refused(&mut pool, just_before(at));
    run(&mut pool, at, Verdict::Success);
}

/// A key without limits and sixteen requests in flight, of which the first was refused for its model.
fn refused_at_sixteen() -> (Pool, Vec<Lease>, Timestamp) {
    let mut pool = one_key(Limits::default());
    let mut leases = take_all(&mut pool, START);
    let verdict = Verdict::RateLimited {
        until: Some(START + SECOND),
        scope: CooldownScope::KeyModel,
    };
    let first = leases.remove(0);
    pool.handle_outcome(START, first, &outcome(verdict, Charge::RequestOnly));
    (pool, leases, START + SECOND)
}

#[test]
fn where_no_limit_is_known_a_429_leaves_three_quarters_of_what_was_in_flight() {
    let (mut pool, leases, now) = refused_at_sixteen();
    for lease in leases {
        settle(&mut pool, now, lease, Verdict::Cancelled);
    }
    let leases = take_all(&mut pool, now);
    assert_eq!(leases.len(), 12);
    let refusal = refused(&mut pool, now);
    assert_eq!(refusal.retry_at, Some(now + SECOND), "only an end helps");
    refused(&mut pool, now + SECOND * 10);
    for lease in leases {
        settle(&mut pool, now, lease, Verdict::Success);
    }
    // Twelve successes, the first of them at the bound: it grows by one for a whole window of them.
    let mut most = 0;
    for _ in 0..14 {
        let leases = take_all(&mut pool, now);
        most = leases.len();
        let mut leases = leases.into_iter();
        if let Some(lease) = leases.next() {
            settle(&mut pool, now, lease, Verdict::Success);
        }
        for lease in leases {
            settle(&mut pool, now, lease, Verdict::Cancelled);
        }
    }
    assert_eq!(most, 13);
}

#[test]
fn a_bound_that_was_learned_outlives_the_cool_down() {
    let mut pool = one_key(Limits::default());
    let mut leases = take_all(&mut pool, START);
    let first = leases.remove(0);
    settle(&mut pool, START, first, limited(Some(START + MINUTE * 2)));
    for lease in leases {
        settle(&mut pool, START, lease, Verdict::Cancelled);
    }
    let now = START + MINUTE * 2;
    let trial = take(&mut pool, now);
    settle(&mut pool, now, trial, Verdict::Success);
    assert_eq!(take_all(&mut pool, now).len(), 12);
}

#[test]
fn a_429_of_a_request_that_was_alone_says_nothing_of_concurrency() {
    let mut pool = one_key(Limits::default());
    let verdict = Verdict::RateLimited {
        until: Some(START + SECOND),
        scope: CooldownScope::KeyModel,
    };
    run(&mut pool, START, verdict);
    let other = Demand {
        model: "n",
        ..demand(0)
    };
    let leases: Vec<Lease> = std::iter::from_fn(|| ask(&mut pool, START, &other).ok()).collect();
    assert_eq!(leases.len(), 16);
}

#[test]
fn a_new_limit_does_not_start_a_key_anew() {
    let mut pool = one_key(rpm(1000));
    let before = take_all(&mut pool, START);
    let patch = keypool_pool::KeyPatch {
        limits: Some(rpm(2000)),
        ..Default::default()
    };
    pool.handle_admin(START, Command::UpdateKey(id(1), patch))
        .unwrap();
    assert_eq!(before.len(), 64);
    assert_eq!(take_all(&mut pool, START).len(), 0);
}
