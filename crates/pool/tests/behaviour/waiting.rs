//! Waiting for room: exactly as long as needed, bounded, and with an honest end.

use std::time::Duration;

use crate::support::*;
use keypool_pool::{
    Admission, Charge, Command, Demand, KeyConfig, Limits, Pool, PoolConfig, QueueConfig, Refusal,
    RefusalReason, Sequential, Strategy, Turn, Urgency, Verdict, Wait, WakeReason,
};

/// A pool of one key that serves one request at a time.
fn one_at_a_time() -> Pool {
    let limits = Limits {
        max_concurrent: Some(1),
        ..Limits::default()
    };
    pool(Strategy::LeastLoaded, keys(1, limits))
}

fn used_up(limits: Limits, requests: u64) -> Pool {
    let mut pool = pool(Strategy::LeastLoaded, keys(1, limits));
    for _ in 0..requests {
        run(&mut pool, START, Verdict::Success);
    }
    pool
}

fn patient() -> Wait {
    wait(START, MINUTE * 10)
}

fn waiting<'a>(tokens: u64, wait: Wait) -> Demand<'a> {
    Demand {
        wait: Some(wait),
        ..demand(tokens)
    }
}

fn refused_turn(turn: Turn) -> Refusal {
    match turn {
        Turn::Refused(refusal) => refusal,
        Turn::Granted(lease) => panic!("granted {}", lease.key()),
    }
}

// acceptance 75
#[test]
fn a_request_waits_exactly_until_there_is_room() {
    let mut pool = used_up(rpm(60), 60);
    let waiter = queued_as(&mut pool, START, patient());
    assert!(pool.poll_turn(START).is_none());
    let room_at = refilled(SECOND);
    let expected = Some((room_at, WakeReason::QueueMoves));
    assert_eq!(pool.poll_timeout(), expected);
    assert_eq!(pool.queue_snapshot().next_turn_at, Some(room_at));
    assert!(pool.poll_turn(just_before(room_at)).is_none());
    let (who, lease) = only_turn(&mut pool, room_at);
    assert_eq!((who, lease.key()), (waiter, id(1)));
    settle(&mut pool, room_at, lease, Verdict::Success);
    assert_eq!(pool.poll_timeout(), None, "an empty queue needs no waking");
}

#[test]
fn a_request_for_which_there_is_room_does_not_wait() {
    let mut pool = used_up(rpm(60), 59);
    drop(take_for(&mut pool, START, &waiting(0, patient())));
    assert_eq!(pool.queue_snapshot().length, 0);
}

// acceptance 75
#[test]
fn the_end_of_a_request_lets_the_next_go_at_once() {
    let mut pool = one_at_a_time();
    let busy = take(&mut pool, START);
    let first = queued_as(&mut pool, START, patient());
    let second = queued_as(&mut pool, START, patient());
    assert!(pool.poll_turn(START).is_none());
    let now = START + Duration::from_millis(300);
    settle(&mut pool, now, busy, Verdict::Success);
    assert_eq!(pool.poll_timeout(), Some((now, WakeReason::QueueMoves)));
    let (who, lease) = only_turn(&mut pool, now);
    assert_eq!(who, first);
    settle(&mut pool, now, lease, Verdict::Success);
    assert_eq!(only_turn(&mut pool, now).0, second);
}

// acceptance 65
#[test]
fn a_burst_within_the_capacity_of_a_minute_is_served_whole_and_none_is_refused() {
    for count in [3, 5] {
        let mut pool = pool(Strategy::LeastLoaded, keys(count, rpm(50)));
        let mut served = 0;
        // The keys are full: as much again within the next minute.
        for _ in 0..count * 100 {
            match pool.handle_request(START, &waiting(0, wait(START, MINUTE * 2))) {
                Admission::Granted(lease) => {
                    settle(&mut pool, START, lease, Verdict::Success);
                    served += 1;
                }
                Admission::Queued(_) => {}
                Admission::Refused(refusal) => panic!("{refusal:?}"),
            }
        }
        assert_eq!(served, count * 50);
        let mut now = START;
        while pool.queue_snapshot().length > 0 {
            now = pool.poll_timeout().unwrap().0.max(now);
            for (_, turn) in turns(&mut pool, now) {
                let Turn::Granted(lease) = turn else {
                    panic!("{turn:?}")
                };
                settle(&mut pool, now, lease, Verdict::Success);
                served += 1;
            }
        }
        assert_eq!(served, count * 100);
        assert!(now <= refilled(MINUTE), "{now}");
    }
}

#[test]
fn a_key_that_is_added_or_returns_serves_those_that_wait() {
    let mut pool = one_at_a_time();
    let busy = take(&mut pool, START);
    queued_as(&mut pool, START, patient());
    queued_as(&mut pool, START, patient());
    assert!(pool.poll_turn(START).is_none());
    let added = Command::AddKey(KeyConfig {
        limits: Limits {
            max_concurrent: Some(1),
            ..Limits::default()
        },
        ..key(2)
    });
    pool.handle_admin(START, added).unwrap();
    let (_, lease) = only_turn(&mut pool, START);
    assert_eq!(lease.key(), id(2));
    settle(&mut pool, START, lease, limited(Some(START + SECOND * 7)));
    assert!(pool.poll_turn(START).is_none());
    let (_, lease) = only_turn(&mut pool, START + SECOND * 7);
    assert_eq!(lease.key(), id(2));
    drop(busy);
}

// acceptance 60
#[test]
fn a_request_that_would_not_be_served_in_time_is_refused_at_once() {
    let mut pool = used_up(rpm(6), 6);
    let refusal = refused_for(&mut pool, START, &waiting(0, wait(START, SECOND * 5)));
    assert_eq!(refusal.reason, RefusalReason::NoRoom);
    assert_eq!(refusal.retry_at, Some(refilled(SECOND * 10)));
    queued_as(&mut pool, START, wait(START, SECOND * 11));
}

#[test]
fn waiting_is_not_for_what_no_waiting_cures() {
    let mut pool = used_up(tpm(1000), 0);
    let refusal = refused_for(&mut pool, START, &waiting(1001, patient()));
    assert_eq!(refusal.reason, RefusalReason::TooLarge);
    let all = [id(1)];
    let tried = Demand {
        excluded: &all,
        ..waiting(1, patient())
    };
    let refusal = refused_for(&mut pool, START, &tried);
    assert_eq!(refusal.reason, RefusalReason::AllTried);
    assert_eq!(pool.queue_snapshot().length, 0);
}

// acceptance 60
#[test]
fn who_has_waited_for_as_long_as_it_may_is_told_when_to_come_back() {
    let mut pool = one_at_a_time();
    let busy = take(&mut pool, START);
    let waiter = queued_as(&mut pool, START, wait(START, SECOND * 5));
    let deadline = START + SECOND * 5;
    let mut now = START;
    while now < deadline {
        assert!(pool.poll_turn(now).is_none());
        now = pool.poll_timeout().unwrap().0;
    }
    assert_eq!(now, deadline);
    let mut turns = turns(&mut pool, now);
    assert_eq!(turns.len(), 1);
    let (who, turn) = turns.remove(0);
    assert_eq!(who, waiter);
    let refusal = refused_turn(turn);
    assert_eq!(refusal.reason, RefusalReason::NoRoom);
    assert_eq!(refusal.retry_at, Some(deadline + SECOND));
    drop(busy);
}

#[test]
fn a_refusal_counts_those_that_wait_already() {
    let mut pool = used_up(rpm(60), 60);
    for _ in 0..20 {
        queued_as(&mut pool, START, patient());
    }
    let refusal = refused(&mut pool, START);
    assert_eq!(refusal.retry_at, Some(START + SECOND * 20));
    let refusal = refused_for(&mut pool, START, &waiting(0, wait(START, SECOND * 15)));
    assert_eq!(refusal.retry_at, Some(START + SECOND * 20));
    // Those that are less urgent do not stand in its way.
    let urgent = Wait {
        urgency: Urgency::Critical,
        ..wait(START, SECOND * 15)
    };
    queued_as(&mut pool, START, urgent);
}

// acceptance 75
#[test]
fn the_queue_is_bounded_in_length_and_in_bytes() {
    let bounded = |max_length, max_bytes| {
        let limits = Limits {
            max_concurrent: Some(1),
            ..Limits::default()
        };
        build(PoolConfig {
            queue: QueueConfig {
                max_length,
                max_bytes,
            },
            keys: keys(1, limits),
            ..PoolConfig::default()
        })
    };
    for (length, bytes, waiting_ones) in [(2, 10_000, 2), (100, 350, 3), (0, 10_000, 0)] {
        let mut pool = bounded(length, bytes);
        let busy = take(&mut pool, START);
        for _ in 0..waiting_ones {
            queued_as(&mut pool, START, patient());
        }
        let refusal = refused_for(&mut pool, START, &waiting(0, patient()));
        assert_eq!(refusal.reason, RefusalReason::NoRoom);
        assert_eq!(refusal.retry_at, Some(START + SECOND));
        assert_eq!(pool.queue_snapshot().length, waiting_ones);
        drop(busy);
    }
}

#[test]
fn a_full_queue_does_not_refuse_what_a_free_key_could_serve() {
    let limits = Limits {
        max_concurrent: Some(1),
        ..Limits::default()
    };
    let other = KeyConfig {
        models: vec!["n".to_owned()],
        ..key(2)
    };
    let only_m = KeyConfig {
        models: vec!["m".to_owned()],
        limits,
        ..key(1)
    };
    let mut pool = build(PoolConfig {
        queue: QueueConfig {
            max_length: 1,
            ..QueueConfig::default()
        },
        keys: vec![only_m, other],
        ..PoolConfig::default()
    });
    let busy = take(&mut pool, START);
    queued_as(&mut pool, START, patient());
    let free = Demand {
        model: "n",
        ..waiting(0, patient())
    };
    assert_eq!(take_for(&mut pool, START, &free).key(), id(2));
    drop(busy);
}

#[test]
fn who_has_left_gets_no_turn_and_the_next_one_does() {
    let mut pool = one_at_a_time();
    let busy = take(&mut pool, START);
    let first = queued_as(&mut pool, START, patient());
    let second = queued_as(&mut pool, START, patient());
    pool.cancel(START, first);
    assert_eq!(pool.queue_snapshot().length, 1);
    settle(&mut pool, START, busy, Verdict::Success);
    assert_eq!(only_turn(&mut pool, START).0, second);
}

#[test]
fn who_leaves_between_its_turn_and_the_poll_costs_nothing() {
    let mut pool = used_up(rpm(60), 60);
    let first = queued_as(&mut pool, START, patient());
    let second = queued_as(&mut pool, START, patient());
    let now = refilled(SECOND * 2);
    // Both have their turn, and the second is polled first only if the first has gone.
    pool.handle_probe(now, id(9), keypool_pool::ProbeResult::Passed);
    let Some((who, Turn::Granted(lease))) = pool.poll_turn(now) else {
        panic!("its turn has come")
    };
    assert_eq!(who, first);
    pool.cancel(now, second);
    assert!(pool.poll_turn(now).is_none());
    assert_eq!(shown(&mut pool, now, 1).in_flight, 1);
    settle(&mut pool, now, lease, Verdict::Success);
    drop(take(&mut pool, now));
    refused(&mut pool, now);
}

#[test]
fn an_operator_can_clear_the_queue_or_one_urgency_of_it() {
    let mut pool = one_at_a_time();
    let busy = take(&mut pool, START);
    let of = |urgency| Wait {
        urgency,
        ..patient()
    };
    let normal = queued_as(&mut pool, START, of(Urgency::Normal));
    let batch = queued_as(&mut pool, START, of(Urgency::Batch));
    let shown = pool.queue_snapshot();
    assert_eq!((shown.length, shown.bytes), (2, 200));
    assert_eq!(shown.by_urgency[2], (Urgency::Normal, 1));
    assert_eq!(shown.oldest_since, Some(START));
    assert_eq!(pool.clear_queue(START, Some(Urgency::Batch)), 1);
    let dismissed = turns(&mut pool, START);
    assert_eq!(dismissed.len(), 1);
    for (who, turn) in dismissed {
        assert_eq!(who, batch);
        assert_eq!(refused_turn(turn).reason, RefusalReason::NoRoom);
    }
    assert_eq!(pool.clear_queue(START, None), 1);
    assert_eq!(turns(&mut pool, START)[0].0, normal);
    assert_eq!(pool.clear_queue(START, None), 0);
    drop(busy);
}

// acceptance 76
#[test]
fn a_sequential_provider_serves_one_request_at_a_time_over_all_its_keys() {
    let config = PoolConfig {
        strategy: Strategy::RoundRobin,
        sequential: Sequential::Provider,
        keys: keys(3, Limits::default()),
        ..PoolConfig::default()
    };
    let mut pool = build(config);
    let mut lease = take(&mut pool, START);
    let refusal = refused(&mut pool, START);
    assert_eq!(
        (refusal.reason, refusal.retry_at),
        (RefusalReason::NoRoom, Some(START + SECOND))
    );
    let waiters: Vec<_> = (0..4)
        .map(|_| queued_as(&mut pool, START, patient()))
        .collect();
    assert!(pool.poll_turn(START).is_none());
    let wake = pool.poll_timeout().unwrap().0;
    assert!(wake >= START + SECOND, "nothing moves by itself: {wake}");
    let mut used = vec![lease.key()];
    for waiter in waiters {
        settle(&mut pool, START, lease, Verdict::Success);
        let turn = only_turn(&mut pool, START);
        assert_eq!(turn.0, waiter, "in the order of arrival");
        lease = turn.1;
        used.push(lease.key());
    }
    assert_eq!(used, [id(1), id(2), id(3), id(1), id(2)]);
    drop(lease);
}

// acceptance 76
#[test]
fn sequential_keys_serve_one_request_at_a_time_each() {
    let mut pool = pool(Strategy::LeastLoaded, keys(3, Limits::default()));
    let one_each = Command::SetSequential(Sequential::Key);
    pool.handle_admin(START, one_each).unwrap();
    let leases: Vec<_> = (0..3).map(|_| take(&mut pool, START)).collect();
    let waiter = queued_as(&mut pool, START, patient());
    assert!(pool.poll_turn(START).is_none());
    let mut leases = leases.into_iter();
    let freed = leases.next().unwrap();
    let key = freed.key();
    settle(&mut pool, START, freed, Verdict::Success);
    let (who, lease) = only_turn(&mut pool, START);
    assert_eq!((who, lease.key()), (waiter, key));
    let off = Command::SetSequential(Sequential::Off);
    pool.handle_admin(START, off).unwrap();
    drop(take(&mut pool, START));
    drop(lease);
}

#[test]
fn a_lease_that_is_dropped_makes_room_for_those_that_wait() {
    let mut pool = one_at_a_time();
    let busy = take(&mut pool, START);
    let waiter = queued_as(&mut pool, START, patient());
    drop(busy);
    assert_eq!(only_turn(&mut pool, START).0, waiter);
}

#[test]
fn a_reading_that_gives_room_back_is_offered_at_once() {
    let mut pool = pool(Strategy::LeastLoaded, keys(1, rpm(10)));
    let first = take(&mut pool, START);
    for _ in 0..9 {
        run(&mut pool, START, Verdict::Success);
    }
    let waiter = queued_as(&mut pool, START, patient());
    assert!(pool.poll_turn(START).is_none());
    // The provider counts fewer: nine were granted behind this one, none before it.
    let stated = [reading(keypool_pool::Dimension::RequestsPerMinute, 20, 19)];
    let patch = keypool_pool::KeyPatch {
        limits: Some(rpm(20)),
        ..Default::default()
    };
    pool.handle_quota_report(START, &first, &stated);
    assert!(pool.poll_turn(START).is_none(), "half of it is a share");
    pool.handle_admin(START, Command::UpdateKey(id(1), patch))
        .unwrap();
    assert_eq!(only_turn(&mut pool, START).0, waiter);
    pool.handle_outcome(START, first, &outcome(Verdict::Success, Charge::AsReserved));
}
