//! Cool-downs after a provider's refusal, as absolute instants.
//!
//! Two failures of others are met here: a second, shorter cool-down that replaces the first, so
//! that the key is tried too early; and ten requests in flight that are refused together and count
//! as ten refusals in a row.

use std::time::Duration;

use crate::bounds::{COOLDOWN_DEFAULT, COOLDOWN_MAX};
use crate::time::Timestamp;

/// A hint that lies in the past still means "not now".
const COOLDOWN_MIN: Duration = Duration::from_secs(1);

/// The end that a provider's hint means.
pub(crate) fn hinted(now: Timestamp, hint: Timestamp) -> Timestamp {
    hint.max(now + COOLDOWN_MIN)
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cooldown {
    until: Option<Timestamp>,
    /// When the provider last refused a request that was sent after the refusal before.
    refused_at: Option<Timestamp>,
    /// Such refusals without a success between them.
    in_a_row: u32,
}

impl Cooldown {
    pub(crate) const fn until(&self) -> Option<Timestamp> {
        self.until
    }

    /// Whether a refusal of a lease granted at `granted_at` says nothing new: the request was on
    /// its way when the refusal before it arrived.
    pub(crate) fn is_echo(&self, granted_at: Timestamp) -> bool {
        self.refused_at
            .is_some_and(|refused_at| granted_at < refused_at)
    }

    /// Takes a refusal. Without a hint the first one costs a minute, and further ones in a row
    /// twice as much each time, shortened by up to a fifth so that keys do not return together.
    pub(crate) fn refused(
        &mut self,
        now: Timestamp,
        granted_at: Timestamp,
        hint: Option<Timestamp>,
        rng: &mut fastrand::Rng,
    ) {
        let echo = self.is_echo(granted_at);
        if !echo {
            self.in_a_row = self.in_a_row.saturating_add(1);
            self.refused_at = Some(now);
        }
        let until = match hint {
            Some(hint) => hinted(now, hint),
            None if echo && self.until.is_some() => return,
            None => now + backoff(self.in_a_row, rng),
        };
        self.until = self.until.max(Some(until));
    }

    /// Cools down until an instant, for a refusal that another key of the group met.
    pub(crate) fn extend(&mut self, until: Timestamp) {
        self.until = self.until.max(Some(until));
    }

    /// A request sent at `granted_at` succeeded.
    pub(crate) fn succeeded(&mut self, granted_at: Timestamp) {
        if !self.is_echo(granted_at) {
            self.in_a_row = 0;
        }
    }

    /// Whether the cool-down just ended.
    pub(crate) fn elapse(&mut self, now: Timestamp) -> bool {
        let over = self.until.is_some_and(|until| until <= now);
        if over {
            self.until = None;
        }
        over
    }
}

fn backoff(in_a_row: u32, rng: &mut fastrand::Rng) -> Duration {
    let doublings = in_a_row.saturating_sub(1).min(8);
    let full = COOLDOWN_DEFAULT
        .saturating_mul(1 << doublings)
        .min(COOLDOWN_MAX);
    if doublings == 0 {
        full
    } else {
        full.mul_f64(1.0 - 0.2 * rng.f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_secs(seconds)
    }

    // acceptance 50
    #[test]
    fn without_a_hint_it_is_a_minute_and_doubles_up_to_ten() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut cooldown = Cooldown::default();
        let mut now = at(1000);
        for full in [60, 120, 240, 480, 600, 600, 600] {
            cooldown.refused(now, now, None, &mut rng);
            let length = cooldown.until().unwrap().saturating_duration_since(now);
            assert!(length <= Duration::from_secs(full), "{length:?} of {full}");
            assert!(
                length >= Duration::from_secs(full).mul_f64(0.8),
                "{length:?} of {full}"
            );
            now = cooldown.until().unwrap();
            assert!(cooldown.elapse(now));
        }
        cooldown.succeeded(now);
        cooldown.refused(now, now, None, &mut rng);
        assert_eq!(cooldown.until(), Some(now + COOLDOWN_DEFAULT));
    }

    #[test]
    fn the_later_of_two_deadlines_holds() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut cooldown = Cooldown::default();
        cooldown.refused(at(1000), at(999), Some(at(1100)), &mut rng);
        cooldown.refused(at(1001), at(999), Some(at(1005)), &mut rng);
        assert_eq!(cooldown.until(), Some(at(1100)));
        cooldown.extend(at(1050));
        assert_eq!(cooldown.until(), Some(at(1100)));
    }

    #[test]
    fn a_burst_that_is_refused_together_is_one_refusal() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut cooldown = Cooldown::default();
        for late in 0..10 {
            cooldown.refused(at(1000 + late), at(990), None, &mut rng);
        }
        assert_eq!(cooldown.until(), Some(at(1060)));
    }

    #[test]
    fn a_hint_in_the_past_still_cools_down() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut cooldown = Cooldown::default();
        cooldown.refused(at(1000), at(990), Some(at(500)), &mut rng);
        assert_eq!(cooldown.until(), Some(at(1001)));
    }
}
