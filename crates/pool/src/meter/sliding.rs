//! A sliding window, counted in sub-slots of a quarter of a second.
//!
//! For providers that count the last 60 seconds: a bucket would let the limit pass at once and as
//! much again over the next minute. The count is conservative: an entry counts until the whole of
//! its slot is more than a window and a slot ago, so at most half a second longer than it must.
//!
//! Worked example: limit 50. 50 requests at 10:00:00.7 fill it; all of them count until
//! 10:01:01, when the 51st fits.

use std::collections::VecDeque;

use crate::time::Timestamp;

/// With slots of a quarter of a second, caution costs about half a percent of the throughput.
const SLOT_MICROS: u64 = 250_000;
/// An entry in slot `s` has left every window from the start of slot `s + 241` on. One more is for the way:
/// the provider's window begins when a request arrives there, and the next may be faster.
const SLOTS_COUNTED: u64 = 242;

#[derive(Clone, Copy, Debug)]
struct Slot {
    number: u64,
    amount: u64,
}

/// Holds only the slots in which something was used, oldest first: at most [`SLOTS_COUNTED`].
#[derive(Clone, Debug)]
pub(crate) struct Sliding {
    limit: u64,
    total: u64,
    slots: VecDeque<Slot>,
}

impl Sliding {
    pub(crate) const fn new(limit: u64) -> Self {
        Self {
            limit,
            total: 0,
            slots: VecDeque::new(),
        }
    }

    pub(crate) fn advance(&mut self, now: Timestamp) {
        let number = slot_of(now);
        while let Some(oldest) = self.slots.front() {
            if oldest.number + SLOTS_COUNTED > number {
                break;
            }
            self.total -= oldest.amount;
            self.slots.pop_front();
        }
    }

    fn total_at(&self, now: Timestamp) -> u64 {
        let number = slot_of(now);
        let left = |slot: &&Slot| slot.number + SLOTS_COUNTED <= number;
        let gone: u64 = self
            .slots
            .iter()
            .take_while(left)
            .map(|slot| slot.amount)
            .sum();
        self.total - gone
    }

    pub(crate) fn take(&mut self, now: Timestamp, amount: u64) {
        self.advance(now);
        let amount = amount.min(u64::MAX - self.total);
        if amount == 0 {
            return;
        }
        self.total += amount;
        let number = slot_of(now);
        match self.slots.back_mut() {
            Some(slot) if slot.number == number => slot.amount += amount,
            _ => self.slots.push_back(Slot { number, amount }),
        }
    }

    /// Gives back what was taken at `taken_at`; what has left the window is gone already.
    pub(crate) fn give_back(&mut self, now: Timestamp, taken_at: Timestamp, amount: u64) {
        self.advance(now);
        let number = slot_of(taken_at);
        let found = self.slots.binary_search_by_key(&number, |slot| slot.number);
        if let Some(slot) = found.ok().and_then(|position| self.slots.get_mut(position)) {
            let given = amount.min(slot.amount);
            slot.amount -= given;
            self.total -= given;
        }
    }

    /// Counts what somebody else must have used within the window, and is not known when. It is taken to
    /// leave the window soon: if it is still there then, the next answer will say so, while room that is
    /// wrongly held back is never seen.
    pub(crate) fn take_unseen(&mut self, now: Timestamp, amount: u64) {
        self.advance(now);
        let amount = amount.min(u64::MAX - self.total);
        let number = slot_of(now).saturating_sub(SLOTS_COUNTED * 3 / 4);
        self.total += amount;
        match self.slots.binary_search_by_key(&number, |slot| slot.number) {
            Ok(position) => {
                if let Some(slot) = self.slots.get_mut(position) {
                    slot.amount += amount;
                }
            }
            Err(position) => self.slots.insert(position, Slot { number, amount }),
        }
    }

    /// Forgets what was counted too much, from the oldest on.
    pub(crate) fn forgive(&mut self, now: Timestamp, mut amount: u64) {
        self.advance(now);
        for slot in &mut self.slots {
            let given = amount.min(slot.amount);
            slot.amount -= given;
            self.total -= given;
            amount -= given;
        }
    }

    /// At least what left the window from one instant to another.
    pub(crate) fn left_between(&self, from: Timestamp, to: Timestamp) -> u64 {
        // What has been forgotten already is bounded by the limit; one window later all has left.
        let slots = slot_of(to).saturating_sub(slot_of(from)).min(SLOTS_COUNTED);
        let share = u128::from(self.limit) * u128::from(slots);
        u64::try_from(share.div_ceil(u128::from(SLOTS_COUNTED))).unwrap_or(u64::MAX)
    }

    pub(crate) fn fits(&self, now: Timestamp, amount: u64) -> bool {
        self.total_at(now).saturating_add(amount) <= self.limit
    }

    /// The first instant at which `amount` fits.
    pub(crate) fn ready_at(&self, now: Timestamp, amount: u64) -> Option<Timestamp> {
        let room_for_others = self.limit.checked_sub(amount)?;
        Some(self.when_total_is(now, room_for_others))
    }

    pub(crate) fn empty_at(&self, now: Timestamp) -> Timestamp {
        self.when_total_is(now, 0)
    }

    fn when_total_is(&self, now: Timestamp, wanted: u64) -> Timestamp {
        let mut total = self.total;
        let mut at = now;
        for slot in &self.slots {
            if total <= wanted {
                break;
            }
            total -= slot.amount;
            if slot.amount > 0 {
                at = at.max(Timestamp::from_unix_micros(
                    (slot.number + SLOTS_COUNTED) * SLOT_MICROS,
                ));
            }
        }
        at
    }

    /// Used share of the limit, above 1 in debt.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a load is compared, not accounted"
    )]
    pub(crate) fn load(&self, now: Timestamp) -> f64 {
        self.total_at(now) as f64 / self.limit as f64
    }

    pub(crate) fn used(&self, now: Timestamp) -> u64 {
        self.total_at(now)
    }

    pub(crate) const fn limit(&self) -> u64 {
        self.limit
    }

    pub(crate) const fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }
}

const fn slot_of(at: Timestamp) -> u64 {
    at.as_unix_micros() / SLOT_MICROS
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const START: Timestamp = Timestamp::from_unix_micros(1_000_000_700_000);

    #[test]
    fn an_entry_counts_until_it_is_surely_out_of_the_window() {
        let mut window = Sliding::new(50);
        window.take(START, 50);
        assert!(!window.fits(START, 1));
        let free = Timestamp::from_unix_micros(1_000_061_000_000);
        assert_eq!(window.ready_at(START, 1), Some(free));
        assert!(!window.fits(Timestamp::from_unix_micros(free.as_unix_micros() - 1), 1));
        assert!(window.fits(free, 50));
        assert_eq!(window.ready_at(START, 51), None);
    }

    #[test]
    fn room_returns_slot_by_slot() {
        let mut window = Sliding::new(10);
        for second in 0..10 {
            window.take(START + Duration::from_secs(second), 1);
        }
        let now = START + Duration::from_secs(10);
        assert_eq!(
            window.ready_at(now, 1),
            Some(Timestamp::from_unix_micros(1_000_061_000_000))
        );
        assert_eq!(
            window.ready_at(now, 3),
            Some(Timestamp::from_unix_micros(1_000_063_000_000))
        );
        assert_eq!(
            window.empty_at(now),
            Timestamp::from_unix_micros(1_000_070_000_000)
        );
    }

    #[test]
    fn what_left_the_window_cannot_be_given_back() {
        let mut window = Sliding::new(10);
        window.take(START, 8);
        let later = START + Duration::from_secs(100);
        window.take(later, 5);
        window.give_back(later, START, 8);
        assert_eq!(window.used(later), 5);
        window.give_back(later, later, 5);
        assert_eq!(window.used(later), 0);
        assert_eq!(window.empty_at(later), later);
    }

    #[test]
    fn the_slots_are_bounded() {
        let mut window = Sliding::new(u64::MAX);
        for tick in 0..10_000 {
            window.take(START + Duration::from_millis(100 * tick), 1);
        }
        assert!(window.slots.len() <= 242);
    }
}
