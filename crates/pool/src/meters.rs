//! All limits of one key, or of one quota group: its meters, and its requests in flight.

use smallvec::SmallVec;

use crate::bounds::CONCURRENCY_RETRY;
use crate::config::Window;
use crate::limits::{Dimension, Limits};
use crate::meter::{Amounts, Meter};
use crate::snapshot::MeterSnapshot;
use crate::time::Timestamp;

#[derive(Clone, Debug)]
pub(crate) struct Meters {
    each: SmallVec<[Meter; 3]>,
    in_flight: u32,
    max_concurrent: Option<u32>,
}

/// Why a demand does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// It exceeds a whole limit.
    TooLarge(Dimension),
    /// There is room at that instant, as far as is known.
    Until(Dimension, Timestamp),
}

impl Meters {
    pub(crate) fn new(now: Timestamp, limits: &Limits, window: Window, next_lease: u64) -> Self {
        let mut meters = Self {
            each: SmallVec::new(),
            in_flight: 0,
            max_concurrent: None,
        };
        meters.reconfigure(now, limits, window, next_lease);
        meters
    }

    /// Other limits. Dimensions that stay keep what was used; new ones count from now on.
    pub(crate) fn reconfigure(
        &mut self,
        now: Timestamp,
        limits: &Limits,
        window: Window,
        next_lease: u64,
    ) {
        self.max_concurrent = limits.max_concurrent;
        self.each
            .retain(|meter| limits.get(meter.dimension()).is_some());
        for dimension in Dimension::METERED {
            let Some(limit) = limits.get(dimension) else {
                continue;
            };
            match self
                .each
                .iter_mut()
                .find(|meter| meter.dimension() == dimension)
            {
                Some(meter) => meter.reconfigure(now, limit, window),
                None => {
                    self.each
                        .push(Meter::new(now, dimension, limit, window, next_lease));
                }
            }
        }
        self.each.sort_by_key(Meter::dimension);
    }

    pub(crate) const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    pub(crate) fn is_limited(&self) -> bool {
        !self.each.is_empty() || self.max_concurrent.is_some()
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.max_concurrent.is_some_and(|max| self.in_flight >= max)
    }

    pub(crate) fn fits(&self, now: Timestamp, amounts: &Amounts) -> bool {
        !self.is_busy() && self.each.iter().all(|meter| meter.fits(now, amounts))
    }

    /// When the meters alone could take the amounts; `None` when they never can.
    pub(crate) fn metered_until(&self, now: Timestamp, amounts: &Amounts) -> Option<Timestamp> {
        self.each.iter().try_fold(now, |latest, meter| {
            Some(latest.max(meter.ready_at(now, amounts)?))
        })
    }

    /// What stands against the amounts: first what no waiting cures, then what lasts longest.
    pub(crate) fn shortage(&self, now: Timestamp, amounts: &Amounts) -> Option<Shortage> {
        if let Some(meter) = self.each.iter().find(|meter| !meter.can_ever_fit(amounts)) {
            return Some(Shortage::TooLarge(meter.dimension()));
        }
        let busy = self
            .is_busy()
            .then(|| (now + CONCURRENCY_RETRY, Dimension::MaxConcurrent));
        let waits = self.each.iter().filter_map(|meter| {
            meter
                .ready_at(now, amounts)
                .map(|until| (until, meter.dimension()))
        });
        let longest = waits.chain(busy).max_by_key(|&(until, _)| until);
        longest
            .filter(|&(until, _)| until > now)
            .map(|(until, dimension)| Shortage::Until(dimension, until))
    }

    pub(crate) fn reserve(&mut self, now: Timestamp, amounts: &Amounts) {
        self.in_flight = self.in_flight.saturating_add(1);
        for meter in &mut self.each {
            meter.reserve(now, amounts);
        }
    }

    /// Replaces what lease number `lease` reserved at `granted_at` by what it really used.
    pub(crate) fn settle(
        &mut self,
        now: Timestamp,
        lease: (u64, Timestamp),
        reserved: &Amounts,
        used: &Amounts,
    ) {
        self.in_flight = self.in_flight.saturating_sub(1);
        for meter in &mut self.each {
            meter.settle(now, lease, reserved, used);
        }
    }

    /// Used share of the tightest limit; above 1 in debt, 0 without limits.
    pub(crate) fn load(&self, now: Timestamp) -> f64 {
        let concurrency = self
            .max_concurrent
            .map_or(0.0, |max| f64::from(self.in_flight) / f64::from(max));
        self.each
            .iter()
            .fold(concurrency, |load, meter| load.max(meter.load(now)))
    }

    /// The meter of one dimension as it is now, if that dimension is limited.
    pub(crate) fn snapshot_of(
        &self,
        dimension: Dimension,
        now: Timestamp,
    ) -> Option<MeterSnapshot> {
        let meter = self
            .each
            .iter()
            .find(|meter| meter.dimension() == dimension)?;
        Some(meter.snapshot(now))
    }

    pub(crate) fn snapshot(&self, now: Timestamp) -> Vec<MeterSnapshot> {
        let concurrency = self.max_concurrent.map(|max| MeterSnapshot {
            dimension: Dimension::MaxConcurrent,
            limit: u64::from(max),
            used: 0,
            reserved: u64::from(self.in_flight),
            remaining: i64::from(max) - i64::from(self.in_flight),
            resets_at: now,
        });
        self.each
            .iter()
            .map(|meter| meter.snapshot(now))
            .chain(concurrency)
            .collect()
    }
}
