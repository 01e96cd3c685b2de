//! The counters of one organisation, model class or key, asked and charged together.

use super::limiter::{Counting, Limiter};
use crate::{Dimension, Limits, SimTime};

/// What a request takes from each kind of counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cost {
    pub(crate) requests: u64,
    pub(crate) input: u64,
    pub(crate) output: u64,
    /// For the counters that take input and output together.
    pub(crate) tokens: u64,
}

impl Cost {
    /// What this much use costs when it is over.
    pub(crate) fn of_use(requests: u64, input: u64, output: u64) -> Self {
        Self {
            requests,
            input,
            output,
            tokens: input.saturating_add(output),
        }
    }

    fn of(&self, dimension: Dimension) -> u64 {
        match dimension {
            Dimension::Requests | Dimension::RequestsPerDay => self.requests,
            Dimension::InputTokens => self.input,
            Dimension::OutputTokens => self.output,
            Dimension::Tokens | Dimension::TokensPerDay => self.tokens,
        }
    }
}

/// The limit that keeps a request out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Blocked {
    /// `None`: too many requests in flight.
    pub(crate) dimension: Option<Dimension>,
    pub(crate) limit: u64,
    pub(crate) used: u64,
    pub(crate) requested: u64,
    /// When it would fit, if waiting helps and the instant is known.
    pub(crate) ready_at: Option<SimTime>,
}

/// One counter as quota headers show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// The most that one window admits.
    pub limit: u64,
    /// What is left of it.
    pub remaining: u64,
    /// When all of it is available again.
    pub full_at: SimTime,
}

/// The counters that belong together.
#[derive(Debug)]
pub(crate) struct MeterSet {
    meters: Vec<(Dimension, Limiter)>,
    max_concurrent: Option<u64>,
    in_flight: u64,
}

impl MeterSet {
    pub(crate) fn new(limits: &Limits, counting: Counting, now: SimTime) -> Self {
        let meter = |dimension| {
            let limit = limits.of(dimension)?;
            Some((dimension, Limiter::new(counting, dimension, limit, now)))
        };
        let meters = Dimension::ALL.into_iter().filter_map(meter).collect();
        Self {
            meters,
            max_concurrent: limits.max_concurrent,
            in_flight: 0,
        }
    }

    /// Puts new limits in force. What was used of a counter that stays limited stays used.
    pub(crate) fn replace(&mut self, limits: &Limits, counting: Counting, now: SimTime) {
        let mut before = std::mem::take(&mut self.meters);
        let meter = |dimension| {
            let limit = limits.of(dimension)?;
            let known = before.iter().position(|(known, _)| *known == dimension);
            let limiter = match known.map(|position| before.swap_remove(position)) {
                Some((_, mut limiter)) => {
                    limiter.set_limit(now, limit);
                    limiter
                }
                None => Limiter::new(counting, dimension, limit, now),
            };
            Some((dimension, limiter))
        };
        self.meters = Dimension::ALL.into_iter().filter_map(meter).collect();
        self.max_concurrent = limits.max_concurrent;
    }

    /// Forgets all use, but not what is in flight.
    pub(crate) fn refill(&mut self, limits: &Limits, counting: Counting, now: SimTime) {
        let in_flight = self.in_flight;
        *self = Self {
            in_flight,
            ..Self::new(limits, counting, now)
        };
    }

    /// The limit which keeps `cost` out for the longest, if any does.
    pub(crate) fn blocked(&mut self, now: SimTime, cost: &Cost) -> Option<Blocked> {
        if let Some(limit) = self.max_concurrent
            && self.in_flight >= limit
        {
            let used = self.in_flight;
            return Some(Blocked {
                dimension: None,
                limit,
                used,
                requested: 1,
                ready_at: None,
            });
        }
        let mut worst: Option<Blocked> = None;
        for (dimension, limiter) in &mut self.meters {
            let requested = cost.of(*dimension);
            let ready_at = limiter.ready_at(now, requested);
            if ready_at == Some(now) {
                continue;
            }
            let limit = limiter.limit();
            let used = limit.saturating_sub(limiter.remaining(now));
            let dimension = Some(*dimension);
            let blocked = Blocked {
                dimension,
                limit,
                used,
                requested,
                ready_at,
            };
            worst = Some(worst.map_or(blocked, |worst| later(worst, blocked)));
        }
        worst
    }

    /// Counts `cost` and one more request in flight.
    pub(crate) fn enter(&mut self, now: SimTime, cost: &Cost) {
        self.in_flight += 1;
        self.charge(now, cost);
    }

    /// One request less in flight.
    pub(crate) fn leave(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    pub(crate) fn charge(&mut self, now: SimTime, cost: &Cost) {
        for (dimension, limiter) in &mut self.meters {
            limiter.charge(now, cost.of(*dimension));
        }
    }

    /// Counts `cost` as far as it fits: use by somebody who is refused like everybody else. Returns
    /// the requests that fitted in all counters.
    pub(crate) fn spend(&mut self, now: SimTime, cost: &Cost) -> u64 {
        let mut requests = cost.requests;
        for (dimension, limiter) in &mut self.meters {
            let taken = cost.of(*dimension).min(limiter.remaining(now));
            limiter.charge(now, taken);
            if dimension.counts_requests() {
                requests = requests.min(taken);
            }
        }
        requests
    }

    /// Counts a request that was turned away, but never into debt: or a client that insists would
    /// lock itself out for ever.
    pub(crate) fn charge_refused_request(&mut self, now: SimTime) {
        for (dimension, limiter) in &mut self.meters {
            if dimension.counts_requests() && limiter.ready_at(now, 1) == Some(now) {
                limiter.charge(now, 1);
            }
        }
    }

    pub(crate) fn refund(&mut self, now: SimTime, cost: &Cost) {
        for (dimension, limiter) in &mut self.meters {
            limiter.refund(now, cost.of(*dimension));
        }
    }

    /// The state of one counter, if it is limited.
    pub(crate) fn level(&mut self, now: SimTime, wanted: Dimension) -> Option<Level> {
        let (_, limiter) = self
            .meters
            .iter_mut()
            .find(|(dimension, _)| *dimension == wanted)?;
        let limit = limiter.limit();
        let remaining = limiter.remaining(now);
        Some(Level {
            limit,
            remaining,
            full_at: limiter.full_at(now),
        })
    }
}

/// Of two limits the one that bars for longer; "waiting does not help" is the longest.
pub(crate) fn later(first: Blocked, second: Blocked) -> Blocked {
    match (first.ready_at, second.ready_at) {
        (None, _) => first,
        (Some(first_at), Some(second_at)) if first_at >= second_at => first,
        _ => second,
    }
}
