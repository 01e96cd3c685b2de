//! A JSON object whose members keep the order in which they were found: keys and providers are
//! shown in the order of the configuration, not of the alphabet.

use serde::{Serialize, Serializer};

/// Members of an object; names are unique.
#[derive(Debug)]
pub(super) struct Named<T>(pub(super) Vec<(String, T)>);

impl<T: Serialize> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}
