//! Claude on Bedrock: signed requests, and answers in frames.

mod signature;

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{setup, world};
use crate::support::cloud::frames::{chunk, exception, stream};
use crate::support::cloud::{Received, Reply, Server};
use crate::support::{Answer, Api, CANARY, Event, World, mask};

const MODEL: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";

fn id(number: usize) -> String {
    format!("AKIAEXAMPLE{number:05}")
}

fn secret(number: usize) -> String {
    format!("{CANARY}+/secret{number}")
}

/// The `number`-th access key, in a region.
fn key(number: usize, region: &str, server: &Server) -> Value {
    json!({
        "accessKeyId": id(number), "secretAccessKey": secret(number), "region": region,
        "baseUrl": server.url(),
    })
}

fn bedrock(keys: &[Value]) -> Value {
    json!({ "bedrock": { "keys": keys } })
}

fn body() -> Value {
    let mut body = Api::Messages.body();
    body["model"] = format!("bedrock,{MODEL}").into();
    body
}

async fn ask(world: &World) -> Answer {
    world.post(Api::Messages.path()).json(&body()).await
}

async fn ask_stream(world: &World) -> Answer {
    let mut body = body();
    body["stream"] = true.into();
    world.post(Api::Messages.path()).json(&body).await
}

/// Refuses what is not signed with the secret of the access key that it names.
fn if_signed(request: &Received, answer: impl FnOnce() -> Reply) -> Reply {
    let number = (1..=2).find(|number| request.header("authorization").contains(&id(*number)));
    match number.map(|number| signature::check(request, &secret(number))) {
        Some(Ok(())) => answer(),
        wrong => refusal(403, "InvalidSignatureException", &format!("{wrong:?}")),
    }
}

fn refusal(status: u16, name: &str, message: &str) -> Reply {
    let body = json!({ "message": message });
    let named = format!("{name}:http://internal.amazon.com/coral/com.amazon.bedrock/");
    Reply::json(status, &body).header("x-amzn-errortype", &named)
}

/// The events of a small answer.
fn events() -> Vec<Value> {
    vec![
        json!({"type": "message_start", "message": {
            "id": "msg_bdrk_1", "type": "message", "role": "assistant", "model": "c", "content": [],
            "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 9, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello."}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null},
            "usage": {"output_tokens": 3}}),
        json!({"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 9}}),
    ]
}

fn framed(events: &[Value]) -> Vec<u8> {
    events.iter().flat_map(chunk).collect()
}

#[tokio::test]
async fn what_a_client_sends_makes_no_signature_a_wrong_one() {
    let server = Server::start(|request| if_signed(request, Reply::messages)).await;
    let world = world(bedrock(&[key(1, "us-east-1", &server)])).await;
    let call = world.post(Api::Messages.path());
    let call = call.header("x-amz-security-token", "client's own");
    let call = call.header("x-amz-content-sha256", "0");
    let call = call.header("content-type", "application/json;x=another");
    call.json(&body()).await.assert_ok();
    let sent = server.only();
    assert_eq!(sent.header("x-amz-security-token"), "");
    // One of them, and no second.
    assert!(sent.header("content-type").starts_with("application/json"));
}

#[tokio::test]
async fn a_session_token_that_the_provider_repeats_is_not_shown() {
    let token = format!("{CANARY}+session/token");
    let repeated = token.clone();
    let server = Server::start(move |_| {
        let message = format!("Signature expired; it was made of x-amz-security-token:{repeated}");
        refusal(403, "InvalidSignatureException", &message)
    })
    .await;
    let mut key = key(1, "us-east-1", &server);
    key["sessionToken"] = token.into();
    let world = world(bedrock(&[key])).await;
    let answer = ask(&world).await;
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert!(!answer.text().contains(CANARY), "{}", answer.text());
    // Our clock was wrong, not the key.
    assert_eq!(world.state(&id(1)).await, "healthy");
}

#[tokio::test]
async fn a_request_is_signed_and_names_the_model_in_its_path() {
    let server = Server::start(|request| if_signed(request, Reply::messages)).await;
    let world = world(bedrock(&[key(1, "us-east-1", &server)])).await;
    let call = world.post("/v1/messages?beta=true");
    let call = call.header("anthropic-beta", "one,two");
    let call = call.header("anthropic-version", "2023-06-01");
    let answer = call.header("x-api-key", "client's own").json(&body()).await;
    answer.assert_ok();
    assert_eq!(answer.key(), mask(&id(1)));

    let sent = server.only();
    assert_eq!(
        sent.target,
        "/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/invoke"
    );
    assert_eq!(sent.credentials().len(), 1);
    assert_eq!(sent.header("anthropic-version"), "");
    assert_eq!(sent.header("anthropic-beta"), "");
    let mut expected = body();
    expected.as_object_mut().unwrap().remove("model");
    expected["anthropic_version"] = "bedrock-2023-05-31".into();
    expected["anthropic_beta"] = json!(["one", "two"]);
    assert_eq!(sent.json(), expected);

    let tokens = world.details("bedrock", &id(1)).await["metrics"]["tokens"].clone();
    assert_eq!(
        (&tokens["input"], &tokens["output"]),
        (&9.into(), &3.into())
    );
}

#[tokio::test]
async fn temporary_credentials_bring_their_token_and_api_keys_are_bearers() {
    let server = Server::start(|_| Reply::messages()).await;
    let token = format!("{CANARY}-session");
    let mut temporary = key(1, "us-east-1", &server);
    temporary["sessionToken"] = token.as_str().into();
    let bearer = format!("bedrock-api-key-{CANARY}-1");
    let api_key = json!({ "key": bearer, "region": "us-east-1", "baseUrl": server.url() });
    let world = world(json!({
        "bedrock": { "keys": [temporary] },
        "other": { "kind": "bedrock", "keys": [api_key] },
    }))
    .await;
    ask(&world).await.assert_ok();
    let mut other = body();
    other["model"] = format!("other,{MODEL}").into();
    world
        .post(Api::Messages.path())
        .json(&other)
        .await
        .assert_ok();
    let received = server.received();
    assert_eq!(received[0].header("x-amz-security-token"), token);
    signature::check(&received[0], &secret(1)).unwrap();
    let expected = format!("Bearer {bearer}");
    assert_eq!(
        received[1].credentials(),
        [("authorization", expected.as_str())]
    );
}

#[tokio::test]
async fn a_stream_in_frames_arrives_as_the_events_of_messages() {
    let server = Server::start(|request| if_signed(request, || stream(framed(&events())))).await;
    let world = world(bedrock(&[key(1, "us-east-1", &server)])).await;
    let answer = ask_stream(&world).await;
    answer.assert_ok();
    assert_eq!(answer.header("content-type"), "text/event-stream");
    let seen: Vec<Value> = answer.events().iter().map(Event::json).collect();
    assert_eq!(seen, events());
    for event in answer.events() {
        assert_eq!(event.name, event.json()["type"]);
    }
    let sent = server.only();
    assert!(
        sent.target.ends_with("/invoke-with-response-stream"),
        "{}",
        sent.target
    );
    assert_eq!(sent.json().get("stream"), None);
    let tokens = world.details("bedrock", &id(1)).await["metrics"]["tokens"].clone();
    assert_eq!(
        (&tokens["input"], &tokens["output"]),
        (&9.into(), &3.into())
    );
}

#[tokio::test]
async fn an_exception_before_anything_else_sends_the_request_to_another_region() {
    let throttled =
        Server::start(|_| stream(exception("throttlingException", "Too many tokens"))).await;
    let sound = Server::start(|request| if_signed(request, || stream(framed(&events())))).await;
    let mut east = key(1, "us-east-1", &throttled);
    east["deployments"] = json!({"claude": "us.anthropic.claude-x-v1:0"});
    let mut west = key(1, "eu-west-1", &sound);
    west["deployments"] = json!({"claude": "eu.anthropic.claude-x-v1:0"});
    let world = world(bedrock(&[east, west])).await;
    let mut body = body();
    body["model"] = "bedrock,claude".into();
    body["stream"] = true.into();
    let answer = world.post(Api::Messages.path()).json(&body).await;
    answer.assert_ok();
    assert_eq!(answer.header("x-keypool-attempts"), "2");
    assert_eq!(answer.events().last().unwrap().name, "message_stop");
    assert_eq!(
        throttled.only().target,
        "/model/us.anthropic.claude-x-v1%3A0/invoke-with-response-stream"
    );
    assert_eq!(
        sound.only().target,
        "/model/eu.anthropic.claude-x-v1%3A0/invoke-with-response-stream"
    );
    // One access key in two regions is two keys.
    let keys = world.shown("provider/bedrock").await["keys"].clone();
    assert_ne!(keys[0]["id"], keys[1]["id"]);
    assert_eq!(keys[0]["health"], "rate-limited");
}

#[tokio::test]
async fn whatever_breaks_in_mid_stream_ends_it_with_an_error() {
    let begun = framed(&events()[..3]);
    let next = chunk(&events()[3]);
    let mut damaged = next.clone();
    damaged[next.len() / 2] ^= 1;
    let cases = [
        (
            exception("modelStreamErrorException", "It broke"),
            "It broke",
        ),
        (damaged, "frames are damaged"),
        (next[..20].to_vec(), "middle of a frame"),
        // In good order, but not the end.
        (next, ""),
    ];
    for (rest, words) in cases {
        let gate = Arc::new(Notify::new());
        let (begun, opened) = (begun.clone(), gate.clone());
        let server =
            Server::start(move |_| stream(begun.clone()).then(&opened, rest.clone())).await;
        let world = world(bedrock(&[key(1, "us-east-1", &server)])).await;
        let mut body = body();
        body["stream"] = true.into();
        let mut answer = world.post(Api::Messages.path()).json(&body).open().await;
        while answer.event().await.json()["delta"]["text"] != "Hello." {}
        gate.notify_one();
        let events = answer.ending().await.events();
        let end = events.last().unwrap();
        assert_eq!(end.name, "error", "{words}: {}", end.data);
        assert!(end.data.contains(words), "{words}: {}", end.data);
    }
}

#[tokio::test]
async fn a_key_that_aws_does_not_know_is_dead_and_a_model_that_it_may_not_use_is_barred() {
    let server = Server::start(|request| {
        let dead = request.header("authorization").contains(&id(1));
        match (dead, request.target.contains("denied")) {
            (true, _) => refusal(
                403,
                "UnrecognizedClientException",
                "The security token is invalid.",
            ),
            (_, true) => refusal(
                403,
                "AccessDeniedException",
                "You don't have access to the model.",
            ),
            _ => if_signed(request, Reply::messages),
        }
    })
    .await;
    let keys = [key(1, "us-east-1", &server), key(2, "us-east-1", &server)];
    let world = world(bedrock(&keys)).await;
    ask(&world).await.assert_ok();
    world.becomes(&id(1), "unavailable").await;
    let probe = server.probe().await;
    assert_eq!(probe.target, "/foundation-models");

    let mut denied = body();
    denied["model"] = "bedrock,denied".into();
    let answer = world.post(Api::Messages.path()).json(&denied).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(world.state(&id(2)).await, "healthy");
}

#[tokio::test]
async fn what_aws_says_is_told_in_the_clients_words() {
    let server = Server::start(|_| refusal(400, "ValidationException", "Bad thing.")).await;
    let world = world(bedrock(&[key(1, "us-east-1", &server)])).await;
    let answer = ask(&world).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
    assert_eq!(answer.json()["error"]["message"], "Bad thing.");
}

#[tokio::test]
async fn tokens_are_counted_by_estimate_and_other_clients_are_translated() {
    let server = Server::start(|request| if_signed(request, Reply::messages)).await;
    let world = world(bedrock(&[key(1, "us-east-1", &server)])).await;
    let mut count = body();
    count.as_object_mut().unwrap().remove("max_tokens");
    let counted = world.post("/v1/messages/count_tokens").json(&count).await;
    counted.assert_ok();
    assert!(counted.json()["input_tokens"].is_u64());
    assert!(server.received().is_empty());

    let mut chat = Api::Chat.body();
    chat["model"] = format!("bedrock,{MODEL}").into();
    let answer = world.post(Api::Chat.path()).json(&chat).await;
    answer.assert_ok();
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "Hello.");
    assert_eq!(
        server.only().json()["anthropic_version"],
        "bedrock-2023-05-31"
    );
}

#[tokio::test]
async fn signatures_are_of_the_gateways_own_time() {
    let server = Server::start(|request| if_signed(request, Reply::messages)).await;
    let setup = setup(&bedrock(&[key(1, "us-east-1", &server)]));
    let (world, _clock) = setup.start_with_manual_clock().await;
    ask(&world).await.assert_ok();
    assert_eq!(server.only().header("x-amz-date"), "20270101T000000Z");
}
