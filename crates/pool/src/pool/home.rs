//! Keeping a conversation where its prompt cache is, and what is bound to an account on that account.
//!
//! A conversation that changes its organisation pays for its whole prompt again, in money and in quota;
//! one that carries sealed reasoning loses it. So a session has a *home*: the quota that served it last.
//! It is a preference with a price: a home without room is waited for only as long as a rewrite of the
//! cache would take; one that draws more than its share lets sessions go; one that is out is left at once.
//! State that only one account understands is not a preference: its requests go there or nowhere.
//!
//! Worked example: a session with 60,000 tokens in the cache of a key that has room again in 4 s. To
//! write them anew elsewhere takes about 6 s, so it waits; with 20,000 tokens (2 s) it moves.

use std::time::Duration;

use crate::bounds::{BALANCE_FLOOR, CACHE_WRITE_TOKENS_PER_SECOND};
use crate::chooser::Wanted;
use crate::demand::{Demand, Wait};
use crate::id::KeyId;
use crate::key::{Handles, Place};
use crate::lease::{Lease, Ticket};
use crate::meter::Amounts;
use crate::outcome::Usage;
use crate::ready::Candidates;
use crate::ready::least_loaded::Load;
use crate::recent::{RecentLoad, era_of, weight};
use crate::refusal::{Refusal, RefusalReason};
use crate::time::Timestamp;
use crate::unit::Unit;

use super::Pool;
use super::request::traffic;

/// Where a session was served last, and what it left there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pin {
    pub(super) unit: Unit,
    /// Tokens of its last prompt that were read from or written to the cache.
    pub(super) cached: u64,
    /// Tokens of its last prompt.
    pub(super) prompt: u64,
    /// The key that broke off its last answer: it is not asked again at once.
    pub(super) broken: Option<KeyId>,
    /// Its own traffic there.
    pub(super) recent: RecentLoad,
}

/// Where a demand belongs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Home {
    pin: Option<Pin>,
    /// It carries state that only this quota understands.
    bound: Option<Unit>,
    /// A key that it would rather not meet again.
    avoided: Option<KeyId>,
}

impl Home {
    /// The quota that the demand cannot leave.
    pub(super) const fn bound(&self) -> Option<Unit> {
        self.bound
    }

    /// The key that broke off the conversation's last answer. Some clients ask at once for the same answer
    /// without a stream, and should not meet the same trouble.
    pub(super) const fn avoided(&self) -> Option<KeyId> {
        self.avoided
    }

    /// The quota that it would rather not leave.
    pub(super) fn preferred(&self) -> Option<Unit> {
        self.pin.map(|pin| pin.unit)
    }

    /// How long to wait for it rather than to fill another cache.
    pub(super) fn patience(&self) -> Duration {
        let prompt = self.pin.map_or(0, |pin| match pin.cached {
            // Nothing was said of a cache; it may be there all the same.
            0 => pin.prompt,
            cached => cached,
        });
        Duration::from_millis(prompt.saturating_mul(1000) / CACHE_WRITE_TOKENS_PER_SECOND)
    }

    /// What a demand costs at home.
    pub(super) fn amounts_at_home(&self, pool: &Pool, amounts: &Amounts) -> Amounts {
        self.pin.map_or(*amounts, |pin| pool.at_home(amounts, &pin))
    }

    /// When there is room at home.
    pub(super) fn room_at(&self, pool: &Pool, wanted: &Wanted<'_>) -> Option<Timestamp> {
        let unit = self.pin?.unit;
        let amounts = self.amounts_at_home(pool, &wanted.amounts);
        let wanted = &Wanted { amounts, ..*wanted };
        let matching = pool.selector.matching(wanted.model);
        let members = pool.members(unit);
        let appraisals = members
            .iter()
            .filter_map(|&member| pool.keys.get(member))
            .map(|key| pool.appraise(key, wanted, &matching));
        appraisals
            .filter(|appraisal| appraisal.sieve == RefusalReason::NoRoom)
            .filter_map(|appraisal| appraisal.retry_at)
            .min()
    }

    /// The refusal of a demand that waits for its home.
    pub(super) fn awaited(&self, pool: &Pool, wanted: &Wanted<'_>) -> Refusal {
        Refusal {
            reason: RefusalReason::NoRoom,
            retry_at: self.room_at(pool, wanted),
        }
    }

    /// When there is room at home, if home is to be waited for: not where it draws more than its share.
    pub(super) fn awaited_at(&self, pool: &Pool, wanted: &Wanted<'_>) -> Option<Timestamp> {
        self.pin.filter(|pin| pool.is_within_share(pin))?;
        self.room_at(pool, wanted)
    }

    /// Whether the home, which has no room now, has it again before another cache would be filled, and
    /// before the request gives up. A home that draws more than its share is not waited for.
    pub(super) fn is_worth_waiting(
        &self,
        pool: &Pool,
        wanted: &Wanted<'_>,
        wait: Option<&Wait>,
    ) -> bool {
        let (None, Some(wait)) = (self.bound, wait) else {
            return false;
        };
        let until = wait.until.min(pool.now + self.patience());
        self.awaited_at(pool, wanted)
            .is_some_and(|at| at > pool.now && at <= until)
    }
}

impl Pool {
    /// Where a demand belongs, as far as is remembered.
    pub(super) fn home_of(&mut self, demand: &Demand<'_>) -> Home {
        let now = self.now;
        let mut home = Home::default();
        for id in demand.state {
            if let Some(&unit) = self.origins.get(now, id) {
                home.bound = Some(self.resolve(unit));
                break;
            }
        }
        if self.affinity.enabled
            && let Some(session) = demand.session
            && let Some(&pin) = self.pins.get(now, &session)
        {
            let unit = self.resolve(pin.unit);
            home.avoided = pin.broken;
            home.pin = pin.broken.is_none().then_some(Pin { unit, ..pin });
        }
        home
    }

    /// The owner of a quota today: a key may have been found to be of a group since.
    pub(super) fn resolve(&self, unit: Unit) -> Unit {
        match unit {
            Unit::Key(handle) => self
                .keys
                .get(handle)
                .and_then(|key| key.group)
                .map_or(unit, Unit::Group),
            Unit::Group(_) => unit,
        }
    }

    pub(super) fn members(&self, unit: Unit) -> Handles {
        match unit {
            Unit::Key(handle) => std::iter::once(handle).collect(),
            Unit::Group(handle) => self
                .groups
                .get(handle)
                .map(|group| group.members.iter().copied().collect())
                .unwrap_or_default(),
        }
    }

    /// A lease at home, if there is room and home does not draw more than its share.
    pub(super) fn grant_at_home(
        &mut self,
        demand: &Demand<'_>,
        wanted: &Wanted<'_>,
        home: &Home,
    ) -> Option<Lease> {
        let pin = home.pin?;
        let index = self.choice_at_home(wanted, home)?;
        let amounts = self.at_home(&wanted.amounts, &pin);
        self.grant(index, demand, &Wanted { amounts, ..*wanted })
    }

    /// The key at home that has room, if home does not draw more than its share.
    pub(super) fn choice_at_home(&self, wanted: &Wanted<'_>, home: &Home) -> Option<usize> {
        let pin = home.pin?;
        let bound_elsewhere = home.bound.is_some_and(|unit| unit != pin.unit);
        if bound_elsewhere || self.rotation.is_some() || self.is_occupied() {
            return None;
        }
        if home.bound.is_none() && !self.is_within_share(&pin) {
            return None;
        }
        let wanted = Wanted {
            amounts: self.at_home(&wanted.amounts, &pin),
            only: Some(pin.unit),
            ..*wanted
        };
        self.best_of(pin.unit, &wanted)
    }

    /// What a demand costs where its cache is.
    fn at_home(&self, amounts: &Amounts, pin: &Pin) -> Amounts {
        if !self.cache_reads_free {
            return *amounts;
        }
        Amounts {
            // A turn adds something to the prompt: a hundredth at least.
            input_tokens: amounts
                .input_tokens
                .saturating_sub(pin.cached)
                .max(amounts.input_tokens / 100),
            ..*amounts
        }
    }

    /// The least loaded key of a quota that takes the demand.
    pub(super) fn best_of(&self, unit: Unit, wanted: &Wanted<'_>) -> Option<usize> {
        let matching = self.selector.matching(wanted.model);
        let mut chooser = self.chooser(wanted);
        let mut best: Option<(Load, usize)> = None;
        for member in self.members(unit) {
            let usable = self
                .keys
                .get(member)
                .is_some_and(|key| matching.contains(&key.class) && key.place != Place::Out);
            let index = member.index();
            if usable && chooser.fits(index) {
                let load = chooser.load(index);
                if best.is_none_or(|(least, _)| load < least) {
                    best = Some((load, index));
                }
            }
        }
        best.map(|(_, index)| index)
    }

    /// Whether what others draw from a session's home is at most so much above the mean as is allowed. Its
    /// own traffic does not count: to carry that along would relieve nobody.
    fn is_within_share(&self, pin: &Pin) -> bool {
        let era = era_of(self.now);
        let all = match pin.unit {
            Unit::Key(handle) => self.keys.get(handle).map(|key| key.recent),
            Unit::Group(handle) => self.groups.get(handle).map(|group| group.recent),
        };
        let units = self.unit_count();
        let Some(all) = all.filter(|_| units > 1) else {
            return true;
        };
        #[expect(clippy::cast_precision_loss, reason = "a share is compared")]
        let mean = self.recent.weighted_in(era) / units as f64;
        let others = all.weighted_in(era) - pin.recent.weighted_in(era);
        others <= self.affinity.load_factor * mean + BALANCE_FLOOR * weight(self.now)
    }

    /// Quotas that there are: groups with members, and keys without a group.
    fn unit_count(&self) -> usize {
        self.keys.len().saturating_sub(self.grouped_keys) + self.groups_in_use
    }

    /// A session's home is where it was granted last.
    pub(super) fn settle_in(&mut self, demand: &Demand<'_>, unit: Unit, amounts: &Amounts) {
        let Some(session) = demand.session.filter(|_| self.affinity.enabled) else {
            return;
        };
        let now = self.now;
        let known = self.pins.get(now, &session).copied();
        let stays = known.filter(|pin| self.resolve(pin.unit) == unit);
        let counts = &mut self.affinity_counts;
        match (known, stays) {
            (None, _) => counts.started += 1,
            (Some(_), None) => counts.moved += 1,
            (Some(_), Some(_)) => counts.kept += 1,
        }
        let fresh = Pin {
            unit,
            cached: 0,
            prompt: 0,
            recent: RecentLoad::default(),
            broken: None,
        };
        let mut pin = stays.map_or(fresh, |pin| Pin {
            unit,
            broken: None,
            ..pin
        });
        pin.recent.add(now, traffic(amounts));
        match self.pins.touch(now, &session) {
            Some(kept) => *kept = pin,
            None => {
                self.pins.insert(now, session, pin);
            }
        }
    }

    /// A session's own traffic was other than reserved.
    pub(super) fn correct_traffic(&mut self, ticket: &Ticket, correction: f64) {
        if let Some(session) = ticket.session
            && let Some(pin) = self.pins.get_mut(&session)
        {
            pin.recent.add(ticket.granted_at, correction);
        }
    }

    /// Remembers what a success left on its quota: the prompt in its cache, and the state it made.
    pub(super) fn remember_home(&mut self, ticket: &Ticket, usage: &Usage, made: &[u64]) {
        let now = self.now;
        let unit = ticket.group.map_or(Unit::Key(ticket.slot), Unit::Group);
        for &id in ticket.state.iter().chain(made) {
            self.origins.insert(now, id, unit);
        }
        let home = self.resolve(unit);
        if let Some(session) = ticket.session
            && let Some(pin) = self.pins.get(now, &session).map(|pin| pin.unit)
            && self.resolve(pin) == home
            && let Some(pin) = self.pins.touch(now, &session)
        {
            let cached = usage.cache_read_tokens;
            pin.cached = cached.saturating_add(usage.cache_write_tokens);
            pin.prompt = usage.prompt();
        }
    }

    /// An answer broke off: the conversation goes on elsewhere.
    pub(super) fn leave_home(&mut self, ticket: &Ticket) {
        let now = self.now;
        if let Some(session) = ticket.session
            && let Some(&pin) = self.pins.get(now, &session)
        {
            let broken = Some(ticket.key);
            self.pins.insert(now, session, Pin { broken, ..pin });
        }
    }

    /// Whether the pool knows which quota made a state that a request carries.
    pub fn knows_state(&mut self, now: Timestamp, state: &[u64]) -> bool {
        self.begin(now);
        state
            .iter()
            .any(|id| self.origins.get(self.now, id).is_some())
    }
}
