//! Keeping a new or returning key near the load of its peers.
//!
//! Under least-loaded an empty key beats every busy one: it would draw the pool's whole traffic at
//! once, and providers refuse sudden growth by itself. Such a key starts with the load of the least
//! loaded of its peers on top of its own, so that it takes turns with them at once; that surcharge
//! fades over [`RAMP`].
//!
//! Worked example: all peers stand at 60 % of their limits or more. The new key competes as if at 60 % + its
//! own use, after half a minute as if at 30 % + its own use.

use crate::bounds::RAMP;
use crate::time::Timestamp;

/// The least load among the ready keys: used share of the tightest limit, requests in flight, recent traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct PeerLoad {
    pub(crate) ratio: f64,
    pub(crate) in_flight: f64,
    /// In the units of the era in which it was taken; see [`crate::recent`].
    pub(crate) recent: f64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Ramp {
    since: Timestamp,
    ratio: f32,
    in_flight: f32,
}

impl Ramp {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a surcharge needs no more digits"
    )]
    pub(crate) const fn new(since: Timestamp, peers: &PeerLoad) -> Self {
        Self {
            since,
            ratio: peers.ratio as f32,
            in_flight: peers.in_flight as f32,
        }
    }

    /// What to add to the ratio and to the requests in flight; `None` when it is over.
    pub(crate) fn surcharge(&self, now: Timestamp) -> Option<(f64, f64)> {
        let elapsed = now.saturating_duration_since(self.since);
        let left = 1.0 - elapsed.as_secs_f64() / RAMP.as_secs_f64();
        (left > 0.0).then(|| {
            (
                f64::from(self.ratio) * left,
                f64::from(self.in_flight) * left,
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_surcharge_fades_evenly_and_ends() {
        let start = Timestamp::from_unix_secs(1000);
        let ramp = Ramp::new(
            start,
            &PeerLoad {
                ratio: 0.5,
                in_flight: 8.0,
                recent: 0.0,
            },
        );
        assert_eq!(ramp.surcharge(start), Some((0.5, 8.0)));
        assert_eq!(ramp.surcharge(start + RAMP / 2), Some((0.25, 4.0)));
        assert_eq!(ramp.surcharge(start + RAMP), None);
        assert_eq!(ramp.surcharge(start + RAMP + Duration::from_secs(1)), None);
    }
}
