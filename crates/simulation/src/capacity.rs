//! What the quotas allow: the load by which all others are measured.
//!
//! "Half the load" means nothing before it is known what a request costs, by the provider's own rule,
//! and which limit binds first.
//!
//! Worked example: 60 requests and 30,000 input tokens a minute, prompts of 1,000 tokens on average: 30
//! requests a minute a key, and input tokens bind.

use fastrand::Rng;
use keypool_sim::{Dimension, Limits};
use keypool_wire::Usage;

use crate::scenario::{Arrivals, Scenario, Sessions};

/// Draws from which the mean is taken.
const DRAWS: u32 = 20_000;

/// What a request takes from each kind of limit on average.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MeanCost {
    /// Input tokens that count.
    pub input: f64,
    /// Output tokens that count.
    pub output: f64,
}

impl MeanCost {
    pub(crate) fn of(&self, dimension: Dimension) -> f64 {
        match dimension {
            Dimension::Requests | Dimension::RequestsPerDay => 1.0,
            Dimension::InputTokens => self.input,
            Dimension::OutputTokens => self.output,
            Dimension::Tokens | Dimension::TokensPerDay => self.input + self.output,
        }
    }
}

/// What the quotas allow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Capacity {
    /// Requests per minute; infinite without limits.
    pub requests_per_minute: f64,
    /// What a request costs.
    pub cost: MeanCost,
}

impl Capacity {
    /// What the quotas of a scenario allow its traffic.
    #[must_use]
    pub fn of(scenario: &Scenario) -> Self {
        let cost = mean_cost(scenario);
        let rate = scenario
            .quotas
            .iter()
            .enumerate()
            .filter(|(quota, _)| scenario.keys.iter().any(|key| key.quota == *quota))
            .map(|(_, quota)| allowed(&quota.limits, &cost))
            .sum();
        Self {
            requests_per_minute: rate,
            cost,
        }
    }
}

/// Requests per minute that limits allow at this mean cost.
#[expect(clippy::cast_precision_loss, reason = "limits are far below 2^52")]
fn allowed(limits: &Limits, cost: &MeanCost) -> f64 {
    let minutes = |dimension: Dimension| if dimension.is_daily() { 1440.0 } else { 1.0 };
    Dimension::ALL
        .into_iter()
        .filter_map(|dimension| {
            let limit = limits.of(dimension)? as f64 / minutes(dimension);
            let cost = cost.of(dimension);
            (cost > 0.0).then(|| limit / cost)
        })
        .fold(f64::INFINITY, f64::min)
}

#[expect(clippy::cast_precision_loss, reason = "tokens are far below 2^52")]
fn mean_cost(scenario: &Scenario) -> MeanCost {
    let traffic = &scenario.traffic;
    let mut rng = Rng::with_seed(scenario.seed ^ 0x00ca_9ac1);
    let mut sum = (0.0, 0.0);
    let mut count = 0_u32;
    let mut add = |usage: Usage, max: Option<u64>| {
        let (input, output) = charged(scenario, &usage, max);
        sum.0 += input as f64;
        sum.1 += output as f64;
        count += 1;
    };
    if let Arrivals::Trace { items, .. } = &traffic.arrivals {
        for item in items {
            let usage = Usage {
                input_tokens: item.input_tokens.saturating_sub(item.cached_tokens),
                output_tokens: item.output_tokens,
                cache_read_tokens: item.cached_tokens,
                cache_write_tokens: 0,
            };
            add(usage, item.max_output_tokens);
        }
    } else {
        for _ in 0..DRAWS {
            let output = traffic.output.draw(&mut rng);
            let output = traffic.max_tokens.map_or(output, |max| output.min(max));
            let (input, cached) = match traffic.sessions {
                None => (traffic.input.draw(&mut rng), 0),
                Some(sessions) => session_prompt(&sessions, &mut rng),
            };
            let usage = Usage {
                input_tokens: input - cached,
                output_tokens: output,
                cache_read_tokens: cached,
                cache_write_tokens: 0,
            };
            add(usage, traffic.max_tokens);
        }
    }
    let count = f64::from(count.max(1));
    MeanCost {
        input: sum.0 / count,
        output: sum.1 / count,
    }
}

/// A prompt out of the middle of a conversation that never lost its cache.
fn session_prompt(sessions: &Sessions, rng: &mut Rng) -> (u64, u64) {
    let turn = rng.u32(0..sessions.turns.max(1));
    let length = |turn: u32| sessions.first_tokens + sessions.growth_tokens * u64::from(turn);
    (length(turn), turn.checked_sub(1).map_or(0, length))
}

/// Input and output tokens that one request is charged by the provider's rule.
pub(crate) fn charged(scenario: &Scenario, usage: &Usage, max_tokens: Option<u64>) -> (u64, u64) {
    keypool_wire::charge(scenario.provider.kind(), usage, max_tokens)
}
