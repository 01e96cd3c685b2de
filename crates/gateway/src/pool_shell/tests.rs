use std::time::Duration;

use futures_util::FutureExt;
use keypool_pool::{KeyConfig, KeyId, Limits, PoolConfig, Urgency, Wait};

use super::*;
use crate::clock::ManualTimeSource;

const START: Timestamp = Timestamp::from_unix_secs(1_795_348_800);

struct Shell {
    pool: SharedPool,
    time: Arc<ManualTimeSource>,
}

impl Shell {
    /// One key with these limits.
    fn new(limits: Limits) -> Self {
        let key = KeyConfig {
            limits,
            ..KeyConfig::new(KeyId::from_bits(1))
        };
        let config = PoolConfig {
            keys: vec![key],
            ..PoolConfig::default()
        };
        let pool = Pool::new(START, config).unwrap();
        let time = Arc::new(ManualTimeSource::new(START));
        let (outputs, _) = mpsc::unbounded_channel();
        Self {
            pool: SharedPool::new(pool, time.clone(), outputs),
            time,
        }
    }

    /// One key that serves one request at a time.
    fn one_at_a_time() -> Self {
        Self::new(Limits {
            max_concurrent: Some(1),
            ..Limits::default()
        })
    }

    /// Asks, ready to wait for a minute.
    fn ask(&self) -> Admitted<'_> {
        let now = self.time.now();
        let wait = Wait {
            until: now + Duration::from_secs(90),
            since: now,
            urgency: Urgency::Normal,
            tenant: 0,
            weight: 1,
            bytes: 10,
            resumed: false,
        };
        self.pool.request(&Demand {
            model: "m",
            input_tokens: 10,
            output_tokens: 10,
            wait: Some(wait),
            ..Demand::default()
        })
    }

    fn granted(&self) -> Lease {
        match self.ask() {
            Admitted::Granted(lease) => lease,
            other => panic!("{other:?}"),
        }
    }

    fn waiting(&self) -> Waiting<'_> {
        match self.ask() {
            Admitted::Waiting(waiting) => waiting,
            other => panic!("{other:?}"),
        }
    }

    fn length(&self) -> usize {
        self.pool.with(|pool, _| pool.queue_snapshot().length)
    }

    fn in_flight(&self) -> u64 {
        self.pool.with(|pool, _| pool.in_flight())
    }

    fn succeed(&self, lease: Lease) {
        let charge = Charge::AsReserved;
        self.pool
            .settle(lease, &Outcome::of(Verdict::Success, charge));
    }
}

/// The turn that a waiting request has had by now.
fn turn_of(waiting: Waiting<'_>) -> Option<Turn> {
    waiting.turn().now_or_never().flatten()
}

#[test]
fn who_waits_gets_the_room_that_a_settlement_makes() {
    let shell = Shell::one_at_a_time();
    let lease = shell.granted();
    let waiting = shell.waiting();
    assert_eq!(shell.length(), 1);
    shell.succeed(lease);
    let Some(Turn::Granted(lease)) = turn_of(waiting) else {
        panic!("it still waits");
    };
    assert_eq!((shell.length(), shell.in_flight()), (0, 1));
    shell.succeed(lease);
    assert_eq!(shell.in_flight(), 0);
}

#[test]
fn one_settlement_wakes_one_of_many_and_in_the_order_in_which_they_came() {
    let shell = Shell::one_at_a_time();
    let mut lease = shell.granted();
    let crowd: Vec<_> = (0..20).map(|_| shell.waiting()).collect();
    for (number, waiting) in crowd.into_iter().enumerate() {
        assert_eq!(shell.length(), 20 - number);
        shell.succeed(lease);
        assert_eq!(shell.length(), 19 - number);
        lease = match turn_of(waiting) {
            Some(Turn::Granted(lease)) => lease,
            other => panic!("{number}: {other:?}"),
        };
    }
    shell.succeed(lease);
    assert_eq!(shell.in_flight(), 0);
}

#[test]
fn who_leaves_is_taken_out_of_the_queue() {
    let shell = Shell::one_at_a_time();
    let lease = shell.granted();
    let (leaving, staying) = (shell.waiting(), shell.waiting());
    drop(leaving);
    assert_eq!(shell.length(), 1);
    shell.succeed(lease);
    assert!(matches!(turn_of(staying), Some(Turn::Granted(_))));
}

#[test]
fn who_leaves_while_its_turn_is_awaited_is_taken_out_too() {
    let shell = Shell::one_at_a_time();
    let lease = shell.granted();
    let mut turn = Box::pin(shell.waiting().turn());
    assert!((&mut turn).now_or_never().is_none());
    assert_eq!(shell.length(), 1);
    drop(turn);
    assert_eq!(shell.length(), 0);
    shell.succeed(lease);
}

#[test]
fn a_lease_that_was_granted_just_as_its_client_left_goes_to_the_next() {
    let shell = Shell::one_at_a_time();
    let lease = shell.granted();
    let (leaving, staying) = (shell.waiting(), shell.waiting());
    shell.succeed(lease);
    assert_eq!((shell.length(), shell.in_flight()), (1, 1));
    drop(leaving);
    assert_eq!((shell.length(), shell.in_flight()), (0, 1));
    let Some(Turn::Granted(lease)) = turn_of(staying) else {
        panic!("nobody has the lease");
    };
    shell.succeed(lease);
    assert_eq!(shell.in_flight(), 0);
}

#[test]
fn a_lease_given_back_unused_costs_no_quota() {
    let shell = Shell::new(Limits {
        requests_per_minute: Some(2),
        max_concurrent: Some(1),
        ..Limits::default()
    });
    let lease = shell.granted();
    let leaving = shell.waiting();
    shell.succeed(lease);
    drop(leaving);
    drop(shell.granted());
}

#[test]
fn the_alarm_is_set_to_the_instant_at_which_there_is_room_and_then_the_turn_comes() {
    let shell = Shell::new(Limits {
        requests_per_minute: Some(1),
        ..Limits::default()
    });
    let far = START + Duration::from_hours(1);
    shell.succeed(shell.granted());
    assert_eq!(shell.pool.set_alarm(far), far);
    let waiting = shell.waiting();
    let moved = shell.pool.alarm();
    assert!(
        moved.moved().now_or_never().is_some(),
        "the driver must look earlier"
    );
    let at = shell.pool.set_alarm(far);
    let wait = at.saturating_duration_since(START);
    assert!((60..62).contains(&wait.as_secs()), "{wait:?}");
    shell.time.advance(wait);
    shell.pool.with(|_, _| ());
    assert!(matches!(turn_of(waiting), Some(Turn::Granted(_))));
}

#[test]
fn who_waited_for_too_long_is_told_so() {
    let shell = Shell::one_at_a_time();
    let lease = shell.granted();
    let waiting = shell.waiting();
    shell.time.advance(Duration::from_secs(91));
    shell.pool.with(|_, _| ());
    let Some(Turn::Refused(refusal)) = turn_of(waiting) else {
        panic!("it still waits, or was granted");
    };
    assert_eq!(refusal.reason, keypool_pool::RefusalReason::NoRoom);
    assert_eq!(shell.length(), 0);
    shell.succeed(lease);
}
