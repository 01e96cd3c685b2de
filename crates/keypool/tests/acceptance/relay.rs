//! What passes through the gateway untouched, what it adds, what it counts.

use std::time::Duration;

use keypool_sim::{Fault, Spread};
use serde_json::{Value, json};

use crate::support::{Api, Setup, World, anthropic_key, eventually, openai_key};

/// A body which no serialiser would write like this.
fn odd_body(api: Api, model: &str) -> String {
    let prompt = match api {
        Api::Messages => {
            r#""max_tokens":  100,"messages":[{"role":"user","content":"\u00fc /\/ é"}]"#
        }
        Api::Chat => r#""messages":[{"role":"user","content":"\u00fc /\/ é"}]"#,
        Api::Responses | Api::Embeddings => r#""input":"\u00fc /\/ é""#,
        Api::Gemini => r#""contents":[{"parts":[{"text":"\u00fc /\/ é"}]}]"#,
    };
    format!("{{ \"zeta\" : 1.0 ,\n\t{prompt},  \"model\":\"{model}\" , \"alpha\":[ ]}}\n")
}

// design §2.5: prompt caches hash the bytes.
#[tokio::test]
async fn a_request_arrives_byte_for_byte_but_for_the_models_name() {
    let world = Setup::both(1).start().await;
    for api in Api::ALL {
        let sent = |model: &str| odd_body(api, model);
        let qualified = format!("{},{}", api.provider(), api.model());
        for model in [qualified.as_str(), api.model()] {
            world.sim.sim().reset();
            let call = world
                .post(api.path())
                .header("anthropic-version", "2023-06-01");
            let call = call.header("content-type", "application/json");
            call.body(sent(model)).await.assert_ok();
            let [received] = world.received().try_into().unwrap();
            assert_eq!(
                String::from_utf8_lossy(&received.body),
                sent(api.model()),
                "{api:?}"
            );
        }
    }
}

#[tokio::test]
async fn an_answer_arrives_byte_for_byte_whole_or_as_a_stream() {
    let plain = "{ \"odd\" : 1.0 ,\n\t\"text\":\"\\u00fc \\/ é\", \"usage\": { } }\n";
    let stream = ": a comment\r\n\r\nevent: message_start\r\ndata:{\"type\":\"message_start\"}\r\n\r\n\
                  event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\ndata: \"delta\":{}}\n\n\
                  id: 7\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    let world = Setup::anthropic(1).start().await;
    for (content_type, body, is_streamed) in [
        ("application/json", plain, false),
        ("text/event-stream", stream, true),
    ] {
        let headers = vec![
            ("content-type".to_owned(), content_type.to_owned()),
            ("request-id".to_owned(), "req_42".to_owned()),
        ];
        let body = body.to_owned();
        let fault = Fault::Verbatim {
            status: 200,
            headers,
            body: body.clone(),
        };
        world.fault(&anthropic_key(1), fault);
        let answer = if is_streamed {
            world.ask_stream(Api::Messages).await
        } else {
            world.ask(Api::Messages).await
        };
        assert_eq!(answer.text(), body);
        assert_eq!(answer.header("content-type"), content_type);
        assert_eq!(answer.header("request-id"), "req_42");
    }
}

#[tokio::test]
async fn the_provider_gets_exactly_one_credential_and_the_clients_other_headers() {
    let credentials = [
        ("x-api-key", "client-secret".to_owned()),
        ("authorization", "Bearer client-secret".to_owned()),
        ("x-goog-api-key", "client-secret".to_owned()),
    ];
    let world = Setup::both(1).set("/APIKEY", "client-secret").start().await;
    let world_key = |api: Api| match api {
        Api::Messages => ("x-api-key", anthropic_key(1)),
        Api::Chat | Api::Responses | Api::Embeddings => {
            ("authorization", format!("Bearer {}", openai_key(1)))
        }
        Api::Gemini => ("x-goog-api-key", api.key(1)),
    };
    for api in Api::ALL {
        for (name, value) in &credentials {
            world.sim.sim().reset();
            let call = world.ask(api).header(name, value);
            let call = call
                .header("anthropic-beta", "one,two")
                .header("cookie", "a=b");
            let call = call
                .header("x-keypool-session", "s")
                .header("x-stainless-lang", "rust");
            call.await.assert_ok();
            let [received] = world.received().try_into().unwrap();
            let (own_name, own_value) = world_key(api);
            let auth = ["x-api-key", "authorization", "x-goog-api-key", "cookie"];
            let sent: Vec<_> = received
                .headers
                .iter()
                .filter(|(name, _)| auth.contains(&name.as_str()))
                .collect();
            assert_eq!(sent, [&(own_name.to_owned(), own_value)], "{api:?} {name}");
            assert_eq!(received.header("anthropic-beta"), Some("one,two"));
            assert_eq!(received.header("x-stainless-lang"), Some("rust"));
            assert_eq!(received.header("x-keypool-session"), None);
        }
    }
}

#[tokio::test]
async fn the_query_goes_on_without_the_clients_key() {
    let world = Setup::anthropic(1)
        .set("/APIKEY", "client-secret")
        .start()
        .await;
    let path = "/v1/messages?beta=true&key=client-secret";
    let call = world.post(path).header("anthropic-version", "2023-06-01");
    call.json(&Api::Messages.body()).await.assert_ok();
    let [received] = world.received().try_into().unwrap();
    assert_eq!(received.path_and_query, "/v1/messages?beta=true");
}

#[tokio::test]
async fn answers_say_who_served_them_unless_that_is_switched_off() {
    let world = Setup::both(1).start().await;
    for api in Api::ALL {
        let answer = world.ask(api).await;
        assert_eq!(answer.header("x-keypool-provider"), api.provider());
        assert_eq!(answer.header("x-keypool-attempts"), "1");
        assert_eq!(answer.header("x-keypool-queued-ms"), "0");
        assert!(!answer.header("x-keypool-request-id").is_empty());
    }
    let world = Setup::anthropic(1)
        .set("/AnswerHeaders", false)
        .start()
        .await;
    let answer = world.ask(Api::Messages).await;
    let own = |name: &http::HeaderName| name.as_str().starts_with("x-keypool-");
    assert!(!answer.headers.keys().any(own));
}

// contract §2: the provider's headers speak of one key, the client is told of the pool.
#[tokio::test]
async fn quota_headers_tell_of_the_pool_and_not_of_one_key() {
    let world = Setup::both(2)
        .every_key("rateLimit", &json!({ "requestsPerMinute": 50 }))
        .sim_limits(keypool_sim::Limits::per_minute(50))
        .start()
        .await;
    for (api, prefix) in [
        (Api::Messages, "anthropic-ratelimit-requests-"),
        (Api::Chat, "x-ratelimit-"),
    ] {
        let answer = world.ask(api).await;
        let named = |what: &str| match api {
            Api::Messages => format!("{prefix}{what}"),
            _ => format!("{prefix}{what}-requests"),
        };
        assert_eq!(answer.header(&named("limit")), "100", "{api:?}");
        assert_eq!(answer.header(&named("remaining")), "99", "{api:?}");
        assert!(!answer.header(&named("reset")).is_empty(), "{api:?}");
    }
}

/// Tokens that the gateway counted for a key: input with cached ones, and output.
async fn counted_tokens(world: &World, api: Api) -> (u64, u64) {
    let tokens = world.details(api.provider(), &api.key(1)).await["metrics"]["tokens"].take();
    let number = |name: &str| tokens[name].as_u64().unwrap();
    (number("input") + number("cached"), number("output"))
}

// acceptance 70
#[tokio::test]
async fn usage_is_counted_as_the_provider_counts_it_streams_too() {
    for api in Api::ALL {
        let world = Setup::both(1).start().await;
        for sent in 1..=3 {
            world.ask(api).await.assert_ok();
            if api != Api::Embeddings {
                world.ask_stream(api).await.assert_ok();
            }
            let counted = world.counted(&api.key(1));
            let expected = (counted.input_tokens, counted.output_tokens);
            assert_eq!(
                counted_tokens(&world, api).await,
                expected,
                "{api:?} after {sent}"
            );
        }
    }
}

#[tokio::test]
async fn usage_of_a_chat_stream_is_asked_for_and_kept_from_a_client_that_did_not_ask() {
    let world = Setup::openai(1).start().await;
    let asked = |asks: bool| {
        let mut body = Api::Chat.streamed();
        if asks {
            body["stream_options"] = json!({ "include_usage": true });
        }
        world.post(Api::Chat.path()).json(&body)
    };
    for asks in [false, true] {
        world.sim.sim().reset();
        let answer = asked(asks).await;
        let has_usage = |event: &Value| event["usage"].is_object();
        let shown = answer
            .events()
            .iter()
            .filter(|event| has_usage(&event.json()))
            .count();
        assert_eq!(shown, usize::from(asks), "{}", answer.text());
        assert_eq!(answer.events().last().unwrap().data, "[DONE]");
        let without_choices = |event: &Value| event["choices"] == json!([]);
        let hidden = answer
            .events()
            .iter()
            .filter(|event| without_choices(&event.json()))
            .count();
        assert_eq!(hidden, usize::from(asks));
        let [received] = world.received().try_into().unwrap();
        let body: Value = serde_json::from_slice(&received.body).unwrap();
        assert_eq!(body["stream_options"]["include_usage"], true);
    }
    let counted = counted_tokens(&world, Api::Chat).await;
    assert!(counted.0 > 0 && counted.1 > 0, "{counted:?}");
}

#[tokio::test]
async fn clients_may_speak_http1_and_h2c() {
    let world = Setup::both(1).start().await;
    for client in [world.over_http1(), world.over_h2c()] {
        for api in Api::ALL {
            client.ask(api).await.assert_ok();
        }
        for api in Api::STREAMED {
            let events = client.ask_stream(api).await.events();
            let last = events.last().unwrap();
            assert!(
                [&last.name, &last.data]
                    .iter()
                    .any(|text| *text == api.last_event())
            );
        }
        assert_eq!(client.get("/api/apikeys/stats").await.status, 200);
    }
}

#[tokio::test]
async fn many_streams_share_one_h2c_connection() {
    let world = Setup::anthropic(3).sim(|sim| sim.answer.chunk_delay = Duration::from_millis(20));
    let world = world.start().await;
    let client = world.over_h2c();
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(client.ask_stream(Api::Messages).open().await);
    }
    for stream in streams {
        let events = stream.whole().await.events();
        assert_eq!(events.last().unwrap().name, "message_stop");
    }
}

/// Waits until no request is in flight with the first key, neither here nor at the provider.
async fn settles(world: &World, api: Api) {
    eventually(
        "the lease is settled and the provider's work is cancelled",
        async || {
            let shown = world.details(api.provider(), &api.key(1)).await;
            let counted = world.counted(&api.key(1));
            (shown["metrics"]["inFlight"] == 0 && counted.in_flight == 0).then_some(())
        },
    )
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_a_stream_cancels_it_upstream() {
    for api in Api::STREAMED {
        let setup = Setup::both(1).sim(|sim| {
            sim.answer.output_tokens = Spread::Fixed(4000);
            sim.answer.chunk_delay = Duration::from_millis(20);
        });
        let world = setup.start().await;
        let mut body = api.streamed();
        if api == Api::Messages {
            body["max_tokens"] = 8000.into();
        }
        let call = world
            .post(api.path())
            .header("anthropic-version", "2023-06-01")
            .json(&body);
        let mut stream = call.open().await;
        stream.event().await;
        drop(stream);
        settles(&world, api).await;
        assert_eq!(world.counted(&api.key(1)).cancelled, 1, "{api:?}");
        let metrics = world.details(api.provider(), &api.key(1)).await["metrics"].take();
        assert_eq!(metrics["errorsByClass"]["cancelled"], 1, "{api:?}");
        assert_eq!(
            world.score(&api.key(1)).await,
            100,
            "a client that leaves is no key's fault"
        );
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_cancels_it_upstream() {
    let world = Setup::anthropic(1).start().await;
    world.fault(&anthropic_key(1), Fault::Hang);
    let waiting = world.ask(Api::Messages).spawn();
    eventually("it hangs", async || {
        (world.counted(&anthropic_key(1)).in_flight == 1).then_some(())
    })
    .await;
    waiting.abort();
    settles(&world, Api::Messages).await;
    assert_eq!(world.score(&anthropic_key(1)).await, 100);
}
