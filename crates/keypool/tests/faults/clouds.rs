//! Keys on clouds. Each has a server of its own, which speaks as the cloud does.

use std::sync::atomic::{AtomicU64, Ordering};

use keypool_sim::{Fault, FaultWindow};
use serde_json::{Value, json};

use crate::meets::{Meets, What};
use crate::row::{BEDROCK, Vendor};
use crate::run::TEXT;
use crate::support::CANARY;
use crate::support::cloud::frames::{chunk, stream};
use crate::support::cloud::{Received, Reply, Server};

const ACCOUNT: &str = include_str!("../fixtures/service_account.json");

/// The `number`-th access key of AWS's, as it is named.
pub(crate) fn access_key(number: usize) -> String {
    format!("AKIAEXAMPLE{number:05}")
}

/// The `number`-th private key of a service account, as it is named.
pub(crate) fn account(number: usize) -> String {
    format!("key-0123456789-{number:04}")
}

/// A key as the configuration has it.
pub(crate) fn entry(vendor: Vendor, number: usize, server: &Server) -> Value {
    if vendor == BEDROCK {
        return json!({
            "accessKeyId": access_key(number), "secretAccessKey": format!("{CANARY}+/secret{number}"),
            "region": "us-east-1", "baseUrl": server.url(),
        });
    }
    let mut file: Value = serde_json::from_str(ACCOUNT).unwrap();
    file["token_uri"] = format!("{}{TOKENS}", server.url()).into();
    file["private_key_id"] = account(number).into();
    json!({ "key": file.to_string(), "region": "us-east5", "baseUrl": server.url() })
}

/// Where service accounts get their tokens.
const TOKENS: &str = "/token";

/// Whether a request is for an answer of a model.
pub(crate) fn is_asked(request: &Received) -> bool {
    request.method == "POST" && request.target != TOKENS
}

/// Starts the server of a key that meets this.
pub(crate) async fn serve(vendor: Vendor, meets: &Meets) -> Server {
    let what = meets.what.clone();
    let met = AtomicU64::new(0);
    Server::start(move |request| {
        if request.target == TOKENS {
            let token = format!("ya29.{CANARY}");
            return Reply::json(200, &json!({ "access_token": token, "expires_in": 3599 }));
        }
        let is_asked = is_asked(request);
        match &what {
            What::Fault(window) if is_asked || window.everywhere => {
                let times = met.fetch_add(1, Ordering::Relaxed);
                if window.requests.is_none_or(|most| times < most) {
                    return refusal(window);
                }
            }
            What::Frames(bytes) if is_asked => return stream(bytes.clone()),
            _ => {}
        }
        if is_asked {
            answer(vendor, &request.target)
        } else {
            Reply::json(200, &json!({}))
        }
    })
    .await
}

fn refusal(window: &FaultWindow) -> Reply {
    let Fault::Verbatim {
        status,
        headers,
        body,
    } = &window.fault
    else {
        panic!("a cloud's words are spelled out: {window:?}");
    };
    headers.iter().fold(
        Reply::bare(*status, body.as_str()),
        |reply, (name, value)| reply.header(name, value),
    )
}

/// The whole answer.
fn answer(vendor: Vendor, target: &str) -> Reply {
    if !target.contains("tream") {
        let mut message = message();
        message["content"] = json!([{ "type": "text", "text": TEXT }]);
        message["stop_reason"] = "end_turn".into();
        return Reply::json(200, &message);
    }
    let events = events();
    if vendor == BEDROCK {
        return stream(framed(&events));
    }
    let written: String = events.iter().map(written).collect();
    Reply::new(200, "text/event-stream", written)
}

/// An event as Anthropic writes it.
pub(crate) fn written(event: &Value) -> String {
    let name = event["type"].as_str().unwrap();
    format!("event: {name}\ndata: {event}\n\n")
}

/// Events in frames.
pub(crate) fn framed(events: &[Value]) -> Vec<u8> {
    events.iter().flat_map(chunk).collect()
}

fn message() -> Value {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": { "input_tokens": 9, "output_tokens": 9 },
    })
}

/// The events of a whole answer; some of its text is said by the first three.
pub(crate) fn events() -> Vec<Value> {
    let (one, two) = TEXT.split_at(20);
    let text = |text: &str| {
        let delta = json!({ "type": "text_delta", "text": text });
        json!({ "type": "content_block_delta", "index": 0, "delta": delta })
    };
    vec![
        json!({ "type": "message_start", "message": message() }),
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        text(one),
        text(two),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn", "stop_sequence": null },
            "usage": { "output_tokens": 9 } }),
        json!({ "type": "message_stop" }),
    ]
}
