//! The algorithms against the clock, and against the plain definition of each.

use super::*;

const MINUTE_US: u64 = 60_000_000;

/// A whole minute, far from the epoch.
const START: u64 = 29_000_000 * MINUTE_US;

fn at(seconds: f64) -> SimTime {
    let micros = std::time::Duration::from_secs_f64(seconds).as_micros();
    SimTime::from_unix_micros(START + u64::try_from(micros).unwrap())
}

fn limiter(algorithm: Algorithm, limit: u64) -> Limiter {
    Limiter::new(
        counting(algorithm, MINUTE_US),
        Dimension::Requests,
        limit,
        at(0.0),
    )
}

fn counting(algorithm: Algorithm, minute_us: u64) -> Counting {
    Counting {
        algorithm,
        minute_us,
        day_reset: None,
    }
}

/// Charges one if it fits; whether it did.
fn take(limiter: &mut Limiter, now: SimTime) -> bool {
    let fits = limiter.ready_at(now, 1) == Some(now);
    if fits {
        limiter.charge(now, 1);
    }
    fits
}

/// How many of a flood at each tenth of a second get in, from second `from` to second `to`.
fn flood(limiter: &mut Limiter, from: u32, to: u32) -> usize {
    let instants = (from * 10..to * 10).map(|tenth| at(f64::from(tenth) / 10.0));
    instants
        .map(|now| (0..200).filter(|_| take(limiter, now)).count())
        .sum()
}

#[test]
fn a_bucket_admits_its_whole_limit_at_once_and_then_one_per_share_of_the_minute() {
    let mut bucket = limiter(Algorithm::Bucket, 60);
    assert_eq!((0..100).filter(|_| take(&mut bucket, at(0.0))).count(), 60);
    assert_eq!(bucket.ready_at(at(0.0), 1), Some(at(1.0)));
    assert_eq!(bucket.full_at(at(0.0)), at(60.0));
    assert!(!take(&mut bucket, at(0.999)));
    assert!(take(&mut bucket, at(1.0)));
    assert!(!take(&mut bucket, at(1.0)));
    assert_eq!(bucket.remaining(at(31.0)), 30);
}

#[test]
fn a_bucket_that_overran_pays_its_debt_before_it_admits_again() {
    let mut bucket = limiter(Algorithm::Bucket, 60);
    bucket.charge(at(0.0), 90);
    assert_eq!(bucket.remaining(at(0.0)), 0);
    assert_eq!(bucket.ready_at(at(0.0), 1), Some(at(31.0)));
    bucket.refund(at(0.0), 30);
    assert_eq!(bucket.ready_at(at(0.0), 1), Some(at(1.0)));
}

#[test]
fn a_bucket_never_holds_more_than_its_limit() {
    let mut bucket = limiter(Algorithm::Bucket, 10);
    bucket.refund(at(0.0), 5);
    assert_eq!(bucket.remaining(at(600.0)), 10);
    assert_eq!(flood(&mut bucket, 600, 660), 10 + 9);
}

#[test]
fn a_fixed_minute_admits_twice_its_limit_around_the_turn() {
    let mut fixed = limiter(Algorithm::FixedMinute, 60);
    assert_eq!((0..100).filter(|_| take(&mut fixed, at(59.0))).count(), 60);
    assert_eq!(fixed.ready_at(at(59.0), 1), Some(at(60.0)));
    assert_eq!(fixed.full_at(at(59.0)), at(60.0));
    assert_eq!((0..100).filter(|_| take(&mut fixed, at(60.0))).count(), 60);
}

#[test]
fn slices_spread_a_burst_over_the_seconds_and_lose_what_a_second_leaves() {
    let mut slices = limiter(Algorithm::PerSecondSlices, 60);
    assert_eq!((0..10).filter(|_| take(&mut slices, at(0.5))).count(), 1);
    assert_eq!(slices.ready_at(at(0.5), 1), Some(at(1.0)));
    assert_eq!(slices.remaining(at(0.5)), 59);
    assert_eq!((0..10).filter(|_| take(&mut slices, at(30.0))).count(), 1);
}

#[test]
fn slices_of_any_limit_sum_to_it_within_the_minute() {
    for limit in [1, 7, 59, 60, 61, 90, 6000] {
        let mut slices = limiter(Algorithm::PerSecondSlices, limit);
        let admitted = flood(&mut slices, 60, 120);
        assert_eq!(admitted, usize::try_from(limit).unwrap(), "limit {limit}");
    }
}

#[test]
fn a_sliding_window_admits_only_as_its_oldest_charges_leave() {
    let mut sliding = limiter(Algorithm::Sliding, 3);
    for second in [0.0, 10.0, 20.0] {
        assert!(take(&mut sliding, at(second)));
    }
    assert_eq!(sliding.ready_at(at(30.0), 1), Some(at(60.0)));
    assert_eq!(sliding.ready_at(at(30.0), 2), Some(at(70.0)));
    assert_eq!(sliding.full_at(at(30.0)), at(80.0));
    assert!(!take(&mut sliding, at(59.9)));
    assert!(take(&mut sliding, at(60.0)));
}

#[test]
fn charges_that_share_an_entry_leave_with_the_latest_of_them() {
    let mut sliding = limiter(Algorithm::Sliding, 2);
    sliding.charge(at(0.0), 1);
    sliding.charge(at(0.0005), 1);
    assert_eq!(sliding.ready_at(at(1.0), 1), Some(at(60.0005)));
}

#[test]
fn no_interval_of_a_minute_holds_more_than_a_sliding_windows_limit() {
    let mut sliding = limiter(Algorithm::Sliding, 50);
    let mut rng = fastrand::Rng::with_seed(7);
    let mut admitted: Vec<SimTime> = Vec::new();
    let mut seconds = 0.0;
    while seconds < 600.0 {
        seconds += rng.f64();
        let now = at(seconds);
        if take(&mut sliding, now) {
            admitted.push(now);
        }
        let recent = admitted
            .iter()
            .filter(|then| now.since(**then).as_secs_f64() < 60.0);
        assert!(recent.count() <= 50);
    }
    assert!(admitted.len() > 490, "{} of 500", admitted.len());
}

#[test]
fn what_is_larger_than_the_limit_never_fits() {
    for algorithm in [
        Algorithm::Bucket,
        Algorithm::FixedMinute,
        Algorithm::Sliding,
    ] {
        assert_eq!(
            limiter(algorithm, 60).ready_at(at(0.0), 61),
            None,
            "{algorithm:?}"
        );
    }
    assert_eq!(
        limiter(Algorithm::PerSecondSlices, 60).ready_at(at(0.0), 2),
        None
    );
    assert_eq!(limiter(Algorithm::Bucket, 0).ready_at(at(0.0), 1), None);
}

#[test]
fn the_promised_instant_is_the_first_at_which_one_more_fits() {
    let algorithms = [
        Algorithm::Bucket,
        Algorithm::FixedMinute,
        Algorithm::PerSecondSlices,
        Algorithm::Sliding,
    ];
    for algorithm in algorithms {
        let mut rng = fastrand::Rng::with_seed(11);
        let mut limiter = limiter(algorithm, 37);
        let mut now = at(3.3);
        for _ in 0..2000 {
            let ready_at = limiter.ready_at(now, 1).unwrap();
            if ready_at > now {
                let just_before = SimTime::from_unix_micros(ready_at.as_unix_micros() - 1);
                assert!(
                    limiter.ready_at(just_before, 1) > Some(just_before),
                    "{algorithm:?}"
                );
            }
            assert_eq!(
                limiter.ready_at(ready_at, 1),
                Some(ready_at),
                "{algorithm:?}"
            );
            limiter.charge(ready_at, 1);
            now = SimTime::from_unix_micros(ready_at.as_unix_micros() + rng.u64(..3_000_000));
        }
    }
}

#[test]
fn a_daily_limit_runs_over_a_day_of_simulated_minutes() {
    let second_us = MINUTE_US / 60;
    let day = |algorithm| {
        let counting = counting(algorithm, second_us);
        Limiter::new(counting, Dimension::RequestsPerDay, 2, at(0.0))
    };
    let mut bucket = day(Algorithm::Bucket);
    bucket.charge(at(0.0), 2);
    // A minute of one second makes a day of 24 real minutes.
    assert_eq!(bucket.ready_at(at(0.0), 1), Some(at(720.0)));
    let mut sliding = day(Algorithm::Sliding);
    sliding.charge(at(0.0), 2);
    assert_eq!(sliding.ready_at(at(5.0), 1), Some(at(1440.0)));
}
