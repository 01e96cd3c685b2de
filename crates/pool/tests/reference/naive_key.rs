//! A key with the rules of its health, written down plainly once more (contract §4).

use std::time::Duration;

use keypool_pool::{KeyConfig, KeyState, Timestamp};

use crate::naive_meter::NaiveQuota;

const MINUTE: Duration = Duration::from_mins(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trial {
    No,
    Wanted,
    Running { lease: u64, since: Timestamp },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Suspected,
    Invalid,
    OutOfCredit,
}

#[derive(Clone, Debug)]
pub(crate) struct NaiveOutage {
    pub(crate) cause: Cause,
    pub(crate) ends_at: Option<Timestamp>,
    pub(crate) next_probe: Timestamp,
    pub(crate) failed: usize,
    /// A probe was asked for since.
    pub(crate) probed: bool,
}

impl NaiveOutage {
    pub(crate) fn wait(&self) -> Duration {
        match (self.cause, self.failed) {
            (Cause::Suspected, 0 | 1) | (Cause::Invalid, 0) => MINUTE,
            (Cause::Suspected, 2) | (Cause::Invalid, 1) => MINUTE * 5,
            (Cause::Suspected, 3) | (Cause::Invalid, 2) => MINUTE * 30,
            _ => MINUTE * 60,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct NaiveBar {
    pub(crate) model: String,
    pub(crate) denied: bool,
    pub(crate) until: Timestamp,
}

#[derive(Clone, Debug)]
pub(crate) struct NaiveKey {
    pub(crate) config: KeyConfig,
    pub(crate) position: u64,
    /// Tells a key from another that was added later with the same id.
    pub(crate) incarnation: u64,
    pub(crate) last_grant: u64,
    pub(crate) quota: NaiveQuota,
    pub(crate) score: u8,
    pub(crate) degraded: bool,
    pub(crate) expired: bool,
    /// Whether it was out of use when this was noted last.
    pub(crate) was_out: bool,
    pub(crate) last_error: Timestamp,
    pub(crate) cooldown: Option<Timestamp>,
    pub(crate) refused_at: Option<Timestamp>,
    pub(crate) in_a_row: u32,
    /// Until when it is left out for its own faults.
    pub(crate) rest: Option<Timestamp>,
    pub(crate) rests_in_a_row: u32,
    pub(crate) outage: Option<NaiveOutage>,
    pub(crate) trial: Trial,
    pub(crate) bars: Vec<NaiveBar>,
    pub(crate) requests: u64,
    pub(crate) successes: u64,
    pub(crate) errors: u64,
    pub(crate) forgiven: u64,
}

impl NaiveKey {
    pub(crate) fn new(
        now: Timestamp,
        config: KeyConfig,
        position: u64,
        incarnation: u64,
        quota: NaiveQuota,
    ) -> Self {
        Self {
            expired: config.expires_at.is_some_and(|end| end <= now),
            was_out: false,
            config,
            position,
            incarnation,
            last_grant: 0,
            quota,
            score: 100,
            degraded: false,
            last_error: Timestamp::default(),
            cooldown: None,
            refused_at: None,
            in_a_row: 0,
            rest: None,
            rests_in_a_row: 0,
            outage: None,
            trial: Trial::No,
            bars: Vec::new(),
            requests: 0,
            successes: 0,
            errors: 0,
            forgiven: 0,
        }
    }

    fn cooling_models(&self, now: Timestamp) -> impl Iterator<Item = Timestamp> {
        let cooling = self
            .bars
            .iter()
            .filter(move |bar| !bar.denied && bar.until > now);
        cooling.map(|bar| bar.until)
    }

    /// When it is cooling until, for whatever models.
    pub(crate) fn rate_limited_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.cooldown.max(self.cooling_models(now).max())
    }

    pub(crate) fn state(&self, now: Timestamp) -> KeyState {
        if self.expired || self.outage.is_some() {
            return KeyState::Unavailable;
        }
        if self.rate_limited_until(now).is_some() {
            return KeyState::RateLimited;
        }
        if self.degraded {
            KeyState::Degraded
        } else {
            KeyState::Healthy
        }
    }

    pub(crate) fn blame(&mut self, now: Timestamp) {
        self.score = self.score.saturating_sub(5);
        self.last_error = now;
        self.degraded |= self.score < 70;
    }

    /// A fault of its own, while others serve or not.
    pub(crate) fn fault(&mut self, now: Timestamp, others_serve: bool) {
        let was_degraded = self.degraded;
        self.blame(now);
        if was_degraded && others_serve && self.rest.is_none() {
            let seconds = (1 << self.rests_in_a_row.min(8)).min(30);
            self.rest = Some(now + Duration::from_secs(seconds));
            self.rests_in_a_row += 1;
        }
    }

    pub(crate) fn praise(&mut self) {
        self.rests_in_a_row = 0;
        self.score = (self.score + 1).min(100);
        self.degraded &= self.score <= 80;
    }

    pub(crate) fn is_echo(&self, granted_at: Timestamp) -> bool {
        self.refused_at.is_some_and(|refused| granted_at < refused)
    }

    pub(crate) fn end_trial(&mut self, number: u64, passed: bool) -> bool {
        let is_it = matches!(self.trial, Trial::Running { lease, .. } if lease == number);
        if is_it {
            self.trial = if passed { Trial::No } else { Trial::Wanted };
        }
        is_it
    }

    /// The provider accepted the key, but may not have asked who pays.
    pub(crate) fn accept(&mut self, number: u64) {
        let passed = self.outage.is_none();
        self.end_trial(number, passed);
    }

    /// What bars a model: a denial before a cool-down.
    pub(crate) fn bar_for(&self, model: &str, now: Timestamp) -> Option<&NaiveBar> {
        self.bars
            .iter()
            .filter(|bar| bar.model == model && bar.until > now)
            .max_by_key(|bar| bar.denied)
    }

    pub(crate) fn bar(&mut self, model: &str, denied: bool, until: Timestamp, now: Timestamp) {
        self.bars.retain(|bar| bar.until > now);
        let same = |bar: &&mut NaiveBar| bar.model == model && bar.denied == denied;
        match self.bars.iter_mut().find(same) {
            Some(bar) => bar.until = bar.until.max(until),
            None => self.bars.push(NaiveBar {
                model: model.to_owned(),
                denied,
                until,
            }),
        }
    }

    /// Whether a request is to tell if its account can pay again.
    pub(crate) fn is_tried(&self) -> bool {
        let mut outage = self.outage.iter();
        outage.any(|outage| outage.cause == Cause::OutOfCredit && outage.probed)
    }

    pub(crate) fn go_out(&mut self, now: Timestamp, cause: Cause, ends_at: Option<Timestamp>) {
        let mut outage = NaiveOutage {
            cause,
            ends_at,
            next_probe: now,
            failed: 0,
            probed: cause == Cause::Suspected,
        };
        outage.next_probe = now + outage.wait();
        self.outage = Some(outage);
        self.trial = Trial::Wanted;
    }

    pub(crate) fn condemn(&mut self, now: Timestamp) {
        self.score = 0;
        self.last_error = now;
        match &mut self.outage {
            Some(outage) if outage.cause == Cause::Invalid => {}
            Some(outage) if outage.cause == Cause::Suspected => {
                outage.cause = Cause::Invalid;
                outage.probed = false;
                outage.failed = 0;
                outage.next_probe = now + outage.wait();
            }
            _ => self.go_out(now, Cause::Invalid, None),
        }
    }

    pub(crate) fn come_back(&mut self) {
        if !self.is_suspected() {
            self.score = self.score.max(70);
            self.degraded = false;
        }
        self.outage = None;
        self.rest = None;
        self.trial = Trial::Wanted;
    }

    pub(crate) fn is_suspected(&self) -> bool {
        let mut outage = self.outage.iter();
        outage.any(|outage| outage.cause == Cause::Suspected)
    }

    pub(crate) fn is_out(&self) -> bool {
        let is_unavailable = self.outage.is_some() && !self.is_tried();
        self.expired || is_unavailable || self.cooldown.is_some() || self.rest.is_some()
    }

    pub(crate) fn trial_lapses(&self) -> Option<Timestamp> {
        match self.trial {
            Trial::Running { since, .. } => Some(since + Duration::from_secs(5)),
            Trial::No | Trial::Wanted => None,
        }
    }

    pub(crate) fn probe_due(&self) -> Option<Timestamp> {
        let outage = self
            .outage
            .as_ref()
            .filter(|outage| outage.ends_at.is_none())?;
        (self.config.enabled && !self.expired).then_some(outage.next_probe)
    }

    /// Lets time pass; tells whether a probe is due.
    pub(crate) fn elapse(&mut self, now: Timestamp) -> bool {
        let due = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        if due(self.trial_lapses()) {
            self.trial = Trial::No;
            if self.is_tried() {
                self.outage = None;
            }
        }
        if self.degraded && self.last_error + MINUTE * 5 <= now {
            self.degraded = false;
            self.score = self.score.max(81);
        }
        if due(self.rest) {
            self.rest = None;
            self.trial = Trial::Wanted;
        }
        if due(self.cooldown) {
            self.cooldown = None;
            self.trial = Trial::Wanted;
        }
        let probe = due(self.probe_due());
        if due(self.outage.as_ref().and_then(|outage| outage.ends_at)) {
            self.come_back();
        } else if probe {
            self.probe(now);
        }
        self.expired |= due(self.config.expires_at);
        probe && !self.is_tried()
    }

    /// A probe begins, or the next request is to be one.
    pub(crate) fn probe(&mut self, now: Timestamp) {
        let Some(outage) = &mut self.outage else {
            return;
        };
        outage.probed = true;
        outage.next_probe = now + outage.wait();
        if outage.cause == Cause::OutOfCredit {
            self.trial = Trial::Wanted;
        }
    }

    /// When [`Self::elapse`] next does something.
    pub(crate) fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        [
            self.trial_lapses(),
            self.degraded.then(|| self.last_error + MINUTE * 5),
            self.cooldown,
            self.rest,
            self.outage.as_ref().and_then(|outage| outage.ends_at),
            self.probe_due(),
            self.config.expires_at.filter(|_| !self.expired),
            self.cooling_models(now).min(),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}
