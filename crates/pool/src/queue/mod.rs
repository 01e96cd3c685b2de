//! Requests that wait for room.
//!
//! A request that no key can take now, but one will before its deadline, waits here instead of
//! failing. The queue is data alone: it knows no keys. Whoever has room asks for the [`heads`] of
//! the lanes, in the order in which they should be served, and takes the first that fits.
//!
//! The order: within a lane, the class whose head has waited longest, where each class less urgent
//! counts 15 s less ([`Lane`](lane::Lane)); within a class, tenants by what they got in proportion
//! to their weights ([`Fair`](fair::Fair)), whichever lanes they use; of a tenant, by arrival. It
//! does not change with time, only with what comes and goes.
//!
//! What it prevents: a tenant that takes all room by sending more, in one lane or in many; a
//! request that starves because it is large, not urgent, or of a tenant with little weight; a
//! request that no key can take and that holds up the others; memory without bound, and an answer
//! to somebody who has gone.
//!
//! Worked example: lane `m` (1000 tokens) holds requests 1 and 2 of tenant A and 3 of tenant B,
//! lane `n` holds 4 of A. `heads` gives 1 and 4. Once 1 is taken, A has had its turn: `heads`
//! gives 3, then 4.
//!
//! Each operation is logarithmic in the number of requests that wait, except that taking one also
//! visits the other lanes in which its tenant waits, and [`heads`] visits all lanes. Nothing is
//! kept of a tenant or lane for which nothing waits.
//!
//! [`heads`]: Queue::heads

mod entry;
mod fair;
mod lane;
mod per_urgency;
#[cfg(test)]
mod properties;

use std::collections::{BTreeMap, BTreeSet};

use smallvec::SmallVec;

pub use entry::WaiterId;
pub(crate) use entry::{Entry, LaneKey, OwnedDemand};
use fair::Place;
use lane::Lane;
use per_urgency::PerUrgency;

use crate::time::Timestamp;
use crate::urgency::Urgency;

/// Why a request cannot wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// As many requests wait as may.
    Length,
    /// Those that wait, and this one, hold more memory than they may.
    Bytes,
}

#[derive(Debug)]
pub(crate) struct Queue {
    length_max: usize,
    bytes_max: u64,
    last_id: u64,
    waiters: BTreeMap<WaiterId, Waiter>,
    deadlines: BTreeSet<(Timestamp, WaiterId)>,
    arrivals: BTreeSet<Place>,
    /// Lanes by number, since a lane's key is long to compare.
    lanes: BTreeMap<u64, Lane>,
    lane_numbers: BTreeMap<LaneKey, u64>,
    last_lane: u64,
    /// Where each tenant waits.
    accounts: BTreeSet<(Urgency, u64, u64)>,
    /// The virtual time of each class: that of the lane which is ahead. New lanes start there.
    times: PerUrgency<u64>,
    counts: PerUrgency<usize>,
    tokens_of: PerUrgency<u64>,
    bytes: u64,
    tokens: u128,
    /// Tenants in lanes that were visited, so that a test can tell how work grows.
    #[cfg(test)]
    visits: u64,
}

#[derive(Debug)]
struct Waiter {
    entry: Entry,
    lane: u64,
}

impl Queue {
    pub(crate) fn new(length_max: usize, bytes_max: u64) -> Self {
        Self {
            length_max,
            bytes_max,
            last_id: 0,
            waiters: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            arrivals: BTreeSet::new(),
            lanes: BTreeMap::new(),
            lane_numbers: BTreeMap::new(),
            last_lane: 0,
            accounts: BTreeSet::new(),
            times: PerUrgency::default(),
            counts: PerUrgency::default(),
            tokens_of: PerUrgency::default(),
            bytes: 0,
            tokens: 0,
            #[cfg(test)]
            visits: 0,
        }
    }

    /// New bounds. Requests that wait already stay, even if they are beyond them.
    pub(crate) const fn set_bounds(&mut self, length_max: usize, bytes_max: u64) {
        self.length_max = length_max;
        self.bytes_max = bytes_max;
    }

    /// Adds a request, or says why it cannot wait. One whose deadline has passed may be added; it
    /// is then the next that [`pop_expired`](Self::pop_expired) gives.
    pub(crate) fn push(&mut self, entry: Entry) -> Result<WaiterId, Full> {
        if self.waiters.len() >= self.length_max {
            return Err(Full::Length);
        }
        let bytes = self
            .bytes
            .checked_add(entry.bytes)
            .filter(|&bytes| bytes <= self.bytes_max)
            .ok_or(Full::Bytes)?;
        self.bytes = bytes;
        self.tokens += u128::from(entry.tokens);
        let of_urgency = self.tokens_of.get_mut(entry.urgency);
        *of_urgency = of_urgency.saturating_add(entry.tokens);
        *self.counts.get_mut(entry.urgency) += 1;
        self.last_id += 1;
        let id = WaiterId::new(self.last_id);
        self.deadlines.insert((entry.deadline, id));
        self.arrivals.insert((entry.since, id));
        let lane = self.lane_for(&entry.lane);
        let time = *self.times.get(entry.urgency);
        if let Some(lanes) = self.lanes.get_mut(&lane) {
            let class = lanes.class_mut(entry.urgency);
            if entry.resumed {
                class.resume((entry.since, id), time);
            } else {
                let cost = fair::cost(entry.tokens, entry.weight);
                class.push(entry.tenant, (entry.since, id), cost, time);
                self.accounts.insert((entry.urgency, entry.tenant, lane));
            }
        }
        self.waiters.insert(id, Waiter { entry, lane });
        Ok(id)
    }

    /// Takes out a request that is served now: its tenant is charged for it.
    pub(crate) fn take(&mut self, now: Timestamp, id: WaiterId) -> Option<Entry> {
        let Waiter { entry, lane } = self.forget(id)?;
        let class = self.lanes.get_mut(&lane)?.class_mut(entry.urgency);
        let (charge, time) = class.serve(entry.tenant, (entry.since, id));
        self.tidy(&entry, lane);
        let class_time = self.times.get_mut(entry.urgency);
        *class_time = time.max(*class_time);
        let account = |lane| (entry.urgency, entry.tenant, lane);
        for &(_, _, other) in self.accounts.range(account(0)..=account(u64::MAX)) {
            if charge > 0
                && other != lane
                && let Some(lane) = self.lanes.get_mut(&other)
            {
                #[cfg(test)]
                {
                    self.visits += 1;
                }
                lane.class_mut(entry.urgency)
                    .charge(now, entry.tenant, charge);
            }
        }
        self.rest(entry.urgency);
        Some(entry)
    }

    /// Takes out a request that is not served: its client has gone, or it failed.
    pub(crate) fn remove(&mut self, id: WaiterId) -> Option<Entry> {
        let Waiter { entry, lane } = self.forget(id)?;
        let class = self.lanes.get_mut(&lane)?.class_mut(entry.urgency);
        class.remove(entry.tenant, (entry.since, id));
        self.tidy(&entry, lane);
        self.rest(entry.urgency);
        Some(entry)
    }

    pub(crate) fn get(&self, id: WaiterId) -> Option<&Entry> {
        self.waiters.get(&id).map(|waiter| &waiter.entry)
    }

    /// The head of each lane, in the order in which they should be served.
    pub(crate) fn heads(&self) -> SmallVec<[WaiterId; 8]> {
        lane::merge(self.lanes.values().filter_map(Lane::head)).collect()
    }

    /// The request of a lane that should be served first.
    pub(crate) fn head_of(&self, lane: &LaneKey) -> Option<WaiterId> {
        let lane = self.lanes.get(self.lane_numbers.get(lane)?)?;
        let (_, head) = lane.head()?;
        Some(head.place.1)
    }

    /// Takes out the request whose deadline passed first, if one's has.
    pub(crate) fn pop_expired(&mut self, now: Timestamp) -> Option<(WaiterId, Entry)> {
        let &(deadline, id) = self.deadlines.first()?;
        if deadline > now {
            return None;
        }
        Some((id, self.remove(id)?))
    }

    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// Takes out all requests of a class, of a tenant, or of both; with neither, all. In the order
    /// in which they came in.
    pub(crate) fn clear(
        &mut self,
        urgency: Option<Urgency>,
        tenant: Option<u64>,
    ) -> Vec<(WaiterId, Entry)> {
        self.drain_matching(|_, entry| {
            urgency.is_none_or(|urgency| urgency == entry.urgency)
                && tenant.is_none_or(|tenant| tenant == entry.tenant)
        })
    }

    /// Takes out all requests that match, in the order in which they came in.
    pub(crate) fn drain_matching(
        &mut self,
        mut matches: impl FnMut(WaiterId, &Entry) -> bool,
    ) -> Vec<(WaiterId, Entry)> {
        let matching: Vec<WaiterId> = self
            .waiters
            .iter()
            .filter(|&(&id, waiter)| matches(id, &waiter.entry))
            .map(|(&id, _)| id)
            .collect();
        matching
            .into_iter()
            .filter_map(|id| Some((id, self.remove(id)?)))
            .collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiters.len()
    }

    #[cfg(test)]
    fn lane_count(&self) -> usize {
        self.lanes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// The memory held by those that wait.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What those that wait will use.
    pub(crate) fn tokens(&self) -> u64 {
        u64::try_from(self.tokens).unwrap_or(u64::MAX)
    }

    /// How many wait in each class, the most urgent one first.
    pub(crate) const fn by_urgency(&self) -> [usize; 5] {
        self.counts.to_array()
    }

    /// The arrival of the request that came first.
    pub(crate) fn oldest_since(&self) -> Option<Timestamp> {
        self.arrivals.first().map(|&(since, _)| since)
    }

    /// Requests and tokens of those that are at least as urgent.
    pub(crate) fn ahead_of(&self, urgency: Urgency) -> (u64, u64) {
        let as_urgent = |other: Urgency| other.rank() <= urgency.rank();
        let requests = self.counts.iter().filter(|&(other, _)| as_urgent(other));
        let tokens = self.tokens_of.iter().filter(|&(other, _)| as_urgent(other));
        let whole = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        (
            requests.map(|(_, &count)| whole(count)).sum(),
            tokens.fold(0, |sum: u64, (_, &count)| sum.saturating_add(count)),
        )
    }

    fn lane_for(&mut self, key: &LaneKey) -> u64 {
        if let Some(&number) = self.lane_numbers.get(key) {
            return number;
        }
        self.last_lane += 1;
        self.lane_numbers.insert(key.clone(), self.last_lane);
        self.lanes.insert(self.last_lane, Lane::new(key.clone()));
        self.last_lane
    }

    /// Strikes a request from everything but its lane.
    fn forget(&mut self, id: WaiterId) -> Option<Waiter> {
        let waiter = self.waiters.remove(&id)?;
        let entry = &waiter.entry;
        self.deadlines.remove(&(entry.deadline, id));
        self.arrivals.remove(&(entry.since, id));
        self.bytes -= entry.bytes;
        self.tokens -= u128::from(entry.tokens);
        let of_urgency = self.tokens_of.get_mut(entry.urgency);
        *of_urgency = of_urgency.saturating_sub(entry.tokens);
        *self.counts.get_mut(entry.urgency) -= 1;
        Some(waiter)
    }

    /// Drops what an entry that left its lane has left behind.
    fn tidy(&mut self, entry: &Entry, number: u64) {
        let Some(lane) = self.lanes.get_mut(&number) else {
            return;
        };
        if !lane.class_mut(entry.urgency).waits(entry.tenant) {
            self.accounts.remove(&(entry.urgency, entry.tenant, number));
        }
        if lane.is_empty() {
            self.lane_numbers.remove(&lane.key);
            self.lanes.remove(&number);
        }
    }

    /// While nobody of a class waits, its virtual time starts afresh and so never runs out.
    fn rest(&mut self, urgency: Urgency) {
        if *self.counts.get(urgency) == 0 {
            *self.times.get_mut(urgency) = 0;
        }
    }
}
