//! Every way in which the simulated providers can fail, in each dialect: what the client gets with
//! another key at hand, what it gets with none, and what the failing key is blamed for.

use std::time::Duration;

use keypool_sim::{Fault, FaultWindow, Spread};
use serde_json::Value;

use crate::support::{Api, Event, Setup, World, mask};

/// Both providers with this many keys, used in order, short clocks, and streams of ten pieces of text.
async fn pool(keys: usize) -> World {
    setup(keys).start().await
}

fn setup(keys: usize) -> Setup {
    Setup::both(keys)
        .strategy("fill-first")
        .set("/ApiKeyPool/timeouts/firstByte", 500)
        .set("/ApiKeyPool/timeouts/idle", 300)
        .sim(|sim| sim.answer.output_tokens = Spread::Fixed(40))
}

/// What can go wrong before an answer begins: the fault, and the status of the answer when there is no
/// other key, for Anthropic and for the others.
fn before_the_answer() -> Vec<(Fault, u16, u16)> {
    vec![
        (Fault::Unauthorized, 503, 503),
        (Fault::Forbidden, 503, 503),
        (Fault::rate_limited(2), 429, 429),
        (Fault::rate_limited_bare(), 429, 429),
        (
            Fault::rate_limited_with_code("insufficient_quota"),
            429,
            503,
        ),
        (Fault::status(500), 500, 500),
        (Fault::status(503), 503, 503),
        (Fault::overloaded(), 529, 529),
        (Fault::Hang, 504, 504),
        (Fault::ResetBeforeHead, 502, 502),
        (Fault::Garbage, 502, 502),
        (Fault::HtmlGateway, 502, 502),
    ]
}

// acceptance 57, 58, 59
#[tokio::test]
async fn whatever_goes_wrong_before_the_answer_is_cured_by_another_key() {
    for (fault, ..) in before_the_answer() {
        let world = pool(2).await;
        for api in [Api::Messages, Api::Chat] {
            world.fault(&api.key(1), fault.clone());
            for call in [world.ask(api), world.ask_stream(api)] {
                let answer = call.await;
                assert_eq!(answer.status, 200, "{api:?} {fault:?}: {}", answer.text());
                assert_eq!(answer.key(), mask(&api.key(2)), "{api:?} {fault:?}");
            }
            assert_eq!(world.score(&api.key(2)).await, 100, "{api:?} {fault:?}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_cured_is_told_in_the_clients_dialect() {
    for (fault, anthropic, openai) in before_the_answer() {
        for streamed in [false, true] {
            let world = setup(1).without_waiting().start().await;
            for (api, status) in [(Api::Messages, anthropic), (Api::Chat, openai)] {
                world.fault(&api.key(1), fault.clone());
                let call = if streamed {
                    world.ask_stream(api)
                } else {
                    world.ask(api)
                };
                let answer = call.await;
                assert_eq!(
                    answer.status,
                    status,
                    "{api:?} {fault:?}: {}",
                    answer.text()
                );
                // Its shape is checked on the way.
                api.error_code(&answer);
            }
        }
    }
}

#[tokio::test]
async fn an_overload_that_must_be_passed_on_says_when_to_come_back() {
    let world = pool(2).await;
    for api in [Api::Messages, Api::Chat] {
        world
            .sim
            .sim()
            .set_faults_of_all(vec![Fault::overloaded().into()]);
        let answer = world.ask(api).await;
        assert_eq!(answer.status, 529, "{api:?}");
        let wait: u64 = answer.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
        for secret in [api.key(1), api.key(2)] {
            assert_eq!(
                world.score(&secret).await,
                100,
                "an overload is no key's fault"
            );
        }
    }
}

#[tokio::test]
async fn a_slow_first_byte_is_waited_for_within_its_time() {
    let world = pool(1).await;
    for api in [Api::Messages, Api::Chat] {
        world.fault(
            &api.key(1),
            Fault::SlowHead {
                delay: Duration::from_millis(250),
            },
        );
        world.ask(api).await.assert_ok();
        world.ask_stream(api).await.assert_ok();
    }
}

#[tokio::test]
async fn an_error_as_first_event_of_a_200_is_cured_by_another_key() {
    for api in Api::STREAMED {
        let world = pool(2).await;
        world.fault(&api.key(1), Fault::error_as_first_event());
        let answer = world.ask_stream(api).await;
        answer.assert_ok();
        assert_eq!(answer.key(), mask(&api.key(2)), "{api:?}");
        assert_complete(api, &answer.events());
        assert!(!answer.text().contains("verloaded"), "{}", answer.text());
    }
}

#[tokio::test]
async fn an_error_after_the_preamble_is_cured_as_well() {
    // message_start; the chunk with the role; response.created.
    for api in Api::STREAMED {
        let world = pool(2).await;
        world.fault(
            &api.key(1),
            Fault::StreamError {
                after_events: 1,
                code: None,
            },
        );
        let answer = world.ask_stream(api).await;
        assert_eq!(answer.key(), mask(&api.key(2)), "{api:?}");
        assert_complete(api, &answer.events());
    }
}

/// How a stream breaks in its middle.
fn in_the_middle() -> [Fault; 4] {
    let after_events = 6;
    [
        Fault::ResetMidStream { after_events },
        Fault::TruncateStream { after_events },
        Fault::StallStream { after_events },
        Fault::StreamError {
            after_events,
            code: None,
        },
    ]
}

// clients.md: an early clean end is silently taken for a full answer by most SDKs.
#[tokio::test]
async fn a_stream_that_breaks_never_ends_as_if_it_were_complete() {
    for fault in in_the_middle() {
        let world = pool(2).await;
        for api in Api::STREAMED {
            world.fault(&api.key(1), fault.clone());
            let mut answer = world.ask_stream(api).open().await;
            let first = answer.event().await;
            assert!(!is_error(&first), "{api:?} {fault:?}");
            let events = answer.ending().await.events();
            let last = events.last().unwrap();
            assert!(is_error(last), "{api:?} {fault:?}: {last:?}");
            assert!(!is_last_event(api, last), "{api:?} {fault:?}");
            let errors = events.iter().filter(|event| is_error(event)).count();
            assert_eq!(errors, 1, "{api:?} {fault:?}: one error is enough");
        }
    }
}

#[tokio::test]
async fn a_broken_stream_counts_as_failed_and_its_lease_is_settled() {
    let world = pool(2).await;
    let api = Api::Messages;
    world.fault(
        &api.key(1),
        FaultWindow::next(1, Fault::ResetMidStream { after_events: 6 }),
    );
    world.ask_stream(api).open().await.ending().await;
    let metrics = world.details(api.provider(), &api.key(1)).await["metrics"].take();
    assert_eq!(
        (&metrics["successes"], &metrics["inFlight"]),
        (&0.into(), &0.into())
    );
    assert_eq!(metrics["errorsByClass"]["reset"], 1);
    world.ask_stream(api).await.assert_ok();
}

// An error whose body quotes the whole key, as some compatible servers' do.
#[tokio::test]
async fn a_provider_that_quotes_a_key_does_not_make_the_gateway_show_it() {
    let world = pool(1).await;
    for api in [Api::Messages, Api::Chat] {
        for status in [400, 401, 429, 500] {
            let body = format!(
                r#"{{"type":"error","error":{{"type":"x","message":"wrong key {}"}}}}"#,
                api.key(1)
            );
            world.fault(
                &api.key(1),
                Fault::Verbatim {
                    status,
                    headers: Vec::new(),
                    body,
                },
            );
            // Its answer, the log and the health report are searched for the key when the world ends.
            assert!(world.ask(api).await.status >= 400);
            world.health(&api.key(1)).await;
            world.get("/metrics").await.assert_ok();
        }
    }
}

#[tokio::test]
async fn a_break_in_a_plain_answer_is_cured_by_another_key() {
    for api in Api::ALL {
        let world = pool(2).await;
        world.fault(&api.key(1), Fault::ResetMidStream { after_events: 1 });
        let answer = world.ask(api).await;
        answer.assert_ok();
        assert_eq!(answer.key(), mask(&api.key(2)), "{api:?}");
    }
}

fn is_error(event: &Event) -> bool {
    let data = event.json();
    event.name == "error" || data["type"] == "error" || data["error"] != Value::Null
}

fn is_last_event(api: Api, event: &Event) -> bool {
    event.name == api.last_event() || event.data == api.last_event()
}

#[track_caller]
fn assert_complete(api: Api, events: &[Event]) {
    let last = events.last().unwrap();
    assert!(is_last_event(api, last), "{api:?}: {last:?}");
    assert!(!events.iter().any(is_error), "{api:?}");
}
