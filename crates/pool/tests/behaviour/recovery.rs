//! The ways back: by time, by probe, by an operator.

use std::time::Duration;

use keypool_pool::{
    Applied, Command, CooldownScope, ErrorNote, KeyConfig, KeyState, Limits, Output, Pool,
    ProbeResult, RefusalReason, Strategy, Timestamp, Verdict, WakeReason,
};

use crate::support::*;

fn lone() -> Pool {
    pool(Strategy::LeastLoaded, keys(1, Limits::default()))
}

fn probes(pool: &mut Pool, now: Timestamp) -> usize {
    let probe = |output: &Output| matches!(output, Output::Probe(_));
    outputs(pool, now)
        .iter()
        .filter(|output| probe(output))
        .count()
}

fn failed() -> ProbeResult {
    ProbeResult::Failed(ErrorNote {
        status: Some(401),
        ..ErrorNote::default()
    })
}

// acceptance 50, 68
#[test]
fn a_rate_limited_key_returns_by_itself_after_a_minute_or_at_the_stated_time() {
    for (hint, back) in [(None, 60), (Some(START + SECOND * 7), 7)] {
        let mut pool = lone();
        run(&mut pool, START, limited(hint));
        let back = START + SECOND * back;
        assert_eq!(state(&mut pool, START, 1), KeyState::RateLimited);
        assert_eq!(refused(&mut pool, just_before(back)).retry_at, Some(back));
        assert_eq!(
            pool.poll_timeout().map(|(at, _)| at),
            Some(just_before(back)),
            "the change waits"
        );
        outputs(&mut pool, START);
        assert_eq!(
            pool.poll_timeout(),
            Some((back, WakeReason::CooldownEnds(id(1))))
        );
        assert_eq!(state(&mut pool, back, 1), KeyState::Healthy);
        assert_eq!(run(&mut pool, back, Verdict::Success), id(1));
    }
}

// acceptance 51
#[test]
fn the_later_of_two_reset_times_holds() {
    let mut pool = lone();
    let (first, second) = (take(&mut pool, START), take(&mut pool, START));
    settle(&mut pool, START, first, limited(Some(START + SECOND * 100)));
    settle(&mut pool, START, second, limited(Some(START + SECOND * 5)));
    let until = shown(&mut pool, START, 1).rate_limited_until;
    assert_eq!(until, Some(START + SECOND * 100));
}

#[test]
fn refusals_in_a_row_without_a_reset_time_back_off_and_a_success_ends_the_row() {
    let mut pool = lone();
    let mut now = START;
    for full in [60, 120, 240, 480, 600, 600] {
        run(&mut pool, now, limited(None));
        let until = shown(&mut pool, now, 1).rate_limited_until.unwrap();
        let length = until.saturating_duration_since(now);
        let full = Duration::from_secs(full);
        assert!(
            length <= full && length >= full.mul_f64(0.8),
            "{length:?} of {full:?}"
        );
        now = until;
    }
    run(&mut pool, now, Verdict::Success);
    run(&mut pool, now, limited(None));
    assert_eq!(
        shown(&mut pool, now, 1).rate_limited_until,
        Some(now + MINUTE)
    );
}

#[test]
fn a_returning_key_takes_one_trial_request_before_the_full_flow() {
    let mut pool = lone();
    run(&mut pool, START, limited(None));
    let back = START + MINUTE;
    let trial = take(&mut pool, back);
    let refusal = refused(&mut pool, back);
    assert_eq!(
        (refusal.reason, refusal.retry_at),
        (RefusalReason::NoRoom, Some(back + SECOND))
    );
    settle(&mut pool, back + SECOND, trial, Verdict::Success);
    let flow: Vec<_> = (0..10).map(|_| take(&mut pool, back + SECOND)).collect();
    drop(flow);
}

#[test]
fn a_failed_trial_is_followed_by_another_and_a_clients_mistake_passes_it() {
    let mut pool = lone();
    run(&mut pool, START, limited(None));
    let back = START + MINUTE;
    for verdict in [FAULT, Verdict::Overloaded, Verdict::Cancelled] {
        let trial = take(&mut pool, back);
        refused(&mut pool, back);
        settle(&mut pool, back, trial, verdict);
    }
    let trial = take(&mut pool, back);
    settle(&mut pool, back, trial, Verdict::ClientError);
    let _flow = (take(&mut pool, back), take(&mut pool, back));
}

#[test]
fn a_trial_that_runs_for_long_without_refusal_has_passed() {
    let mut pool = lone();
    run(&mut pool, START, limited(None));
    let back = START + MINUTE;
    let stream = take(&mut pool, back);
    outputs(&mut pool, back);
    let lapse = back + SECOND * 5;
    assert_eq!(
        pool.poll_timeout(),
        Some((lapse, WakeReason::TrialLapses(id(1))))
    );
    refused(&mut pool, just_before(lapse));
    let other = take(&mut pool, lapse);
    drop((stream, other));
}

#[test]
fn trials_do_not_hold_up_a_pool_with_other_keys() {
    let mut pool = pool(Strategy::LeastLoaded, keys(3, Limits::default()));
    run(&mut pool, START, limited(None));
    let leases: Vec<_> = (0..30).map(|_| take(&mut pool, START + MINUTE)).collect();
    let on_trial = leases.iter().filter(|lease| lease.key() == id(1)).count();
    assert_eq!(on_trial, 1);
}

// acceptance 52, 55
#[test]
fn successes_after_faults_raise_the_score_until_the_key_is_healthy() {
    let mut pool = lone();
    for _ in 0..10 {
        run(&mut pool, START, FAULT);
    }
    assert_eq!(
        (score(&mut pool, START, 1), state(&mut pool, START, 1)),
        (50, KeyState::Degraded)
    );
    for success in 1..=50 {
        run(&mut pool, START, Verdict::Success);
        assert_eq!(score(&mut pool, START, 1), 50 + success);
    }
    assert_eq!(state(&mut pool, START, 1), KeyState::Healthy);
}

// acceptance 53, 55
#[test]
fn a_degraded_key_is_healthy_after_five_minutes_without_an_error_even_when_idle() {
    let mut pool = lone();
    for _ in 0..10 {
        run(&mut pool, START, FAULT);
    }
    run(&mut pool, START + MINUTE, FAULT);
    outputs(&mut pool, START + MINUTE);
    let recovery = START + MINUTE * 6;
    assert_eq!(
        pool.poll_timeout(),
        Some((recovery, WakeReason::DegradedRecovers(id(1))))
    );
    assert_eq!(outputs(&mut pool, just_before(recovery)), []);
    let told = outputs(&mut pool, recovery);
    let [Output::StateChanged(change)] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(
        (change.from, change.to),
        (KeyState::Degraded, KeyState::Healthy)
    );
    // The score agrees with the state: one fault must not bring it back at once.
    assert_eq!(score(&mut pool, recovery, 1), 81);
    assert_eq!(pool.poll_timeout(), None);
}

// acceptance 54
#[test]
fn a_health_check_after_the_reset_time_restores_at_once_and_tells_what_changed() {
    let mut pool = pool(Strategy::RoundRobin, keys(3, Limits::default()));
    run(&mut pool, START, limited(Some(START + SECOND * 5)));
    run(&mut pool, START, limited(None));
    run(&mut pool, START, Verdict::Invalid);
    outputs(&mut pool, START);
    let now = START + SECOND * 5;
    let Ok(Applied::Checked { changed, probing }) = pool.handle_admin(now, Command::HealthCheck)
    else {
        panic!("a check answers what it found")
    };
    let changed: Vec<_> = changed
        .iter()
        .map(|change| (change.key, change.to))
        .collect();
    assert_eq!(changed, [(id(1), KeyState::Healthy)]);
    assert_eq!(probing, [id(3)]);
    assert_eq!(
        state(&mut pool, now, 2),
        KeyState::RateLimited,
        "its reset time has not come"
    );
    assert_eq!(probes(&mut pool, now), 1);
}

#[test]
fn a_refused_key_is_probed_after_1_5_and_30_minutes_then_hourly() {
    let mut pool = lone();
    run(&mut pool, START, Verdict::Invalid);
    outputs(&mut pool, START);
    let mut now = START;
    for minutes in [1, 5, 30, 60, 60, 60] {
        let due = now + MINUTE * minutes;
        assert_eq!(
            pool.poll_timeout(),
            Some((due, WakeReason::ProbeDue(id(1))))
        );
        assert_eq!(shown(&mut pool, now, 1).next_probe, Some(due));
        assert_eq!(probes(&mut pool, just_before(due)), 0);
        assert_eq!(probes(&mut pool, due), 1);
        // acceptance 56: never silently while it still fails.
        pool.handle_probe(due, id(1), failed());
        assert_eq!(state(&mut pool, due, 1), KeyState::Unavailable);
        assert_eq!(
            refused(&mut pool, due).reason,
            RefusalReason::AllUnavailable
        );
        now = due;
    }
}

#[test]
fn a_probe_that_says_nothing_is_repeated_after_the_same_wait() {
    let mut pool = lone();
    run(&mut pool, START, Verdict::Invalid);
    assert_eq!(probes(&mut pool, START + MINUTE), 1);
    pool.handle_probe(START + MINUTE, id(1), ProbeResult::Inconclusive);
    assert_eq!(probes(&mut pool, START + MINUTE * 2), 1);
    // Nor does one whose result never comes end the probing.
    assert_eq!(probes(&mut pool, START + MINUTE * 3), 1);
}

// acceptance 56
#[test]
fn a_passed_probe_restores_the_key_with_a_fair_score_and_a_trial() {
    let mut pool = lone();
    run(&mut pool, START, Verdict::Invalid);
    outputs(&mut pool, START);
    let now = START + MINUTE;
    assert_eq!(probes(&mut pool, now), 1);
    pool.handle_probe(now, id(1), ProbeResult::Passed);
    assert_eq!(
        (score(&mut pool, now, 1), state(&mut pool, now, 1)),
        (70, KeyState::Healthy)
    );
    let trial = take(&mut pool, now);
    refused(&mut pool, now);
    settle(&mut pool, now, trial, Verdict::Success);
    assert_eq!(score(&mut pool, now, 1), 71);
    let _flow = (take(&mut pool, now), take(&mut pool, now));
    assert_eq!(probes(&mut pool, START + MINUTE * 100), 0);
}

// acceptance 56
#[test]
fn an_operator_returns_a_key_by_enabling_it_or_by_adding_it_anew() {
    let mut pool = lone();
    run(&mut pool, START, Verdict::Invalid);
    pool.handle_admin(START, enable(1, true)).unwrap();
    assert_eq!(
        (score(&mut pool, START, 1), state(&mut pool, START, 1)),
        (70, KeyState::Healthy)
    );
    run(&mut pool, START, Verdict::Invalid);
    pool.handle_admin(START, Command::RemoveKey(id(1))).unwrap();
    pool.handle_admin(START, Command::AddKey(key(1))).unwrap();
    assert_eq!(
        (score(&mut pool, START, 1), state(&mut pool, START, 1)),
        (100, KeyState::Healthy)
    );
    run(&mut pool, START, limited(None));
    pool.handle_admin(START, enable(1, true)).unwrap();
    assert_eq!(run(&mut pool, START, Verdict::Success), id(1));
}

#[test]
fn out_of_credit_ends_when_the_provider_said_it_would_or_when_a_request_is_served() {
    let until = START + MINUTE * 90;
    let broke = |until| Verdict::OutOfCredit {
        until,
        scope: CooldownScope::Key,
    };
    let mut pool = lone();
    run(&mut pool, START, broke(Some(until)));
    outputs(&mut pool, START);
    assert_eq!(
        (score(&mut pool, START, 1), state(&mut pool, START, 1)),
        (100, KeyState::Unavailable)
    );
    let refusal = refused(&mut pool, START);
    assert_eq!(
        (refusal.reason, refusal.retry_at),
        (RefusalReason::AllUnavailable, Some(until))
    );
    assert_eq!(
        pool.poll_timeout(),
        Some((until, WakeReason::CreditReturns(id(1))))
    );
    assert_eq!(probes(&mut pool, just_before(until)), 0);
    assert_eq!(run(&mut pool, until, broke(None)), id(1));
    for hours in 1..4 {
        let due = until + MINUTE * 60 * hours;
        let refusal = refused(&mut pool, just_before(due));
        assert_eq!(
            (refusal.reason, refusal.retry_at),
            (RefusalReason::AllUnavailable, Some(due))
        );
        assert_eq!(probes(&mut pool, due), 0);
        pool.handle_probe(due, id(1), ProbeResult::Passed);
        assert_eq!(state(&mut pool, due, 1), KeyState::Unavailable);
        let outcome = if hours < 3 {
            broke(None)
        } else {
            Verdict::Success
        };
        assert_eq!(run(&mut pool, due, outcome), id(1));
    }
    let end = until + MINUTE * 180;
    assert_eq!(state(&mut pool, end, 1), KeyState::Healthy);
}

#[test]
fn a_disabled_key_is_not_probed() {
    let mut pool = lone();
    run(&mut pool, START, Verdict::Invalid);
    pool.handle_admin(START, enable(1, false)).unwrap();
    outputs(&mut pool, START);
    assert_eq!(pool.poll_timeout(), None);
    assert_eq!(probes(&mut pool, START + MINUTE * 600), 0);
}

#[test]
fn a_key_is_used_until_its_configured_end_and_again_when_that_is_moved() {
    let end = START + MINUTE;
    let mut pool = pool(
        Strategy::Lru,
        vec![KeyConfig {
            expires_at: Some(end),
            ..key(1)
        }],
    );
    assert_eq!(
        pool.poll_timeout(),
        Some((end, WakeReason::KeyExpires(id(1))))
    );
    run(&mut pool, just_before(end), Verdict::Success);
    assert_eq!(
        refused(&mut pool, end).reason,
        RefusalReason::AllUnavailable
    );
    assert_eq!(state(&mut pool, end, 1), KeyState::Unavailable);
    let told = outputs(&mut pool, end);
    assert!(
        matches!(&told[..], [Output::Alert(_), Output::StateChanged(_)]),
        "{told:?}"
    );
    let expires_at = keypool_pool::Edit::Clear;
    let patch = keypool_pool::KeyPatch {
        expires_at,
        ..Default::default()
    };
    pool.handle_admin(end, Command::UpdateKey(id(1), patch))
        .unwrap();
    run(&mut pool, end, Verdict::Success);
}

#[test]
fn every_wake_up_says_in_words_what_for() {
    let reasons = [
        (
            WakeReason::CooldownEnds(id(1)),
            "key_000000000001 cooldown ends",
        ),
        (WakeReason::ProbeDue(id(1)), "key_000000000001 probe due"),
        (WakeReason::OutputsWaiting, "outputs wait to be polled"),
    ];
    for (reason, words) in reasons {
        assert_eq!(reason.to_string(), words);
    }
}
