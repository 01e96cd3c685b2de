//! The smallest client that the admin API needs.

use std::io;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use keypool_gateway::Secret;
use serde_json::Value;
use tokio::runtime::Builder;

use crate::config::Endpoint;

/// How long an answer may take; an operator waits for it.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// How long a gateway may take to say that it is there.
const PRESENCE_TIME: Duration = Duration::from_secs(5);

/// Largest answer that is read: 100,000 keys fit.
const ANSWER_BYTES: usize = 256 * 1024 * 1024;

/// Sends one request and gives back the answer's `data`.
pub(super) fn call(
    endpoint: &Endpoint,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> anyhow::Result<Value> {
    let request = request(endpoint, method, path, body)?;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")?;
    let answer =
        runtime.block_on(async { tokio::time::timeout(ANSWER_TIME, exchange(request)).await });
    let url = &endpoint.url;
    let (status, body) = answer
        .map_err(|_| anyhow!("{url} does not answer"))?
        .with_context(|| {
            format!("no gateway answers at {url}; is `keypool serve` running there?")
        })?;
    read_answer(status, &body, endpoint)
}

/// Who is at an address.
pub(super) enum Presence {
    /// A gateway that takes the key.
    Serves,
    /// A gateway that does not.
    Refuses,
    /// Nobody listens.
    Nobody,
}

/// Looks whether a gateway is at an address and takes a client's key.
pub(super) fn look_for(url: &str, key: &str) -> anyhow::Result<Presence> {
    let endpoint = Endpoint {
        url: url.to_owned(),
        token: Some(Secret::new(key)),
    };
    let request = request(&endpoint, Method::GET, "/v1/models", None)?;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")?;
    let answer = runtime
        .block_on(async { tokio::time::timeout(PRESENCE_TIME, client().request(request)).await });
    match answer {
        Err(_) => bail!("{url} does not answer"),
        Ok(Err(error)) if error.is_connect() => Ok(Presence::Nobody),
        Ok(Err(error)) => {
            Err(anyhow::Error::new(error)).with_context(|| format!("{url} is no gateway"))
        }
        Ok(Ok(answer)) => match answer.status() {
            StatusCode::OK => Ok(Presence::Serves),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Ok(Presence::Refuses),
            status => bail!("{url} answers with status {status} and is no keypool gateway"),
        },
    }
}

/// Sends one request and hands its answer on as it comes, until it ends or `end` has come.
pub(super) fn follow(
    endpoint: &Endpoint,
    path: &str,
    end: Option<Instant>,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> anyhow::Result<()> {
    let request = request(endpoint, Method::GET, path, None)?;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")?;
    runtime.block_on(async {
        let url = &endpoint.url;
        let answer = tokio::time::timeout(ANSWER_TIME, client().request(request)).await;
        let answer = answer
            .map_err(|_| anyhow!("{url} does not answer"))?
            .with_context(|| {
                format!("no gateway answers at {url}; is `keypool serve` running there?")
            })?;
        let status = answer.status();
        let mut body = answer.into_body();
        if !status.is_success() {
            let body = Limited::new(body, ANSWER_BYTES).collect().await;
            let body = body.map_err(|error| anyhow!("{error}"))?.to_bytes();
            return read_answer(status, &body, endpoint).map(|_| ());
        }
        loop {
            let frame = match end {
                None => body.frame().await,
                Some(end) => match tokio::time::timeout_at(end.into(), body.frame()).await {
                    Ok(frame) => frame,
                    Err(_) => return Ok(()),
                },
            };
            match frame {
                None => return Ok(()),
                Some(frame) => {
                    if let Ok(bytes) = frame.context("the gateway broke off")?.into_data() {
                        take(&bytes).context("cannot write")?;
                    }
                }
            }
        }
    })
}

fn request(
    endpoint: &Endpoint,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> anyhow::Result<Request<Full<Bytes>>> {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{}{path}", endpoint.url));
    if let Some(token) = &endpoint.token {
        request = request.header(AUTHORIZATION, bearer(token)?);
    }
    if body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let body = body.map(Value::to_string).unwrap_or_default();
    request
        .body(Full::from(body))
        .with_context(|| format!("{} is not a usable URL", endpoint.url))
}

fn bearer(token: &Secret) -> anyhow::Result<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose()))
        .context("the admin token has characters that no header can carry")?;
    value.set_sensitive(true);
    Ok(value)
}

fn client() -> Client<HttpsConnector<HttpConnector>, Full<Bytes>> {
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_webpki_roots()
        .https_or_http()
        .enable_http1()
        .build();
    Client::builder(TokioExecutor::new()).build(connector)
}

async fn exchange(request: Request<Full<Bytes>>) -> anyhow::Result<(StatusCode, Bytes)> {
    let answer = client().request(request).await?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER_BYTES)
        .collect()
        .await;
    Ok((status, body.map_err(|error| anyhow!("{error}"))?.to_bytes()))
}

fn read_answer(status: StatusCode, body: &[u8], endpoint: &Endpoint) -> anyhow::Result<Value> {
    let Ok(mut answer) = serde_json::from_slice::<Value>(body) else {
        bail!(
            "{} answers with status {status} and is no keypool gateway",
            endpoint.url
        );
    };
    if status.is_success() {
        return Ok(answer.get_mut("data").map(Value::take).unwrap_or_default());
    }
    let message = answer.pointer("/error/message").and_then(Value::as_str);
    let message = message.map_or_else(|| format!("status {status}"), str::to_owned);
    if status == StatusCode::UNAUTHORIZED && endpoint.token.is_none() {
        bail!(
            "{message} (set $KEYPOOL_ADMIN_TOKEN, or point --config at the gateway's configuration)"
        );
    }
    bail!(message)
}
