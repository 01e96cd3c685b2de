//! The real pool against a naive one, event by event.
//!
//! The naive pool is a list that is searched in full, with meters that replay their whole history
//! and rules written down once more, plainly. A generator drives both with the same events, and
//! after each of them everything that shows must be equal: grants (the very key under the
//! strategies that leave no choice, else a legal one), refusals with their instants, states,
//! scores, counters, meters, timers and probes. `PROPTEST_CASES=20000 cargo test --release` looks
//! further.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod compare;
mod driver;
mod large;
mod naive;
mod naive_estimate;
mod naive_flow;
mod naive_key;
mod naive_meter;
mod steps;
mod waiting;
mod world;

use keypool_pool as pool;
use keypool_pool::Window;
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #[test]
    fn the_pool_does_what_the_naive_pool_does(
        strategy in proptest::sample::select(pool::Strategy::ALL.to_vec()),
        window in proptest::sample::select(vec![
            Window::Bucket,
            Window::Sliding,
            Window::Fixed,
            Window::Slices,
        ]),
        seed in any::<u64>(),
        script in vec(steps::step(), 1..150),
    ) {
        let mut driver = driver::Driver::new(strategy, window, seed);
        for step in script {
            driver.step(step);
        }
        driver.drain_to_zero();
    }

    #[test]
    fn equal_seeds_and_scripts_give_equal_histories(
        strategy in proptest::sample::select(pool::Strategy::ALL.to_vec()),
        seed in any::<u64>(),
        script in vec(steps::step(), 1..60),
    ) {
        let history = || {
            let mut driver = driver::Driver::new(strategy, Window::Bucket, seed);
            for step in script.clone() {
                driver.step(step);
            }
            driver.history()
        };
        prop_assert_eq!(history(), history());
    }
}

/// In whole numbers a smaller limit may give a slice of the minute the request that a larger one gave its neighbour.
#[test]
fn a_group_s_keys_are_looked_at_again_when_a_refusal_trims_its_limit() {
    use pool::{CooldownScope, Suspicion};
    use steps::{Charged, Judged, Step};
    let wait = |millis| Step::Wait { millis };
    let request = |model, tagged| Step::Request {
        model,
        input: 0,
        output: 0,
        tagged,
        excluded: 0,
    };
    let settle = |lease, verdict| Step::Settle {
        lease,
        verdict,
        charge: Charged::AsReserved,
    };
    let refused = Judged::RateLimited {
        until: None,
        scope: CooldownScope::Key,
    };
    let mut driver = driver::Driver::new(pool::Strategy::RoundRobin, Window::Slices, 0);
    for step in [
        wait(855),
        request(0, true),
        settle(0, Judged::Suspected(Suspicion::Invalid)),
        wait(75_845),
        request(0, false),
        request(0, false),
        request(0, false),
        wait(4_912),
        // The key whose refusal it will be; its group has another member.
        request(1, true),
        wait(10_772),
        settle(0, Judged::Success),
        request(0, false),
        request(0, false),
        wait(5_622_680),
        settle(3, Judged::Success),
        wait(1_936),
        // The group has no room in this second, so that the other member steps back.
        request(0, false),
        settle(3, Judged::Success),
        settle(0, Judged::Success),
        settle(1, refused),
        request(0, false),
    ] {
        driver.step(step);
    }
}
