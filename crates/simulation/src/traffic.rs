//! The requests of a scenario, one after the other.
//!
//! They depend on the scenario alone and never on what the pool does, so that two pools can be compared
//! on the very same requests.

use std::collections::HashMap;

use fastrand::Rng;
use keypool_pool::Urgency;

use crate::distribution::exponential;
use crate::scenario::{Arrivals, Pattern, Scenario, TraceItem, Traffic};

/// A request that is going to be made.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ask {
    /// Microseconds after the start.
    pub(crate) at_us: u64,
    pub(crate) model: String,
    pub(crate) input_tokens: u64,
    /// What the gateway takes the prompt for.
    pub(crate) estimate: u64,
    pub(crate) output_tokens: u64,
    pub(crate) max_tokens: Option<u64>,
    pub(crate) stream: bool,
    pub(crate) session: Option<u64>,
    /// Prefixes that are marked for the cache: what they are, and tokens.
    pub(crate) prefixes: Vec<(u64, u64)>,
    pub(crate) tenant: u64,
    pub(crate) weight: u32,
    pub(crate) urgency: Urgency,
    pub(crate) head_us: u64,
    /// Microseconds in which the answer is written once it has begun.
    pub(crate) writing_us: u64,
    /// Microseconds after its arrival at which the client leaves.
    pub(crate) leaves_after_us: Option<u64>,
}

/// The models that are asked for.
const MODELS: [&str; 4] = ["model-a", "model-b", "model-c", "model-d"];

/// Models that a scenario can have.
pub(crate) const MODELS_MAX: u32 = 4;

pub(crate) fn model_name(number: u32) -> &'static str {
    let position = usize::try_from(number).unwrap_or_default();
    MODELS.get(position).copied().unwrap_or("model-a")
}

#[derive(Debug, Clone, Copy, Default)]
struct Conversation {
    id: u64,
    turn: u32,
}

/// The source of requests.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    traffic: &'a Traffic,
    rng: Rng,
    /// Requests per minute on average.
    rate: f64,
    duration_us: u64,
    at_us: u64,
    count: u64,
    conversations: Vec<Conversation>,
    next_conversation: u64,
    /// How many requests of a recorded conversation there were.
    turns: HashMap<u64, u32>,
}

impl<'a> Source<'a> {
    /// `capacity` is what the quotas allow, in requests per minute.
    pub(crate) fn new(scenario: &'a Scenario, capacity: f64) -> Self {
        let traffic = &scenario.traffic;
        let rate = match traffic.arrivals {
            Arrivals::Offered { factor, .. } if capacity.is_finite() => factor * capacity,
            Arrivals::Offered { factor, .. } => factor * 600.0,
            Arrivals::PerMinute { rate, .. } => rate,
            Arrivals::Trace { .. } => 0.0,
        };
        let sessions = traffic.sessions.map_or(0, |sessions| sessions.count);
        Self {
            traffic,
            rng: Rng::with_seed(scenario.seed ^ 0x7_4a44_1c00),
            rate,
            duration_us: scenario.duration_ms.saturating_mul(1000),
            at_us: 0,
            count: 0,
            conversations: (0..sessions)
                .map(|number| Conversation {
                    id: u64::from(number),
                    turn: 0,
                })
                .collect(),
            next_conversation: u64::from(sessions),
            turns: HashMap::new(),
        }
    }

    /// Requests per minute on average.
    pub(crate) const fn rate(&self) -> f64 {
        self.rate
    }

    /// The next request; `None` after the last.
    pub(crate) fn next(&mut self) -> Option<Ask> {
        if let Arrivals::Trace { items, speed } = &self.traffic.arrivals {
            let item = items.get(usize::try_from(self.count).ok()?)?;
            self.count += 1;
            return Some(self.recorded(item, *speed));
        }
        let pattern = match self.traffic.arrivals {
            Arrivals::Offered { pattern, .. } | Arrivals::PerMinute { pattern, .. } => pattern,
            Arrivals::Trace { .. } => return None,
        };
        self.at_us = self.next_arrival(pattern)?;
        self.count += 1;
        (self.at_us < self.duration_us).then(|| self.drawn())
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "microseconds of a simulation are far below 2^52 and not negative"
    )]
    fn next_arrival(&mut self, pattern: Pattern) -> Option<u64> {
        if self.rate <= 0.0 {
            return None;
        }
        let mean_us = 60e6 / self.rate;
        Some(match pattern {
            Pattern::Even => (self.count as f64 * mean_us) as u64,
            Pattern::Poisson => self.at_us + exponential(&mut self.rng, mean_us),
            Pattern::Bursts { on_ms, off_ms } => {
                let (on_us, off_us) = (on_ms.max(1) * 1000, off_ms * 1000);
                let period = on_us + off_us;
                // Time as it goes by while requests come.
                let busy = self.at_us / period * on_us + (self.at_us % period).min(on_us);
                let share = on_us as f64 / period as f64;
                let busy = busy + exponential(&mut self.rng, mean_us * share);
                busy / on_us * period + busy % on_us
            }
        })
    }

    fn drawn(&mut self) -> Ask {
        let traffic = self.traffic;
        let rng = &mut self.rng;
        let output = traffic.output.draw(rng);
        let output_tokens = traffic.max_tokens.map_or(output, |max| output.min(max));
        let stream = rng.f64() < traffic.stream_share;
        let head_us = traffic.head_ms.draw(rng) * 1000;
        let writing_us = output_tokens * 1_000_000 / traffic.tokens_per_second.max(1);
        let tenant = u64::from(rng.u32(0..traffic.tenants.max(1)));
        let urgency = match (traffic.urgencies, rng.usize(0..Urgency::ALL.len())) {
            (true, number) => Urgency::ALL.get(number).copied().unwrap_or_default(),
            (false, _) => Urgency::Normal,
        };
        let model = rng.u32(0..traffic.models.clamp(1, MODELS_MAX));
        let leaves = rng.f64() < traffic.leaving_share;
        let leaves_after_us = leaves.then(|| rng.u64(0..20_000_000));
        let uniform = traffic.input.draw(rng);
        let (input_tokens, session, prefixes) = match traffic.sessions {
            None => (uniform, None, Vec::new()),
            Some(_) => self.turn(),
        };
        Ask {
            at_us: self.at_us,
            model: model_name(model).to_owned(),
            input_tokens,
            estimate: self.estimate(input_tokens),
            output_tokens,
            max_tokens: traffic.max_tokens,
            stream,
            session,
            prefixes,
            tenant,
            weight: u32::try_from(tenant).unwrap_or(0) + 1,
            urgency,
            head_us,
            writing_us,
            leaves_after_us,
        }
    }

    fn estimate(&mut self, input_tokens: u64) -> u64 {
        let percent = self.traffic.estimate_percent;
        let noise = percent * self.traffic.estimate_noise_percent.min(100) / 100;
        let percent = percent - noise + self.rng.u64(0..=2 * noise);
        (input_tokens.saturating_mul(percent) / 100).max(1)
    }

    /// The next turn of some conversation: its prompt, who it is, and what is marked for the cache.
    fn turn(&mut self) -> (u64, Option<u64>, Vec<(u64, u64)>) {
        let Some(plan) = self.traffic.sessions else {
            return (1, None, Vec::new());
        };
        let chosen = self.rng.usize(0..self.conversations.len().max(1));
        let Some(conversation) = self.conversations.get_mut(chosen) else {
            return (1, None, Vec::new());
        };
        let now = *conversation;
        conversation.turn += 1;
        if conversation.turn >= plan.turns.max(1) {
            *conversation = Conversation {
                id: self.next_conversation,
                turn: 0,
            };
            self.next_conversation += 1;
        }
        let length = |turn: u32| plan.first_tokens + plan.growth_tokens * u64::from(turn);
        let before = now
            .turn
            .checked_sub(1)
            .map(|turn| (prefix_id(now.id, turn), length(turn)));
        let whole = length(now.turn);
        let prefixes = before
            .into_iter()
            .chain([(prefix_id(now.id, now.turn), whole)])
            .collect();
        (whole, Some(now.id), prefixes)
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "microseconds of a trace are far below 2^52 and not negative"
    )]
    fn recorded(&mut self, item: &TraceItem, speed: f64) -> Ask {
        let prefixes = match item.session {
            None => Vec::new(),
            Some(session) => {
                let turn = self.turns.entry(session).or_default();
                *turn += 1;
                let before = (item.cached_tokens > 0)
                    .then(|| (prefix_id(session, *turn - 1), item.cached_tokens));
                before
                    .into_iter()
                    .chain([(prefix_id(session, *turn), item.input_tokens)])
                    .collect()
            }
        };
        let head_us = (item.latency_ms / 4).max(1) * 1000;
        Ask {
            at_us: (item.offset_us as f64 / speed.max(1e-6)) as u64,
            model: item.model.clone(),
            input_tokens: item.input_tokens.max(1),
            estimate: self.estimate(item.input_tokens.max(1)),
            output_tokens: item.output_tokens,
            max_tokens: item.max_output_tokens,
            stream: item.stream,
            session: item.session,
            prefixes,
            tenant: item.tenant,
            weight: 1,
            urgency: item.urgency,
            head_us,
            writing_us: item.latency_ms.saturating_mul(1000).saturating_sub(head_us),
            leaves_after_us: None,
        }
    }
}

fn prefix_id(session: u64, turn: u32) -> u64 {
    session
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(u64::from(turn))
}
