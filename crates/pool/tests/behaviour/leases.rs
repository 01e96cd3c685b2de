//! Each lease settles exactly once, whatever becomes of it.

use keypool_pool::{Charge, Command, KeyConfig, Limits, PoolConfig, Strategy, Verdict};

use crate::support::*;

#[test]
fn a_dropped_lease_is_charged_in_full_and_counted_as_cancelled() {
    let limits = Limits {
        max_concurrent: Some(1),
        ..tpm(1000)
    };
    let mut pool = pool(Strategy::LeastLoaded, keys(1, limits));
    drop(take_for(&mut pool, START, &demand(600)));
    let seen = shown(&mut pool, START, 1);
    assert_eq!((seen.in_flight, seen.requests, seen.errors), (0, 1, 0));
    assert_eq!(seen.errors_by_class.cancelled, 1);
    assert_eq!((seen.meters[0].used, seen.meters[0].reserved), (600, 0));
    // The place in flight is free again, the tokens are not.
    drop(take_for(&mut pool, START, &demand(400)));
    refused_for(&mut pool, START, &demand(1));
}

#[test]
fn a_lease_dropped_on_another_thread_finds_its_pool() {
    let limits = Limits {
        max_concurrent: Some(1),
        ..Limits::default()
    };
    let mut pool = pool(Strategy::LeastLoaded, keys(1, limits));
    let lease = take(&mut pool, START);
    std::thread::spawn(move || drop(lease)).join().unwrap();
    drop(take(&mut pool, START));
}

#[test]
fn a_lease_that_outlives_its_pool_is_dropped_without_harm() {
    let mut short_lived = pool(Strategy::LeastLoaded, keys(1, Limits::default()));
    let lease = take(&mut short_lived, START);
    drop(short_lived);
    drop(lease);
}

#[test]
fn a_lease_handed_to_the_wrong_pool_settles_with_its_own() {
    let limits = Limits {
        max_concurrent: Some(1),
        ..Limits::default()
    };
    let mut own = pool(Strategy::LeastLoaded, keys(1, limits));
    let mut other = pool(Strategy::LeastLoaded, keys(1, limits));
    let lease = take(&mut own, START);
    settle(&mut other, START, lease, Verdict::Invalid);
    assert_eq!(score(&mut other, START, 1), 100);
    let seen = shown(&mut own, START, 1);
    assert_eq!((seen.in_flight, seen.errors_by_class.cancelled), (0, 1));
}

#[test]
fn a_lease_of_a_removed_key_settles_without_touching_the_key_in_its_place() {
    let config = PoolConfig {
        quota_groups: vec![("org".to_owned(), tpm(1000))],
        keys: vec![KeyConfig {
            quota_group: Some("org".to_owned()),
            ..key(1)
        }],
        ..PoolConfig::default()
    };
    let mut pool = build(config);
    let lease = take_for(&mut pool, START, &demand(600));
    pool.handle_admin(START, Command::RemoveKey(id(1))).unwrap();
    pool.handle_admin(START, Command::AddKey(key(2))).unwrap();
    let used = Charge::Actual {
        input_tokens: 100,
        output_tokens: 0,
    };
    pool.handle_outcome(START, lease, &outcome(Verdict::Invalid, used));
    let newcomer = shown(&mut pool, START, 2);
    assert_eq!(
        (newcomer.health_score, newcomer.requests, newcomer.in_flight),
        (100, 0, 0)
    );
    // The group that outlived the key gets its own back.
    let group = &pool.snapshot(START).groups[0];
    assert_eq!((group.in_flight, group.meters[0].used), (0, 100));
}

#[test]
fn a_limit_that_comes_while_a_lease_is_out_does_not_give_it_back_what_it_never_took() {
    let mut pool = pool(Strategy::LeastLoaded, keys(1, Limits::default()));
    let lease = take_for(&mut pool, START, &demand(500));
    let patch = keypool_pool::KeyPatch {
        limits: Some(tpm(1000)),
        ..Default::default()
    };
    pool.handle_admin(START, Command::UpdateKey(id(1), patch))
        .unwrap();
    let spent = take_for(&mut pool, START, &demand(1000));
    pool.handle_outcome(START, lease, &outcome(Verdict::Cancelled, Charge::Nothing));
    refused_for(&mut pool, START, &demand(1));
    drop(spent);
}

#[test]
fn time_that_goes_back_does_not_refill_or_take_away() {
    let mut pool = pool(Strategy::LeastLoaded, keys(1, rpm(60)));
    let later = START + MINUTE;
    for _ in 0..60 {
        run(&mut pool, later, Verdict::Success);
    }
    // 30 s back, the latest instant seen still holds.
    let earlier = START + SECOND * 30;
    let room_at = refilled(MINUTE + SECOND);
    assert_eq!(refused(&mut pool, earlier).retry_at, Some(room_at));
    drop(take(&mut pool, room_at));
}
