//! When requests come and how large they are: decided before the run, by the seed alone.
//!
//! Clients that wait for answers would slow down when the gateway does, and a pool that wastes quota
//! would be offered less. So the instants are fixed (open loop), and a run with the same seed offers the
//! same requests to another pool.
//!
//! Sizes that vary are drawn from a lognormal distribution and cut off well below a key's limit. Each
//! block of forty requests is scaled to the same sum: the load of a minute is then what the row says, and
//! a minute that exceeds the quota by chance does not pass for a gateway's delay.
//!
//! Worked example: at 2 requests a second, bursts come at 0 s, 5 s, 10 s, … with ten requests each.

use std::time::Duration;

use crate::scenario::{HEAVY_TOKENS, STEADY_TOKENS, Scenario, Traffic};

/// Time between two bursts.
pub(crate) const SLOT: Duration = Duration::from_secs(5);

/// The largest request, in tokens: an eighth of the smallest quota.
pub(crate) const TOKENS_MAX: u64 = 15_000;

/// The smallest request: its JSON alone has some tokens.
const TOKENS_MIN: u64 = 100;

/// Requests whose sizes add up to the same sum everywhere.
const BLOCK: usize = 40;

/// Deviation of the logarithm of sizes: the largest of forty is some ten times the median.
const SIGMA: f64 = 1.0;

/// Part of the time between two steady requests by which one may be early or late.
const JITTER: f64 = 0.4;

/// One request of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Planned {
    /// When it is sent, from the start of the traffic.
    pub(crate) due: Duration,
    /// Input tokens as the provider counts them.
    pub(crate) tokens: u64,
}

/// More load at the beginning, so that buckets which were full are empty when the measurement begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Boost {
    pub(crate) until: Duration,
    pub(crate) factor: f64,
}

/// All requests of a row, in the order in which they are due.
pub(crate) fn plan(scenario: &Scenario, length: Duration, boost: Boost, seed: u64) -> Vec<Planned> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let dues = even(scenario.offered_per_second(), length, boost);
    let mut sizes = Vec::new();
    let mut planned: Vec<Planned> = dues
        .iter()
        .map(|due| Planned {
            due: match scenario.traffic {
                Traffic::Bursts => slot_of(*due),
                _ => jittered(*due, scenario.offered_per_second(), &mut rng),
            },
            tokens: match scenario.traffic {
                Traffic::Heavy => {
                    if sizes.is_empty() {
                        sizes = block(&mut rng);
                    }
                    sizes.pop().unwrap_or(HEAVY_TOKENS)
                }
                _ => STEADY_TOKENS,
            },
        })
        .collect();
    planned.sort_by_key(|request| request.due);
    planned
}

/// Evenly spaced instants; closer together by the boost's factor while it lasts.
fn even(per_second: f64, length: Duration, boost: Boost) -> Vec<Duration> {
    let mut dues = Vec::new();
    let mut at = 0.0;
    while at < length.as_secs_f64() {
        dues.push(Duration::from_secs_f64(at));
        let boosted = at < boost.until.as_secs_f64();
        let factor = if boosted { boost.factor.max(1.0) } else { 1.0 };
        at += 1.0 / (per_second.max(0.01) * factor);
    }
    dues
}

fn slot_of(due: Duration) -> Duration {
    let slots = due.as_secs() / SLOT.as_secs();
    Duration::from_secs(slots * SLOT.as_secs())
}

fn jittered(due: Duration, per_second: f64, rng: &mut fastrand::Rng) -> Duration {
    let shift = (rng.f64() - 0.5) * 2.0 * JITTER / per_second.max(0.01);
    Duration::from_secs_f64((due.as_secs_f64() + shift).max(0.0))
}

/// Forty sizes with the right mean, in random order.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sizes of some thousand tokens"
)]
fn block(rng: &mut fastrand::Rng) -> Vec<u64> {
    let target = (HEAVY_TOKENS * BLOCK as u64) as f64;
    let (low, high) = (TOKENS_MIN as f64, TOKENS_MAX as f64);
    let mut sizes: Vec<f64> = (0..BLOCK).map(|_| (SIGMA * normal(rng)).exp()).collect();
    // Cutting off changes the sum, scaling changes what is to be cut off.
    for _ in 0..8 {
        let factor = target / sizes.iter().sum::<f64>();
        for size in &mut sizes {
            *size = (*size * factor).clamp(low, high);
        }
    }
    sizes.iter().map(|size| size.round() as u64).collect()
}

/// A standard normal number, by Box and Muller.
fn normal(rng: &mut fastrand::Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.f64()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Declared, Limiter};

    const NO_BOOST: Boost = Boost {
        until: Duration::ZERO,
        factor: 1.0,
    };

    fn row(traffic: Traffic, load: f64) -> Scenario {
        Scenario {
            keys: 1,
            limiter: Limiter::Bucket,
            declared: Declared::Right,
            traffic,
            load,
        }
    }

    fn minute(traffic: Traffic, load: f64) -> Vec<Planned> {
        plan(&row(traffic, load), Duration::from_mins(1), NO_BOOST, 7)
    }

    #[test]
    fn a_minute_has_as_many_requests_as_the_row_says() {
        for traffic in [Traffic::Steady, Traffic::Bursts, Traffic::Streams] {
            let requests = minute(traffic, 0.5).len();
            assert!(requests.abs_diff(150) <= 1, "{requests}");
        }
        assert!(minute(Traffic::Heavy, 2.0).len().abs_diff(400) <= 1);
    }

    #[test]
    fn the_same_seed_gives_the_same_requests_in_order() {
        let requests = minute(Traffic::Heavy, 0.95);
        assert_eq!(requests, minute(Traffic::Heavy, 0.95));
        assert!(requests.is_sorted_by_key(|request| request.due));
    }

    #[test]
    fn bursts_come_every_five_seconds_and_only_then() {
        let requests = minute(Traffic::Bursts, 1.0);
        assert!(
            requests
                .iter()
                .all(|request| request.due.as_millis() % 5000 == 0)
        );
        let first = requests
            .iter()
            .filter(|request| request.due.is_zero())
            .count();
        assert!(first.abs_diff(25) <= 1, "{first}");
    }

    #[test]
    fn sizes_vary_a_lot_and_their_sum_hardly() {
        let requests = minute(Traffic::Heavy, 2.0);
        let sizes: Vec<u64> = requests.iter().map(|request| request.tokens).collect();
        let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
        assert!(*most > 10 * *least, "{least} {most}");
        assert!(*most <= TOKENS_MAX && *least >= TOKENS_MIN);
        let sum: u64 = sizes.iter().sum();
        assert!(sum.abs_diff(400 * HEAVY_TOKENS) < 4 * HEAVY_TOKENS, "{sum}");
    }

    #[test]
    fn a_boost_brings_more_at_first_and_nothing_later() {
        let boost = Boost {
            until: Duration::from_secs(20),
            factor: 3.0,
        };
        let requests = plan(&row(Traffic::Steady, 1.0), Duration::from_mins(1), boost, 7);
        let early = requests
            .iter()
            .filter(|request| request.due < boost.until)
            .count();
        assert!(early.abs_diff(300) <= 2, "{early}");
        assert!((requests.len() - early).abs_diff(200) <= 2);
    }
}
