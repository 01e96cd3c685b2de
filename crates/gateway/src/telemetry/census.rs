//! What the keys of providers look like at one instant, under names fit for people.

use std::collections::HashMap;
use std::sync::Arc;

use keypool_pool::{BreakerSnapshot, GroupSnapshot, KeySnapshot, MeterSnapshot, Strategy};

use crate::provider::{Provider, UpstreamKey};

/// A provider at one instant.
#[derive(Debug)]
pub(crate) struct ProviderView {
    /// The provider itself.
    pub(crate) provider: Arc<Provider>,
    /// The strategy in force.
    pub(crate) strategy: Strategy,
    /// Its keys, in configuration order.
    pub(crate) keys: Vec<KeyView>,
    /// Its quota groups.
    pub(crate) groups: Vec<GroupSnapshot>,
    /// Requests that wait for room.
    pub(crate) queued: u64,
    /// How far estimates of tokens are off, once any were compared with the truth.
    pub(crate) estimate_error: Option<f64>,
    /// Its circuit breakers.
    pub(crate) breakers: Vec<BreakerSnapshot>,
}

/// A key at one instant.
#[derive(Debug)]
pub(crate) struct KeyView {
    /// Its mask; a further key with the same mask carries `#2` and so on.
    pub(crate) mask: String,
    /// Its secret and what the gateway counts about it.
    pub(crate) upstream: Arc<UpstreamKey>,
    /// What the pool knows about it.
    pub(crate) now: KeySnapshot,
}

/// Looks at all keys of some providers. No two of them have the same name within one answer.
#[must_use]
pub(crate) fn census(providers: &[Arc<Provider>]) -> Vec<ProviderView> {
    let mut names = Names::default();
    providers
        .iter()
        .map(|provider| view(provider, &mut names))
        .collect()
}

fn view(provider: &Arc<Provider>, names: &mut Names) -> ProviderView {
    let (snapshot, queued, estimate_error, breakers) = provider.pool.with(|pool, now| {
        let queued = pool.queue_snapshot().length;
        let breakers = pool.breakers(now);
        (pool.snapshot(now), queued, pool.estimate_error(), breakers)
    });
    let key_view = |now: KeySnapshot| {
        // A key that was removed between the two looks is as good as not there.
        let upstream = provider.key(now.config.id)?;
        Some(KeyView {
            mask: names.assign(&upstream.mask),
            upstream,
            now,
        })
    };
    ProviderView {
        provider: provider.clone(),
        strategy: snapshot.strategy,
        keys: snapshot.keys.into_iter().filter_map(key_view).collect(),
        groups: snapshot.groups,
        queued: u64::try_from(queued).unwrap_or(u64::MAX),
        estimate_error,
        breakers,
    }
}

impl ProviderView {
    /// The meters that bound a key: its own and its quota group's.
    pub(crate) fn meters_of<'a>(
        &'a self,
        key: &'a KeyView,
    ) -> impl Iterator<Item = &'a MeterSnapshot> {
        let group = key.now.config.quota_group.as_deref();
        let shared = self
            .groups
            .iter()
            .filter(move |shared| Some(shared.name.as_str()) == group);
        key.now
            .meters
            .iter()
            .chain(shared.flat_map(|shared| &shared.meters))
    }
}

/// Tells keys with equal masks apart.
#[derive(Debug, Default)]
pub(crate) struct Names {
    seen: HashMap<String, u32>,
}

impl Names {
    /// The mask, with `#2`, `#3` … when it has been given out before.
    pub(crate) fn assign(&mut self, mask: &str) -> String {
        let count = self.seen.entry(mask.to_owned()).or_default();
        *count += 1;
        if *count == 1 {
            mask.to_owned()
        } else {
            format!("{mask}#{count}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_masks_are_told_apart_in_order() {
        // acceptance 39
        let mut names = Names::default();
        let given = [
            "sk-a****key1",
            "****",
            "sk-a****key1",
            "sk-a****key2",
            "sk-a****key1",
        ];
        assert_eq!(
            given.map(|mask| names.assign(mask)),
            [
                "sk-a****key1",
                "****",
                "sk-a****key1#2",
                "sk-a****key2",
                "sk-a****key1#3"
            ]
        );
    }
}
