//! The simulator as a server: control over HTTP, HTTP/2, configuration files, stopping.

use std::io::ErrorKind;

use crate::client::{ANTHROPIC, MESSAGE, OPENAI, config, message, send, start};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use keypool_sim::{Algorithm, Dialect, Fault, SimConfig, SimServer, Spread};
use serde_json::Value;
use tokio::net::TcpStream;

#[tokio::test]
async fn another_process_can_script_and_ask_over_http() {
    let server = start(config()).await;
    let addr = server.addr();
    let post = async |command: &str, body: &str| {
        send(addr, "POST", &format!("/__sim/{command}"), &[], body)
            .await
            .status
    };
    let fault = format!(
        r#"{{"key":"{ANTHROPIC}","faults":[{{"requests":1,"fault":{{"kind":"rate-limited","retryAfter":"2"}}}}]}}"#
    );
    assert_eq!(post("faults", &fault).await, 200);
    let refused = message(addr, MESSAGE).await;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (429, Some("2"))
    );
    assert_eq!(message(addr, MESSAGE).await.status, 200);
    let limits = format!(r#"{{"name":"{ANTHROPIC}","limits":{{"requestsPerMinute":1}}}}"#);
    assert_eq!(post("limits", &limits).await, 200);
    assert_eq!(message(addr, MESSAGE).await.status, 200);
    assert_eq!(message(addr, MESSAGE).await.status, 429);
    let key = format!(r#"{{"key":"{ANTHROPIC}"}}"#);
    assert_eq!(post("revoke", &key).await, 200);
    assert_eq!(message(addr, MESSAGE).await.status, 401);
    assert_eq!(post("restore", &key).await, 200);
    let counters = send(addr, "GET", "/__sim/counters", &[], "").await.json();
    assert_eq!(counters["keys"][ANTHROPIC]["byStatus"]["429"], 2);
    assert_eq!(counters["keys"][ANTHROPIC]["completed"], 2);
    let requests = send(addr, "GET", "/__sim/requests", &[], "").await.json();
    assert_eq!(requests.as_array().unwrap().len(), 5);
    assert_eq!(requests[0]["body"], MESSAGE);
    assert_eq!(post("reset", "").await, 200);
    assert_eq!(message(addr, MESSAGE).await.status, 200);
    assert_eq!(server.sim().counters().requests, 1);
}

#[tokio::test]
async fn a_command_that_makes_no_sense_is_refused_and_says_why() {
    let server = start(config()).await;
    let post = async |command: &str, body: &str| {
        let answer = send(
            server.addr(),
            "POST",
            &format!("/__sim/{command}"),
            &[],
            body,
        )
        .await;
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        (answer.status, error)
    };
    assert_eq!(post("revoke", r#"{"key":"who"}"#).await.0, 404);
    assert_eq!(post("nothing", "{}").await.0, 404);
    let (status, error) = post("faults", r#"{"faults":[{"fault":{"kind":"flood"}}]}"#).await;
    assert_eq!(status, 400);
    assert!(error.contains("flood"), "{error}");
}

#[tokio::test]
async fn http2_without_tls_carries_many_requests_on_one_connection() {
    let server = start(config()).await;
    let stream = TcpStream::connect(server.addr()).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let mut answers = Vec::new();
    for _ in 0..50 {
        let mut sender = sender.clone();
        answers.push(tokio::spawn(async move {
            let request = http::Request::post("http://sim/v1/messages")
                .header("x-api-key", ANTHROPIC)
                .header("anthropic-version", "2023-06-01")
                .body(Full::new(Bytes::from(MESSAGE)))
                .unwrap();
            let answer = sender.send_request(request).await.unwrap();
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            serde_json::from_slice::<Value>(&body).unwrap()["type"].clone()
        }));
    }
    for answer in answers {
        assert_eq!(answer.await.unwrap(), "message");
    }
    let counters = server.sim().counters();
    assert_eq!(
        (counters.connections, counters.key(ANTHROPIC).completed),
        (1, 50)
    );
    assert_eq!(server.sim().requests()[0].version, "HTTP/2.0");
}

#[test]
fn a_configuration_reads_from_json_with_defaults_for_all_the_rest() {
    let text = r#"{
        "organisations": [
            { "name": "acme", "dialect": "anthropic", "algorithm": "per-second-slices",
              "limits": { "requestsPerMinute": 50 },
              "modelClasses": [{ "models": ["claude-opus-*"], "limits": { "requestsPerMinute": 5 } }] }
        ],
        "keys": [
            { "secret": "sk-1", "organisation": "acme",
              "faults": [{ "fromMs": 1000, "untilMs": 2000, "share": 0.5,
                           "fault": { "kind": "slow-head", "delayMs": 250 } }] }
        ],
        "minuteMs": 2000,
        "answer": { "latencyMs": { "min": 10, "max": 20 }, "outputTokens": 8 }
    }"#;
    let config: SimConfig = serde_json::from_str(text).unwrap();
    assert_eq!(
        config.organisations[0].algorithm,
        Algorithm::PerSecondSlices
    );
    assert_eq!(
        config.answer.latency_ms,
        Spread::Uniform { min: 10, max: 20 }
    );
    assert!(matches!(
        config.keys[0].faults[0].fault,
        Fault::SlowHead { .. }
    ));
    assert_eq!(config.check(), Ok(()));
    let again = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<SimConfig>(&again).unwrap(), config);
}

#[tokio::test]
async fn a_configuration_that_makes_no_sense_does_not_start() {
    let mut twice = config();
    twice.keys.push(twice.keys[0].clone());
    let error = SimServer::start(([127, 0, 0, 1], 0).into(), twice)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().starts_with("keys[3].secret"), "{error}");
    let mut stray = config();
    stray.keys[1].organisation = "nobody".to_owned();
    let error = stray.check().unwrap_err();
    assert_eq!(
        error.to_string(),
        "keys[1].organisation: no organisation is named \"nobody\""
    );
}

#[tokio::test]
async fn both_dialects_live_in_one_server_and_their_keys_do_not_mix() {
    let server = start(config()).await;
    let headers = [("x-api-key", OPENAI), ("anthropic-version", "2023-06-01")];
    let refused = send(server.addr(), "POST", "/v1/messages", &headers, MESSAGE).await;
    assert_eq!(refused.status, 401);
    assert_eq!(
        config()
            .organisations
            .iter()
            .filter(|o| o.dialect == Dialect::OpenAi)
            .count(),
        1
    );
    assert_eq!(server.sim().counters().unknown_key, 1);
}

#[tokio::test]
async fn a_stopped_server_refuses_connections() {
    let server = start(config()).await;
    let addr = server.addr();
    assert_eq!(message(addr, MESSAGE).await.status, 200);
    server.stop().await;
    assert_eq!(
        TcpStream::connect(addr).await.unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
}
