//! What the routes change.

use http::{Method, StatusCode};
use keypool_pool::Verdict;
use serde_json::{Value, json};

use super::harness::{Called, Harness, config};

const FIRST: &str = "sk-ant-api03-first-key1";
const SECOND: &str = "sk-ant-api03-second-key2";
const NEW: &str = "sk-ant-api03-canary-new3";
const TWO: &[(&str, &[&str])] = &[("anthropic", &[FIRST, SECOND])];

fn refused(called: &Called, status: u16, code: &str, field: &str) {
    let (got, body) = called;
    assert_eq!(got.as_u16(), status, "{body}");
    assert_eq!(body["error"]["code"], code, "{body}");
    assert_eq!(body["error"]["field"], field, "{body}");
}

async fn total_keys(harness: &Harness) -> Value {
    harness.get("/api/apikeys/stats").await["totalKeys"].clone()
}

#[tokio::test]
async fn an_added_key_is_used_at_once_shown_masked_and_refused_a_second_time() {
    // acceptance 32 39 86
    let harness = Harness::new(&[("anthropic", &[])]);
    let body = json!({
        "provider": "anthropic", "key": NEW, "priority": 10, "enabled": true,
        "rateLimit": {"requestsPerMinute": 50, "tokensPerMinute": 40000}, "tags": ["production"],
    });
    let (status, text) = harness
        .call_text(Method::POST, "/api/apikeys/add", &body.to_string())
        .await;
    assert_eq!(status, StatusCode::CREATED, "{text}");
    assert!(!text.contains("canary"), "{text}");
    assert!(text.contains("sk-a****new3"), "{text}");
    harness.serve("anthropic", Verdict::Success);
    let again = harness.post("/api/apikeys/add", &body.to_string()).await;
    refused(&again, 409, "duplicate_key", "key");
    assert!(!again.1.to_string().contains("canary"));
    assert_eq!(total_keys(&harness).await, 1);
}

#[tokio::test]
async fn a_key_that_cannot_be_added_is_refused_by_its_field() {
    // acceptance 33
    let harness = Harness::new(TWO);
    let add = async |body: Value| harness.post("/api/apikeys/add", &body.to_string()).await;
    refused(
        &add(json!({"key": NEW})).await,
        400,
        "missing_field",
        "provider",
    );
    refused(
        &add(json!({"provider": "anthropic"})).await,
        400,
        "missing_field",
        "key",
    );
    let nobody = json!({"provider": "nobody", "key": NEW});
    refused(&add(nobody).await, 404, "unknown_provider", "provider");
    let priority = json!({"provider": "anthropic", "key": NEW, "priority": 101});
    refused(&add(priority).await, 400, "invalid_field", "priority");
    let host = json!({"provider": "anthropic", "key": NEW, "baseUrl": "http://127.0.0.1:1"});
    refused(&add(host).await, 400, "field_not_allowed", "baseUrl");
    let (status, body) = harness.post("/api/apikeys/add", "{\"provider\": ").await;
    assert_eq!(
        (status.as_u16(), &body["error"]["code"]),
        (400, &json!("invalid_json"))
    );
    let (status, body) = harness.post("/api/apikeys/add", "[]").await;
    assert_eq!(
        (status.as_u16(), &body["error"]["code"]),
        (400, &json!("invalid_body"))
    );
    let large = "x".repeat(crate::limits::ADMIN_BODY_BYTES + 1);
    let (status, body) = harness.post("/api/apikeys/add", &large).await;
    assert_eq!(
        (status.as_u16(), &body["error"]["code"]),
        (413, &json!("body_too_large"))
    );
    assert_eq!(total_keys(&harness).await, 2);
}

#[tokio::test]
async fn a_key_is_removed_in_full_or_by_its_id_and_only_from_the_provider_named() {
    // acceptance 34
    let harness = Harness::new(&[
        ("anthropic", &[FIRST, SECOND]),
        ("openai", &["sk-proj-key3-long"]),
    ]);
    let remove = async |body: Value| harness.post("/api/apikeys/remove", &body.to_string()).await;
    let elsewhere = json!({"provider": "openai", "key": FIRST});
    refused(&remove(elsewhere).await, 404, "unknown_key", "key");
    refused(
        &remove(json!({"provider": "anthropic"})).await,
        400,
        "missing_field",
        "key",
    );
    assert_eq!(total_keys(&harness).await, 3);

    let (status, body) = remove(json!({"provider": "anthropic", "key": FIRST})).await;
    assert_eq!(
        (status, &body["data"]["key"]),
        (StatusCode::OK, &json!("sk-a****key1"))
    );
    let again = remove(json!({"provider": "anthropic", "key": FIRST})).await;
    refused(&again, 404, "unknown_key", "key");
    let health = harness.get("/api/apikeys/health").await;
    let id = &health["anthropic"]["keys"][0]["id"];
    let (status, _) = remove(json!({"provider": "anthropic", "id": id})).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(total_keys(&harness).await, 1);
}

#[tokio::test]
async fn changes_survive_a_restart() {
    // acceptance 32 34 88
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state.json");
    let before = Harness::with_state_file(TWO, Some(file.clone()));
    let body = json!({"provider": "anthropic", "key": NEW, "tags": ["new"]});
    before.post("/api/apikeys/add", &body.to_string()).await;
    before
        .post(
            "/api/apikeys/remove",
            &json!({"provider": "anthropic", "key": FIRST}).to_string(),
        )
        .await;
    let id = crate::secret::Secret::new(SECOND).id();
    let path = format!("/api/apikeys/{id}");
    let (status, body) = before
        .call(Method::PATCH, &path, r#"{"priority": 77}"#)
        .await;
    assert_eq!(
        (status, &body["data"]["config"]["priority"]),
        (StatusCode::OK, &json!(77))
    );
    before
        .post("/api/apikeys/strategy", r#"{"strategy": "lru"}"#)
        .await;

    let after = Harness::with_state_file(TWO, Some(file));
    let details = after.get("/api/apikeys/provider/anthropic").await;
    let keys: Vec<&Value> = details["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| &key["key"])
        .collect();
    assert_eq!(keys, ["sk-a****key2", "sk-a****new3"]);
    assert_eq!(details["keys"][0]["config"]["priority"], 77);
    assert_eq!(details["keys"][1]["config"]["tags"], json!(["new"]));
    assert_eq!(details["strategy"], "lru");
}

#[tokio::test]
async fn a_change_that_cannot_be_saved_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let gone = directory.path().join("not-there").join("state.json");
    let harness = Harness::with_state_file(TWO, Some(gone));
    let body = json!({"provider": "anthropic", "key": NEW}).to_string();
    let (status, body) = harness.post("/api/apikeys/add", &body).await;
    assert_eq!(
        (status.as_u16(), &body["error"]["code"]),
        (500, &json!("not_saved"))
    );
    let (status, _) = harness
        .post("/api/apikeys/strategy", r#"{"strategy": "lru"}"#)
        .await;
    assert_eq!(status.as_u16(), 500);
    assert_eq!(total_keys(&harness).await, 2);
    let strategies = harness.get("/api/apikeys/strategy").await;
    assert_eq!(strategies["strategy"], "round-robin");
}

#[tokio::test]
async fn a_strategy_is_set_for_all_or_for_one_and_an_unknown_one_changes_nothing() {
    // acceptance 3 24 30
    let harness = Harness::new(&[("anthropic", &[FIRST]), ("openai", &[SECOND])]);
    let set = async |body: &str| harness.post("/api/apikeys/strategy", body).await;
    let unknown = set(r#"{"strategy": "sk-ant-canary"}"#).await;
    refused(&unknown, 400, "unknown_strategy", "strategy");
    assert!(!unknown.1.to_string().contains("canary"));
    refused(&set("{}").await, 400, "missing_field", "strategy");
    let (status, body) = set(r#"{"strategy": "weighted"}"#).await;
    assert_eq!(
        (status, &body["data"]["strategy"]),
        (StatusCode::OK, &json!("weighted"))
    );
    set(r#"{"strategy": "lru", "provider": "openai"}"#).await;
    let now = harness.get("/api/apikeys/strategy").await;
    assert_eq!(
        now["current"],
        json!({"anthropic": "weighted", "openai": "lru"})
    );
    assert_eq!(now["strategy"], Value::Null);
    assert_eq!(now["available"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn a_strategy_set_at_run_time_holds_until_the_files_own_is_edited() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state.json");
    let harness = Harness::with_state_file(TWO, Some(file.clone()));
    for strategy in ["lru", "weighted"] {
        let body = json!({"strategy": strategy}).to_string();
        harness.post("/api/apikeys/strategy", &body).await;
        harness.core.reload(config(TWO)).unwrap();
        assert_eq!(
            harness.get("/api/apikeys/strategy").await["strategy"],
            strategy
        );
    }
    let mut edited = config(TWO);
    edited.providers[0].strategy = keypool_pool::Strategy::FillFirst;
    harness.core.reload(edited).unwrap();
    assert_eq!(
        harness.get("/api/apikeys/strategy").await["strategy"],
        "fill-first"
    );
}

#[tokio::test]
async fn a_health_check_needs_no_body_and_returns_what_it_changed() {
    // acceptance 31
    let harness = Harness::new(TWO);
    harness.serve("anthropic", Verdict::Invalid);
    let (status, body) = harness.post("/api/apikeys/health-check", "").await;
    assert_eq!((status, &body["success"]), (StatusCode::OK, &json!(true)));
    assert_eq!(body["data"]["checkedKeys"], 2);
    assert_eq!(body["data"]["probing"][0]["key"], "sk-a****key1");
    let (status, _) = harness
        .post("/api/apikeys/health-check", r#"{"provider": "nobody"}"#)
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn rotation_names_the_next_key_and_says_when_there_is_none() {
    // acceptance 36
    let harness = Harness::new(TWO);
    let last = harness.serve("anthropic", Verdict::Success);
    let (status, body) = harness
        .post("/api/apikeys/rotate", r#"{"provider": "anthropic"}"#)
        .await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(
        (&body["data"]["health"], &body["data"]["healthScore"]),
        (&json!("healthy"), &json!(100))
    );
    let next = harness.serve("anthropic", Verdict::Success);
    assert_ne!(next, last);
    assert_eq!(body["data"]["id"], next.to_string());

    let alone = Harness::new(&[("anthropic", &[FIRST])]);
    alone.serve("anthropic", Verdict::Success);
    let (status, body) = alone
        .post("/api/apikeys/rotate", r#"{"provider": "anthropic"}"#)
        .await;
    assert_eq!(
        (status.as_u16(), &body["error"]["code"]),
        (409, &json!("no_other_key"))
    );
}

#[tokio::test]
async fn a_key_is_changed_by_its_id_and_what_is_not_named_stays() {
    // acceptance 11
    let harness = Harness::new(TWO);
    let id = crate::secret::Secret::new(FIRST).id();
    let path = format!("/api/apikeys/{id}");
    let change = r#"{"enabled": false, "name": "team-a", "rateLimit": {"tokensPerMinute": 9}}"#;
    let (status, body) = harness.call(Method::PATCH, &path, change).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let settings = &body["data"]["config"];
    assert_eq!(
        (&settings["enabled"], &settings["name"]),
        (&json!(false), &json!("team-a"))
    );
    assert_eq!(settings["rateLimit"]["requestsPerMinute"], 100);
    assert_eq!(settings["rateLimit"]["tokensPerMinute"], 9);
    assert_eq!(settings["tags"], json!(["production"]));
    let second = crate::secret::Secret::new(SECOND).id();
    for _ in 0..3 {
        assert_eq!(harness.serve("anthropic", Verdict::Success), second);
    }
    let wrong = harness
        .call(Method::PATCH, &path, r#"{"quotaGroup": "org-b"}"#)
        .await;
    refused(&wrong, 400, "unknown_quota_group", "quotaGroup");
    let nobody = harness
        .call(Method::PATCH, "/api/apikeys/key_000000000000", "{}")
        .await;
    refused(&nobody, 404, "unknown_key", "id");
}

#[tokio::test]
async fn keys_are_imported_by_the_line_or_as_json_all_or_none() {
    let harness = Harness::new(TWO);
    let lines = format!("# new ones\n{NEW}\n\n  {FIRST}\r\n{NEW}\n");
    let (status, body) = harness
        .post("/api/apikeys/import?provider=anthropic", &lines)
        .await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(
        (&body["data"]["added"], &body["data"]["duplicates"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(body["data"]["keys"][0]["key"], "sk-a****new3");

    let with_priority = json!({"key": "sk-ant-api03-line-key5", "priority": 3});
    let list = json!({"provider": "anthropic", "keys": ["sk-ant-api03-line-key4", with_priority]});
    let (status, body) = harness.post("/api/apikeys/import", &list.to_string()).await;
    assert_eq!(
        (status, &body["data"]["added"]),
        (StatusCode::OK, &json!(2)),
        "{body}"
    );

    let wrong = json!(["sk-ant-api03-line-key6", {"key": "sk-ant-api03-line-key7", "priority": 0}]);
    let called = harness
        .post("/api/apikeys/import?provider=anthropic", &wrong.to_string())
        .await;
    refused(&called, 400, "invalid_field", "[1].priority");
    assert_eq!(total_keys(&harness).await, 5);
    refused(
        &harness.post("/api/apikeys/import", NEW).await,
        400,
        "missing_field",
        "provider",
    );
}

#[tokio::test]
async fn an_export_is_masked_and_whole_keys_take_the_admin_token() {
    // acceptance 86 87
    let harness = Harness::new(TWO);
    let (_, masked) = harness
        .call_text(Method::GET, "/api/apikeys/export", "")
        .await;
    assert!(
        masked.contains("sk-a****key1") && !masked.contains(FIRST),
        "{masked}"
    );
    let refused = harness
        .call(Method::GET, "/api/apikeys/export?secrets=1", "")
        .await;
    assert_eq!(
        (refused.0.as_u16(), &refused.1["error"]["code"]),
        (403, &json!("admin_token_required"))
    );

    let trusted = Harness::new(TWO).with_admin_token();
    let (status, whole) = trusted
        .call(Method::GET, "/api/apikeys/export?secrets=1", "")
        .await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        whole["data"]["providers"]["anthropic"]["keys"][0]["key"],
        FIRST
    );

    let empty = Harness::new(&[("anthropic", &[])]);
    let (status, body) = empty
        .post("/api/apikeys/import", &whole["data"].to_string())
        .await;
    assert_eq!(
        (status, &body["data"]["added"]),
        (StatusCode::OK, &json!(2)),
        "{body}"
    );
    let masked: Value = serde_json::from_str(&masked).unwrap();
    let called = empty
        .post("/api/apikeys/import", &masked["data"].to_string())
        .await;
    self::refused(
        &called,
        400,
        "invalid_key",
        "providers.anthropic.keys[0].key",
    );
}

#[tokio::test]
async fn a_reload_without_a_source_says_so_and_one_that_fails_leaves_all_as_it_was() {
    let harness = Harness::new(TWO);
    let (status, body) = harness.post("/api/config/reload", "").await;
    assert_eq!(
        (status.as_u16(), &body["error"]["code"]),
        (422, &json!("invalid_config"))
    );
    harness.core.set_reloader(std::sync::Arc::new(|| {
        Ok(config(&[("anthropic", &[FIRST])]))
    }));
    let (status, body) = harness.post("/api/config/reload", "").await;
    assert_eq!((status, &body["data"]["keys"]), (StatusCode::OK, &json!(1)));
    assert_eq!(total_keys(&harness).await, 1);
    harness
        .core
        .set_reloader(std::sync::Arc::new(|| Err("line 3: no".to_owned())));
    let (_, body) = harness.post("/api/config/reload", "").await;
    assert!(
        body["error"]["message"]
            .as_str()
            .unwrap()
            .contains("line 3: no")
    );
    assert_eq!(total_keys(&harness).await, 1);
}

#[tokio::test]
async fn state_changes_and_alerts_are_streamed_and_alerts_can_be_looked_up() {
    // acceptance 81
    let harness = Harness::new(TWO);
    let events = harness.core.measurements.events();
    let key = crate::secret::Secret::new(FIRST).id();
    let kind = keypool_pool::AlertKind::KeyInvalid;
    let stream = harness.call_text(Method::GET, "/api/events", "");
    let stopping = async {
        // The stream has subscribed once it was polled; then the gateway stops and it ends.
        tokio::task::yield_now().await;
        let alert = keypool_pool::Alert {
            key,
            kind,
            message: "refused".to_owned(),
        };
        events.publish(
            "anthropic",
            "sk-a****key1",
            &keypool_pool::Output::Alert(alert),
        );
        tokio::task::yield_now().await;
        harness.core.begin_draining();
    };
    let ((status, text), ()) = tokio::join!(stream, stopping);
    assert_eq!(status, StatusCode::OK);
    assert!(
        text.contains("event: alert") && text.contains("sk-a****key1"),
        "{text}"
    );
    let alerts = harness.get("/api/alerts").await;
    assert_eq!(alerts["alerts"][0]["kind"], "key-invalid");
}
