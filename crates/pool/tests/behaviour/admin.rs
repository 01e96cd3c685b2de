//! Commands while requests are in flight.

use keypool_pool::{
    AdminError, Applied, Command, ConfigError, Edit, KeyConfig, KeyPatch, KeyState, Limits, Pool,
    PoolConfig, Priority, RefusalReason, Strategy, Verdict, Window,
};

use crate::support::*;

fn obey(pool: &mut Pool, command: Command) -> Applied {
    pool.handle_admin(START, command).unwrap()
}

// acceptance 32, 34, 88
#[test]
fn a_key_is_usable_by_the_next_request_after_it_was_added_and_by_none_after_it_was_removed() {
    for strategy in Strategy::ALL {
        let mut pool = pool(strategy, keys(1, Limits::default()));
        let in_flight = take(&mut pool, START);
        obey(&mut pool, Command::AddKey(key(2)));
        obey(&mut pool, Command::RemoveKey(id(1)));
        for _ in 0..10 {
            assert_eq!(run(&mut pool, START, Verdict::Success), id(2), "{strategy}");
        }
        settle(&mut pool, START, in_flight, Verdict::Success);
        obey(&mut pool, Command::RemoveKey(id(2)));
        assert_eq!(
            refused(&mut pool, START).reason,
            RefusalReason::NoKeys,
            "{strategy}"
        );
    }
}

#[test]
fn a_command_that_cannot_be_obeyed_changes_nothing() {
    let mut pool = pool(Strategy::Lru, keys(1, rpm(5)));
    let before = pool.snapshot(START);
    let lost = KeyConfig {
        quota_group: Some("x".to_owned()),
        ..key(2)
    };
    let to_nowhere = KeyPatch {
        quota_group: Edit::Set("x".to_owned()),
        ..KeyPatch::default()
    };
    let limitless = KeyPatch {
        limits: Some(rpm(0)),
        ..KeyPatch::default()
    };
    let doubled = PoolConfig {
        keys: vec![key(1), key(1)],
        ..PoolConfig::default()
    };
    let unknown_group = |key| ConfigError::UnknownGroup {
        key,
        group: "x".to_owned(),
    };
    for (command, error) in [
        (Command::AddKey(key(1)), AdminError::DuplicateKey(id(1))),
        (
            Command::AddKey(lost),
            AdminError::Config(unknown_group(id(2))),
        ),
        (Command::RemoveKey(id(9)), AdminError::UnknownKey(id(9))),
        (
            Command::UpdateKey(id(9), KeyPatch::default()),
            AdminError::UnknownKey(id(9)),
        ),
        (
            Command::UpdateKey(id(1), to_nowhere),
            AdminError::Config(unknown_group(id(1))),
        ),
        (Command::Rotate, AdminError::NoOtherKey),
        (
            Command::Reconfigure(doubled),
            AdminError::Config(ConfigError::DuplicateKey(id(1))),
        ),
    ] {
        if matches!(command, Command::Rotate) {
            run(&mut pool, START, Verdict::Success);
        }
        assert_eq!(pool.handle_admin(START, command), Err(error));
    }
    assert!(
        pool.handle_admin(START, Command::UpdateKey(id(1), limitless))
            .is_err()
    );
    let after = pool.snapshot(START);
    assert_eq!(after.keys[0].config, before.keys[0].config);
    assert_eq!(after.keys.len(), 1);
}

// acceptance 36
#[test]
fn rotate_makes_the_next_grant_go_to_the_key_it_names_and_not_to_the_last_one() {
    for strategy in Strategy::ALL {
        let mut pool = pool(strategy, keys(3, Limits::default()));
        for _ in 0..20 {
            let last = run(&mut pool, START, Verdict::Success);
            let Applied::Rotated { key: promised } = obey(&mut pool, Command::Rotate) else {
                panic!("a rotation names a key")
            };
            assert_ne!(promised, last, "{strategy}");
            assert_eq!(
                run(&mut pool, START, Verdict::Success),
                promised,
                "{strategy}"
            );
        }
    }
}

// acceptance 36
#[test]
fn rotate_reports_when_there_is_no_other_key() {
    let mut pool = pool(Strategy::LeastLoaded, keys(2, rpm(100)));
    run(&mut pool, START, limited(None));
    run(&mut pool, START, Verdict::Success);
    assert_eq!(
        pool.handle_admin(START, Command::Rotate),
        Err(AdminError::NoOtherKey)
    );
    // And a promise that cannot be kept any more does not hold up a request.
    obey(&mut pool, enable(1, true));
    assert_eq!(
        obey(&mut pool, Command::Rotate),
        Applied::Rotated { key: id(1) }
    );
    obey(&mut pool, enable(1, false));
    assert_eq!(run(&mut pool, START, Verdict::Success), id(2));
}

#[test]
fn a_patch_changes_what_it_names_and_keeps_the_rest() {
    let mut pool = pool(Strategy::LeastLoaded, keys(1, rpm(10)));
    for _ in 0..4 {
        run(&mut pool, START, Verdict::Success);
    }
    let json = r#"{"name":"team-a","priority":90,"limits":{"requestsPerMinute":5}}"#;
    let patch: KeyPatch = serde_json::from_str(json).unwrap();
    assert_eq!(
        serde_json::from_str::<KeyPatch>(&serde_json::to_string(&patch).unwrap()).unwrap(),
        patch
    );
    obey(&mut pool, Command::UpdateKey(id(1), patch));
    let seen = shown(&mut pool, START, 1);
    assert_eq!(seen.config.name.as_deref(), Some("team-a"));
    assert_eq!(seen.config.priority, Priority::try_from(90).unwrap());
    // The new limit holds at once, and what was used stays used.
    assert_eq!((seen.meters[0].limit, seen.meters[0].used), (5, 4));
    run(&mut pool, START, Verdict::Success);
    refused(&mut pool, START);
    let patch: KeyPatch = serde_json::from_str(r#"{"name":null}"#).unwrap();
    obey(&mut pool, Command::UpdateKey(id(1), patch));
    assert_eq!(shown(&mut pool, START, 1).config.name, None);
    assert!(serde_json::from_str::<KeyPatch>(r#"{"nmae":null}"#).is_err());
}

#[test]
fn a_key_that_is_disabled_finishes_its_requests_and_takes_no_more() {
    let mut pool = pool(Strategy::LeastLoaded, keys(1, Limits::default()));
    let in_flight = take(&mut pool, START);
    obey(&mut pool, enable(1, false));
    assert_eq!(
        refused(&mut pool, START).reason,
        RefusalReason::AllUnavailable
    );
    settle(&mut pool, START, in_flight, Verdict::Success);
    refused(&mut pool, START);
    assert_eq!(shown(&mut pool, START, 1).successes, 1);
    obey(&mut pool, enable(1, true));
    run(&mut pool, START, Verdict::Success);
}

fn grouped(number: u64, group: &str, limits: Limits) -> KeyConfig {
    KeyConfig {
        quota_group: Some(group.to_owned()),
        limits,
        ..key(number)
    }
}

#[test]
fn a_new_configuration_keeps_health_usage_and_leases_of_the_keys_that_stay() {
    let groups = |limit| vec![("org".to_owned(), rpm(limit))];
    let mut pool = build(PoolConfig {
        strategy: Strategy::FillFirst,
        quota_groups: groups(100),
        keys: vec![grouped(1, "org", rpm(10)), key(2), key(3)],
        ..PoolConfig::default()
    });
    for verdict in [Verdict::Success, FAULT, Verdict::Success] {
        run(&mut pool, START, verdict);
    }
    let in_flight = take(&mut pool, START);
    let excluded = [id(1), id(2)];
    let of_gone = take_for(
        &mut pool,
        START,
        &keypool_pool::Demand {
            excluded: &excluded,
            ..demand(0)
        },
    );
    obey(
        &mut pool,
        Command::Reconfigure(PoolConfig {
            strategy: Strategy::RoundRobin,
            window: Window::Sliding,
            quota_groups: groups(6),
            keys: vec![key(4), grouped(1, "org", rpm(5)), key(2)],
            ..PoolConfig::default()
        }),
    );
    let snapshot = pool.snapshot(START);
    let order: Vec<_> = snapshot.keys.iter().map(|key| key.config.id).collect();
    assert_eq!(
        (snapshot.strategy, order),
        (Strategy::RoundRobin, vec![id(4), id(1), id(2)])
    );
    let kept = &snapshot.keys[1];
    assert_eq!(
        (kept.requests, kept.health_score, kept.in_flight),
        (4, 96, 1)
    );
    assert_eq!((kept.meters[0].limit, kept.meters[0].remaining), (5, 1));
    assert_eq!(snapshot.groups[0].meters[0].remaining, 2);
    settle(&mut pool, START, in_flight, Verdict::Success);
    settle(&mut pool, START, of_gone, Verdict::Success);
    // Round-robin goes on behind the key it used last, in the new order.
    assert_eq!(shown(&mut pool, START, 1).in_flight, 0);
    let drawn: Vec<_> = (0..4)
        .map(|_| run(&mut pool, START, Verdict::Success))
        .collect();
    assert_eq!(drawn, [id(4), id(1), id(2), id(4)]);
}

#[test]
fn a_key_that_moves_to_another_group_takes_only_its_new_leases_along() {
    let groups = || vec![("a".to_owned(), rpm(10)), ("b".to_owned(), rpm(10))];
    let config = |group| PoolConfig {
        quota_groups: groups(),
        keys: vec![grouped(1, group, Limits::default())],
        ..PoolConfig::default()
    };
    let mut pool = build(config("a"));
    let old = take(&mut pool, START);
    obey(&mut pool, Command::Reconfigure(config("b")));
    let new = take(&mut pool, START);
    let in_flight = |pool: &mut Pool| {
        pool.snapshot(START)
            .groups
            .iter()
            .map(|group| group.in_flight)
            .collect::<Vec<_>>()
    };
    assert_eq!(in_flight(&mut pool), [1, 1]);
    settle(&mut pool, START, old, Verdict::Success);
    assert_eq!(in_flight(&mut pool), [0, 1]);
    settle(&mut pool, START, new, Verdict::Success);
    // Without the groups, and with one that comes back.
    obey(
        &mut pool,
        Command::Reconfigure(PoolConfig {
            keys: vec![key(1)],
            ..PoolConfig::default()
        }),
    );
    assert_eq!(pool.snapshot(START).groups.len(), 0);
    run(&mut pool, START, Verdict::Success);
    obey(&mut pool, Command::Reconfigure(config("a")));
    assert_eq!(pool.snapshot(START).groups[0].meters[0].used, 0);
}

#[test]
fn a_reload_does_not_return_a_key_that_is_out() {
    let mut pool = pool(Strategy::Lru, keys(2, Limits::default()));
    run(&mut pool, START, Verdict::Invalid);
    run(&mut pool, START, limited(None));
    let same = PoolConfig {
        keys: keys(2, Limits::default()),
        ..PoolConfig::default()
    };
    obey(&mut pool, Command::Reconfigure(same));
    assert_eq!(state(&mut pool, START, 1), KeyState::Unavailable);
    assert_eq!(state(&mut pool, START, 2), KeyState::RateLimited);
    assert_eq!(refused(&mut pool, START).reason, RefusalReason::NoRoom);
}

#[test]
fn data_in_and_out_survives_json() {
    let mut pool = pool(Strategy::LeastLoaded, keys(2, rpm(10)));
    let _lease = take(&mut pool, START);
    run(&mut pool, START, limited(None));
    let snapshot = pool.snapshot(START);
    let json = serde_json::to_string(&snapshot).unwrap();
    assert!(json.contains(r#""healthScore":"#) && json.contains(r#""state":"rate-limited""#));
    assert_eq!(
        serde_json::from_str::<keypool_pool::PoolSnapshot>(&json).unwrap(),
        snapshot
    );
    let explanation = pool.explain(START, &demand(1));
    let json = serde_json::to_string(&explanation).unwrap();
    assert_eq!(
        serde_json::from_str::<keypool_pool::Explanation>(&json).unwrap(),
        explanation
    );
    for output in outputs(&mut pool, START) {
        let json = serde_json::to_string(&output).unwrap();
        assert_eq!(
            serde_json::from_str::<keypool_pool::Output>(&json).unwrap(),
            output
        );
    }
    for verdict in [FAULT, limited(Some(START)), Verdict::Invalid] {
        let json = serde_json::to_string(&verdict).unwrap();
        assert_eq!(serde_json::from_str::<Verdict>(&json).unwrap(), verdict);
    }
    for command in [Command::Rotate, enable(1, true), Command::AddKey(key(3))] {
        let json = serde_json::to_string(&command).unwrap();
        assert_eq!(serde_json::from_str::<Command>(&json).unwrap(), command);
    }
}
