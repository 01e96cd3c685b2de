//! The sliding window: the charges of the last window's length never sum to more than the limit.
//!
//! Worked example: 60 per minute. Sixty charges at 12:00:30 bar the next one until 12:01:30.

use std::collections::VecDeque;

use crate::SimTime;

/// Charges closer together than this part of the window share one entry, dated at the later one: so
/// the list stays below 60,001 entries whatever the load.
const GRAINS: u64 = 60_000;

#[derive(Debug)]
pub(super) struct Sliding {
    limit: u64,
    window_us: u64,
    grain_us: u64,
    charges: VecDeque<Charge>,
    used: u64,
}

#[derive(Debug)]
struct Charge {
    first: SimTime,
    last: SimTime,
    amount: u64,
}

impl Sliding {
    pub(super) fn new(limit: u64, window_us: u64) -> Self {
        let grain_us = window_us / GRAINS;
        Self {
            limit,
            window_us,
            grain_us,
            charges: VecDeque::new(),
            used: 0,
        }
    }

    fn leaves_at(&self, charge: &Charge) -> SimTime {
        SimTime::from_unix_micros(charge.last.as_unix_micros().saturating_add(self.window_us))
    }

    fn expire(&mut self, now: SimTime) {
        while let Some(oldest) = self.charges.front()
            && self.leaves_at(oldest) <= now
        {
            self.used = self.used.saturating_sub(oldest.amount);
            self.charges.pop_front();
        }
    }

    pub(super) fn ready_at(&mut self, now: SimTime, amount: u64) -> Option<SimTime> {
        self.expire(now);
        if amount > self.limit {
            return None;
        }
        let mut used = self.used;
        if used.saturating_add(amount) <= self.limit {
            return Some(now);
        }
        self.charges.iter().find_map(|charge| {
            used = used.saturating_sub(charge.amount);
            (used.saturating_add(amount) <= self.limit).then(|| self.leaves_at(charge))
        })
    }

    pub(super) fn full_at(&mut self, now: SimTime) -> SimTime {
        self.expire(now);
        self.charges
            .back()
            .map_or(now, |newest| self.leaves_at(newest))
    }

    pub(super) fn charge(&mut self, now: SimTime, amount: u64) {
        self.expire(now);
        if amount == 0 {
            return;
        }
        self.used = self.used.saturating_add(amount);
        let grain_us = u128::from(self.grain_us);
        match self.charges.back_mut() {
            Some(newest) if now.since(newest.first).as_micros() <= grain_us => {
                newest.last = newest.last.max(now);
                newest.amount = newest.amount.saturating_add(amount);
            }
            _ => self.charges.push_back(Charge {
                first: now,
                last: now,
                amount,
            }),
        }
    }

    /// Takes `amount` back from the newest charges.
    pub(super) fn refund(&mut self, now: SimTime, amount: u64) {
        self.expire(now);
        let mut left = amount;
        while left > 0
            && let Some(newest) = self.charges.back_mut()
        {
            let taken = newest.amount.min(left);
            newest.amount -= taken;
            self.used = self.used.saturating_sub(taken);
            left -= taken;
            if newest.amount == 0 {
                self.charges.pop_back();
            }
        }
    }

    pub(super) fn set_limit(&mut self, _: SimTime, limit: u64) {
        self.limit = limit;
    }

    pub(super) fn remaining(&mut self, now: SimTime) -> u64 {
        self.expire(now);
        self.limit.saturating_sub(self.used)
    }
}
