//! One counter with a limit: the four algorithms by which providers count, behind one face.
//!
//! A charge is always taken, even beyond the limit: a provider counts what it has already served.
//! Whether a request may begin is asked beforehand, with [`Limiter::ready_at`].

mod bucket;
mod day;
mod fixed_window;
mod slices;
mod sliding;
#[cfg(test)]
mod tests;

use bucket::Bucket;
use fixed_window::{FixedWindow, Turn};
use slices::Slices;
use sliding::Sliding;

use crate::{Algorithm, DayReset, Dimension, SimTime};

/// Minutes in a day.
const DAY_MINUTES: u64 = 1440;

/// A minute that is not shortened, in microseconds: only then has a day a midnight in some zone.
const REAL_MINUTE_US: u64 = 60_000_000;

/// By which windows an organisation counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counting {
    pub(crate) algorithm: Algorithm,
    /// The length of the simulated minute in microseconds.
    pub(crate) minute_us: u64,
    /// The midnight of daily counters, where there is one.
    pub(crate) day_reset: Option<DayReset>,
}

/// A counter over one dimension.
#[derive(Debug)]
pub(crate) struct Limiter {
    limit: u64,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Bucket(Bucket),
    FixedWindow(FixedWindow),
    Slices(Slices),
    Sliding(Sliding),
}

/// Calls the same method of whichever algorithm is inside.
macro_rules! each {
    ($limiter:expr, $inner:ident => $call:expr) => {
        match &mut $limiter.kind {
            Kind::Bucket($inner) => $call,
            Kind::FixedWindow($inner) => $call,
            Kind::Slices($inner) => $call,
            Kind::Sliding($inner) => $call,
        }
    };
}

impl Limiter {
    /// An unused counter.
    pub(crate) fn new(counting: Counting, dimension: Dimension, limit: u64, now: SimTime) -> Self {
        let Counting {
            algorithm,
            minute_us,
            day_reset,
        } = counting;
        let minutes = if dimension.is_daily() { DAY_MINUTES } else { 1 };
        let window_us = minute_us.saturating_mul(minutes).max(1);
        let fixed = |turn| Kind::FixedWindow(FixedWindow::new(limit, turn));
        let midnight = day_reset.filter(|_| dimension.is_daily());
        let kind = match (midnight, algorithm) {
            (Some(DayReset::Pacific), _) if minute_us == REAL_MINUTE_US => fixed(Turn::PacificDay),
            (Some(_), _) => fixed(Turn::Every(window_us)),
            (None, Algorithm::Bucket) => Kind::Bucket(Bucket::new(limit, window_us, now)),
            (None, Algorithm::PerSecondSlices) if dimension == Dimension::Requests => {
                Kind::Slices(Slices::new(limit, window_us))
            }
            (None, Algorithm::FixedMinute | Algorithm::PerSecondSlices) => {
                fixed(Turn::Every(window_us))
            }
            (None, Algorithm::Sliding) => Kind::Sliding(Sliding::new(limit, window_us)),
        };
        Self { limit, kind }
    }

    /// The most that one window admits.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// The earliest instant at which `amount` fits if nothing else comes: `now` when it fits already,
    /// `None` when it never will.
    pub(crate) fn ready_at(&mut self, now: SimTime, amount: u64) -> Option<SimTime> {
        each!(self, inner => inner.ready_at(now, amount))
    }

    /// The instant at which the whole limit is available again.
    pub(crate) fn full_at(&mut self, now: SimTime) -> SimTime {
        each!(self, inner => inner.full_at(now))
    }

    /// Counts `amount`, whether or not it fits.
    pub(crate) fn charge(&mut self, now: SimTime, amount: u64) {
        each!(self, inner => inner.charge(now, amount));
    }

    /// Takes back a part of an earlier charge.
    pub(crate) fn refund(&mut self, now: SimTime, amount: u64) {
        each!(self, inner => inner.refund(now, amount));
    }

    /// Puts another limit in force; what was used stays used, and keeps its date.
    pub(crate) fn set_limit(&mut self, now: SimTime, limit: u64) {
        self.limit = limit;
        each!(self, inner => inner.set_limit(now, limit));
    }

    /// What a quota header would call "remaining"; never negative.
    pub(crate) fn remaining(&mut self, now: SimTime) -> u64 {
        each!(self, inner => inner.remaining(now))
    }
}
