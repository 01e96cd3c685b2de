//! The HTTP client of the demo's clients and of its view: nothing that a user's program would not
//! do.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Collected, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::time::Instant;

/// A hundred times the provider's answer time.
const PATIENCE: Duration = Duration::from_secs(5);

/// Far more than the simulator's answers have.
const BODY_BYTES: usize = 1 << 20;

/// Sends requests to the gateway over kept-alive connections.
#[derive(Debug, Clone)]
pub(super) struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// Status and headers.
    pub(super) head: http::response::Parts,
    /// The body; the reason if it broke off.
    pub(super) body: anyhow::Result<Bytes>,
    /// From the request to the head.
    pub(super) head_after: Duration,
    /// From the request to the last byte.
    pub(super) took: Duration,
}

impl Http {
    /// A client of the gateway at this address.
    pub(super) fn new(gateway: SocketAddr) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Self {
            client,
            base: format!("http://{gateway}"),
        }
    }

    /// `http://host:port`.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Sends a request and reads the whole answer, whatever its status.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> anyhow::Result<Answer> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(CONTENT_TYPE, "application/json")
            .header("anthropic-version", "2023-06-01")
            .header("x-api-key", "any-key-will-do")
            .body(Full::new(body))?;
        let sent = Instant::now();
        let exchange = async {
            let response = self.client.request(request).await.context("no answer")?;
            let head_after = sent.elapsed();
            let (head, body) = response.into_parts();
            let body = Limited::new(body, BODY_BYTES).collect().await;
            let body = body
                .map(Collected::to_bytes)
                .map_err(|error| anyhow!("broken off: {error}"));
            Ok(Answer {
                head,
                body,
                head_after,
                took: sent.elapsed(),
            })
        };
        match tokio::time::timeout(PATIENCE, exchange).await {
            Ok(answer) => answer,
            Err(_) => bail!("no answer within {} s", PATIENCE.as_secs()),
        }
    }

    /// Calls the admin API and gives back the answer's `data`.
    pub(super) async fn admin(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let answer = self.send(method, path, body.into()).await?;
        let status = answer.head.status;
        let mut answer: Value = serde_json::from_slice(&answer.body?)
            .with_context(|| format!("{path} answers with no JSON"))?;
        if status == StatusCode::OK || status == StatusCode::CREATED {
            return Ok(answer.get_mut("data").map(Value::take).unwrap_or_default());
        }
        Err(anyhow!("{path} answers with {status}: {answer}"))
    }
}
