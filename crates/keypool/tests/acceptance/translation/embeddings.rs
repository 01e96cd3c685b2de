//! Texts turned into vectors by a provider of another API.

use keypool_sim::Fault;
use serde_json::{Value, json};

use super::sent;
use crate::support::{Api, Setup, World, gemini_key, mask, openai_key};

const GEMINI_MODEL: &str = "gemini-embedding-001";

fn openai_body(input: &Value) -> Value {
    json!({"model": format!("gemini,{GEMINI_MODEL}"), "input": input})
}

async fn world() -> World {
    Setup::all(1).without_waiting().start().await
}

#[tokio::test]
async fn openais_clients_get_geminis_vectors_in_the_encoding_that_they_ask_for() {
    let world = world().await;
    let mut body = openai_body(&json!(["one", "two"]));
    body["dimensions"] = 16.into();
    let floats = world.post("/v1/embeddings").json(&body).await;
    floats.assert_ok();
    let told = "OpenAI embeddings to Gemini batchEmbedContents";
    assert_eq!(floats.header("x-keypool-translation"), told);
    assert_eq!(floats.key(), mask(&gemini_key(1)));
    let answer = floats.json();
    assert_eq!(
        (answer["object"].as_str(), answer["model"].as_str()),
        (Some("list"), Some(GEMINI_MODEL))
    );
    let vectors = answer["data"].as_array().unwrap();
    assert_eq!(vectors.len(), 2);
    assert!(vectors.iter().all(|vector| vector["embedding"][0].is_f64()));
    let request = world.received().pop().unwrap();
    let path = format!("/v1beta/models/{GEMINI_MODEL}:batchEmbedContents");
    assert_eq!(request.path_and_query, path);
    let one = |text: &str| {
        json!({"model": format!("models/{GEMINI_MODEL}"), "outputDimensionality": 16,
            "content": {"parts": [{"text": text}]}})
    };
    assert_eq!(sent(&world), json!({"requests": [one("one"), one("two")]}));
    let tokens = &world.details("gemini", &gemini_key(1)).await["metrics"]["tokens"];
    assert_eq!(tokens["input"], answer["usage"]["prompt_tokens"]);

    body["encoding_format"] = "base64".into();
    let encoded = world.post("/v1/embeddings").json(&body).await;
    encoded.assert_ok();
    assert!(encoded.json()["data"][1]["embedding"].is_string());
}

#[tokio::test]
async fn geminis_clients_get_openais_vectors_for_one_text_and_for_many() {
    let world = world().await;
    let one = json!({"model": "models/openai,text-x", "content": {"parts": [{"text": "one"}]},
        "taskType": "RETRIEVAL_QUERY"});
    let many = json!({"requests": [one, one]});
    for (method, body, place, name) in [
        ("embedContent", &one, "/embedding/values/0", "embedContent"),
        (
            "batchEmbedContents",
            &many,
            "/embeddings/1/values/0",
            "batchEmbedContents",
        ),
    ] {
        let path = format!("/v1beta/models/openai,text-x:{method}");
        let answer = world.post(&path).json(body).await;
        answer.assert_ok();
        let told = format!("Gemini {name} to OpenAI embeddings; taskType: dropped");
        assert_eq!(answer.header("x-keypool-translation"), told);
        assert!(
            answer.json().pointer(place).is_some_and(Value::is_f64),
            "{}",
            answer.text()
        );
        let request = world.received().pop().unwrap();
        assert_eq!(
            (request.path_and_query.as_str(), request.key),
            ("/v1/embeddings", Some(openai_key(1)))
        );
        assert_eq!(sent(&world)["model"], "text-x");
    }
}

#[tokio::test]
async fn what_goes_wrong_is_told_in_the_clients_api() {
    let world = world().await;
    let tokens = openai_body(&json!([1, 2, 3]));
    let answer = world.post("/v1/embeddings").json(&tokens).await;
    Api::Embeddings.assert_error(&answer, 400, "not_translatable");
    assert!(world.received().is_empty());

    let fault = Fault::Status {
        status: 400,
        code: None,
        message: Some("The text is no good.".to_owned()),
        retry_after: None,
    };
    world.fault(&gemini_key(1), fault.clone());
    let text = openai_body(&json!("one"));
    let answer = world.post("/v1/embeddings").json(&text).await;
    Api::Embeddings.error_code(&answer);
    assert!(answer.status == 400 && answer.text().contains("The text is no good."));

    world.fault(&openai_key(1), fault);
    let one = json!({"content": {"parts": [{"text": "one"}]}});
    let path = "/v1beta/models/openai,text-x:embedContent";
    let answer = world.post(path).json(&one).await;
    Api::Gemini.error_code(&answer);
    assert!(answer.status == 400 && answer.text().contains("The text is no good."));

    // Anthropic has no embeddings.
    let answer = world
        .post("/v1beta/models/anthropic,x:embedContent")
        .json(&one)
        .await;
    Api::Gemini.assert_error(&answer, 400, "other_dialect");
}

#[tokio::test]
async fn a_fallback_of_the_other_api_embeds_what_the_first_cannot() {
    let aliases = json!({"vectors": [format!("gemini,{GEMINI_MODEL}"), "openai,text-x"]});
    let setup = Setup::all(1).without_waiting().set("/Aliases", aliases);
    let world = setup.start().await;
    world.fault(&gemini_key(1), Fault::rate_limited(60));
    let body = json!({"model": "vectors", "input": "one"});
    let answer = world.post("/v1/embeddings").json(&body).await;
    answer.assert_ok();
    assert_eq!(answer.header("x-keypool-provider"), "openai");
    assert_eq!(answer.header("x-keypool-translation"), "");
}
