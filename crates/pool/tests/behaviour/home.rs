//! Sessions stay where their prompt cache is, at a price; state of an account goes to it or nowhere.

use std::time::Duration;

use crate::support::*;
use keypool_pool::{
    AffinityConfig, Charge, Demand, KeyConfig, KeyId, Limits, Outcome, Pool, PoolConfig,
    RefusalReason, Strategy, Timestamp, Usage, Verdict,
};

fn of_session(session: u64, tokens: u64) -> Demand<'static> {
    Demand {
        session: Some(session),
        ..demand(tokens)
    }
}

/// One request from grant to settlement, whose prompt is in the cache afterwards.
fn converse(pool: &mut Pool, now: Timestamp, demand: &Demand<'_>) -> KeyId {
    let lease = take_for(pool, now, demand);
    let key = lease.key();
    let charge = Charge::Actual {
        input_tokens: demand.input_tokens,
        output_tokens: 0,
    };
    let outcome = Outcome {
        usage: Usage {
            cache_write_tokens: demand.input_tokens,
            ..Usage::default()
        },
        ..outcome(Verdict::Success, charge)
    };
    pool.handle_outcome(now, lease, &outcome);
    key
}

fn counts(pool: &mut Pool, now: Timestamp) -> (u64, u64, u64) {
    let counts = pool.affinity_snapshot(now).counts;
    (counts.started, counts.kept, counts.moved)
}

// acceptance 73
#[test]
fn a_session_stays_on_its_key_under_every_strategy() {
    for strategy in Strategy::ALL {
        let mut pool = pool(strategy, keys(5, Limits::default()));
        let mut now = START;
        let home = converse(&mut pool, now, &of_session(7, 50_000));
        for _ in 0..50 {
            now = now + SECOND * 5;
            run(&mut pool, now, Verdict::Success);
            let key = converse(&mut pool, now, &of_session(7, 50_000));
            assert_eq!(key, home, "{strategy}");
        }
        assert_eq!(counts(&mut pool, now), (1, 50, 0), "{strategy}");
        let homes = pool.affinity_snapshot(now).homes;
        assert_eq!(homes, [(home.to_string(), 1)]);
    }
}

// acceptance 73
#[test]
fn a_session_leaves_a_home_that_is_out_at_once_and_stays_where_it_went() {
    let mut pool = pool(Strategy::RoundRobin, keys(3, Limits::default()));
    let home = converse(&mut pool, START, &of_session(7, 100));
    // Tried and failed for this very request.
    let excluded = [home];
    let again = Demand {
        excluded: &excluded,
        ..of_session(7, 100)
    };
    let second = converse(&mut pool, START, &again);
    assert_ne!(second, home);
    assert_eq!(converse(&mut pool, START, &of_session(7, 100)), second);
    // Cooling down, while the request could wait.
    let lease = take_for(&mut pool, START, &of_session(7, 100));
    assert_eq!(lease.key(), second);
    settle(&mut pool, START, lease, limited(Some(START + MINUTE)));
    let patient = Demand {
        wait: Some(wait(START, MINUTE * 5)),
        ..of_session(7, 100)
    };
    let third = converse(&mut pool, START, &patient);
    assert_ne!(third, second);
    // Disabled.
    let number = third.as_bits();
    pool.handle_admin(START, enable(number, false)).unwrap();
    assert_ne!(converse(&mut pool, START, &of_session(7, 100)), third);
}

/// Two keys with as much traffic, and a session on the one that is limited: it has room for the next
/// request of so many tokens in four seconds.
fn home_full_for_four_seconds(prompt: u64) -> (Pool, KeyId, Timestamp) {
    // A minute refills the limit, so a fifteenth of it takes four seconds.
    let limited = KeyConfig {
        limits: tpm(prompt * 15),
        ..key(1)
    };
    let mut pool = pool(Strategy::FillFirst, vec![limited, key(2)]);
    let home = [converse(&mut pool, START, &of_session(7, prompt))];
    for _ in 0..14 {
        converse(&mut pool, START, &of_session(8, prompt));
        let elsewhere = Demand {
            excluded: &home,
            ..of_session(9, prompt)
        };
        converse(&mut pool, START, &elsewhere);
    }
    (pool, home[0], refilled(SECOND * 4))
}

// acceptance 73
#[test]
fn a_warm_home_is_waited_for_as_long_as_a_rewrite_of_its_cache_would_take() {
    let (mut pool, home, room_at) = home_full_for_four_seconds(60_000);
    let patient = Demand {
        wait: Some(wait(START, MINUTE)),
        ..of_session(7, 60_000)
    };
    assert_eq!(
        pool.explain(START, &patient).refusal.unwrap().retry_at,
        Some(room_at)
    );
    let waiter = queued(&mut pool, START, &patient);
    assert_eq!(pool.poll_timeout().map(|(at, _)| at), Some(START));
    assert!(pool.poll_turn(START).is_none());
    assert_eq!(pool.poll_timeout().map(|(at, _)| at), Some(room_at));
    assert!(pool.poll_turn(just_before(room_at)).is_none());
    let (who, lease) = only_turn(&mut pool, room_at);
    assert_eq!((who, lease.key()), (waiter, home));
}

#[test]
fn a_home_that_is_full_for_longer_than_its_cache_is_worth_is_left_at_once() {
    let (mut pool, home, _) = home_full_for_four_seconds(20_000);
    let patient = Demand {
        wait: Some(wait(START, MINUTE)),
        ..of_session(7, 20_000)
    };
    assert_ne!(take_for(&mut pool, START, &patient).key(), home);
}

#[test]
fn a_request_that_may_not_wait_leaves_a_full_home_at_once() {
    let (mut pool, home, _) = home_full_for_four_seconds(60_000);
    let hasty = of_session(7, 60_000);
    assert_ne!(take_for(&mut pool, START, &hasty).key(), home);
}

#[test]
fn who_waited_for_home_in_vain_goes_elsewhere_when_the_price_is_paid() {
    let (mut pool, home, _) = home_full_for_four_seconds(60_000);
    let patient = Demand {
        wait: Some(wait(START, MINUTE)),
        ..of_session(7, 60_000)
    };
    queued(&mut pool, START, &patient);
    // Somebody else fills the home up again, for longer than a rewrite takes.
    let stated = [reading(
        keypool_pool::Dimension::TokensPerMinute,
        900_000,
        0,
    )];
    let hasty = of_session(8, 0);
    let lease = take_for(&mut pool, START, &hasty);
    assert_eq!(lease.key(), home);
    let later = START + SECOND * 3;
    let again = take_for(&mut pool, later, &hasty);
    pool.handle_quota_report(later, &again, &stated);
    let (_, granted) = only_turn(&mut pool, later);
    assert_ne!(granted.key(), home);
    drop((lease, again));
}

// acceptance 73, 69
#[test]
fn sessions_that_crowd_one_key_move_until_it_has_its_share() {
    let mut pool = pool(Strategy::LeastLoaded, keys(4, Limits::default()));
    let mut now = START;
    // All of them start on the first key.
    let others = [id(2), id(3), id(4)];
    for session in 0..20 {
        let crowded = Demand {
            excluded: &others,
            ..of_session(session, 0)
        };
        converse(&mut pool, now, &crowded);
    }
    assert_eq!(requests_by_key(&mut pool, now), [20, 0, 0, 0]);
    for _ in 0..30 {
        for session in 0..20 {
            now = now + Duration::from_millis(200);
            converse(&mut pool, now, &of_session(session, 10_000));
        }
    }
    let tokens = |pool: &mut Pool| -> Vec<u64> {
        let keys = pool.snapshot(now).keys;
        keys.iter().map(|key| key.usage.total()).collect()
    };
    let before = tokens(&mut pool);
    let all: u64 = before.iter().sum();
    assert!(
        before[0] * 100 <= all * 45,
        "the first key has let sessions go: {before:?}"
    );
    let (_, kept, moved) = counts(&mut pool, now);
    assert!(kept > moved * 10, "and most stay: {kept} against {moved}");
}

#[test]
fn a_session_that_is_nobodys_neighbour_is_not_driven_away_by_its_own_traffic() {
    let mut pool = pool(Strategy::LeastLoaded, keys(2, Limits::default()));
    let home = converse(&mut pool, START, &of_session(7, 200_000));
    for second in 1..100 {
        let now = START + SECOND * second;
        assert_eq!(converse(&mut pool, now, &of_session(7, 200_000)), home);
    }
}

#[test]
fn a_session_is_forgotten_some_time_after_its_last_request() {
    let config = PoolConfig {
        strategy: Strategy::RoundRobin,
        affinity: AffinityConfig {
            ttl: MINUTE,
            ..AffinityConfig::default()
        },
        keys: keys(3, Limits::default()),
        ..PoolConfig::default()
    };
    let mut pool = build(config);
    converse(&mut pool, START, &of_session(7, 100));
    let kept = START + SECOND * 59;
    assert_eq!(converse(&mut pool, kept, &of_session(7, 100)), id(1));
    assert_eq!(pool.affinity_snapshot(kept).sessions, 1);
    let ended = kept + MINUTE;
    assert_eq!(pool.affinity_snapshot(ended).sessions, 0);
    assert_eq!(converse(&mut pool, ended, &of_session(7, 100)), id(2));
}

#[test]
fn sessions_can_be_forgotten_and_affinity_switched_off() {
    let mut pool = pool(Strategy::RoundRobin, keys(2, Limits::default()));
    converse(&mut pool, START, &of_session(7, 100));
    assert_eq!(pool.forget_sessions(START), 1);
    assert_eq!(converse(&mut pool, START, &of_session(7, 100)), id(2));
    let off = PoolConfig {
        strategy: Strategy::RoundRobin,
        affinity: AffinityConfig {
            enabled: false,
            ..AffinityConfig::default()
        },
        keys: keys(2, Limits::default()),
        ..PoolConfig::default()
    };
    let mut pool = build(off);
    for expected in [1, 2, 1, 2] {
        let key = converse(&mut pool, START, &of_session(7, 100));
        assert_eq!(key, id(expected));
    }
    assert_eq!(pool.affinity_snapshot(START).sessions, 0);
}

const STATE: u64 = 99;

/// A pool in which the second of three keys made a state.
fn with_a_state() -> Pool {
    let mut pool = pool(Strategy::FillFirst, keys(3, Limits::default()));
    let first = [id(1)];
    let demand = Demand {
        excluded: &first,
        ..demand(100)
    };
    let lease = take_for(&mut pool, START, &demand);
    let outcome = Outcome {
        made_state: vec![STATE],
        ..outcome(Verdict::Success, Charge::AsReserved)
    };
    pool.handle_outcome(START, lease, &outcome);
    pool
}

fn with_state<'a>() -> Demand<'a> {
    Demand {
        state: &[STATE],
        ..demand(100)
    }
}

#[test]
fn a_request_that_carries_state_of_an_account_goes_to_the_key_that_made_it() {
    let mut pool = with_a_state();
    assert!(pool.knows_state(START, &[1, STATE]));
    assert!(!pool.knows_state(START, &[1]));
    for _ in 0..3 {
        let lease = take_for(&mut pool, START, &with_state());
        assert_eq!(lease.key(), id(2));
        settle(&mut pool, START, lease, Verdict::Success);
    }
    assert_eq!(
        run(&mut pool, START, Verdict::Success),
        id(1),
        "others do not"
    );
}

#[test]
fn state_goes_before_the_home_of_a_session() {
    let mut pool = with_a_state();
    converse(&mut pool, START, &of_session(7, 100));
    let both = Demand {
        session: Some(7),
        ..with_state()
    };
    assert_eq!(converse(&mut pool, START, &both), id(2));
}

#[test]
fn state_whose_maker_is_out_is_refused_and_never_sent_elsewhere() {
    let mut pool = with_a_state();
    pool.handle_admin(START, enable(2, false)).unwrap();
    let refusal = refused_for(&mut pool, START, &with_state());
    assert_eq!(
        (refusal.reason, refusal.retry_at),
        (RefusalReason::StateUnavailable, None)
    );
    let patient = Demand {
        wait: Some(wait(START, MINUTE)),
        ..with_state()
    };
    let refusal = refused_for(&mut pool, START, &patient);
    assert_eq!(refusal.reason, RefusalReason::StateUnavailable);
    let remove = keypool_pool::Command::RemoveKey(id(2));
    pool.handle_admin(START, remove).unwrap();
    let refusal = refused_for(&mut pool, START, &with_state());
    assert_eq!(refusal.reason, RefusalReason::StateUnavailable);
}

#[test]
fn state_whose_maker_is_cooling_down_waits_for_it() {
    let mut pool = with_a_state();
    let lease = take_for(&mut pool, START, &with_state());
    settle(&mut pool, START, lease, limited(Some(START + SECOND * 30)));
    let refusal = refused_for(&mut pool, START, &with_state());
    assert_eq!(refusal.retry_at, Some(START + SECOND * 30));
    let patient = Demand {
        wait: Some(wait(START, MINUTE)),
        ..with_state()
    };
    let waiter = queued(&mut pool, START, &patient);
    assert!(pool.poll_turn(START).is_none());
    let (who, lease) = only_turn(&mut pool, START + SECOND * 30);
    assert_eq!((who, lease.key()), (waiter, id(2)));
}

#[test]
fn keys_of_one_group_share_a_home_and_take_turns() {
    let join = |key| KeyConfig {
        quota_group: Some("org".to_owned()),
        ..key
    };
    let mut all: Vec<KeyConfig> = keys(2, Limits::default()).into_iter().map(join).collect();
    all.push(key(3));
    let config = PoolConfig {
        quota_groups: vec![("org".to_owned(), Limits::default())],
        keys: all,
        ..PoolConfig::default()
    };
    let mut pool = build(config);
    let mut used: Vec<KeyId> = (0..10)
        .map(|_| converse(&mut pool, START, &of_session(7, 100)))
        .collect();
    used.sort_unstable();
    used.dedup();
    assert_eq!(used, [id(1), id(2)]);
    assert_eq!(counts(&mut pool, START), (1, 9, 0));
    let homes = pool.affinity_snapshot(START).homes;
    assert_eq!(homes, [("org".to_owned(), 1)]);
}
