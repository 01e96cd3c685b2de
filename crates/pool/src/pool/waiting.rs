//! Requests that wait: how they come into the queue, and how they leave it without a key.
//!
//! What it prevents: a client that gets a 429 for a second's lack of room; one that waits for what cannot
//! come before it gives up; and a refusal that names an instant at which others will have taken the room.
//! Who goes when there is room is told in [`serving`](super::serving).
//!
//! Worked example: 600 requests wait for keys that serve 60 a minute together. One that may wait for five
//! minutes is refused at once, and told to come back in ten.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::bounds::BACKLOG_TOLD_ABOVE;
use crate::chooser::Wanted;
use crate::demand::{Demand, Wait};
use crate::limits::Dimension;
use crate::outcome::{Charge, Outcome, Verdict};
use crate::queue::{Entry, LaneKey, OwnedDemand, WaiterId};
use crate::quota_class::QuotaClass;
use crate::refusal::{Admission, Refusal, RefusalReason, Turn};
use crate::snapshot::QueueSnapshot;
use crate::time::Timestamp;
use crate::urgency::Urgency;

use super::Pool;
use super::home::Home;

impl Pool {
    /// The next waiting request whose turn has come: it was granted, or it need not wait any longer.
    /// Call it after any other call, and at the instant of [`Self::poll_timeout`], until it is `None`.
    pub fn poll_turn(&mut self, now: Timestamp) -> Option<(WaiterId, Turn)> {
        if self.turns.is_empty() && self.queue.is_empty() {
            return None;
        }
        self.begin(now);
        if !self.queue.is_empty() {
            self.wake_parked();
            self.serve();
            self.dismiss_expired();
        }
        self.turns.pop_front()
    }

    /// A waiting request's client has left. It gets no turn any more; one that it had already, and that
    /// was not polled yet, costs nothing.
    pub fn cancel(&mut self, now: Timestamp, waiter: WaiterId) {
        self.begin(now);
        if self.queue.remove(waiter).is_some() {
            // It may have been the one that room was saved for.
            self.gains.everything();
            return;
        }
        let position = self.turns.iter().position(|&(id, _)| id == waiter);
        let turn = position.and_then(|position| self.turns.remove(position));
        if let Some((_, Turn::Granted(lease))) = turn {
            let outcome = Outcome::of(Verdict::Cancelled, Charge::Nothing);
            self.handle_outcome(now, lease, &outcome);
        }
    }

    /// Refuses all that wait, or those of one urgency; tells how many.
    pub fn clear_queue(&mut self, now: Timestamp, urgency: Option<Urgency>) -> usize {
        self.begin(now);
        let dismissed = self.queue.clear(urgency, None);
        let count = dismissed.len();
        for (id, entry) in dismissed {
            self.dismiss(id, &entry);
        }
        self.gains.everything();
        count
    }

    /// What waits.
    #[must_use]
    pub fn queue_snapshot(&self) -> QueueSnapshot {
        QueueSnapshot {
            length: self.queue.len(),
            bytes: self.queue.bytes(),
            tokens: self.queue.tokens(),
            by_urgency: Urgency::ALL
                .into_iter()
                .zip(self.queue.by_urgency())
                .collect(),
            oldest_since: self.queue.oldest_since(),
            next_turn_at: self.queue_wake.filter(|_| !self.queue.is_empty()),
        }
    }

    /// The entry of a request that could have to wait.
    pub(super) fn entry(
        &self,
        demand: &Demand<'_>,
        class: QuotaClass,
        home: &Home,
        wait: &Wait,
    ) -> Entry {
        let owned = OwnedDemand {
            model: Arc::from(demand.model),
            model_class: Arc::from(demand.class_name()),
            input_tokens: demand.input_tokens,
            output_tokens: demand.output_tokens,
            tags: demand.tags.to_vec(),
            excluded: SmallVec::from_slice(demand.excluded),
            session: demand.session,
            state: SmallVec::from_slice(demand.state),
            home: home.bound().or(home.preferred()),
            is_bound: home.bound().is_some(),
            home_until: self.now + home.patience(),
        };
        let reserved = self.wanted(demand, class).amounts;
        Entry {
            lane: LaneKey::of(&owned),
            urgency: wait.urgency,
            tenant: wait.tenant,
            weight: wait.weight,
            tokens: reserved.tokens(),
            bytes: wait.bytes,
            since: wait.since,
            deadline: wait.until,
            resumed: wait.resumed,
            demand: Arc::new(owned),
        }
    }

    /// Takes a request into the queue. It goes at once if it comes before all others of its lane and there
    /// is room.
    pub(super) fn queue_up(&mut self, entry: Entry, class: QuotaClass) -> Admission {
        let (lane, demand, wait) = (entry.lane.clone(), Arc::clone(&entry.demand), entry.wait());
        let refuse = |pool: &mut Self| {
            let demand = demand.view(wait);
            let refusal = pool.refusal_of(&demand, class);
            Admission::Refused(pool.behind_others(refusal, class, wait.urgency))
        };
        if !wait.resumed
            && let Some(until) = self.backlog_until(class, wait.urgency)
            && until > wait.until
        {
            return refuse(self);
        }
        let Ok(id) = self.queue.push(entry) else {
            return refuse(self);
        };
        if self.queue.head_of(&lane) != Some(id) {
            return Admission::Queued(id);
        }
        if let Some(lease) = self.try_waiter(id, None) {
            self.queue.take(self.now, id);
            return Admission::Granted(lease);
        }
        // A new head: it has a say in when the queue moves next.
        self.gains.everything();
        Admission::Queued(id)
    }

    /// Why no key can take a demand now.
    fn refusal_of(&mut self, demand: &Demand<'_>, class: QuotaClass) -> Refusal {
        let only = self.home_of(demand).bound();
        let wanted = Wanted {
            only,
            ..self.wanted(demand, class)
        };
        self.refusal(&wanted)
    }

    /// A refusal that does not promise room which those that wait will take.
    pub(super) fn behind_others(
        &mut self,
        mut refusal: Refusal,
        class: QuotaClass,
        urgency: Urgency,
    ) -> Refusal {
        if refusal.reason == RefusalReason::NoRoom && !self.queue.is_empty() {
            if refusal.retry_at.is_some_and(|at| at <= self.now) {
                let first = self.bookings.iter().map(|booking| booking.at).min();
                refusal.retry_at = refusal.retry_at.max(first);
            }
            if refusal.retry_at.is_some() {
                let backlog = self.backlog_until(class, urgency);
                refusal.retry_at = refusal.retry_at.max(backlog);
            }
        }
        refusal
    }

    /// When those that wait already, of the same urgency or above, will have been served as far as the
    /// limits tell.
    fn backlog_until(&mut self, class: QuotaClass, urgency: Urgency) -> Option<Timestamp> {
        if self.queue.len() <= BACKLOG_TOLD_ABOVE {
            return None;
        }
        let (requests, tokens) = self.queue.ahead_of(urgency);
        let totals = self.totals_of(class);
        let seconds = totals.iter().filter_map(|total| {
            let (waiting, window) = match total.dimension {
                Dimension::RequestsPerMinute => (requests, 60),
                Dimension::RequestsPerSecond => (requests, 1),
                Dimension::TokensPerMinute | Dimension::InputTokensPerMinute => (tokens, 60),
                Dimension::TokensPerSecond => (tokens, 1),
                Dimension::OutputTokensPerMinute
                | Dimension::RequestsPerDay
                | Dimension::TokensPerDay
                | Dimension::MaxConcurrent => return None,
            };
            let beyond = waiting.saturating_sub(total.remaining.max(0).unsigned_abs());
            Some(beyond.saturating_mul(window * 1000) / total.limit.max(1))
        });
        let wait = seconds.max()?;
        Some(self.now + Duration::from_millis(wait))
    }

    fn dismiss_expired(&mut self) {
        while let Some((id, entry)) = self.queue.pop_expired(self.now) {
            self.dismiss(id, &entry);
            self.gains.everything();
        }
    }

    /// Tells a waiting request that it was not its turn, and when it could be.
    fn dismiss(&mut self, id: WaiterId, entry: &Entry) {
        let demand = entry.demand.view(entry.wait());
        let class = self.class_of(&demand);
        let refusal = self.refusal_of(&demand, class);
        let refusal = self.behind_others(refusal, class, entry.urgency);
        self.turns.push_back((id, Turn::Refused(refusal)));
    }
}

impl Entry {
    pub(super) const fn wait(&self) -> Wait {
        Wait {
            until: self.deadline,
            since: self.since,
            urgency: self.urgency,
            tenant: self.tenant,
            weight: self.weight,
            bytes: self.bytes,
            resumed: self.resumed,
        }
    }
}

impl OwnedDemand {
    pub(super) fn view(&self, wait: Wait) -> Demand<'_> {
        Demand {
            model: &self.model,
            model_class: Some(&self.model_class),
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            tags: &self.tags,
            excluded: &self.excluded,
            session: self.session,
            state: &self.state,
            is_retry: false,
            wait: Some(wait),
        }
    }
}
