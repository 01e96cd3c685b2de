//! Claude on Vertex: a service account is exchanged for a token, and the model is named in the path.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{setup, world};
use crate::support::cloud::{Received, Reply, Server};
use crate::support::{Api, CANARY, World};

const ACCOUNT: &str = include_str!("../../fixtures/service_account.json");
const MODEL: &str = "claude-sonnet-4-5@20250929";

/// The file of a service account with tokens of this server's.
fn account(directory: &TempDir, number: usize, token_url: &str) -> String {
    let mut account: Value = serde_json::from_str(ACCOUNT).unwrap();
    account["token_uri"] = token_url.into();
    account["private_key_id"] = format!("key-0123456789-{number:04}").into();
    let path = directory.path().join(format!("account-{number}.json"));
    std::fs::write(&path, account.to_string()).unwrap();
    format!("file:{}", path.display())
}

/// The `number`-th token that a server gives.
fn token(number: usize) -> String {
    format!("ya29.{CANARY}-{number}")
}

fn granted(number: usize) -> Reply {
    let granted =
        json!({"access_token": token(number), "expires_in": 3599, "token_type": "Bearer"});
    Reply::json(200, &granted)
}

/// A provider that gives tokens and then answers each request like this.
async fn google(answer: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Server {
    let given = AtomicUsize::new(0);
    Server::start(move |request| match request.target.as_str() {
        "/token" => granted(given.fetch_add(1, Ordering::Relaxed) + 1),
        _ => answer(request),
    })
    .await
}

fn provider(directory: &TempDir, server: &Server) -> Value {
    let key = account(directory, 1, &format!("{}/token", server.url()));
    json!({ "vertex": { "baseUrl": server.url(), "keys": [{ "key": key, "region": "us-east5" }] } })
}

fn body() -> Value {
    let mut body = Api::Messages.body();
    body["model"] = format!("vertex,{MODEL}").into();
    body
}

async fn ask(world: &World) -> crate::support::Answer {
    world.post(Api::Messages.path()).json(&body()).await
}

fn exchanges(server: &Server) -> usize {
    let received = server.received();
    received
        .iter()
        .filter(|request| request.target == "/token")
        .count()
}

/// What an assertion says, once its signature has been checked.
fn claims(exchange: &Received) -> Value {
    assert_eq!(
        exchange.header("content-type"),
        "application/x-www-form-urlencoded"
    );
    assert_eq!(exchange.credentials(), []);
    let form = String::from_utf8(exchange.body.clone()).unwrap();
    let assertion = form
        .strip_prefix("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=")
        .unwrap();
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).unwrap();
    let account: Value = serde_json::from_str(ACCOUNT).unwrap();
    let pem = account["private_key"].as_str().unwrap();
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    let pair = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref())
        .verify(signed.as_bytes(), &decode(signature))
        .expect("the assertion's signature is right");
    let (head, claims) = signed.split_once('.').unwrap();
    let head: Value = serde_json::from_slice(&decode(head)).unwrap();
    assert_eq!(
        head,
        json!({"alg": "RS256", "typ": "JWT", "kid": "key-0123456789-0001"})
    );
    serde_json::from_slice(&decode(claims)).unwrap()
}

#[tokio::test]
async fn a_service_account_is_exchanged_once_for_a_token_that_carries_requests() {
    let directory = tempfile::tempdir().unwrap();
    let server = google(|_| Reply::messages()).await;
    let world = world(provider(&directory, &server)).await;
    for _ in 0..2 {
        let call = world
            .post(Api::Messages.path())
            .header("anthropic-beta", "one");
        let answer = call.json(&body()).await;
        answer.assert_ok();
        assert_eq!(answer.key(), "key-****0001");
    }
    let received = server.received();
    let targets: Vec<&str> = received.iter().map(|request| &*request.target).collect();
    let path = format!(
        "/v1/projects/proj-1/locations/us-east5/publishers/anthropic/models/{MODEL}:rawPredict"
    );
    assert_eq!(targets, ["/token", &path, &path]);

    let claims = claims(&received[0]);
    assert_eq!(claims["iss"], "keypool@proj-1.iam.gserviceaccount.com");
    assert_eq!(claims["aud"], format!("{}/token", server.url()));
    assert_eq!(
        claims["scope"],
        "https://www.googleapis.com/auth/cloud-platform"
    );
    let instant = |name: &str| claims[name].as_u64().unwrap();
    assert_eq!(instant("exp") - instant("iat"), 3600);

    let sent = &received[1];
    let bearer = format!("Bearer {}", token(1));
    assert_eq!(sent.credentials(), [("authorization", bearer.as_str())]);
    assert_eq!(sent.header("anthropic-beta"), "one");
    let mut expected = body();
    expected.as_object_mut().unwrap().remove("model");
    expected["anthropic_version"] = "vertex-2023-10-16".into();
    assert_eq!(sent.json(), expected);
}

#[tokio::test]
async fn streams_and_counts_have_paths_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let server = google(|request| {
        if request.target.contains("count-tokens") {
            return Reply::json(200, &json!({"input_tokens": 7}));
        }
        Reply::new(
            200,
            "text/event-stream",
            "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\
             \"role\":\"assistant\",\"model\":\"c\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\
             \"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\n\
             event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\
             \"stop_sequence\":null},\"usage\":{\"output_tokens\":3}}\n\n\
             event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        )
    })
    .await;
    let world = world(provider(&directory, &server)).await;
    let mut streamed = body();
    streamed["stream"] = true.into();
    let answer = world.post(Api::Messages.path()).json(&streamed).await;
    answer.assert_ok();
    assert_eq!(
        answer.events().last().unwrap().name,
        Api::Messages.last_event()
    );
    let counted = world
        .post("/v1/messages/count_tokens")
        .json(&json!({"model": format!("vertex,{MODEL}"), "messages": []}))
        .await;
    counted.assert_ok();
    assert_eq!(counted.json()["input_tokens"], 7);
    let received = server.received();
    assert!(
        received[1].target.ends_with(":streamRawPredict"),
        "{}",
        received[1].target
    );
    assert_eq!(received[1].json()["stream"], true);
    assert!(
        received[2]
            .target
            .ends_with("/models/count-tokens:rawPredict")
    );
    assert_eq!(received[2].json()["model"], MODEL);
}

#[tokio::test]
async fn an_account_that_is_refused_a_token_is_dead_and_another_serves() {
    let directory = tempfile::tempdir().unwrap();
    let refusing = Server::start(|_| {
        let refused =
            json!({"error": "invalid_grant", "error_description": "Invalid JWT Signature."});
        Reply::json(400, &refused)
    })
    .await;
    let server = google(|_| Reply::messages()).await;
    let key = |number: usize, of: &Server| {
        let key = account(&directory, number, &format!("{}/token", of.url()));
        json!({ "key": key, "region": "us-east5" })
    };
    let keys = [key(1, &refusing), key(2, &server)];
    let world = world(json!({ "vertex": { "baseUrl": server.url(), "keys": keys } })).await;
    let answer = ask(&world).await;
    answer.assert_ok();
    assert_eq!(answer.header("x-keypool-attempts"), "2");
    world.becomes("key-0123456789-0001", "unavailable").await;
    assert_eq!(world.state("key-0123456789-0002").await, "healthy");
}

#[tokio::test]
async fn trouble_with_tokens_is_trouble_that_passes() {
    let directory = tempfile::tempdir().unwrap();
    let broken = Server::start(|_| Reply::json(503, &json!({"error": "backend_error"}))).await;
    let server = google(|_| Reply::messages()).await;
    let key = |number: usize, of: &Server| {
        let key = account(&directory, number, &format!("{}/token", of.url()));
        json!({ "key": key, "region": "us-east5" })
    };
    let keys = [key(1, &broken), key(2, &server)];
    let world = world(json!({ "vertex": { "baseUrl": server.url(), "keys": keys } })).await;
    ask(&world).await.assert_ok();
    assert_ne!(world.state("key-0123456789-0001").await, "unavailable");
}

#[tokio::test]
async fn requests_that_come_at_once_share_one_exchange() {
    let directory = tempfile::tempdir().unwrap();
    let server = google(|_| Reply::messages()).await;
    let world = world(provider(&directory, &server)).await;
    let calls: Vec<_> = (0..20)
        .map(|_| world.post(Api::Messages.path()).json(&body()).spawn())
        .collect();
    for call in calls {
        call.await.unwrap().assert_ok();
    }
    assert_eq!(exchanges(&server), 1);
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends_and_used_on_while_that_fails() {
    let directory = tempfile::tempdir().unwrap();
    let broken = Arc::new(Mutex::new(false));
    let (given, fails) = (AtomicUsize::new(0), broken.clone());
    let server = Server::start(move |request| match request.target.as_str() {
        "/token" if *fails.lock().unwrap() => {
            Reply::json(500, &json!({"error": "internal_failure"}))
        }
        "/token" => granted(given.fetch_add(1, Ordering::Relaxed) + 1),
        _ => Reply::messages(),
    })
    .await;
    let setup = setup(&provider(&directory, &server));
    let (world, clock) = setup.start_with_manual_clock().await;
    let carried = async || {
        ask(&world).await.assert_ok();
        let received = server.received();
        received.last().unwrap().header("authorization").to_owned()
    };
    let bearer = |number: usize| format!("Bearer {}", token(number));
    assert_eq!(carried().await, bearer(1));
    clock.advance(3000);
    assert_eq!(carried().await, bearer(1));
    clock.advance(330);
    *broken.lock().unwrap() = true;
    assert_eq!(carried().await, bearer(1));
    *broken.lock().unwrap() = false;
    assert_eq!(carried().await, bearer(2));
    assert_eq!(exchanges(&server), 3);
}

#[tokio::test]
async fn a_token_that_is_no_longer_taken_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let server = google(|request| {
        if request.header("authorization").ends_with('1') {
            let error =
                json!({"error": {"code": 401, "message": "Expired.", "status": "UNAUTHENTICATED"}});
            Reply::json(401, &error)
        } else {
            Reply::messages()
        }
    })
    .await;
    let world = world(provider(&directory, &server)).await;
    ask(&world).await;
    world.becomes("key-0123456789-0001", "healthy").await;
    ask(&world).await.assert_ok();
}

#[tokio::test]
async fn what_google_says_is_told_in_the_clients_words() {
    let directory = tempfile::tempdir().unwrap();
    let server = google(|_| {
        let error =
            json!({"error": {"code": 400, "message": "Bad thing.", "status": "INVALID_ARGUMENT"}});
        Reply::json(400, &error)
    })
    .await;
    let world = world(provider(&directory, &server)).await;
    let answer = ask(&world).await;
    assert_eq!(answer.status, 400);
    let error = answer.json();
    assert_eq!(error["type"], "error");
    assert_eq!(error["error"]["type"], "invalid_request_error");
    assert_eq!(error["error"]["message"], "Bad thing.");
}

#[tokio::test]
async fn geminis_models_are_served_in_openais_dialect() {
    let directory = tempfile::tempdir().unwrap();
    let server = google(|_| Reply::chat()).await;
    let mut providers = provider(&directory, &server);
    providers["vertex"]["protocol"] = "openai".into();
    let world = world(providers).await;
    let mut body = Api::Chat.body();
    body["model"] = "vertex,google/gemini-2.5-flash".into();
    world.post(Api::Chat.path()).json(&body).await.assert_ok();
    let received = server.received();
    assert_eq!(
        received[1].target,
        "/v1/projects/proj-1/locations/us-east5/endpoints/openapi/chat/completions"
    );
    assert_eq!(received[1].json()["model"], "google/gemini-2.5-flash");
}

#[tokio::test]
async fn geminis_models_are_served_in_their_own_dialect() {
    let directory = tempfile::tempdir().unwrap();
    let server = google(|_| {
        let content = json!({"role": "model", "parts": [{"text": "Hello."}]});
        Reply::json(
            200,
            &json!({
                "candidates": [{"content": content, "finishReason": "STOP", "index": 0}],
                "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 3, "totalTokenCount": 12},
            }),
        )
    })
    .await;
    let mut providers = provider(&directory, &server);
    providers["vertex"]["protocol"] = "gemini".into();
    let world = world(providers).await;
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]});
    let path = "/v1beta/models/vertex,gemini-2.5-flash:generateContent";
    let answer = world.post(path).json(&body).await;
    answer.assert_ok();
    assert_eq!(
        answer.json()["candidates"][0]["content"]["parts"][0]["text"],
        "Hello."
    );
    let received = server.received();
    assert_eq!(
        received[1].target,
        "/v1/projects/proj-1/locations/us-east5/publishers/google/models/gemini-2.5-flash:generateContent"
    );
    let bearer = format!("Bearer {}", token(1));
    assert_eq!(
        received[1].credentials(),
        [("authorization", bearer.as_str())]
    );
}
