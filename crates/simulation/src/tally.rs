//! What is counted while a scenario runs.

use std::collections::BTreeMap;
use std::time::Duration;

use keypool_pool::{
    AlertKind, BreakerChange, BreakerState, ErrorCounts, FaultKind, Outcome, Suspicion, Timestamp,
    Usage, Verdict,
};
use keypool_sim::model::Usage as SimUsage;
use keypool_sim::{Counters, Dimension};

use crate::capacity::{Capacity, charged};
use crate::report::{KeyReport, QuotaReport, Report, Waits};
use crate::scenario::Scenario;

/// The end of a request, as its client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Answered,
    /// No key had room for it in time.
    ToldToWait,
    /// Anything else.
    Failed(String),
    /// The client left.
    Left,
}

/// What was fed to the pool about one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyTally {
    pub(crate) granted: u64,
    pub(crate) successes: u64,
    pub(crate) errors: ErrorCounts,
    pub(crate) usage: Usage,
    pub(crate) settled: u64,
    /// Of these, within the time that counts.
    answered: u64,
    tokens: u64,
    upstream: u64,
    limited: u64,
}

/// Consumption of one quota within the time that counts.
#[derive(Clone, Copy, Debug, Default)]
struct Consumed {
    requests: u64,
    input: u64,
    output: u64,
}

/// All counters.
#[derive(Debug)]
pub(crate) struct Tally {
    start_us: u64,
    from_us: u64,
    until_us: u64,
    scenario: Scenario,
    pub(crate) arrived_in_all: u64,
    pub(crate) ended_in_all: u64,
    requests: u64,
    answered: u64,
    told_to_wait: u64,
    left: u64,
    failures: BTreeMap<String, u64>,
    waits_us: Vec<u64>,
    upstream: u64,
    limited: u64,
    limited_in_all: u64,
    upstream_errors: u64,
    cached: u64,
    prompt: u64,
    output: u64,
    consumed: Vec<Consumed>,
    pub(crate) keys: Vec<KeyTally>,
    alerts: BTreeMap<String, u64>,
    breakers_opened: u64,
    pub(crate) state_changes: u64,
    pub(crate) probes: u64,
    pub(crate) wakes: u64,
}

impl Tally {
    pub(crate) fn new(scenario: &Scenario, start_us: u64) -> Self {
        // A copy without what may be large: only its numbers are needed.
        let mut plan = scenario.clone();
        if let crate::Arrivals::Trace { items, .. } = &mut plan.traffic.arrivals {
            items.clear();
        }
        Self {
            start_us,
            from_us: start_us + scenario.warm_up_ms * 1000,
            until_us: start_us + scenario.duration_ms * 1000,
            scenario: plan,
            arrived_in_all: 0,
            ended_in_all: 0,
            requests: 0,
            answered: 0,
            told_to_wait: 0,
            left: 0,
            failures: BTreeMap::new(),
            waits_us: Vec::new(),
            upstream: 0,
            limited: 0,
            limited_in_all: 0,
            upstream_errors: 0,
            cached: 0,
            prompt: 0,
            output: 0,
            consumed: vec![Consumed::default(); scenario.quotas.len()],
            keys: vec![KeyTally::default(); scenario.keys.len()],
            alerts: BTreeMap::new(),
            breakers_opened: 0,
            state_changes: 0,
            probes: 0,
            wakes: 0,
        }
    }

    fn counts(&self, now: Timestamp) -> bool {
        (self.from_us..self.until_us).contains(&now.as_unix_micros())
    }

    pub(crate) fn arrived(&mut self, now: Timestamp) {
        self.arrived_in_all += 1;
        self.requests += u64::from(self.counts(now));
    }

    pub(crate) fn granted(&mut self, key: usize) {
        if let Some(key) = self.keys.get_mut(key) {
            key.granted += 1;
        }
    }

    /// Counts what the pool is told, in the pool's classes.
    pub(crate) fn settled(&mut self, key: usize, outcome: &Outcome) {
        let Some(key) = self.keys.get_mut(key) else {
            return;
        };
        key.settled += 1;
        let errors = &mut key.errors;
        let count = match outcome.verdict {
            Verdict::Success => &mut key.successes,
            Verdict::ClientError | Verdict::Suspected(Suspicion::ModelDenied) => {
                &mut errors.client_error
            }
            Verdict::Cancelled => &mut errors.cancelled,
            Verdict::Overloaded | Verdict::NotServed => &mut errors.overloaded,
            Verdict::Fault(fault) | Verdict::Suspected(Suspicion::Fault(fault)) => match fault {
                FaultKind::ServerError => &mut errors.server_error,
                FaultKind::Timeout => &mut errors.timeout,
                FaultKind::Unreachable => &mut errors.unreachable,
                FaultKind::Reset => &mut errors.reset,
                FaultKind::Garbage => &mut errors.garbage,
            },
            Verdict::RateLimited { .. } => &mut errors.rate_limited,
            Verdict::Invalid
            | Verdict::Suspected(Suspicion::Invalid | Suspicion::AccountInvalid) => {
                &mut errors.invalid
            }
            Verdict::OutOfCredit { .. } => &mut errors.out_of_credit,
            Verdict::ModelDenied => &mut errors.model_denied,
        };
        *count += 1;
        key.usage.input_tokens += outcome.usage.input_tokens;
        key.usage.output_tokens += outcome.usage.output_tokens;
        key.usage.cache_read_tokens += outcome.usage.cache_read_tokens;
        key.usage.cache_write_tokens += outcome.usage.cache_write_tokens;
    }

    /// A request reached the provider, which answers with that status, or with nothing; if it admits it,
    /// with that usage.
    pub(crate) fn reached_provider(
        &mut self,
        now: Timestamp,
        key: usize,
        status: Option<u16>,
        admitted: Option<(&SimUsage, Option<u64>)>,
    ) {
        self.limited_in_all += u64::from(status == Some(429));
        if !self.counts(now) {
            return;
        }
        self.upstream += 1;
        let limited = u64::from(status == Some(429));
        self.limited += limited;
        self.upstream_errors += u64::from(status.is_none_or(|status| status != 200)) - limited;
        if let Some(key) = self.keys.get_mut(key) {
            key.upstream += 1;
            key.limited += limited;
        }
        let quota = self.scenario.keys.get(key).map(|plan| plan.quota);
        let at_admission = self.charges_at_admission();
        if let Some((used, max_tokens)) = admitted
            && let Some(consumed) = quota.and_then(|quota| self.consumed.get_mut(quota))
        {
            let usage = keypool_wire::Usage {
                input_tokens: used.input,
                output_tokens: used.output,
                cache_read_tokens: used.cache_read,
                cache_write_tokens: used.cache_write,
            };
            let (input, output) = charged(&self.scenario, &usage, max_tokens);
            consumed.requests += 1;
            consumed.input += input;
            if at_admission {
                consumed.output += output;
            }
        }
    }

    fn charges_at_admission(&self) -> bool {
        self.scenario.provider.dialect() == keypool_sim::Dialect::OpenAi
    }

    pub(crate) fn produced(&mut self, now: Timestamp, key: usize, tokens: u64) {
        if self.charges_at_admission() || !self.counts(now) {
            return;
        }
        let quota = self.scenario.keys.get(key).map(|plan| plan.quota);
        if let Some(consumed) = quota.and_then(|quota| self.consumed.get_mut(quota)) {
            consumed.output += tokens;
        }
    }

    pub(crate) fn answered(&mut self, now: Timestamp, key: usize, used: &keypool_wire::Usage) {
        if !self.counts(now) {
            return;
        }
        self.cached += used.cache_read_tokens;
        self.prompt += used.total_input_tokens();
        self.output += used.output_tokens;
        if let Some(key) = self.keys.get_mut(key) {
            key.answered += 1;
            key.tokens += used.total_input_tokens() + used.output_tokens;
        }
    }

    pub(crate) fn ended(&mut self, arrived_us: u64, now: Timestamp, waited: Duration, end: End) {
        self.ended_in_all += 1;
        debug_assert!(now.as_unix_micros() >= self.start_us);
        if !(self.from_us..self.until_us).contains(&(self.start_us + arrived_us)) {
            return;
        }
        match end {
            End::Answered => {
                self.answered += 1;
                let waited = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
                self.waits_us.push(waited);
            }
            End::ToldToWait => self.told_to_wait += 1,
            End::Left => self.left += 1,
            End::Failed(why) => *self.failures.entry(why).or_default() += 1,
        }
    }

    pub(crate) fn breaker(&mut self, change: &BreakerChange) {
        self.breakers_opened += u64::from(change.to == BreakerState::Open);
    }

    pub(crate) fn alert(&mut self, kind: AlertKind) {
        *self.alerts.entry(format!("{kind:?}")).or_default() += 1;
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "counts are far below 2^52; these are ratios for people"
    )]
    pub(crate) fn report(
        mut self,
        scenario: &Scenario,
        capacity: &Capacity,
        offered_per_minute: f64,
        ideal: Waits,
        provider: &Counters,
    ) -> Report {
        let minutes = (self.until_us - self.from_us) as f64 / 60e6;
        let per_minute = |count: u64| count as f64 / minutes.max(1e-9);
        let quotas: Vec<QuotaReport> = scenario
            .quotas
            .iter()
            .zip(&self.consumed)
            .enumerate()
            .map(|(number, (quota, consumed))| QuotaReport {
                name: quota
                    .group
                    .clone()
                    .unwrap_or_else(|| format!("quota {}", number + 1)),
                used: Dimension::ALL
                    .into_iter()
                    .filter(|dimension| !dimension.is_daily() || minutes >= 1440.0)
                    .filter_map(|dimension| {
                        let span = if dimension.is_daily() {
                            minutes / 1440.0
                        } else {
                            minutes
                        };
                        let limit = quota.limits.of(dimension)? as f64 * span;
                        let used = consumed.of(dimension) as f64 / limit.max(1e-9);
                        Some((format!("{dimension:?}"), used))
                    })
                    .collect(),
            })
            .collect();
        let in_use: Vec<&QuotaReport> = quotas
            .iter()
            .enumerate()
            .filter(|(number, _)| scenario.keys.iter().any(|key| key.quota == *number))
            .map(|(_, quota)| quota)
            .filter(|quota| !quota.used.is_empty())
            .collect();
        let utilisation =
            in_use.iter().map(|quota| quota.tightest()).sum::<f64>() / in_use.len().max(1) as f64;
        let answered_share = self.answered as f64 / (self.requests.max(1)) as f64;
        let fair = self.keys.iter().map(|key| key.tokens).sum::<u64>() as f64
            / self.keys.len().max(1) as f64;
        let keys = scenario
            .keys
            .iter()
            .zip(&self.keys)
            .enumerate()
            .map(|(number, (plan, key))| KeyReport {
                name: plan
                    .name
                    .clone()
                    .unwrap_or_else(|| format!("key {}", number + 1)),
                answered: key.answered,
                upstream: key.upstream,
                limited: key.limited,
                of_fair_share: key.tokens as f64 / fair.max(1e-9),
            })
            .collect();
        Report {
            scenario: scenario.name.clone(),
            seed: scenario.seed,
            minutes,
            capacity_per_minute: capacity.requests_per_minute,
            offered_per_minute,
            requests: self.requests,
            answered: self.answered,
            told_to_wait: self.told_to_wait,
            left: self.left,
            failures: self.failures,
            answered_per_minute: per_minute(self.answered),
            tokens_per_minute: per_minute(self.prompt + self.output),
            efficiency: utilisation.max(answered_share),
            utilisation,
            waits: Waits::of(&mut self.waits_us),
            ideal_waits: ideal,
            upstream_requests: self.upstream,
            upstream_limited: self.limited,
            upstream_limited_in_all: self.limited_in_all,
            upstream_errors: self.upstream_errors,
            cache_hits: self.cached as f64 / (self.prompt.max(1)) as f64,
            keys,
            quotas,
            alerts: self.alerts,
            breakers_opened: self.breakers_opened,
            state_changes: self.state_changes,
            probes: self.probes,
            wakes: self.wakes,
            provider_requests: provider.keys.iter().map(|key| key.1.requests).sum(),
        }
    }
}

impl Consumed {
    const fn of(&self, dimension: Dimension) -> u64 {
        match dimension {
            Dimension::Requests | Dimension::RequestsPerDay => self.requests,
            Dimension::InputTokens => self.input,
            Dimension::OutputTokens => self.output,
            Dimension::Tokens | Dimension::TokensPerDay => self.input + self.output,
        }
    }
}
