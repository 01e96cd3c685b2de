//! Clients of the gateway, which look at every answer.

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The model of requests that are answered as streams.
pub(crate) const STREAMED_MODEL: &str = "claude-streamed";

/// The model of the others.
const PLAIN_MODEL: &str = "claude-plain";

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The whole answer came.
    Served,
    /// A stream broke off after it had begun, and the client was told.
    Broken,
    /// Anything else.
    Failed(String),
}

/// Speaks to one gateway.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: legacy::Client<HttpConnector, Full<Bytes>>,
    url: String,
}

impl Client {
    pub(crate) fn new(url: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            http: legacy::Client::builder(TokioExecutor::new()).build(connector),
            url: url.to_owned(),
        }
    }

    /// Sends the `number`-th request and reads its answer to the end. Every other one asks for a stream.
    pub(crate) async fn ask(&self, number: u64) -> Outcome {
        let streamed = number.is_multiple_of(2);
        match self.exchange(number, streamed).await {
            Ok((status, body)) => judge(status, &body, streamed),
            Err(error) => Outcome::Failed(format!("{error:#}")),
        }
    }

    async fn exchange(&self, number: u64, streamed: bool) -> anyhow::Result<(StatusCode, Bytes)> {
        let model = if streamed {
            STREAMED_MODEL
        } else {
            PLAIN_MODEL
        };
        let body = format!(
            r#"{{"model":"anthropic,{model}","max_tokens":100,"stream":{streamed},"messages":[{{"role":"user","content":"{number:08} hello"}}]}}"#
        );
        let request = Request::post(format!("{}/v1/messages", self.url))
            .header("content-type", "application/json")
            .header("anthropic-version", "2023-06-01")
            .body(Full::new(body.into()))?;
        let response = self.http.request(request).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }

    /// The `data` of an answer of the admin API.
    pub(crate) async fn admin<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        #[derive(Deserialize)]
        struct Envelope<T> {
            data: T,
        }
        let page = self.page(path).await?;
        let answer: Envelope<T> = serde_json::from_slice(&page)
            .with_context(|| format!("{path}: {}", String::from_utf8_lossy(&page)))?;
        Ok(answer.data)
    }

    /// A page as it is.
    pub(crate) async fn page(&self, path: &str) -> anyhow::Result<Bytes> {
        let response = self
            .http
            .get(format!("{}{path}", self.url).parse()?)
            .await?;
        Ok(response.into_body().collect().await?.to_bytes())
    }
}

/// What tells a plain answer from an error.
#[derive(Deserialize)]
struct Plain {
    #[serde(rename = "type")]
    kind: String,
}

/// Whether an answer is what the client asked for.
fn judge(status: StatusCode, body: &[u8], streamed: bool) -> Outcome {
    let text = String::from_utf8_lossy(body);
    let is_whole = if streamed {
        text.ends_with("data: {\"type\":\"message_stop\"}\n\n") && !text.contains("event: error")
    } else {
        serde_json::from_slice::<Plain>(body).is_ok_and(|body| body.kind == "message")
    };
    let is_begun = text.contains("event: content_block_delta");
    let told = text
        .rfind("event: ")
        .is_some_and(|last| text.split_at(last).1.starts_with("event: error\n"));
    match status {
        StatusCode::OK if is_whole => Outcome::Served,
        StatusCode::OK if streamed && is_begun && told => Outcome::Broken,
        status => Outcome::Failed(format!(
            "{status}: {}",
            text.chars().take(300).collect::<String>()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELTA: &str = "event: content_block_delta\ndata: {}\n\n";
    const STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    const ERROR: &str = "event: error\ndata: {}\n\n";

    fn streamed(text: &str) -> Outcome {
        judge(StatusCode::OK, text.as_bytes(), true)
    }

    #[test]
    fn a_stream_is_whole_with_its_end_and_broken_only_if_the_client_was_told() {
        assert_eq!(streamed(&[DELTA, STOP].concat()), Outcome::Served);
        assert_eq!(streamed(&[DELTA, ERROR].concat()), Outcome::Broken);
        for text in [
            DELTA.to_owned(),
            ERROR.to_owned(),
            [DELTA, ERROR, STOP].concat(),
        ] {
            assert!(matches!(streamed(&text), Outcome::Failed(_)), "{text}");
        }
    }

    #[test]
    fn a_plain_answer_is_a_message_and_nothing_else() {
        let judge = |status, text: &str| judge(status, text.as_bytes(), false);
        assert_eq!(
            judge(StatusCode::OK, r#"{"type":"message"}"#),
            Outcome::Served
        );
        for (status, text) in [
            (StatusCode::OK, r#"{"type":"error"}"#),
            (StatusCode::BAD_GATEWAY, ""),
        ] {
            assert!(matches!(judge(status, text), Outcome::Failed(_)), "{text}");
        }
    }
}
