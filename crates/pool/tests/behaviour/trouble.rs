//! Whose fault it is: suspicion and blame, circuit breakers, and the budget for retries.

use std::time::Duration;

use keypool_pool::{
    AlertKind, BreakerState, Course, Demand, ErrorNote, Failed, FaultKind, KeyState, Next, Output,
    Pool, ProbeResult, RefusalReason, Strategy, Suspicion, Timestamp, Turn, Verdict, bounds,
};

use crate::support::{
    START, alerts, ask, demand, id, key, keys, outputs, pool, queued_as, refused, rpm, score,
    settle, state, take, wait,
};

const FAULT: Suspicion = Suspicion::Fault(FaultKind::ServerError);
const MODEL: &str = "m";

/// Asks once, fails, and notes it.
fn fail(pool: &mut Pool, now: Timestamp, course: &mut Course, suspicion: Suspicion) {
    let excluded = course.tried().to_vec();
    let lease = ask(
        pool,
        now,
        &Demand {
            excluded: &excluded,
            is_retry: course.is_retry(),
            ..demand(10)
        },
    )
    .unwrap_or_else(|refusal| panic!("no key is left: {refusal:?}"));
    course.attempting(&lease);
    let failed = lease.key();
    settle(pool, now, lease, Verdict::Suspected(suspicion));
    course.failed(failed, Failed::Suspected(suspicion));
}

/// A request that all of so many keys fail, in one round.
fn unserved(pool: &mut Pool, now: Timestamp, keys: usize) {
    let mut course = Course::default();
    for _ in 0..keys {
        fail(pool, now, &mut course, FAULT);
    }
    pool.handle_exhausted(now, MODEL, &mut course, RefusalReason::AllTried);
    pool.handle_unserved(now, MODEL, &course);
}

fn open(pool: &mut Pool, now: Timestamp, keys: usize) {
    for _ in 0..bounds::BREAKER_SAMPLES_MIN {
        unserved(pool, now, keys);
    }
}

fn breaker(pool: &mut Pool, now: Timestamp, model: Option<&str>) -> Option<BreakerState> {
    let breakers = pool.breakers(now);
    let found = breakers.iter().find(|one| one.model.as_deref() == model);
    found.map(|breaker| breaker.state)
}

fn of_three() -> Pool {
    pool(Strategy::RoundRobin, keys(3, rpm(10_000)))
}

#[test]
fn a_fault_costs_its_key_only_when_another_has_served_the_request() {
    let mut pool = of_three();
    let mut course = Course::default();
    fail(&mut pool, START, &mut course, FAULT);
    assert_eq!(score(&mut pool, START, 1), 100, "not yet");
    let excluded = course.tried().to_vec();
    let lease = ask(
        &mut pool,
        START,
        &Demand {
            excluded: &excluded,
            ..demand(10)
        },
    )
    .unwrap();
    course.attempting(&lease);
    pool.handle_served(START, MODEL, &course);
    settle(&mut pool, START, lease, Verdict::Success);
    let scores = [1, 2, 3].map(|number| score(&mut pool, START, number));
    assert_eq!(scores, [95, 100, 100]);
}

// acceptance 72
#[test]
fn an_outage_of_the_provider_costs_no_key_anything_and_opens_the_models_breaker() {
    let mut pool = of_three();
    open(&mut pool, START, 3);
    for number in 1..=3 {
        assert_eq!(score(&mut pool, START, number), 100);
        assert_eq!(state(&mut pool, START, number), KeyState::Healthy);
    }
    assert_eq!(
        breaker(&mut pool, START, Some(MODEL)),
        Some(BreakerState::Open)
    );
    assert_eq!(
        breaker(&mut pool, START, None),
        Some(BreakerState::Closed),
        "other models go on"
    );
    let refusal = refused(&mut pool, START);
    assert_eq!(refusal.reason, RefusalReason::BreakerOpen);
    assert_eq!(refusal.retry_at, Some(START + bounds::BREAKER_OPEN_FIRST));
    assert!(
        ask(
            &mut pool,
            START,
            &Demand {
                model: "another",
                ..demand(10)
            }
        )
        .is_ok()
    );
}

// acceptance 72
#[test]
fn bad_keys_never_open_a_breaker_while_one_is_sound() {
    let mut pool = pool(Strategy::RoundRobin, keys(5, rpm(100_000)));
    let mut now = START;
    for _ in 0..200 {
        let mut course = Course::default();
        let lease = loop {
            let excluded = course.tried().to_vec();
            let lease = ask(
                &mut pool,
                now,
                &Demand {
                    excluded: &excluded,
                    is_retry: course.is_retry(),
                    ..demand(10)
                },
            )
            .unwrap_or_else(|refusal| panic!("the sound one is left: {refusal:?}"));
            course.attempting(&lease);
            if lease.key() == id(5) {
                break lease;
            }
            let failed = lease.key();
            settle(&mut pool, now, lease, Verdict::Suspected(FAULT));
            assert_eq!(
                course.failed(failed, Failed::Suspected(FAULT)),
                Next::OtherKey
            );
        };
        pool.handle_served(now, MODEL, &course);
        settle(&mut pool, now, lease, Verdict::Success);
        now = now + Duration::from_millis(100);
    }
    assert_eq!(score(&mut pool, now, 5), 100);
    assert!((1..5).all(|number| score(&mut pool, now, number) < 70));
    assert_ne!(
        breaker(&mut pool, now, Some(MODEL)),
        Some(BreakerState::Open)
    );
}

#[test]
fn where_nobody_can_connect_the_whole_provider_is_left_alone() {
    let mut pool = of_three();
    for _ in 0..bounds::BREAKER_SAMPLES_MIN {
        let mut course = Course::default();
        for _ in 0..3 {
            let unreachable = Suspicion::Fault(FaultKind::Unreachable);
            fail(&mut pool, START, &mut course, unreachable);
        }
        pool.handle_exhausted(START, MODEL, &mut course, RefusalReason::AllTried);
    }
    assert_eq!(breaker(&mut pool, START, None), Some(BreakerState::Open));
    let other = ask(
        &mut pool,
        START,
        &Demand {
            model: "another",
            ..demand(10)
        },
    );
    assert_eq!(other.unwrap_err().reason, RefusalReason::BreakerOpen);
}

#[test]
fn a_half_open_breaker_lets_one_request_try_and_closes_when_it_is_served() {
    let mut pool = of_three();
    open(&mut pool, START, 3);
    let later = START + bounds::BREAKER_OPEN_FIRST;
    let lease = take(&mut pool, later);
    assert_eq!(refused(&mut pool, later).reason, RefusalReason::BreakerOpen);
    let mut course = Course::default();
    course.attempting(&lease);
    pool.handle_served(later, MODEL, &course);
    settle(&mut pool, later, lease, Verdict::Success);
    assert_eq!(breaker(&mut pool, later, Some(MODEL)), None, "it is calm");
    drop(take(&mut pool, later));
    let told: Vec<BreakerState> = outputs(&mut pool, later)
        .into_iter()
        .filter_map(|output| match output {
            Output::BreakerChanged(change) => Some(change.to),
            _ => None,
        })
        .collect();
    assert_eq!(
        told,
        [
            BreakerState::Open,
            BreakerState::HalfOpen,
            BreakerState::Closed
        ]
    );
}

#[test]
fn requests_that_wait_are_told_when_the_breaker_opens() {
    let mut pool = pool(Strategy::RoundRobin, keys(1, rpm(40)));
    let _leases: Vec<_> = (0..30).map(|_| take(&mut pool, START)).collect();
    open(&mut pool, START, 1);
    pool.reset_breaker(START, None);
    let waiter = queued_as(&mut pool, START, wait(START, Duration::from_secs(30)));
    pool.force_breaker_open(START, Some(MODEL));
    let Some((told, Turn::Refused(refusal))) = pool.poll_turn(START) else {
        panic!("nobody is told");
    };
    assert_eq!(told, waiter);
    assert_eq!(refusal.reason, RefusalReason::BreakerOpen);
    assert_eq!(refusal.retry_at, None, "an operator decides");
}

// acceptance 71
#[test]
fn a_reset_of_the_provider_covers_its_models() {
    let mut pool = of_three();
    pool.force_breaker_open(START, None);
    pool.force_breaker_open(START, Some(MODEL));
    assert_eq!(refused(&mut pool, START).reason, RefusalReason::BreakerOpen);
    assert_eq!(pool.reset_breaker(START, None), 2);
    drop(take(&mut pool, START));
}

#[test]
fn the_only_key_that_could_be_asked_is_blamed_once_a_request() {
    let mut pool = pool(Strategy::RoundRobin, keys(1, rpm(10_000)));
    let mut course = Course::default();
    loop {
        fail(&mut pool, START, &mut course, FAULT);
        if pool
            .handle_exhausted(START, MODEL, &mut course, RefusalReason::AllTried)
            .is_none()
        {
            break;
        }
    }
    pool.handle_unserved(START, MODEL, &course);
    assert_eq!(score(&mut pool, START, 1), 95);
}

// acceptance 72
#[test]
fn while_retries_are_spent_or_the_breaker_is_open_a_single_failure_blames_no_key() {
    for reason in [RefusalReason::RetriesSpent, RefusalReason::BreakerOpen] {
        let mut pool = of_three();
        let mut course = Course::default();
        fail(&mut pool, START, &mut course, FAULT);
        pool.handle_exhausted(START, MODEL, &mut course, reason);
        pool.handle_unserved(START, MODEL, &course);
        assert_eq!(score(&mut pool, START, 1), 100, "{reason}");
    }
}

#[test]
fn pauses_between_rounds_are_drawn_from_nothing_to_their_bound() {
    let mut pool = of_three();
    let bound = Duration::from_millis(100);
    let pauses: Vec<Duration> = (0..1000).map(|_| pool.jittered(bound)).collect();
    assert!(pauses.iter().all(|&pause| pause <= bound));
    let below = |limit: u64| {
        let limit = Duration::from_millis(limit);
        pauses.iter().filter(|&&pause| pause < limit).count()
    };
    assert!((400..600).contains(&below(50)), "{}", below(50));
    assert!((50..150).contains(&below(10)), "{}", below(10));
}

#[test]
fn a_refused_key_is_left_out_and_probed_at_once_and_its_probe_decides() {
    for (found, expected, points) in [
        (ProbeResult::Passed, KeyState::Healthy, 100),
        (ProbeResult::Inconclusive, KeyState::Healthy, 100),
        (
            ProbeResult::Failed(ErrorNote::default()),
            KeyState::Unavailable,
            0,
        ),
    ] {
        let mut pool = of_three();
        let lease = take(&mut pool, START);
        settle(
            &mut pool,
            START,
            lease,
            Verdict::Suspected(Suspicion::Invalid),
        );
        assert_eq!(state(&mut pool, START, 1), KeyState::Unavailable);
        assert_eq!(score(&mut pool, START, 1), 100);
        let told = outputs(&mut pool, START);
        assert!(told.contains(&Output::Probe(id(1))), "{told:?}");
        pool.handle_probe(START, id(1), found);
        assert_eq!(state(&mut pool, START, 1), expected);
        assert_eq!(score(&mut pool, START, 1), points);
        let alerted = alerts(&mut pool, START).contains(&AlertKind::KeyInvalid);
        assert_eq!(alerted, expected == KeyState::Unavailable);
    }
}

// acceptance 72
#[test]
fn when_most_keys_are_refused_at_once_none_is_condemned_and_all_return_together() {
    let mut pool = of_three();
    for _ in 0..3 {
        let lease = take(&mut pool, START);
        settle(
            &mut pool,
            START,
            lease,
            Verdict::Suspected(Suspicion::Invalid),
        );
    }
    for number in 1..=3 {
        let refused_again = ProbeResult::Failed(ErrorNote::default());
        pool.handle_probe(START, id(number), refused_again);
    }
    assert_eq!(alerts(&mut pool, START), [AlertKind::MostKeysRefused]);
    for number in 1..=3 {
        assert_eq!(score(&mut pool, START, number), 100);
        assert_eq!(state(&mut pool, START, number), KeyState::Unavailable);
    }
    let minute = START + Duration::from_mins(1);
    assert!(outputs(&mut pool, minute).contains(&Output::Probe(id(1))));
    pool.handle_probe(minute, id(1), ProbeResult::Passed);
    let told = outputs(&mut pool, minute);
    assert!(told.contains(&Output::Probe(id(2))), "{told:?}");
    assert!(told.contains(&Output::Probe(id(3))), "{told:?}");
}

#[test]
fn a_dead_key_is_not_returned_by_a_probe_that_was_under_way_when_another_key_did_better() {
    let mut pool = pool(Strategy::FillFirst, vec![key(1), key(2)]);
    let mut course = Course::default();
    fail(&mut pool, START, &mut course, Suspicion::Invalid);
    let lease = take(&mut pool, START);
    course.attempting(&lease);
    pool.handle_served(START, MODEL, &course);
    settle(&mut pool, START, lease, Verdict::Success);
    assert_eq!(score(&mut pool, START, 1), 0);
    pool.handle_probe(START, id(1), ProbeResult::Passed);
    assert_eq!(state(&mut pool, START, 1), KeyState::Unavailable);
    let minute = START + Duration::from_mins(1);
    assert!(outputs(&mut pool, minute).contains(&Output::Probe(id(1))));
    pool.handle_probe(minute, id(1), ProbeResult::Passed);
    assert_eq!(state(&mut pool, minute, 1), KeyState::Healthy);
}

#[test]
fn when_nothing_succeeds_attempts_beyond_the_first_run_out() {
    let mut pool = of_three();
    let retry = Demand {
        is_retry: true,
        ..demand(0)
    };
    let mut granted = 0;
    let refusal = loop {
        match ask(&mut pool, START, &retry) {
            Ok(lease) => settle(&mut pool, START, lease, Verdict::Suspected(FAULT)),
            Err(refusal) => break refusal,
        }
        granted += 1;
    };
    assert_eq!(refusal.reason, RefusalReason::RetriesSpent);
    // Keys of which nothing bad is known yet cost nothing.
    assert_eq!(granted, 3 + 3 * bounds::RETRY_STOCK_PER_KEY);
    assert!(
        ask(&mut pool, START, &demand(0)).is_ok(),
        "first attempts go on"
    );
}

#[test]
fn a_degraded_key_that_fails_again_rests_while_others_serve() {
    let mut pool = pool(Strategy::FillFirst, keys(2, rpm(10_000)));
    for _ in 0..7 {
        let lease = take(&mut pool, START);
        settle(&mut pool, START, lease, Verdict::Fault(FaultKind::Reset));
    }
    assert_eq!(state(&mut pool, START, 1), KeyState::Degraded);
    assert_eq!(take(&mut pool, START).key(), id(1), "it is used still");
    let lease = take(&mut pool, START);
    settle(&mut pool, START, lease, Verdict::Fault(FaultKind::Reset));
    assert_eq!(state(&mut pool, START, 1), KeyState::Degraded);
    assert_eq!(take(&mut pool, START).key(), id(2), "it rests");
    let rested = START + bounds::REST_FIRST;
    let trial = take(&mut pool, rested);
    assert_eq!(trial.key(), id(1));
    assert_eq!(take(&mut pool, rested).key(), id(2), "one at a time");
}

#[test]
fn the_only_key_does_not_rest() {
    let mut pool = pool(Strategy::FillFirst, keys(1, rpm(10_000)));
    for _ in 0..20 {
        let lease = take(&mut pool, START);
        settle(&mut pool, START, lease, Verdict::Fault(FaultKind::Reset));
    }
    assert_eq!(score(&mut pool, START, 1), 0);
}
