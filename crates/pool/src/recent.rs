//! Recent traffic of a key, fading with time.
//!
//! It orders keys on which no declared limit tells a difference, and spreads requests of unequal
//! size by their tokens. Lifetime totals would do the opposite of good: a new key would draw every
//! request until its total had caught up.
//!
//! Decay runs *forward*: instead of shrinking all old values as time passes, new amounts are added
//! with a growing weight. Values of two keys can then be compared at any instant as they are.
//!
//! Worked example: with a half-life of 20 s, 1000 tokens now and 1000 tokens 20 s from now are
//! stored as 1000 and 2000: the later ones count double, as they will at every later instant.

use crate::time::Timestamp;

/// Short enough that a minute later an eighth is left: "the load of the last minute".
const HALF_LIFE_MICROS: u64 = 20_000_000;
/// Weights within an era reach 2⁵¹²; times any token count that is far below `f64::MAX`.
const HALF_LIVES_PER_ERA: u64 = 512;
const ERA_MICROS: u64 = HALF_LIFE_MICROS * HALF_LIVES_PER_ERA;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RecentLoad {
    era: u64,
    value: f64,
}

impl RecentLoad {
    /// Adds an amount (or, if negative, corrects one) that was used at `at`.
    pub(crate) fn add(&mut self, at: Timestamp, amount: f64) {
        self.add_weighted(era_of(at), amount * weight(at));
    }

    /// The same for an amount that has been weighted, for several of them at one instant.
    pub(crate) fn add_weighted(&mut self, era: u64, amount: f64) {
        if era > self.era {
            self.value = self.weighted_in(era);
            self.era = era;
        }
        // A correction of an amount from an earlier era has faded to nothing.
        if era == self.era {
            self.value = (self.value + amount).max(0.0);
        }
    }

    /// The value in the units of an era, for comparison within it.
    pub(crate) fn weighted_in(&self, era: u64) -> f64 {
        match era.saturating_sub(self.era) {
            0 => self.value,
            1 => self.value * 0.5_f64.powi(512),
            _ => 0.0,
        }
    }

    /// Lifts the value to that of peers, given in the units of `era`.
    pub(crate) fn raise_to(&mut self, era: u64, value: f64) {
        self.value = self.weighted_in(era).max(value);
        self.era = era;
    }
}

pub(crate) const fn era_of(at: Timestamp) -> u64 {
    at.as_unix_micros() / ERA_MICROS
}

#[expect(clippy::cast_precision_loss, reason = "both are below 2⁵³")]
pub(crate) fn weight(at: Timestamp) -> f64 {
    let into_era = at.as_unix_micros() % ERA_MICROS;
    (into_era as f64 / HALF_LIFE_MICROS as f64).exp2()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ratio(a: RecentLoad, b: RecentLoad, at: Timestamp) -> f64 {
        a.weighted_in(era_of(at)) / b.weighted_in(era_of(at))
    }

    #[test]
    fn what_was_used_one_half_life_later_counts_double_even_across_an_era() {
        for start in [ERA_MICROS * 7, ERA_MICROS * 7 - HALF_LIFE_MICROS / 2] {
            let start = Timestamp::from_unix_micros(start);
            let later = start + Duration::from_micros(HALF_LIFE_MICROS);
            let (mut early, mut late) = (RecentLoad::default(), RecentLoad::default());
            early.add(start, 1000.0);
            late.add(later, 1000.0);
            assert!((ratio(late, early, later) - 2.0).abs() < 1e-9);
        }
    }

    #[test]
    fn a_correction_replaces_what_was_added() {
        let start = Timestamp::from_unix_micros(ERA_MICROS * 3);
        let mut load = RecentLoad::default();
        load.add(start, 1000.0);
        load.add(start, -1000.0);
        assert!(load.weighted_in(3).abs() < 1e-9);
        load.add(start, -1.0);
        assert!(load.weighted_in(3) >= 0.0);
    }
}
