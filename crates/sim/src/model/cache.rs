//! The prompt cache of an organisation, cut into scopes: a prefix marked with `cache_control` is written
//! once and then read at no cost to the input limit, until five minutes pass without a hit. A pool that
//! moves a conversation to another scope pays for the write again.
//!
//! Simplified: an entry is readable at once, and only the marked prefixes of the request itself are
//! looked up.
//!
//! Worked example: two keys of one workspace share what either wrote; a key of another workspace of the
//! same organisation writes it anew.

use std::collections::HashMap;
use std::time::Duration;

use crate::SimTime;
use crate::dialect::Usage;
use crate::dialect::ids::fingerprint_of;
use crate::dialect::request::{CachePrefix, Request};

/// Shorter prefixes are not cached.
const PREFIX_TOKENS_MIN: u64 = 1024;

/// Life of an entry after its last use, in minutes.
const LIFE_MINUTES: u32 = 5;

/// Entries kept; beyond them the dead ones go, and then the older half, so that the memory of a
/// long run stays where it is.
const ENTRIES_MAX: usize = 10_000;

/// Where an entry is found: scope, model, prefix.
type Place = (u64, u64, u64);

/// Prefixes that can be read for a while.
#[derive(Debug)]
pub(crate) struct PromptCache {
    life: Duration,
    entries: HashMap<Place, SimTime>,
}

impl PromptCache {
    pub(crate) fn new(minute: Duration) -> Self {
        Self {
            life: minute.saturating_mul(LIFE_MINUTES),
            entries: HashMap::new(),
        }
    }

    /// What the request reads and would write in this scope, when the look-up happens at `now`;
    /// `output` is passed on. Nothing is written yet.
    pub(crate) fn usage(&self, now: SimTime, scope: u64, request: &Request, output: u64) -> Usage {
        let whole = request.input_tokens;
        let mut usage = Usage {
            input: whole,
            output,
            ..Usage::default()
        };
        if request.cache_prefixes.is_empty() {
            return usage;
        }
        let model = fingerprint_of(&request.model);
        let alive = |prefix: &&CachePrefix| {
            let dies_at = self.entries.get(&(scope, model, prefix.hash));
            dies_at.is_some_and(|&dies_at| now < dies_at)
        };
        let read = cacheable(request)
            .rev()
            .find(alive)
            .map_or(0, |prefix| prefix.tokens)
            .min(whole);
        let longest = cacheable(request)
            .next_back()
            .map_or(0, |prefix| prefix.tokens)
            .clamp(read, whole);
        usage.cache_read = read;
        usage.cache_write = longest - read;
        usage.input = whole - longest;
        usage
    }

    /// Writes the prefixes of an admitted request, and lets those that it read live on.
    pub(crate) fn write(&mut self, now: SimTime, scope: u64, request: &Request) {
        if request.cache_prefixes.is_empty() {
            return;
        }
        let model = fingerprint_of(&request.model);
        for prefix in cacheable(request) {
            self.entries
                .insert((scope, model, prefix.hash), now + self.life);
        }
        if self.entries.len() > ENTRIES_MAX {
            self.make_room(now);
        }
    }

    fn make_room(&mut self, now: SimTime) {
        self.entries.retain(|_, dies_at| now < *dies_at);
        if self.entries.len() <= ENTRIES_MAX / 2 {
            return;
        }
        let mut deaths: Vec<SimTime> = self.entries.values().copied().collect();
        let middle = deaths.len() / 2;
        let (_, &mut median, _) = deaths.select_nth_unstable(middle);
        self.entries.retain(|_, dies_at| median < *dies_at);
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}

/// The marked prefixes that are long enough, shortest first.
fn cacheable(request: &Request) -> impl DoubleEndedIterator<Item = &CachePrefix> {
    let prefixes = request.cache_prefixes.iter();
    prefixes.filter(|prefix| prefix.tokens >= PREFIX_TOKENS_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_stays_bounded_and_keeps_what_was_used_last() {
        let mut cache = PromptCache::new(Duration::from_mins(1));
        let ask = |id| Request::plain("m", 3000, None).with_cache_prefix(id, 2000);
        let at = |id: u64| SimTime::from_unix_micros(1_000_000 + id);
        for id in 0..100_000 {
            cache.write(at(id), 0, &ask(id));
            assert!(cache.entries.len() <= ENTRIES_MAX);
        }
        let read = |id| cache.usage(at(100_000), 0, &ask(id), 1).cache_read;
        assert_eq!((read(99_999), read(0)), (2000, 0));
    }
}
