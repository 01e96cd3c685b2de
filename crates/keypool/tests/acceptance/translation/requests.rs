//! What providers of another API are sent, and what cannot be sent to them.

use keypool_sim::Fault;
use serde_json::{Value, json};

use super::{PAIRS, Pair, sent, with_tool};
use crate::support::{Api, Setup, mask};

#[tokio::test]
async fn the_provider_is_asked_in_its_own_api_and_without_the_clients_headers() {
    for pair in PAIRS {
        let world = Pair::world().await;
        let mut body = pair.body();
        match pair.client {
            Api::Messages => body["system"] = "Be brief.".into(),
            Api::Gemini => body["systemInstruction"] = json!({"parts": [{"text": "Be brief."}]}),
            _ => body["stop"] = "END".into(),
        }
        let call = if pair.client == Api::Gemini {
            pair.post(&world, &body)
        } else {
            let path = format!("{}?beta=true", pair.client.path());
            world.post(&path).json(&body)
        };
        let call = call
            .header("anthropic-version", "2026-10-21")
            .header("anthropic-beta", "tools-1")
            .header("x-goog-api-client", "sdk")
            .header("openai-organization", "org")
            .header("x-openai-internal-codex-responses-lite", "true")
            .header(
                "x-codex-turn-metadata",
                "{\"workspaces\":{\"/home/me\":{}}}",
            )
            .header("x-gemini-api-privileged-user-id", "me");
        call.await.assert_ok();
        let request = world.received().pop().unwrap();
        assert_eq!(request.path_and_query, pair.provider.path());
        assert_eq!(request.key, Some(pair.key()));
        assert_eq!(request.header("anthropic-beta"), None);
        for name in [
            "openai-organization",
            "x-goog-api-client",
            "x-openai-internal-codex-responses-lite",
            "x-codex-turn-metadata",
            "x-gemini-api-privileged-user-id",
        ] {
            assert_eq!(request.header(name), None, "{name}");
        }
        let version = (pair.provider == Api::Messages).then_some("2023-06-01");
        assert_eq!(request.header("anthropic-version"), version);
        let sent = sent(&world);
        if pair.provider == Api::Gemini {
            assert_eq!(sent["model"], Value::Null, "it stands in the path");
        } else {
            assert_eq!(sent["model"], pair.provider.model());
        }
        if (pair.client, pair.provider) == (Api::Messages, Api::Gemini) {
            let system = json!({"parts": [{"text": "Be brief."}]});
            assert_eq!(sent["systemInstruction"], system);
        } else if (pair.client, pair.provider) == (Api::Gemini, Api::Messages) {
            assert!(sent["system"].to_string().contains("Be brief."), "{sent}");
        } else if matches!(pair.client, Api::Messages | Api::Gemini) {
            assert_eq!(
                sent["messages"][0],
                json!({"role": "system", "content": "Be brief."})
            );
        }
        if pair.provider == Api::Messages {
            assert!(sent["max_tokens"].is_u64(), "Anthropic demands it: {sent}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_carried_is_said_in_a_header_that_can_be_switched_off() {
    let pair = PAIRS[0];
    let mut body = pair.body();
    body["top_k"] = 5.into();
    let world = Pair::world().await;
    let answer = pair.post(&world, &body).await;
    answer.assert_ok();
    let told = format!("{}; top_k: dropped", pair.told());
    assert_eq!(answer.header("x-keypool-translation"), told);
    assert_eq!(sent(&world)["top_k"], Value::Null);

    let silent = Setup::both(1).set("/AnswerHeaders", false).start().await;
    let answer = pair.post(&silent, &body).await;
    answer.assert_ok();
    assert_eq!(answer.header("x-keypool-translation"), "");
}

#[tokio::test]
async fn what_would_change_the_answer_is_refused_before_anybody_is_asked() {
    let world = Pair::world().await;
    let pair = PAIRS[1];
    let mut body = pair.body();
    body["n"] = 2.into();
    let answer = pair.post(&world, &body).await;
    pair.client.assert_error(&answer, 400, "not_translatable");
    assert!(answer.text().contains("`n`"), "{}", answer.text());
    assert_eq!(answer.header("x-should-retry"), "false");

    for pair in [PAIRS[2], PAIRS[3]] {
        let mut body = pair.body();
        body["previous_response_id"] = "resp_1".into();
        let answer = pair.post(&world, &body).await;
        pair.client.assert_error(&answer, 400, "not_translatable");
    }

    let mut body = PAIRS[0].body();
    body["messages"] = json!([{"role": "user", "content": 7}]);
    let answer = PAIRS[0].post(&world, &body).await;
    Api::Messages.assert_error(&answer, 400, "invalid_request");
    assert!(world.received().is_empty());
}

#[tokio::test]
async fn tools_that_the_clients_provider_would_run_are_left_out_and_named_where_that_is_configured()
{
    for pair in [PAIRS[0], PAIRS[2]] {
        let mut body = with_tool(pair.client, pair.body());
        let search = match pair.client {
            Api::Messages => json!({"type": "web_search_20250305", "name": "web_search"}),
            _ => json!({"type": "web_search", "external_web_access": false}),
        };
        body["tools"].as_array_mut().unwrap().push(search);
        let world = Pair::world().await;
        let answer = pair.post(&world, &body).await;
        pair.client.assert_error(&answer, 400, "not_translatable");

        let setting = format!("/ApiKeyPool/providers/{}/dropServerTools", pair.name);
        let world = Pair::setup(1).set(&setting, true).start().await;
        let answer = pair.post(&world, &body).await;
        answer.assert_ok();
        let told = answer.header("x-keypool-translation");
        assert!(told.contains("server tools: dropped"), "{told}");
        let sent = sent(&world)["tools"].to_string();
        assert!(
            sent.contains("weather") && !sent.contains("web_search"),
            "{sent}"
        );
    }
}

// acceptance 22: a fallback of another API
#[tokio::test]
async fn a_fallback_gets_the_original_request_in_its_own_api() {
    for pair in PAIRS {
        let second = pair.client;
        let own = format!("{},{}", second.provider(), second.model());
        let world = Pair::setup(1)
            .without_waiting()
            .set("/Aliases", json!({ "any": [pair.model(), own] }))
            .start()
            .await;
        let mut body = pair.body();
        body["model"] = "any".into();
        if pair.client != Api::Gemini {
            body["metadata"] = json!({"user_id": "u"});
        }

        let served = pair.post(&world, &body).await;
        assert_eq!(served.key(), mask(&pair.key()), "{pair:?}");
        assert!(
            served
                .header("x-keypool-translation")
                .starts_with(&pair.told())
        );

        world.fault(&pair.key(), Fault::status(500));
        let served = pair.post(&world, &body).await;
        served.assert_ok();
        assert_eq!(served.key(), mask(&second.key(1)), "{pair:?}");
        assert_eq!(served.header("x-keypool-translation"), "", "{pair:?}");
        let request = world.received().pop().unwrap();
        if second == Api::Gemini {
            body.as_object_mut().unwrap().remove("model");
        }
        let original = body.to_string().replace("any", second.model());
        assert_eq!(request.body, original, "byte for byte");
    }
}

#[tokio::test]
async fn a_fallback_that_can_be_asked_serves_what_cannot_be_written_for_the_first() {
    let forms = ["anthropic,claude-x", "openai,gpt-x"];
    let world = Setup::both(1)
        .set("/Aliases", json!({ "any": forms }))
        .start()
        .await;
    let mut body = Api::Chat.body();
    body["model"] = "any".into();
    body["n"] = 2.into();
    let answer = world.post(Api::Chat.path()).json(&body).await;
    answer.assert_ok();
    assert_eq!(answer.header("x-keypool-provider"), "openai");
}

#[tokio::test]
async fn what_another_api_sealed_never_goes_back_to_the_clients_own() {
    let world = Pair::world().await;
    let thought = json!({"type": "thinking", "thinking": "", "signature": "keypool::gemini::x"});
    let text = json!({"type": "text", "text": "Hi."});
    let mut body = Api::Messages.body();
    body["messages"] = json!([
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": [thought, text]},
        {"role": "user", "content": "And?"},
    ]);
    for path in ["/v1/messages", "/v1/messages/count_tokens"] {
        world.post(path).json(&body).await.assert_ok();
        assert_eq!(sent(&world)["messages"][1]["content"], json!([text]));
        assert_eq!(sent(&world)["model"], Api::Messages.model());
    }
}
