//! Counting the tokens of a request for a provider that does not count them.

use serde_json::{Value, json};

use crate::support::{Answer, Api, Setup, World};

const PATH: &str = "/v1/messages/count_tokens";

async fn count(world: &World, model: &str, prompt: &str) -> Answer {
    let mut body = Api::Messages.body_of(prompt);
    body["model"] = model.into();
    body.as_object_mut().unwrap().remove("max_tokens");
    let call = world.post(PATH).header("anthropic-version", "2023-06-01");
    let counted = call.json(&body).await;
    counted.assert_ok();
    counted
}

fn tokens(answer: &Answer) -> u64 {
    let body = answer.json();
    assert_eq!(
        body.as_object().map(serde_json::Map::len),
        Some(1),
        "{body}"
    );
    body["input_tokens"].as_u64().unwrap()
}

#[tokio::test]
async fn tokens_are_estimated_where_the_provider_does_not_count_them_and_it_is_said() {
    let world = Setup::openai(1).start().await;
    let short = count(&world, "openai,gpt-4o-mini", "Hello").await;
    assert_eq!(short.header("x-keypool-estimated"), "true");
    assert_eq!(short.header("content-type"), "application/json");
    assert_eq!(short.header("x-keypool-attempts"), "0");
    let words = "one word after the other ".repeat(100);
    let long = count(&world, "openai,gpt-4o-mini", &words).await;
    let (short, long) = (tokens(&short), tokens(&long));
    assert!(short > 0 && (400..=900).contains(&long), "{short} {long}");
    assert!(world.received().is_empty(), "nobody is asked");
}

#[tokio::test]
async fn tokens_are_estimated_for_geminis_clients_in_their_own_words() {
    let world = Setup::both(1).start().await;
    let contents = json!([{"parts": [{"text": "one word after the other ".repeat(100)}]}]);
    let request = json!({"contents": contents});
    let nested = json!({"generateContentRequest": {"model": "models/x", "contents": contents}});
    for model in ["anthropic,claude-x", "openai,gpt-x"] {
        for body in [&request, &nested] {
            let path = format!("/v1beta/models/{model}:countTokens");
            let counted = world.post(&path).json(body).await;
            counted.assert_ok();
            assert_eq!(counted.header("x-keypool-estimated"), "true");
            let tokens = counted.json()["totalTokens"].as_u64().unwrap();
            assert!((400..=900).contains(&tokens), "{tokens}");
        }
    }
    assert!(world.received().is_empty(), "nobody is asked");
}

#[tokio::test]
async fn the_wanted_provider_decides_whether_tokens_are_counted_or_estimated() {
    let aliases = json!({
        "counted": ["anthropic,claude-x", "openai,gpt-x"],
        "estimated": ["openai,gpt-x", "anthropic,claude-x"],
    });
    let world = Setup::both(1).set("/Aliases", aliases).start().await;
    for (alias, said, asked) in [("counted", "", 1), ("estimated", "true", 1)] {
        let counted = count(&world, alias, "Hello").await;
        assert_eq!(counted.header("x-keypool-estimated"), said, "{alias}");
        assert!(tokens(&counted) > 0);
        assert_eq!(world.received().len(), asked, "{alias}");
    }
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_not_estimated() {
    let world = Setup::openai(1).start().await;
    for (body, code) in [
        (Value::Null, "invalid_body"),
        (json!({"messages": []}), "missing_model"),
    ] {
        let answer = world.post(PATH).json(&body).await;
        Api::Messages.assert_error(&answer, 400, code);
    }
}

#[tokio::test]
async fn what_is_set_aside_is_what_the_provider_is_asked_for() {
    // It charges the most that an answer may have.
    let openai = "/ApiKeyPool/providers/openai";
    let world = Setup::openai(1)
        .set(&format!("{openai}/maxOutputTokens"), 1000)
        .set(
            &format!("{openai}/keys/0/rateLimit"),
            json!({ "tokensPerMinute": 5000 }),
        )
        .start()
        .await;
    let mut body = Api::Messages.body();
    body["model"] = "openai,gpt-4o-mini".into();
    body["max_tokens"] = 64_000.into();
    // Would not fit into any minute of the key's, as the client put it.
    world.send(Api::Messages, &body).await.assert_ok();
    let sent: Value = serde_json::from_slice(&world.received()[0].body).unwrap();
    assert_eq!(sent["max_completion_tokens"], 1000, "{sent}");
}
