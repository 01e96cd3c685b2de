//! The bound on growth: a customer who doubles too fast is refused although every limit has room. A pool
//! that spreads evenly and a pool that bursts differ only here.
//!
//! Time is cut into slices of a twentieth of the window; the running slice and the nineteen before it
//! are "now", the twenty before those are "before". So the memory is fixed and the verdict is exact to
//! one slice.
//!
//! Worked example: window one minute, factor 1.5, floor 10. A new customer gets 10 requests in the
//! first minute, then 10 × 1.5 + 10 = 25, then 47, then 80.

use crate::{Ramp, SimTime};

/// Slices in one window.
const SLICES: usize = 20;

/// Slices that are remembered: two windows.
const KEPT: usize = 2 * SLICES;

/// What an organisation admitted in the last two windows.
#[derive(Debug)]
pub(crate) struct Growth {
    factor: f64,
    floor: u64,
    slice_us: u64,
    /// The running slice, counted from the epoch.
    index: u64,
    /// Requests of the running slice first, older ones behind.
    slices: [u64; KEPT],
}

impl Growth {
    pub(crate) fn new(ramp: &Ramp) -> Self {
        let window_us = u64::try_from(ramp.window.as_micros()).unwrap_or(u64::MAX);
        Self {
            factor: ramp.factor.max(0.0),
            floor: ramp.floor,
            slice_us: (window_us / SLICES as u64).max(1),
            index: 0,
            slices: [0; KEPT],
        }
    }

    fn roll(&mut self, now: SimTime) {
        let index = now.as_unix_micros() / self.slice_us;
        let passed = index.saturating_sub(self.index).min(KEPT as u64);
        if passed > 0 {
            let passed = usize::try_from(passed).unwrap_or(KEPT);
            self.slices.rotate_right(passed);
            self.slices
                .iter_mut()
                .take(passed)
                .for_each(|slice| *slice = 0);
            self.index = index;
        }
    }

    /// Whether one more request fits once `later` more slices have passed without one.
    fn fits(&self, later: usize) -> bool {
        let recent: u64 = self.slices.iter().take(SLICES.saturating_sub(later)).sum();
        let begin = SLICES.saturating_sub(later);
        let end = KEPT.saturating_sub(later);
        let before: u64 = self.slices.iter().take(end).skip(begin).sum();
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts of requests stay far below 2^53, and the product is not negative"
        )]
        let allowed = (before as f64 * self.factor) as u64;
        recent < allowed.saturating_add(self.floor)
    }

    /// The earliest instant at which one more request fits if nothing else comes: `now` when it does
    /// already, `None` when the rule never admits one.
    pub(crate) fn ready_at(&mut self, now: SimTime) -> Option<SimTime> {
        self.roll(now);
        if self.fits(0) {
            return Some(now);
        }
        let later = (1..=KEPT).find(|&later| self.fits(later))?;
        let index = self.index.saturating_add(later as u64);
        Some(SimTime::from_unix_micros(
            index.saturating_mul(self.slice_us),
        ))
    }

    /// Counts admitted requests.
    pub(crate) fn charge(&mut self, now: SimTime, requests: u64) {
        self.roll(now);
        if let Some(running) = self.slices.first_mut() {
            *running = running.saturating_add(requests);
        }
    }

    /// Forgets all use.
    pub(crate) fn clear(&mut self) {
        self.slices = [0; KEPT];
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> SimTime {
        SimTime::from_unix_micros((1_800_000_000 + seconds) * 1_000_000)
    }

    #[test]
    fn each_window_admits_the_factor_of_the_one_before_and_the_floor() {
        let mut growth = Growth::new(&Ramp::new(Duration::from_mins(1), 1.5, 10));
        let mut flood = |now| {
            let mut admitted = 0;
            while growth.ready_at(now) == Some(now) {
                growth.charge(now, 1);
                admitted += 1;
            }
            admitted
        };
        assert_eq!(
            [flood(at(0)), flood(at(60)), flood(at(120)), flood(at(180))],
            [10, 25, 47, 80]
        );
    }

    #[test]
    fn the_instant_that_is_named_is_the_first_at_which_a_request_fits() {
        let mut growth = Growth::new(&Ramp::new(Duration::from_mins(1), 1.0, 3));
        growth.charge(at(0), 2);
        growth.charge(at(9), 1);
        let ready_at = growth.ready_at(at(10)).unwrap();
        // The two of second 0 leave "now" and become "before" at second 60.
        assert_eq!(ready_at, at(60));
        let just_before = SimTime::from_unix_micros(ready_at.as_unix_micros() - 1);
        assert_ne!(growth.ready_at(just_before), Some(just_before));
        assert_eq!(growth.ready_at(ready_at), Some(ready_at));
    }

    #[test]
    fn whatever_the_traffic_no_window_outgrows_the_one_before_and_waits_are_exact() {
        const SLICE_US: u64 = 3_000_000;
        for seed in 0..20 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut growth = Growth::new(&Ramp::new(Duration::from_mins(1), 1.2, 3));
            let mut admitted: Vec<u64> = Vec::new();
            let fits = |admitted: &[u64], slice: u64| {
                let count = |from: u64, to: u64| {
                    let within = admitted.iter().filter(|&&at| at > from && at <= to);
                    u32::try_from(within.count()).unwrap()
                };
                let before = f64::from(count(slice - 40, slice - 20));
                f64::from(count(slice - 20, slice)) < (before * 1.2).floor() + 3.0
            };
            let mut now = at(0);
            for _ in 0..500 {
                now = now + Duration::from_millis(rng.u64(0..4000));
                let slice = now.as_unix_micros() / SLICE_US;
                let ready_at = growth.ready_at(now).unwrap();
                assert_eq!(ready_at == now, fits(&admitted, slice), "seed {seed}");
                if ready_at == now {
                    growth.charge(now, 1);
                    admitted.push(slice);
                } else {
                    let ready = ready_at.as_unix_micros() / SLICE_US;
                    assert!(fits(&admitted, ready), "seed {seed}");
                    assert!((slice..ready).all(|slice| !fits(&admitted, slice)));
                }
            }
        }
    }

    #[test]
    fn a_rule_without_floor_never_admits_a_newcomer() {
        let mut growth = Growth::new(&Ramp::new(Duration::from_mins(1), 2.0, 0));
        assert_eq!(growth.ready_at(at(0)), None);
    }
}
