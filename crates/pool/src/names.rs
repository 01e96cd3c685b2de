//! Model names in use, shared instead of copied for each lease.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::bounds::MODEL_NAMES_KEPT;

/// The last few names, most recent first.
#[derive(Debug, Default)]
pub(crate) struct ModelNames(SmallVec<[Arc<str>; MODEL_NAMES_KEPT]>);

impl ModelNames {
    pub(crate) fn share(&mut self, name: &str) -> Arc<str> {
        match self.0.iter().position(|known| **known == *name) {
            Some(0) => {}
            Some(position) => {
                if let Some(up_to_it) = self.0.get_mut(..=position) {
                    up_to_it.rotate_right(1);
                }
            }
            None => {
                self.0.truncate(MODEL_NAMES_KEPT - 1);
                self.0.insert(0, Arc::from(name));
            }
        }
        self.0.first().cloned().unwrap_or_else(|| Arc::from(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_use_is_shared_and_their_number_is_bounded() {
        let mut names = ModelNames::default();
        let first = names.share("a");
        names.share("b");
        assert!(Arc::ptr_eq(&first, &names.share("a")));
        for number in 0..100 {
            assert_eq!(&*names.share(&number.to_string()), number.to_string());
        }
        assert_eq!(names.0.len(), MODEL_NAMES_KEPT);
    }
}
