//! Models for which one key is cooling down or barred, while it serves others.
//!
//! A quota is counted by model class, so a cool-down holds for the class; a model is denied by its name.

use crate::bounds::MODEL_BARS_MAX;
use crate::time::Timestamp;

/// Why a key is not used for a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BarKind {
    /// Out of quota for the model: waiting helps.
    Cooling,
    /// Not allowed to use the model: waiting does not help.
    Denied,
}

#[derive(Clone, Debug)]
pub(crate) struct Bar {
    pub(crate) model: Box<str>,
    pub(crate) kind: BarKind,
    pub(crate) until: Timestamp,
}

/// Few, so a list; at most [`MODEL_BARS_MAX`].
#[derive(Clone, Debug, Default)]
pub(crate) struct ModelBars(Vec<Bar>);

impl ModelBars {
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What bars a model, or its class; a denial before a cool-down.
    pub(crate) fn get(&self, model: &str, class: &str, now: Timestamp) -> Option<&Bar> {
        let find = |kind, name: &str| {
            self.0
                .iter()
                .find(|bar| bar.until > now && bar.kind == kind && *bar.model == *name)
        };
        find(BarKind::Denied, model).or_else(|| find(BarKind::Cooling, class))
    }

    /// Bars a model or, cooling, a class; of two such bars the later end holds.
    pub(crate) fn set(&mut self, model: &str, kind: BarKind, until: Timestamp, now: Timestamp) {
        self.0.retain(|bar| bar.until > now);
        let same = |bar: &&mut Bar| bar.kind == kind && *bar.model == *model;
        if let Some(bar) = self.0.iter_mut().find(same) {
            bar.until = bar.until.max(until);
            return;
        }
        if self.0.len() >= MODEL_BARS_MAX {
            let first_to_end = self.0.iter().enumerate().min_by_key(|(_, bar)| bar.until);
            if let Some((position, _)) = first_to_end {
                self.0.remove(position);
            }
        }
        self.0.push(Bar {
            model: model.into(),
            kind,
            until,
        });
    }

    /// When the last model is done cooling; ended bars count until [`Self::elapse`].
    pub(crate) fn cooling_until(&self) -> Option<Timestamp> {
        self.cooling().max()
    }

    /// When the next model is done cooling.
    pub(crate) fn next_cooled(&self) -> Option<Timestamp> {
        self.cooling().min()
    }

    fn cooling(&self) -> impl Iterator<Item = Timestamp> {
        let cooling = self.0.iter().filter(|bar| bar.kind == BarKind::Cooling);
        cooling.map(|bar| bar.until)
    }

    /// Forgets ended bars; true when with them the last cooling model was forgotten.
    pub(crate) fn elapse(&mut self, now: Timestamp) -> bool {
        let was_cooling = self.cooling_until().is_some();
        self.0.retain(|bar| bar.until > now);
        was_cooling && self.cooling_until().is_none()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn iter(&self, now: Timestamp) -> impl Iterator<Item = &Bar> {
        self.0.iter().filter(move |bar| bar.until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_secs(seconds)
    }

    #[test]
    fn the_later_of_two_ends_holds_and_an_ended_bar_is_gone() {
        let mut bars = ModelBars::default();
        bars.set("m", BarKind::Cooling, at(100), at(0));
        bars.set("m", BarKind::Cooling, at(50), at(0));
        assert!(bars.get("m", "m", at(99)).is_some());
        assert!(bars.get("m", "m", at(100)).is_none());
        assert!(bars.get("n", "n", at(0)).is_none());
    }

    #[test]
    fn a_class_cools_as_a_whole_and_a_model_is_denied_alone() {
        let mut bars = ModelBars::default();
        bars.set("opus", BarKind::Cooling, at(100), at(0));
        bars.set("opus-4-5", BarKind::Denied, at(50), at(0));
        let kind = |model| bars.get(model, "opus", at(1)).map(|bar| bar.kind);
        assert_eq!(kind("opus-4-5"), Some(BarKind::Denied));
        assert_eq!(kind("opus-4-6"), Some(BarKind::Cooling));
        assert!(bars.get("haiku", "haiku", at(1)).is_none());
    }

    #[test]
    fn their_number_is_bounded_and_the_first_to_end_gives_way() {
        let mut bars = ModelBars::default();
        for number in 0..1000 {
            bars.set(
                &format!("m{number}"),
                BarKind::Denied,
                at(1000 + number),
                at(0),
            );
        }
        assert_eq!(bars.iter(at(0)).count(), MODEL_BARS_MAX);
        assert!(bars.get("m0", "", at(0)).is_none());
        assert!(bars.get("m999", "", at(0)).is_some());
    }
}
