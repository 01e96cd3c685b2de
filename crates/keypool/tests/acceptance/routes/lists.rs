//! The lists of models: merged over providers, in each dialect, page by page.

use keypool_sim::Fault;
use serde_json::{Value, json};

use crate::support::{Answer, Api, Call, Setup, World, anthropic_key, openai_key};

const ANTHROPIC: (&str, &str) = ("anthropic-version", "2023-06-01");
const GEMINI: (&str, &str) = ("x-goog-api-key", "none");

/// What the simulated provider lists, as keypool names it.
const CLAUDES: [&str; 3] = [
    "anthropic,claude-haiku-4-5",
    "anthropic,claude-opus-4-8",
    "anthropic,claude-sonnet-4-6",
];

/// Anthropic is asked for its models; OpenAI's are in the file, one of them twice.
fn setup() -> Setup {
    let listed = json!([{ "name": "openai", "api_key": openai_key(1), "models": ["gpt-x", "o-x", "gpt-x"] }]);
    Setup::both(1)
        .set("/Providers", listed)
        .set("/Aliases", json!({ "fast": ["openai,gpt-x"] }))
}

async fn get(world: &World, path: &str, header: Option<(&str, &str)>) -> Answer {
    let call = world.get(path);
    match header {
        Some((name, value)) => Call::header(call, name, value).await,
        None => call.await,
    }
}

fn ids(list: &Value, entries: &str, id: &str) -> Vec<String> {
    let entries = list[entries].as_array().unwrap().iter();
    entries
        .map(|entry| entry[id].as_str().unwrap().to_owned())
        .collect()
}

fn all() -> Vec<String> {
    let own = ["fast", "openai,gpt-x", "openai,o-x"];
    CLAUDES
        .iter()
        .chain(&own)
        .map(|&id| id.to_owned())
        .collect()
}

// contract §2 GET /v1/models
#[tokio::test]
async fn the_list_has_aliases_and_all_providers_models_once_in_the_askers_dialect() {
    let world = setup().start().await;
    let openai = get(&world, "/v1/models", None).await.json();
    assert_eq!(ids(&openai, "data", "id"), all());
    assert_eq!(openai["object"], "list");
    assert_eq!(
        openai["data"][5],
        json!({ "id": "openai,o-x", "object": "model", "created": 0, "owned_by": "openai" })
    );

    let anthropic = get(&world, "/v1/models", Some(ANTHROPIC)).await.json();
    assert_eq!(ids(&anthropic, "data", "id"), all());
    assert_eq!(
        (
            &anthropic["has_more"],
            &anthropic["first_id"],
            &anthropic["last_id"]
        ),
        (&json!(false), &json!(CLAUDES[0]), &json!("openai,o-x"))
    );
    // All that the provider says of a model, where it says it in the asker's dialect.
    assert_eq!(anthropic["data"][0]["created_at"], "2026-01-01T00:00:00Z");
    assert_eq!(anthropic["data"][0]["lifecycle"], "active");
    for entry in anthropic["data"].as_array().unwrap() {
        assert_eq!(entry["type"], "model");
        assert!(
            entry["display_name"].is_string() && entry["created_at"].is_string(),
            "{entry}"
        );
    }

    let named: Vec<String> = all().iter().map(|id| format!("models/{id}")).collect();
    for (path, header) in [
        ("/v1/models", Some(GEMINI)),
        ("/v1/models?key=none", None),
        ("/v1beta/models", None),
        ("/v1beta/models", Some(GEMINI)),
    ] {
        let gemini = get(&world, path, header).await.json();
        assert_eq!(ids(&gemini, "models", "name"), named, "{path}");
        assert_eq!(
            gemini["models"][3]["supportedGenerationMethods"][0],
            "generateContent"
        );
        assert_eq!(gemini.get("nextPageToken"), None);
    }
}

#[tokio::test]
async fn a_list_comes_in_pages_of_the_size_that_is_asked_for() {
    let world = setup().start().await;
    let mut seen = Vec::new();
    let mut query = "limit=4".to_owned();
    loop {
        let page = get(&world, &format!("/v1/models?{query}"), Some(ANTHROPIC))
            .await
            .json();
        let part = ids(&page, "data", "id");
        assert!(part.len() <= 4 && page["first_id"] == part[0]);
        seen.extend(part);
        if page["has_more"] == false {
            break;
        }
        query = format!(
            "limit=4&after_id={}",
            page["last_id"].as_str().unwrap().replace(',', "%2C")
        );
    }
    assert_eq!(seen, all());

    let back = get(&world, "/v1/models?limit=2&before_id=fast", Some(ANTHROPIC))
        .await
        .json();
    assert_eq!(ids(&back, "data", "id"), all()[1..3]);
    assert_eq!(back["has_more"], true);

    let first = get(&world, "/v1beta/models?pageSize=5", None).await.json();
    assert_eq!(ids(&first, "models", "name").len(), 5);
    let token = first["nextPageToken"].as_str().unwrap();
    let rest = get(
        &world,
        &format!("/v1beta/models?pageSize=5&pageToken={token}"),
        None,
    )
    .await
    .json();
    assert_eq!(ids(&rest, "models", "name"), ["models/openai,o-x"]);
    assert_eq!(rest.get("nextPageToken"), None);
}

#[tokio::test]
async fn one_model_is_found_by_every_form_of_its_name_and_any_other_is_a_404_in_the_dialect() {
    let world = setup().start().await;
    for form in [
        "openai,gpt-x",
        "openai%2Cgpt-x",
        "openai/gpt-x",
        "openai%2Fgpt-x",
        "gpt-x",
        "fast",
        "claude-haiku-4-5",
    ] {
        let plain = form.replace("%2C", ",").replace("%2F", "/");
        let path = format!("/v1/models/{form}");
        let openai = get(&world, &path, None).await;
        openai.assert_ok();
        assert_eq!(
            (&openai.json()["id"], &openai.json()["object"]),
            (&json!(plain), &json!("model"))
        );
        let anthropic = get(&world, &path, Some(ANTHROPIC)).await.json();
        assert_eq!(
            (&anthropic["id"], &anthropic["type"]),
            (&json!(plain), &json!("model"))
        );
        let gemini = get(&world, &format!("/v1beta/models/{form}"), None)
            .await
            .json();
        assert_eq!(gemini["name"], format!("models/{plain}"));
    }
    for unknown in ["gpt-y", "openai,gpt-y", "nobody,gpt-x", "openai"] {
        let path = format!("/v1/models/{unknown}");
        Api::Chat.assert_error(&get(&world, &path, None).await, 404, "unknown_model");
        let anthropic = get(&world, &path, Some(ANTHROPIC)).await;
        Api::Messages.assert_error(&anthropic, 404, "unknown_model");
        assert_eq!(anthropic.header("x-should-retry"), "false");
        let gemini = get(&world, &format!("/v1beta/models/{unknown}"), None).await;
        assert_eq!(
            (gemini.status, &gemini.json()["error"]["status"]),
            (404, &json!("NOT_FOUND"))
        );
    }
}

#[tokio::test]
async fn a_provider_is_asked_once_in_ten_minutes_whoever_wants_to_know() {
    let (world, clock) = setup().start_with_manual_clock().await;
    for _ in 0..2 {
        let lists = (0..8).map(|_| world.get("/v1/models").spawn());
        for list in lists.collect::<Vec<_>>() {
            assert_eq!(ids(&list.await.unwrap().json(), "data", "id"), all());
        }
        let asked = world.received();
        assert_eq!(asked.len(), 1, "{asked:?}");
        assert_eq!(asked[0].path_and_query, "/v1/models?limit=1000");
        clock.advance(599);
    }
    clock.advance(2);
    get(&world, "/v1/models", None).await.assert_ok();
    assert_eq!(world.received().len(), 2);
}

#[tokio::test]
async fn a_provider_that_does_not_say_is_left_out_named_and_asked_again_after_a_minute() {
    let (world, clock) = setup().start_with_manual_clock().await;
    let key = anthropic_key(1);
    let broken = keypool_sim::FaultWindow {
        everywhere: true,
        ..Fault::status(500).into()
    };
    world.fault(&key, broken);
    for _ in 0..2 {
        let list = get(&world, "/v1/models", None).await;
        assert_eq!(ids(&list.json(), "data", "id"), all()[3..]);
        assert_eq!(list.header("x-keypool-models-missing"), "anthropic");
    }
    assert_eq!(world.received().len(), 1);
    world.sim.sim().set_faults(&key, Vec::new()).unwrap();
    clock.advance(61);
    let list = get(&world, "/v1/models", None).await;
    assert_eq!(ids(&list.json(), "data", "id"), all());
    assert_eq!(list.header("x-keypool-models-missing"), "");
    // What it has said once is better than nothing.
    world.fault(
        &key,
        keypool_sim::FaultWindow {
            everywhere: true,
            ..Fault::status(500).into()
        },
    );
    clock.advance(601);
    let list = get(&world, "/v1/models", None).await;
    assert_eq!(ids(&list.json(), "data", "id"), all());
}

#[tokio::test]
async fn what_no_key_may_serve_is_not_listed_and_lists_are_for_clients_alone() {
    let world = setup()
        .key(1, "models", json!(["*-haiku-*", "gpt-*"]))
        .set("/APIKEY", "gateway-canary-7f3a9c51e2-key")
        .start()
        .await;
    let call = world
        .get("/v1/models")
        .header("x-api-key", "gateway-canary-7f3a9c51e2-key");
    let expected = ["anthropic,claude-haiku-4-5", "fast", "openai,gpt-x"];
    assert_eq!(ids(&call.await.json(), "data", "id"), expected);
    for path in ["/v1/models", "/v1/models/fast"] {
        let refused = get(&world, path, Some(ANTHROPIC)).await;
        Api::Messages.assert_error(&refused, 401, "invalid_gateway_key");
        let refused = get(&world, path, None).await;
        Api::Chat.assert_error(&refused, 401, "invalid_gateway_key");
        let refused = get(&world, path, Some(GEMINI)).await;
        assert_eq!(
            (refused.status, &refused.json()["error"]["code"]),
            (401, &json!(401))
        );
    }
    let posted = world.post("/v1/models").await;
    Api::Chat.assert_error(&posted, 405, "method_not_allowed");
}
