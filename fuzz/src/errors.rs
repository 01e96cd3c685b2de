//! Error answers: what they mean for key and request, whoever sends them.

use keypool_wire::limits::{EXCERPT_CHARS_MAX, RETRY_AFTER_MAX};
use keypool_wire::{Judgement, KeyVerdict, ProviderKind, RequestVerdict, judge};

use crate::answer::{Answer, HeaderList, NOW, providers};
use crate::secret::{assert_hidden, plant};

/// Judges the answer as each provider's, today or at an end of time.
pub fn check(data: &[u8]) {
    let Some(planted) = plant(data) else {
        return;
    };
    let answer = Answer::read(&planted);
    let headers = HeaderList(&answer.headers);
    let now = match data.len() % 8 {
        0 => 0,
        1 => u64::MAX,
        _ => NOW,
    };
    for provider in providers() {
        let judged = judge(provider, answer.status, &headers, &answer.body, now);
        assert_sound(&judged, provider, now);
    }
}

/// Panics unless a judgement keeps what it promises.
pub(crate) fn assert_sound(judged: &Judgement, provider: ProviderKind, now: u64) {
    let Judgement {
        key,
        request,
        growth,
        code,
        message,
    } = judged;
    if let KeyVerdict::RateLimited {
        until_unix_micros: Some(until),
        ..
    }
    | KeyVerdict::OutOfCredit {
        until_unix_micros: Some(until),
        ..
    } = *key
    {
        assert!(until > now, "{provider:?}: {until} is over: {judged:?}");
        let wait = u128::from(until - now);
        assert!(
            wait <= RETRY_AFTER_MAX.as_micros(),
            "{provider:?}: too far off: {judged:?}"
        );
    }
    match request {
        RequestVerdict::Client | RequestVerdict::SameKeyOnce => assert_eq!(
            *key,
            KeyVerdict::Blameless,
            "no key pays for what the client is told"
        ),
        RequestVerdict::NextProvider => assert_eq!(*key, KeyVerdict::NotServed),
        RequestVerdict::NextKey => assert_ne!(*key, KeyVerdict::NotServed),
    }
    assert!(!growth || matches!(key, KeyVerdict::RateLimited { .. }));
    let is_code_char = |c: char| c.is_ascii_lowercase() || c == '_';
    assert!(!code.is_empty() && code.chars().all(is_code_char), "{code}");
    assert_excerpt(message);
    assert!(!message.is_empty());
}

/// Panics unless a text of a provider's is fit to be shown.
pub(crate) fn assert_excerpt(text: &str) {
    assert!(
        text.chars().count() <= EXCERPT_CHARS_MAX,
        "too long: {text}"
    );
    assert!(!text.chars().any(char::is_control), "{text:?}");
    assert_hidden(text, "an excerpt");
}
