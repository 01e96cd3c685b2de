//! The requests of one class in one lane, shared fairly among tenants.
//!
//! First come, first served would give whoever sends most the most. Instead each tenant's first
//! request has a tag, the virtual time at which it would end if all tenants were served at once in
//! proportion to their weights, and the least tag is served first (self-clocked fair queuing,
//! Golestani 1994). The tag is made of what the tenant *got*, not of what it asked for: a request
//! that is cancelled, or that waits in a lane which is stuck, puts nobody back. Requests of one
//! tenant go in the order of their arrival.
//!
//! A tenant that got something in another lane is put back here by as much, so that spreading
//! requests over lanes gains nothing; but not beyond a wait of [`QUEUE_AGED`], so that nothing
//! starves.
//!
//! Worked example: A sends three requests of 100 tokens, then B, with weight 2, sends three. B's
//! first tag is 50, then 100, 150; A's 100, 200, 300. Served are B, A, B, B, A, A: in the first
//! four B got three times 100 tokens, A once, since a tie goes by arrival.

use std::collections::{BTreeMap, BTreeSet};

use super::entry::WaiterId;
use crate::bounds::{QUEUE_AGED, QUEUE_TOKENS_COUNTED_MAX};
use crate::time::Timestamp;

/// One token at weight 1 in virtual time: fine enough for weights up to some thousands, coarse
/// enough for 10⁷ requests of the greatest size while a class never falls empty. Past that all
/// tags are equal, and requests go by arrival.
const TOKEN: u64 = 1 << 16;

/// The place of a request among those of its tenant.
pub(crate) type Place = (Timestamp, WaiterId);

/// How far a tenant's share is used by a request.
pub(crate) fn cost(tokens: u64, weight: u32) -> u64 {
    let tokens = tokens.min(QUEUE_TOKENS_COUNTED_MAX) + 1;
    (tokens * TOKEN / u64::from(weight.max(1))).max(1)
}

/// The request that goes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Its turn among the heads of other lanes in its class.
    pub(crate) tag: u64,
    pub(crate) place: Place,
    /// Since when a request has waited as head: what its class is compared by. It is never later
    /// than the arrival of the head, and earlier if another came in front of an older one; else
    /// ever smaller requests could keep the class looking young.
    pub(crate) turn: Timestamp,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Fair {
    /// Requests that lost their key, before all others.
    resumed: BTreeSet<Place>,
    tenants: BTreeMap<u64, Tenant>,
    /// One for each tenant: tag and place of its first request.
    order: BTreeSet<(u64, Place, u64)>,
    /// The virtual time of this lane: the greatest tag served. Tenants that come start here.
    floor: u64,
    /// See [`Head::turn`]; `None` while nothing waits.
    turn: Option<Timestamp>,
}

#[derive(Clone, Debug, Default)]
struct Tenant {
    /// The virtual time up to which it has been served.
    base: u64,
    /// Its requests with their costs.
    waiting: BTreeMap<Place, u64>,
}

impl Tenant {
    fn rank(&self, tenant: u64) -> Option<(u64, Place, u64)> {
        let (&place, &cost) = self.waiting.first_key_value()?;
        Some((self.base.saturating_add(cost), place, tenant))
    }
}

impl Fair {
    pub(crate) fn is_empty(&self) -> bool {
        self.resumed.is_empty() && self.tenants.is_empty()
    }

    pub(crate) fn waits(&self, tenant: u64) -> bool {
        self.tenants.contains_key(&tenant)
    }

    pub(crate) fn head(&self) -> Option<Head> {
        let (tag, place) = if let Some(&place) = self.resumed.first() {
            (0, place)
        } else {
            let &(tag, place, _) = self.order.first()?;
            (tag, place)
        };
        let turn = self.turn.map_or(place.0, |turn| turn.min(place.0));
        Some(Head { tag, place, turn })
    }

    /// Adds a request that was served already.
    pub(crate) fn resume(&mut self, place: Place, class_time: u64) {
        if self.is_empty() {
            self.floor = class_time;
        }
        self.resumed.insert(place);
        self.age();
    }

    /// Adds a request. In an empty line the virtual time is that of the class.
    pub(crate) fn push(&mut self, tenant: u64, place: Place, cost: u64, class_time: u64) {
        if self.is_empty() {
            self.floor = class_time;
        }
        let floor = self.floor;
        self.with(tenant, |state| {
            if state.waiting.is_empty() {
                state.base = floor;
            }
            state.waiting.insert(place, cost);
        });
        self.age();
    }

    /// Takes a request out that is not served.
    pub(crate) fn remove(&mut self, tenant: u64, place: Place) {
        let was_head = self.head().is_some_and(|head| head.place == place);
        if !self.resumed.remove(&place) {
            self.with(tenant, |state| {
                state.waiting.remove(&place);
            });
        }
        if was_head {
            self.turn = None;
        }
        self.age();
    }

    /// Takes a request out that is served: what its tenant is charged, and the virtual time.
    pub(crate) fn serve(&mut self, tenant: u64, place: Place) -> (u64, u64) {
        let mut charge = 0;
        if !self.resumed.remove(&place) {
            let first = self.order.first().map(|&(tag, ..)| tag);
            let mut served_until = 0;
            self.with(tenant, |state| {
                charge = state.waiting.remove(&place).unwrap_or(0);
                state.base = state.base.saturating_add(charge);
                served_until = state.base;
            });
            // Should another than the head be served, those that come are not put behind it.
            let reached = first.map_or(served_until, |tag| tag.min(served_until));
            self.floor = self.floor.max(reached);
        }
        self.turn = None;
        self.age();
        (charge, self.floor)
    }

    /// Puts a tenant back for what it got in another lane.
    pub(crate) fn charge(&mut self, now: Timestamp, tenant: u64, charge: u64) {
        self.with(tenant, |state| {
            let young = state
                .waiting
                .first_key_value()
                .is_some_and(|(&(since, _), _)| since + QUEUE_AGED > now);
            if young {
                state.base = state.base.saturating_add(charge);
            }
        });
        self.age();
    }

    /// Changes a tenant and keeps the order true.
    fn with(&mut self, tenant: u64, change: impl FnOnce(&mut Tenant)) {
        let state = self.tenants.entry(tenant).or_default();
        let before = state.rank(tenant);
        change(state);
        let after = state.rank(tenant);
        if before != after {
            if let Some(rank) = before {
                self.order.remove(&rank);
            }
            if let Some(rank) = after {
                self.order.insert(rank);
            }
        }
        if after.is_none() {
            self.tenants.remove(&tenant);
        }
    }

    fn age(&mut self) {
        self.turn = self.head().map(|head| head.turn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_secs(seconds)
    }

    fn place(number: u64) -> Place {
        (at(number), WaiterId::new(number))
    }

    fn served(fair: &mut Fair, tenant_of: impl Fn(u64) -> u64) -> Vec<u64> {
        let mut order = Vec::new();
        while let Some(head) = fair.head() {
            let number = head.place.1.get();
            fair.serve(tenant_of(number), head.place);
            order.push(number);
        }
        order
    }

    #[test]
    fn tenants_are_served_by_weight_and_ties_go_by_arrival() {
        let mut fair = Fair::default();
        for number in 1..=3 {
            fair.push(1, place(number), 100 * TOKEN, 0);
        }
        for number in 4..=6 {
            fair.push(2, place(number), 50 * TOKEN, 0);
        }
        let tenant_of = |number| if number <= 3 { 1 } else { 2 };
        assert_eq!(served(&mut fair, tenant_of), [4, 1, 5, 6, 2, 3]);
        assert!(fair.is_empty());
    }

    #[test]
    fn the_requests_of_one_tenant_go_by_arrival_whatever_their_size() {
        let mut fair = Fair::default();
        for (number, tokens) in [(3, 1), (1, 9000), (2, 40)] {
            fair.push(1, place(number), cost(tokens, 1), 0);
        }
        assert_eq!(served(&mut fair, |_| 1), [1, 2, 3]);
    }

    #[test]
    fn what_is_cancelled_is_not_charged() {
        let mut fair = Fair::default();
        fair.push(1, place(1), cost(1_000_000, 1), 0);
        fair.push(1, place(2), cost(10, 1), 0);
        fair.push(2, place(3), cost(20, 1), 0);
        assert_eq!(fair.head().unwrap().place, place(3));
        fair.remove(1, place(1));
        assert_eq!(fair.head().unwrap().place, place(2));
    }

    #[test]
    fn what_is_resumed_goes_first_and_is_not_charged_again() {
        let mut fair = Fair::default();
        fair.push(1, place(1), cost(1, 1), 0);
        fair.resume(place(2), 0);
        assert_eq!(fair.head().unwrap().place, place(2));
        assert_eq!(fair.serve(1, place(2)), (0, 0));
        assert_eq!(fair.head().unwrap().place, place(1));
    }

    #[test]
    fn a_tenant_is_put_back_for_what_it_got_elsewhere_until_it_has_waited_a_minute() {
        let mut fair = Fair::default();
        fair.push(1, place(1), cost(10, 1), 0);
        fair.push(2, place(2), cost(20, 1), 0);
        fair.charge(at(61), 1, cost(15, 1));
        assert_eq!(fair.head().unwrap().place, place(1), "it has aged");
        fair.charge(at(60), 1, cost(15, 1));
        assert_eq!(fair.head().unwrap().place, place(2));
        fair.charge(at(60), 3, cost(15, 1));
        assert!(!fair.waits(3), "who does not wait is not remembered");
    }

    #[test]
    fn an_older_head_lends_its_age_to_the_one_that_comes_before_it() {
        let mut fair = Fair::default();
        fair.push(1, place(1), cost(1000, 1), 0);
        fair.push(2, place(50), cost(10, 1), 0);
        let head = fair.head().unwrap();
        assert_eq!((head.place, head.turn), (place(50), at(1)));
        fair.remove(1, place(1));
        assert_eq!(fair.head().unwrap().turn, at(1), "the turn is the class's");
        fair.push(1, place(60), cost(1000, 1), 0);
        fair.serve(2, place(50));
        assert_eq!(fair.head().unwrap().turn, at(60));
    }

    #[test]
    fn a_tenant_that_sends_one_at_a_time_has_its_share_and_no_more() {
        let mut fair = Fair::default();
        for number in 1000..1100 {
            fair.push(1, place(number), cost(99, 1), 0);
        }
        let mut tokens = [0_u64; 2];
        for number in 1..400 {
            if !fair.waits(2) {
                fair.push(2, place(number), cost(24, 1), 0);
            }
            let head = fair.head().unwrap();
            if head.place.1.get() < 1000 {
                fair.serve(2, head.place);
                tokens[1] += 25;
            } else {
                fair.serve(1, head.place);
                tokens[0] += 100;
            }
        }
        assert!(tokens[0].abs_diff(tokens[1]) <= 200, "{tokens:?}");
    }

    #[test]
    fn no_size_and_no_weight_is_out_of_range() {
        assert_eq!(cost(0, u32::MAX), 1);
        assert_eq!(cost(5, 0), cost(5, 1));
        assert_eq!(cost(u64::MAX, 1), cost(QUEUE_TOKENS_COUNTED_MAX, 1));
        let mut fair = Fair::default();
        fair.push(1, place(1), u64::MAX, u64::MAX);
        fair.push(2, place(2), u64::MAX, u64::MAX);
        assert_eq!(served(&mut fair, |number| number), [1, 2]);
    }
}
