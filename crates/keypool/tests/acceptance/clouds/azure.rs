//! OpenAI's models on Azure: each key with a resource and deployments of its own.

use serde_json::{Value, json};

use super::world;
use crate::support::cloud::{Reply, Server};
use crate::support::{Api, CANARY, mask};

fn key(number: usize) -> String {
    format!("azure-{CANARY}-key{number}")
}

fn body(api: Api) -> Value {
    let mut body = api.body();
    body["model"] = "azure,gpt-4o".into();
    body
}

/// A refusal as Azure words it.
fn throttled() -> Reply {
    let message = "Requests have exceeded the call rate limit. Please retry after 30 seconds.";
    let error = json!({"error": {"code": "429", "message": message}});
    Reply::json(429, &error).header("retry-after-ms", "30000")
}

#[tokio::test]
async fn each_key_is_sent_to_its_own_deployment_with_one_header() {
    let east = Server::start(|_| throttled()).await;
    let west = Server::start(|_| Reply::chat()).await;
    let world = world(json!({ "azure": { "keys": [
        { "key": key(1), "baseUrl": east.url(), "apiVersion": "2024-10-21", "deployments": {"gpt-4o": "east 4o"} },
        { "key": key(2), "baseUrl": west.url(), "deployment": "west-4o" },
    ] } }))
    .await;
    let call = world
        .post(Api::Chat.path())
        .header("api-key", "client's own");
    let answer = call.json(&body(Api::Chat)).await;
    answer.assert_ok();
    assert_eq!(answer.key(), mask(&key(2)));

    let refused = east.only();
    assert_eq!(
        refused.target,
        "/openai/deployments/east%204o/chat/completions?api-version=2024-10-21"
    );
    assert_eq!(refused.credentials(), [("api-key", key(1).as_str())]);
    let served = west.only();
    assert_eq!(served.target, "/openai/v1/chat/completions");
    assert_eq!(served.credentials(), [("api-key", key(2).as_str())]);
    assert_eq!(served.json()["model"], "west-4o");
    assert_eq!(served.json()["messages"], body(Api::Chat)["messages"]);

    // The wait was told in milliseconds.
    assert_eq!(world.state(&key(1)).await, "rate-limited");
}

#[tokio::test]
async fn a_model_that_would_lead_elsewhere_in_a_path_is_not_known() {
    let server = Server::start(|_| Reply::chat()).await;
    let world = world(json!({ "azure": { "keys": [
        { "key": key(1), "baseUrl": server.url(), "apiVersion": "2024-10-21" },
    ] } }))
    .await;
    for model in ["azure,.", "azure,.."] {
        let mut body = body(Api::Chat);
        body["model"] = model.into();
        let answer = world.post(Api::Chat.path()).json(&body).await;
        Api::Chat.assert_error(&answer, 404, "unknown_model");
    }
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn a_token_of_entra_is_sent_as_a_bearer() {
    let server = Server::start(|_| Reply::chat()).await;
    let world = world(json!({ "azure": { "keys": [
        { "key": key(1), "baseUrl": server.url(), "auth": "bearer" },
    ] } }))
    .await;
    let answer = world.post(Api::Chat.path()).json(&body(Api::Chat)).await;
    answer.assert_ok();
    let bearer = format!("Bearer {}", key(1));
    let sent = server.only();
    assert_eq!(sent.credentials(), [("authorization", bearer.as_str())]);
    // Where nothing is said of deployments, they are called as the models are.
    assert_eq!(sent.json()["model"], "gpt-4o");
}

#[tokio::test]
async fn one_secret_at_two_deployments_is_two_keys() {
    let server = Server::start(|request| {
        if request.target.contains("/deployments/one/") {
            throttled()
        } else {
            Reply::chat()
        }
    })
    .await;
    let at = |deployment: &str| json!({ "key": key(1), "baseUrl": server.url(), "apiVersion": "2024-10-21", "deployment": deployment });
    let world = world(json!({ "azure": { "keys": [at("one"), at("two")] } })).await;
    let answer = world.post(Api::Chat.path()).json(&body(Api::Chat)).await;
    answer.assert_ok();
    assert_eq!(answer.header("x-keypool-attempts"), "2");
    let keys = world.shown("provider/azure").await["keys"].clone();
    assert_ne!(keys[0]["id"], keys[1]["id"]);
}

#[tokio::test]
async fn responses_go_where_the_version_has_them() {
    let server = Server::start(|_| Reply::chat()).await;
    let at = |version: &str| json!({ "keys": [{ "key": key(1), "baseUrl": server.url(), "apiVersion": version, "deployment": "d" }] });
    let world = world(json!({
        "old": { "kind": "azure", "baseUrl": server.url(), "keys": at("2024-10-21")["keys"] },
        "new": { "kind": "azure", "baseUrl": server.url(), "keys": at("2025-04-01-preview")["keys"] },
    }))
    .await;
    for provider in ["old", "new"] {
        let body = json!({"model": format!("{provider},gpt-4o"), "input": "Hello"});
        world.post(Api::Responses.path()).json(&body).await;
    }
    let received = server.received();
    let targets: Vec<&str> = received.iter().map(|request| &*request.target).collect();
    let expected = [
        "/openai/deployments/d/chat/completions?api-version=2024-10-21",
        "/openai/responses?api-version=2025-04-01-preview",
    ];
    assert_eq!(targets, expected);
    assert_eq!(received[1].json()["model"], "d");
}

#[tokio::test]
async fn a_dead_key_is_told_by_the_list_of_models_beside_the_deployments() {
    let dead = json!({"error": {"code": "401", "message": "Access denied due to invalid subscription key."}});
    let server = Server::start(move |request| {
        if request.header("api-key").ends_with('1') {
            Reply::json(401, &dead)
        } else {
            Reply::chat()
        }
    })
    .await;
    let at = |number: usize| json!({ "key": key(number), "baseUrl": server.url(), "apiVersion": "2024-10-21", "deployment": "d" });
    let world = world(json!({ "azure": { "keys": [at(1), at(2)] } })).await;
    let answer = world.post(Api::Chat.path()).json(&body(Api::Chat)).await;
    answer.assert_ok();
    world.becomes(&key(1), "unavailable").await;
    let probe = server.probe().await;
    assert_eq!(probe.target, "/openai/models?api-version=2024-10-21");
    assert_eq!(probe.credentials(), [("api-key", key(1).as_str())]);
}

#[tokio::test]
async fn a_key_added_at_run_time_brings_its_deployments_and_survives_a_restart() {
    let server = Server::start(|_| Reply::chat()).await;
    let disabled = json!({ "key": key(9), "enabled": false });
    let world = world(json!({ "azure": { "baseUrl": server.url(), "keys": [disabled] } })).await;
    let added = json!({
        "provider": "azure", "key": key(1), "auth": "bearer", "apiVersion": "2024-10-21",
        "deployments": {"gpt-4o": "added"},
    });
    let answer = world.admin("add", &added).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    for field in ["resource", "baseUrl"] {
        let mut elsewhere = added.clone();
        elsewhere[field] = "somewhere".into();
        let error = world.admin("add", &elsewhere).await.error();
        assert_eq!(
            (&error["code"], &error["field"]),
            (&"field_not_allowed".into(), &field.into())
        );
    }
    let mut wrong = added.clone();
    wrong["key"] = key(2).into();
    wrong["apiVersion"] = "soon".into();
    let error = world.admin("add", &wrong).await.error();
    assert_eq!(error["field"], "apiVersion");
    let world = world.restart().await;
    let answer = world.post(Api::Chat.path()).json(&body(Api::Chat)).await;
    answer.assert_ok();
    let sent = server.only();
    assert_eq!(
        sent.target,
        "/openai/deployments/added/chat/completions?api-version=2024-10-21"
    );
    let bearer = format!("Bearer {}", key(1));
    assert_eq!(sent.credentials(), [("authorization", bearer.as_str())]);
}
