//! Requests and plain answers.

use keypool_sim::Fault;
use serde_json::{Value, json};

use super::{MODEL, ask, assert_error, body, counted, plain, verbatim};
use crate::support::{Setup, gemini_key, mask};

/// A body which no serialiser would write like this.
const ODD: &str = "{ \"zeta\" : 1.0 ,\n\t\"contents\":[{\"parts\":[{\"text\":\"\\u00fc \\/ é\"}]}], \"alpha\":[ ]}\n";

#[tokio::test]
async fn a_request_arrives_byte_for_byte_at_the_version_that_the_client_asked() {
    let aliases = json!({ "fast": [format!("gemini,{MODEL}")] });
    let world = Setup::gemini(1).set("/Aliases", aliases).start().await;
    for version in ["v1beta", "v1"] {
        for model in [
            MODEL.to_owned(),
            format!("gemini,{MODEL}"),
            format!("gemini%2C{MODEL}"),
            format!("gemini/{MODEL}"),
            format!("gemini%2F{MODEL}"),
            "fast".to_owned(),
        ] {
            world.sim.sim().reset();
            let path = format!("/{version}/models/{model}:generateContent?x=1");
            let call = world.post(&path).header("content-type", "application/json");
            let answer = call.body(ODD).await;
            answer.assert_ok();
            assert_eq!(answer.header("x-keypool-provider"), "gemini");
            assert_eq!(answer.header("x-keypool-translation"), "");
            let [received] = world.received().try_into().unwrap();
            let expected = format!("/{version}/models/{MODEL}:generateContent?x=1");
            assert_eq!(received.path_and_query, expected, "{model}");
            assert_eq!(String::from_utf8_lossy(&received.body), ODD);
        }
    }
}

#[tokio::test]
async fn an_answer_arrives_byte_for_byte_and_its_usage_is_counted_exactly() {
    let answer = concat!(
        "{ \"candidates\": [ {\"content\":{\"parts\":[{\"text\":\"\\u00fc\"}]},\"finishReason\":\"STOP\"}],\r\n",
        "\"usageMetadata\": {\"promptTokenCount\": 120, \"cachedContentTokenCount\": 100,\n",
        "\"candidatesTokenCount\": 9, \"thoughtsTokenCount\": 4, \"toolUsePromptTokenCount\": 11, ",
        "\"totalTokenCount\": 144} }\n"
    );
    let world = Setup::gemini(1).start().await;
    world.fault(&gemini_key(1), verbatim(200, "application/json", answer));
    let got = plain(&world).await;
    got.assert_ok();
    assert_eq!(got.text(), answer);
    assert_eq!(counted(&world, &gemini_key(1)).await, [31, 13, 100]);
}

#[tokio::test]
async fn the_provider_gets_its_own_key_in_one_place_wherever_the_client_puts_its() {
    let world = Setup::gemini(1)
        .set("/APIKEY", "client-secret")
        .start()
        .await;
    let refused = plain(&world).await;
    assert_error(&refused, 401, "invalid_gateway_key");
    assert_eq!(refused.header("x-should-retry"), "false");
    for (name, value, query) in [
        ("x-goog-api-key", "client-secret", ""),
        ("authorization", "Bearer client-secret", ""),
        ("x-api-key", "client-secret", ""),
        ("x-goog-api-client", "sdk", "?key=client-secret"),
    ] {
        world.sim.sim().reset();
        let method = format!("generateContent{query}");
        let call = ask(&world, MODEL, &method).header(name, value);
        let call = call.header("x-goog-user-project", "the client's");
        call.header("x-server-timeout", "60").await.assert_ok();
        let [received] = world.received().try_into().unwrap();
        let auth = ["x-api-key", "authorization", "x-goog-api-key"];
        let sent: Vec<_> = received
            .headers
            .iter()
            .filter(|(name, _)| auth.contains(&name.as_str()))
            .collect();
        let own = ("x-goog-api-key".to_owned(), gemini_key(1));
        assert_eq!(sent, [&own], "{name}");
        assert!(!received.path_and_query.contains("client-secret"));
        // Which project is charged is the pool's to say, as the key is.
        assert_eq!(received.header("x-goog-user-project"), None);
        assert_eq!(received.header("x-server-timeout"), Some("60"));
    }
}

#[tokio::test]
async fn tokens_are_counted_by_the_provider_and_cost_nothing() {
    let limit = json!({ "inputTokensPerMinute": 1000 });
    let world = Setup::gemini(1)
        .every_key("rateLimit", &limit)
        .start()
        .await;
    for _ in 0..3 {
        let answer = ask(&world, MODEL, "countTokens").await;
        answer.assert_ok();
        assert!(
            answer.json()["totalTokens"]
                .as_u64()
                .is_some_and(|tokens| tokens > 0)
        );
        assert_eq!(answer.header("x-keypool-estimated"), "");
    }
    assert_eq!(counted(&world, &gemini_key(1)).await, [0, 0, 0]);
}

#[tokio::test]
async fn the_rules_look_into_a_request_whose_tokens_are_counted() {
    let rules = ["default", "image", "longContext", "think", "webSearch"];
    let targets = rules.map(|rule| (rule.to_owned(), format!("gemini,for-{rule}").into()));
    let world = Setup::gemini(1)
        .set("/Router", Value::Object(targets.into_iter().collect()))
        .set("/Router/longContextThreshold", 1000)
        .start()
        .await;
    let picture = json!({"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}});
    let long = json!([{"parts": [{"text": "word ".repeat(2000)}]}]);
    let thinking = json!({"thinkingConfig": {"thinkingBudget": 2048}});
    for (member, value, rule) in [
        ("toolConfig", json!({}), "default"),
        (
            "contents",
            json!([{"role": "user", "parts": [picture]}]),
            "image",
        ),
        ("contents", long, "longContext"),
        ("generationConfig", thinking, "think"),
        ("tools", json!([{"googleSearch": {}}]), "webSearch"),
    ] {
        world.sim.sim().reset();
        let mut request = body();
        request["model"] = "models/some-gemini".into();
        request[member] = value;
        let call = world.post("/v1beta/models/some-gemini:countTokens");
        let counted = call.json(&json!({"generateContentRequest": request})).await;
        counted.assert_ok();
        assert_eq!(counted.header("x-keypool-rule"), rule);
        let [received] = world.received().try_into().unwrap();
        let path = format!("/v1beta/models/for-{rule}:countTokens");
        assert_eq!(received.path_and_query, path);
        let sent = String::from_utf8_lossy(&received.body).into_owned();
        assert!(sent.contains(&format!("models/for-{rule}")), "{sent}");
    }
}

#[tokio::test]
async fn texts_are_embedded_and_the_model_in_the_body_follows_the_one_in_the_path() {
    let aliases = json!({ "vectors": ["gemini,gemini-embedding-001"] });
    let world = Setup::gemini(1).set("/Aliases", aliases).start().await;
    let content = json!({"parts": [{"text": "one"}]});
    let one = json!({"model": "models/vectors", "content": content});
    let two = json!({"requests": [one, one]});
    for (method, body, place) in [
        ("embedContent", &one, "/embedding/values"),
        ("batchEmbedContents", &two, "/embeddings/1/values"),
    ] {
        let path = format!("/v1beta/models/vectors:{method}");
        let answer = world.post(&path).json(body).await;
        answer.assert_ok();
        assert!(answer.json().pointer(place).is_some_and(Value::is_array));
        let received = world.received().pop().unwrap();
        let path = format!("/v1beta/models/gemini-embedding-001:{method}");
        assert_eq!(received.path_and_query, path);
        let expected = body
            .to_string()
            .replace("models/vectors", "models/gemini-embedding-001");
        assert_eq!(String::from_utf8_lossy(&received.body), expected);
    }
    let [input, output, _] = counted(&world, &gemini_key(1)).await;
    assert!(input > 0 && output == 0);
}

#[tokio::test]
async fn what_the_gateway_cannot_serve_is_said_in_googles_shape() {
    let world = Setup::all(1).start().await;
    for (path, sent, status, code) in [
        (
            "/v1beta/models/:generateContent",
            body().to_string(),
            400,
            "missing_model",
        ),
        (
            "/v1beta/models/nobody,m:generateContent",
            body().to_string(),
            404,
            "unknown_provider",
        ),
        (
            "/v1beta/models/m:generateContent",
            "{".to_owned(),
            400,
            "invalid_body",
        ),
        (
            "/v1beta/models/m:predict",
            body().to_string(),
            404,
            "not_found",
        ),
    ] {
        let call = world.post(path).header("x-goog-api-key", "k").body(sent);
        assert_error(&call.await, status, code);
    }
    let get = world.get("/v1beta/models/m:generateContent").await;
    assert_error(&get, 405, "method_not_allowed");
    assert!(world.received().is_empty());
}

#[tokio::test]
async fn what_a_project_keeps_is_read_with_the_key_that_read_it_first() {
    let world = Setup::gemini(3).strategy("round-robin").start().await;
    for state in [
        json!({"cachedContent": "cachedContents/abc"}),
        json!({"contents": [{"parts": [{"fileData": {"mimeType": "image/png",
            "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc"}}]}]}),
    ] {
        let mut request = body();
        request
            .as_object_mut()
            .unwrap()
            .extend(state.as_object().unwrap().clone());
        let ask = async || {
            let path = format!("/v1beta/models/{MODEL}:generateContent");
            let answer = world.post(&path).json(&request).await;
            answer.assert_ok();
            answer.key()
        };
        let first = ask().await;
        for _ in 0..3 {
            plain(&world).await.assert_ok();
            assert_eq!(ask().await, first);
        }
    }
}

#[tokio::test]
async fn a_prompt_that_is_blocked_is_an_answer_and_no_keys_fault() {
    let blocked = json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
        "usageMetadata": {"promptTokenCount": 8, "totalTokenCount": 8}});
    let world = Setup::gemini(2).strategy("fill-first").start().await;
    world.fault(
        &gemini_key(1),
        verbatim(200, "application/json", blocked.to_string()),
    );
    let answer = plain(&world).await;
    answer.assert_ok();
    assert_eq!(answer.json(), blocked);
    assert_eq!(answer.key(), mask(&gemini_key(1)));
    assert_eq!(world.score(&gemini_key(1)).await, 100);
    assert_eq!(counted(&world, &gemini_key(1)).await, [8, 0, 0]);
}

#[tokio::test]
async fn models_are_listed_to_who_comes_with_googles_header() {
    let world = Setup::gemini(1)
        .set("/Aliases", json!({"fast": ["gemini,m"]}))
        .start()
        .await;
    let list = world.get("/v1/models").header("x-goog-api-key", "k").await;
    list.assert_ok();
    assert_eq!(list.json()["models"][0]["name"], "models/fast");
}

#[tokio::test]
async fn a_request_that_no_key_can_serve_is_told_when_to_come_back() {
    let world = Setup::gemini(1).without_waiting().start().await;
    world.fault(&gemini_key(1), Fault::rate_limited(20));
    let answer = plain(&world).await;
    assert_error(&answer, 429, "no_room");
    assert_eq!(answer.json()["error"]["status"], "RESOURCE_EXHAUSTED");
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((15..=20).contains(&wait), "{wait}");
}
