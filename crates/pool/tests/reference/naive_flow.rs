//! How many requests a quota may have in flight while little is known of it, once more in plain words.

use std::time::Duration;

use keypool_pool::Timestamp;

const QUARTER: Duration = Duration::from_millis(250);
const MINUTE: Duration = Duration::from_mins(1);
/// A window is counted in these parts of a request.
const PARTS: u64 = 65_536;

#[derive(Clone, Copy, Debug)]
pub(crate) enum NaiveFlow {
    Free,
    /// So many at first, twice as many each quarter of a second from the first grant on, up to 4096.
    Starting {
        first: u32,
        since: Option<Timestamp>,
    },
    /// After a refusal where no limit is known.
    Window {
        parts: u64,
        cut: Timestamp,
        reached: Timestamp,
    },
}

impl NaiveFlow {
    pub(crate) fn starting(first: u32) -> Self {
        Self::Starting { first, since: None }
    }

    /// After trouble it starts with eight; what refusals taught is kept.
    pub(crate) fn comes_back(&mut self, now: Timestamp) {
        match self {
            Self::Free | Self::Starting { .. } => *self = Self::starting(8),
            Self::Window { reached, .. } => *reached = now,
        }
    }

    fn most(&self, now: Timestamp) -> Option<u32> {
        match *self {
            Self::Free => None,
            Self::Starting { first, since } => {
                let (mut most, mut next) = (first, since.map(|since| since + QUARTER));
                while next.is_some_and(|at| at <= now) && most <= 4096 {
                    most *= 2;
                    next = next.map(|at| at + QUARTER);
                }
                (most <= 4096).then_some(most)
            }
            Self::Window { parts, .. } => u32::try_from(parts / PARTS).ok(),
        }
    }

    pub(crate) fn allows(&self, now: Timestamp, in_flight: u32) -> bool {
        self.most(now).is_none_or(|most| in_flight < most)
    }

    /// When one more may go; a second from now where only an end makes room.
    pub(crate) fn allows_from(&self, now: Timestamp, in_flight: u32) -> Timestamp {
        if self.allows(now, in_flight) {
            return now;
        }
        if let Self::Starting {
            since: Some(since), ..
        } = *self
        {
            let mut at = since;
            while at <= now || !self.allows(at, in_flight) {
                at = at + QUARTER;
            }
            return at;
        }
        now + Duration::from_secs(1)
    }

    pub(crate) fn began(&mut self, now: Timestamp) {
        if let Self::Starting { since, .. } = self {
            since.get_or_insert(now);
        }
    }

    /// With so many in flight, the one that succeeded included.
    pub(crate) fn succeeded(&mut self, now: Timestamp, in_flight: u32) {
        match self {
            Self::Free => {}
            Self::Starting { .. } => {
                if self.most(now).is_none() {
                    *self = Self::Free;
                }
            }
            Self::Window { parts, reached, .. } => {
                if u64::from(in_flight) >= *parts / PARTS {
                    *reached = now;
                    *parts += PARTS * PARTS / *parts;
                } else if *reached + MINUTE <= now {
                    *self = Self::Free;
                }
            }
        }
    }

    pub(crate) fn refused(&mut self, now: Timestamp, in_flight: u32, granted_at: Timestamp) {
        if let Self::Window { cut, .. } = self
            && granted_at <= *cut
        {
            return;
        }
        let most = self.most(now).unwrap_or(65_536).min(in_flight);
        *self = Self::Window {
            parts: (u64::from(most) * PARTS / 4 * 3).max(PARTS),
            cut: now,
            reached: now,
        };
    }
}
