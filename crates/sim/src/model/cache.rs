//! Anthropic's prompt cache, one per organisation: a prefix marked with `cache_control` is written
//! once and then read at no cost to the input limit, until five minutes pass without a hit.
//!
//! Simplified: an entry is readable at once, and only the marked prefixes of the request itself are
//! looked up.

use std::collections::HashMap;
use std::time::Duration;

use crate::SimTime;
use crate::dialect::Usage;
use crate::dialect::request::{CachePrefix, Request};

/// Shorter prefixes are not cached.
const PREFIX_TOKENS_MIN: u64 = 1024;

/// Life of an entry after its last use, in minutes.
const LIFE_MINUTES: u32 = 5;

/// Entries kept before the dead ones are cleared out.
const ENTRIES_MAX: usize = 10_000;

/// Prefixes that can be read for a while.
#[derive(Debug)]
pub(crate) struct PromptCache {
    life: Duration,
    entries: HashMap<u64, SimTime>,
}

impl PromptCache {
    pub(crate) fn new(minute: Duration) -> Self {
        Self {
            life: minute.saturating_mul(LIFE_MINUTES),
            entries: HashMap::new(),
        }
    }

    /// What the request reads and writes, when the look-up happens at `now`; `output` is passed on.
    pub(crate) fn usage(&mut self, now: SimTime, request: &Request, output: u64) -> Usage {
        let whole = request.input_tokens;
        let worth = |prefix: &&CachePrefix| prefix.tokens >= PREFIX_TOKENS_MIN;
        let prefixes: Vec<CachePrefix> = request
            .cache_prefixes
            .iter()
            .filter(worth)
            .copied()
            .collect();
        let alive = |prefix: &&CachePrefix| {
            self.entries
                .get(&prefix.hash)
                .is_some_and(|&dies_at| now < dies_at)
        };
        let read = prefixes
            .iter()
            .rev()
            .find(alive)
            .map_or(0, |prefix| prefix.tokens)
            .min(whole);
        let longest = prefixes
            .last()
            .map_or(0, |prefix| prefix.tokens)
            .clamp(read, whole);
        for prefix in &prefixes {
            self.entries.insert(prefix.hash, now + self.life);
        }
        if self.entries.len() > ENTRIES_MAX {
            self.entries.retain(|_, dies_at| now < *dies_at);
        }
        let cache_write = longest - read;
        Usage {
            input: whole - read - cache_write,
            cache_write,
            cache_read: read,
            output,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}
