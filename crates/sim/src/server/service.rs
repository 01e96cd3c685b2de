//! One request: where it goes, who sent it, what the model says to it.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;

use super::body::SimBody;
use super::head::Head;
use super::log::ReceivedRequest;
use super::shared::{InFlight, Shared};
use super::socket::{ConnectionControl, ConnectionEnd};
use super::{answer, control};
use crate::dialect::{errors, gemini, request};
use crate::model::{Credential, ProviderError, Reply, Verdict};
use crate::{Dialect, Endpoint};

/// Answers one request.
pub(super) async fn respond(
    shared: Arc<Shared>,
    connection: Arc<ConnectionControl>,
    request: Request<Incoming>,
) -> Result<Response<SimBody>, Infallible> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, shared.max_body_bytes).collect().await;
    let body = match body {
        Ok(body) => body.to_bytes(),
        Err(error) => return Ok(unread(&head, error.is::<LengthLimitError>())),
    };
    if let Some(command) = head.uri.path().strip_prefix("/__sim/") {
        return Ok(control::respond(&shared, &head.method, command, &body));
    }
    Ok(serve(shared, connection, &head, body).await)
}

/// The answer to a body that could not be read.
fn unread(head: &Parts, too_large: bool) -> Response<SimBody> {
    let dialect = dialect_of(head);
    let error = if too_large {
        errors::too_large(dialect)
    } else {
        errors::broken_body(dialect)
    };
    Head::new(dialect, 0).with_error(&error, None)
}

async fn serve(
    shared: Arc<Shared>,
    connection: Arc<ConnectionControl>,
    head: &Parts,
    body: Bytes,
) -> Response<SimBody> {
    let arrived = shared.elapsed();
    let credential = credential(head);
    if !shared.log.is_off() {
        let secret = credential
            .api_key
            .or(credential.bearer)
            .or(credential.google);
        shared
            .log
            .push(ReceivedRequest::new(arrived, head, body.clone(), secret));
    }
    let endpoint = match route(head) {
        Ok(endpoint) => endpoint,
        Err(error) => {
            let seed = u64::try_from(arrived.as_nanos()).unwrap_or_default();
            return Head::new(dialect_of(head), seed).with_error(&error, None);
        }
    };
    let request = read(endpoint, head, &body);
    let verdict = shared.with_model(|model, now| model.begin(now, endpoint, credential, &request));
    let Verdict {
        seed,
        wait,
        ticket,
        reply,
    } = verdict;
    let mut answer_head = Head::new(endpoint.dialect(), seed);
    let Some(ticket) = ticket else {
        return match reply {
            Reply::Refusal(error) => answer_head.with_error(&error, None),
            _ => answer_head.with_error(&errors::no_credential(endpoint.dialect()), None),
        };
    };
    let mut in_flight = InFlight::new(Arc::clone(&shared), ticket);
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
    match reply {
        Reply::Hang => {}
        Reply::Reset => connection.end(ConnectionEnd::Reset),
        Reply::Close(last_words) => connection.end(ConnectionEnd::Close(last_words)),
        Reply::Grant(_) | Reply::Refusal(_) | Reply::Verbatim { .. } => {
            answer_head.took(shared.elapsed().saturating_sub(arrived));
            let asked = answer::Asked {
                endpoint,
                path: head.uri.path(),
                request,
                seed,
            };
            return answer::write(asked, reply, answer_head, in_flight, connection);
        }
    }
    in_flight.breaks();
    pending().await
}

/// The credentials in the headers.
fn credential(head: &Parts) -> Credential<'_> {
    let text = |name| {
        head.headers
            .get(name)
            .and_then(|value: &http::HeaderValue| value.to_str().ok())
    };
    let bearer = text("authorization").and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    Credential {
        api_key: text("x-api-key"),
        // Azure's header; whoever speaks like OpenAI takes it as a bearer token.
        bearer: bearer.or_else(|| text("api-key")),
        google: text("x-goog-api-key").or_else(|| {
            let mut parameters = head.uri.query()?.split('&');
            parameters.find_map(|parameter| parameter.strip_prefix("key="))
        }),
    }
}

/// Where a path leads, and the method it takes.
fn destination(head: &Parts) -> Option<(Method, Endpoint)> {
    let path = head.uri.path();
    Some(match path {
        "/v1/messages" => (Method::POST, Endpoint::Messages),
        "/v1/messages/count_tokens" => (Method::POST, Endpoint::CountTokens),
        "/v1/chat/completions" => (Method::POST, Endpoint::ChatCompletions),
        "/v1/responses" => (Method::POST, Endpoint::Responses),
        "/v1/embeddings" => (Method::POST, Endpoint::Embeddings),
        _ if path == "/v1/models" || path.starts_with("/v1/models/") => {
            match gemini::Path::parse(path) {
                Some(path) => (Method::POST, path.endpoint),
                None => (Method::GET, Endpoint::Models(lister(&head.headers))),
            }
        }
        _ if path == "/v1beta/models" => (Method::GET, Endpoint::Models(Dialect::Gemini)),
        _ if path.starts_with("/v1beta/models/") => match gemini::Path::parse(path) {
            Some(path) => (Method::POST, path.endpoint),
            None => (Method::GET, Endpoint::Models(Dialect::Gemini)),
        },
        _ => return None,
    })
}

/// The dialect of who lists models at the path that all share.
fn lister(headers: &HeaderMap) -> Dialect {
    if headers.contains_key("anthropic-version") {
        Dialect::Anthropic
    } else if headers.contains_key("x-goog-api-key") {
        Dialect::Gemini
    } else {
        Dialect::OpenAi
    }
}

/// The dialect of the path, or the one that the client's headers give away.
fn dialect_of(head: &Parts) -> Dialect {
    let anthropic = ["anthropic-version", "x-api-key"];
    match destination(head) {
        Some((_, endpoint)) => endpoint.dialect(),
        None if anthropic
            .iter()
            .any(|name| head.headers.contains_key(*name)) =>
        {
            Dialect::Anthropic
        }
        None if head.headers.contains_key("x-goog-api-key") => Dialect::Gemini,
        None => Dialect::OpenAi,
    }
}

fn route(head: &Parts) -> Result<Endpoint, ProviderError> {
    let (dialect, path, method) = (dialect_of(head), head.uri.path(), head.method.as_str());
    match destination(head) {
        Some((taken, endpoint)) if head.method == taken => Ok(endpoint),
        Some(_) => Err(errors::wrong_method(dialect, method, path)),
        None => Err(errors::unknown_path(dialect, method, path)),
    }
}

fn read(
    endpoint: Endpoint,
    head: &Parts,
    body: &[u8],
) -> Result<crate::model::Request, ProviderError> {
    if let Endpoint::Models(_) = endpoint {
        return Ok(crate::model::Request::default());
    }
    if endpoint.dialect() == Dialect::Anthropic && !head.headers.contains_key("anthropic-version") {
        return Err(errors::no_version());
    }
    match gemini::Path::parse(head.uri.path()) {
        Some(path) => gemini::read(&path, head.uri.query(), body),
        None => request::read(endpoint, body),
    }
}
