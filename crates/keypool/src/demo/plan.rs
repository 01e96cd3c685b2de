//! What the demo shows and in which order: how many keys, how much traffic, which troubles, when.
//!
//! A key's limit is a bucket that holds a minute's worth of requests, at the provider and in the
//! gateway alike; a short measurement would see little but that first burst. So the limits are
//! high, the minute is a real one, and the burst is used up before anything is measured: what is
//! left is the rate at which the buckets refill. Fifteen requests a second for each key show in
//! three seconds what 50 a minute would show in almost a minute.

use std::time::Duration;

/// The secrets' numbers, and the order in which the keys come on stage.
pub(super) type KeyNumber = u32;

/// What each key may do: 15 requests a second.
pub(super) const LIMIT_PER_MINUTE: u32 = 900;

/// The limit that the guide's examples have, to say how much faster the demo is.
pub(super) const USUAL_LIMIT_PER_MINUTE: u32 = 50;

/// Time from a request to the head of the provider's answer, always the same: so that whatever a
/// client waits beyond it was added on the way.
pub(super) const ANSWER_TIME: Duration = Duration::from_millis(50);

/// Pieces of the text of a stream.
pub(super) const STREAM_PIECES: u32 = 6;

/// Time between two of them.
pub(super) const PIECE_DELAY: Duration = Duration::from_millis(5);

/// The troubled key answers so many of ten requests with an error.
pub(super) const FAILING_OF_TEN: u32 = 6;

/// Traffic that runs before the clock starts, so that the measurement begins in the middle of it.
pub(super) const LEAD_IN: Duration = Duration::from_millis(500);

/// The demo is a promise about time, too.
pub(super) const TIME_LIMIT: Duration = Duration::from_secs(30);

/// The whole demo.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// Fixes the moments of arrival, the provider's ids and its random faults.
    pub(super) seed: u64,
    /// What is measured, in order.
    pub(super) phases: Vec<Phase>,
}

/// One measurement.
#[derive(Debug, Clone)]
pub(super) struct Phase {
    /// Its name in the table.
    pub(super) title: &'static str,
    /// Keys in the pool.
    pub(super) keys: u32,
    /// Requests that begin per minute, whether or not earlier ones were answered.
    pub(super) offered_per_minute: u32,
    /// How long is measured, after the lead-in.
    pub(super) measured: Duration,
    /// What goes wrong.
    pub(super) troubles: Vec<Trouble>,
}

/// Something that goes wrong at the provider, unannounced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trouble {
    /// Time since the phase began.
    pub(super) after: Duration,
    /// The key it strikes.
    pub(super) key: KeyNumber,
    /// What happens.
    pub(super) kind: TroubleKind,
}

/// What goes wrong with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TroubleKind {
    /// [`FAILING_OF_TEN`] of its requests are answered with 500.
    Failing {
        /// How long.
        lasts: Duration,
    },
    /// 429 with `retry-after`, though its limit was kept: as if somebody else used its quota.
    Limited {
        /// How long, and what `retry-after` says.
        seconds: u32,
    },
    /// 401 from now on.
    Revoked,
}

impl Plan {
    /// The whole show: some 23 seconds.
    pub(super) fn standard(seed: u64) -> Self {
        let failing = TroubleKind::Failing {
            lasts: Duration::from_secs(3),
        };
        let limited = TroubleKind::Limited { seconds: 2 };
        Self::new(
            seed,
            [3, 2, 2],
            6,
            [
                (1000, failing),
                (2000, limited),
                (3000, TroubleKind::Revoked),
            ],
        )
    }

    /// The same promise in less time, measured less finely.
    pub(super) fn quick(seed: u64) -> Self {
        let failing = TroubleKind::Failing {
            lasts: Duration::from_secs(2),
        };
        let limited = TroubleKind::Limited { seconds: 1 };
        Self::new(
            seed,
            [3, 2, 2],
            4,
            [
                (500, failing),
                (1000, limited),
                (1500, TroubleKind::Revoked),
            ],
        )
    }

    /// Phases of so many seconds, and troubles that begin so many milliseconds into the last of
    /// them.
    ///
    /// They strike the keys that were there first: those which are new are held near the load of
    /// their peers for a minute, and at half load would hardly be asked.
    fn new(
        seed: u64,
        overloaded_s: [u64; 3],
        troubled_s: u64,
        troubles: [(u64, TroubleKind); 3],
    ) -> Self {
        let [one, three, five] = overloaded_s.map(Duration::from_secs);
        let overloaded = |title, keys, measured| Phase {
            title,
            keys,
            offered_per_minute: keys * LIMIT_PER_MINUTE / 2 * 3,
            measured,
            troubles: Vec::new(),
        };
        let strikes = |(key, (after_ms, kind))| Trouble {
            after: Duration::from_millis(after_ms),
            key,
            kind,
        };
        let last = Phase {
            title: "5 keys, 3 in trouble",
            keys: 5,
            offered_per_minute: 2 * LIMIT_PER_MINUTE,
            measured: Duration::from_secs(troubled_s),
            troubles: [3, 2, 1].into_iter().zip(troubles).map(strikes).collect(),
        };
        let phases = vec![
            overloaded("1 key", 1, one),
            overloaded("3 keys", 3, three),
            overloaded("5 keys", 5, five),
            last,
        ];
        Self { seed, phases }
    }

    /// The most keys that are ever in the pool.
    pub(super) fn keys(&self) -> u32 {
        self.phases
            .iter()
            .map(|phase| phase.keys)
            .max()
            .unwrap_or(0)
    }
}

impl Phase {
    /// What all its keys together may do.
    pub(super) fn limits_per_minute(&self) -> u32 {
        self.keys * LIMIT_PER_MINUTE
    }

    /// What can be answered at best: what is offered, or what the limits allow.
    pub(super) fn attainable_per_minute(&self) -> u32 {
        self.offered_per_minute.min(self.limits_per_minute())
    }

    /// From the first arrival to the last.
    pub(super) fn length(&self) -> Duration {
        LEAD_IN + self.measured
    }

    /// When its clients come, counted from its beginning: one in each slot of equal length, at a
    /// random moment within it. So the rate is exact and the pace is not.
    pub(super) fn arrivals(&self, seed: u64) -> Vec<Duration> {
        let mut rng = fastrand::Rng::with_seed(seed ^ u64::from(self.keys));
        let Some(slot) = Duration::from_mins(1).checked_div(self.offered_per_minute) else {
            return Vec::new();
        };
        let count = self.length().as_micros() / slot.as_micros().max(1);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        (0..count)
            .map(|number| slot * number + slot.mul_f64(rng.f64()))
            .collect()
    }
}

/// The secret of a key.
pub(super) fn secret(number: KeyNumber) -> String {
    format!("sk-ant-demo-key{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plans() -> [Plan; 2] {
        [Plan::standard(7), Plan::quick(7)]
    }

    #[test]
    fn clients_come_at_the_offered_rate_in_order_and_within_the_phase() {
        for phase in plans().into_iter().flat_map(|plan| plan.phases) {
            let arrivals = phase.arrivals(1);
            let per_second = f64::from(phase.offered_per_minute) / 60.0;
            let arrived = f64::from(u32::try_from(arrivals.len()).unwrap());
            let expected = phase.length().as_secs_f64() * per_second;
            assert!((arrived - expected).abs() <= 1.0, "{}", phase.title);
            assert!(arrivals.is_sorted(), "{}", phase.title);
            assert!(
                arrivals.iter().all(|at| *at <= phase.length()),
                "{}",
                phase.title
            );
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_arrivals_and_another_seed_others() {
        let [plan, _] = plans();
        let phase = &plan.phases[1];
        assert_eq!(phase.arrivals(3), phase.arrivals(3));
        assert_ne!(phase.arrivals(3), phase.arrivals(4));
    }

    #[test]
    fn throughput_is_measured_at_half_as_much_again_as_the_keys_may_do() {
        for plan in plans() {
            let keys: Vec<_> = plan.phases[..3].iter().map(|phase| phase.keys).collect();
            assert_eq!(keys, [1, 3, 5]);
            for phase in &plan.phases[..3] {
                assert_eq!(phase.offered_per_minute * 2, phase.limits_per_minute() * 3);
                assert_eq!(phase.attainable_per_minute(), phase.limits_per_minute());
            }
        }
    }

    #[test]
    fn at_the_worst_moment_the_keys_left_can_carry_what_is_offered() {
        for plan in plans() {
            let phase = &plan.phases[3];
            let untouched = (1..=phase.keys)
                .filter(|key| phase.troubles.iter().all(|trouble| trouble.key != *key))
                .count();
            let untouched = u32::try_from(untouched).unwrap();
            assert!(untouched * LIMIT_PER_MINUTE >= phase.offered_per_minute);
        }
    }

    #[test]
    fn the_troubles_overlap_and_are_over_in_time_to_see_the_recovery() {
        for plan in plans() {
            let phase = &plan.phases[3];
            let last_begins = phase
                .troubles
                .iter()
                .map(|trouble| trouble.after)
                .max()
                .unwrap();
            let ends = |trouble: &Trouble| match trouble.kind {
                TroubleKind::Failing { lasts } => trouble.after + lasts,
                TroubleKind::Limited { seconds } => {
                    trouble.after + Duration::from_secs(seconds.into())
                }
                TroubleKind::Revoked => phase.length(),
            };
            assert!(
                phase
                    .troubles
                    .iter()
                    .all(|trouble| ends(trouble) > last_begins)
            );
            let passing = phase
                .troubles
                .iter()
                .filter(|trouble| trouble.kind != TroubleKind::Revoked);
            let last_passes = passing.map(ends).max().unwrap();
            assert!(last_passes + Duration::from_secs(1) <= phase.length());
        }
    }

    #[test]
    fn the_measurements_leave_a_third_of_the_time_for_all_else() {
        for plan in plans() {
            let measured: Duration = plan.phases.iter().map(Phase::length).sum();
            assert!(measured <= TIME_LIMIT * 2 / 3, "{measured:?}");
        }
    }
}
