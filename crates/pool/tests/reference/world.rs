//! Six keys that differ in all that a key can differ in, and the groups some of them share.

use std::time::Duration;

use keypool_pool::{KeyConfig, KeyId, Limits, Timestamp};

/// A few minutes before a midnight, so that days change in some scripts.
pub(crate) const START: Timestamp = Timestamp::from_unix_secs(20_000 * 86_400 - 240);
pub(crate) const MODELS: [&str; 3] = ["claude-a", "claude-b", "gpt-a"];
pub(crate) const TAG: &str = "tagged";

pub(crate) fn id(number: u64) -> KeyId {
    KeyId::from_bits(number + 1)
}

pub(crate) fn limits(choice: u8) -> Limits {
    let none = Limits::default();
    match choice {
        0 => none,
        1 => Limits {
            requests_per_minute: Some(7),
            tokens_per_minute: Some(1000),
            ..none
        },
        2 => Limits {
            input_tokens_per_minute: Some(500),
            max_concurrent: Some(2),
            ..none
        },
        3 => Limits {
            output_tokens_per_minute: Some(150),
            requests_per_day: Some(20),
            ..none
        },
        4 => Limits {
            tokens_per_day: Some(4000),
            requests_per_minute: Some(13),
            ..none
        },
        _ => Limits {
            max_concurrent: Some(1),
            requests_per_minute: Some(60),
            ..none
        },
    }
}

/// Six keys that differ in all that a key can differ in.
pub(crate) fn config(number: u64) -> KeyConfig {
    let mut key = KeyConfig::new(id(number));
    key.limits = limits(u8::try_from(number).unwrap());
    match number {
        0 => key.models = vec!["claude-*".to_owned()],
        1 | 2 => key.quota_group = Some("org".to_owned()),
        3 => key.tags = vec![TAG.to_owned()],
        4 => key.expires_at = Some(START + Duration::from_mins(20)),
        _ => key.quota_group = Some("other".to_owned()),
    }
    if number == 2 {
        key.tags = vec![TAG.to_owned()];
        key.models = vec!["gpt-a".to_owned(), "claude-b".to_owned()];
    }
    key
}

pub(crate) fn groups() -> Vec<(String, Limits)> {
    let org = Limits {
        requests_per_minute: Some(11),
        max_concurrent: Some(4),
        ..limits(0)
    };
    vec![
        ("org".to_owned(), org),
        ("other".to_owned(), Limits::default()),
    ]
}
