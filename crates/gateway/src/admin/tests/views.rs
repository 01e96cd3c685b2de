//! What the routes show.

use http::{Method, StatusCode};
use keypool_pool::{FaultKind, Verdict};
use serde_json::{Value, json};

use super::harness::Harness;
use crate::telemetry::render_metrics;

const TWO: &[(&str, &[&str])] = &[
    (
        "anthropic",
        &["sk-ant-api03-first-key1", "sk-ant-api03-second-key2"],
    ),
    ("openai", &["sk-proj-first-key3"]),
];

fn members(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

fn has(value: &Value, names: &[&str]) {
    for name in names {
        assert!(value.get(name).is_some(), "{name} is missing in {value}");
    }
}

#[tokio::test]
async fn stats_have_the_guides_shape_and_their_states_add_up() {
    // acceptance 26 27 28
    let harness = Harness::new(TWO);
    let before = harness.get("/api/apikeys/stats").await;
    assert_eq!(before["keyUtilization"]["sk-a****key1"], 0);
    for _ in 0..3 {
        harness.serve("anthropic", Verdict::Success);
    }
    harness.serve("openai", Verdict::Fault(FaultKind::ServerError));
    let stats = harness.get("/api/apikeys/stats").await;
    has(
        &stats,
        &[
            "degradedKeys",
            "rateLimitedKeys",
            "unavailableKeys",
            "limitUtilization",
        ],
    );
    assert_eq!(stats["totalKeys"], 3);
    assert_eq!(stats["healthyKeys"], 3);
    assert_eq!(stats["totalRequests"], 4);
    assert_eq!(stats["totalErrors"], 1);
    assert_eq!(stats["averageHealthScore"].to_string(), "98.3");
    let utilization = json!({"sk-a****key1": 50, "sk-a****key2": 25, "sk-p****key3": 25});
    assert_eq!(stats["keyUtilization"], utilization);
    assert_eq!(stats["limitUtilization"]["sk-a****key1"], 2);

    let one = harness.get("/api/apikeys/stats?provider=openai").await;
    assert_eq!(one["totalKeys"], 1);
    assert_eq!(one["keyUtilization"], json!({"sk-p****key3": 100}));
}

#[tokio::test]
async fn health_lists_the_keys_of_each_provider_in_the_guides_shape() {
    // acceptance 29 43 48
    let harness = Harness::new(TWO);
    harness.serve("openai", Verdict::Invalid);
    let health = harness.get("/api/apikeys/health").await;
    has(
        &health["anthropic"],
        &["totalKeys", "healthyKeys", "averageHealthScore"],
    );
    let key = &health["anthropic"]["keys"][0];
    has(
        key,
        &["id", "name", "lastUsed", "rateLimitedUntil", "lastError"],
    );
    let shown = json!({
        "key": key["key"], "enabled": key["enabled"], "priority": key["priority"],
        "health": key["health"], "healthScore": key["healthScore"],
        "requestCount": key["requestCount"], "errorCount": key["errorCount"],
    });
    let expected = json!({
        "key": "sk-a****key1", "enabled": true, "priority": 10, "health": "healthy",
        "healthScore": 100, "requestCount": 0, "errorCount": 0,
    });
    assert_eq!(shown, expected);
    let dead = &health["openai"]["keys"][0];
    assert_eq!(dead["health"], "unavailable");
    assert_eq!(dead["healthScore"], 0);
    assert_eq!(dead["healthColor"], "red");
    assert_eq!(dead["lastError"]["code"], "api_error");
    assert_eq!(dead["lastUsed"], "2026-11-22T12:00:00.000Z");
    assert_eq!(health["openai"]["unavailableKeys"], 1);
}

#[tokio::test]
async fn provider_details_tell_configuration_metrics_and_what_is_left() {
    // acceptance 12 35 83
    let harness = Harness::new(TWO);
    harness.serve("anthropic", Verdict::Success);
    harness.serve("anthropic", Verdict::Fault(FaultKind::Timeout));
    let details = harness.get("/api/apikeys/provider/anthropic").await;
    assert_eq!(details["totalKeys"], 2);
    assert_eq!(details["strategy"], "round-robin");
    let (fine, faulty) = (&details["keys"][0], &details["keys"][1]);
    assert_eq!(fine["config"]["tags"], json!(["production"]));
    assert_eq!(fine["config"]["rateLimit"]["requestsPerMinute"], 100);
    assert_eq!(fine["metrics"]["successes"], 1);
    assert_eq!(fine["metrics"]["tokens"]["input"], 10);
    assert_eq!(fine["metrics"]["tokens"]["total"], 15);
    has(
        &fine["metrics"],
        &["latencyP50Ms", "latencyP99Ms", "inFlight", "rateLimits"],
    );
    let meter = &fine["meters"][0];
    has(meter, &["reserved", "resetsAt", "utilization"]);
    assert_eq!(meter["dimension"], "requestsPerMinute");
    assert_eq!(
        (&meter["limit"], &meter["used"], &meter["remaining"]),
        (&json!(100), &json!(1), &json!(99))
    );
    assert_eq!(faulty["metrics"]["errors"], 1);
    assert_eq!(faulty["metrics"]["errorsByClass"]["timeout"], 1);
    assert_eq!(details["quotaGroups"][0]["name"], "org-a");
}

#[tokio::test]
async fn distribution_gives_shares_of_requests_and_tokens_with_and_without_a_provider() {
    // acceptance 37 82
    let harness = Harness::new(TWO);
    for _ in 0..4 {
        harness.serve("anthropic", Verdict::Success);
    }
    let one = harness
        .get("/api/apikeys/distribution?provider=anthropic")
        .await;
    assert_eq!(
        (&one["totalRequests"], &one["imbalance"]),
        (&json!(4), &json!(1))
    );
    assert_eq!(one["errorRate"], 0);
    for key in one["keys"].as_array().unwrap() {
        assert_eq!(
            (&key["requestShare"], &key["tokenShare"]),
            (&json!(50), &json!(50))
        );
    }
    let all = harness.get("/api/apikeys/distribution").await;
    assert_eq!(all["keys"].as_array().unwrap().len(), 3);
    assert_eq!(all["imbalance"], 1.5);
    assert_eq!(all["providers"]["anthropic"]["imbalance"], 1);
    assert_eq!(all["providers"]["openai"]["imbalance"], Value::Null);
}

#[tokio::test]
async fn keys_with_equal_masks_stay_apart() {
    // acceptance 39
    let harness = Harness::new(&[("p", &["sk-aaaaaaaa-key1", "sk-abbbbbbb-key1", "short"])]);
    let stats = harness.get("/api/apikeys/stats").await;
    let mut names = members(&stats["keyUtilization"]);
    names.sort_unstable();
    assert_eq!(names, ["****", "sk-a****key1", "sk-a****key1#2"]);
}

#[tokio::test]
async fn realtime_totals_cover_all_and_each() {
    let harness = Harness::new(TWO);
    harness.serve("openai", Verdict::Success);
    let totals = harness.get("/api/metrics/realtime").await;
    assert_eq!(
        (&totals["requests"], &totals["inputTokens"]),
        (&json!(1), &json!(10))
    );
    assert_eq!(totals["providers"]["openai"]["successes"], 1);
    assert_eq!(totals["providers"]["anthropic"]["requests"], 0);
}

#[tokio::test]
async fn unknown_providers_routes_and_methods_are_refused_in_the_one_shape() {
    // acceptance 38
    let harness = Harness::new(TWO);
    let calls = [
        (
            Method::GET,
            "/api/apikeys/stats?provider=nobody",
            404,
            "unknown_provider",
        ),
        (
            Method::GET,
            "/api/apikeys/provider/nobody",
            404,
            "unknown_provider",
        ),
        (
            Method::GET,
            "/api/apikeys/distribution?provider=nobody",
            404,
            "unknown_provider",
        ),
        (
            Method::GET,
            "/api/apikeys/nothing-here/at-all",
            404,
            "not_found",
        ),
        (Method::GET, "/api/circuit-breaker/closed", 404, "not_found"),
        (Method::GET, "/api/apikeys/stat", 404, "not_found"),
        (
            Method::POST,
            "/api/apikeys/provider/anthropic",
            405,
            "method_not_allowed",
        ),
        (
            Method::GET,
            "/api/apikeys/key_001ab200ff09",
            405,
            "method_not_allowed",
        ),
        (
            Method::DELETE,
            "/api/apikeys/stats",
            405,
            "method_not_allowed",
        ),
        (
            Method::GET,
            "/api/apikeys/provider/%ff",
            400,
            "invalid_path",
        ),
        (
            Method::GET,
            "/api/apikeys/stats?provider=a&provider=b",
            400,
            "invalid_query",
        ),
    ];
    for (method, path, status, code) in calls {
        let (got, body) = harness.call(method, path, "").await;
        assert_eq!(got.as_u16(), status, "{path}");
        assert_eq!(body["success"], false, "{path}");
        assert_eq!(body["error"]["code"], code, "{path}");
        assert!(
            body["error"]["message"].is_string() && body["timestamp"].is_string(),
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_description_lists_every_route_and_resolves_within_itself() {
    let harness = Harness::new(TWO);
    let (status, text) = harness
        .call_text(Method::GET, "/api/openapi.json", "")
        .await;
    assert_eq!(status, StatusCode::OK);
    let document: Value = serde_json::from_str(&text).unwrap();
    let paths = members(&document["paths"]);
    for path in [
        "/api/apikeys/stats",
        "/api/apikeys/health",
        "/api/apikeys/strategy",
        "/api/apikeys/health-check",
        "/api/apikeys/add",
        "/api/apikeys/remove",
        "/api/apikeys/{id}",
        "/api/apikeys/provider/{provider}",
        "/api/apikeys/rotate",
        "/api/apikeys/distribution",
        "/api/apikeys/import",
        "/api/apikeys/export",
        "/api/config/reload",
        "/api/alerts",
        "/api/events",
        "/api/metrics/realtime",
    ] {
        assert!(paths.contains(&path), "{path}");
    }
    for part in text.split("\"$ref\":\"#").skip(1) {
        let pointer = part.split('"').next().unwrap();
        assert!(
            document.pointer(pointer).is_some(),
            "{pointer} leads nowhere"
        );
    }
}

#[tokio::test]
async fn metrics_name_keys_by_their_masks_and_end_properly() {
    // acceptance 70 83 86
    let harness = Harness::new(TWO);
    harness.serve("anthropic", Verdict::Success);
    harness.serve("openai", Verdict::Fault(FaultKind::Timeout));
    let live = harness.core.live();
    live.provider("openai")
        .unwrap()
        .measurements
        .count_failover("rate_limit_error");
    let page = render_metrics(&harness.core);
    for line in [
        "# TYPE keypool_requests counter",
        r#"keypool_requests_total{provider="anthropic",key="sk-a****key1",outcome="success"} 1"#,
        r#"keypool_requests_total{provider="openai",key="sk-p****key3",outcome="timeout"} 1"#,
        r#"keypool_tokens_total{provider="anthropic",key="sk-a****key1",kind="input"} 10"#,
        r#"keypool_key_state{provider="anthropic",key="sk-a****key1",state="healthy"} 1"#,
        r#"keypool_key_health_score{provider="openai",key="sk-p****key3"} 95"#,
        concat!(
            r#"keypool_limit_remaining{provider="anthropic",key="sk-a****key1","#,
            r#"dimension="requestsPerMinute",model_class=""} 99"#
        ),
        concat!(
            r#"keypool_limit_utilization_ratio{provider="anthropic",key="sk-a****key1","#,
            r#"dimension="requestsPerMinute",model_class=""} 0.01"#
        ),
        r#"keypool_failovers_total{provider="openai",reason="rate_limit_error"} 1"#,
        "# TYPE keypool_request_duration_seconds histogram",
        "# TYPE keypool_time_to_first_byte_seconds histogram",
        "keypool_streams_open 0",
        "keypool_build_info{",
    ] {
        assert!(
            page.lines().any(|shown| shown.starts_with(line)),
            "{line} is not in\n{page}"
        );
    }
    assert!(page.ends_with("# EOF\n"));
    assert!(!page.contains("api03"), "a whole key is shown");
}
