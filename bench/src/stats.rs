//! The arithmetic of the report: percentiles, medians, and ratios taken pair by pair.
//!
//! Rounds of two proxies are interleaved, so that a slow second of the machine hits both. A ratio of
//! two medians would throw that pairing away; here each round gives one ratio, and the median of
//! those is reported with the smallest and the largest beside it.

use std::time::Duration;

use serde::Serialize;

/// The median of several rounds and how far they lie apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The middle value.
    pub median: f64,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
}

impl Spread {
    /// Summarises `values`; `None` when there are none or one of them is not a finite number.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        if sorted.iter().any(|value| !value.is_finite()) {
            return None;
        }
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let upper = *sorted.get(middle)?;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(*sorted.get(middle - 1)?, upper)
        } else {
            upper
        };
        Some(Self {
            median,
            min: *sorted.first()?,
            max: *sorted.last()?,
        })
    }
}

/// `numerators[i] / denominators[i]` of each round, summarised.
///
/// An added latency comes out at or below zero when noise is larger than what is measured. Such a
/// round says nothing and is left out; `None` when that leaves no more than half of the rounds.
#[must_use]
pub fn ratio_by_round(numerators: &[f64], denominators: &[f64]) -> Option<Spread> {
    let rounds = numerators.len().min(denominators.len());
    let ratios: Vec<f64> = numerators
        .iter()
        .zip(denominators)
        .filter(|(numerator, denominator)| **numerator > 0.0 && **denominator > 0.0)
        .map(|(numerator, denominator)| numerator / denominator)
        .collect();
    (ratios.len() * 2 > rounds)
        .then(|| Spread::of(&ratios))
        .flatten()
}

/// Latencies of one round, sorted once and asked for any quantile.
#[derive(Debug, Default)]
pub struct Latencies {
    sorted: Vec<Duration>,
}

impl Latencies {
    /// Takes the samples in any order.
    #[must_use]
    pub fn new(mut samples: Vec<Duration>) -> Self {
        samples.sort_unstable();
        Self { sorted: samples }
    }

    /// The smallest sample that at least `per_mille`/1000 of all samples do not exceed (nearest
    /// rank), in microseconds; `None` without samples. `per_mille` above 1000 counts as 1000.
    #[must_use]
    pub fn percentile_us(&self, per_mille: usize) -> Option<f64> {
        let rank = (self.sorted.len() * per_mille.min(1000)).div_ceil(1000);
        self.sorted
            .get(rank.saturating_sub(1))
            .map(|sample| micros(*sample))
    }
}

/// A duration as a fractional number of microseconds.
#[must_use]
pub fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// A count as a number to calculate with.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of one run are far below 2^52"
)]
#[must_use]
pub fn number(count: u64) -> f64 {
    count as f64
}

/// Events in `window` as a rate per second.
#[must_use]
pub fn per_second(count: u64, window: Duration) -> f64 {
    number(count) / window.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latencies_of(micros: impl Iterator<Item = u64>) -> Latencies {
        Latencies::new(micros.map(Duration::from_micros).collect())
    }

    fn near(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-9
    }

    #[test]
    fn percentiles_are_nearest_rank_whatever_the_order_of_the_samples() {
        let latencies = latencies_of((1..=1000).rev());
        for (per_mille, expected) in [
            (0, 1.0),
            (500, 500.0),
            (990, 990.0),
            (999, 999.0),
            (1000, 1000.0),
        ] {
            let got = latencies.percentile_us(per_mille).unwrap();
            assert!(near(got, expected), "p{per_mille}: {got}");
        }
    }

    #[test]
    fn one_slow_answer_in_a_hundred_shows_above_p99_and_not_below() {
        let latencies = latencies_of((0..100).map(|i| if i == 7 { 9_000 } else { 50 }));
        assert!(near(latencies.percentile_us(990).unwrap(), 50.0));
        assert!(near(latencies.percentile_us(999).unwrap(), 9_000.0));
    }

    #[test]
    fn no_samples_have_no_percentile() {
        assert_eq!(Latencies::default().percentile_us(500), None);
    }

    #[test]
    fn the_median_of_an_even_count_is_the_midpoint() {
        let spread = Spread::of(&[4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!(
            spread,
            Spread {
                median: 2.5,
                min: 1.0,
                max: 4.0
            }
        );
        assert_eq!(
            Spread::of(&[3.0, 9.0, 1.0]).unwrap().median.to_bits(),
            3.0_f64.to_bits()
        );
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[1.0, f64::NAN]), None);
    }

    #[test]
    fn a_machine_that_slows_down_midway_does_not_disturb_the_ratio() {
        let nginx = [100.0, 50.0, 100.0];
        let keypool = [90.0, 45.0, 90.0];
        let ratio = ratio_by_round(&keypool, &nginx).unwrap();
        assert!(near(ratio.min, 0.9) && near(ratio.max, 0.9));
    }

    #[test]
    fn rounds_drowned_in_noise_are_left_out_and_most_of_them_leave_no_ratio() {
        let ratio = ratio_by_round(&[5.0, 6.0, 8.0], &[-1.0, 3.0, 4.0]).unwrap();
        assert_eq!(
            ratio,
            Spread {
                median: 2.0,
                min: 2.0,
                max: 2.0
            }
        );
        assert_eq!(ratio_by_round(&[5.0, 6.0, -7.0], &[0.0, 3.0, 1.0]), None);
        assert_eq!(ratio_by_round(&[5.0, 6.0], &[0.0, 3.0]), None);
        assert_eq!(ratio_by_round(&[], &[]), None);
    }
}
