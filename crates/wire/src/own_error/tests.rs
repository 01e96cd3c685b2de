use super::*;
use crate::sse::SseSplitter;
use crate::stream::{EventKind, StreamEnd, StreamMeter};

fn error(status: u16) -> OwnError {
    OwnError {
        status,
        code: "no_room",
        message: "All keys are \"busy\".".to_owned(),
    }
}

fn body(dialect: Dialect, status: u16) -> Value {
    serde_json::from_str(&error_body(dialect, &error(status))).unwrap()
}

#[test]
fn each_dialect_gets_its_own_shape() {
    assert_eq!(
        body(Dialect::Anthropic, 429),
        json!({"type": "error", "error": {
            "type": "rate_limit_error", "message": "All keys are \"busy\".",
            "details": {"error_code": "no_room"}}})
    );
    assert_eq!(
        body(Dialect::OpenAi, 429),
        json!({"error": {"message": "All keys are \"busy\".", "type": "rate_limit_error",
            "param": null, "code": "no_room"}})
    );
    assert_eq!(
        body(Dialect::Gemini, 429),
        json!({"error": {"code": 429, "message": "All keys are \"busy\".",
            "status": "RESOURCE_EXHAUSTED", "details": [{
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "NO_ROOM", "domain": "keypool"}]}})
    );
}

#[test]
fn the_type_follows_the_status() {
    for (status, anthropic, openai, gemini) in [
        (
            400,
            "invalid_request_error",
            "invalid_request_error",
            "INVALID_ARGUMENT",
        ),
        (
            401,
            "authentication_error",
            "authentication_error",
            "UNAUTHENTICATED",
        ),
        (
            402,
            "billing_error",
            "invalid_request_error",
            "INVALID_ARGUMENT",
        ),
        (
            403,
            "permission_error",
            "permission_error",
            "PERMISSION_DENIED",
        ),
        (404, "not_found_error", "invalid_request_error", "NOT_FOUND"),
        (
            413,
            "request_too_large",
            "invalid_request_error",
            "INVALID_ARGUMENT",
        ),
        (500, "api_error", "server_error", "INTERNAL"),
        (502, "api_error", "server_error", "UNAVAILABLE"),
        (503, "overloaded_error", "server_error", "UNAVAILABLE"),
        (504, "timeout_error", "server_error", "DEADLINE_EXCEEDED"),
        (529, "overloaded_error", "server_error", "UNAVAILABLE"),
    ] {
        assert_eq!(
            body(Dialect::Anthropic, status)["error"]["type"],
            anthropic,
            "{status}"
        );
        assert_eq!(
            body(Dialect::OpenAi, status)["error"]["type"],
            openai,
            "{status}"
        );
        assert_eq!(
            body(Dialect::Gemini, status)["error"]["status"],
            gemini,
            "{status}"
        );
    }
}

#[test]
fn a_request_id_is_put_where_anthropics_clients_look() {
    let with_id = error_body_with_request_id(Dialect::Anthropic, &error(500), "req_1");
    assert_eq!(
        serde_json::from_str::<Value>(&with_id).unwrap()["request_id"],
        "req_1"
    );
    let without = error_body_with_request_id(Dialect::OpenAi, &error(500), "req_1");
    assert_eq!(without, error_body(Dialect::OpenAi, &error(500)));
}

#[test]
fn a_stream_ended_by_keypool_reads_as_failed_and_not_as_complete() {
    for endpoint in [
        Endpoint::Messages,
        Endpoint::ChatCompletions,
        Endpoint::Responses,
        Endpoint::GenerateContent,
    ] {
        let event = stream_error_event(endpoint, &error(529), 7);
        let mut meter = StreamMeter::new(endpoint, false);
        let mut kinds = Vec::new();
        let done = SseSplitter::new()
            .feed(&event, |event| kinds.push(meter.observe(&event)))
            .unwrap();
        assert_eq!(done, event.len(), "{endpoint:?}: whole events only");
        assert!(
            matches!(kinds.as_slice(), [EventKind::Error(_)]),
            "{endpoint:?}: {kinds:?}"
        );
        assert_eq!(meter.end(), Some(StreamEnd::Failed));
        assert!(!meter.is_complete());
    }
}
