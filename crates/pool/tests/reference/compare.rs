//! What must be equal, or hold, after each step.

use std::fmt::Write;

use keypool_pool::{KeyId, KeySnapshot, MeterSnapshot, Output, Timestamp};

use crate::driver::Driver;
use crate::naive_key::NaiveKey;
use crate::naive_meter::NaiveQuota;

impl Driver {
    /// Everything that shows is equal.
    pub(crate) fn compare(&mut self) {
        self.compare_outputs();
        let now = self.now;
        let next = self
            .naive
            .keys
            .iter()
            .filter_map(|key| key.next_change(now))
            .min();
        assert_eq!(
            self.pool.poll_timeout().map(|(at, _)| at),
            next,
            "next change"
        );
        let snapshot = self.pool.snapshot(now);
        assert_eq!(snapshot.keys.len(), self.naive.keys.len());
        for (shown, key) in snapshot.keys.iter().zip(&self.naive.keys) {
            compare_key(now, shown, key);
        }
        for group in &snapshot.groups {
            let quota = &self.naive.groups[&group.name];
            compare_quota(now, &group.meters, group.in_flight, quota);
        }
    }

    /// The outputs tell every change of state in turn, and ask for every probe that is due.
    fn compare_outputs(&mut self) {
        let now = self.now;
        let mut probes = Vec::new();
        while let Some(output) = self.pool.poll_output(self.now) {
            writeln!(self.history, "{output:?}").unwrap();
            match output {
                Output::StateChanged(change) => {
                    let told = self.told.insert(change.key, change.to).unwrap_or_default();
                    assert_eq!(told, change.from, "{change:?}");
                    assert_ne!(change.from, change.to);
                }
                Output::Probe(key) => probes.push(key),
                Output::Alert(_) => {}
                Output::BreakerChanged(change) => panic!("no request was unserved: {change:?}"),
            }
        }
        assert_eq!(
            sorted(probes),
            sorted(
                [
                    std::mem::take(&mut self.probes),
                    std::mem::take(&mut self.naive.probes)
                ]
                .concat()
            ),
            "probes"
        );
        let present: Vec<KeyId> = self.naive.keys.iter().map(|key| key.config.id).collect();
        self.told.retain(|key, _| present.contains(key));
        for key in &self.naive.keys {
            let told = self.told.entry(key.config.id).or_insert(key.state(now));
            assert_eq!(*told, key.state(now), "{}", key.config.id);
        }
    }

    /// Reserved and used together never exceed a limit at the moment of a grant.
    pub(crate) fn check_within_limits(&mut self, key: KeyId) {
        let snapshot = self.pool.snapshot(self.now);
        let key = snapshot
            .keys
            .iter()
            .find(|shown| shown.config.id == key)
            .unwrap();
        let group = snapshot
            .groups
            .iter()
            .filter(|group| Some(&group.name) == key.config.quota_group.as_ref());
        for meter in key
            .meters
            .iter()
            .chain(group.flat_map(|group| &group.meters))
        {
            assert!(
                meter.remaining >= 0 && meter.used + meter.reserved <= meter.limit,
                "{meter:?}"
            );
        }
    }
}

fn compare_key(now: Timestamp, shown: &KeySnapshot, key: &NaiveKey) {
    let id = key.config.id;
    assert_eq!(shown.config, key.config);
    assert_eq!(shown.state, key.state(now), "{id}");
    assert_eq!(shown.health_score, key.score, "{id}");
    assert_eq!(
        shown.rate_limited_until,
        key.rate_limited_until(now),
        "{id}"
    );
    let outage = key
        .outage
        .as_ref()
        .filter(|outage| outage.ends_at.is_none());
    assert_eq!(
        shown.next_probe,
        outage.map(|outage| outage.next_probe),
        "{id}"
    );
    let classes = &shown.errors_by_class;
    assert_eq!(
        [shown.requests, shown.successes, shown.errors],
        [key.requests, key.successes, key.errors],
        "{id}"
    );
    assert_eq!(
        classes.client_error + classes.cancelled,
        key.forgiven,
        "{id}"
    );
    let ended = key.successes + key.errors + key.forgiven;
    assert_eq!(key.requests, ended + u64::from(shown.in_flight), "{id}");
    let bars = key.bars.iter().filter(|bar| bar.until > now);
    let mut bars: Vec<_> = bars
        .map(|bar| (bar.model.clone(), Some(bar.until)))
        .collect();
    bars.sort();
    let mut barred = shown.barred_models.clone();
    barred.sort();
    assert_eq!(barred, bars, "{id}");
    compare_quota(now, &shown.meters, shown.in_flight, &key.quota);
}

fn compare_quota(now: Timestamp, shown: &[MeterSnapshot], in_flight: u32, quota: &NaiveQuota) {
    assert_eq!(in_flight, quota.in_flight);
    let count = quota.meters.len() + usize::from(quota.max_concurrent.is_some());
    assert_eq!(shown.len(), count);
    for (shown, meter) in shown.iter().zip(&quota.meters) {
        assert_eq!(shown.dimension, meter.dimension);
        assert_eq!(
            (shown.limit, shown.remaining),
            (meter.limit(), meter.remaining(now))
        );
        assert!(shown.resets_at >= now);
    }
}

pub(crate) fn sorted(mut keys: Vec<KeyId>) -> Vec<KeyId> {
    keys.sort_unstable();
    keys
}
