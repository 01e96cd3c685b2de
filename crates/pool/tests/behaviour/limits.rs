//! Quotas: what fits, until when what does not, and what comes back.

use std::time::Duration;

use crate::support::*;
use keypool_pool::{
    BarReason, Charge, ConfigError, Demand, Dimension, KeyConfig, Limits, Pool, PoolConfig,
    RefusalReason, Standing, Strategy, Verdict, Window,
};

fn group(name: &str, limits: Limits) -> Vec<(String, Limits)> {
    vec![(name.to_owned(), limits)]
}

fn members(count: u64, limits: Limits) -> Vec<KeyConfig> {
    let join = |key| KeyConfig {
        quota_group: Some("org".to_owned()),
        ..key
    };
    keys(count, limits).into_iter().map(join).collect()
}

// acceptance 7
#[test]
fn requests_per_minute_are_held_to_and_the_refusal_names_the_instant_of_the_next_one() {
    let mut pool = pool(Strategy::LeastLoaded, keys(1, rpm(60)));
    for _ in 0..60 {
        run(&mut pool, START, Verdict::Success);
    }
    let refusal = refused(&mut pool, START);
    assert_eq!(refusal.reason, RefusalReason::NoRoom);
    // 60 a minute refill one each second, from when the first may have arrived.
    let room_at = refilled(SECOND);
    assert_eq!(refusal.retry_at, Some(room_at));
    refused(&mut pool, just_before(room_at));
    run(&mut pool, room_at, Verdict::Success);
    refused(&mut pool, room_at);
}

// acceptance 7
#[test]
fn a_sliding_window_never_lets_more_than_the_limit_through_in_any_minute() {
    let config = PoolConfig {
        window: Window::Sliding,
        keys: keys(1, rpm(50)),
        ..PoolConfig::default()
    };
    let mut pool = build(config);
    let mut granted = Vec::new();
    // Offered ten a second for five minutes.
    for tenth in 0..3000_u32 {
        let now = START + Duration::from_millis(100) * tenth;
        if ask(&mut pool, now, &demand(0)).is_ok() {
            granted.push(now);
        }
    }
    for (first, &at) in granted.iter().enumerate() {
        let in_window = granted[first..]
            .iter()
            .take_while(|&&other| other < at + MINUTE)
            .count();
        assert!(in_window <= 50, "{in_window} within a minute of {at}");
    }
    // Four rounds of 50, each at most 61 s after the last: little is lost to caution.
    assert!(granted.len() >= 245, "{}", granted.len());
}

// acceptance 8
#[test]
fn tokens_per_minute_are_reserved_at_grant_and_replaced_by_what_was_used() {
    let mut pool = pool(Strategy::LeastLoaded, keys(1, tpm(1000)));
    let lease = take_for(&mut pool, START, &demand(800));
    assert_eq!(lease.reserved(), (800, 0));
    // 200 are left, and 1000 a minute refill the missing 100 in 6 s.
    let refusal = refused_for(&mut pool, START, &demand(300));
    assert_eq!(refusal.retry_at, Some(refilled(SECOND * 6)));
    let used = Charge::Actual {
        input_tokens: 100,
        output_tokens: 100,
    };
    pool.handle_outcome(START, lease, &outcome(Verdict::Success, used));
    // Of another model, of whose estimates nothing has been learned.
    let other = |tokens| Demand {
        model: "n",
        ..demand(tokens)
    };
    refused_for(&mut pool, START, &other(801));
    drop(take_for(&mut pool, START, &other(800)));
    refused_for(&mut pool, START, &other(1));
}

#[test]
fn more_than_reserved_puts_the_meter_into_debt_which_delays_the_next_grant() {
    let (input_tokens, output_tokens) = (600, 300);
    for used in [
        Charge::Actual {
            input_tokens,
            output_tokens,
        },
        Charge::Estimated {
            input_tokens,
            output_tokens,
        },
    ] {
        let mut pool = pool(Strategy::LeastLoaded, keys(1, tpm(600)));
        let lease = take_for(&mut pool, START, &demand(600));
        pool.handle_outcome(START, lease, &outcome(Verdict::Success, used));
        let [meter] = &shown(&mut pool, START, 1).meters[..] else {
            panic!("one meter")
        };
        assert_eq!(
            (meter.used, meter.reserved, meter.remaining),
            (900, 0, -300)
        );
        // 300 of debt and 10 more, at 10 a second.
        let refusal = refused_for(&mut pool, START, &demand(10));
        assert_eq!(refusal.retry_at, Some(refilled(SECOND * 31)));
        drop(take_for(&mut pool, refilled(SECOND * 31), &demand(10)));
    }
}

#[test]
fn what_never_reached_the_provider_is_given_back_in_full() {
    let limits = Limits {
        requests_per_day: Some(1),
        ..tpm(100)
    };
    let mut pool = pool(Strategy::LeastLoaded, keys(1, limits));
    let lease = take_for(&mut pool, START, &demand(100));
    refused_for(&mut pool, START, &demand(100));
    pool.handle_outcome(START, lease, &outcome(Verdict::Cancelled, Charge::Nothing));
    let lease = take_for(&mut pool, START, &demand(100));
    // A request that the provider refused counts as one, but its tokens do not.
    pool.handle_outcome(
        START,
        lease,
        &outcome(Verdict::ClientError, Charge::RequestOnly),
    );
    let meters = shown(&mut pool, START, 1).meters;
    let used: Vec<u64> = meters.iter().map(|meter| meter.used).collect();
    assert_eq!(used, [0, 1]);
    let refusal = refused_for(&mut pool, START, &demand(0));
    assert_eq!(refusal.retry_at, Some(START.next_utc_midnight()));
}

// acceptance 9
#[test]
fn a_day_limit_lasts_until_midnight_utc() {
    let limits = Limits {
        requests_per_day: Some(3),
        ..Limits::default()
    };
    let mut pool = pool(Strategy::RoundRobin, keys(1, limits));
    for _ in 0..3 {
        run(&mut pool, START, Verdict::Success);
    }
    let midnight = START.next_utc_midnight();
    assert_eq!(refused(&mut pool, START).retry_at, Some(midnight));
    refused(&mut pool, START + Duration::from_mins(100));
    run(&mut pool, midnight, Verdict::Success);
}

#[test]
fn input_and_output_tokens_have_limits_of_their_own() {
    let limits = Limits {
        input_tokens_per_minute: Some(100),
        output_tokens_per_minute: Some(10),
        ..Limits::default()
    };
    let mut pool = pool(Strategy::LeastLoaded, keys(1, limits));
    let want = |input_tokens, output_tokens| Demand {
        input_tokens,
        output_tokens,
        ..demand(0)
    };
    let first = take_for(&mut pool, START, &want(90, 1));
    assert_eq!(
        refused_for(&mut pool, START, &want(11, 0)).reason,
        RefusalReason::NoRoom
    );
    let second = take_for(&mut pool, START, &want(10, 9));
    assert_eq!(
        refused_for(&mut pool, START, &want(0, 1)).reason,
        RefusalReason::NoRoom
    );
    drop((first, second));
}

#[test]
fn a_request_larger_than_any_whole_limit_is_told_so() {
    let mut pool = pool(Strategy::LeastLoaded, keys(2, tpm(1000)));
    let refusal = refused_for(&mut pool, START, &demand(1001));
    assert_eq!(
        (refusal.reason, refusal.retry_at),
        (RefusalReason::TooLarge, None)
    );
    // With one key that is large enough, but has no room now, waiting does help.
    let larger = KeyConfig {
        limits: tpm(2000),
        ..key(3)
    };
    pool.handle_admin(START, keypool_pool::Command::AddKey(larger))
        .unwrap();
    let lease = take_for(&mut pool, START, &demand(1500));
    let refusal = refused_for(&mut pool, START, &demand(1500));
    assert_eq!(refusal.reason, RefusalReason::NoRoom);
    assert_eq!(refusal.retry_at, Some(refilled(SECOND * 30)));
    drop(lease);
}

#[test]
fn no_more_requests_are_in_flight_than_allowed_and_an_end_makes_room_at_once() {
    let limits = Limits {
        max_concurrent: Some(2),
        ..Limits::default()
    };
    let mut pool = pool(Strategy::LeastLoaded, keys(1, limits));
    let first = take(&mut pool, START);
    let second = take(&mut pool, START);
    let refusal = refused(&mut pool, START);
    assert_eq!(
        (refusal.reason, refusal.retry_at),
        (RefusalReason::NoRoom, Some(START + SECOND))
    );
    settle(&mut pool, START, first, Verdict::Success);
    let third = take(&mut pool, START);
    refused(&mut pool, START);
    drop((second, third));
}

#[test]
fn keys_of_one_group_share_its_limits() {
    let config = PoolConfig {
        strategy: Strategy::RoundRobin,
        quota_groups: group("org", rpm(6)),
        keys: members(3, rpm(100)),
        ..PoolConfig::default()
    };
    let mut pool = build(config);
    for _ in 0..6 {
        run(&mut pool, START, Verdict::Success);
    }
    assert_eq!(
        refused(&mut pool, START).retry_at,
        Some(refilled(SECOND * 10))
    );
    assert_eq!(requests_by_key(&mut pool, START), [2, 2, 2]);
    let groups = pool.snapshot(START).groups;
    assert_eq!(
        (groups[0].name.as_str(), groups[0].meters[0].remaining),
        ("org", 0)
    );
    run(&mut pool, refilled(SECOND * 10), Verdict::Success);
}

#[test]
fn what_one_key_gives_back_to_its_group_another_can_use_at_once() {
    let config = PoolConfig {
        quota_groups: group("org", rpm(1)),
        keys: members(3, Limits::default()),
        ..PoolConfig::default()
    };
    let mut pool = build(config);
    let lease = take(&mut pool, START);
    let first = lease.key();
    refused(&mut pool, START);
    pool.handle_outcome(START, lease, &outcome(Verdict::Cancelled, Charge::Nothing));
    assert_ne!(take(&mut pool, START).key(), first);
}

#[test]
fn a_busy_group_has_room_again_when_one_of_its_requests_ends() {
    let config = PoolConfig {
        quota_groups: group(
            "org",
            Limits {
                max_concurrent: Some(1),
                ..Limits::default()
            },
        ),
        keys: members(3, Limits::default()),
        ..PoolConfig::default()
    };
    let mut pool = build(config);
    let lease = take(&mut pool, START);
    assert_eq!(refused(&mut pool, START).retry_at, Some(START + SECOND));
    settle(&mut pool, START, lease, Verdict::Success);
    run(&mut pool, START, Verdict::Success);
}

#[test]
fn a_configuration_that_cannot_be_meant_is_refused() {
    let build = |config| Pool::new(START, config).map(|_| ()).unwrap_err();
    let twice = PoolConfig {
        keys: vec![key(1), key(1)],
        ..PoolConfig::default()
    };
    assert_eq!(build(twice), ConfigError::DuplicateKey(id(1)));
    let lost = PoolConfig {
        keys: members(1, Limits::default()),
        ..PoolConfig::default()
    };
    assert_eq!(
        build(lost),
        ConfigError::UnknownGroup {
            key: id(1),
            group: "org".to_owned()
        }
    );
    let groups = [group("a", rpm(1)), group("a", rpm(2))].concat();
    let doubled = PoolConfig {
        quota_groups: groups,
        ..PoolConfig::default()
    };
    assert_eq!(build(doubled), ConfigError::DuplicateGroup("a".to_owned()));
    for limit in [0, u64::MAX] {
        let config = PoolConfig {
            keys: keys(1, tpm(limit)),
            ..PoolConfig::default()
        };
        let dimension = Dimension::TokensPerMinute;
        let owner = id(1).to_string();
        assert_eq!(
            build(config),
            ConfigError::LimitOutOfRange {
                owner,
                dimension,
                limit
            }
        );
    }
}

#[test]
fn an_explanation_tells_for_each_key_what_stands_against_it_and_until_when() {
    let want = Demand {
        model: "claude-x",
        ..demand(500)
    };
    let configs = vec![
        KeyConfig {
            models: vec!["gpt-*".to_owned()],
            ..key(1)
        },
        KeyConfig {
            enabled: false,
            ..key(2)
        },
        KeyConfig {
            limits: tpm(100),
            ..key(3)
        },
        KeyConfig {
            limits: tpm(600),
            ..key(4)
        },
        KeyConfig {
            limits: tpm(6000),
            ..key(5)
        },
        KeyConfig {
            limits: tpm(60_000),
            ..key(6)
        },
    ];
    let mut pool = pool(Strategy::FillFirst, configs);
    let lease = take_for(&mut pool, START, &want);
    assert_eq!(lease.key(), id(4));
    let until = Some(refilled(SECOND * 40));
    let barred = |reason| Standing::Barred {
        reason,
        until: None,
    };
    let expected = [
        (id(1), barred(BarReason::ModelNotListed)),
        (id(2), barred(BarReason::Disabled)),
        (
            id(3),
            barred(BarReason::TooLarge(Dimension::TokensPerMinute)),
        ),
        (
            id(4),
            Standing::Barred {
                reason: BarReason::NoRoom(Dimension::TokensPerMinute),
                until,
            },
        ),
        (id(5), Standing::Chosen { load: 0.0 }),
        (id(6), Standing::Eligible { load: 0.0 }),
    ];
    let explanation = pool.explain(START, &want);
    assert_eq!(explanation.keys, expected);
    assert_eq!(explanation.refusal, None);
    assert_eq!(
        take_for(&mut pool, START, &want).key(),
        id(5),
        "as was foretold"
    );
}

#[test]
fn the_reason_of_a_refusal_is_that_of_the_best_hope() {
    let want = Demand {
        model: "claude-x",
        ..demand(0)
    };
    let tagged = |number, tag: &str| KeyConfig {
        tags: vec![tag.to_owned()],
        ..key(number)
    };
    let gpt = KeyConfig {
        models: vec!["gpt-*".to_owned()],
        ..key(1)
    };
    let off = KeyConfig {
        enabled: false,
        ..tagged(3, "a")
    };
    let wants_a = ["a".to_owned()];
    let tried = [id(4)];
    let pool_of = |keys: Vec<KeyConfig>, demand: Demand<'_>| {
        refused_for(&mut pool(Strategy::Lru, keys), START, &demand).reason
    };
    let tagged_demand = Demand {
        tags: &wants_a,
        ..want
    };
    let retried = Demand {
        excluded: &tried,
        ..tagged_demand
    };

    assert_eq!(pool_of(vec![], want), RefusalReason::NoKeys);
    assert_eq!(
        pool_of(vec![gpt.clone()], want),
        RefusalReason::NoKeyForModel
    );
    let mut list = vec![gpt, tagged(2, "b")];
    assert_eq!(
        pool_of(list.clone(), tagged_demand),
        RefusalReason::NoKeyForTags
    );
    list.push(off);
    assert_eq!(
        pool_of(list.clone(), tagged_demand),
        RefusalReason::AllUnavailable
    );
    list.push(tagged(4, "a"));
    assert_eq!(pool_of(list.clone(), retried), RefusalReason::AllTried);
    list.push(KeyConfig {
        limits: tpm(10),
        ..tagged(5, "a")
    });
    let large = Demand {
        input_tokens: 11,
        ..retried
    };
    assert_eq!(pool_of(list, large), RefusalReason::TooLarge);
}

#[test]
fn when_all_keys_were_tried_the_refusal_names_when_the_first_of_them_has_room() {
    let mut pool = pool(Strategy::RoundRobin, keys(2, Limits::default()));
    run(&mut pool, START, limited(Some(START + SECOND * 30)));
    run(&mut pool, START, limited(Some(START + SECOND * 20)));
    let tried = [id(1), id(2)];
    let refusal = refused_for(
        &mut pool,
        START,
        &Demand {
            excluded: &tried,
            ..demand(0)
        },
    );
    assert_eq!(refusal.reason, RefusalReason::AllTried);
    assert_eq!(refusal.retry_at, Some(START + SECOND * 20));
    // With one of them left, its cool-down is the reason.
    let refusal = refused_for(
        &mut pool,
        START,
        &Demand {
            excluded: &tried[..1],
            ..demand(0)
        },
    );
    assert_eq!(refusal.reason, RefusalReason::NoRoom);
    assert_eq!(refusal.retry_at, Some(START + SECOND * 20));
}

// A limit kept as a lifetime counter would be used up within the first hour.
#[test]
fn a_week_at_full_load_keeps_full_throughput() {
    for window in [Window::Bucket, Window::Sliding] {
        let config = PoolConfig {
            window,
            keys: keys(3, rpm(10)),
            ..PoolConfig::default()
        };
        let mut pool = build(config);
        let mut last_day = 0;
        // Offered 40 a minute, more than three keys of 10 a minute can take.
        for step in 0..7 * 57_600_u32 {
            let now = START + Duration::from_millis(1500) * step;
            if let Ok(lease) = ask(&mut pool, now, &demand(10)) {
                settle(&mut pool, now, lease, Verdict::Success);
                last_day += u32::from(step >= 6 * 57_600);
            }
        }
        // 30 a minute are 43,200 a day. A round of the sliding window ends at the first offer after
        // 60.5 s, which comes at 61.5 s: 42,146 a day.
        let least = if window == Window::Bucket {
            43_199
        } else {
            42_140
        };
        assert!(
            (least..=43_201).contains(&last_day),
            "{window:?}: {last_day}"
        );
    }
}
