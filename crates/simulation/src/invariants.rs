//! What must hold after each step, whatever the scenario.
//!
//! - A grant comes from a key that is available, not cooling down for the model, not excluded; it leaves
//!   no limit exceeded; it comes before the request's deadline.
//! - Nobody waits past his deadline, nor while there is room for all that wait.
//! - Each request has one end, each lease one settlement.
//! - In the end nothing is in flight, waits or is reserved, and the pool's counters are the sums of what
//!   it was told.
//!
//! A violation panics, and says with which command to see it again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use keypool_pool::{KeyId, KeyState, Lease, MeterSnapshot, Pool, Timestamp, WaiterId};
use keypool_wire::{ProviderKind, model_class};

use crate::scenario::{Checks, Scenario};
use crate::tally::Tally;
use crate::world;

/// How late the end of a wait may be told: the pool is asked at the instant it names.
const LATENESS: Duration = Duration::from_millis(2);

/// Watches one run.
#[derive(Debug)]
pub struct Watch {
    seed: u64,
    name: String,
    checks: Checks,
    step: u64,
    grants: u64,
    now: Timestamp,
    deadlines: BTreeSet<(Timestamp, WaiterId)>,
    waiters: BTreeMap<WaiterId, Timestamp>,
}

impl Watch {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        Self {
            seed: scenario.seed,
            name: scenario.name.clone(),
            checks: scenario.checks,
            step: 0,
            grants: 0,
            now: Timestamp::default(),
            deadlines: BTreeSet::new(),
            waiters: BTreeMap::new(),
        }
    }

    /// Ends the run.
    pub(crate) fn fail(&self, what: &str) -> ! {
        panic!(
            "{what}\n  scenario {:?}, seed {}, step {}, at {}\n  replay: cargo run --release -p \
             keypool-simulation -- --seed {}",
            self.name, self.seed, self.step, self.now, self.seed
        );
    }

    pub(crate) const fn step(&mut self, now: Timestamp) {
        self.step += 1;
        self.now = now;
    }

    pub(crate) const fn is_queue_due(&self) -> bool {
        self.checks.queue_every > 0 && self.step.is_multiple_of(self.checks.queue_every)
    }

    pub(crate) fn waits(&mut self, waiter: WaiterId, deadline: Timestamp) {
        self.deadlines.insert((deadline, waiter));
        if self.waiters.insert(waiter, deadline).is_some() {
            self.fail("two requests wait under one number");
        }
    }

    pub(crate) fn waits_no_more(&mut self, waiter: WaiterId) {
        if let Some(deadline) = self.waiters.remove(&waiter) {
            self.deadlines.remove(&(deadline, waiter));
        }
    }

    pub(crate) fn nobody_is_late(&self, now: Timestamp, pool: &Pool) {
        if let Some((deadline, waiter)) = self.deadlines.first()
            && *deadline + LATENESS < now
        {
            self.fail(&format!(
                "{waiter:?} waits past its deadline {deadline}; {:?}",
                pool.queue_snapshot()
            ));
        }
    }

    /// Looks at a grant for a request for a model with a deadline that has tried some keys.
    pub(crate) fn granted(
        &mut self,
        now: Timestamp,
        pool: &mut Pool,
        lease: &Lease,
        (model, deadline, tried): (&str, Timestamp, &[KeyId]),
        kind: ProviderKind,
    ) {
        self.grants += 1;
        let key = lease.key();
        if tried.contains(&key) {
            self.fail(&format!(
                "{key} is granted again to a request that tried it"
            ));
        }
        if now > deadline + LATENESS {
            self.fail(&format!(
                "{key} is granted after the request's deadline {deadline}"
            ));
        }
        if self.checks.grants_every == 0 || !self.grants.is_multiple_of(self.checks.grants_every) {
            return;
        }
        let Some(snapshot) = pool.key_snapshot(now, key) else {
            self.fail(&format!("{key} is granted, which is not there"));
        };
        if !snapshot.config.enabled {
            self.fail(&format!("{key} is granted, which is disabled"));
        }
        if snapshot.state == KeyState::Unavailable && !snapshot.is_tried_for_credit {
            self.fail(&format!("{key} is granted, which is unavailable"));
        }
        let barred = snapshot.barred_models.iter();
        let class = model_class(kind, model);
        let cools = barred
            .filter(|(name, _)| name == model || name == class)
            .any(|(_, until)| until.is_none_or(|until| until > now));
        let cools_wholly = snapshot.barred_models.is_empty()
            && snapshot.rate_limited_until.is_some_and(|until| until > now);
        if cools || cools_wholly {
            self.fail(&format!(
                "{key} is granted, which is cooling down: {snapshot:?}"
            ));
        }
        self.within_limits(key, class, &snapshot.meters);
        if let Some(group) = &snapshot.config.quota_group {
            let groups = pool.snapshot(now).groups;
            if let Some(group) = groups.iter().find(|known| known.name == *group) {
                self.within_limits(key, class, &group.meters);
            }
        }
    }

    fn within_limits(&self, key: KeyId, class: &str, meters: &[MeterSnapshot]) {
        for meter in meters {
            // Once there are meters for classes, those without one draw on the common meter together
            // with others that do not ask it.
            let is_common = !meters
                .iter()
                .any(|other| other.model_class.is_some() && other.dimension == meter.dimension);
            let stands = match meter.model_class.as_deref() {
                Some(name) => name == class,
                None => is_common,
            };
            if stands && meter.remaining < 0 {
                self.fail(&format!("{key} is granted beyond a limit: {meter:?}"));
            }
        }
    }

    pub(crate) fn at_the_end(
        &self,
        now: Timestamp,
        pool: &mut Pool,
        tally: &Tally,
        waiting: usize,
    ) {
        if tally.arrived_in_all != tally.ended_in_all || waiting > 0 {
            self.fail(&format!(
                "{} requests came, {} ended, {waiting} wait",
                tally.arrived_in_all, tally.ended_in_all
            ));
        }
        let queue = pool.queue_snapshot();
        if queue.length > 0 || queue.bytes > 0 || queue.tokens > 0 {
            self.fail(&format!("the queue is not empty: {queue:?}"));
        }
        let snapshot = pool.snapshot(now);
        let in_groups = snapshot.groups.iter().flat_map(|group| &group.meters);
        let in_keys = snapshot.keys.iter().flat_map(|key| &key.meters);
        for meter in in_groups.chain(in_keys) {
            if meter.reserved > 0 {
                self.fail(&format!("something stays reserved: {meter:?}"));
            }
        }
        for group in &snapshot.groups {
            if group.in_flight > 0 {
                self.fail(&format!("{} has requests in flight", group.name));
            }
        }
        for (key, told) in snapshot.keys.iter().zip(&tally.keys) {
            let id = key.config.id;
            if key.in_flight > 0 {
                self.fail(&format!("{id} has {} requests in flight", key.in_flight));
            }
            if told.granted != told.settled {
                self.fail(&format!(
                    "{id}: {} granted, {} settled",
                    told.granted, told.settled
                ));
            }
            let counted = (key.requests, key.successes, key.errors_by_class, key.usage);
            let expected = (told.granted, told.successes, told.errors, told.usage);
            if counted != expected {
                self.fail(&format!(
                    "{id} counts {counted:?}; it was told {expected:?}"
                ));
            }
            if world::position_of(id) >= tally.keys.len() {
                self.fail(&format!("{id} is not of the scenario"));
            }
        }
    }
}
