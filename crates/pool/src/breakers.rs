//! The circuit breakers of one provider: one for the provider as a whole, and one for each model with
//! trouble of late.
//!
//! A model's breaker is made by its first failure and forgotten when it is calm again, so that in good
//! times there is nothing to look at.

use std::collections::BTreeMap;

use crate::bounds::BREAKERS_MAX;
use crate::breaker::{Breaker, BreakerState, Passage};
use crate::output::BreakerChange;
use crate::snapshot::BreakerSnapshot;
use crate::time::Timestamp;

/// Which breakers a sample or a command is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach<'a> {
    /// The provider, whatever the model: nobody could even connect.
    Provider,
    /// One model.
    Model(&'a str),
}

#[derive(Debug, Default)]
pub(crate) struct Breakers {
    provider: Breaker,
    models: BTreeMap<Box<str>, Breaker>,
    /// Whether any of them is not idle, as of the last change.
    troubled: bool,
}

impl Breakers {
    /// Whether there is no trouble that anybody need hear of.
    pub(crate) const fn are_calm(&self) -> bool {
        !self.troubled
    }

    fn forget_idle(&mut self, now: Timestamp) {
        self.models.retain(|_, breaker| !breaker.is_idle(now));
        self.troubled = !self.models.is_empty() || !self.provider.is_idle(now);
    }

    /// What a request for a model would meet; the stricter of the two breakers speaks.
    pub(crate) fn passage(&self, now: Timestamp, model: &str) -> Passage {
        let of_provider = self.provider.passage(now);
        let of_model = self
            .models
            .get(model)
            .map_or(Passage::Free, |breaker| breaker.passage(now));
        match (of_provider, of_model) {
            (Passage::Barred(Some(one)), Passage::Barred(Some(other))) => {
                Passage::Barred(Some(one.max(other)))
            }
            (Passage::Barred(None), _) | (_, Passage::Barred(None)) => Passage::Barred(None),
            (barred @ Passage::Barred(_), _) | (_, barred @ Passage::Barred(_)) => barred,
            (Passage::Trial, _) | (_, Passage::Trial) => Passage::Trial,
            (Passage::Free, Passage::Free) => Passage::Free,
        }
    }

    /// A request goes through to see whether the trouble is over. Tells what changed.
    pub(crate) fn begin_trial(&mut self, now: Timestamp, model: &str) -> Vec<BreakerChange> {
        let mut changes = Vec::new();
        let of_model = self.models.get_mut(model).map(|one| (Some(model), one));
        for (model, breaker) in std::iter::once((None, &mut self.provider)).chain(of_model) {
            if breaker.passage(now) == Passage::Trial {
                let reason = "a request may try";
                changes.extend(change(model, breaker, now, reason, |one| {
                    one.begin_trial(now);
                }));
            }
        }
        changes
    }

    /// A request was served, or no key could serve it.
    pub(crate) fn record(
        &mut self,
        now: Timestamp,
        granted_at: Timestamp,
        model: &str,
        failed: Option<Reach<'_>>,
    ) -> Vec<BreakerChange> {
        let mut changes = Vec::new();
        if failed.is_none() || failed == Some(Reach::Provider) {
            let served = failed.is_none();
            changes.extend(record_at(None, &mut self.provider, now, granted_at, served));
        }
        if failed != Some(Reach::Provider)
            && let Some(breaker) = self.watched(now, model, failed.is_some())
        {
            let served = failed.is_none();
            changes.extend(record_at(Some(model), breaker, now, granted_at, served));
        }
        self.forget_idle(now);
        changes
    }

    fn watched(&mut self, now: Timestamp, model: &str, make: bool) -> Option<&mut Breaker> {
        if make && !self.models.contains_key(model) {
            if self.models.len() >= BREAKERS_MAX {
                self.models.retain(|_, breaker| {
                    breaker.state(now) != BreakerState::Closed || breaker.is_forced()
                });
            }
            if self.models.len() < BREAKERS_MAX {
                self.models.insert(model.into(), Breaker::default());
            }
        }
        self.models.get_mut(model)
    }

    /// Closes a model's breaker; or the provider's, and with it those of all its models.
    pub(crate) fn reset(&mut self, now: Timestamp, reach: Reach<'_>) -> Vec<BreakerChange> {
        let reason = "reset by an operator";
        let mut changes = Vec::new();
        let all = reach == Reach::Provider;
        if all {
            let closed = change(None, &mut self.provider, now, reason, Breaker::close);
            changes.extend(closed);
        }
        for (model, breaker) in &mut self.models {
            if all || reach == Reach::Model(model) {
                let closed = change(Some(model), breaker, now, reason, Breaker::close);
                changes.extend(closed);
            }
        }
        self.forget_idle(now);
        changes
    }

    /// Opens one until it is reset.
    pub(crate) fn force_open(&mut self, now: Timestamp, reach: Reach<'_>) -> Vec<BreakerChange> {
        let reason = "opened by an operator";
        let opened = match reach {
            Reach::Provider => change(None, &mut self.provider, now, reason, Breaker::force_open),
            Reach::Model(model) => self
                .watched(now, model, true)
                .and_then(|breaker| change(Some(model), breaker, now, reason, Breaker::force_open)),
        };
        self.troubled = true;
        opened.into_iter().collect()
    }

    /// The provider's, then those of models with trouble of late.
    pub(crate) fn snapshot(&self, now: Timestamp) -> Vec<BreakerSnapshot> {
        let models = self.models.iter();
        let models = models.map(|(model, breaker)| (Some(&**model), breaker));
        std::iter::once((None, &self.provider))
            .chain(models)
            .map(|(model, breaker)| shown(model, breaker, now))
            .collect()
    }
}

fn record_at(
    model: Option<&str>,
    breaker: &mut Breaker,
    now: Timestamp,
    granted_at: Timestamp,
    served: bool,
) -> Option<BreakerChange> {
    let reason = if served {
        "a request was served"
    } else {
        "no key could serve most requests"
    };
    change(model, breaker, now, reason, |breaker| {
        breaker.record(now, granted_at, served);
    })
}

/// Does something to a breaker and tells whether its state is another.
fn change(
    model: Option<&str>,
    breaker: &mut Breaker,
    now: Timestamp,
    reason: &str,
    act: impl FnOnce(&mut Breaker),
) -> Option<BreakerChange> {
    // As last told: that its time has come is told when a request makes use of it.
    let told = |breaker: &Breaker| match breaker.state(now) {
        BreakerState::HalfOpen if breaker.open_until().is_some() => BreakerState::Open,
        state => state,
    };
    let from = told(breaker);
    act(breaker);
    let to = told(breaker);
    (from != to).then(|| BreakerChange {
        model: model.map(str::to_owned),
        from,
        to,
        reason: reason.to_owned(),
    })
}

fn shown(model: Option<&str>, breaker: &Breaker, now: Timestamp) -> BreakerSnapshot {
    let (requests, failures) = breaker.counts(now);
    BreakerSnapshot {
        model: model.map(str::to_owned),
        state: breaker.state(now),
        forced: breaker.is_forced(),
        open_until: breaker.open_until(),
        requests,
        failures,
        times_opened: breaker.times_opened(),
    }
}
