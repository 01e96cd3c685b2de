//! A pool that is large enough to remember refusals, against its own long answer.
//!
//! An explanation is worked out from all keys each time. A remembered refusal may name an instant
//! that is early, but never one that is late, and never stands when some key has room.

use std::time::Duration;

use keypool_pool::bounds::REFUSAL_MEMORY_ABOVE;
use keypool_pool::{
    Admission, Charge, Demand, KeyConfig, KeyId, Limits, Outcome, Pool, PoolConfig, Standing,
    Strategy as Order, Timestamp, Verdict,
};
use proptest::collection::vec;
use proptest::prelude::*;

const START: Timestamp = Timestamp::from_unix_secs(1_700_000_000);

fn crowded(strategy: Order) -> Pool {
    let limits = Limits {
        requests_per_minute: Some(2),
        tokens_per_minute: Some(100),
        max_concurrent: Some(2),
        ..Limits::default()
    };
    let count = u64::try_from(REFUSAL_MEMORY_ABOVE).unwrap() + 4;
    let group = |number| (number % 3 == 0).then(|| "org".to_owned());
    let key = |number| KeyConfig {
        limits,
        quota_group: group(number),
        ..KeyConfig::new(KeyId::from_bits(number))
    };
    let org = Limits {
        requests_per_minute: Some(150),
        ..Limits::default()
    };
    let config = PoolConfig {
        strategy,
        quota_groups: vec![("org".to_owned(), org)],
        keys: (0..count).map(key).collect(),
        ..PoolConfig::default()
    };
    Pool::new(START, config).unwrap()
}

fn demand(tokens: u64) -> Demand<'static> {
    Demand {
        model: "m",
        input_tokens: tokens,
        ..Demand::default()
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Wait(u64),
    Request(u64),
    Settle(usize, Charge),
    Drop(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let charge = prop_oneof![
        Just(Charge::Nothing),
        Just(Charge::RequestOnly),
        (0..120_u64).prop_map(|input_tokens| Charge::Actual {
            input_tokens,
            output_tokens: 0
        }),
    ];
    prop_oneof![
        4 => prop_oneof![0..100_u64, 0..20_000_u64].prop_map(Step::Wait),
        12 => prop_oneof![Just(60_u64), Just(10), Just(0), Just(101)].prop_map(Step::Request),
        5 => (any::<usize>(), charge).prop_map(|(lease, charge)| Step::Settle(lease, charge)),
        1 => any::<usize>().prop_map(Step::Drop),
    ]
}

fn request(pool: &mut Pool, now: Timestamp, tokens: u64) -> Option<keypool_pool::Lease> {
    let explanation = pool.explain(now, &demand(tokens));
    let standing = |chosen: KeyId| {
        explanation
            .keys
            .iter()
            .find(|(key, _)| *key == chosen)
            .map(|(_, standing)| *standing)
    };
    match pool.handle_request(now, &demand(tokens)) {
        Admission::Granted(lease) => {
            assert!(matches!(
                standing(lease.key()),
                Some(Standing::Chosen { .. })
            ));
            Some(lease)
        }
        Admission::Queued(_) => panic!("it may not wait"),
        Admission::Refused(refusal) => {
            let truth = explanation.refusal.unwrap();
            assert_eq!(refusal.reason, truth.reason);
            assert!(
                refusal.retry_at <= truth.retry_at,
                "{refusal:?} but {truth:?}"
            );
            let barred =
                |(_, standing): &(KeyId, Standing)| matches!(standing, Standing::Barred { .. });
            assert!(explanation.keys.iter().all(barred));
            None
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn a_remembered_refusal_is_never_late_and_never_stands_against_room(
        strategy in proptest::sample::select(Order::ALL.to_vec()),
        script in vec(step(), 1..120),
    ) {
        let mut pool = crowded(strategy);
        let mut now = START;
        let mut leases: Vec<_> = std::iter::from_fn(|| match pool.handle_request(now, &demand(60)) {
            Admission::Granted(lease) => Some(lease),
            Admission::Queued(_) | Admission::Refused(_) => None,
        })
        .collect();
        for step in script {
            match step {
                Step::Wait(millis) => now = now + Duration::from_millis(millis),
                Step::Request(tokens) => leases.extend(request(&mut pool, now, tokens)),
                Step::Settle(which, charge) if !leases.is_empty() => {
                    let lease = leases.swap_remove(which % leases.len());
                    let outcome = Outcome::of(Verdict::Success, charge);
                    pool.handle_outcome(now, lease, &outcome);
                }
                Step::Drop(which) if !leases.is_empty() => {
                    drop(leases.swap_remove(which % leases.len()));
                }
                Step::Settle(..) | Step::Drop(_) => {}
            }
        }
    }
}
