//! Tenants: clients with keys of their own, which open traffic and nothing else.

use serde_json::{Value, json};

use crate::support::{Api, CANARY, Setup, World, run_keypool};

const GATEWAY_KEY: &str = "gateway-canary-7f3a9c51e2-key";
const ADMIN_TOKEN: &str = "admin-canary-7f3a9c51e2-token";
const TEAM_A: &str = "team-a-canary-7f3a9c51e2-key";
const TEAM_B: &str = "team-b-canary-7f3a9c51e2-key";

fn tenants() -> Value {
    json!([
        { "name": "team-a", "key": TEAM_A, "weight": 2, "priority": "high" },
        { "name": "team-b", "key": "$TEAM_B_KEY" },
    ])
}

fn setup() -> Setup {
    Setup::both(2)
        .set("/Tenants", tenants())
        .environment("TEAM_B_KEY", TEAM_B)
}

/// The status of a small request with this key.
async fn status_with(world: &World, api: Api, key: &str) -> u16 {
    let answer = world.ask(api).header("x-api-key", key).await;
    if answer.status != 200 {
        api.assert_error(&answer, 401, "invalid_gateway_key");
    }
    answer.status
}

#[tokio::test]
async fn a_tenants_key_opens_traffic_in_every_dialect_and_goes_no_further() {
    let world = setup().set("/APIKEY", GATEWAY_KEY).start().await;
    for api in Api::ALL {
        for key in [GATEWAY_KEY, TEAM_A, TEAM_B] {
            assert_eq!(status_with(&world, api, key).await, 200);
        }
        assert_eq!(status_with(&world, api, &TEAM_A[1..]).await, 401);
        assert_eq!(world.ask(api).await.status, 401);
    }
    let listed = world.get("/v1/models").header("x-api-key", TEAM_B);
    assert_eq!(listed.await.status, 200);
    for received in world.received() {
        let sent = format!("{:?} {:?}", received.headers, received.body);
        for key in [GATEWAY_KEY, TEAM_A, TEAM_B] {
            assert!(!sent.contains(key), "{sent}");
        }
    }
}

#[tokio::test]
async fn with_tenants_alone_only_their_keys_open_traffic() {
    let world = setup().start().await;
    assert_eq!(status_with(&world, Api::Messages, TEAM_A).await, 200);
    assert_eq!(status_with(&world, Api::Chat, TEAM_B).await, 200);
    let answer = world.ask(Api::Chat).await;
    Api::Chat.assert_error(&answer, 401, "invalid_gateway_key");
}

#[tokio::test]
async fn a_tenants_key_opens_no_admin_route() {
    for (field, right) in [("/APIKEY", GATEWAY_KEY), ("/Admin/token", ADMIN_TOKEN)] {
        let world = setup().set(field, right).start().await;
        for path in ["/api/apikeys/stats", "/api/apikeys/export", "/metrics"] {
            assert_eq!(world.get(path).header("x-api-key", right).await.status, 200);
            for header in ["x-api-key", "x-goog-api-key"] {
                let refused = world.get(path).header(header, TEAM_A).await;
                assert_eq!(refused.status, 401, "{path}");
            }
        }
        let change = world
            .post("/api/apikeys/add")
            .header("authorization", &format!("Bearer {TEAM_A}"))
            .json(&json!({ "provider": "anthropic", "key": "sk-ant-of-the-tenants-own" }));
        assert_eq!(change.await.status, 401);
    }
}

#[tokio::test]
async fn a_tenants_key_that_is_taken_out_of_the_file_opens_nothing_after_the_reload() {
    let world = setup().set("/APIKEY", GATEWAY_KEY).start().await;
    assert_eq!(status_with(&world, Api::Messages, TEAM_A).await, 200);
    let mut config = world.config.clone();
    config["Tenants"].as_array_mut().unwrap().remove(0);
    world.write_config(config);
    let reload = world
        .post("/api/config/reload")
        .header("x-api-key", GATEWAY_KEY);
    reload.await.assert_ok();
    assert_eq!(status_with(&world, Api::Messages, TEAM_A).await, 401);
    assert_eq!(status_with(&world, Api::Messages, TEAM_B).await, 200);
}

#[tokio::test]
async fn tenants_keys_guard_an_address_that_others_reach_where_the_admin_api_has_its_own_guard() {
    let refused = setup().set("/HOST", "0.0.0.0").refused().await;
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("Admin.token"), "{}", refused.stderr);
    setup()
        .set("/HOST", "0.0.0.0")
        .set("/Admin/token", ADMIN_TOKEN)
        .start()
        .await;
}

#[tokio::test]
async fn no_key_of_a_tenant_shows_up_in_what_is_said_about_the_file() {
    let mut double = tenants();
    double[1]["key"] = TEAM_A.into();
    for (pointer, value, expected) in [
        ("/Tenants", double, "Tenants[1].key"),
        ("/APIKEY", TEAM_A.into(), "Tenants[0].key"),
        ("/Admin/token", TEAM_B.into(), "Tenants[1].key"),
        ("/Tenants/0/keys", TEAM_A.into(), "Tenants[0].keys"),
        ("/Tenants/0", TEAM_A.into(), "Tenants[0]"),
        (
            "/Tenants/0/name",
            TEAM_B.repeat(3).into(),
            "Tenants[0].name",
        ),
        ("/Tenants/0/priority", TEAM_A.into(), "Tenants[0].priority"),
    ] {
        // Refused or dropped, all that it has said is searched for the canary.
        let refused = setup().set(pointer, value).refused().await;
        assert_eq!(refused.code, Some(2), "{pointer}");
        assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    }
    let world = setup().start().await;
    let path = world.config_path();
    let check = ["check", "--config", path.to_str().unwrap()];
    let environment = [("TEAM_B_KEY", TEAM_B), ("SIM", world.url())];
    let checked = run_keypool(&check, &environment).await;
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    assert!(
        [GATEWAY_KEY, ADMIN_TOKEN, TEAM_A, TEAM_B]
            .iter()
            .all(|key| key.contains(CANARY))
    );
}
