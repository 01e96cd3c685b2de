//! Group H: conversations stay where their prompt cache is, and what only one account understands goes to
//! that account.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{Answer, Api, Call, Setup, World, anthropic_key, mask, openai_key};

/// A turn of a conversation whose system prompt is long enough for the provider's cache.
fn turn(world: &World, session: &str, number: usize) -> Call {
    let system = format!("You speak of {session}. {}", "word ".repeat(2000));
    let mut messages = Vec::new();
    for earlier in 0..number {
        messages.push(json!({ "role": "user", "content": format!("question {earlier}") }));
        messages.push(json!({ "role": "assistant", "content": format!("answer {earlier}") }));
    }
    messages.push(json!({ "role": "user", "content": format!("question {number}") }));
    // A prompt's cached beginning comes first, as SDKs write it.
    let body = format!(
        r#"{{"model":"anthropic,claude-haiku-4-5","max_tokens":100,"system":[{{"type":"text","text":"{system}","cache_control":{{"type":"ephemeral"}}}}],"messages":{}}}"#,
        Value::from(messages)
    );
    let call = world.post(Api::Messages.path());
    call.header("anthropic-version", "2023-06-01")
        .header("content-type", "application/json")
        .body(body)
}

/// `data` of the status of one provider's conversations.
async fn status(world: &World) -> Value {
    let status = world.get("/api/session-affinity/status").await.data();
    status["providers"]["anthropic"].clone()
}

// acceptance 73
#[tokio::test]
async fn a_conversation_that_names_itself_stays_on_its_key_and_reads_its_cache() {
    let headers = ["x-keypool-session", "x-claude-code-session-id"];
    for header in headers {
        let world = Setup::anthropic(3).strategy("round-robin").start().await;
        let mut keys: BTreeMap<&str, String> = BTreeMap::new();
        for number in 0..4 {
            for session in ["cats", "dogs"] {
                let answer = turn(&world, session, number).header(header, session).await;
                answer.assert_ok();
                let first = keys.entry(session).or_insert_with(|| answer.key());
                assert_eq!(*first, answer.key(), "{header} {session} {number}");
            }
        }
        assert_ne!(keys["cats"], keys["dogs"]);
        let read = |number| world.counted(&anthropic_key(number)).cache_read_tokens;
        let all: u64 = (1..=3).map(read).sum();
        assert!(all >= 6 * 2000, "{all}");
        let status = status(&world).await;
        assert_eq!(
            (&status["sessions"], &status["started"]),
            (&json!(2), &json!(2))
        );
        assert_eq!((&status["kept"], &status["moved"]), (&json!(6), &json!(0)));
        for key in keys.values() {
            assert_eq!(status["homes"][key], 1, "{status}");
        }
    }
}

// acceptance 73
#[tokio::test]
async fn a_conversation_is_known_by_its_body_or_by_how_a_long_prompt_begins() {
    let world = Setup::anthropic(3).strategy("round-robin").start().await;
    let by_prefix = turn(&world, "cats", 0).await.key();
    assert_eq!(turn(&world, "cats", 1).await.key(), by_prefix);
    assert_eq!(turn(&world, "cats", 2).await.key(), by_prefix);

    let ask = |user: &str| {
        let mut body = Api::Messages.body();
        let named = json!({ "session_id": user }).to_string();
        body["metadata"] = json!({ "user_id": named });
        let call = world.post(Api::Messages.path());
        call.header("anthropic-version", "2023-06-01").json(&body)
    };
    let by_body = ask("someone").await.key();
    assert_eq!(ask("someone").await.key(), by_body);
    assert_eq!(ask("someone").await.key(), by_body);

    // A short prompt is in no cache: it goes wherever the strategy says.
    let mut short = Vec::new();
    for _ in 0..3 {
        short.push(world.ask(Api::Messages).await.key());
    }
    short.sort_unstable();
    short.dedup();
    assert_eq!(short.len(), 3);
}

// acceptance 73
#[tokio::test]
async fn a_conversation_of_openai_is_known_by_its_cache_key() {
    let world = Setup::openai(3).strategy("round-robin").start().await;
    let ask = |session: &str| {
        let mut body = Api::Chat.body();
        body["prompt_cache_key"] = session.into();
        world.post(Api::Chat.path()).json(&body)
    };
    let first = ask("cats").await.key();
    for _ in 0..3 {
        assert_eq!(ask("cats").await.key(), first);
    }
    assert_ne!(ask("dogs").await.key(), first);
}

// acceptance 73
#[tokio::test]
async fn tenants_that_name_their_conversations_alike_share_nothing() {
    const TEAMS: [&str; 2] = [
        "team-a-canary-7f3a9c51e2-key",
        "team-b-canary-7f3a9c51e2-key",
    ];
    let tenants = json!([
        { "name": "team-a", "key": TEAMS[0] },
        { "name": "team-b", "key": TEAMS[1] },
    ]);
    let world = Setup::anthropic(2)
        .strategy("round-robin")
        .set("/Tenants", tenants)
        .start()
        .await;
    let mut keys = Vec::new();
    for _ in 0..2 {
        for team in TEAMS {
            let call = turn(&world, "cats", 0).header("x-api-key", team);
            keys.push(call.header("x-keypool-session", "1").await.key());
        }
    }
    assert_eq!(keys[0], keys[2]);
    assert_eq!(keys[1], keys[3]);
    assert_ne!(keys[0], keys[1]);
}

// acceptance 73
#[tokio::test]
async fn a_conversation_moves_when_its_key_dies_and_its_client_sees_nothing() {
    let world = Setup::anthropic(2).start().await;
    let session = |number| turn(&world, "cats", number).header("x-keypool-session", "cats");
    let home = session(0).await.key();
    let number = if home == mask(&anthropic_key(1)) {
        1
    } else {
        2
    };
    world.sim.sim().revoke(&anthropic_key(number)).unwrap();
    let moved = session(1).await;
    moved.assert_ok();
    assert_ne!(moved.key(), home);
    assert_eq!(session(2).await.key(), moved.key());
    let status = status(&world).await;
    assert_eq!(status["sessions"], 1);
    assert_eq!(status["moved"], 1, "{status}");
    assert_eq!(status["homes"][moved.key()], 1);
}

// acceptance 73
#[tokio::test]
async fn keys_of_one_quota_share_its_cache_and_take_turns() {
    let group = json!({ "org-a": { "rateLimit": { "requestsPerMinute": 1000 } } });
    let world = Setup::anthropic(0)
        .sim(|sim| {
            let (one, two) = (anthropic_key(1), anthropic_key(2));
            *sim = sim.clone().with_organisation(
                "org-a",
                keypool_sim::Dialect::Anthropic,
                &[one.as_str(), two.as_str()],
                keypool_sim::Limits::NONE,
            );
        })
        .set(
            "/ApiKeyPool/providers/anthropic/keys",
            json!([
                { "key": anthropic_key(1), "quotaGroup": "org-a" },
                { "key": anthropic_key(2), "quotaGroup": "org-a" },
            ]),
        )
        .set("/ApiKeyPool/providers/anthropic/quotaGroups", group)
        .start()
        .await;
    for number in 0..6 {
        let call = turn(&world, "cats", number).header("x-keypool-session", "cats");
        call.await.assert_ok();
    }
    let [one, two] = [1, 2].map(|number| world.counted(&anthropic_key(number)));
    assert!(one.admitted > 0 && two.admitted > 0, "{one:?} {two:?}");
    // Only the very first request had to write the beginning.
    assert!(one.cache_read_tokens + two.cache_read_tokens >= 5 * 2000);
    assert_eq!(status(&world).await["homes"]["org-a"], 1);
}

// acceptance 73
#[tokio::test]
async fn an_operator_sees_and_forgets_where_conversations_are() {
    let world = Setup::anthropic(2).strategy("round-robin").start().await;
    for session in ["cats", "dogs", "fish"] {
        let call = turn(&world, session, 0).header("x-keypool-session", session);
        call.await.assert_ok();
    }
    let whole = world.get("/api/session-affinity/status").await.data();
    assert_eq!(
        (&whole["enabled"], &whole["ttlMs"]),
        (&json!(true), &json!(300_000))
    );
    assert_eq!(whole["loadFactor"], 1.25);
    assert_eq!(status(&world).await["sessions"], 3);
    let unknown = world.post("/api/session-affinity/clear");
    assert_eq!(
        unknown
            .json(&json!({ "provider": "nonesuch" }))
            .await
            .status,
        404
    );
    let cleared = world.post("/api/session-affinity/clear").await.data();
    assert_eq!(cleared["cleared"], 3);
    assert_eq!(status(&world).await["sessions"], 0);
}

// acceptance 73
#[tokio::test]
async fn a_conversation_is_forgotten_after_its_time() {
    let (world, clock) = Setup::anthropic(2)
        .strategy("round-robin")
        .set("/ApiKeyPool/affinity/ttl", 300_000)
        .start_with_manual_clock()
        .await;
    turn(&world, "cats", 0)
        .header("x-keypool-session", "cats")
        .await
        .assert_ok();
    clock.advance(299);
    turn(&world, "cats", 1)
        .header("x-keypool-session", "cats")
        .await
        .assert_ok();
    clock.advance(301);
    turn(&world, "cats", 2)
        .header("x-keypool-session", "cats")
        .await
        .assert_ok();
    let status = status(&world).await;
    assert_eq!(
        (&status["started"], &status["kept"]),
        (&json!(2), &json!(1)),
        "{status}"
    );
}

// acceptance 69, 73
#[tokio::test]
async fn many_conversations_load_the_keys_alike() {
    let world = Setup::anthropic(4).start().await;
    for number in 0..3 {
        for session in 0..40 {
            let name = format!("session {session}");
            let call = turn(&world, &name, number).header("x-keypool-session", &name);
            call.await.assert_ok();
        }
    }
    let tokens: Vec<u64> = (1..=4)
        .map(|number| {
            let counted = world.counted(&anthropic_key(number));
            counted.input_tokens + counted.output_tokens
        })
        .collect();
    let mean = tokens.iter().sum::<u64>() / 4;
    for &own in &tokens {
        assert!(own * 4 <= mean * 5, "{tokens:?}");
    }
    let status = status(&world).await;
    assert_eq!(status["sessions"], 40);
    let (kept, moved) = (
        status["kept"].as_u64().unwrap(),
        status["moved"].as_u64().unwrap(),
    );
    assert!(kept > 9 * moved, "{status}");
}

/// Asks with an answer's thinking handed back.
fn going_on_from(world: &World, answer: &Answer) -> Call {
    let body = json!({
        "model": "anthropic,claude-haiku-4-5",
        "max_tokens": 100,
        "messages": [
            { "role": "user", "content": "hi" },
            { "role": "assistant", "content": answer.json()["content"] },
            { "role": "user", "content": "go on" },
        ],
    });
    let call = world.post(Api::Messages.path());
    call.header("anthropic-version", "2023-06-01").json(&body)
}

async fn thinking(setup: Setup) -> World {
    let setup = setup.sim(|sim| *sim = sim.clone().with_thinking());
    setup.strategy("round-robin").start().await
}

async fn disable(world: &World, provider: &str, secret: &str) {
    let id = world.details(provider, secret).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let call = world.call(http::Method::PATCH, &format!("/api/apikeys/{id}"));
    call.json(&json!({ "enabled": false })).await.data();
}

// acceptance 73
#[tokio::test]
async fn sealed_thinking_goes_back_to_the_account_that_made_it() {
    let world = thinking(Setup::anthropic(3)).await;
    let first = world.ask(Api::Messages).await;
    first.assert_ok();
    for _ in 0..4 {
        let next = going_on_from(&world, &first).await;
        next.assert_ok();
        assert_eq!(next.key(), first.key());
    }
    assert!(status(&world).await["states"].as_u64().unwrap() >= 1);
    // To forget conversations is not to forget whose state is whose.
    world.post("/api/session-affinity/clear").await.data();
    assert_eq!(going_on_from(&world, &first).await.key(), first.key());
}

// acceptance 73
#[tokio::test]
async fn sealed_thinking_goes_back_to_its_account_from_clients_of_another_api_too() {
    let world = thinking(Setup::both(3)).await;
    let model = format!("anthropic,{}", Api::Messages.model());
    let question = json!({ "role": "user", "content": "Hello" });
    let body = json!({ "model": model, "input": [question] });
    let first = world.post(Api::Responses.path()).json(&body).await;
    first.assert_ok();
    let output = first.json()["output"].as_array().unwrap().clone();
    let sealed = |item: &Value| item["encrypted_content"].is_string();
    assert!(output.iter().any(sealed), "{output:?}");
    let input: Vec<Value> = std::iter::once(question.clone())
        .chain(output)
        .chain([question])
        .collect();
    let body = json!({ "model": model, "input": input });
    for _ in 0..4 {
        let next = world.post(Api::Responses.path()).json(&body).await;
        next.assert_ok();
        assert_eq!(next.key(), first.key());
    }
}

// acceptance 73
#[tokio::test]
async fn a_stored_answer_is_asked_of_the_account_that_stored_it() {
    let world = Setup::openai(3).strategy("round-robin").start().await;
    for _ in 0..3 {
        let first = world.ask(Api::Responses).await;
        first.assert_ok();
        let mut body = Api::Responses.body();
        body["previous_response_id"] = first.json()["id"].clone();
        for _ in 0..2 {
            let next = world.post(Api::Responses.path()).json(&body).await;
            next.assert_ok();
            assert_eq!(next.key(), first.key());
        }
    }
}

// acceptance 73
#[tokio::test]
async fn streams_bind_their_thinking_and_their_ids_too() {
    let world = thinking(Setup::both(3)).await;
    let first = world.ask_stream(Api::Responses).await;
    first.assert_ok();
    let events = first.events();
    let id = events
        .iter()
        .find_map(|event| {
            let data: Value = serde_json::from_str(&event.data).ok()?;
            Some(data["response"]["id"].as_str()?.to_owned())
        })
        .unwrap();
    let mut body = Api::Responses.body();
    body["previous_response_id"] = id.into();
    for _ in 0..3 {
        let next = world.post(Api::Responses.path()).json(&body).await;
        next.assert_ok();
        assert_eq!(next.key(), first.key());
    }
}

// acceptance 73
#[tokio::test]
async fn state_whose_account_is_out_is_a_clear_error_and_goes_to_nobody_else() {
    let world = thinking(Setup::both(2)).await;
    let first = world.ask(Api::Messages).await;
    let home = [1, 2].map(anthropic_key);
    let home = home
        .iter()
        .find(|secret| mask(secret) == first.key())
        .unwrap();
    disable(&world, "anthropic", home).await;
    let before = world.received().len();
    let refused = going_on_from(&world, &first).await;
    Api::Messages.assert_error(&refused, 503, "state_unavailable");
    assert_eq!(refused.header("x-should-retry"), "false");
    assert!(
        refused.text().contains("thinking blocks"),
        "{}",
        refused.text()
    );
    assert_eq!(world.received().len(), before);

    let first = world.ask(Api::Responses).await;
    let home = [1, 2].map(openai_key);
    let home = home
        .iter()
        .find(|secret| mask(secret) == first.key())
        .unwrap();
    disable(&world, "openai", home).await;
    let mut body = Api::Responses.body();
    body["previous_response_id"] = first.json()["id"].clone();
    let refused = world.post(Api::Responses.path()).json(&body).await;
    Api::Responses.assert_error(&refused, 503, "state_unavailable");
    assert!(
        refused.text().contains("previous_response_id"),
        "{}",
        refused.text()
    );
}

// acceptance 73
#[tokio::test]
async fn state_keeps_a_request_from_a_fallback_that_would_not_understand_it() {
    let backup = json!({
        "protocol": "anthropic", "baseUrl": "$SIM", "keys": [{ "key": anthropic_key(3) }],
    });
    let setup = Setup::anthropic(2)
        .with_sim_keys("anthropic", 3)
        .set("/ApiKeyPool/providers/backup", backup)
        .set(
            "/Aliases/either",
            json!(["anthropic,claude-haiku-4-5", "backup,claude-haiku-4-5"]),
        );
    let world = thinking(setup).await;
    let first = world.ask(Api::Messages).await;
    first.assert_ok();
    assert_eq!(first.key(), mask(&anthropic_key(1)));
    disable(&world, "anthropic", &anthropic_key(1)).await;
    let body = json!({
        "model": "either",
        "max_tokens": 100,
        "messages": [
            { "role": "user", "content": "hi" },
            { "role": "assistant", "content": first.json()["content"] },
            { "role": "user", "content": "go on" },
        ],
    });
    let call = world.post(Api::Messages.path());
    let refused = call
        .header("anthropic-version", "2023-06-01")
        .json(&body)
        .await;
    Api::Messages.assert_error(&refused, 503, "state_unavailable");
    assert_eq!(world.served(&anthropic_key(3)), 0);
    disable(&world, "anthropic", &anthropic_key(2)).await;
    let mut fresh = Api::Messages.body();
    fresh["model"] = "either".into();
    let call = world.post(Api::Messages.path());
    let served = call
        .header("anthropic-version", "2023-06-01")
        .json(&fresh)
        .await;
    assert_eq!(served.header("x-keypool-provider"), "backup");
}
