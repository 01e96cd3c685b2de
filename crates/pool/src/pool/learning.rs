//! What answers teach: limits and what is left of them, who owns a quota, and how much a running answer
//! has used.

use crate::bounds::GROUPS_MAX;
use crate::group::Group;
use crate::id::KeyId;
use crate::learned::{Answered, Lessons};
use crate::lease::{Lease, Ticket};
use crate::limits::Limits;
use crate::meter::Amounts;
use crate::meters::Meters;
use crate::outcome::{Charge, Outcome, Suspicion, Verdict};
use crate::output::AlertKind;
use crate::report::{Lesson, QuotaOwner, QuotaReading};
use crate::slab::Handle;
use crate::time::Timestamp;

use super::Pool;

impl Pool {
    /// Takes what the head of an answer (or an error) states about the quota behind a lease. Hand it in as
    /// soon as the head is there: what is left is the truth of that moment.
    pub fn handle_quota_report(
        &mut self,
        now: Timestamp,
        lease: &Lease,
        readings: &[QuotaReading],
    ) {
        self.take_report(now, lease, readings, true);
    }

    /// As [`Self::handle_quota_report`], of an answer that refuses the request: what it says is left does not
    /// count that one.
    pub fn handle_refusal_report(
        &mut self,
        now: Timestamp,
        lease: &Lease,
        readings: &[QuotaReading],
    ) {
        self.take_report(now, lease, readings, false);
    }

    fn take_report(
        &mut self,
        now: Timestamp,
        lease: &Lease,
        readings: &[QuotaReading],
        admitted: bool,
    ) {
        self.begin(now);
        let Some(ticket) = lease.ticket(&self.drop_box) else {
            return;
        };
        let (now, counting, correct) = (self.now, self.counting, self.correct_limits);
        let answered = Answered {
            lease: ticket.number,
            granted_at: ticket.granted_at,
            next_lease: self.next_lease,
            reserved: ticket.reserved,
            admitted,
            mark: ticket.mark,
        };
        let (key, slot, class, group) = (ticket.key, ticket.slot, ticket.class, ticket.group);
        let Some(owner) = self.owner_meters(slot, group) else {
            return;
        };
        let lessons = owner.report(now, class, &answered, readings, correct, counting);
        self.refused = None;
        self.tell_lessons(key, &lessons);
        self.gained(slot);
        if let Some(group) = group {
            self.wake_group(group);
        } else {
            self.replace(slot);
        }
    }

    /// The meters of whoever owns the quota that a lease was granted on.
    fn owner_meters(&mut self, slot: Handle, group: Option<Handle>) -> Option<&mut Meters> {
        match group {
            Some(group) => self.groups.get_mut(group).map(|group| &mut group.meters),
            None => self.keys.get_mut(slot).map(|key| &mut key.meters),
        }
    }

    fn tell_lessons(&mut self, key: KeyId, lessons: &Lessons) {
        for &(dimension, lesson) in lessons {
            let (kind, message) = match lesson {
                Lesson::TooHigh { from, to } | Lesson::TooLow { from, to } => (
                    AlertKind::LimitCorrected,
                    format!(
                        "{dimension} was taken to be {from}; the provider states {to}, which is used from now on"
                    ),
                ),
                Lesson::KeptShare { declared, stated } => (
                    AlertKind::LimitCorrected,
                    format!(
                        "{dimension} is declared as {declared}; the provider states {stated}; the declared share is kept"
                    ),
                ),
                Lesson::ForeignUse { requests, limit } => (
                    AlertKind::ForeignUse,
                    format!(
                        "somebody else uses its quota: {requests} requests of {limit} a minute that did not pass through here"
                    ),
                ),
            };
            self.alert(key, kind, message);
        }
    }

    /// Takes who owns a key's quota, as an answer named it. Keys with one owner share one quota, whatever
    /// they were taken for: they are put into one group, unless the configuration put them elsewhere.
    pub fn handle_owner(&mut self, now: Timestamp, key: KeyId, owner: &QuotaOwner) {
        self.begin(now);
        let Some(&handle) = self.by_id.get(&key) else {
            return;
        };
        let Some(known) = self.keys.get_mut(handle) else {
            return;
        };
        if known.owner == Some(owner.id) {
            return;
        }
        known.owner = Some(owner.id);
        if let Some(group) = known.group
            && self.groups.get(group).is_some_and(|group| group.is_learned)
        {
            // It has changed hands.
            self.regroup(handle, None);
        }
        let of_same_owner = |pool: &Self| -> Vec<Handle> {
            let keys = pool.keys.iter();
            keys.filter(|(_, key)| key.owner == Some(owner.id))
                .map(|(handle, _)| handle)
                .collect()
        };
        let sharing = of_same_owner(self);
        if sharing.len() < 2 {
            return;
        }
        self.tell_shared(key, owner, &sharing);
        let free = |pool: &Self, handle: &Handle| {
            pool.keys
                .get(*handle)
                .is_some_and(|key| key.config.quota_group.is_none())
        };
        let movable: Vec<Handle> = sharing
            .iter()
            .copied()
            .filter(|handle| free(self, handle))
            .collect();
        let declared = sharing.iter().find_map(|&handle| {
            let key = self.keys.get(handle)?;
            key.config.quota_group.as_ref()?;
            key.group
        });
        // A group that the configuration names takes the stray keys in.
        let group = declared.or_else(|| self.learned_group(owner, &movable));
        if let Some(group) = group {
            for handle in movable {
                self.regroup(handle, Some(group));
            }
        }
    }

    fn tell_shared(&mut self, key: KeyId, owner: &QuotaOwner, sharing: &[Handle]) {
        let keys = || sharing.iter().filter_map(|&handle| self.keys.get(handle));
        let first = keys().next().and_then(|key| key.group);
        if first.is_some() && keys().all(|key| key.group == first) {
            return;
        }
        let mut declared = keys().filter_map(|key| key.config.quota_group.as_deref());
        let one = declared.next();
        let count = sharing.len();
        let counted = match declared.find(|&other| Some(other) != one) {
            // No key leaves a group of the configuration's.
            Some(_) => "the configuration puts them into different quota groups, which are counted apart; put them \
                        into one"
                .to_owned(),
            None => format!("they are counted as one quota, not as {count}"),
        };
        let message = format!(
            "{count} keys are of one {} and share its quota; {counted}",
            owner.name
        );
        self.alert(key, AlertKind::SharedQuota, message);
    }

    /// The group of an owner whose keys no configured group holds: made of what those keys know.
    fn learned_group(&mut self, owner: &QuotaOwner, members: &[Handle]) -> Option<Handle> {
        let name = format!("learned: {}", owner.name);
        if let Some(&known) = self.groups_by_name.get(&name) {
            return Some(known);
        }
        if self.groups.len() >= GROUPS_MAX || members.len() < 2 {
            return None;
        }
        let limits = members
            .iter()
            .filter_map(|&member| self.keys.get(member))
            .fold(Limits::default(), |limits, key| {
                limits.larger(&key.config.limits)
            });
        let mut meters = Meters::new(self.now, &limits, self.counting, self.next_lease);
        let next_lease = self.next_lease;
        // The busiest key knows most about the quota.
        let busiest = members
            .iter()
            .copied()
            .max_by_key(|&member| self.keys.get(member).map_or(0, |key| key.last_grant));
        if let Some(key) = busiest.and_then(|member| self.keys.get_mut(member)) {
            meters.inherit(key.meters.take_learned(next_lease));
        }
        let mut group = Group::new(name.clone(), meters);
        group.is_learned = true;
        let handle = self.groups.insert(group);
        self.groups_by_name.insert(name, handle);
        Some(handle)
    }

    /// Puts a key into a group, or out of any.
    fn regroup(&mut self, handle: Handle, group: Option<Handle>) {
        self.lift(handle);
        let next_lease = self.next_lease;
        let Some(key) = self.keys.get_mut(handle) else {
            return;
        };
        let old = std::mem::replace(&mut key.group, group);
        // Its own meters no longer own the quota.
        key.meters.take_learned(next_lease);
        if old != group {
            self.leave_group(handle, old);
            self.join_group(handle, group);
        }
        self.refresh(handle, "its quota is shared");
        self.gains.everything();
    }

    /// A running answer has written so many tokens: what exceeds its reservation is counted now, since
    /// the provider counts it now.
    pub fn handle_progress(&mut self, now: Timestamp, lease: &mut Lease, output_tokens: u64) {
        self.begin(now);
        let now = self.now;
        let Some(ticket) = lease.ticket_mut(&self.drop_box) else {
            return;
        };
        let beyond = output_tokens.saturating_sub(ticket.reserved.output_tokens);
        if beyond == 0 || ticket.asked.output_tokens == 0 {
            // Nothing new, or output is free of limits.
            return;
        }
        let more = Amounts {
            requests: 0,
            input_tokens: 0,
            output_tokens: beyond,
        };
        ticket.reserved = ticket.reserved.plus(&more);
        let (number, class) = (ticket.number, ticket.class);
        let (slot, group) = (ticket.slot, ticket.group);
        if let Some(key) = self.keys.get_mut(slot) {
            key.meters.reserve_more(now, number, &more);
        }
        if let Some(group) = group.and_then(|group| self.groups.get_mut(group)) {
            group.meters.reserve_more(now, number, &more);
        }
        if let Some(owner) = self.owner_meters(slot, group) {
            owner.reserve_more_of_class(now, class, number, &more);
        }
    }

    /// What a settled lease teaches about estimates, growth and homes.
    pub(super) fn learn_from(&mut self, ticket: &Ticket, outcome: &Outcome) {
        let now = self.now;
        if outcome.verdict == Verdict::Success {
            self.remember_home(ticket, &outcome.usage, &outcome.made_state);
            if let Charge::Actual {
                input_tokens,
                output_tokens,
            } = outcome.charge
            {
                let prompt = outcome.usage.prompt();
                let input = if prompt == 0 { input_tokens } else { prompt };
                let asked = (ticket.asked.input_tokens, ticket.asked.output_tokens);
                self.estimates
                    .learn(ticket.class.number(), asked, (input, output_tokens));
            }
        }
        if matches!(
            outcome.verdict,
            Verdict::Fault(_) | Verdict::Suspected(Suspicion::Fault(_))
        ) {
            self.leave_home(ticket);
        }
        let granted_at = ticket.granted_at;
        let Some(owner) = self.owner_meters(ticket.slot, ticket.group) else {
            return;
        };
        // The settled one counts, too: it was among those that the bound let go.
        let in_flight = owner.in_flight().saturating_add(1);
        match outcome.verdict {
            Verdict::Success => owner.flow.succeeded(now, in_flight),
            Verdict::RateLimited { .. } if outcome.grew_too_fast => {
                owner.slow_down(now, granted_at);
            }
            _ => {}
        }
    }

    /// How far estimates are off, as a share of the truth; `None` before anything was learned.
    #[must_use]
    pub fn estimate_error(&self) -> Option<f64> {
        self.estimates.error_ratio()
    }
}
