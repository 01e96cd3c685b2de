//! Group G: an answer that begins while its request still waits (`queue.keepAlive`).

use keypool_sim::{Fault, FaultWindow};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::{Answer, Api, Event, OpenAnswer, Setup, World, eventually, mask};
use crate::waiting::{queue, waiting};

/// What the provider writes in every answer.
const TEXT: &str = "Some answers are worth waiting for, and this one is among them.";

/// A configured wait that is over at once, and yet is one.
const AT_ONCE_MS: u64 = 20;

/// A key for which requests wait, and whose answers begin soon though they wait.
fn kept_alive() -> Setup {
    Setup::both(1)
        .every_key("rateLimit", &json!({ "maxConcurrent": 1 }))
        .set("/ApiKeyPool/queue/keepAlive", AT_ONCE_MS)
        .sim(|sim| sim.answer.text = Some(TEXT.to_owned()))
}

/// Takes the only key with a request that is never answered; it has room again when the client leaves.
async fn occupied(world: &World, api: Api) -> JoinHandle<Answer> {
    world.fault(&api.key(1), FaultWindow::next(1, Fault::Hang));
    let first = world.ask(api).spawn();
    eventually("the key is taken", async || {
        (world.counted(&api.key(1)).faults == 1).then_some(())
    })
    .await;
    first
}

/// The head and the first sign of life of an answer to a request that waits.
async fn sign_of_life(answer: &mut OpenAnswer, api: Api) {
    assert_eq!(answer.status, 200, "{api:?}");
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    assert!(answer.headers.contains_key("x-keypool-request-id"));
    let event = answer.event().await;
    assert!(is_sign_of_life(&event, api), "{api:?}: {event:?}");
}

fn is_sign_of_life(event: &Event, api: Api) -> bool {
    match api {
        Api::Messages => event.name == "ping" && event.json() == json!({ "type": "ping" }),
        // A comment has neither a name nor data.
        Api::Chat | Api::Responses | Api::Embeddings | Api::Gemini => {
            event.name.is_empty() && event.data.is_empty()
        }
    }
}

/// The text that a stream brings.
fn text(events: &[Event], api: Api) -> String {
    let piece = |event: &Event| {
        let event = event.json();
        let piece = match api {
            Api::Messages => &event["delta"]["text"],
            Api::Chat => &event["choices"][0]["delta"]["content"],
            Api::Responses | Api::Embeddings => &event["delta"],
            Api::Gemini => &event["candidates"][0]["content"]["parts"][0]["text"],
        };
        piece.as_str().unwrap_or_default().to_owned()
    };
    events.iter().map(piece).collect()
}

/// What a client takes the last event of a stream to be.
fn kind(event: &Event) -> &str {
    if event.name.is_empty() {
        &event.data
    } else {
        &event.name
    }
}

fn has_end(events: &[Event], api: Api) -> bool {
    events.iter().any(|event| kind(event) == api.last_event())
}

/// The rest of a stream, which must end in the API's own error event, and in nothing that could be taken
/// for a regular end; its code and its message.
async fn error_at_the_end(answer: OpenAnswer, api: Api) -> (String, String) {
    let ending = answer.ending().await;
    let events = ending.events();
    assert!(!has_end(&events, api), "{api:?}: {events:?}");
    let last = events.last().expect("no event tells of the error");
    let body = last.json();
    let (code, message) = if api == Api::Responses {
        assert_eq!(
            (last.name.as_str(), body["type"].as_str()),
            ("error", Some("error"))
        );
        (body["code"].as_str().unwrap().to_owned(), &body["message"])
    } else {
        let name = if api == Api::Messages { "error" } else { "" };
        assert_eq!(last.name, name, "{api:?}: {last:?}");
        (api.error_code_in(&body), &body["error"]["message"])
    };
    (code, message.as_str().unwrap().to_owned())
}

/// The counters of the only key once nothing is under way any more: neither in flight nor waiting.
async fn at_rest(world: &World, api: Api) -> Value {
    waiting(world, 0).await;
    eventually("nothing is in flight", async || {
        let metrics = world.details(api.provider(), &api.key(1)).await["metrics"].take();
        let upstream = world.counted(&api.key(1)).in_flight;
        (metrics["inFlight"] == 0 && upstream == 0).then_some(metrics)
    })
    .await
}

// acceptance 75
#[tokio::test]
async fn a_streamed_answer_begins_while_its_request_waits_and_is_whole_once_there_is_room() {
    for api in Api::STREAMED {
        let world = kept_alive().start().await;
        let first = occupied(&world, api).await;
        let mut answer = world.ask_stream(api).open().await;
        sign_of_life(&mut answer, api).await;
        assert_eq!(queue(&world).await["length"], 1, "{api:?}: it still waits");
        assert_eq!(world.served(&api.key(1)), 0, "{api:?}");
        first.abort();
        let events = answer.whole().await.events();
        assert_eq!(text(&events, api), TEXT, "{api:?}: {events:?}");
        let last = events.last().unwrap();
        assert_eq!(kind(last), api.last_event(), "{api:?}");
    }
}

#[tokio::test]
async fn a_request_whose_answer_began_early_is_counted_like_any_other() {
    for api in Api::STREAMED {
        let world = kept_alive().start().await;
        // What one such request counts when it need not wait.
        world.ask_stream(api).await.assert_ok();
        let before = at_rest(&world, api).await;
        let once = tokens(&world, api).await;
        assert!(once.0 > 0.0 && once.1 > 0.0, "{api:?}: {once:?}");

        let first = occupied(&world, api).await;
        let mut answer = world.ask_stream(api).open().await;
        sign_of_life(&mut answer, api).await;
        first.abort();
        answer.whole().await;
        let after = at_rest(&world, api).await;
        assert_eq!(before["successes"], 1, "{api:?}: {before}");
        assert_eq!(after["successes"], 2, "{api:?}: {after}");
        assert_eq!(after["failures"], before["failures"], "{api:?}: {after}");
        let both = tokens(&world, api).await;
        assert_eq!(both, (2.0 * once.0, 2.0 * once.1), "{api:?}");
        // The key has its room back.
        let answer = world.ask(api).await;
        answer.assert_ok();
        assert_eq!(answer.header("x-keypool-queued-ms"), "0", "{api:?}");
    }
}

/// Input and output tokens that were counted of the only key.
async fn tokens(world: &World, api: Api) -> (f64, f64) {
    let (provider, key) = (api.provider(), mask(&api.key(1)));
    let series = |kind: &str| {
        format!(r#"keypool_tokens_total{{provider="{provider}",key="{key}",kind="{kind}"}} "#)
    };
    let (input, output) = (series("input"), series("output"));
    let counted = (world.metric(&input).await, world.metric(&output).await);
    (counted.0.unwrap(), counted.1.unwrap())
}

// acceptance 75
#[tokio::test]
async fn an_answer_that_is_no_stream_begins_only_when_it_is_known() {
    for api in [Api::Messages, Api::Chat] {
        let world = kept_alive().start().await;
        let first = occupied(&world, api).await;
        let plain = tokio::spawn(world.ask(api).open());
        waiting(&world, 1).await;
        // By the time that a streamed one which came later has begun, a plain one would have.
        let mut streamed = world.ask_stream(api).open().await;
        sign_of_life(&mut streamed, api).await;
        assert!(!plain.is_finished(), "{api:?}");
        first.abort();
        let answer = plain.await.unwrap().whole().await;
        answer.assert_ok();
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.key(), mask(&api.key(1)), "{api:?}");
        let queued: u64 = answer.header("x-keypool-queued-ms").parse().unwrap();
        assert!(queued >= AT_ONCE_MS, "{api:?}: {queued}");
        assert!(answer.json().is_object());
        assert!(has_end(&streamed.whole().await.events(), api), "{api:?}");
    }
}

#[tokio::test]
async fn what_can_only_be_answered_whole_is_not_begun_even_if_its_client_asks_for_a_stream() {
    let api = Api::Embeddings;
    let world = kept_alive().start().await;
    let first = occupied(&world, api).await;
    let whole = world.ask_stream(api).spawn();
    waiting(&world, 1).await;
    // By the time that one which came later has begun, this one would have.
    let mut streamed = world.ask_stream(Api::Chat).open().await;
    sign_of_life(&mut streamed, Api::Chat).await;
    first.abort();
    let answer = whole.await.unwrap();
    answer.assert_ok();
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.key(), mask(&api.key(1)));
    streamed.whole().await;
}

#[tokio::test]
async fn a_streamed_request_that_need_not_wait_gets_the_providers_own_head() {
    for api in Api::STREAMED {
        let world = kept_alive().start().await;
        let answer = world.ask_stream(api).await;
        answer.assert_ok();
        assert_eq!(answer.key(), mask(&api.key(1)), "{api:?}");
        let events = answer.events();
        assert!(!is_sign_of_life(&events[0], api), "{api:?}: {events:?}");
        assert_eq!(text(&events, api), TEXT, "{api:?}");
    }
}

// acceptance 75
#[tokio::test]
async fn a_wait_in_vain_ends_a_stream_that_began_with_an_error_event_of_its_api() {
    let wait = async |api: Api| {
        let setup = kept_alive().set("/ApiKeyPool/queue/maxWait", 1500);
        let world = setup.start().await;
        let first = occupied(&world, api).await;
        let mut answer = world.ask_stream(api).open().await;
        sign_of_life(&mut answer, api).await;
        let (code, message) = error_at_the_end(answer, api).await;
        assert_eq!(code, "failed_after_waiting", "{api:?}");
        assert!(message.contains("no key has room"), "{api:?}: {message}");
        first.abort();
        at_rest(&world, api).await;
        assert_eq!(world.served(&api.key(1)), 0, "{api:?}: it was never sent");
    };
    let [messages, chat, responses] = Api::STREAMED;
    tokio::join!(wait(messages), wait(chat), wait(responses));
}

#[tokio::test]
async fn what_the_provider_says_against_a_request_that_waited_reaches_its_client() {
    for api in Api::STREAMED {
        let world = kept_alive().start().await;
        let first = occupied(&world, api).await;
        let mut answer = world.ask_stream(api).open().await;
        sign_of_life(&mut answer, api).await;
        let refusal = Fault::Status {
            status: 400,
            code: None,
            message: Some("this prompt is not to our taste".to_owned()),
            retry_after: None,
        };
        world.fault(&api.key(1), FaultWindow::next(1, refusal));
        first.abort();
        let (_, message) = error_at_the_end(answer, api).await;
        assert_eq!(message, "this prompt is not to our taste", "{api:?}");
        at_rest(&world, api).await;
        world.ask(api).await.assert_ok();
    }
}

#[tokio::test]
async fn what_another_moment_cures_is_cured_out_of_sight_of_a_client_whose_answer_began() {
    for api in Api::STREAMED {
        let world = kept_alive().start().await;
        let first = occupied(&world, api).await;
        let mut answer = world.ask_stream(api).open().await;
        sign_of_life(&mut answer, api).await;
        world.fault(&api.key(1), FaultWindow::next(1, Fault::rate_limited(1)));
        first.abort();
        let events = answer.whole().await.events();
        assert_eq!(text(&events, api), TEXT, "{api:?}: {events:?}");
        assert_eq!(kind(events.last().unwrap()), api.last_event(), "{api:?}");
        assert_eq!(world.served(&api.key(1)), 1, "{api:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_stream_after_all_is_told_as_an_error() {
    for api in Api::STREAMED {
        let world = kept_alive().start().await;
        let first = occupied(&world, api).await;
        let mut answer = world.ask_stream(api).open().await;
        sign_of_life(&mut answer, api).await;
        let page = Fault::Verbatim {
            status: 200,
            headers: vec![("content-type".to_owned(), "text/html".to_owned())],
            body: "<p>Welcome to the proxy</p>".to_owned(),
        };
        world.fault(&api.key(1), page);
        first.abort();
        let (code, _) = error_at_the_end(answer, api).await;
        assert_eq!(code, "failed_after_waiting", "{api:?}");
        at_rest(&world, api).await;
        world.sim.sim().clear_faults();
        world.ask(api).await.assert_ok();
    }
}

#[tokio::test]
async fn over_http2_an_answer_begins_early_beside_others_on_its_connection() {
    for api in Api::STREAMED {
        let world = kept_alive().start().await;
        let first = occupied(&world, api).await;
        let client = world.over_h2c();
        let mut early = client.ask_stream(api).open().await;
        sign_of_life(&mut early, api).await;
        let mut late = client.ask_stream(api).open().await;
        sign_of_life(&mut late, api).await;
        waiting(&world, 2).await;
        first.abort();
        for answer in [early, late] {
            let events = answer.whole().await.events();
            assert_eq!(text(&events, api), TEXT, "{api:?}: {events:?}");
            assert_eq!(kind(events.last().unwrap()), api.last_event(), "{api:?}");
        }
    }
}

// acceptance 75
#[tokio::test]
async fn a_client_that_leaves_after_its_answer_began_frees_its_place_and_costs_nothing() {
    for api in [Api::Messages, Api::Chat] {
        let world = kept_alive().start().await;
        let first = occupied(&world, api).await;
        let mut answer = world.ask_stream(api).open().await;
        sign_of_life(&mut answer, api).await;
        waiting(&world, 1).await;
        drop(answer);
        waiting(&world, 0).await;
        first.abort();
        at_rest(&world, api).await;
        assert_eq!(world.served(&api.key(1)), 0, "{api:?}");
        world.ask(api).await.assert_ok();
    }
}

// acceptance 75
#[tokio::test]
async fn a_stop_ends_a_stream_that_began_and_has_no_time_left_with_an_error_event() {
    for api in [Api::Messages, Api::Chat] {
        let mut world = kept_alive()
            .set("/ApiKeyPool/timeouts/drain", 1500)
            .start()
            .await;
        let _first = occupied(&world, api).await;
        let mut answer = world.ask_stream(api).open().await;
        sign_of_life(&mut answer, api).await;
        world.signal(rustix::process::Signal::TERM);
        let (code, message) = error_at_the_end(answer, api).await;
        assert_eq!(code, "failed_after_waiting", "{api:?}");
        assert!(message.contains("stopping"), "{api:?}: {message}");
        world.gateway.exit_code().await;
    }
}
