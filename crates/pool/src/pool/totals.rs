//! The pool's quota as one: what clients are told in place of one key's quota.

use std::collections::BTreeSet;

use crate::key::Key;
use crate::limits::Dimension;
use crate::quota_class::QuotaClass;
use crate::snapshot::MeterSnapshot;
use crate::time::Timestamp;

use super::Pool;

impl Pool {
    /// For one model class: the sum of limits and of what remains per dimension, over all quotas that can be used, with
    /// the earliest reset. A dimension in which some usable key is not limited has no sum and is
    /// left out. Takes time in proportion to the number of keys.
    pub fn quota_totals(&mut self, now: Timestamp, model_class: &str) -> Vec<MeterSnapshot> {
        self.begin(now);
        self.totals_of(self.classes.known(model_class))
    }

    pub(super) fn totals_of(&self, class: QuotaClass) -> Vec<MeterSnapshot> {
        let usable: Vec<&Key> = self
            .order
            .values()
            .filter_map(|&handle| self.keys.get(handle))
            .filter(|key| key.config.enabled && !key.health.is_out())
            .collect();
        let totals = |dimension| self.total_of(dimension, class, &usable);
        Dimension::METERED.into_iter().filter_map(totals).collect()
    }

    fn total_of(
        &self,
        dimension: Dimension,
        class: QuotaClass,
        usable: &[&Key],
    ) -> Option<MeterSnapshot> {
        let mut seen = BTreeSet::new();
        let mut total: Option<MeterSnapshot> = None;
        for key in usable {
            let group = key.group.and_then(|handle| self.groups.get(handle));
            let shared = group.and_then(|group| {
                let meter = group.meters.snapshot_of(dimension, class, self.now)?;
                Some((&group.name, meter))
            });
            let own = key.meters.snapshot_of(dimension, class, self.now);
            let meter = match shared {
                // A shared quota counts once, whichever of its keys names it first.
                Some((name, _)) if !seen.insert(name) => continue,
                Some((_, meter)) => meter,
                None => own?,
            };
            total = Some(match total {
                None => meter,
                Some(sum) => added(&sum, &meter),
            });
        }
        total
    }
}

fn added(sum: &MeterSnapshot, meter: &MeterSnapshot) -> MeterSnapshot {
    MeterSnapshot {
        dimension: sum.dimension,
        model_class: None,
        limit: sum.limit.saturating_add(meter.limit),
        used: sum.used.saturating_add(meter.used),
        reserved: sum.reserved.saturating_add(meter.reserved),
        remaining: sum.remaining.saturating_add(meter.remaining.max(0)),
        resets_at: sum.resets_at.min(meter.resets_at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeyConfig, KeyId, Limits, PoolConfig};

    const NOW: Timestamp = Timestamp::from_unix_secs(1_700_000_000);

    fn key(id: u64, requests_per_minute: Option<u64>, group: Option<&str>) -> KeyConfig {
        KeyConfig {
            limits: Limits {
                requests_per_minute,
                ..Limits::default()
            },
            quota_group: group.map(str::to_owned),
            ..KeyConfig::new(KeyId::from_bits(id))
        }
    }

    fn totals(keys: Vec<KeyConfig>) -> Vec<(Dimension, u64, i64)> {
        let shared = Limits {
            requests_per_minute: Some(100),
            ..Limits::default()
        };
        let quota_groups = vec![("org".to_owned(), shared)];
        let config = PoolConfig {
            quota_groups,
            keys,
            ..PoolConfig::default()
        };
        let mut pool = Pool::new(NOW, config).unwrap();
        let shown = |meter: MeterSnapshot| (meter.dimension, meter.limit, meter.remaining);
        pool.quota_totals(NOW, "m").into_iter().map(shown).collect()
    }

    #[test]
    fn independent_quotas_add_up_and_a_shared_one_counts_once() {
        let requests = Dimension::RequestsPerMinute;
        assert_eq!(
            totals(vec![key(1, Some(50), None), key(2, Some(50), None)]),
            [(requests, 100, 100)]
        );
        assert_eq!(
            totals(vec![
                key(1, None, Some("org")),
                key(2, None, Some("org")),
                key(3, Some(5), None)
            ]),
            [(requests, 105, 105)]
        );
    }

    #[test]
    fn a_dimension_in_which_some_key_is_not_limited_has_no_sum() {
        assert_eq!(totals(vec![key(1, Some(50), None), key(2, None, None)]), []);
    }
}
