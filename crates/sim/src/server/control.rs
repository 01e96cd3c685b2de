//! The same control over HTTP, for other processes: JSON under `/__sim/`.
//!
//! `GET counters`, `GET requests`; `POST faults {key?, faults}`, `limits {name, limits}`,
//! `key-limits {key, limits}`, `consume {name, model?, requests?, inputTokens?,
//! outputTokens?}`, `revoke {key}`, `restore {key}`, `answer {…}`, `reset`;
//! `DELETE faults`. Changes answer `{}`; what cannot be done answers 400 or 404 with `{"error"}`.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::body::SimBody;
use super::head::JSON;
use super::log::ReceivedRequest;
use super::shared::Shared;
use super::{Sim, UnknownName};
use crate::{FaultWindow, Limits};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultsCommand {
    /// All keys when absent.
    key: Option<String>,
    faults: Vec<FaultWindow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsCommand {
    /// An organisation, or one of its keys.
    name: String,
    limits: Limits,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyLimitsCommand {
    key: String,
    limits: Limits,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ConsumeCommand {
    /// An organisation, or one of its keys.
    name: String,
    /// Whose class pays; the limits of models without a class when absent.
    #[serde(default)]
    model: String,
    #[serde(default)]
    requests: u64,
    #[serde(default)]
    input_tokens: u64,
    #[serde(default)]
    output_tokens: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyCommand {
    key: String,
}

/// A received request as JSON shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownRequest {
    at_ms: u64,
    method: String,
    path_and_query: String,
    version: String,
    headers: Vec<(String, String)>,
    body: String,
    key: Option<String>,
}

impl From<ReceivedRequest> for ShownRequest {
    fn from(request: ReceivedRequest) -> Self {
        Self {
            at_ms: u64::try_from(request.at.as_millis()).unwrap_or(u64::MAX),
            method: request.method,
            path_and_query: request.path_and_query,
            version: request.version,
            headers: request.headers,
            body: String::from_utf8_lossy(&request.body).into_owned(),
            key: request.key,
        }
    }
}

/// Why a command was not carried out.
enum Failure {
    BadCommand(serde_json::Error),
    UnknownName(UnknownName),
    UnknownCommand,
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::BadCommand(error)
    }
}

impl From<UnknownName> for Failure {
    fn from(error: UnknownName) -> Self {
        Self::UnknownName(error)
    }
}

/// Carries out one command.
pub(super) fn respond(
    shared: &Arc<Shared>,
    method: &Method,
    command: &str,
    body: &[u8],
) -> Response<SimBody> {
    let sim = Sim::new(Arc::clone(shared));
    let (status, text) = match run(&sim, method, command, body) {
        Ok(text) => (StatusCode::OK, text),
        Err(Failure::BadCommand(error)) => (StatusCode::BAD_REQUEST, error_body(&error)),
        Err(Failure::UnknownName(error)) => (StatusCode::NOT_FOUND, error_body(&error)),
        Err(Failure::UnknownCommand) => (StatusCode::NOT_FOUND, error_body(&"unknown command")),
    };
    let mut response = Response::new(SimBody::whole(Bytes::from(text), None));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}

fn error_body(error: &dyn std::fmt::Display) -> String {
    serde_json::json!({ "error": error.to_string() }).to_string()
}

fn run(sim: &Sim, method: &Method, command: &str, body: &[u8]) -> Result<String, Failure> {
    match (method.as_str(), command) {
        ("GET", "counters") => return Ok(serde_json::to_string(&sim.counters())?),
        ("GET", "requests") => {
            let shown: Vec<ShownRequest> = sim.requests().into_iter().map(Into::into).collect();
            return Ok(serde_json::to_string(&shown)?);
        }
        ("POST", "faults") => {
            let command: FaultsCommand = parse(body)?;
            match command.key {
                Some(key) => sim.set_faults(&key, command.faults)?,
                None => sim.set_faults_of_all(command.faults),
            }
        }
        ("DELETE", "faults") => sim.clear_faults(),
        ("POST", "limits") => {
            let command: LimitsCommand = parse(body)?;
            sim.set_limits(&command.name, command.limits)?;
        }
        ("POST", "key-limits") => {
            let command: KeyLimitsCommand = parse(body)?;
            sim.set_key_limits(&command.key, command.limits)?;
        }
        ("POST", "consume") => {
            let ConsumeCommand {
                name,
                model,
                requests,
                input_tokens,
                output_tokens,
            } = parse(body)?;
            sim.consume_of_model(&name, &model, requests, input_tokens, output_tokens)?;
        }
        ("POST", "revoke") => sim.revoke(&parse::<KeyCommand>(body)?.key)?,
        ("POST", "restore") => sim.restore(&parse::<KeyCommand>(body)?.key)?,
        ("POST", "answer") => sim.set_answer(parse(body)?),
        ("POST", "reset") => sim.reset(),
        _ => return Err(Failure::UnknownCommand),
    }
    Ok("{}".to_owned())
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    Ok(serde_json::from_slice(body)?)
}
