//! The routes that show and steer how requests flow: the queue, conversations, one at a time.

use std::time::Duration;

use futures_util::FutureExt;
use http::StatusCode;
use keypool_pool::{Demand, Lease, Turn, Urgency, Wait};
use serde_json::json;

use super::harness::{Harness, START};
use crate::pool_shell::{Admitted, unused};
use crate::provider::Provider;

const TWO: &[(&str, &[&str])] = &[
    ("anthropic", &["sk-ant-api03-first-key1"]),
    ("openai", &["sk-proj-first-key2"]),
];

fn demand(urgency: Urgency) -> Demand<'static> {
    Demand {
        model: "m",
        input_tokens: 10,
        output_tokens: 5,
        wait: Some(Wait {
            until: START + Duration::from_secs(20),
            since: START,
            urgency,
            tenant: 0,
            weight: 1,
            bytes: 100,
            resumed: false,
        }),
        ..Demand::default()
    }
}

fn granted(provider: &Provider, demand: &Demand<'_>) -> Lease {
    match provider.pool.request(demand) {
        Admitted::Granted(lease) => lease,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_queue_is_shown_by_priority_and_cleared_of_one_or_of_all() {
    let harness = Harness::new(TWO);
    let body = r#"{"provider":"anthropic","mode":"provider"}"#;
    assert_eq!(
        harness.post("/api/shin/enable", body).await.0,
        StatusCode::OK
    );
    let live = harness.core.live();
    let provider = live.provider("anthropic").unwrap();
    let lease = granted(provider, &demand(Urgency::Normal));
    let waiting = |urgency| match provider.pool.request(&demand(urgency)) {
        Admitted::Waiting(waiting) => waiting,
        other => panic!("{other:?}"),
    };
    let (batch, normal) = (waiting(Urgency::Batch), waiting(Urgency::Normal));

    let status = harness.get("/api/queue/status").await;
    assert_eq!(
        (&status["enabled"], &status["length"]),
        (&json!(true), &json!(2))
    );
    let own = &status["providers"]["anthropic"];
    assert_eq!((&own["length"], &own["bytes"]), (&json!(2), &json!(200)));
    let by_priority = json!({"critical": 0, "high": 0, "normal": 1, "low": 0, "batch": 1});
    assert_eq!(own["byPriority"], by_priority);
    assert!(own["oldestSince"].is_string());
    let other = &status["providers"]["openai"];
    assert_eq!(
        (&other["length"], &other["oldestSince"]),
        (&json!(0), &json!(null))
    );
    let shin = harness.get("/api/shin/status?provider=anthropic").await;
    assert_eq!(
        shin["providers"]["anthropic"],
        json!({"enabled": true, "mode": "provider", "inFlight": 1, "waiting": 2})
    );

    let clear = "/api/queue/clear";
    let elsewhere = harness.post(clear, r#"{"provider":"openai"}"#).await;
    assert_eq!(elsewhere.1["data"]["cleared"], 0);
    let of_batch = harness.post(clear, r#"{"priority":"batch"}"#).await;
    assert_eq!(of_batch.1["data"]["cleared"], 1);
    assert!(matches!(
        batch.turn().now_or_never(),
        Some(Some(Turn::Refused(_)))
    ));
    assert_eq!(harness.post(clear, "").await.1["data"]["cleared"], 1);
    assert!(matches!(
        normal.turn().now_or_never(),
        Some(Some(Turn::Refused(_)))
    ));
    provider.pool.settle(lease, &unused());
}

#[tokio::test]
async fn what_cannot_be_cleared_or_enabled_is_told_with_what_can() {
    let harness = Harness::new(TWO);
    for (path, body, status, code) in [
        (
            "/api/queue/clear",
            r#"{"priority":"urgent"}"#,
            400,
            "unknown_priority",
        ),
        (
            "/api/queue/clear",
            r#"{"provider":"nonesuch"}"#,
            404,
            "unknown_provider",
        ),
        (
            "/api/shin/enable",
            r#"{"mode":"both"}"#,
            400,
            "unknown_mode",
        ),
        (
            "/api/shin/enable",
            r#"{"provider":"nonesuch"}"#,
            404,
            "unknown_provider",
        ),
        (
            "/api/shin/disable",
            r#"{"provider":"nonesuch"}"#,
            404,
            "unknown_provider",
        ),
        (
            "/api/session-affinity/clear",
            r#"{"provider":"nonesuch"}"#,
            404,
            "unknown_provider",
        ),
    ] {
        let (answered, body) = harness.post(path, body).await;
        assert_eq!(answered.as_u16(), status, "{path} {body}");
        assert_eq!(body["error"]["code"], code, "{path} {body}");
    }
    let (_, body) = harness
        .post("/api/queue/clear", r#"{"priority":"urgent"}"#)
        .await;
    let message = body["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("critical, high, normal, low, batch"),
        "{message}"
    );
}

#[tokio::test]
async fn one_at_a_time_is_remembered_over_a_restart_and_ends_when_it_is_disabled() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state.json");
    let harness = Harness::with_state_file(TWO, Some(file.clone()));
    let mode = async |harness: &Harness, provider: &str| {
        let status = harness.get("/api/shin/status").await;
        status["providers"][provider]["mode"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(mode(&harness, "anthropic").await, "off");
    let (status, _) = harness
        .post("/api/shin/enable", r#"{"provider":"anthropic"}"#)
        .await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(mode(&harness, "anthropic").await, "key");
    assert_eq!(mode(&harness, "openai").await, "off");

    let again = Harness::with_state_file(TWO, Some(file.clone()));
    assert_eq!(mode(&again, "anthropic").await, "key");
    let (status, _) = again.post("/api/shin/disable", "").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(mode(&again, "anthropic").await, "off");
    let again = Harness::with_state_file(TWO, Some(file));
    assert_eq!(mode(&again, "anthropic").await, "off");
}

#[tokio::test]
async fn conversations_are_counted_with_their_masked_keys_and_forgotten() {
    let harness = Harness::new(TWO);
    let live = harness.core.live();
    let provider = live.provider("anthropic").unwrap();
    for session in [1, 2, 1] {
        let demand = Demand {
            session: Some(session),
            ..demand(Urgency::Normal)
        };
        provider.pool.settle(granted(provider, &demand), &unused());
    }
    let status = harness.get("/api/session-affinity/status").await;
    assert_eq!(
        (&status["enabled"], &status["ttlMs"]),
        (&json!(true), &json!(300_000))
    );
    let own = &status["providers"]["anthropic"];
    assert_eq!(
        (&own["sessions"], &own["started"], &own["kept"]),
        (&json!(2), &json!(2), &json!(1))
    );
    assert_eq!(own["homes"], json!({"sk-a****key1": 2}));
    let (_, cleared) = harness.post("/api/session-affinity/clear", "").await;
    assert_eq!(cleared["data"]["cleared"], 2);
    let status = harness.get("/api/session-affinity/status").await;
    assert_eq!(status["providers"]["anthropic"]["sessions"], 0);
}
