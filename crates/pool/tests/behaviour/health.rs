//! Score and states: what hurts a key, and what does not (contract §4).

use keypool_pool::{
    AlertKind, CooldownScope, Demand, ErrorNote, FaultKind, KeyState, Limits, Output, Pool,
    StateChange, Strategy, Timestamp, Usage, Verdict,
};

use crate::support::*;

fn lone() -> Pool {
    pool(Strategy::LeastLoaded, keys(1, Limits::default()))
}

fn faults(pool: &mut Pool, count: usize) {
    for _ in 0..count {
        run(pool, START, FAULT);
    }
}

// acceptance 45, 46, 47
#[test]
fn the_score_starts_at_100_and_never_leaves_its_range() {
    let mut pool = lone();
    assert_eq!(score(&mut pool, START, 1), 100);
    run(&mut pool, START, Verdict::Success);
    assert_eq!(score(&mut pool, START, 1), 100);
    faults(&mut pool, 3);
    assert_eq!(score(&mut pool, START, 1), 85);
    run(&mut pool, START, Verdict::Success);
    assert_eq!(score(&mut pool, START, 1), 86);
    faults(&mut pool, 50);
    assert_eq!(score(&mut pool, START, 1), 0);
}

// acceptance 43, 44, 46, 59: 100 − 7 × 5 = 65 is below 70; 16 successes make 81, above 80.
#[test]
fn a_key_is_degraded_below_70_and_healthy_again_above_80() {
    let mut pool = lone();
    faults(&mut pool, 6);
    assert_eq!(
        (score(&mut pool, START, 1), state(&mut pool, START, 1)),
        (70, KeyState::Healthy)
    );
    faults(&mut pool, 1);
    assert_eq!(
        (score(&mut pool, START, 1), state(&mut pool, START, 1)),
        (65, KeyState::Degraded)
    );
    for _ in 0..15 {
        run(&mut pool, START, Verdict::Success);
    }
    assert_eq!(
        (score(&mut pool, START, 1), state(&mut pool, START, 1)),
        (80, KeyState::Degraded)
    );
    run(&mut pool, START, Verdict::Success);
    assert_eq!(
        (score(&mut pool, START, 1), state(&mut pool, START, 1)),
        (81, KeyState::Healthy)
    );
}

// acceptance 49
#[test]
fn what_is_not_the_keys_fault_does_not_touch_it() {
    let mut pool = lone();
    faults(&mut pool, 2);
    for verdict in [
        Verdict::ClientError,
        Verdict::Cancelled,
        Verdict::Overloaded,
    ] {
        for _ in 0..20 {
            run(&mut pool, START, verdict);
        }
        assert_eq!(
            (score(&mut pool, START, 1), state(&mut pool, START, 1)),
            (90, KeyState::Healthy)
        );
    }
    let seen = shown(&mut pool, START, 1);
    // Two faults, and twenty overloads without blame; clients' affairs are not the key's errors.
    assert_eq!((seen.errors, seen.errors_by_class.client_error), (22, 20));
}

// acceptance 57: a declared limit promised room, so the refusal is the key's; without one it is
// how the limit makes itself known.
#[test]
fn a_429_costs_score_only_where_declared_limits_did_not_foresee_it() {
    let mut declared = pool(Strategy::LeastLoaded, keys(1, rpm(100)));
    run(&mut declared, START, limited(None));
    assert_eq!(score(&mut declared, START, 1), 95);
    assert_eq!(state(&mut declared, START, 1), KeyState::RateLimited);
    let mut undeclared = lone();
    run(&mut undeclared, START, limited(None));
    assert_eq!(score(&mut undeclared, START, 1), 100);
    assert_eq!(state(&mut undeclared, START, 1), KeyState::RateLimited);
}

#[test]
fn a_burst_that_is_refused_together_is_blamed_once() {
    let mut pool = pool(Strategy::LeastLoaded, keys(1, rpm(100)));
    let leases: Vec<_> = (0..10).map(|_| take(&mut pool, START)).collect();
    for lease in leases {
        settle(&mut pool, START + SECOND, lease, limited(None));
    }
    let seen = shown(&mut pool, START + SECOND, 1);
    assert_eq!(
        (seen.health_score, seen.errors_by_class.rate_limited),
        (95, 10)
    );
    assert_eq!(seen.rate_limited_until, Some(START + SECOND + MINUTE));
}

// acceptance 58, 81
#[test]
fn a_refused_key_is_unavailable_with_score_0_and_an_alert() {
    let mut pool = pool(Strategy::RoundRobin, keys(2, Limits::default()));
    let lease = take(&mut pool, START);
    let note = ErrorNote {
        status: Some(401),
        code: "auth".into(),
        message: "revoked".into(),
    };
    let refused = keypool_pool::Outcome {
        error: Some(note.clone()),
        ..outcome(Verdict::Invalid, keypool_pool::Charge::RequestOnly)
    };
    pool.handle_outcome(START, lease, &refused);
    let seen = shown(&mut pool, START, 1);
    assert_eq!((seen.health_score, seen.state), (0, KeyState::Unavailable));
    assert_eq!(seen.last_error, Some((START, note)));
    let outputs = outputs(&mut pool, START);
    let [Output::Alert(alert), Output::StateChanged(change)] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!((alert.key, alert.kind), (id(1), AlertKind::KeyInvalid));
    let (key, from, to) = (id(1), KeyState::Healthy, KeyState::Unavailable);
    let reason = "the provider refuses the key".to_owned();
    assert_eq!(
        *change,
        StateChange {
            key,
            from,
            to,
            reason
        }
    );
    for _ in 0..5 {
        assert_eq!(
            run(&mut pool, START, Verdict::Success),
            id(2),
            "the other keys go on"
        );
    }
}

// acceptance 82
#[test]
fn an_alert_tells_when_a_score_falls_below_80() {
    let mut pool = lone();
    faults(&mut pool, 4);
    assert_eq!(outputs(&mut pool, START), []);
    faults(&mut pool, 1);
    let outputs = outputs(&mut pool, START);
    let [Output::Alert(alert)] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(alert.kind, AlertKind::HealthLow);
}

// acceptance 27: every key has exactly one state, so the counts sum to the number of keys.
#[test]
fn of_several_states_the_worst_is_shown() {
    let mut pool = lone();
    faults(&mut pool, 7);
    assert_eq!(state(&mut pool, START, 1), KeyState::Degraded);
    let leases = [
        take(&mut pool, START),
        take(&mut pool, START),
        take(&mut pool, START),
    ];
    let [limited_one, invalid, late] = leases;
    settle(&mut pool, START, limited_one, limited(None));
    assert_eq!(state(&mut pool, START, 1), KeyState::RateLimited);
    settle(&mut pool, START, invalid, Verdict::Invalid);
    assert_eq!(state(&mut pool, START, 1), KeyState::Unavailable);
    settle(&mut pool, START, late, Verdict::Success);
    assert_eq!(state(&mut pool, START, 1), KeyState::Unavailable);
    // Disabling hides none of it.
    pool.handle_admin(START, enable(1, false)).unwrap();
    assert_eq!(state(&mut pool, START, 1), KeyState::Unavailable);
}

// acceptance 83
#[test]
fn counters_equal_the_sum_of_outcomes() {
    let mut pool = lone();
    let usage = Usage {
        input_tokens: 10,
        output_tokens: 5,
        cache_read_tokens: 3,
        cache_write_tokens: 2,
    };
    let verdicts = [
        Verdict::Success,
        Verdict::Success,
        Verdict::ClientError,
        Verdict::Cancelled,
        Verdict::Overloaded,
        Verdict::Fault(FaultKind::ServerError),
        Verdict::Fault(FaultKind::Timeout),
        Verdict::Fault(FaultKind::Reset),
        Verdict::Fault(FaultKind::Garbage),
        Verdict::ModelDenied,
        Verdict::OutOfCredit {
            until: None,
            scope: keypool_pool::CooldownScope::Key,
        },
        limited(None),
        Verdict::Invalid,
    ];
    let leases: Vec<_> = verdicts.iter().map(|_| take(&mut pool, START)).collect();
    assert_eq!(shown(&mut pool, START, 1).in_flight, 13);
    for (lease, verdict) in leases.into_iter().zip(verdicts) {
        let mut ended = outcome(verdict, keypool_pool::Charge::AsReserved);
        ended.usage = usage;
        pool.handle_outcome(START, lease, &ended);
    }
    let seen = shown(&mut pool, START, 1);
    assert_eq!((seen.requests, seen.successes, seen.errors), (13, 2, 9));
    let classes = seen.errors_by_class;
    assert_eq!(
        [
            classes.server_error,
            classes.timeout,
            classes.reset,
            classes.garbage,
            classes.overloaded,
            classes.rate_limited,
            classes.invalid,
            classes.out_of_credit,
            classes.model_denied,
            classes.client_error,
            classes.cancelled,
        ],
        [1; 11]
    );
    assert_eq!(
        (seen.usage.total(), seen.usage.cache_read_tokens),
        (20 * 13, 3 * 13)
    );
    assert_eq!((seen.in_flight, seen.last_used), (0, Some(START)));
    // Only successes tell a latency: 500 ms, to within an eighth.
    let median = seen.latency_p50.unwrap().as_secs_f64();
    assert!((0.43..0.57).contains(&median), "{median}");
}

#[test]
fn an_error_text_is_kept_only_in_part() {
    let mut pool = lone();
    let lease = take(&mut pool, START);
    let message = "ä".repeat(100_000);
    let note = ErrorNote {
        status: None,
        code: "x".into(),
        message,
    };
    let fault = keypool_pool::Outcome {
        error: Some(note),
        ..outcome(FAULT, keypool_pool::Charge::AsReserved)
    };
    pool.handle_outcome(START, lease, &fault);
    let (_, kept) = shown(&mut pool, START, 1).last_error.unwrap();
    assert_eq!(
        kept.message.chars().count(),
        keypool_pool::bounds::ERROR_MESSAGE_MAX
    );
}

#[test]
fn a_key_out_of_quota_for_one_model_is_shown_as_rate_limited_and_serves_the_others() {
    // acceptance 50, 57
    let mut pool = pool(Strategy::LeastLoaded, vec![key(1)]);
    let until = START + 20 * SECOND;
    let scope = CooldownScope::GroupModel;
    let verdict = Verdict::RateLimited {
        until: Some(until),
        scope,
    };
    let other_model = Demand {
        model: "another",
        ..demand(1)
    };
    let lease = take(&mut pool, START);
    settle(&mut pool, START, lease, verdict);

    let shown = pool.key_snapshot(START, id(1)).unwrap();
    assert_eq!(shown.state, KeyState::RateLimited);
    assert_eq!(shown.rate_limited_until, Some(until));
    assert_eq!(refused(&mut pool, START).retry_at, Some(until));
    settle_ok(&mut pool, START, &other_model);
    assert_eq!(pool.poll_timeout().map(|(at, _)| at), Some(START));
    assert!(matches!(
        pool.poll_output(START),
        Some(Output::StateChanged(change)) if change.to == KeyState::RateLimited
    ));
    assert_eq!(pool.poll_timeout().map(|(at, _)| at), Some(until));

    assert!(matches!(
        pool.poll_output(until),
        Some(Output::StateChanged(change)) if change.to == KeyState::Healthy
    ));
    let lease = take(&mut pool, until);
    settle(&mut pool, until, lease, Verdict::Success);
}

fn settle_ok(pool: &mut Pool, now: Timestamp, demand: &Demand<'_>) {
    let lease = take_for(pool, now, demand);
    settle(pool, now, lease, Verdict::Success);
}
