//! Model classes: models whose use a provider counts together, under small numbers.
//!
//! Clients choose model names, so their number is bounded: what comes beyond the bound is counted as
//! one class more.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::bounds::QUOTA_CLASSES_MAX;

/// A model class of one pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct QuotaClass(u32);

impl QuotaClass {
    pub(crate) const fn number(self) -> u32 {
        self.0
    }
}

/// The names behind the numbers.
#[derive(Debug, Default)]
pub(crate) struct QuotaClasses {
    names: Vec<Arc<str>>,
    numbers: BTreeMap<Arc<str>, u32>,
    /// The one asked for last: mostly it is asked for again.
    latest: u32,
}

impl QuotaClasses {
    /// The class of that name, and whether it is new.
    pub(crate) fn class_of(&mut self, name: &str) -> (QuotaClass, bool) {
        if self.name(QuotaClass(self.latest)) == Some(name) {
            return (QuotaClass(self.latest), false);
        }
        let (number, is_new) = match self.numbers.get(name) {
            Some(&number) => (number, false),
            None if self.names.len() >= QUOTA_CLASSES_MAX => {
                (u32::try_from(QUOTA_CLASSES_MAX).unwrap_or(u32::MAX), false)
            }
            None => (self.add(name), true),
        };
        self.latest = number;
        (QuotaClass(number), is_new)
    }

    /// The class asked for last.
    pub(crate) const fn latest(&self) -> QuotaClass {
        QuotaClass(self.latest)
    }

    /// The class of that name, if it has been seen; else one that nothing has been counted in.
    pub(crate) fn known(&self, name: &str) -> QuotaClass {
        let number = self.numbers.get(name).copied();
        QuotaClass(number.unwrap_or(u32::MAX))
    }

    fn add(&mut self, name: &str) -> u32 {
        // Far fewer than 2³².
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        let name: Arc<str> = Arc::from(name);
        self.names.push(name.clone());
        self.numbers.insert(name, number);
        number
    }

    pub(crate) fn name(&self, class: QuotaClass) -> Option<&str> {
        self.names.get(class.0 as usize).map(|name| &**name)
    }

    /// All classes seen so far.
    pub(crate) fn all(&self) -> impl ExactSizeIterator<Item = QuotaClass> + Clone {
        let count = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        (0..count).map(QuotaClass)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_keeps_its_number_and_their_number_is_bounded() {
        let mut classes = QuotaClasses::default();
        let (sonnet, is_new) = classes.class_of("sonnet");
        assert!(is_new);
        classes.class_of("opus");
        assert_eq!(classes.class_of("sonnet"), (sonnet, false));
        for number in 0..2 * QUOTA_CLASSES_MAX {
            classes.class_of(&number.to_string());
        }
        assert_eq!(classes.all().len(), QUOTA_CLASSES_MAX);
        assert_eq!(classes.known("sonnet"), sonnet);
        assert_eq!(classes.name(sonnet), Some("sonnet"));
    }
}
