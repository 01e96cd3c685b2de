//! One value for each urgency, and what an urgency is worth in waiting.

use std::time::Duration;

use crate::bounds::QUEUE_AGEING;
use crate::urgency::Urgency;

impl Urgency {
    /// How much longer than a critical request one of this class waits before both count alike: each
    /// class less urgent is worth [`QUEUE_AGEING`] of waiting and not more, so that none starves.
    pub(crate) fn handicap(self) -> Duration {
        QUEUE_AGEING.saturating_mul(u32::from(self.rank()))
    }
}

/// One value for each class.
#[derive(Clone, Debug, Default)]
pub(crate) struct PerUrgency<T>([T; 5]);

impl<T> PerUrgency<T> {
    pub(crate) const fn get(&self, urgency: Urgency) -> &T {
        let [critical, high, normal, low, batch] = &self.0;
        match urgency {
            Urgency::Critical => critical,
            Urgency::High => high,
            Urgency::Normal => normal,
            Urgency::Low => low,
            Urgency::Batch => batch,
        }
    }

    pub(crate) const fn get_mut(&mut self, urgency: Urgency) -> &mut T {
        let [critical, high, normal, low, batch] = &mut self.0;
        match urgency {
            Urgency::Critical => critical,
            Urgency::High => high,
            Urgency::Normal => normal,
            Urgency::Low => low,
            Urgency::Batch => batch,
        }
    }

    /// The values with their classes, the most urgent one first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Urgency, &T)> {
        Urgency::ALL.into_iter().zip(&self.0)
    }
}

impl<T: Copy> PerUrgency<T> {
    pub(crate) const fn to_array(&self) -> [T; 5] {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_finds_its_own_value() {
        let mut names = PerUrgency::<&str>::default();
        for urgency in Urgency::ALL {
            *names.get_mut(urgency) = urgency.as_str();
        }
        for (urgency, &name) in names.iter() {
            assert_eq!(name, urgency.as_str());
            assert_eq!(*names.get(urgency), name);
        }
        assert_eq!(names.to_array(), Urgency::ALL.map(Urgency::as_str));
    }

    #[test]
    fn a_batch_request_gives_a_critical_one_a_minute() {
        assert_eq!(Urgency::Critical.handicap(), Duration::ZERO);
        assert_eq!(Urgency::Batch.handicap(), Duration::from_mins(1));
        assert!(Urgency::ALL.is_sorted_by_key(|urgency| urgency.handicap()));
    }
}
