//! Embeddings between OpenAI and Gemini.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use keypool_translate::{
    EmbeddingApi, EmbeddingRequest, EmbeddingSettings, VectorEncoding, translate_embeddings,
};
use serde_json::{Value, json};

fn write(from: EmbeddingApi, to: EmbeddingApi, body: &Value) -> Result<(Value, String), String> {
    let body = body.to_string();
    let request = EmbeddingRequest::read(from, body.as_bytes()).map_err(|e| e.to_string())?;
    let translated = request.write(to, "the-model").map_err(|e| e.to_string())?;
    let losses = translated.losses.to_string();
    Ok((serde_json::from_slice(&translated.body).unwrap(), losses))
}

fn answer(from: EmbeddingApi, to: EmbeddingApi, encoding: VectorEncoding, body: &Value) -> Value {
    let settings = EmbeddingSettings {
        from,
        to,
        model: "the-model",
        encoding,
    };
    let answer = translate_embeddings(&settings, body.to_string().as_bytes()).unwrap();
    serde_json::from_slice(&answer).unwrap()
}

#[test]
fn texts_go_to_gemini_as_a_batch() {
    let body = json!({
        "model": "m", "input": ["one", "two"], "dimensions": 256,
        "encoding_format": "base64", "user": "u",
    });
    let (body, losses) = write(EmbeddingApi::OpenAi, EmbeddingApi::GeminiBatch, &body).unwrap();
    let one = |text: &str| {
        json!({
            "model": "models/the-model", "content": {"parts": [{"text": text}]},
            "outputDimensionality": 256,
        })
    };
    assert_eq!(body, json!({"requests": [one("one"), one("two")]}));
    assert_eq!(losses, "user: dropped");
}

#[test]
fn one_text_and_a_list_of_texts_are_the_same_to_gemini() {
    let body = json!({"model": "m", "input": "one"});
    let (alone, _) = write(EmbeddingApi::OpenAi, EmbeddingApi::GeminiBatch, &body).unwrap();
    let body = json!({"model": "m", "input": ["one"]});
    let (list, _) = write(EmbeddingApi::OpenAi, EmbeddingApi::GeminiBatch, &body).unwrap();
    assert_eq!(alone, list);
}

#[test]
fn tokens_are_refused_with_the_reason() {
    for input in [json!([1, 2, 3]), json!([[1, 2], [3]])] {
        let body = json!({"model": "m", "input": input});
        let refusal = write(EmbeddingApi::OpenAi, EmbeddingApi::GeminiBatch, &body).unwrap_err();
        assert!(
            refusal.contains("tokens") && refusal.contains("send texts"),
            "{refusal}"
        );
    }
}

#[test]
fn gemini_s_requests_go_to_openai() {
    let one = json!({
        "content": {"parts": [{"text": "one "}, {"text": "text"}]},
        "taskType": "RETRIEVAL_QUERY", "outputDimensionality": 64,
    });
    let (body, losses) = write(EmbeddingApi::GeminiOne, EmbeddingApi::OpenAi, &one).unwrap();
    let expected = json!({
        "model": "the-model", "input": ["one text"], "dimensions": 64, "encoding_format": "float",
    });
    assert_eq!(body, expected);
    assert_eq!(losses, "taskType: dropped");
    let batch = json!({"requests": [one, one]});
    let (body, _) = write(EmbeddingApi::GeminiBatch, EmbeddingApi::OpenAi, &batch).unwrap();
    assert_eq!(body["input"], json!(["one text", "one text"]));
}

#[test]
fn what_is_no_text_is_refused() {
    let image = json!({"inlineData": {"mimeType": "image/png", "data": "AA=="}});
    let body = json!({"content": {"parts": [image]}});
    assert!(write(EmbeddingApi::GeminiOne, EmbeddingApi::OpenAi, &body).is_err());
}

#[test]
fn vectors_come_back_as_they_were_written() {
    let gemini = json!({"embeddings": [{"values": [0.25, -1.5e-7]}, {"values": [3]}]});
    let body = answer(
        EmbeddingApi::GeminiBatch,
        EmbeddingApi::OpenAi,
        VectorEncoding::Numbers,
        &gemini,
    );
    let embedding =
        |at: usize, values: Value| json!({"object": "embedding", "index": at, "embedding": values});
    let expected = json!({
        "object": "list", "model": "the-model",
        "data": [embedding(0, json!([0.25, -1.5e-7])), embedding(1, json!([3]))],
        "usage": {"prompt_tokens": 0, "total_tokens": 0},
    });
    assert_eq!(body, expected);
}

#[test]
fn vectors_come_as_base64_where_the_client_asked_for_it_and_go_back_to_the_same_numbers() {
    let gemini = json!({"embedding": {"values": [0.5, -2.0]}});
    let openai = answer(
        EmbeddingApi::GeminiOne,
        EmbeddingApi::OpenAi,
        VectorEncoding::Base64,
        &gemini,
    );
    // 0.5 is 0000003f and -2.0 is 000000c0, little end first.
    assert_eq!(openai["data"][0]["embedding"], "AAAAPwAAAMA=");
    let back = answer(
        EmbeddingApi::OpenAi,
        EmbeddingApi::GeminiOne,
        VectorEncoding::Numbers,
        &openai,
    );
    assert_eq!(back["embedding"], gemini["embedding"]);
}

#[test]
fn openai_s_vectors_are_put_in_order_and_their_cost_is_carried() {
    let openai = json!({
        "object": "list", "model": "m",
        "data": [
            {"object": "embedding", "index": 1, "embedding": [2.0]},
            {"object": "embedding", "index": 0, "embedding": [1.0]},
        ],
        "usage": {"prompt_tokens": 8, "total_tokens": 8},
    });
    let body = answer(
        EmbeddingApi::OpenAi,
        EmbeddingApi::GeminiBatch,
        VectorEncoding::Numbers,
        &openai,
    );
    let expected = json!({
        "embeddings": [{"values": [1.0]}, {"values": [2.0]}],
        "usageMetadata": {"promptTokenCount": 8},
    });
    assert_eq!(body, expected);
}

#[test]
fn an_answer_in_another_shape_is_an_error() {
    let settings = EmbeddingSettings {
        from: EmbeddingApi::OpenAi,
        to: EmbeddingApi::GeminiBatch,
        model: "m",
        encoding: VectorEncoding::Numbers,
    };
    for body in [
        "",
        "[]",
        "{}",
        r#"{"data":[{}]}"#,
        r#"{"data":[{"embedding":"AA"}]}"#,
    ] {
        assert!(
            translate_embeddings(&settings, body.as_bytes()).is_err(),
            "{body}"
        );
    }
}
