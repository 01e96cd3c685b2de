//! What clients, files and machines may get wrong, and the clear answer to each.

use std::future::IntoFuture;
use std::net::TcpListener;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{Answer, Api, PATIENCE, Raw, Setup, World, anthropic_key, run_keypool};

/// Posts this body to an endpoint.
async fn post(world: &World, api: Api, body: impl Into<bytes::Bytes>) -> Answer {
    world
        .post(api.path())
        .header("content-type", "application/json")
        .body(body)
        .await
}

/// Fails unless the provider heard nothing of it and the gateway still serves.
async fn assert_stopped_at_the_gate(world: &World) {
    assert_eq!(world.sim.sim().counters().requests, 0);
    world.ask(Api::Messages).await.assert_ok();
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_a_400() {
    let world = Setup::both(1).start().await;
    for api in Api::ALL {
        for body in [
            "",
            "{",
            "nonsense",
            "[]",
            "\"text\"",
            "{\"model\":",
            "{\"model\":\"m\"}}",
            "\u{0}",
        ] {
            let answer = post(&world, api, body).await;
            api.assert_error(&answer, 400, "invalid_body");
            assert_eq!(answer.header("x-should-retry"), "false", "{api:?} {body:?}");
        }
        let answer = post(&world, api, &b"{\"model\":\"\xff\xfe\"}"[..]).await;
        assert_eq!(answer.status, 400, "{api:?}: bytes that are no UTF-8");
    }
    assert_stopped_at_the_gate(&world).await;
}

#[tokio::test]
async fn a_field_of_the_wrong_type_is_a_400() {
    let world = Setup::both(1).start().await;
    for body in [
        r#"{"model":7}"#,
        r#"{"model":null}"#,
        r#"{"model":"m","stream":"yes"}"#,
    ] {
        for api in Api::ALL {
            api.assert_error(&post(&world, api, body).await, 400, "invalid_body");
        }
    }
    assert_stopped_at_the_gate(&world).await;
}

#[tokio::test]
async fn a_body_nested_without_end_is_a_400_and_no_crash() {
    let world = Setup::both(1).start().await;
    let body = format!(r#"{{"model":"m","messages":{}"#, "[".repeat(1 << 20));
    for api in Api::ALL {
        api.assert_error(&post(&world, api, body.clone()).await, 400, "invalid_body");
    }
    assert_stopped_at_the_gate(&world).await;
}

#[tokio::test]
async fn a_body_without_a_model_is_a_400_that_says_how_to_name_one() {
    let world = Setup::both(1).start().await;
    for api in Api::ALL {
        for body in ["{}", r#"{"model":""}"#] {
            let answer = post(&world, api, body).await;
            api.assert_error(&answer, 400, "missing_model");
            assert!(
                answer.text().contains("provider,model"),
                "{}",
                answer.text()
            );
        }
    }
    assert_stopped_at_the_gate(&world).await;
}

#[tokio::test]
async fn a_model_that_leads_nowhere_is_a_404() {
    // A bare model goes to the provider that speaks the path's dialect; here there is none.
    let world = Setup::openai(1).start().await;
    let answer = post(&world, Api::Messages, r#"{"model":"claude-x"}"#).await;
    Api::Messages.assert_error(&answer, 404, "unknown_model");

    let world = Setup::anthropic(1)
        .key(1, "models", json!(["claude-*"]))
        .start()
        .await;
    let answer = post(&world, Api::Messages, r#"{"model":"anthropic,gpt-x"}"#).await;
    Api::Messages.assert_error(&answer, 404, "no_key_for_model");
    assert_stopped_at_the_gate(&world).await;
}

#[tokio::test]
async fn what_is_not_translated_for_a_provider_of_another_dialect_is_refused_clearly() {
    let world = Setup::both(1).start().await;
    for (api, provider, speaks) in [(Api::Embeddings, "anthropic", "Anthropic")] {
        let answer = post(
            &world,
            api,
            json!({ "model": format!("{provider},m") }).to_string(),
        )
        .await;
        api.assert_error(&answer, 400, "other_dialect");
        assert!(answer.text().contains(speaks), "{}", answer.text());
    }
    assert_stopped_at_the_gate(&world).await;
}

#[tokio::test]
async fn a_body_beyond_the_bound_is_a_413() {
    let world = Setup::both(1).set("/Bounds/bodyBytes", 2048).start().await;
    for api in Api::ALL {
        let answer = post(&world, api, api.body_of(&"x".repeat(4096)).to_string()).await;
        api.assert_error(&answer, 413, "body_too_large");
    }
    assert_stopped_at_the_gate(&world).await;
}

#[tokio::test]
async fn a_body_of_many_megabytes_is_served() {
    let world = Setup::anthropic(2).strategy("fill-first").start().await;
    // Replayed whole, whatever its size.
    world.fault(&anthropic_key(1), keypool_sim::Fault::status(500));
    let body = Api::Messages.body_of(&"x".repeat(8 << 20));
    let call = world
        .post("/v1/messages")
        .header("anthropic-version", "2023-06-01");
    call.json(&body).await.assert_ok();
}

/// Sends these bytes on a connection of its own and reads what comes until it is closed.
async fn raw(world: &World, bytes: &[u8]) -> String {
    let address = world.url().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A reset after the answer is as good as an end.
    let reading = stream.read_to_end(&mut answer);
    let _ = timeout(PATIENCE, reading)
        .await
        .expect("the connection stays open");
    String::from_utf8_lossy(&answer).into_owned()
}

fn status_of(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("none")
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_a_408() {
    let world = Setup::anthropic(1)
        .set("/ApiKeyPool/timeouts/clientBody", 200)
        .start()
        .await;
    let head = "POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{\"mod";
    let answer = raw(&world, head.as_bytes()).await;
    assert_eq!(status_of(&answer), "408", "{answer}");
    assert!(answer.contains("body_timeout"), "{answer}");
    assert_stopped_at_the_gate(&world).await;
}

#[tokio::test]
async fn a_head_that_is_no_http_or_too_large_closes_that_connection_only() {
    let world = Setup::anthropic(1).start().await;
    let large = format!(
        "GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n",
        "x".repeat(1 << 17)
    );
    let many = format!(
        "GET / HTTP/1.1\r\nhost: localhost\r\n{}\r\n",
        "x: y\r\n".repeat(500)
    );
    let twice =
        "POST /v1/messages HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}";
    for (bytes, statuses) in [
        ("\u{16}\u{3}\u{1}nonsense\r\n\r\n", &["400", "none"][..]),
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n", &["400"]),
        (twice, &["400"]),
        (&large, &["431"]),
        (&many, &["431"]),
    ] {
        let answer = raw(&world, bytes.as_bytes()).await;
        assert!(
            statuses.contains(&status_of(&answer)),
            "{bytes:.60}: {answer}"
        );
    }
    assert_stopped_at_the_gate(&world).await;
}

#[tokio::test]
async fn an_option_header_that_makes_no_sense_is_a_400() {
    let world = Setup::both(1).start().await;
    for api in Api::ALL {
        for value in ["soon", "0", "-1"] {
            let answer = world.ask(api).header("x-keypool-timeout-ms", value).await;
            api.assert_error(&answer, 400, "invalid_option");
        }
    }
    assert_stopped_at_the_gate(&world).await;
}

#[tokio::test]
async fn a_priority_that_is_none_is_refused_and_told_what_is_allowed() {
    let world = Setup::both(1).start().await;
    for api in Api::ALL {
        for value in ["urgent", "", "1", "High"] {
            let answer = world.ask(api).header("x-keypool-priority", value).await;
            api.assert_error(&answer, 400, "invalid_option");
            let text = answer.text();
            let expected = "x-keypool-priority must be one of critical, high, normal, low, batch";
            assert!(text.contains(expected), "{text}");
        }
        let long = "s".repeat(257);
        let answer = world.ask(api).header("x-keypool-session", &long).await;
        api.assert_error(&answer, 400, "invalid_option");
    }
    assert_stopped_at_the_gate(&world).await;
}

#[tokio::test]
async fn every_priority_and_any_session_are_taken_and_not_passed_on() {
    let world = Setup::both(1).start().await;
    for api in [Api::Messages, Api::Chat] {
        for priority in ["critical", "high", "normal", "low", "batch"] {
            let call = world.ask(api).header("x-keypool-priority", priority);
            call.header("x-keypool-session", "a session")
                .await
                .assert_ok();
        }
    }
    for received in world.received() {
        let headers = format!("{:?}", received.headers);
        assert!(!headers.contains("x-keypool-"), "{headers}");
    }
}

#[tokio::test]
async fn a_wrong_gateway_key_is_a_401_that_is_not_worth_a_retry() {
    let world = Setup::both(1)
        .set("/APIKEY", "the-gateway-key")
        .start()
        .await;
    for api in Api::ALL {
        let wrong = [
            world.ask(api),
            world.ask(api).header("x-api-key", "the-gateway-ke"),
            world.ask(api).header("authorization", "Bearer wrong"),
            world
                .ask(api)
                .header("authorization", "Basic the-gateway-key"),
            world
                .post(&format!("{}?key=wrong", api.path()))
                .json(&api.body()),
        ];
        for call in wrong {
            let answer = call.await;
            api.assert_error(&answer, 401, "invalid_gateway_key");
            assert_eq!(answer.header("x-should-retry"), "false");
        }
        // Any of the places where clients put it is fine.
        for (name, value) in [
            ("x-api-key", "the-gateway-key"),
            ("x-goog-api-key", "the-gateway-key"),
            ("authorization", "Bearer the-gateway-key"),
        ] {
            world.ask(api).header(name, value).await.assert_ok();
        }
    }
}

#[tokio::test]
async fn an_unknown_path_is_a_404_and_a_wrong_method_a_405() {
    let world = Setup::both(1).start().await;
    assert_eq!(world.get("/v1/nothing").await.status, 404);
    for api in Api::ALL {
        assert_eq!(world.get(api.path()).await.status, 405, "{api:?}");
    }
    assert_stopped_at_the_gate(&world).await;
}

#[tokio::test]
async fn a_client_that_tries_a_websocket_is_told_to_go_on_over_http() {
    let world = Setup::both(1).start().await;
    let opening = "GET /v1/responses HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\n\
        upgrade: websocket\r\nsec-websocket-version: 13\r\n\
        sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut raw = Raw::sent(&world, opening.as_bytes()).await;
    let answer = raw.answer().await;
    assert_eq!(answer.status, 426, "{answer:?}");
    assert!(answer.body.contains("no_websocket"), "{answer:?}");
    // The connection is as good as before.
    raw.send(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    assert_eq!(raw.answer().await.status, 200);
    assert_stopped_at_the_gate(&world).await;
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_a_502_in_the_clients_dialect() {
    // Bound and let go: nobody listens there.
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let world = Setup::both(2)
        .set(
            "/ApiKeyPool/providers/anthropic/baseUrl",
            format!("http://{nobody}"),
        )
        .set(
            "/ApiKeyPool/providers/openai/baseUrl",
            format!("http://{nobody}/v1"),
        )
        .start()
        .await;
    for api in Api::ALL {
        let answer = world.ask(api).await;
        api.assert_error(&answer, 502, "upstream_unreachable");
        assert_eq!(
            answer.header("x-keypool-attempts"),
            "6",
            "each key, three times"
        );
    }
}

#[tokio::test]
async fn an_upstream_that_comes_back_is_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let setup = Setup::anthropic(1);
    let world = setup
        .set(
            "/ApiKeyPool/providers/anthropic/baseUrl",
            format!("http://{address}"),
        )
        .start()
        .await;
    assert_eq!(world.ask(Api::Messages).await.status, 502);
    let config = keypool_sim::SimConfig::anthropic(&[&anthropic_key(1)], keypool_sim::Limits::NONE);
    let returned = keypool_sim::SimServer::start(address, config)
        .await
        .unwrap();
    world.ask(Api::Messages).await.assert_ok();
    drop(returned);
}

/// Wrong in ten places: line, field, and a word that the message must have.
const TEN_ERRORS: [(u32, &str, &str); 10] = [
    (3, "PORT", "65535"),
    (4, "Apikey", "APIKEY"),
    (6, "ApiKeyPool.strategy", "least-loaded"),
    (7, "ApiKeyPool.healthCheckInterval", "number"),
    (10, "ApiKeyPool.providers.anthropic.keys[0].priority", "100"),
    (
        11,
        "ApiKeyPool.providers.anthropic.keys[1].key",
        "NO_SUCH_VARIABLE",
    ),
    (
        12,
        "ApiKeyPool.providers.anthropic.keys[2].rateLimit.requestPerMinute",
        "requestsPerMinute",
    ),
    (13, "ApiKeyPool.providers.anthropic.keys[3].key", "required"),
    (14, "ApiKeyPool.providers.anthropic.keys[4].tags", "list"),
    (17, "ApiKeyPool.providers.nobody", "baseUrl"),
];

#[tokio::test]
async fn a_configuration_wrong_in_ten_ways_shows_all_ten_with_their_places() {
    let text = format!(
        r#"// The line numbers are part of the test.
{{
  "PORT": 70000,
  "Apikey": "{key}a",
  "ApiKeyPool": {{
    "strategy": "fastest",
    "healthCheckInterval": "soon",
    "providers": {{
      "anthropic": {{ "keys": [
        {{ "key": "{key}b", "priority": 101 }},
        {{ "key": "$NO_SUCH_VARIABLE" }},
        {{ "key": "{key}c", "rateLimit": {{ "requestPerMinute": 1 }} }},
        {{ "priority": 1 }},
        {{ "key": "{key}d", "tags": "production" }},
      ] }},
      // A provider that keypool does not know needs an address.
      "nobody": {{ "keys": [{{ "key": "{key}e" }}] }},
    }},
  }},
}}
"#,
        key = anthropic_key(1)
    );
    let refused = Setup::empty().with_text(&text).refused().await;
    assert_eq!(refused.code, Some(2));
    for (line, field, word) in TEN_ERRORS {
        let place = format!(":{line}:");
        let found = refused
            .stderr
            .lines()
            .any(|shown| shown.contains(&place) && shown.contains(field) && shown.contains(word));
        assert!(found, "{line} {field} {word}:\n{}", refused.stderr);
    }
}

#[tokio::test]
async fn check_says_what_serve_would_say_and_does_not_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    let config = path.to_str().unwrap();
    for (text, code) in [
        (
            json!({ "Providers": [{ "name": "openai", "api_key": anthropic_key(1) }] }).to_string(),
            0,
        ),
        ("{ \"ApiKeyPool\": {".to_owned(), 2),
        ("{}".to_owned(), 2),
    ] {
        std::fs::write(&path, &text).unwrap();
        let ran = run_keypool(&["check", "--config", config], &[]).await;
        assert_eq!(ran.code, Some(code), "{text}: {}", ran.stderr);
    }
    let missing = directory.path().join("missing.json");
    let ran = run_keypool(&["serve", "--config", missing.to_str().unwrap()], &[]).await;
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.stderr.contains("missing.json"), "{}", ran.stderr);
}

#[tokio::test]
async fn a_port_in_use_is_said_so_with_exit_code_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let refused = Setup::anthropic(1).set("/PORT", port).refused().await;
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains(&port.to_string()),
        "{}",
        refused.stderr
    );
}

#[tokio::test]
async fn a_deadline_of_the_clients_own_is_kept() {
    let world = Setup::both(1).start().await;
    for api in [Api::Messages, Api::Chat] {
        world.fault(&api.key(1), keypool_sim::Fault::Hang);
        let answer = world.ask(api).header("x-keypool-timeout-ms", "200");
        let answer = timeout(Duration::from_secs(5), answer.into_future())
            .await
            .unwrap();
        api.assert_error(&answer, 504, "upstream_timeout");
    }
}

#[tokio::test]
async fn an_sdks_own_timeout_bounds_the_request() {
    let world = Setup::both(1).start().await;
    for (api, header) in [
        (Api::Messages, "x-stainless-timeout"),
        (Api::Chat, "x-stainless-read-timeout"),
    ] {
        // Nobody wrote these headers by hand: one that makes no sense does no harm.
        world.ask(api).header(header, "None").await.assert_ok();
        world.fault(&api.key(1), keypool_sim::Fault::Hang);
        let answer = world.ask(api).header(header, "0.3");
        let answer = timeout(Duration::from_secs(5), answer.into_future())
            .await
            .unwrap();
        api.assert_error(&answer, 504, "upstream_timeout");
    }
}
