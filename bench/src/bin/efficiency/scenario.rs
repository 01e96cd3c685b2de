//! What is measured: one row is one pool in front of one simulated provider under one kind of traffic.
//!
//! A pool that is tuned to one limiter, or to limits that are right, looks perfect there and wastes a
//! fifth elsewhere. So rows are points of a grid (keys × limiter × declared limits × traffic × load) and
//! have names by which they can be run again.
//!
//! Worked example: `3k-fixed-none-bursts-2.0` is three keys of 300 requests a minute each whose provider
//! counts in fixed minutes, no limit declared, a burst every five seconds, twice as much as fits: 30
//! requests a second.

use std::fmt;

use keypool_sim::{Algorithm, Dialect, Limits};
use serde_json::{Value, json};

/// Tokens of a request whose size does not vary; requests are then what limits.
pub(crate) const STEADY_TOKENS: u64 = 1000;

/// The mean of varying sizes; tokens are then what limits.
pub(crate) const HEAVY_TOKENS: u64 = 3000;

/// Up to this many keys have the large quota; more have the small one, so that two CPUs suffice.
const LARGE_QUOTA_KEYS_MAX: usize = 5;

/// How the simulated provider counts, and as what the gateway is told that it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limiter {
    Bucket,
    Fixed,
    Slices,
    Sliding,
    /// A bucket, and `window` left to what keypool knows of the provider.
    Known,
}

/// What the configuration says of the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Declared {
    Right,
    None,
    /// A fifth above the provider's.
    High,
    /// A fifth below the provider's.
    Low,
}

/// How requests come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Traffic {
    /// One by one, evenly but for some jitter.
    Steady,
    /// All of five seconds at once.
    Bursts,
    /// As steady, prompts of sizes between some hundred and some ten thousand tokens.
    Heavy,
    /// As steady, each answer a stream of four seconds.
    Streams,
}

/// One row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scenario {
    pub(crate) keys: usize,
    pub(crate) limiter: Limiter,
    pub(crate) declared: Declared,
    pub(crate) traffic: Traffic,
    /// Offered ÷ what the quotas allow.
    pub(crate) load: f64,
}

/// A provider's quota for one key, per minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) requests: u64,
    pub(crate) tokens: u64,
}

impl Limiter {
    const GRID: [Self; 4] = [Self::Bucket, Self::Fixed, Self::Slices, Self::Sliding];

    const fn name(self) -> &'static str {
        match self {
            Self::Bucket => "bucket",
            Self::Fixed => "fixed",
            Self::Slices => "slices",
            Self::Sliding => "sliding",
            Self::Known => "known",
        }
    }

    /// The value of `window` in the configuration.
    pub(crate) fn window(self) -> Value {
        match self {
            Self::Known => Value::Null,
            other => other.name().into(),
        }
    }

    pub(crate) const fn algorithm(self) -> Algorithm {
        match self {
            Self::Bucket | Self::Known => Algorithm::Bucket,
            Self::Fixed => Algorithm::FixedMinute,
            Self::Slices => Algorithm::PerSecondSlices,
            Self::Sliding => Algorithm::Sliding,
        }
    }

    /// Buckets are Anthropic's; the others are found among those that speak OpenAI's dialect.
    pub(crate) const fn dialect(self) -> Dialect {
        match self {
            Self::Bucket | Self::Known => Dialect::Anthropic,
            Self::Fixed | Self::Slices | Self::Sliding => Dialect::OpenAi,
        }
    }
}

impl Declared {
    const GRID: [Self; 4] = [Self::Right, Self::None, Self::High, Self::Low];

    const fn name(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::None => "none",
            Self::High => "high",
            Self::Low => "low",
        }
    }

    /// Whether the limits are wrong, which costs something until it is found out.
    pub(crate) const fn is_wrong(self) -> bool {
        matches!(self, Self::High | Self::Low)
    }

    const fn percent(self) -> Option<u64> {
        match self {
            Self::Right => Some(100),
            Self::None => None,
            Self::High => Some(120),
            Self::Low => Some(80),
        }
    }
}

impl Traffic {
    const GRID: [Self; 4] = [Self::Steady, Self::Bursts, Self::Heavy, Self::Streams];

    const fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Bursts => "bursts",
            Self::Heavy => "heavy",
            Self::Streams => "streams",
        }
    }

    /// Mean input tokens of a request.
    pub(crate) const fn mean_tokens(self) -> u64 {
        match self {
            Self::Heavy => HEAVY_TOKENS,
            Self::Steady | Self::Bursts | Self::Streams => STEADY_TOKENS,
        }
    }
}

impl Scenario {
    /// What the provider allows one key.
    pub(crate) const fn quota(&self) -> Quota {
        if self.keys <= LARGE_QUOTA_KEYS_MAX {
            Quota {
                requests: 300,
                tokens: 600_000,
            }
        } else {
            Quota {
                requests: 60,
                tokens: 120_000,
            }
        }
    }

    /// The simulator's limits. Anthropic limits input, OpenAI both together.
    pub(crate) fn provider_limits(&self) -> Limits {
        let Quota { requests, tokens } = self.quota();
        let mut limits = Limits::per_minute(requests);
        match self.limiter.dialect() {
            Dialect::Anthropic => limits.input_tokens_per_minute = Some(tokens),
            Dialect::OpenAi | Dialect::Gemini => limits.tokens_per_minute = Some(tokens),
        }
        limits
    }

    /// `rateLimit` of each key in the gateway's configuration.
    pub(crate) fn declared_limits(&self) -> Option<Value> {
        let percent = self.declared.percent()?;
        let Quota { requests, tokens } = self.quota();
        let tokens_name = match self.limiter.dialect() {
            Dialect::Anthropic => "inputTokensPerMinute",
            Dialect::OpenAi | Dialect::Gemini => "tokensPerMinute",
        };
        Some(json!({
            "requestsPerMinute": requests * percent / 100,
            tokens_name: tokens * percent / 100,
        }))
    }

    /// Requests that all quotas together allow in a minute, at this traffic's mean size.
    pub(crate) fn allowed_per_minute(&self) -> u64 {
        let Quota { requests, tokens } = self.quota();
        let keys = u64::try_from(self.keys).unwrap_or(u64::MAX);
        keys * requests.min(tokens / self.traffic.mean_tokens())
    }

    /// Requests offered in a second.
    #[allow(
        clippy::cast_precision_loss,
        reason = "rates of a few thousand a minute"
    )]
    pub(crate) fn offered_per_second(&self) -> f64 {
        self.allowed_per_minute() as f64 * self.load / 60.0
    }

    /// More is offered than fits.
    pub(crate) fn is_overload(&self) -> bool {
        self.load > 1.0
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            keys,
            limiter,
            declared,
            traffic,
            load,
        } = self;
        let (limiter, declared, traffic) = (limiter.name(), declared.name(), traffic.name());
        write!(f, "{keys}k-{limiter}-{declared}-{traffic}-{load}")
    }
}

const fn row(
    keys: usize,
    limiter: Limiter,
    declared: Declared,
    traffic: Traffic,
    load: f64,
) -> Scenario {
    Scenario {
        keys,
        limiter,
        declared,
        traffic,
        load,
    }
}

/// The rows of a run without `--all`: every value of every dimension, and the pairs that are hard.
pub(crate) fn representative() -> Vec<Scenario> {
    use Declared as D;
    use Limiter as L;
    use Traffic as T;
    vec![
        row(1, L::Bucket, D::Right, T::Steady, 2.0),
        row(3, L::Bucket, D::Right, T::Bursts, 2.0),
        row(5, L::Bucket, D::Right, T::Heavy, 0.95),
        row(5, L::Bucket, D::None, T::Heavy, 2.0),
        row(3, L::Bucket, D::Low, T::Steady, 2.0),
        row(3, L::Known, D::High, T::Streams, 2.0),
        row(50, L::Bucket, D::Right, T::Steady, 2.0),
        row(3, L::Fixed, D::Right, T::Bursts, 2.0),
        row(5, L::Fixed, D::None, T::Steady, 2.0),
        row(3, L::Fixed, D::Right, T::Heavy, 0.95),
        row(3, L::Slices, D::Right, T::Steady, 2.0),
        row(5, L::Slices, D::None, T::Bursts, 0.95),
        row(3, L::Sliding, D::Right, T::Streams, 2.0),
        row(5, L::Sliding, D::High, T::Steady, 2.0),
        row(3, L::Sliding, D::None, T::Steady, 0.5),
    ]
}

/// A few rows for `--quick`.
pub(crate) fn quick() -> Vec<Scenario> {
    use Declared as D;
    use Limiter as L;
    use Traffic as T;
    vec![
        row(3, L::Bucket, D::Right, T::Steady, 2.0),
        row(3, L::Bucket, D::Low, T::Steady, 2.0),
        row(3, L::Slices, D::Right, T::Steady, 2.0),
        row(3, L::Fixed, D::None, T::Heavy, 0.95),
    ]
}

/// The whole grid.
pub(crate) fn all() -> Vec<Scenario> {
    let mut rows = Vec::new();
    for keys in [1, 3, 5, 50] {
        for limiter in Limiter::GRID {
            for declared in Declared::GRID {
                for traffic in Traffic::GRID {
                    for load in [0.5, 0.95, 2.0] {
                        rows.push(row(keys, limiter, declared, traffic, load));
                    }
                }
            }
        }
    }
    rows
}

/// The rows whose names hold any of the patterns: for each pattern those of `chosen`, or of the whole grid
/// when none of `chosen` matches.
pub(crate) fn named(chosen: &[Scenario], patterns: &[String]) -> Vec<Scenario> {
    let mut rows: Vec<Scenario> = Vec::new();
    for pattern in patterns {
        let holds = |row: &Scenario| row.to_string().contains(pattern.as_str());
        let mut found: Vec<Scenario> = chosen.iter().copied().filter(holds).collect();
        if found.is_empty() {
            found = all().into_iter().filter(holds).collect();
        }
        found.retain(|row| !rows.contains(row));
        rows.extend(found);
    }
    rows
}

/// Cuts rows into groups that run side by side: each as long as its offered requests per second stay
/// within `budget`. A row above the budget runs alone.
pub(crate) fn side_by_side(rows: &[Scenario], budget: f64) -> Vec<Vec<Scenario>> {
    let mut groups: Vec<(f64, Vec<Scenario>)> = Vec::new();
    for row in rows {
        let rate = row.offered_per_second();
        match groups.iter_mut().find(|(taken, _)| taken + rate <= budget) {
            Some((taken, group)) => {
                *taken += rate;
                group.push(*row);
            }
            None => groups.push((rate, vec![*row])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_grid_has_768_rows_with_names_of_their_own() {
        let names: BTreeSet<String> = all().iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), 768);
    }

    #[test]
    fn the_representative_rows_touch_every_value() {
        let rows = representative();
        assert!(
            [1, 3, 5, 50]
                .iter()
                .all(|keys| rows.iter().any(|row| row.keys == *keys))
        );
        assert!(
            Limiter::GRID
                .iter()
                .all(|value| rows.iter().any(|row| row.limiter == *value))
        );
        assert!(
            Declared::GRID
                .iter()
                .all(|value| rows.iter().any(|row| row.declared == *value))
        );
        assert!(
            Traffic::GRID
                .iter()
                .all(|value| rows.iter().any(|row| row.traffic == *value))
        );
    }

    #[test]
    fn varying_sizes_are_limited_by_tokens_and_equal_ones_by_requests() {
        let heavy = row(3, Limiter::Bucket, Declared::Right, Traffic::Heavy, 1.0);
        assert_eq!(heavy.allowed_per_minute(), 3 * 200);
        let steady = row(3, Limiter::Bucket, Declared::Right, Traffic::Steady, 2.0);
        assert_eq!(steady.allowed_per_minute(), 3 * 300);
        assert!((steady.offered_per_second() - 30.0).abs() < 1e-9);
    }

    #[test]
    fn wrong_limits_are_a_fifth_off_and_none_are_none() {
        let declared =
            |declared| row(1, Limiter::Fixed, declared, Traffic::Steady, 1.0).declared_limits();
        assert_eq!(declared(Declared::None), None);
        assert_eq!(declared(Declared::High).unwrap()["requestsPerMinute"], 360);
        assert_eq!(declared(Declared::Low).unwrap()["tokensPerMinute"], 480_000);
    }

    #[test]
    fn each_pattern_finds_default_rows_or_else_rows_of_the_grid() {
        let names = |patterns: &[&str]| -> Vec<String> {
            let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
            let rows = named(&representative(), &patterns);
            rows.iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            names(&["50k", "50k-sliding-low-heavy-0.95", "50k-bucket"]),
            ["50k-bucket-right-steady-2", "50k-sliding-low-heavy-0.95"]
        );
        assert!(names(&["nothing"]).is_empty());
    }

    #[test]
    fn groups_stay_within_the_budget_and_lose_no_row() {
        let groups = side_by_side(&all(), 100.0);
        assert_eq!(groups.iter().map(Vec::len).sum::<usize>(), 768);
        for group in groups {
            let rate: f64 = group.iter().map(Scenario::offered_per_second).sum();
            assert!(rate <= 100.0 + 1e-9 || group.len() == 1, "{rate}");
        }
    }
}
