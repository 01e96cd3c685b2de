//! Keys whose answers name one owner share one quota, whatever they were taken for.

use crate::support::*;
use keypool_pool::{
    AlertKind, Charge, Dimension, KeyConfig, Limits, Pool, PoolConfig, QuotaOwner, Strategy,
    Verdict,
};

fn owner(number: u64) -> QuotaOwner {
    QuotaOwner {
        id: number,
        name: format!("organisation {number}"),
    }
}

fn two_of_one_owner(limits: Limits) -> Pool {
    let mut pool = pool(Strategy::RoundRobin, keys(2, limits));
    pool.handle_owner(START, id(1), &owner(7));
    pool.handle_owner(START, id(2), &owner(7));
    pool
}

#[test]
fn two_keys_of_one_owner_become_one_group_of_which_an_operator_is_told_once() {
    let mut pool = pool(Strategy::RoundRobin, keys(3, rpm(60)));
    pool.handle_owner(START, id(1), &owner(7));
    pool.handle_owner(START, id(3), &owner(8));
    assert_eq!(alerts(&mut pool, START), [], "one key each");
    pool.handle_owner(START, id(2), &owner(7));
    assert_eq!(alerts(&mut pool, START), [AlertKind::SharedQuota]);
    for number in [1, 2, 1] {
        pool.handle_owner(START, id(number), &owner(7));
    }
    assert_eq!(alerts(&mut pool, START), []);
    let groups = pool.snapshot(START).groups;
    assert_eq!(groups.len(), 1);
    assert!(groups[0].is_learned);
    assert_eq!(groups[0].name, "learned: organisation 7");
}

#[test]
fn keys_of_one_owner_have_one_quota_and_not_one_each() {
    let mut pool = two_of_one_owner(rpm(6));
    for _ in 0..6 {
        run(&mut pool, START, Verdict::Success);
    }
    assert_eq!(
        refused(&mut pool, START).retry_at,
        Some(refilled(SECOND * 10))
    );
    assert_eq!(requests_by_key(&mut pool, START), [3, 3]);
    let totals = pool.quota_totals(START, "m");
    assert_eq!((totals[0].limit, totals[0].remaining), (6, 0));
}

#[test]
fn of_two_declarations_the_larger_is_taken_for_the_whole() {
    let mut pool = pool(
        Strategy::RoundRobin,
        vec![
            KeyConfig {
                limits: rpm(10),
                ..key(1)
            },
            KeyConfig {
                limits: rpm(30),
                ..key(2)
            },
        ],
    );
    pool.handle_owner(START, id(1), &owner(7));
    pool.handle_owner(START, id(2), &owner(7));
    let groups = pool.snapshot(START).groups;
    assert_eq!(groups[0].meters[0].limit, 30);
}

#[test]
fn what_the_busiest_key_learned_goes_over_to_the_group() {
    let mut pool = pool(Strategy::FillFirst, keys(2, Limits::default()));
    let lease = take(&mut pool, START);
    let stated = [reading(Dimension::RequestsPerMinute, 50, 5)];
    pool.handle_quota_report(START, &lease, &stated);
    settle(&mut pool, START, lease, Verdict::Success);
    pool.handle_owner(START, id(1), &owner(7));
    pool.handle_owner(START, id(2), &owner(7));
    for _ in 0..5 {
        run(&mut pool, START, Verdict::Success);
    }
    refused(&mut pool, START);
    // What any of them is told from now on holds for both.
    let groups = pool.snapshot(START).groups;
    assert_eq!(groups[0].meters[0].limit, 50);
}

#[test]
fn a_group_that_the_configuration_names_takes_the_stray_keys_in() {
    let member = KeyConfig {
        quota_group: Some("org".to_owned()),
        ..key(1)
    };
    let config = PoolConfig {
        strategy: Strategy::RoundRobin,
        quota_groups: vec![("org".to_owned(), rpm(4))],
        keys: vec![member, key(2)],
        ..PoolConfig::default()
    };
    let mut pool = build(config);
    pool.handle_owner(START, id(2), &owner(7));
    pool.handle_owner(START, id(1), &owner(7));
    assert_eq!(alerts(&mut pool, START), [AlertKind::SharedQuota]);
    for _ in 0..4 {
        run(&mut pool, START, Verdict::Success);
    }
    refused(&mut pool, START);
    assert_eq!(requests_by_key(&mut pool, START), [2, 2]);
    let groups = pool.snapshot(START).groups;
    assert_eq!(groups.len(), 1, "no other group was made");
    assert!(!groups[0].is_learned);
}

#[test]
fn keys_that_the_configuration_has_put_together_are_no_news() {
    let join = |key| KeyConfig {
        quota_group: Some("org".to_owned()),
        ..key
    };
    let config = PoolConfig {
        quota_groups: vec![("org".to_owned(), rpm(4))],
        keys: keys(2, Limits::default()).into_iter().map(join).collect(),
        ..PoolConfig::default()
    };
    let mut pool = build(config);
    pool.handle_owner(START, id(1), &owner(7));
    pool.handle_owner(START, id(2), &owner(7));
    assert_eq!(alerts(&mut pool, START), []);
}

#[test]
fn a_key_that_changes_its_owner_leaves_the_group_and_has_its_quota_for_itself() {
    let mut pool = two_of_one_owner(rpm(6));
    pool.handle_owner(START, id(2), &owner(8));
    for _ in 0..12 {
        run(&mut pool, START, Verdict::Success);
    }
    refused(&mut pool, START);
    assert_eq!(requests_by_key(&mut pool, START), [6, 6]);
}

#[test]
fn leases_that_were_out_when_their_keys_were_put_together_leave_nothing_behind() {
    let mut pool = pool(Strategy::RoundRobin, keys(2, tpm(1000)));
    let stated = [reading(Dimension::TokensPerMinute, 1000, 900)];
    let first = take_for(&mut pool, START, &demand(100));
    pool.handle_quota_report(START, &first, &stated);
    let second = take_for(&mut pool, START, &demand(100));
    pool.handle_owner(START, id(1), &owner(7));
    pool.handle_owner(START, id(2), &owner(7));
    let third = take_for(&mut pool, START, &demand(100));
    pool.handle_owner(START, id(2), &owner(8));
    let fourth = take_for(&mut pool, START, &demand(100));
    for lease in [first, second, third, fourth] {
        pool.handle_outcome(START, lease, &outcome(Verdict::Success, Charge::AsReserved));
    }
    let snapshot = pool.snapshot(START);
    let of_keys = snapshot.keys.iter().flat_map(|key| &key.meters);
    let of_groups = snapshot.groups.iter().flat_map(|group| &group.meters);
    for meter in of_keys.chain(of_groups) {
        assert_eq!(meter.reserved, 0, "{meter:?}");
    }
    assert!(snapshot.groups.iter().all(|group| group.in_flight == 0));
}

#[test]
fn a_learned_group_survives_a_reload_as_long_as_it_has_keys() {
    let mut pool = two_of_one_owner(rpm(6));
    let config = PoolConfig {
        strategy: Strategy::RoundRobin,
        keys: keys(2, rpm(6)),
        ..PoolConfig::default()
    };
    let reload = keypool_pool::Command::Reconfigure(config.clone());
    pool.handle_admin(START, reload).unwrap();
    for _ in 0..6 {
        run(&mut pool, START, Verdict::Success);
    }
    refused(&mut pool, START);
    let emptied = PoolConfig {
        keys: Vec::new(),
        ..config
    };
    let reload = keypool_pool::Command::Reconfigure(emptied);
    pool.handle_admin(START, reload).unwrap();
    assert_eq!(pool.snapshot(START).groups, []);
}
