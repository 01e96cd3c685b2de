//! What goes wrong at the provider, in its own words, and what becomes of the keys.

use keypool_sim::Fault;
use serde_json::{Value, json};

use super::{assert_error, plain, stream, verbatim};
use crate::support::{Setup, World, gemini_key, mask};

async fn first_key_with(fault: Fault) -> World {
    let world = Setup::gemini(2).strategy("fill-first").start().await;
    world.fault(&gemini_key(1), fault);
    world
}

fn google_error(status: u16, name: &str, details: &Value) -> Fault {
    let error =
        json!({"error": {"code": status, "message": "No.", "status": name, "details": details}});
    verbatim(status, "application/json; charset=UTF-8", error.to_string())
}

#[tokio::test]
async fn what_another_key_can_cure_is_cured_and_the_key_is_treated_as_it_deserves() {
    let day = json!([{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [
        {"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "quotaValue": "250"}]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "22s"}]);
    let limited = json!({"candidates": [{"finishReason": "PUP_LIMITED_DISABLED", "index": 0}],
        "usageMetadata": {"promptTokenCount": 4}})
    .to_string();
    for (fault, state) in [
        (Fault::rate_limited(30), "rate-limited"),
        (
            google_error(429, "RESOURCE_EXHAUSTED", &day),
            "rate-limited",
        ),
        // The key is dead, though the status calls it the client's mistake.
        (Fault::Unauthorized, "unavailable"),
        (
            google_error(402, "RESOURCE_EXHAUSTED", &json!([])),
            "unavailable",
        ),
        (
            google_error(400, "FAILED_PRECONDITION", &json!([])),
            "unavailable",
        ),
        (verbatim(200, "application/json", limited), "unavailable"),
        (Fault::status(503), "healthy"),
        (Fault::status(500), "healthy"),
        (Fault::ResetBeforeHead, "healthy"),
    ] {
        let world = first_key_with(fault.clone()).await;
        let answer = plain(&world).await;
        answer.assert_ok();
        assert_eq!(answer.key(), mask(&gemini_key(2)), "{fault:?}");
        world.becomes(&gemini_key(1), state).await;
    }
}

#[tokio::test]
async fn an_account_that_is_limited_fails_a_stream_over_before_a_word_is_said() {
    let limited = "data: {\"candidates\":[{\"finishReason\":\"PUP_LIMITED_DISABLED\"}]}\r\n\r\n";
    let world = first_key_with(verbatim(200, "text/event-stream", limited)).await;
    let answer = stream(&world).await;
    answer.assert_ok();
    assert_eq!(answer.key(), mask(&gemini_key(2)));
    world.becomes(&gemini_key(1), "unavailable").await;
}

#[tokio::test]
async fn the_clients_mistake_goes_back_as_it_came_and_hurts_no_key() {
    let message = "Function call is missing a thought_signature in functionCall parts.";
    let error = json!({"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}});
    for body in [error.to_string(), json!([error]).to_string()] {
        let world = first_key_with(verbatim(400, "application/json", body.clone())).await;
        let answer = plain(&world).await;
        assert_eq!((answer.status, answer.text()), (400, body));
        assert_eq!(answer.header("x-keypool-attempts"), "1");
        assert_eq!(world.score(&gemini_key(1)).await, 100);
    }
}

#[tokio::test]
async fn what_is_no_answer_of_the_api_is_a_clear_502() {
    let world = Setup::gemini(1).start().await;
    world.fault(&gemini_key(1), Fault::Garbage);
    assert_error(&plain(&world).await, 502, "upstream_garbage");
    world.fault(&gemini_key(1), verbatim(200, "application/json", "[1]"));
    assert_error(&stream(&world).await, 502, "upstream_garbage");
}
