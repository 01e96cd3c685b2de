//! In which order those that wait are served.

use std::time::Duration;

use crate::support::*;
use keypool_pool::{
    Demand, KeyConfig, Lease, Limits, Pool, PoolConfig, Strategy, Timestamp, Urgency, Verdict,
    Wait, WaiterId, Window,
};

/// A pool of one key that serves one request at a time, and the lease that keeps it busy.
fn busy() -> (Pool, Lease) {
    let limits = Limits {
        max_concurrent: Some(1),
        ..Limits::default()
    };
    let mut pool = pool(Strategy::LeastLoaded, keys(1, limits));
    let lease = take(&mut pool, START);
    (pool, lease)
}

/// Ends one request after the other; who was served, in turn.
fn serve_all(pool: &mut Pool, now: Timestamp, mut lease: Lease) -> Vec<WaiterId> {
    let mut order = Vec::new();
    loop {
        settle(pool, now, lease, Verdict::Success);
        if pool.queue_snapshot().length == 0 {
            return order;
        }
        let (who, next) = only_turn(pool, now);
        order.push(who);
        lease = next;
    }
}

fn urgent(urgency: Urgency, since: Timestamp) -> Wait {
    Wait {
        urgency,
        ..wait(since, MINUTE * 10)
    }
}

// acceptance 78
#[test]
fn the_more_urgent_goes_first_and_within_an_urgency_the_one_that_came_first() {
    let (mut pool, lease) = busy();
    let batch = queued_as(&mut pool, START, urgent(Urgency::Batch, START));
    let normal = queued_as(&mut pool, START, urgent(Urgency::Normal, START));
    let critical = queued_as(&mut pool, START, urgent(Urgency::Critical, START));
    let later = queued_as(&mut pool, START, urgent(Urgency::Critical, START));
    let order = serve_all(&mut pool, START, lease);
    assert_eq!(order, [critical, later, normal, batch]);
}

// acceptance 78
#[test]
fn who_has_waited_for_a_minute_longer_goes_before_whoever_is_more_urgent() {
    let (mut pool, lease) = busy();
    let batch = queued_as(&mut pool, START, urgent(Urgency::Batch, START));
    let at = |seconds| START + SECOND * seconds;
    let before = queued_as(&mut pool, at(59), urgent(Urgency::Critical, at(59)));
    let after = queued_as(&mut pool, at(61), urgent(Urgency::Critical, at(61)));
    let order = serve_all(&mut pool, at(61), lease);
    assert_eq!(order, [before, batch, after]);
}

fn tenant(tenant: u64, weight: u32) -> Wait {
    Wait {
        tenant,
        weight,
        ..wait(START, MINUTE * 60)
    }
}

/// Who got how many of the first so many turns, when all of these wait from the start.
fn shares(waits: &[(Wait, u64)], turns: usize) -> (usize, usize) {
    let (mut pool, lease) = busy();
    let mut of_first = Vec::new();
    for &(wait, tokens) in waits {
        let demand = Demand {
            wait: Some(wait),
            ..demand(tokens)
        };
        let waiter = queued(&mut pool, START, &demand);
        if wait.tenant == 1 {
            of_first.push(waiter);
        }
    }
    let order = serve_all(&mut pool, START, lease);
    let served = order.iter().take(turns);
    let first = served.filter(|waiter| of_first.contains(waiter)).count();
    (first, turns - first)
}

#[test]
fn tenants_share_by_their_weights_however_much_they_send() {
    let mut waits = vec![(tenant(1, 1), 100); 300];
    waits.extend([(tenant(2, 2), 100); 40]);
    let (first, second) = shares(&waits, 45);
    assert!((14..=16).contains(&first), "{first} against {second}");
}

#[test]
fn tenants_share_tokens_and_not_requests() {
    // A request of tenant 1 is as large as nine of tenant 2.
    let mut waits = vec![(tenant(1, 1), 900); 40];
    waits.extend([(tenant(2, 1), 100); 200]);
    let (first, second) = shares(&waits, 100);
    assert!((9..=12).contains(&first), "{first} against {second}");
}

/// A key of 6000 tokens a minute with 400 left.
fn nearly_empty(window: Window) -> Pool {
    let mut pool = build(PoolConfig {
        window,
        keys: keys(1, tpm(6000)),
        ..PoolConfig::default()
    });
    let lease = take_for(&mut pool, START, &demand(5600));
    settle(&mut pool, START, lease, Verdict::Success);
    pool
}

fn of_size<'a>(tokens: u64) -> Demand<'a> {
    Demand {
        wait: Some(wait(START, MINUTE * 10)),
        ..demand(tokens)
    }
}

// acceptance 75
#[test]
fn a_large_request_is_not_starved_by_small_ones() {
    let mut pool = nearly_empty(Window::Bucket);
    let large = queued(&mut pool, START, &of_size(1000));
    let room_at = refilled(SECOND * 6);
    let mut now = START;
    let mut waiting = Vec::new();
    // One for 300 each half second would keep it from ever having 1000.
    while now < room_at {
        waiting.push(queued(&mut pool, now, &of_size(300)));
        assert!(pool.poll_turn(now).is_none(), "{now}");
        now = now + Duration::from_millis(500);
    }
    let (who, _lease) = only_turn(&mut pool, room_at);
    assert_eq!(who, large);
    assert_eq!(waiting.len(), 13);
}

#[test]
fn a_small_request_without_patience_does_not_take_what_a_large_one_waits_for() {
    let mut pool = nearly_empty(Window::Bucket);
    queued(&mut pool, START, &of_size(1000));
    assert!(pool.poll_turn(START).is_none());
    let refusal = refused_for(&mut pool, START, &demand(300));
    assert_eq!(refusal.retry_at, Some(refilled(SECOND * 6)));
    assert!(pool.explain(START, &demand(300)).refusal.is_some());
}

#[test]
fn a_small_request_goes_where_the_large_one_loses_nothing_by_it() {
    // Cleared at the turn of the minute: the large one has to wait for that anyway.
    let mut pool = nearly_empty(Window::Fixed);
    let large = queued(&mut pool, START, &of_size(1000));
    assert!(pool.poll_turn(START).is_none());
    drop(take_for(&mut pool, START, &of_size(300)));
    let turn = START + SECOND * 40;
    assert_eq!(only_turn(&mut pool, turn).0, large);
}

#[test]
fn small_requests_of_the_last_moments_of_a_window_do_not_put_a_large_one_off() {
    let mut pool = nearly_empty(Window::Fixed);
    let large = queued(&mut pool, START, &of_size(6000));
    let turn = START + SECOND * 40;
    let late = just_before(turn);
    assert!(pool.poll_turn(late).is_none());
    // It would count in the next window, too.
    queued(&mut pool, late, &of_size(100));
    assert_eq!(only_turn(&mut pool, turn).0, large);
}

#[test]
fn a_small_request_goes_to_another_key_than_the_one_a_large_request_waits_for() {
    let mut pool = pool(Strategy::FillFirst, keys(2, tpm(6000)));
    for tokens in [5600, 5900] {
        let lease = take_for(&mut pool, START, &demand(tokens));
        settle(&mut pool, START, lease, Verdict::Success);
    }
    let large = queued(&mut pool, START, &of_size(1000));
    assert!(pool.poll_turn(START).is_none());
    // Key 1 is booked; key 2 has 100 left.
    assert_eq!(take_for(&mut pool, START, &of_size(90)).key(), id(2));
    let (who, lease) = only_turn(&mut pool, refilled(SECOND * 6));
    assert_eq!((who, lease.key()), (large, id(1)));
}

#[test]
fn who_lost_its_key_goes_before_others_of_its_urgency() {
    let (mut pool, lease) = busy();
    let first = queued_as(&mut pool, START, urgent(Urgency::Normal, START));
    let critical = queued_as(&mut pool, START, urgent(Urgency::Critical, START));
    let resumed = Wait {
        resumed: true,
        ..urgent(Urgency::Normal, START)
    };
    let resumed = queued_as(&mut pool, START, resumed);
    let order = serve_all(&mut pool, START, lease);
    assert_eq!(order, [critical, resumed, first]);
}

#[test]
fn a_newcomer_overtakes_nobody_between_a_settlement_and_the_poll() {
    let (mut pool, lease) = busy();
    let first = queued_as(&mut pool, START, urgent(Urgency::Normal, START));
    settle(&mut pool, START, lease, Verdict::Success);
    // There is room, and it is not the newcomer's, whether it would wait or not.
    refused(&mut pool, START);
    let second = queued_as(&mut pool, START, urgent(Urgency::Normal, START));
    let (who, lease) = only_turn(&mut pool, START);
    assert_eq!(who, first);
    assert_eq!(serve_all(&mut pool, START, lease), [second]);
}

#[test]
fn a_request_for_another_model_does_not_wait_behind_one_that_no_key_can_take_now() {
    let with_models = |number, model: &str| KeyConfig {
        models: vec![model.to_owned()],
        limits: rpm(1),
        ..key(number)
    };
    let mut pool = pool(
        Strategy::LeastLoaded,
        vec![with_models(1, "m"), with_models(2, "n")],
    );
    run(&mut pool, START, Verdict::Success);
    queued(&mut pool, START, &of_size(0));
    let other = Demand {
        model: "n",
        ..of_size(0)
    };
    assert_eq!(take_for(&mut pool, START, &other).key(), id(2));
}

/// In a pool of more keys than are all looked at for each that gets room.
#[test]
fn in_a_large_pool_the_one_behind_who_went_is_offered_all_other_room_too() {
    let limits = Limits {
        max_concurrent: Some(1),
        ..Limits::default()
    };
    let mut pool = pool(Strategy::LeastLoaded, keys(200, limits));
    let mut leases: Vec<Lease> = (0..200).map(|_| take(&mut pool, START)).collect();
    let waiters: Vec<WaiterId> = (0..10)
        .map(|_| queued_as(&mut pool, START, urgent(Urgency::Normal, START)))
        .collect();
    assert!(pool.poll_turn(START).is_none());
    for lease in leases.drain(..10) {
        settle(&mut pool, START, lease, Verdict::Success);
    }
    let served: Vec<WaiterId> = turns(&mut pool, START)
        .into_iter()
        .map(|(who, _)| who)
        .collect();
    assert_eq!(served, waiters);
}
