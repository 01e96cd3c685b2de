//! Which keys may be granted at all.

use keypool_pool::{
    Command, CooldownScope, Demand, KeyConfig, Limits, Pool, PoolConfig, RefusalReason, Strategy,
    Verdict,
};

use crate::support::*;

const MODEL_LIMITED: Verdict = Verdict::RateLimited {
    until: None,
    scope: CooldownScope::KeyModel,
};

fn for_model(model: &'static str) -> Demand<'static> {
    Demand { model, ..demand(0) }
}

/// Twenty requests one after the other, and the keys they fell on.
fn keys_drawn(pool: &mut Pool, demand: &Demand<'_>) -> Vec<u64> {
    let mut drawn: Vec<u64> = (0..20)
        .map(|_| {
            let lease = take_for(pool, START, demand);
            let key = lease.key().as_bits();
            settle(pool, START, lease, Verdict::Success);
            key
        })
        .collect();
    drawn.sort_unstable();
    drawn.dedup();
    drawn
}

// acceptance 11, 23
#[test]
fn no_strategy_grants_a_key_that_is_disabled_unavailable_limited_expired_or_full() {
    for strategy in Strategy::ALL {
        let list = vec![
            KeyConfig {
                enabled: false,
                ..key(1)
            },
            KeyConfig {
                expires_at: Some(START),
                ..key(2)
            },
            KeyConfig {
                limits: rpm(1),
                ..key(3)
            },
            KeyConfig {
                limits: Limits {
                    max_concurrent: Some(1),
                    ..Limits::default()
                },
                ..key(4)
            },
            KeyConfig {
                tags: vec!["invalid".to_owned()],
                ..key(5)
            },
            KeyConfig {
                tags: vec!["limited".to_owned()],
                ..key(6)
            },
            key(7),
        ];
        let mut pool = pool(strategy, list);
        let mut tagged = |tag: &str, verdict| {
            let tags = [tag.to_owned()];
            let lease = take_for(
                &mut pool,
                START,
                &Demand {
                    tags: &tags,
                    ..demand(0)
                },
            );
            settle(&mut pool, START, lease, verdict);
        };
        tagged("invalid", Verdict::Invalid);
        tagged("limited", limited(None));
        // Key 3 has one request, key 4 keeps one in flight.
        let mut held = Vec::new();
        while shown(&mut pool, START, 4).requests == 0 || shown(&mut pool, START, 3).requests == 0 {
            let lease = take_for(
                &mut pool,
                START,
                &Demand {
                    excluded: &[id(7)],
                    ..demand(0)
                },
            );
            held.push(lease);
        }
        assert_eq!(keys_drawn(&mut pool, &demand(0)), [7], "{strategy}");
        let listed = pool.snapshot(START).keys.len();
        assert_eq!(listed, 7, "a disabled key stays listed");
    }
}

#[test]
fn a_key_serves_only_models_that_its_globs_match() {
    for strategy in Strategy::ALL {
        let list = vec![
            KeyConfig {
                models: vec!["claude-*".to_owned()],
                ..key(1)
            },
            KeyConfig {
                models: vec!["gpt-4o".to_owned(), "*-mini".to_owned()],
                ..key(2)
            },
            key(3),
        ];
        let mut pool = pool(strategy, list);
        let of = |pool: &mut Pool, model: &'static str, excluded: &[_]| {
            take_for(
                pool,
                START,
                &Demand {
                    excluded,
                    ..for_model(model)
                },
            )
            .key()
        };
        assert_eq!(of(&mut pool, "claude-opus", &[id(3)]), id(1), "{strategy}");
        assert_eq!(of(&mut pool, "gpt-4o", &[id(3)]), id(2), "{strategy}");
        assert_eq!(of(&mut pool, "o5-mini", &[id(3)]), id(2), "{strategy}");
        assert_eq!(of(&mut pool, "gpt-4o-audio", &[]), id(3), "{strategy}");
        let unserved = Demand {
            excluded: &[id(3)],
            ..for_model("gpt-4o-audio")
        };
        assert_eq!(
            refused_for(&mut pool, START, &unserved).reason,
            RefusalReason::AllTried
        );
    }
}

// acceptance 12, 89
#[test]
fn a_demand_for_tags_is_served_only_by_keys_that_carry_all_of_them() {
    let tags = |tags: &[&str]| tags.iter().map(ToString::to_string).collect::<Vec<_>>();
    for strategy in Strategy::ALL {
        let list = vec![
            KeyConfig {
                tags: tags(&["production"]),
                ..key(1)
            },
            KeyConfig {
                tags: tags(&["production", "eu"]),
                ..key(2)
            },
            key(3),
        ];
        let mut pool = pool(strategy, list);
        let eu = tags(&["eu", "production"]);
        assert_eq!(
            keys_drawn(
                &mut pool,
                &Demand {
                    tags: &eu,
                    ..demand(0)
                }
            ),
            [2],
            "{strategy}"
        );
        let backup = tags(&["backup"]);
        let refusal = refused_for(
            &mut pool,
            START,
            &Demand {
                tags: &backup,
                ..demand(0)
            },
        );
        assert_eq!(refusal.reason, RefusalReason::NoKeyForTags);
    }
}

#[test]
fn a_refusal_for_one_model_leaves_the_key_to_the_others() {
    let mut pool = pool(Strategy::RoundRobin, keys(2, Limits::default()));
    let until = Some(START + SECOND * 10);
    let verdict = Verdict::RateLimited {
        until,
        scope: CooldownScope::KeyModel,
    };
    let lease = take_for(&mut pool, START, &for_model("a"));
    assert_eq!(lease.key(), id(1));
    settle(&mut pool, START, lease, verdict);
    assert_eq!(keys_drawn(&mut pool, &for_model("a")), [2]);
    assert_eq!(keys_drawn(&mut pool, &for_model("b")), [1, 2]);
    assert_eq!(
        shown(&mut pool, START, 1).barred_models,
        [("a".to_owned(), until)]
    );
    // Both keys out for this model: the first to return is named.
    let lease = take_for(&mut pool, START, &for_model("a"));
    settle(&mut pool, START, lease, MODEL_LIMITED);
    let refusal = refused_for(&mut pool, START, &for_model("a"));
    assert_eq!(
        (refusal.reason, refusal.retry_at),
        (RefusalReason::NoRoom, until)
    );
    assert_eq!(
        take_for(&mut pool, START + SECOND * 10, &for_model("a")).key(),
        id(1)
    );
}

#[test]
fn a_model_that_was_denied_is_asked_for_again_after_an_hour() {
    let mut pool = pool(Strategy::RoundRobin, keys(1, Limits::default()));
    let lease = take_for(&mut pool, START, &for_model("a"));
    settle(&mut pool, START, lease, Verdict::ModelDenied);
    let refusal = refused_for(&mut pool, START, &for_model("a"));
    assert_eq!(
        (refusal.reason, refusal.retry_at),
        (RefusalReason::NoKeyForModel, None)
    );
    assert_eq!(keys_drawn(&mut pool, &for_model("b")), [1]);
    assert_eq!(score(&mut pool, START, 1), 100);
    let hour = START + MINUTE * 60;
    refused_for(&mut pool, just_before(hour), &for_model("a"));
    drop(take_for(&mut pool, hour, &for_model("a")));
}

#[test]
fn a_refusal_of_the_group_reaches_all_its_keys_and_no_other() {
    let join = |key| KeyConfig {
        quota_group: Some("org".to_owned()),
        ..key
    };
    let config = || PoolConfig {
        strategy: Strategy::RoundRobin,
        quota_groups: vec![("org".to_owned(), Limits::default())],
        keys: vec![join(key(1)), key(2), join(key(3))],
        ..PoolConfig::default()
    };
    let until = Some(START + SECOND * 10);

    let mut pool = build(config());
    run(
        &mut pool,
        START,
        Verdict::RateLimited {
            until,
            scope: CooldownScope::Group,
        },
    );
    assert_eq!(keys_drawn(&mut pool, &demand(0)), [2]);
    for number in [1, 3] {
        assert_eq!(shown(&mut pool, START, number).rate_limited_until, until);
    }

    let mut pool = build(config());
    let scope = CooldownScope::GroupModel;
    let lease = take_for(&mut pool, START, &for_model("a"));
    settle(
        &mut pool,
        START,
        lease,
        Verdict::RateLimited { until, scope },
    );
    assert_eq!(keys_drawn(&mut pool, &for_model("a")), [2]);
    assert_eq!(keys_drawn(&mut pool, &for_model("b")), [1, 2, 3]);

    let mut pool = build(config());
    run(
        &mut pool,
        START,
        Verdict::OutOfCredit {
            until: None,
            scope: CooldownScope::Group,
        },
    );
    assert_eq!(keys_drawn(&mut pool, &demand(0)), [2]);
}

#[test]
fn a_tried_key_is_never_drawn_again_for_the_same_request() {
    for strategy in Strategy::ALL {
        let mut pool = pool(strategy, keys(100, Limits::default()));
        let mut tried = Vec::new();
        for _ in 0..100 {
            let lease = take_for(
                &mut pool,
                START,
                &Demand {
                    excluded: &tried,
                    ..demand(0)
                },
            );
            assert!(!tried.contains(&lease.key()), "{strategy}");
            tried.push(lease.key());
            settle(&mut pool, START, lease, FAULT);
        }
        let refusal = refused_for(
            &mut pool,
            START,
            &Demand {
                excluded: &tried,
                ..demand(0)
            },
        );
        assert_eq!(refusal.reason, RefusalReason::AllTried, "{strategy}");
        assert_eq!(
            refusal.retry_at,
            Some(START),
            "{strategy}: a fresh attempt could go now"
        );
    }
}

// A refusal that is remembered must not outlive what made it true.
#[test]
fn in_a_large_pool_a_remembered_refusal_ends_with_the_first_room() {
    let mut pool = pool(Strategy::LeastLoaded, keys(1000, rpm(1)));
    let mut leases: Vec<_> = (0..1000).map(|_| take(&mut pool, START)).collect();
    let first = refused(&mut pool, START);
    assert_eq!(first.retry_at, Some(refilled(MINUTE)));
    assert_eq!(refused(&mut pool, START + SECOND), first);

    // Given back by a request that never left.
    let lease = leases.pop().unwrap();
    pool.handle_outcome(
        START + SECOND,
        lease,
        &outcome(Verdict::Cancelled, keypool_pool::Charge::Nothing),
    );
    leases.push(take(&mut pool, START + SECOND));
    refused(&mut pool, START + SECOND);

    // Dropped leases are charged: no room comes from them.
    leases.truncate(500);
    refused(&mut pool, START + SECOND);

    // A key that is added, a key that returns, and time.
    pool.handle_admin(START + SECOND, Command::AddKey(key(5000)))
        .unwrap();
    assert_eq!(
        run(&mut pool, START + SECOND, limited(Some(START + SECOND * 5))),
        id(5000)
    );
    let refusal = refused(&mut pool, START + SECOND);
    assert_eq!(refusal.retry_at, Some(START + SECOND * 5));
    assert_eq!(run(&mut pool, START + SECOND * 5, limited(None)), id(5000));
    for _ in 0..999 {
        drop(take(&mut pool, refilled(MINUTE)));
    }
}
