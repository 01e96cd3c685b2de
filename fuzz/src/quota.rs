//! What answers say of quotas, in headers and in the bodies of refusals.

use std::collections::HashSet;

use keypool_wire::limits::{OWNER_ID_BYTES_MAX, QUOTA_MAX, QUOTA_READINGS_MAX, RETRY_AFTER_MAX};
use keypool_wire::{QuotaReadings, quota_owner, quota_readings, quota_readings_of_error};

use crate::answer::{Answer, HeaderList, NOW, providers};

/// Reads the answer as each provider's.
pub fn check(data: &[u8]) {
    let answer = Answer::read(data);
    let headers = HeaderList(&answer.headers);
    let shouted: Vec<_> = answer
        .headers
        .iter()
        .map(|(name, value)| (name.to_ascii_uppercase(), value.clone()))
        .collect();
    for provider in providers() {
        for now in [NOW, 0, u64::MAX] {
            let readings = quota_readings(provider, &headers, now);
            assert_sane(&readings);
            assert_eq!(
                quota_readings(provider, &HeaderList(&shouted), now),
                readings,
                "names of headers have no case"
            );
        }
        assert_sane(&quota_readings_of_error(
            provider,
            answer.status,
            &answer.body,
        ));
        let owner = quota_owner(provider, &headers);
        for name in [owner.organisation, owner.workspace].into_iter().flatten() {
            assert!(!name.is_empty() && name.len() <= OWNER_ID_BYTES_MAX && name == name.trim());
        }
    }
}

fn assert_sane(readings: &QuotaReadings) {
    assert!(readings.len() <= QUOTA_READINGS_MAX);
    let mut known = HashSet::new();
    for reading in readings {
        let (limit, remaining) = (reading.limit, reading.remaining);
        assert!(
            known.insert((reading.counted, reading.period)),
            "twice: {reading:?}"
        );
        assert!(limit.is_some() || remaining.is_some(), "{reading:?}");
        assert!(limit.unwrap_or(0) <= QUOTA_MAX && remaining.unwrap_or(0) <= QUOTA_MAX);
        if let (Some(limit), Some(remaining)) = (limit, remaining) {
            assert!(remaining <= limit, "{reading:?}");
        }
        assert!(limit != Some(0) || remaining == Some(0), "{reading:?}");
        assert!(reading.resets_in.is_none_or(|wait| wait <= RETRY_AFTER_MAX));
        assert!(reading.grain >= 1);
    }
}
