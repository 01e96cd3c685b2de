//! Gemini's API over real sockets: shapes, streams, errors, as Google sends them.

use keypool_sim::{Dialect, Fault, FaultWindow, Limits, SimConfig};
use serde_json::{Value, json};

use crate::client::{GEMINI, GENERATE, config, gemini, send, start};

/// The data of each event. Google ends its lines with CRLF.
#[cfg(test)]
fn chunks(body: &str) -> Vec<Value> {
    let events = body.split("\r\n\r\n").filter(|event| !event.is_empty());
    events
        .map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap())
        .collect()
}

#[cfg(test)]
fn text_of(chunks: &[Value]) -> String {
    let texts = chunks.iter().map(|chunk| {
        let part = &chunk["candidates"][0]["content"]["parts"][0];
        part["text"].as_str().unwrap()
    });
    texts.collect()
}

#[tokio::test]
async fn an_answer_has_the_shape_and_usage_of_the_real_one() {
    let server = start(config()).await;
    for version in ["v1beta", "v1"] {
        let path = format!("/{version}/models/gemini-test:generateContent");
        let headers = [("x-goog-api-key", GEMINI)];
        let answer = send(server.addr(), "POST", &path, &headers, GENERATE).await;
        assert_eq!(answer.status, 200);
        let body = answer.json();
        let candidate = &body["candidates"][0];
        assert_eq!(candidate["finishReason"], "STOP");
        assert_eq!(candidate["content"]["role"], "model");
        assert_eq!(body["modelVersion"], "gemini-test");
        let usage = &body["usageMetadata"];
        let prompt = GENERATE.len().div_ceil(4);
        assert_eq!(usage["promptTokenCount"], prompt);
        assert_eq!(usage["candidatesTokenCount"], 16);
        assert_eq!(usage["totalTokenCount"], prompt + 16);
        // No header tells of quotas or names the answer.
        assert!(!answer.head.contains("ratelimit") && !answer.head.contains("request-id"));
    }
}

#[tokio::test]
async fn a_stream_is_events_in_crlf_or_one_array_with_the_same_chunks() {
    let server = start(config()).await;
    let events = gemini(server.addr(), "streamGenerateContent?alt=sse", GENERATE).await;
    let array = gemini(server.addr(), "streamGenerateContent", GENERATE).await;
    assert_eq!(
        events.header("content-type"),
        Some("text/event-stream; charset=utf-8")
    );
    assert_eq!(array.header("content-type"), Some("application/json"));
    let events = chunks(&events.body);
    let array: Vec<Value> = serde_json::from_str(&array.body).unwrap();
    assert_eq!((events.len(), array.len()), (5, 5));
    assert_eq!(text_of(&events), text_of(&array));
    for (at, chunk) in events.iter().enumerate() {
        let usage = &chunk["usageMetadata"];
        assert_eq!(usage["candidatesTokenCount"], 16.min(4 * (at + 1)));
        let reason = &chunk["candidates"][0]["finishReason"];
        assert_eq!(reason.as_str(), (at == 4).then_some("STOP"));
    }
}

#[tokio::test]
async fn an_answer_stops_at_the_bound_in_its_settings() {
    let server = start(config()).await;
    let body = GENERATE.replacen('{', r#"{"generationConfig":{"maxOutputTokens":5},"#, 1);
    let answer = gemini(server.addr(), "generateContent", &body).await.json();
    assert_eq!(answer["candidates"][0]["finishReason"], "MAX_TOKENS");
    assert_eq!(answer["usageMetadata"]["candidatesTokenCount"], 5);
}

#[tokio::test]
async fn tokens_are_counted_texts_embedded_and_models_listed() {
    let server = start(config()).await;
    let counted = gemini(server.addr(), "countTokens", GENERATE).await.json();
    assert_eq!(counted["totalTokens"], GENERATE.len().div_ceil(4));
    let one = json!({"content": {"parts": [{"text": "one"}]}}).to_string();
    let vector = gemini(server.addr(), "embedContent", &one).await.json();
    assert_eq!(vector["embedding"]["values"].as_array().unwrap().len(), 16);
    let request = json!({"model": "models/gemini-test", "content": {"parts": [{"text": "one"}]}});
    let two = json!({"requests": [request, request]}).to_string();
    let vectors = gemini(server.addr(), "batchEmbedContents", &two)
        .await
        .json();
    assert_eq!(vectors["embeddings"].as_array().unwrap().len(), 2);
    for path in ["/v1beta/models", "/v1/models"] {
        let headers = [("x-goog-api-key", GEMINI)];
        let list = send(server.addr(), "GET", path, &headers, "").await.json();
        assert_eq!(list["models"][0]["name"], "models/gemini-2.5-pro");
    }
}

#[tokio::test]
async fn refusals_have_googles_words_and_shape() {
    let server = start(config()).await;
    let path = "/v1beta/models/gemini-test:generateContent";
    let ask = async |headers: &[(&str, &str)], path: &str, body: &str| {
        let answer = send(server.addr(), "POST", path, headers, body).await;
        let error = answer.json()["error"].clone();
        assert_eq!(error["code"], answer.status);
        let reason = error["details"][0]["reason"].as_str().map(str::to_owned);
        (
            answer.status,
            error["status"].as_str().unwrap().to_owned(),
            reason,
        )
    };
    let refused = |status, name: &str| (status, name.to_owned(), None);
    assert_eq!(
        ask(&[("x-goog-api-key", "AIza-none")], path, GENERATE).await,
        (
            400,
            "INVALID_ARGUMENT".to_owned(),
            Some("API_KEY_INVALID".to_owned())
        )
    );
    assert_eq!(
        ask(&[], path, GENERATE).await,
        refused(403, "PERMISSION_DENIED")
    );
    let key = [("x-goog-api-key", GEMINI)];
    assert_eq!(
        ask(&key, path, "{}").await,
        refused(400, "INVALID_ARGUMENT")
    );
    assert_eq!(ask(&key, path, "{").await, refused(400, "INVALID_ARGUMENT"));
    let other = r#"{"requests":[{"model":"models/other","content":{}}]}"#;
    let batch = "/v1beta/models/gemini-test:batchEmbedContents";
    assert_eq!(
        ask(&key, batch, other).await,
        refused(400, "INVALID_ARGUMENT")
    );
    let in_query = format!("{path}?key={GEMINI}");
    let answer = send(server.addr(), "POST", &in_query, &[], GENERATE).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_limit_is_told_by_the_id_of_its_quota_and_a_delay_in_the_body() {
    let limits = Limits {
        requests_per_minute: Some(1),
        ..Limits::NONE
    };
    let server = start(SimConfig::gemini(&[GEMINI], limits)).await;
    assert_eq!(
        gemini(server.addr(), "generateContent", GENERATE)
            .await
            .status,
        200
    );
    let refused = gemini(server.addr(), "generateContent", GENERATE).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("retry-after"), None);
    let error = &refused.json()["error"];
    assert_eq!(error["status"], "RESOURCE_EXHAUSTED");
    let violation = &error["details"][0]["violations"][0];
    assert_eq!(
        violation["quotaId"],
        "GenerateRequestsPerMinutePerProjectPerModel"
    );
    assert_eq!(violation["quotaValue"], "1");
    let delay = error["details"][1]["retryDelay"].as_str().unwrap();
    let seconds: f64 = delay.strip_suffix('s').unwrap().parse().unwrap();
    assert!((50.0..=120.0).contains(&seconds), "{delay}");
    // Only input counts: a long answer leaves the quota alone.
    let limits = Limits {
        input_tokens_per_minute: Some(100),
        output_tokens_per_minute: Some(1),
        ..Limits::NONE
    };
    let server = start(SimConfig::gemini(&[GEMINI], limits)).await;
    for expected in [200, 200] {
        let answer = gemini(server.addr(), "generateContent", GENERATE).await;
        assert_eq!(answer.status, expected);
    }
}

#[tokio::test]
async fn faults_speak_the_dialect() {
    let server = start(config()).await;
    let scripted = async |fault, method| {
        let window = FaultWindow::next(1, fault);
        server.sim().set_faults(GEMINI, vec![window]).unwrap();
        gemini(server.addr(), method, GENERATE).await
    };
    let limited = scripted(Fault::rate_limited(22), "generateContent").await;
    let details = limited.json()["error"]["details"].clone();
    assert_eq!(details[1]["retryDelay"], "22s");
    let first = scripted(
        Fault::error_as_first_event(),
        "streamGenerateContent?alt=sse",
    )
    .await;
    assert_eq!(chunks(&first.body)[0]["error"]["status"], "UNAVAILABLE");
    let unended = scripted(Fault::NoEndMarker, "streamGenerateContent?alt=sse").await;
    assert!(!unended.body.contains("finishReason") && unended.is_whole);
    let plain = scripted(Fault::status(503), "generateContent").await;
    assert_eq!(plain.json()["error"]["status"], "UNAVAILABLE");
    let refused = scripted(Fault::Unauthorized, "generateContent").await;
    assert_eq!(refused.status, 400);
    let dialect: Dialect = serde_json::from_str("\"gemini\"").unwrap();
    assert_eq!(dialect, Dialect::Gemini);
}
