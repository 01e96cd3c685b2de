//! What answers teach about limits: the provider's word is the truth, as far as it goes.

use std::time::Duration;

use crate::support::*;
use keypool_pool::{
    AlertKind, Charge, CooldownScope, Demand, Dimension, KeyConfig, Lease, Limits, Pool,
    PoolConfig, QuotaReading, RefusalReason, Strategy, Verdict, Window,
};

const RPM: Dimension = Dimension::RequestsPerMinute;
const TPM: Dimension = Dimension::TokensPerMinute;

fn one_key(limits: Limits) -> Pool {
    pool(Strategy::LeastLoaded, keys(1, limits))
}

fn of_class(class: &'static str) -> Demand<'static> {
    Demand {
        model: class,
        ..demand(0)
    }
}

/// A request whose answer states the limit and what remains; it has succeeded.
fn answered(pool: &mut Pool, limit: u64, remaining: u64) {
    let lease = take(pool, START);
    pool.handle_quota_report(START, &lease, &[reading(RPM, limit, remaining)]);
    settle(pool, START, lease, Verdict::Success);
}

fn requests(pool: &mut Pool) -> (u64, i64) {
    learned(pool, START, "m", RPM).unwrap()
}

// acceptance 65
#[test]
fn a_limit_that_nobody_declared_is_learned_from_the_first_answer_that_states_it() {
    let mut pool = one_key(Limits::default());
    answered(&mut pool, 50, 49);
    assert_eq!(requests(&mut pool), (50, 49));
    for _ in 0..49 {
        run(&mut pool, START, Verdict::Success);
    }
    let refusal = refused(&mut pool, START);
    assert_eq!(refusal.reason, RefusalReason::NoRoom);
    let room_at = refilled(Duration::from_millis(1200));
    assert_eq!(refusal.retry_at, Some(room_at));
    refused(&mut pool, just_before(room_at));
    run(&mut pool, room_at, Verdict::Success);
    assert_eq!(alerts(&mut pool, room_at), [], "nobody declared anything");
}

#[test]
fn what_was_granted_before_the_first_answer_counts_on_the_limit_that_it_states() {
    let mut pool = one_key(Limits::default());
    let first = take(&mut pool, START);
    let others: Vec<Lease> = (0..9).map(|_| take(&mut pool, START)).collect();
    pool.handle_quota_report(START, &first, &[reading(RPM, 50, 49)]);
    assert_eq!(requests(&mut pool), (50, 40), "nine are on their way");
    drop((first, others));
}

/// Ten requests of a limit of 50 are granted; the last three are under way, 8 among them.
fn with_8_9_and_10_under_way() -> (Pool, Lease, [Lease; 2]) {
    let mut pool = one_key(Limits::default());
    answered(&mut pool, 50, 49);
    for _ in 2..8 {
        run(&mut pool, START, Verdict::Success);
    }
    let eighth = take(&mut pool, START);
    let later = [take(&mut pool, START), take(&mut pool, START)];
    assert_eq!(requests(&mut pool), (50, 40));
    (pool, eighth, later)
}

#[test]
fn an_answer_that_may_not_know_of_those_behind_it_changes_nothing() {
    for remaining in [40, 41, 42] {
        let (mut pool, eighth, later) = with_8_9_and_10_under_way();
        pool.handle_quota_report(START, &eighth, &[reading(RPM, 50, remaining)]);
        assert_eq!(requests(&mut pool), (50, 40), "{remaining}");
        drop((eighth, later));
    }
}

#[test]
fn what_somebody_else_used_lowers_what_remains_and_an_operator_is_told_once() {
    let (mut pool, eighth, later) = with_8_9_and_10_under_way();
    pool.handle_quota_report(START, &eighth, &[reading(RPM, 50, 30)]);
    assert_eq!(requests(&mut pool), (50, 30));
    assert_eq!(alerts(&mut pool, START), [AlertKind::ForeignUse]);
    pool.handle_quota_report(START, &eighth, &[reading(RPM, 50, 10)]);
    assert_eq!(requests(&mut pool), (50, 10));
    assert_eq!(alerts(&mut pool, START), [], "within the hour");
    drop((eighth, later));
}

#[test]
fn a_count_that_is_too_pessimistic_is_raised_but_for_what_is_under_way() {
    let (mut pool, eighth, later) = with_8_9_and_10_under_way();
    pool.handle_quota_report(START, &eighth, &[reading(RPM, 50, 48)]);
    assert_eq!(requests(&mut pool), (50, 46));
    drop((eighth, later));
}

#[test]
fn what_refilled_while_the_answer_was_under_way_is_not_taken_for_foreign_use() {
    let mut pool = one_key(rpm(60));
    let lease = take(&mut pool, START);
    for _ in 0..29 {
        run(&mut pool, START, Verdict::Success);
    }
    // The answer comes ten seconds later and tells of the moment at which it was made.
    let now = START + SECOND * 10;
    let before = shown(&mut pool, now, 1).meters[0].remaining;
    pool.handle_quota_report(now, &lease, &[reading(RPM, 60, 30)]);
    assert_eq!(learned(&mut pool, now, "m", RPM), Some((60, before)));
    settle(&mut pool, now, lease, Verdict::Success);
}

#[test]
fn a_rounded_number_corrects_only_what_is_out_of_its_reach() {
    let rounded = |remaining| QuotaReading {
        grain: 1000,
        ..reading(TPM, 100_000, remaining)
    };
    for (stated, expected) in [(90_000, 89_600), (89_000, 89_500), (91_000, 90_500)] {
        let mut pool = one_key(tpm(100_000));
        let lease = take_for(&mut pool, START, &demand(10_400));
        settle(&mut pool, START, lease, Verdict::Success);
        let lease = take_for(&mut pool, START, &demand(0));
        pool.handle_quota_report(START, &lease, &[rounded(stated)]);
        let (_, remaining) = learned(&mut pool, START, "m", TPM).unwrap();
        assert_eq!(remaining, expected, "{stated}");
        settle(&mut pool, START, lease, Verdict::Success);
    }
}

#[test]
fn a_limit_that_is_lowered_or_raised_at_run_time_is_followed_and_told_each_time() {
    let mut pool = one_key(Limits::default());
    answered(&mut pool, 50, 49);
    assert_eq!(alerts(&mut pool, START), []);
    answered(&mut pool, 20, 18);
    assert_eq!(requests(&mut pool), (20, 18));
    assert_eq!(alerts(&mut pool, START), [AlertKind::LimitCorrected]);
    answered(&mut pool, 100, 97);
    assert_eq!(requests(&mut pool), (100, 97));
    assert_eq!(alerts(&mut pool, START), [AlertKind::LimitCorrected]);
    answered(&mut pool, 100, 96);
    assert_eq!(alerts(&mut pool, START), []);
}

#[test]
fn a_declared_limit_a_fifth_too_high_or_too_low_is_corrected_and_told_exactly_once() {
    for declared in [60, 40] {
        let mut pool = one_key(rpm(declared));
        answered(&mut pool, 50, 49);
        assert_eq!(requests(&mut pool), (50, 49), "{declared}");
        assert_eq!(alerts(&mut pool, START), [AlertKind::LimitCorrected]);
        for used in 2..=50 {
            answered(&mut pool, 50, 50 - used);
        }
        refused(&mut pool, START);
        assert_eq!(alerts(&mut pool, START), [], "{declared}");
    }
}

#[test]
fn a_limit_declared_too_low_is_kept_where_corrections_are_off_and_one_too_high_is_not() {
    for (declared, used) in [(40, 40), (60, 50)] {
        let config = PoolConfig {
            correct_limits: false,
            keys: keys(1, rpm(declared)),
            ..PoolConfig::default()
        };
        let mut pool = build(config);
        answered(&mut pool, 50, 49);
        assert_eq!(requests(&mut pool).0, used);
        assert_eq!(alerts(&mut pool, START), [AlertKind::LimitCorrected]);
    }
}

#[test]
fn half_of_what_the_provider_states_is_a_share_that_is_kept() {
    let mut pool = one_key(rpm(25));
    answered(&mut pool, 50, 49);
    assert_eq!(requests(&mut pool), (25, 24), "the rest is for others");
    assert_eq!(alerts(&mut pool, START), [AlertKind::LimitCorrected]);
    answered(&mut pool, 50, 30);
    assert_eq!(requests(&mut pool), (25, 23), "others used theirs");
    answered(&mut pool, 50, 3);
    assert_eq!(requests(&mut pool), (25, 3), "the whole quota runs out");
    let told = alerts(&mut pool, START);
    assert!(!told.contains(&AlertKind::LimitCorrected), "{told:?}");
}

#[test]
fn a_share_that_is_declared_anew_is_judged_anew() {
    let mut pool = one_key(rpm(25));
    answered(&mut pool, 50, 49);
    let patch = keypool_pool::KeyPatch {
        limits: Some(rpm(45)),
        ..Default::default()
    };
    let command = keypool_pool::Command::UpdateKey(id(1), patch);
    pool.handle_admin(START, command).unwrap();
    answered(&mut pool, 50, 48);
    assert_eq!(requests(&mut pool).0, 50);
}

#[test]
fn what_an_answer_leaves_out_or_cannot_mean_changes_nothing() {
    let nothing = QuotaReading {
        limit: None,
        remaining: None,
        ..reading(RPM, 0, 0)
    };
    let mut pool = one_key(Limits::default());
    let lease = take(&mut pool, START);
    let readings = [
        nothing,
        QuotaReading {
            limit: Some(0),
            ..nothing
        },
        QuotaReading {
            remaining: Some(7),
            ..nothing
        },
        reading(Dimension::MaxConcurrent, 5, 0),
    ];
    pool.handle_quota_report(START, &lease, &readings);
    assert_eq!(shown(&mut pool, START, 1).meters, []);
    // More left than there is, no grain, and more than anybody sells.
    let absurd = [
        QuotaReading {
            grain: 0,
            ..reading(RPM, 50, 999)
        },
        reading(TPM, u64::MAX, u64::MAX),
    ];
    pool.handle_quota_report(START, &lease, &absurd);
    settle(&mut pool, START, lease, Verdict::Success);
    assert!(learned(&mut pool, START, "m", RPM) <= Some((50, 50)));
    run(&mut pool, START, Verdict::Success);
    assert_eq!(requests(&mut pool).0, 50);
}

#[test]
fn without_a_limit_in_the_answer_the_declared_one_is_counted_down() {
    let mut pool = one_key(rpm(50));
    let lease = take(&mut pool, START);
    let only_remaining = QuotaReading {
        limit: None,
        ..reading(RPM, 0, 20)
    };
    pool.handle_quota_report(START, &lease, &[only_remaining]);
    assert_eq!(requests(&mut pool), (50, 20));
    settle(&mut pool, START, lease, Verdict::Success);
}

// acceptance 7
#[test]
fn model_classes_have_limits_of_their_own_and_the_declared_one_holds_for_the_rest() {
    let mut pool = one_key(rpm(30));
    let opus = |model| Demand {
        model,
        model_class: Some("opus"),
        ..demand(0)
    };
    let lease = take_for(&mut pool, START, &opus("opus-4-5"));
    pool.handle_quota_report(START, &lease, &[reading(RPM, 5, 4)]);
    settle(&mut pool, START, lease, Verdict::Success);
    for model in ["opus-4-5", "opus-4-6", "opus-4-5", "opus-4-6"] {
        let lease = take_for(&mut pool, START, &opus(model));
        settle(&mut pool, START, lease, Verdict::Success);
    }
    refused_for(&mut pool, START, &opus("opus-4-7"));
    // Of the declared thirty, 25 are left to whoever has no limit of its own.
    for _ in 0..25 {
        let lease = take_for(&mut pool, START, &of_class("sonnet"));
        settle(&mut pool, START, lease, Verdict::Success);
    }
    refused_for(&mut pool, START, &of_class("sonnet"));
    let totals = pool.quota_totals(START, "opus");
    assert_eq!((totals[0].limit, totals[0].remaining), (5, 0));
}

#[test]
fn what_one_class_has_under_way_is_not_reserved_in_another() {
    let mut pool = one_key(rpm(30));
    let others: Vec<Lease> = (0..5)
        .map(|_| take_for(&mut pool, START, &of_class("sonnet")))
        .collect();
    let lease = take_for(&mut pool, START, &of_class("opus"));
    pool.handle_quota_report(START, &lease, &[reading(RPM, 25, 24)]);
    settle(&mut pool, START, lease, Verdict::Success);
    for lease in others {
        settle(&mut pool, START, lease, Verdict::Success);
    }
    let meters = shown(&mut pool, START, 1).meters;
    assert_eq!(meters.len(), 2);
    assert!(meters.iter().all(|meter| meter.reserved == 0), "{meters:?}");
}

fn fixed(limits: Limits) -> Pool {
    build(PoolConfig {
        window: Window::Fixed,
        keys: keys(1, limits),
        ..PoolConfig::default()
    })
}

// acceptance 51: START is 20 s into a minute of the clock.
#[test]
fn a_window_whose_minutes_are_not_the_clocks_is_aligned_by_its_reset() {
    let mut pool = fixed(rpm(50));
    let lease = take(&mut pool, START);
    let reset = QuotaReading {
        resets_at: Some(START + SECOND * 10),
        ..reading(RPM, 50, 0)
    };
    pool.handle_quota_report(START, &lease, &[reset]);
    settle(&mut pool, START, lease, Verdict::Success);
    assert_eq!(
        refused(&mut pool, START).retry_at,
        Some(START + SECOND * 10)
    );
    for _ in 0..50 {
        run(&mut pool, START + SECOND * 10, Verdict::Success);
    }
    let refusal = refused(&mut pool, START + SECOND * 10);
    assert_eq!(refusal.retry_at, Some(START + SECOND * 70));
}

#[test]
fn what_was_left_of_the_window_before_says_nothing_of_this_one() {
    let mut pool = fixed(rpm(50));
    let old = take(&mut pool, START);
    let now = START + SECOND * 41;
    pool.handle_quota_report(now, &old, &[reading(RPM, 50, 3)]);
    assert_eq!(learned(&mut pool, now, "m", RPM), Some((50, 50)));
    let new = take(&mut pool, now);
    pool.handle_quota_report(now, &new, &[reading(RPM, 50, 3)]);
    assert_eq!(learned(&mut pool, now, "m", RPM), Some((50, 3)));
    drop((old, new));
}

// acceptance 50
#[test]
fn a_429_that_states_nothing_trims_the_tightest_limit_which_recovers() {
    let limits = Limits {
        requests_per_minute: Some(100),
        ..tpm(1_000_000)
    };
    let mut pool = one_key(limits);
    let limits = |pool: &mut Pool, now| -> Vec<u64> {
        let meters = shown(pool, now, 1).meters;
        meters.iter().map(|meter| meter.limit).collect()
    };
    let refuse = |pool: &mut Pool, now| {
        let verdict = Verdict::RateLimited {
            until: Some(now + SECOND),
            scope: CooldownScope::Key,
        };
        run(pool, now, verdict);
    };
    refuse(&mut pool, START);
    assert_eq!(limits(&mut pool, START), [95, 1_000_000]);
    let mut now = START + SECOND;
    run(&mut pool, now, Verdict::Success);
    assert_eq!(limits(&mut pool, now), [95, 1_000_000], "not at once");
    for expected in [99, 100, 100] {
        now = now + MINUTE * 5;
        run(&mut pool, now, Verdict::Success);
        assert_eq!(limits(&mut pool, now), [expected, 1_000_000]);
    }
}

#[test]
fn a_change_to_something_else_does_not_undo_what_a_refusal_taught() {
    let mut pool = one_key(rpm(100));
    run(&mut pool, START, limited(Some(START + SECOND)));
    let patch = keypool_pool::KeyPatch {
        tags: Some(vec!["blue".to_owned()]),
        ..Default::default()
    };
    let command = keypool_pool::Command::UpdateKey(id(1), patch);
    pool.handle_admin(START, command).unwrap();
    assert_eq!(shown(&mut pool, START, 1).meters[0].limit, 95);
}

#[test]
fn a_429_that_states_its_limits_teaches_them_and_trims_nothing() {
    let mut pool = one_key(Limits::default());
    let lease = take(&mut pool, START);
    pool.handle_quota_report(START, &lease, &[reading(RPM, 50, 0)]);
    settle(&mut pool, START, lease, limited(Some(START + SECOND)));
    assert_eq!(requests(&mut pool), (50, 0));
}

#[test]
fn the_refusals_of_those_that_were_under_way_together_trim_once() {
    let mut pool = one_key(rpm(100));
    let leases: Vec<Lease> = (0..10).map(|_| take(&mut pool, START)).collect();
    for (number, lease) in (1..).zip(leases) {
        let now = START + SECOND * number;
        settle(&mut pool, now, lease, limited(Some(now + MINUTE)));
    }
    let now = START + SECOND * 10;
    assert_eq!(shown(&mut pool, now, 1).meters[0].limit, 95);
}

#[test]
fn what_an_answer_writes_beyond_its_reservation_counts_while_it_is_written() {
    let mut pool = one_key(tpm(1000));
    let want = Demand {
        output_tokens: 100,
        ..demand(100)
    };
    let mut lease = take_for(&mut pool, START, &want);
    pool.handle_progress(START, &mut lease, 80);
    assert_eq!(shown(&mut pool, START, 1).meters[0].remaining, 800);
    pool.handle_progress(START, &mut lease, 400);
    assert_eq!(shown(&mut pool, START, 1).meters[0].remaining, 500);
    assert_eq!(lease.reserved(), (100, 400));
    let used = Charge::Actual {
        input_tokens: 100,
        output_tokens: 450,
    };
    pool.handle_outcome(START, lease, &outcome(Verdict::Success, used));
    let meter = shown(&mut pool, START, 1).meters.remove(0);
    assert_eq!((meter.used, meter.reserved), (550, 0));
}

#[test]
fn a_learned_limit_survives_a_settlement_of_a_lease_that_is_older_than_it() {
    let mut pool = one_key(Limits::default());
    let old = take_for(&mut pool, START, &demand(500));
    let new = take(&mut pool, START);
    pool.handle_quota_report(START, &new, &[reading(TPM, 1000, 500)]);
    let before = learned(&mut pool, START, "m", TPM);
    pool.handle_outcome(START, old, &outcome(Verdict::Cancelled, Charge::Nothing));
    assert_eq!(learned(&mut pool, START, "m", TPM), before);
    drop(new);
}

#[test]
fn a_removed_key_takes_what_it_learned_along() {
    let mut pool = pool(Strategy::FillFirst, vec![key(1), key(2)]);
    answered(&mut pool, 50, 0);
    let remove = keypool_pool::Command::RemoveKey(id(1));
    pool.handle_admin(START, remove).unwrap();
    let add = keypool_pool::Command::AddKey(KeyConfig::new(id(1)));
    pool.handle_admin(START, add).unwrap();
    assert_eq!(shown(&mut pool, START, 1).meters, []);
}
