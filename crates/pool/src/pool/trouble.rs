//! What becomes of a request as a whole, for the keys that met it and for the provider's circuit breakers.

use std::time::Duration;

use crate::breaker::{BreakerState, Passage};
use crate::breakers::Reach;
use crate::course::Course;
use crate::demand::Demand;
use crate::id::KeyId;
use crate::outcome::{Suspicion, Verdict};
use crate::output::{BreakerChange, Output};
use crate::queue::Entry;
use crate::refusal::{Admission, Refusal, RefusalReason, Turn};
use crate::snapshot::BreakerSnapshot;
use crate::time::Timestamp;

use super::Pool;

impl Pool {
    /// Whether [`Self::handle_served`] need be called for a request that met no failure: while there is no
    /// trouble, nobody has to hear of what goes well.
    #[must_use]
    pub const fn is_troubled(&self) -> bool {
        !self.retry_budget.is_full() || !self.breakers.are_calm()
    }

    /// A key answered the request. Keys that failed it before are to blame.
    pub fn handle_served(&mut self, now: Timestamp, model: &str, course: &Course) {
        self.begin(now);
        for (key, suspicion) in course.blamed() {
            self.blame(key, model, suspicion);
        }
        self.retry_budget.pay_in(self.keys.len());
        self.record_served(model, course);
    }

    /// The provider turned the request down for the client's own mistake: so it works, and nobody is to
    /// blame.
    pub fn handle_rejected(&mut self, now: Timestamp, model: &str, course: &Course) {
        self.begin(now);
        self.record_served(model, course);
    }

    fn record_served(&mut self, model: &str, course: &Course) {
        if !self.breakers.are_calm() {
            let granted_at = course.granted_at();
            let changes = self.breakers.record(self.now, granted_at, model, None);
            self.tell_breakers(changes);
        }
    }

    /// All keys that could be asked have failed the request: it was refused another for this reason. If the
    /// trouble may pass, they can be tried again after the returned pause.
    pub fn handle_exhausted(
        &mut self,
        now: Timestamp,
        model: &str,
        course: &mut Course,
        reason: RefusalReason,
    ) -> Option<Duration> {
        self.begin(now);
        if matches!(
            reason,
            RefusalReason::BreakerOpen | RefusalReason::RetriesSpent
        ) {
            course.excuse();
        }
        if !course.may_pass() {
            let awaited = self.awaits_first_probe(course);
            return awaited.then(|| course.await_probe()).flatten();
        }
        self.record_failed(model, course);
        let pause = course.end_round()?;
        let is_open = matches!(self.breakers.passage(self.now, model), Passage::Barred(_));
        (!is_open).then(|| self.jittered(pause))
    }

    /// Whether a key that refused the request may turn out to be sound in a moment.
    fn awaits_first_probe(&self, course: &Course) -> bool {
        let mut refused = course.refused_by();
        refused.any(|id| {
            let handle = self.by_id.get(&id);
            let key = handle.and_then(|&handle| self.keys.get(handle));
            key.is_some_and(|key| key.health.awaits_first_probe() || !key.health.is_out())
        })
    }

    /// A pause of a random length up to this one: requests that failed together must not come back
    /// together. ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015: full jitter.)
    pub fn jittered(&mut self, longest: Duration) -> Duration {
        longest.mul_f64(self.selector.rng().f64())
    }

    fn record_failed(&mut self, model: &str, course: &Course) {
        let reach = if course.is_unreachable() {
            Reach::Provider
        } else {
            Reach::Model(model)
        };
        let (now, granted_at) = (self.now, course.granted_at());
        let changes = self.breakers.record(now, granted_at, model, Some(reach));
        self.tell_breakers(changes);
    }

    /// No key served the request, and nothing more is tried here.
    pub fn handle_unserved(&mut self, now: Timestamp, model: &str, course: &Course) {
        self.begin(now);
        if course.may_pass() {
            // It was given up in the middle of a round.
            self.record_failed(model, course);
        }
        if let Some((key, suspicion)) = course.sole_suspect() {
            self.blame(key, model, suspicion);
        }
    }

    /// Whether a demand is refused whatever keys there are.
    pub(super) fn barred(&mut self, model: &str) -> Option<Refusal> {
        if self.breakers.are_calm() {
            return None;
        }
        match self.breakers.passage(self.now, model) {
            Passage::Free => None,
            Passage::Trial => {
                let changes = self.breakers.begin_trial(self.now, model);
                self.tell_breakers(changes);
                None
            }
            Passage::Barred(_) => self.would_be_barred(model),
        }
    }

    /// An attempt after one that failed goes to a key of which nothing bad is known, or is paid for out of
    /// the budget.
    pub(super) fn admit_retry(&mut self, demand: &Demand<'_>) -> Admission {
        let trusted = self.doubts.exclude(self.now, demand.excluded);
        let elsewhere = Demand {
            excluded: &trusted,
            ..*demand
        };
        let at_once = Demand {
            wait: None,
            ..elsewhere
        };
        let refusal = match self.admit(&at_once) {
            Admission::Refused(refusal) => refusal,
            admitted => return admitted,
        };
        if self.retry_budget.take(self.now, self.keys.len()) {
            return self.admit(demand);
        }
        if refusal.reason == RefusalReason::NoRoom {
            return self.admit(&elsewhere);
        }
        Admission::Refused(Refusal {
            reason: RefusalReason::RetriesSpent,
            retry_at: None,
        })
    }

    /// What an attempt's end says of whether its key may be trusted with another request's retry.
    pub(super) fn learn_trust(&mut self, key: KeyId, verdict: &Verdict) {
        match verdict {
            Verdict::Success => self.doubts.clear(key),
            Verdict::Overloaded | Verdict::Fault(_) | Verdict::Suspected(Suspicion::Fault(_)) => {
                self.doubts.raise(self.now, key);
            }
            _ => {}
        }
    }

    /// As [`Self::barred`], without letting a request try.
    pub(super) fn would_be_barred(&self, model: &str) -> Option<Refusal> {
        match self.breakers.passage(self.now, model) {
            Passage::Barred(retry_at) => Some(Refusal {
                reason: RefusalReason::BreakerOpen,
                retry_at,
            }),
            Passage::Free | Passage::Trial => None,
        }
    }

    /// The circuit breakers: the provider's, then those of models with trouble of late.
    #[must_use]
    pub fn breakers(&mut self, now: Timestamp) -> Vec<BreakerSnapshot> {
        self.begin(now);
        self.breakers.snapshot(self.now)
    }

    /// Closes the breaker of a model, or that of the provider and all its models. Tells how many were not
    /// closed.
    pub fn reset_breaker(&mut self, now: Timestamp, model: Option<&str>) -> usize {
        self.begin(now);
        let changes = self.breakers.reset(self.now, reach(model));
        let count = changes.len();
        self.tell_breakers(changes);
        count
    }

    /// Opens the breaker of a model, or of the provider, until it is reset. Requests that wait are refused.
    pub fn force_breaker_open(&mut self, now: Timestamp, model: Option<&str>) {
        self.begin(now);
        let changes = self.breakers.force_open(self.now, reach(model));
        self.tell_breakers(changes);
    }

    fn tell_breakers(&mut self, changes: Vec<BreakerChange>) {
        for change in changes {
            if change.to == BreakerState::Open {
                self.dismiss_barred(change.model.as_deref());
            }
            self.emit(Output::BreakerChanged(change));
        }
    }

    /// Whoever waits for what is left alone from now on is told so.
    fn dismiss_barred(&mut self, model: Option<&str>) {
        let barred = |entry: &Entry| model.is_none_or(|model| *entry.demand.model == *model);
        let dismissed = self.queue.drain_matching(|_, entry| barred(entry));
        if dismissed.is_empty() {
            return;
        }
        for (id, entry) in dismissed {
            let refusal = self.would_be_barred(&entry.demand.model);
            let refusal = refusal.unwrap_or(Refusal {
                reason: RefusalReason::BreakerOpen,
                retry_at: None,
            });
            self.turns.push_back((id, Turn::Refused(refusal)));
        }
        self.gains.everything();
    }
}

const fn reach(model: Option<&str>) -> Reach<'_> {
    match model {
        Some(model) => Reach::Model(model),
        None => Reach::Provider,
    }
}
