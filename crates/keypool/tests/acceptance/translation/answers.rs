//! Answers, plain and streamed, in the client's words.

use keypool_sim::Fault;
use serde_json::json;

use super::{PAIRS, Pair, is_end, piece_of, text_in, text_of, usage_of};
use crate::support::{Api, mask};

#[tokio::test]
async fn a_plain_answer_comes_in_the_clients_api_and_is_counted_as_the_provider_states_it() {
    for pair in PAIRS {
        let world = Pair::world().await;
        let answer = pair.post(&world, &pair.body()).await;
        answer.assert_ok();
        assert_eq!(answer.header("content-type"), "application/json");
        assert!(!text_of(pair.client, &answer).is_empty(), "{pair:?}");
        let model = match pair.client {
            Api::Gemini => &answer.json()["modelVersion"],
            _ => &answer.json()["model"],
        };
        assert_eq!(model, pair.provider.model(), "{pair:?}");
        assert_eq!(answer.key(), mask(&pair.key()), "{pair:?}");
        assert_eq!(answer.header("x-keypool-translation"), pair.told());
        let stated = usage_of(pair.client, &answer.json());
        assert!(stated.0 > 0 && stated.1 > 0, "{}", answer.text());
        assert_eq!(pair.counted(&world).await, stated, "{pair:?}");
    }
}

#[tokio::test]
async fn a_streamed_answer_comes_in_the_clients_api_and_is_counted_as_the_provider_states_it() {
    for pair in PAIRS {
        let world = Pair::world().await;
        let mut body = pair.streamed();
        if pair.client == Api::Chat {
            body["stream_options"] = json!({"include_usage": true});
        }
        let answer = pair.post(&world, &body).await;
        answer.assert_ok();
        let content_type = answer.header("content-type");
        assert!(content_type.starts_with("text/event-stream"));
        assert_eq!(answer.header("x-keypool-translation"), pair.told());
        let events = answer.events();
        assert!(!text_in(pair.client, &events).is_empty(), "{pair:?}");
        assert!(is_end(pair.client, events.last().unwrap()), "{pair:?}");
        let stated = events.iter().map(|event| {
            let body = event.json();
            let at_top = usage_of(pair.client, &body);
            at_top.max(usage_of(pair.client, &body["response"]))
        });
        let counted = pair.counted(&world).await;
        assert!(counted.0 > 0 && counted.1 > 0, "{pair:?}");
        assert_eq!(stated.max(), Some(counted), "{pair:?}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_chat_client_gets_a_usage_chunk_only_if_it_asked_for_one() {
    let world = Pair::world().await;
    let pair = PAIRS[1];
    let answer = pair.post(&world, &pair.streamed()).await;
    assert!(!answer.text().contains("usage"), "{}", answer.text());
}

#[tokio::test]
async fn a_stream_is_translated_event_by_event_and_not_held_until_it_ends() {
    for pair in PAIRS {
        let world = Pair::world().await;
        // It never goes on: what comes, comes before the end.
        world.fault(&pair.key(), Fault::StallStream { after_events: 4 });
        let mut answer = pair.post(&world, &pair.streamed()).open().await;
        loop {
            let event = answer.event().await;
            if !piece_of(pair.client, &event).is_empty() {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_provider_that_answers_whole_where_a_stream_was_asked_for_is_heard_all_the_same() {
    for pair in PAIRS {
        let world = Pair::world().await;
        let mut own = pair.provider.body();
        own["model"] = pair.model().into();
        let whole = world.send(pair.provider, &own).await;
        let whole_answer = Fault::Verbatim {
            status: 200,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: whole.text(),
        };
        world.fault(&pair.key(), whole_answer);
        let answer = pair.post(&world, &pair.streamed()).await;
        answer.assert_ok();
        assert_eq!(answer.header("content-type"), "text/event-stream");
        let events = answer.events();
        assert_eq!(
            text_in(pair.client, &events),
            text_of(pair.provider, &whole),
            "{pair:?}"
        );
        assert!(is_end(pair.client, events.last().unwrap()), "{pair:?}");
    }
}

#[tokio::test]
async fn the_pools_quota_is_told_in_the_clients_header_names() {
    let limit = json!({ "requestsPerMinute": 100 });
    let setup = Pair::setup(1).every_key("rateLimit", &limit);
    let world = setup.start().await;
    for pair in PAIRS {
        let answer = pair.post(&world, &pair.body()).await;
        let header = match pair.client {
            Api::Messages => "anthropic-ratelimit-requests-limit",
            // Google's API has no such headers.
            Api::Gemini => {
                assert!(!format!("{:?}", answer.headers).contains("ratelimit"));
                continue;
            }
            _ => "x-ratelimit-limit-requests",
        };
        assert_eq!(answer.header(header), "100", "{:?}", answer.headers);
    }
}
