//! Sizes of prompts and answers.
//!
//! Real ones are heavy-tailed: most prompts are small, and a few of a hundred thousand tokens are most
//! of the load. A pool that is only ever shown the mean passes every test and fails at work.
//!
//! Worked example: a log-normal of median 1,000 and σ 1 has a mean of 1,649, and one draw in a hundred
//! is above 10,000.

use fastrand::Rng;
use serde::{Deserialize, Serialize};

/// How large something is, drawn anew each time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Size {
    /// Always this.
    Fixed {
        /// Tokens.
        tokens: u64,
    },
    /// Evenly from `min` to `max`.
    Uniform {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// The logarithm is normally distributed.
    LogNormal {
        /// Half of all draws are below.
        median: u64,
        /// Standard deviation of the logarithm: 0.5 is narrow, 1.5 very wide.
        sigma: f64,
        /// Larger draws are cut to this.
        max: u64,
    },
    /// Pareto's law.
    Pareto {
        /// The least.
        min: u64,
        /// The exponent: near 1 the tail is most of the load.
        alpha: f64,
        /// Larger draws are cut to this.
        max: u64,
    },
}

impl Size {
    /// One draw, at least 1.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sizes are far below 2^52 and not negative"
    )]
    pub(crate) fn draw(self, rng: &mut Rng) -> u64 {
        let drawn = match self {
            Self::Fixed { tokens } => tokens,
            Self::Uniform { min, max } => rng.u64(min..=max.max(min)),
            Self::LogNormal { median, sigma, max } => {
                let size = median as f64 * (sigma * normal(rng)).exp();
                (size as u64).min(max)
            }
            Self::Pareto { min, alpha, max } => {
                let size = min as f64 / (1.0 - rng.f64()).powf(1.0 / alpha.max(0.1));
                (size as u64).min(max)
            }
        };
        drawn.max(1)
    }
}

/// A draw of mean 0 and deviation 1 (Box and Muller).
fn normal(rng: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.f64()).cos()
}

/// Time until the next event of a Poisson process with this mean, in microseconds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative, and a pause of half a million years is cut"
)]
pub(crate) fn exponential(rng: &mut Rng, mean_us: f64) -> u64 {
    (-(1.0 - rng.f64()).ln() * mean_us) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn mean(size: Size) -> f64 {
        let mut rng = Rng::with_seed(1);
        (0..50_000).map(|_| size.draw(&mut rng) as f64).sum::<f64>() / 50_000.0
    }

    #[test]
    fn the_mean_is_that_of_the_law() {
        let log_normal = mean(Size::LogNormal {
            median: 1000,
            sigma: 1.0,
            max: 1_000_000,
        });
        assert!((1600.0..1700.0).contains(&log_normal), "{log_normal}");
        let pareto = mean(Size::Pareto {
            min: 100,
            alpha: 2.0,
            max: 1_000_000,
        });
        assert!((190.0..210.0).contains(&pareto), "{pareto}");
    }
}
