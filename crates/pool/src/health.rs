//! A key's health: score, state, and the ways out and back (contract §4).
//!
//! What it prevents: one error counter for everything, which a client's mistakes or a provider's
//! bad hour drive up until good keys are banned, and from which dead ones never return.
//!
//! | event | score | state |
//! |---|---|---|
//! | success | +1 | a trial passes |
//! | fault that is the key's | −5 | degraded below 70, until above 80 or five minutes without an error |
//! | such a fault while degraded | −5 | as before, and left out for 1, 2, 4, up to 30 s |
//! | refused, not yet confirmed | – | unavailable and probed at once |
//! | 429 | −5 if declared limits should have foreseen it | rate-limited until the reset |
//! | key refused | 0 | unavailable; probed after 1, 5, 30 probe intervals, then every 60 |
//! | out of credit | – | unavailable until it returns; else until a request is served, tried every 60 intervals |
//! | client's mistake, client gone, provider overloaded | – | – |
//!
//! Refusals of a burst that was on its way together are one event. Every way back, save that from
//! degraded, leads through one trial request at a time.
//!
//! Worked example: seven faults take a key from 100 to 65: degraded. With 16 successes it is at 81:
//! healthy. Left alone instead it is healthy five minutes after the last fault, with score 81.

use std::time::Duration;

use crate::bounds::{DEGRADED_RECOVERY, PROBE_INTERVAL_MIN, PROBE_SCHEDULE, REST_FIRST, REST_MAX};
use crate::cooldown::Cooldown;
use crate::id::KeyId;
use crate::output::WakeReason;
use crate::snapshot::KeyState;
use crate::time::Timestamp;
use crate::trial::Trial;

const SCORE_MAX: u8 = 100;
const FAULT_PENALTY: u8 = 5;
/// Below this a key is degraded.
const DEGRADED_BELOW: u8 = 70;
/// Above this it no longer is.
const HEALTHY_ABOVE: u8 = 80;

/// Why a key is unavailable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutageCause {
    /// Refused; another key or a probe will tell whether it is dead.
    Suspected,
    Invalid,
    /// No free call tells whether the account can pay again. A request that is served does.
    OutOfCredit,
}

#[derive(Clone, Copy, Debug)]
struct Outage {
    cause: OutageCause,
    /// When it ends by itself, if the provider said so.
    ends_at: Option<Timestamp>,
    next_probe: Timestamp,
    failed_probes: usize,
    /// Whether a probe was asked for since it went out for this cause. What one from before finds does not
    /// count: that a key may list models says little when it may do nothing else. For want of credit a request is
    /// the probe.
    probed: bool,
}

impl Outage {
    fn schedule_probe(&mut self, now: Timestamp, interval: Duration) {
        let last = PROBE_SCHEDULE.len() - 1;
        let step = match self.cause {
            // The first probe was at once.
            OutageCause::Suspected => self.failed_probes.saturating_sub(1).min(last),
            OutageCause::Invalid => self.failed_probes.min(last),
            OutageCause::OutOfCredit => last,
        };
        let intervals = PROBE_SCHEDULE.get(step).copied().unwrap_or(1);
        self.next_probe = now + interval.saturating_mul(intervals);
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Health {
    score: u8,
    degraded: bool,
    expired: bool,
    last_error_at: Timestamp,
    cooldown: Cooldown,
    /// Until when a degraded key that failed again is left out.
    rests_until: Option<Timestamp>,
    rests_in_a_row: u32,
    outage: Option<Outage>,
    trial: Trial,
    probe_interval: Duration,
}

/// What the passing of time changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Elapsed {
    /// Why the state may be another now.
    pub(crate) reason: Option<&'static str>,
    /// A probe is due.
    pub(crate) probe: bool,
    /// The configured end has come.
    pub(crate) expired: bool,
}

impl Health {
    /// Full health; dead, it would be probed by multiples of `probe_interval`.
    pub(crate) fn new(probe_interval: Duration) -> Self {
        Self {
            score: SCORE_MAX,
            degraded: false,
            expired: false,
            last_error_at: Timestamp::default(),
            cooldown: Cooldown::default(),
            rests_until: None,
            rests_in_a_row: 0,
            outage: None,
            trial: Trial::Passed,
            probe_interval: probe_interval.max(PROBE_INTERVAL_MIN),
        }
    }

    pub(crate) const fn score(&self) -> u8 {
        self.score
    }

    pub(crate) const fn state(&self) -> KeyState {
        if self.expired || self.outage.is_some() {
            KeyState::Unavailable
        } else if self.cooldown.until().is_some() {
            KeyState::RateLimited
        } else if self.degraded {
            KeyState::Degraded
        } else {
            KeyState::Healthy
        }
    }

    pub(crate) const fn is_expired(&self) -> bool {
        self.expired
    }

    /// Until when the provider's refusal keeps it out.
    pub(crate) const fn cooling_until(&self) -> Option<Timestamp> {
        self.cooldown.until()
    }

    /// Until when it is left out, by the provider's refusal or for its own faults.
    pub(crate) fn left_out_until(&self) -> Option<Timestamp> {
        self.cooldown.until().max(self.rests_until)
    }

    /// Whether it was refused, and its probe is under way that will tell whether it is dead.
    pub(crate) fn awaits_first_probe(&self) -> bool {
        self.outage.is_some_and(|outage| {
            outage.cause == OutageCause::Suspected && outage.failed_probes == 0
        })
    }

    /// Whether it is known to be dead.
    pub(crate) fn is_dead(&self) -> bool {
        self.outage
            .is_some_and(|outage| outage.cause == OutageCause::Invalid)
    }

    /// Whether it was refused and waits for confirmation.
    pub(crate) fn is_suspected(&self) -> bool {
        self.outage
            .is_some_and(|outage| outage.cause == OutageCause::Suspected)
    }

    /// Whether a request is to tell if its account can pay again.
    pub(crate) fn is_tried_for_credit(&self) -> bool {
        self.outage
            .is_some_and(|outage| outage.cause == OutageCause::OutOfCredit && outage.probed)
    }

    pub(crate) fn next_probe(&self) -> Option<Timestamp> {
        self.outage
            .filter(|outage| outage.ends_at.is_none())
            .map(|outage| outage.next_probe)
    }

    /// When an unavailable key that no request is to try may return: at the stated end, else with the next probe.
    pub(crate) fn may_return_at(&self) -> Option<Timestamp> {
        self.outage
            .filter(|_| !self.is_tried_for_credit())
            .map(|outage| outage.ends_at.unwrap_or(outage.next_probe))
    }

    pub(crate) fn is_out(&self) -> bool {
        self.expired
            || (self.outage.is_some() && !self.is_tried_for_credit())
            || self.cooldown.until().is_some()
            || self.rests_until.is_some()
    }

    pub(crate) const fn is_on_trial(&self) -> bool {
        self.trial.is_running()
    }

    pub(crate) fn granted(&mut self, lease: u64, now: Timestamp) {
        self.trial.granted(lease, now);
    }

    pub(crate) fn succeeded(&mut self, lease: u64, granted_at: Timestamp) {
        self.score = self.score.saturating_add(1).min(SCORE_MAX);
        if self.score > HEALTHY_ABOVE {
            self.degraded = false;
        }
        self.cooldown.succeeded(granted_at);
        self.rests_in_a_row = 0;
        if self.trial.ended(lease, true) && self.is_tried_for_credit() {
            self.outage = None;
        }
    }

    /// The request ended without a word on the key; `answered` if the provider accepted the key
    /// and judged the request, though it may not have asked yet who pays.
    pub(crate) fn unblamed(&mut self, lease: u64, answered: bool) {
        self.trial.ended(lease, answered && self.outage.is_none());
    }

    /// A fault was the key's. A degraded key that fails again is left out for a while, if it `may_rest`
    /// because others serve meanwhile.
    pub(crate) fn faulted(&mut self, now: Timestamp, may_rest: bool) {
        let was_degraded = self.degraded;
        self.penalise(now);
        if was_degraded && may_rest && self.rests_until.is_none() {
            let rest = REST_FIRST.saturating_mul(1 << self.rests_in_a_row.min(8));
            self.rests_until = Some(now + rest.min(REST_MAX));
            self.rests_in_a_row = self.rests_in_a_row.saturating_add(1);
        }
    }

    fn penalise(&mut self, now: Timestamp) {
        self.score = self.score.saturating_sub(FAULT_PENALTY);
        self.last_error_at = now;
        if self.score < DEGRADED_BELOW {
            self.degraded = true;
        }
    }

    /// The provider refused with a 429; `unforeseen` if declared limits promised room.
    pub(crate) fn rate_limited(
        &mut self,
        now: Timestamp,
        (lease, granted_at): (u64, Timestamp),
        hint: Option<Timestamp>,
        unforeseen: bool,
        rng: &mut fastrand::Rng,
    ) {
        if unforeseen && !self.cooldown.is_echo(granted_at) {
            self.penalise(now);
        }
        self.cooldown.refused(now, granted_at, hint, rng);
        self.trial.ended(lease, false);
    }

    /// A 429 without effect on the whole key: only the score hears of it.
    pub(crate) fn model_rate_limited(&mut self, now: Timestamp, lease: u64, unforeseen: bool) {
        if unforeseen {
            self.penalise(now);
        }
        self.trial.ended(lease, false);
    }

    /// Another key of the group was refused for the whole group.
    pub(crate) fn cool_with_group(&mut self, until: Timestamp) {
        self.cooldown.extend(until);
    }

    /// The key was refused, which may be a mistake: it is left out until that is known. False when it is
    /// out already.
    pub(crate) fn suspected(&mut self, now: Timestamp) -> bool {
        self.last_error_at = now;
        let is_news = self.outage.is_none() || self.is_tried_for_credit();
        if is_news {
            self.go_out(now, OutageCause::Suspected, None);
        }
        is_news
    }

    /// The key is dead. One that is out for that already keeps its schedule of probes.
    pub(crate) fn invalid(&mut self, now: Timestamp) {
        self.score = 0;
        self.last_error_at = now;
        match &mut self.outage {
            Some(outage) if outage.cause == OutageCause::Invalid => {}
            Some(outage) if outage.cause == OutageCause::Suspected => {
                outage.cause = OutageCause::Invalid;
                outage.probed = false;
                outage.failed_probes = 0;
                outage.schedule_probe(now, self.probe_interval);
            }
            _ => self.go_out(now, OutageCause::Invalid, None),
        }
    }

    pub(crate) fn out_of_credit(&mut self, now: Timestamp, ends_at: Option<Timestamp>) {
        let ends_at = ends_at.filter(|&ends_at| ends_at > now);
        match &mut self.outage {
            None => self.go_out(now, OutageCause::OutOfCredit, ends_at),
            Some(outage) if outage.cause == OutageCause::OutOfCredit => {
                outage.ends_at = outage.ends_at.max(ends_at);
                if outage.probed {
                    outage.probed = false;
                    outage.schedule_probe(now, self.probe_interval);
                }
            }
            Some(_) => {}
        }
    }

    fn go_out(&mut self, now: Timestamp, cause: OutageCause, ends_at: Option<Timestamp>) {
        let mut outage = Outage {
            cause,
            ends_at,
            next_probe: now,
            failed_probes: 0,
            probed: cause == OutageCause::Suspected,
        };
        outage.schedule_probe(now, self.probe_interval);
        self.outage = Some(outage);
        self.trial = Trial::Wanted;
    }

    /// A probe passed. Without an outage it says nothing new, and of credit it says nothing.
    pub(crate) fn probe_passed(&mut self) {
        let counts = |outage: Outage| outage.probed && outage.cause != OutageCause::OutOfCredit;
        if self.outage.is_some_and(counts) {
            self.come_back();
        }
    }

    fn come_back(&mut self) {
        let was_suspected = self.is_suspected();
        self.rests_until = None;
        self.outage = None;
        if !was_suspected {
            self.score = self.score.max(DEGRADED_BELOW);
            self.degraded = false;
        }
        self.trial = Trial::Wanted;
    }

    pub(crate) fn probe_failed(&mut self, now: Timestamp) {
        if let Some(outage) = self.outage.as_mut().filter(|outage| outage.probed) {
            outage.failed_probes += 1;
            outage.schedule_probe(now, self.probe_interval);
        }
    }

    /// A probe told nothing. A key that is only suspected is given another chance by it.
    pub(crate) fn probe_inconclusive(&mut self, now: Timestamp) {
        match &mut self.outage {
            Some(outage) if outage.cause == OutageCause::Suspected => self.come_back(),
            Some(outage) => outage.schedule_probe(now, self.probe_interval),
            None => {}
        }
    }

    /// A probe is under way: if nothing is heard of it, the next is due as after an inconclusive one.
    fn expect_probe(&mut self, now: Timestamp) {
        if let Some(outage) = &mut self.outage {
            outage.probed = true;
            outage.schedule_probe(now, self.probe_interval);
            if outage.cause == OutageCause::OutOfCredit {
                self.trial = Trial::Wanted;
            }
        }
    }

    /// An operator asks for a probe now, which may be a request. False when none could tell anything.
    pub(crate) fn probe_now(&mut self, now: Timestamp) -> bool {
        if self.expired {
            return false;
        }
        self.expect_probe(now);
        self.outage.is_some()
    }

    /// An operator returns the key, whatever stood against it.
    pub(crate) fn restored_by_operator(&mut self) {
        if self.is_out() || self.outage.is_some() {
            self.cooldown = Cooldown::default();
            self.come_back();
        }
    }

    /// Probes scheduled from now on follow this interval.
    pub(crate) fn set_probe_interval(&mut self, interval: Duration) {
        self.probe_interval = interval.max(PROBE_INTERVAL_MIN);
    }

    /// Takes a new configured end.
    pub(crate) fn set_expiry(&mut self, now: Timestamp, expires_at: Option<Timestamp>) {
        self.expired = expires_at.is_some_and(|at| at <= now);
    }

    /// Lets time pass. A key that is not `enabled` asks for no probes.
    pub(crate) fn elapse(
        &mut self,
        now: Timestamp,
        expires_at: Option<Timestamp>,
        enabled: bool,
    ) -> Elapsed {
        let mut elapsed = Elapsed::default();
        if self.trial.elapse(now) && self.is_tried_for_credit() {
            self.outage = None;
            elapsed.reason = Some("a request is served");
        }
        if self.degraded && self.last_error_at + DEGRADED_RECOVERY <= now {
            self.degraded = false;
            self.score = self.score.max(HEALTHY_ABOVE + 1);
            elapsed.reason = Some("five minutes without an error");
        }
        if self.rests_until.is_some_and(|until| until <= now) {
            self.rests_until = None;
            self.trial = Trial::Wanted;
            elapsed.reason = Some("it is tried again");
        }
        if self.cooldown.elapse(now) {
            self.trial = Trial::Wanted;
            elapsed.reason = Some("its reset time has come");
        }
        if let Some(outage) = &mut self.outage {
            if outage.ends_at.is_some_and(|ends_at| ends_at <= now) {
                self.come_back();
                elapsed.reason = Some("credit returns");
            } else if enabled
                && !self.expired
                && outage.ends_at.is_none()
                && outage.next_probe <= now
            {
                elapsed.probe = true;
            }
        }
        if elapsed.probe {
            self.expect_probe(now);
            elapsed.probe = !self.is_tried_for_credit();
        }
        if !self.expired && expires_at.is_some_and(|at| at <= now) {
            self.expired = true;
            elapsed.expired = true;
            elapsed.reason = Some("it has expired");
        }
        elapsed
    }

    /// When [`Self::elapse`] will next change something, and what.
    pub(crate) fn next_change(
        &self,
        key: KeyId,
        expires_at: Option<Timestamp>,
        enabled: bool,
    ) -> Option<(Timestamp, WakeReason)> {
        let outage_end = self.outage.and_then(|outage| outage.ends_at);
        let probe = self.next_probe().filter(|_| enabled && !self.expired);
        let recovery = self
            .degraded
            .then(|| self.last_error_at + DEGRADED_RECOVERY);
        [
            self.cooldown
                .until()
                .map(|at| (at, WakeReason::CooldownEnds(key))),
            self.rests_until
                .map(|at| (at, WakeReason::CooldownEnds(key))),
            outage_end.map(|at| (at, WakeReason::CreditReturns(key))),
            probe.map(|at| (at, WakeReason::ProbeDue(key))),
            recovery.map(|at| (at, WakeReason::DegradedRecovers(key))),
            expires_at
                .filter(|_| !self.expired)
                .map(|at| (at, WakeReason::KeyExpires(key))),
            self.trial
                .lapses_at()
                .map(|at| (at, WakeReason::TrialLapses(key))),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|&(at, _)| at)
    }
}
