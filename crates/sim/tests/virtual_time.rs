//! A pool can be judged in virtual time: the model alone, without sockets and without JSON, through the
//! public interface only.

use std::time::Duration;

use keypool_sim::model::{Ending, Grant, Header, Model, Request};
use keypool_sim::{AnswerConfig, Dialect, Endpoint, Limits, SimConfig, SimTime, Spread};

const KEY: &str = "sk-virtual-1";

/// 2027-01-15T08:00:00Z.
const START: SimTime = SimTime::from_unix_micros(1_800_000_000_000_000);

fn after(millis: u64) -> SimTime {
    START + Duration::from_millis(millis)
}

fn value<'a>(headers: &'a [Header], name: &str) -> Option<&'a str> {
    let mut headers = headers.iter();
    headers
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value.as_str())
}

#[cfg(test)]
/// Asks, lets the answer be produced at once and ends it: status and headers.
fn exchange(model: &mut Model, now: SimTime, request: &Request) -> (u16, Vec<Header>) {
    let verdict = model.ask(now, Endpoint::Messages, KEY, request);
    let status = verdict.reply.status().unwrap();
    let chunks: Vec<u64> = verdict
        .grant()
        .into_iter()
        .flat_map(Grant::chunks)
        .collect();
    let refusal = verdict.refusal().cloned();
    let mut ticket = verdict.ticket.unwrap();
    let headers = match &refusal {
        Some(error) => model.refusal_headers(now, &ticket, error),
        None => model.headers(now, &ticket),
    };
    for tokens in chunks {
        model.produce(now, &mut ticket, tokens);
    }
    model.finish(now, ticket, Ending::Complete);
    (status, headers)
}

#[test]
fn an_hour_of_flood_gets_the_limit_times_the_minutes_and_the_first_bucket() {
    const LIMIT: u64 = 50;
    let config = SimConfig::anthropic(&[KEY], Limits::per_minute(LIMIT));
    let mut model = Model::new(START, &config).unwrap();
    let request = Request::plain("claude-test", 100, Some(100));
    let (mut admitted, mut refused) = (0, 0);
    // Every 100 ms for an hour, the last instant included.
    for tenth in 0..=36_000 {
        let now = after(tenth * 100);
        match exchange(&mut model, now, &request) {
            (200, _) => admitted += 1,
            (429, headers) => {
                refused += 1;
                assert_eq!(
                    value(&headers, "anthropic-ratelimit-requests-remaining"),
                    Some("0")
                );
                // One request is regained in 1.2 s.
                let wait = value(&headers, "retry-after");
                assert!(matches!(wait, Some("1" | "2")), "{wait:?}");
            }
            (status, _) => panic!("{status}"),
        }
    }
    assert_eq!(admitted, LIMIT * 60 + LIMIT);
    let counters = model.counters().key(KEY);
    assert_eq!((counters.admitted, counters.limited), (admitted, refused));
}

#[test]
fn headers_and_refusals_are_rendered_as_they_would_be_sent() {
    let mut config = SimConfig::anthropic(&[KEY], Limits::per_minute(2));
    config.keys[0].workspace = Some("wrkspc_1".to_owned());
    let mut model = Model::new(START, &config).unwrap();
    let request = Request::plain("claude-test", 100, Some(100));
    let (status, headers) = exchange(&mut model, START, &request);
    assert_eq!(status, 200);
    let limit = "anthropic-ratelimit-requests-limit";
    let remaining = "anthropic-ratelimit-requests-remaining";
    assert_eq!(
        (value(&headers, limit), value(&headers, remaining)),
        (Some("2"), Some("1"))
    );
    assert_eq!(
        value(&headers, "anthropic-ratelimit-requests-reset"),
        Some("2027-01-15T08:00:30Z")
    );
    assert_eq!(value(&headers, "retry-after"), None);
    exchange(&mut model, START, &request);
    let verdict = model.ask(START, Endpoint::Messages, KEY, &request);
    let error = verdict.refusal().unwrap().clone();
    assert_eq!(
        (error.status, error.wait()),
        (429, Some(Duration::from_secs(30)))
    );
    let id = verdict.request_id(Dialect::Anthropic);
    let body = error.body(Dialect::Anthropic, &id);
    assert!(body.contains(r#""type":"rate_limit_error""#), "{body}");
    assert!(
        body.ends_with(&format!(r#""request_id":"{id}"}}"#)),
        "{body}"
    );
    let ticket = verdict.ticket.unwrap();
    let headers = model.refusal_headers(START, &ticket, &error);
    model.finish(START, ticket, Ending::Complete);
    assert_eq!(value(&headers, "retry-after"), Some("30"));
    assert_eq!(value(&headers, remaining), Some("0"));
    assert_eq!(value(&headers, "anthropic-workspace-id"), Some("wrkspc_1"));
    assert_eq!(
        value(&headers, "anthropic-organization-id").map(str::len),
        Some(36)
    );
}

#[test]
fn a_grant_tells_usage_and_chunks() {
    let answer = AnswerConfig {
        output_tokens: Spread::Fixed(10),
        chunk_tokens: 4,
        chunk_delay: Duration::from_millis(20),
        ..AnswerConfig::default()
    };
    let config = SimConfig::anthropic(&[KEY], Limits::NONE).with_answer(answer);
    let mut model = Model::new(START, &config).unwrap();
    let request = Request::plain("claude-test", 5000, Some(100))
        .streamed()
        .with_cache_prefix(7, 4000);
    let mut usages = Vec::new();
    for second in 0..2 {
        let now = after(second * 1000);
        let verdict = model.ask(now, Endpoint::Messages, KEY, &request);
        let grant = verdict.grant().unwrap();
        assert_eq!(grant.chunks().collect::<Vec<u64>>(), [4, 4, 2]);
        assert_eq!(grant.pace, Duration::from_millis(20));
        let usage = grant.usage;
        usages.push((usage.input, usage.cache_write, usage.cache_read));
        assert_eq!(usage.output, 10);
        model.finish(now, verdict.ticket.unwrap(), Ending::Complete);
    }
    assert_eq!(usages, [(1000, 4000, 0), (1000, 0, 4000)]);
}

#[test]
fn an_openai_flood_is_held_to_its_tokens_whatever_it_asks_for() {
    let limits = Limits {
        tokens_per_minute: Some(6000),
        ..Limits::NONE
    };
    let config = SimConfig::openai(&[KEY], limits);
    let mut model = Model::new(START, &config).unwrap();
    let request = Request::plain("gpt-test", 10, Some(300));
    let mut tokens = 0;
    for tenth in 0..=6000 {
        let now = after(tenth * 100);
        let verdict = model.ask(now, Endpoint::ChatCompletions, KEY, &request);
        tokens += verdict.grant().map_or(0, |_| 300);
        model.finish(now, verdict.ticket.unwrap(), Ending::Complete);
    }
    // Ten minutes and the first full bucket, at max(input, max_tokens) each.
    assert_eq!(tokens, 6000 * 11);
}
