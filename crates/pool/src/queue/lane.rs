//! A lane: its five classes, and which of them goes next.
//!
//! Strict priority would starve whoever is not urgent, so a class is worth a wait: next is the
//! class whose head has the least arrival + handicap.
//!
//! Worked example: a batch request that came at 0 s counts as 60 s, a critical one that came at
//! 59 s as 59 s, one that came at 61 s as 61 s: the order is critical, batch, critical.

use super::entry::{LaneKey, WaiterId};
use super::fair::{Fair, Head};
use super::per_urgency::PerUrgency;
use crate::time::Timestamp;
use crate::urgency::Urgency;

#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) key: LaneKey,
    classes: PerUrgency<Fair>,
}

impl Lane {
    pub(crate) fn new(key: LaneKey) -> Self {
        Self {
            key,
            classes: PerUrgency::default(),
        }
    }

    pub(crate) const fn class_mut(&mut self, urgency: Urgency) -> &mut Fair {
        self.classes.get_mut(urgency)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.classes.iter().all(|(_, class)| class.is_empty())
    }

    /// The request of this lane that goes next.
    pub(crate) fn head(&self) -> Option<(Urgency, Head)> {
        self.classes
            .iter()
            .filter_map(|(urgency, class)| Some((urgency, class.head()?)))
            .min_by_key(|&(urgency, head)| precedence(urgency, head))
    }
}

/// Less is sooner, among the heads of different classes.
fn precedence(urgency: Urgency, head: Head) -> (Timestamp, Urgency) {
    (head.turn + urgency.handicap(), urgency)
}

/// The heads of lanes in the order in which they go: those of one class by their tags, whatever
/// their age, as within a lane; and of the first of each class, the one that takes precedence.
pub(crate) fn merge(
    heads: impl Iterator<Item = (Urgency, Head)>,
) -> impl Iterator<Item = WaiterId> {
    let mut classes = PerUrgency::<Vec<Head>>::default();
    for (urgency, head) in heads {
        classes.get_mut(urgency).push(head);
    }
    for urgency in Urgency::ALL {
        // Backwards, so that the first can be popped.
        classes
            .get_mut(urgency)
            .sort_unstable_by_key(|head| std::cmp::Reverse((head.tag, head.place)));
    }
    std::iter::from_fn(move || {
        let (urgency, _) = classes
            .iter()
            .filter_map(|(urgency, waiting)| Some((urgency, *waiting.last()?)))
            .min_by_key(|&(urgency, head)| precedence(urgency, head))?;
        let head = classes.get_mut(urgency).pop()?;
        Some(head.place.1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(id: u64, tag: u64, since: u64) -> Head {
        let since = Timestamp::from_unix_secs(since);
        Head {
            tag,
            place: (since, WaiterId::new(id)),
            turn: since,
        }
    }

    fn order(heads: &[(Urgency, Head)]) -> Vec<u64> {
        merge(heads.iter().copied()).map(WaiterId::get).collect()
    }

    #[test]
    fn a_class_is_worth_fifteen_seconds_of_waiting() {
        let heads = [
            (Urgency::Batch, head(1, 1, 0)),
            (Urgency::Low, head(2, 1, 16)),
            (Urgency::Critical, head(3, 1, 59)),
            (Urgency::Critical, head(4, 2, 61)),
            (Urgency::Normal, head(5, 1, 30)),
        ];
        assert_eq!(order(&heads), [3, 5, 1, 4, 2]);
    }

    #[test]
    fn within_a_class_the_tag_goes_before_the_age() {
        let heads = [
            (Urgency::High, head(1, 20, 0)),
            (Urgency::High, head(2, 10, 40)),
            (Urgency::Normal, head(3, 30, 10)),
        ];
        assert_eq!(order(&heads), [3, 2, 1]);
    }
}
