//! Windows that are cleared at the turn of a minute, and days of other time zones.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::*;
use keypool_pool::{DayRule, Limits, Pool, PoolConfig, Timestamp, Verdict, Window};

fn windowed(window: Window, limits: Limits) -> Pool {
    build(PoolConfig {
        window,
        keys: keys(1, limits),
        ..PoolConfig::default()
    })
}

/// Grants by unit of time, when ten a second are offered for five minutes.
fn granted_by(pool: &mut Pool, unit: Duration) -> BTreeMap<u64, u64> {
    let mut granted = BTreeMap::new();
    let unit = u64::try_from(unit.as_micros()).unwrap();
    for tenth in 0..3000_u32 {
        let now = START + Duration::from_millis(100) * tenth;
        if let Ok(lease) = ask(pool, now, &demand(0)) {
            settle(pool, now, lease, Verdict::Success);
            *granted.entry(now.as_unix_micros() / unit).or_default() += 1;
        }
    }
    granted
}

// acceptance 7, 63
#[test]
fn a_fixed_window_gives_all_of_its_limit_between_two_turns_of_the_minute() {
    let mut pool = windowed(Window::Fixed, rpm(50));
    let granted = granted_by(&mut pool, MINUTE);
    assert!(granted.values().all(|&count| count == 50), "{granted:?}");
    assert_eq!(granted.len(), 6);
}

#[test]
fn a_used_up_fixed_window_opens_at_the_turn_and_not_before() {
    let mut pool = windowed(Window::Fixed, rpm(3));
    for _ in 0..3 {
        run(&mut pool, START, Verdict::Success);
    }
    // 22:13:20 is forty seconds before the turn.
    let turn = START + SECOND * 40;
    assert_eq!(refused(&mut pool, START).retry_at, Some(turn));
    refused(&mut pool, just_before(turn));
    for _ in 0..3 {
        run(&mut pool, turn, Verdict::Success);
    }
    refused(&mut pool, turn);
}

#[test]
fn what_is_granted_in_the_last_moments_of_a_window_counts_in_the_next_one_too() {
    let mut pool = windowed(Window::Fixed, rpm(3));
    let turn = START + SECOND * 40;
    run(&mut pool, just_before(turn), Verdict::Success);
    run(&mut pool, turn, Verdict::Success);
    run(&mut pool, turn, Verdict::Success);
    assert_eq!(refused(&mut pool, turn).retry_at, Some(turn + MINUTE));
}

#[test]
fn sliced_windows_give_no_second_more_than_its_share() {
    let mut pool = windowed(Window::Slices, rpm(90));
    let granted = granted_by(&mut pool, SECOND);
    assert!(granted.values().all(|&count| count <= 2), "{granted:?}");
    let total: u64 = granted.values().sum();
    assert_eq!(total, 450, "and none less");
}

#[test]
fn tokens_of_a_sliced_provider_are_counted_by_the_minute() {
    let mut pool = windowed(Window::Slices, tpm(1000));
    drop(take_for(&mut pool, START, &demand(1000)));
    let turn = START + SECOND * 40;
    let refusal = refused_for(&mut pool, START, &demand(1));
    assert_eq!(refusal.retry_at, Some(turn));
}

#[test]
fn a_limit_per_second_is_held_to() {
    let limits = Limits {
        requests_per_second: Some(5),
        ..Limits::default()
    };
    let mut pool = windowed(Window::Bucket, limits);
    for _ in 0..5 {
        run(&mut pool, START, Verdict::Success);
    }
    let refusal = refused(&mut pool, START);
    // A fiftieth of the period for the way, and a fifth of a second for the request.
    let room_at = START + Duration::from_millis(220);
    assert_eq!(refusal.retry_at, Some(room_at));
    run(&mut pool, room_at, Verdict::Success);
}

// acceptance 9
#[test]
fn a_day_limit_ends_where_the_providers_day_ends() {
    let config = PoolConfig {
        day: DayRule::UsPacific,
        keys: keys(
            1,
            Limits {
                requests_per_day: Some(1),
                ..Limits::default()
            },
        ),
        ..PoolConfig::default()
    };
    let mut pool = build(config);
    run(&mut pool, START, Verdict::Success);
    // 2023-11-15T08:00:00Z, midnight in California.
    let midnight = Timestamp::from_unix_secs(1_700_035_200);
    assert_eq!(refused(&mut pool, START).retry_at, Some(midnight));
    refused(&mut pool, START.next_utc_midnight());
    run(&mut pool, midnight, Verdict::Success);
}
