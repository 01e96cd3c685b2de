//! Group J: secrets stay secret, and admin routes closed to those who may not.
//!
//! Besides what stands here, every test's answers, output and log are searched for its keys, all of
//! which carry a canary (`support/secrets.rs`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Method;
use keypool_sim::Fault;
use serde_json::{Value, json};

use crate::support::{
    Api, CANARY, Client, Setup, World, anthropic_key, mask, openai_key, run_keypool,
};

const CLIENT_KEY: &str = "client-canary-7f3a9c51e2-key";
const TENANT_KEY: &str = "tenant-canary-7f3a9c51e2-key";
const ADMIN_TOKEN: &str = "admin-canary-7f3a9c51e2-token";

// acceptance 86
#[tokio::test]
async fn no_key_shows_up_anywhere_whatever_happens_at_any_log_level() {
    for level in ["trace", "debug", "info"] {
        let world = Setup::both(3)
            .set("/APIKEY", CLIENT_KEY)
            .set("/Admin/token", ADMIN_TOKEN)
            .set("/Tenants", json!([{ "name": "team-a", "key": TENANT_KEY }]))
            .set("/LOG_LEVEL", level)
            .start()
            .await;
        let client = world.with_header("x-api-key", CLIENT_KEY);
        let admin = world.with_header("authorization", &bearer(ADMIN_TOKEN));
        let tenant = world.with_header("x-api-key", TENANT_KEY);
        be_served_badly(&world, &client).await;
        be_served_badly(&world, &tenant).await;
        look_at_everything(&admin).await;
        get_things_wrong(&client, &admin).await;
        get_things_wrong(&tenant, &admin).await;
    }
    // Dropped, the worlds have been searched; and the search does find what is there.
    let keys = [CLIENT_KEY, TENANT_KEY, ADMIN_TOKEN];
    assert!(keys.iter().all(|key| key.contains(CANARY)));
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

async fn be_served_badly(world: &World, client: &Client) {
    for fault in [
        Fault::status(500),
        Fault::Unauthorized,
        Fault::rate_limited(60),
        Fault::Garbage,
        Fault::ResetBeforeHead,
        Fault::HtmlGateway,
    ] {
        for api in [Api::Messages, Api::Chat] {
            world.fault(&api.key(1), fault.clone());
            world.fault(&api.key(2), fault.clone());
            client.ask(api).await;
            client.ask_stream(api).await;
        }
    }
}

async fn look_at_everything(admin: &Client) {
    for path in [
        "/api/apikeys/stats",
        "/api/apikeys/health",
        "/api/apikeys/strategy",
        "/api/apikeys/provider/anthropic",
        "/api/apikeys/provider/openai",
        "/api/apikeys/distribution",
        "/api/apikeys/export",
        "/api/alerts",
        "/api/metrics/realtime",
        "/api/openapi.json",
        "/metrics",
    ] {
        admin.get(path).await.assert_ok();
    }
    admin.post("/api/apikeys/health-check").await.assert_ok();
    admin.post("/api/config/reload").await.assert_ok();
}

/// Keys in every place where they do not belong.
async fn get_things_wrong(client: &Client, admin: &Client) {
    let key = anthropic_key(1);
    let calls = [
        client.get(&format!("/{key}")),
        client.get(&format!("/v1/models?key={key}")),
        client.post("/v1/messages").json(&json!({ "model": key })),
        client
            .post("/v1/messages")
            .json(&json!({ "model": format!("{key},m") })),
        client
            .post("/v1/messages")
            .body(format!("{{ \"model\": {key}")),
        client
            .post("/v1/messages")
            .header("x-keypool-timeout-ms", &key),
        client.ask(Api::Messages).header("x-keypool-priority", &key),
        client.ask(Api::Messages).header("x-keypool-session", &key),
        admin.get(&format!("/api/apikeys/stats?provider={key}")),
        admin.get(&format!("/api/apikeys/provider/{key}")),
        admin
            .post("/api/apikeys/add")
            .json(&json!({ "provider": key, "key": key })),
        admin
            .post("/api/apikeys/add")
            .json(&json!({ "provider": "anthropic", "key": key })),
        admin
            .post("/api/apikeys/add")
            .json(&json!({ "provider": "anthropic", (key.clone()): 1 })),
        admin
            .post("/api/apikeys/add")
            .body(format!("{{ \"key\": {key}")),
        admin
            .post("/api/apikeys/remove")
            .json(&json!({ "provider": "openai", "key": key })),
        admin
            .post("/api/apikeys/strategy")
            .json(&json!({ "strategy": key })),
        admin
            .call(Method::PATCH, &format!("/api/apikeys/{}", openai_key(9)))
            .json(&json!({})),
    ];
    for call in calls {
        let status = call.await.status;
        assert!(status < 500, "{status}");
    }
}

// acceptance 86
#[tokio::test]
async fn the_command_line_shows_masks_only() {
    let world = Setup::both(2).start().await;
    let url = world.url();
    for command in [vec!["status"], vec!["keys", "list"], vec!["strategy"]] {
        let mut arguments = command.clone();
        arguments.extend(["--url", url]);
        let ran = run_keypool(&arguments, &[]).await;
        assert_eq!(ran.code, Some(0), "{command:?}: {}", ran.stderr);
        if command != ["strategy"] {
            assert!(
                ran.stdout.contains(&mask(&anthropic_key(1))),
                "{}",
                ran.stdout
            );
        }
    }
}

// acceptance 87
#[tokio::test]
async fn nothing_writes_a_secret_from_the_environment_into_the_file() {
    let world = Setup::anthropic(1)
        .key(1, "key", "$FIRST_KEY")
        .environment("FIRST_KEY", &anthropic_key(1))
        .with_sim_keys("anthropic", 2)
        .start()
        .await;
    let before = std::fs::read(world.config_path()).unwrap();
    world.add("anthropic", &anthropic_key(2)).await;
    world
        .admin("strategy", &json!({ "strategy": "lru" }))
        .await
        .assert_ok();
    let id = world.health(&anthropic_key(1)).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let change = world.call(Method::PATCH, &format!("/api/apikeys/{id}"));
    change
        .json(&json!({ "priority": 3, "tags": ["old"] }))
        .await
        .assert_ok();
    world
        .remove("anthropic", &anthropic_key(1))
        .await
        .assert_ok();
    world.post("/api/config/reload").await.assert_ok();
    assert_eq!(std::fs::read(world.config_path()).unwrap(), before);
    for entry in std::fs::read_dir(world.directory.path()).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&anthropic_key(1)), "{}", path.display());
    }
}

// acceptance 88
#[tokio::test]
async fn a_key_is_replaced_without_one_failed_request() {
    let world = Arc::new(
        Setup::anthropic(1)
            .with_sim_keys("anthropic", 2)
            .start()
            .await,
    );
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (world, stop) = (world.clone(), stop.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    world.ask(Api::Messages).await.assert_ok();
                    world.ask_stream(Api::Messages).await.assert_ok();
                }
            })
        })
        .collect();
    let (old, new) = (anthropic_key(1), anthropic_key(2));
    until_served(&world, &old, 20).await;
    assert_eq!(world.add("anthropic", &new).await.status, 201);
    until_served(&world, &new, 20).await;
    world.remove("anthropic", &old).await.assert_ok();
    until_served(&world, &new, world.served(&new) + 20).await;
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
}

async fn until_served(world: &World, secret: &str, count: u64) {
    let what = format!("{} has served {count}", mask(secret));
    crate::support::eventually(&what, async || {
        (world.served(secret) >= count).then_some(())
    })
    .await;
}

// acceptance 89
#[tokio::test]
async fn tags_follow_a_key_through_its_life_and_choose_among_keys() {
    let world = Setup::anthropic(2)
        .key(1, "tags", json!(["production"]))
        .key(2, "tags", json!(["backup"]))
        .start()
        .await;
    for (tag, number) in [("backup", 2), ("production", 1)] {
        for _ in 0..3 {
            let answer = world.ask(Api::Messages).header("x-keypool-tags", tag).await;
            assert_eq!(answer.key(), mask(&anthropic_key(number)));
        }
    }
    let id = world.health(&anthropic_key(1)).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let change = world.call(Method::PATCH, &format!("/api/apikeys/{id}"));
    change
        .json(&json!({ "tags": ["retiring"] }))
        .await
        .assert_ok();
    let details = world.details("anthropic", &anthropic_key(1)).await;
    assert_eq!(details["config"]["tags"], json!(["retiring"]));
    let answer = world
        .ask(Api::Messages)
        .header("x-keypool-tags", "production")
        .await;
    Api::Messages.assert_error(&answer, 404, "no_key_for_tags");
}

/// Admin routes of the guide, all without a header.
const ROUTES: [&str; 4] = ["stats", "health", "provider/anthropic", "distribution"];

// acceptance 90
#[tokio::test]
async fn without_a_gateway_key_the_admin_routes_are_open_on_loopback() {
    let world = Setup::anthropic(1).start().await;
    for route in ROUTES {
        assert_eq!(
            world.get(&format!("/api/apikeys/{route}")).await.status,
            200,
            "{route}"
        );
    }
}

// acceptance 90
#[tokio::test]
async fn with_a_gateway_key_or_an_admin_token_the_admin_routes_demand_it() {
    let cases: [(Value, &str, &[&str]); 2] = [
        (
            json!({ "APIKEY": CLIENT_KEY }),
            CLIENT_KEY,
            &["", ADMIN_TOKEN],
        ),
        (
            json!({ "APIKEY": CLIENT_KEY, "Admin": { "token": ADMIN_TOKEN } }),
            ADMIN_TOKEN,
            &["", CLIENT_KEY],
        ),
    ];
    for (keys, right, wrong) in cases {
        let setup = keys
            .as_object()
            .unwrap()
            .iter()
            .fold(Setup::anthropic(1), |setup, (name, value)| {
                setup.set(&format!("/{name}"), value.clone())
            });
        let world = setup.start().await;
        for route in ROUTES {
            let path = format!("/api/apikeys/{route}");
            for header in ["x-api-key", "x-goog-api-key"] {
                assert_eq!(world.get(&path).header(header, right).await.status, 200);
                for token in wrong {
                    let refused = world.get(&path).header(header, token).await;
                    assert_eq!(refused.status, 401, "{route} {header}");
                    refused.error();
                }
            }
            let call = world.get(&path).header("authorization", &bearer(right));
            assert_eq!(call.await.status, 200, "{route}");
        }
    }
}

// acceptance 90
#[tokio::test]
async fn off_loopback_it_does_not_start_without_a_key() {
    let refused = Setup::anthropic(1).set("/HOST", "0.0.0.0").refused().await;
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("APIKEY"), "{}", refused.stderr);
}

// acceptance 90, contract §3: DNS rebinding, and pages of other sites.
#[tokio::test]
async fn a_browser_on_another_site_is_kept_out() {
    let world = Setup::anthropic(1).start().await;
    let path = "/api/apikeys/stats";
    for (header, value, status) in [
        ("host", "evil.example", 403),
        ("host", "localhost:1", 200),
        ("origin", "https://evil.example", 403),
    ] {
        assert_eq!(
            world.get(path).header(header, value).await.status,
            status,
            "{value}"
        );
    }
    // Open traffic is no different.
    let call = world
        .ask(Api::Messages)
        .header("origin", "https://evil.example");
    assert_eq!(call.await.status, 403);
}

// contract §3: an export is masked unless it is asked for with the admin token.
#[tokio::test]
async fn an_export_is_masked() {
    let world = Setup::anthropic(1).set("/APIKEY", CLIENT_KEY).start().await;
    let client = world.with_header("x-api-key", CLIENT_KEY);
    let exported = client.get("/api/apikeys/export").await.data();
    assert_eq!(
        exported["providers"]["anthropic"]["keys"][0]["key"],
        mask(&anthropic_key(1))
    );
    assert_eq!(
        client.get("/api/apikeys/export?secrets=1").await.status,
        403
    );
}
