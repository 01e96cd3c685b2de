//! A growable table whose slots are reused, with handles that notice reuse.
//!
//! A lease outlives the key that granted it when the key is removed meanwhile. Its handle then
//! finds an empty slot, or one of another generation, and the settlement is dropped without harm
//! instead of hitting whoever took the place.

/// A slot and the generation in which it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Handle {
    index: u32,
    generation: u32,
}

impl Handle {
    pub(crate) const fn index(self) -> usize {
        self.index as usize
    }

    #[cfg(test)]
    pub(crate) const fn for_test(index: u32) -> Self {
        Self {
            index,
            generation: 0,
        }
    }
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    /// How many values it holds.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn insert(&mut self, value: T) -> Handle {
        if let Some(index) = self.free.pop()
            && let Some(slot) = self.slots.get_mut(index as usize)
        {
            slot.value = Some(value);
            return Handle {
                index,
                generation: slot.generation,
            };
        }
        // The bounds on keys and groups are far below 2³².
        let index = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(Slot {
            generation: 0,
            value: Some(value),
        });
        Handle {
            index,
            generation: 0,
        }
    }

    pub(crate) fn remove(&mut self, handle: Handle) -> Option<T> {
        let slot = self
            .slots
            .get_mut(handle.index())
            .filter(|slot| slot.generation == handle.generation)?;
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(handle.index);
        Some(value)
    }

    pub(crate) fn get(&self, handle: Handle) -> Option<&T> {
        let slot = self.slots.get(handle.index())?;
        if slot.generation == handle.generation {
            slot.value.as_ref()
        } else {
            None
        }
    }

    pub(crate) fn get_mut(&mut self, handle: Handle) -> Option<&mut T> {
        let slot = self.slots.get_mut(handle.index())?;
        if slot.generation == handle.generation {
            slot.value.as_mut()
        } else {
            None
        }
    }

    /// The value at an index, whatever its generation.
    pub(crate) fn at(&self, index: usize) -> Option<&T> {
        self.slots.get(index)?.value.as_ref()
    }

    /// The handle of the value at an index.
    pub(crate) fn handle_at(&self, index: usize) -> Option<Handle> {
        let slot = self.slots.get(index)?;
        slot.value.as_ref()?;
        Some(Handle {
            index: u32::try_from(index).ok()?,
            generation: slot.generation,
        })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Handle, &T)> {
        (0u32..).zip(&self.slots).filter_map(|(index, slot)| {
            let handle = Handle {
                index,
                generation: slot.generation,
            };
            slot.value.as_ref().map(|value| (handle, value))
        })
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Handle, &mut T)> {
        (0u32..).zip(&mut self.slots).filter_map(|(index, slot)| {
            let handle = Handle {
                index,
                generation: slot.generation,
            };
            slot.value.as_mut().map(|value| (handle, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_of_a_removed_value_finds_nothing_even_when_the_slot_is_taken_again() {
        let mut slab = Slab::new();
        let first = slab.insert("first");
        assert_eq!(slab.remove(first), Some("first"));
        let second = slab.insert("second");
        assert_eq!(second.index(), first.index());
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get(second), Some(&"second"));
        assert_eq!(slab.len(), 1);
    }
}
