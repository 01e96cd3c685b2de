//! A window that starts afresh at each turn of the clock, whole or cut into slices.
//!
//! For providers that clear a counter every minute. A bucket would spread over the next minute what such
//! a provider gives at the turn, and would go on refilling while the provider's window is used up. What
//! it prevents: requests granted just before a turn that arrive just after it, and so count in a
//! window in which the pool has not counted them. Those of the last moments of a window count in
//! both.
//!
//! Some providers cut the minute into slices of a second and let no slice have more than its share.
//! Shares are whole numbers that sum up to the limit.
//!
//! Worked example: limit 90 a minute, cut into seconds: the seconds admit 1, 2, 1, 2, …; three requests
//! at once need two seconds. Uncut, all 90 may go at the turn of the minute, and the next one at the
//! next turn.

use std::time::Duration;

use crate::bounds::TRANSIT;
use crate::time::Timestamp;

/// Slices of a cut window.
const SLICES: u64 = 60;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Fixed {
    limit: u64,
    /// Microseconds from turn to turn.
    turn: u64,
    /// Turns after which the shares begin anew: 1 for a whole window.
    slices: u64,
    /// Microseconds by which turns are later than those of the Unix epoch.
    offset: u64,
    /// Turns since the epoch, of the window that is counted.
    index: u64,
    used: u64,
    /// Of [`Self::used`], what was taken in the last moments: it counts in the next window, too.
    late: u64,
}

impl Fixed {
    /// A whole window of this length.
    pub(crate) fn whole(now: Timestamp, limit: u64, period: Duration) -> Self {
        Self::new(now, limit, period, 1)
    }

    /// A window of this length, cut into [`SLICES`].
    pub(crate) fn sliced(now: Timestamp, limit: u64, period: Duration) -> Self {
        Self::new(now, limit, period, SLICES)
    }

    fn new(now: Timestamp, limit: u64, period: Duration, slices: u64) -> Self {
        let period = u64::try_from(period.as_micros()).unwrap_or(u64::MAX);
        let mut window = Self {
            limit,
            turn: (period / slices).max(1),
            slices,
            offset: 0,
            index: 0,
            used: 0,
            late: 0,
        };
        window.index = window.index_at(now);
        window
    }

    const fn index_at(&self, now: Timestamp) -> u64 {
        now.as_unix_micros().saturating_sub(self.offset) / self.turn
    }

    const fn starts_at(&self, index: u64) -> Timestamp {
        Timestamp::from_unix_micros(index.saturating_mul(self.turn).saturating_add(self.offset))
    }

    /// Moments before a turn in which a request may arrive after it.
    fn is_late(&self, now: Timestamp) -> bool {
        let margin = u64::try_from(TRANSIT.as_micros()).unwrap_or(u64::MAX);
        let left = self
            .starts_at(self.index.saturating_add(1))
            .as_unix_micros()
            .saturating_sub(now.as_unix_micros());
        left <= margin.min(self.turn / 50)
    }

    /// What a window admits: whole numbers that sum up to the limit over all slices.
    fn share(&self, index: u64) -> u64 {
        let upto = |slice: u64| {
            let product = u128::from(self.limit) * u128::from(slice) / u128::from(self.slices);
            u64::try_from(product).unwrap_or(u64::MAX)
        };
        let slice = index % self.slices;
        upto(slice + 1) - upto(slice)
    }

    fn advance(&mut self, now: Timestamp) {
        let index = self.index_at(now);
        if index > self.index {
            self.used = if index == self.index + 1 {
                self.late
            } else {
                0
            };
            self.late = 0;
            self.index = index;
        }
    }

    /// The window at an instant, as [`Self::advance`] would leave it.
    fn at(&self, now: Timestamp) -> Self {
        let mut then = *self;
        then.advance(now);
        then
    }

    pub(crate) fn used(&self, now: Timestamp) -> u64 {
        self.at(now).used
    }

    pub(crate) fn take(&mut self, now: Timestamp, amount: u64) {
        self.advance(now);
        self.used = self.used.saturating_add(amount);
        if self.is_late(now) {
            self.late = self.late.saturating_add(amount);
        }
    }

    /// Gives back what was taken at `taken_at`, if that was in this window.
    pub(crate) fn give_back(&mut self, now: Timestamp, taken_at: Timestamp, amount: u64) {
        self.advance(now);
        if self.index_at(taken_at) == self.index {
            self.used = self.used.saturating_sub(amount);
            if self.is_late(taken_at) {
                self.late = self.late.saturating_sub(amount);
            }
        }
    }

    pub(crate) fn fits(&self, now: Timestamp, amount: u64) -> bool {
        let then = self.at(now);
        then.used.saturating_add(amount) <= then.share(then.index)
    }

    /// The first instant at which `amount` fits: now or at a turn.
    pub(crate) fn ready_at(&self, now: Timestamp, amount: u64) -> Option<Timestamp> {
        if self.fits(now, amount) {
            return Some(now);
        }
        let then = self.at(now);
        let first = then.index.saturating_add(1);
        // What counts in the next window already.
        let carried = then.late.saturating_add(amount);
        if carried <= then.share(first) {
            return Some(self.starts_at(first));
        }
        (first + 1..=first + self.slices)
            .find(|&index| amount <= then.share(index))
            .map(|index| self.starts_at(index))
    }

    pub(crate) fn empty_at(&self, now: Timestamp) -> Timestamp {
        let then = self.at(now);
        if then.used == 0 {
            now
        } else {
            self.starts_at(then.index.saturating_add(1))
        }
    }

    /// Used share of the window, above 1 in debt.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a load is compared, not accounted"
    )]
    pub(crate) fn load(&self, now: Timestamp) -> f64 {
        let then = self.at(now);
        match then.share(then.index) {
            // A slice without a share is full.
            0 => 1.0,
            share => then.used as f64 / share as f64,
        }
    }

    /// Over a whole window; slices only say when.
    pub(crate) const fn limit(&self) -> u64 {
        self.limit
    }

    /// What this window, or slice, admits.
    pub(crate) fn share_now(&self, now: Timestamp) -> u64 {
        self.share(self.index_at(now))
    }

    /// Whether the minute is one piece: then what is left of it is what the provider says is left.
    pub(crate) const fn is_whole(&self) -> bool {
        self.slices == 1
    }

    /// Since when this window has been running.
    pub(crate) const fn began_at(&self, now: Timestamp) -> Timestamp {
        self.starts_at(self.index_at(now))
    }

    /// Whether the amount fits into any window at all.
    pub(crate) fn can_ever_fit(&self, amount: u64) -> bool {
        // No slice has more than the limit's share, rounded up.
        amount <= self.limit.div_ceil(self.slices)
    }

    pub(crate) const fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// Learns that a window ends at that instant, where the provider's minutes are not the clock's.
    pub(crate) fn align(&mut self, now: Timestamp, ends_at: Timestamp) {
        let offset = ends_at.as_unix_micros() % self.turn;
        let apart = offset.abs_diff(self.offset);
        // Reset headers are cut to milliseconds or seconds: less apart is not another clock.
        let tolerance = self.turn / 30;
        if apart.min(self.turn - apart) > tolerance {
            self.advance(now);
            self.offset = offset;
            self.index = self.index_at(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);
    /// A turn of the minute.
    const TURN: Timestamp = Timestamp::from_unix_secs(60_000);

    fn after(seconds: u64) -> Timestamp {
        TURN + Duration::from_secs(seconds)
    }

    #[test]
    fn a_used_up_window_opens_at_the_turn() {
        let mut window = Fixed::whole(after(10), 50, MINUTE);
        window.take(after(10), 50);
        assert!(!window.fits(after(59), 1));
        assert_eq!(window.ready_at(after(10), 1), Some(after(60)));
        assert_eq!(window.ready_at(after(10), 51), None);
        assert!(window.fits(after(60), 50));
    }

    #[test]
    fn what_is_granted_just_before_the_turn_counts_after_it_too() {
        let mut window = Fixed::whole(after(0), 50, MINUTE);
        let late = Timestamp::from_unix_micros(after(60).as_unix_micros() - 1000);
        window.take(late, 20);
        assert_eq!(window.used(after(60)), 20);
        assert!(window.fits(after(60), 30) && !window.fits(after(60), 31));
        assert_eq!(window.used(after(120)), 0);
        assert_eq!(window.ready_at(late, 50), Some(after(120)));
    }

    #[test]
    fn slices_share_the_limit_in_whole_numbers() {
        let window = Fixed::sliced(TURN, 90, MINUTE);
        let shares: Vec<u64> = (60_000..60_060).map(|index| window.share(index)).collect();
        assert_eq!(shares.iter().sum::<u64>(), 90);
        assert!(shares.iter().all(|share| (1..=2).contains(share)));
        assert!(window.can_ever_fit(2) && !window.can_ever_fit(3));
    }

    #[test]
    fn a_slice_without_a_share_waits_for_one_that_has() {
        let mut window = Fixed::sliced(TURN, 1, MINUTE);
        // The one request of the minute belongs to its last second.
        assert_eq!(window.ready_at(TURN, 1), Some(after(59)));
        window.take(after(59), 1);
        assert_eq!(window.ready_at(after(59), 1), Some(after(119)));
    }

    #[test]
    fn an_old_window_gives_nothing_back() {
        let mut window = Fixed::whole(after(0), 50, MINUTE);
        window.take(after(1), 30);
        window.give_back(after(2), after(1), 10);
        assert_eq!(window.used(after(2)), 20);
        window.take(after(61), 5);
        window.give_back(after(62), after(1), 20);
        assert_eq!(window.used(after(62)), 5);
    }

    #[test]
    fn a_provider_whose_minutes_begin_elsewhere_is_followed() {
        let mut window = Fixed::whole(after(0), 50, MINUTE);
        window.take(after(1), 50);
        window.align(after(1), after(20));
        assert_eq!(window.ready_at(after(1), 1), Some(after(20)));
        // A reset rounded to the second changes nothing.
        window.align(after(2), after(21));
        assert_eq!(window.ready_at(after(2), 1), Some(after(20)));
    }
}
