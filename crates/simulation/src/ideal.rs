//! The waits that nobody could do better than by much: one queue, first come first served, before one
//! quota as large as all together, with each request's cost known beforehand.
//!
//! Without it a wait says nothing: at 95 % of a quota that is handed out in slices of a second some wait
//! for seconds whoever deals them out.

use std::collections::VecDeque;

use keypool_sim::{Algorithm, Dimension};
use keypool_wire::Usage;

use crate::capacity::{Capacity, charged};
use crate::report::Waits;
use crate::scenario::{Arrivals, Scenario};
use crate::traffic::Source;

const MINUTE_US: u64 = 60_000_000;
const SECOND_US: u64 = 1_000_000;

/// Requests after which the rest is taken to be alike.
const LOOKED_AT: usize = 200_000;

/// One pooled limit.
enum Meter {
    Bucket {
        limit: f64,
        level: f64,
        at_us: u64,
    },
    Fixed {
        limit: u64,
        window_us: u64,
        window: u64,
        used: u64,
    },
    Sliding {
        limit: u64,
        log: VecDeque<(u64, u64)>,
        used: u64,
    },
}

impl Meter {
    fn new(algorithm: Algorithm, dimension: Dimension, limit: u64) -> Self {
        let fixed = |limit, window_us| Self::Fixed {
            limit,
            window_us,
            window: 0,
            used: 0,
        };
        match algorithm {
            Algorithm::Bucket => {
                #[expect(clippy::cast_precision_loss, reason = "limits are far below 2^52")]
                let limit = limit as f64;
                Self::Bucket {
                    limit,
                    level: limit,
                    at_us: 0,
                }
            }
            Algorithm::PerSecondSlices if dimension == Dimension::Requests => {
                fixed((limit / 60).max(1), SECOND_US)
            }
            Algorithm::FixedMinute | Algorithm::PerSecondSlices => fixed(limit, MINUTE_US),
            Algorithm::Sliding => Self::Sliding {
                limit,
                log: VecDeque::new(),
                used: 0,
            },
        }
    }

    /// When `cost` fits, from `at_us` on.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "microseconds and limits are far below 2^52 and not negative"
    )]
    fn fits_at(&mut self, at_us: u64, cost: u64) -> u64 {
        match self {
            Self::Bucket {
                limit,
                level,
                at_us: since,
            } => {
                let rate = *limit / MINUTE_US as f64;
                *level = (*level + (at_us.saturating_sub(*since)) as f64 * rate).min(*limit);
                *since = at_us;
                let missing = (cost as f64).min(*limit) - *level;
                at_us + (missing.max(0.0) / rate).ceil() as u64
            }
            Self::Fixed {
                limit,
                window_us,
                window,
                used,
            } => {
                let now = at_us / *window_us;
                if now > *window {
                    (*window, *used) = (now, 0);
                }
                if *used + cost.min(*limit) <= *limit {
                    at_us
                } else {
                    (now + 1) * *window_us
                }
            }
            Self::Sliding { limit, log, used } => {
                while let Some(&(when, amount)) = log.front()
                    && when + MINUTE_US <= at_us
                {
                    *used -= amount;
                    log.pop_front();
                }
                let mut left = *used;
                let mut fits = at_us;
                for &(when, amount) in log.iter() {
                    if left + cost.min(*limit) <= *limit {
                        break;
                    }
                    left -= amount;
                    fits = when + MINUTE_US;
                }
                fits
            }
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "costs are far below 2^52")]
    fn take(&mut self, at_us: u64, cost: u64) {
        match self {
            Self::Bucket { level, .. } => *level -= cost as f64,
            Self::Fixed { used, .. } => *used += cost,
            Self::Sliding { log, used, .. } => {
                log.push_back((at_us, cost));
                *used += cost;
            }
        }
    }
}

/// The waits of a scenario's traffic before the pooled quota; nothing at overload, where they only grow.
pub(crate) fn waits(scenario: &Scenario, capacity: &Capacity) -> Waits {
    let is_modest = match scenario.traffic.arrivals {
        Arrivals::Offered { factor, .. } => factor < 1.0,
        Arrivals::PerMinute { rate, .. } => rate < capacity.requests_per_minute,
        Arrivals::Trace { .. } => true,
    };
    if !is_modest {
        return Waits::default();
    }
    let mut meters: Vec<(Dimension, Meter)> = Dimension::ALL
        .into_iter()
        .filter(|dimension| !dimension.is_daily())
        .filter_map(|dimension| {
            let limits = scenario
                .quotas
                .iter()
                .map(|quota| quota.limits.of(dimension));
            let limit: Option<u64> = limits.sum();
            Some((dimension, Meter::new(scenario.limiter, dimension, limit?)))
        })
        .collect();
    let mut source = Source::new(scenario, capacity.requests_per_minute);
    let patience_us = scenario.patience_ms * 1000;
    let (mut now_us, mut waits) = (0, Vec::new());
    while let Some(ask) = source.next() {
        now_us = now_us.max(ask.at_us);
        let used = Usage {
            input_tokens: ask.input_tokens,
            output_tokens: ask.output_tokens,
            ..Usage::default()
        };
        let (input, output) = charged(scenario, &used, ask.max_tokens);
        let cost = |dimension: Dimension| match dimension {
            Dimension::Requests | Dimension::RequestsPerDay => 1,
            Dimension::InputTokens => input,
            Dimension::OutputTokens => output,
            Dimension::Tokens | Dimension::TokensPerDay => input + output,
        };
        // A later instant for one limit may be too early for another.
        for _ in 0..4 {
            now_us = meters
                .iter_mut()
                .map(|(dimension, meter)| meter.fits_at(now_us, cost(*dimension)))
                .fold(now_us, u64::max);
        }
        if now_us - ask.at_us > patience_us {
            now_us = ask.at_us.max(now_us.saturating_sub(1));
            continue;
        }
        for (dimension, meter) in &mut meters {
            meter.take(now_us, cost(*dimension));
        }
        if ask.at_us >= scenario.warm_up_ms * 1000 {
            waits.push(now_us - ask.at_us);
        }
        if waits.len() >= LOOKED_AT {
            break;
        }
    }
    Waits::of(&mut waits)
}
