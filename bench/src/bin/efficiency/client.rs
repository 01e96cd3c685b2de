//! Clients of the gateway: they send what is planned, wait as long as it takes, and say how it ended.
//!
//! A client that gave up would hide a gateway that lets requests wait too long, and one that took the
//! status for the answer would take a stream that broke off for a success. So there is no timeout (but
//! the end of the run), and an answer counts only when it is whole.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use keypool_sim::Dialect;
use serde_json::Value;

use crate::statistics::Outcome;

/// The gateway's own code for "no key has room in time".
const NO_ROOM: &str = "no_room";

/// Output that a request allows. Less than any prompt, so that OpenAI's rule charges the prompt.
const MAX_TOKENS: u64 = 64;

/// Bytes that the simulator counts as one token.
const BYTES_PER_TOKEN: usize = 4;

const FILLER: &str = "the quick brown fox jumps over the lazy dog and ";

/// Speaks to one gateway in one dialect.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: legacy::Client<HttpConnector, Full<Bytes>>,
    url: String,
    dialect: Dialect,
}

/// An answer, and what it waited in the queue.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) queued: Duration,
    pub(crate) outcome: Outcome,
}

impl Client {
    pub(crate) fn new(url: &str, dialect: Dialect) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            http: legacy::Client::builder(TokioExecutor::new()).build(connector),
            url: url.to_owned(),
            dialect,
        }
    }

    pub(crate) const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Sends one body and reads the whole answer.
    pub(crate) async fn send(&self, body: Bytes, session: Option<&str>, stream: bool) -> Answer {
        let mut answer = Answer {
            queued: Duration::ZERO,
            outcome: Outcome::Served,
        };
        answer.outcome = match self.exchange(body, session, &mut answer.queued).await {
            Ok((status, body)) => judge(self.dialect, status, &body, stream),
            Err(error) => Outcome::Failed(error.to_string()),
        };
        answer
    }

    async fn exchange(
        &self,
        body: Bytes,
        session: Option<&str>,
        queued: &mut Duration,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let path = match self.dialect {
            Dialect::Anthropic => "/v1/messages",
            // No row's limiter is Gemini's.
            Dialect::OpenAi | Dialect::Gemini => "/v1/chat/completions",
        };
        let mut request =
            Request::post(format!("{}{path}", self.url)).header("content-type", "application/json");
        if self.dialect == Dialect::Anthropic {
            request = request.header("anthropic-version", "2023-06-01");
        }
        if let Some(session) = session {
            request = request.header("x-keypool-session", session);
        }
        let response = self.http.request(request.body(Full::new(body))?).await?;
        let header = response.headers().get("x-keypool-queued-ms");
        let millis = header.and_then(|value| value.to_str().ok()?.parse().ok());
        *queued = Duration::from_millis(millis.unwrap_or(0));
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }

    /// An answer of the admin API; `Null` when there is none.
    pub(crate) async fn admin(&self, path: &str) -> Value {
        let get = async {
            let uri = format!("{}{path}", self.url).parse()?;
            let body = self.http.get(uri).await?.into_body().collect().await?;
            anyhow::Ok(serde_json::from_slice(&body.to_bytes())?)
        };
        tokio::time::timeout(Duration::from_secs(5), get)
            .await
            .ok()
            .and_then(Result::ok)
            .unwrap_or(Value::Null)
    }
}

/// Whether an answer is what the client asked for.
fn judge(dialect: Dialect, status: StatusCode, body: &[u8], stream: bool) -> Outcome {
    let text = String::from_utf8_lossy(body);
    let end = match dialect {
        Dialect::Anthropic => "event: message_stop",
        Dialect::OpenAi | Dialect::Gemini => "data: [DONE]",
    };
    match status {
        StatusCode::OK if !stream => Outcome::Served,
        StatusCode::OK if text.contains(end) => Outcome::Served,
        StatusCode::OK => Outcome::Failed("a stream broke off".to_owned()),
        StatusCode::TOO_MANY_REQUESTS if code_of(body).as_deref() == Some(NO_ROOM) => {
            Outcome::ToldToWait
        }
        status => {
            let words: String = text.chars().take(200).collect();
            Outcome::Failed(format!("{status}: {words}"))
        }
    }
}

/// The stable code in one of the gateway's own errors.
fn code_of(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let anthropic = body.pointer("/error/details/error_code");
    let code = anthropic.or_else(|| body.pointer("/error/code"))?;
    code.as_str().map(str::to_owned)
}

/// The model that a dialect's clients ask for.
pub(crate) const fn model(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Anthropic => "claude-sonnet-4-5",
        Dialect::OpenAi | Dialect::Gemini => "gpt-4o",
    }
}

/// Words of this many bytes.
pub(crate) fn filler(bytes: usize) -> String {
    FILLER.chars().cycle().take(bytes).collect()
}

/// The n-th request, which the simulator counts as `tokens` of input. It begins with its number: requests of
/// the same words would pass for one conversation, which keeps to one key.
pub(crate) fn body(dialect: Dialect, number: usize, tokens: u64, stream: bool) -> Bytes {
    let model = model(dialect);
    let head = format!(
        r#"{{"model":"{model}","max_tokens":{MAX_TOKENS},"stream":{stream},"messages":[{{"role":"user","content":"{number:08} "#
    );
    let tail = r#""}]}"#;
    let bytes = usize::try_from(tokens)
        .unwrap_or(usize::MAX)
        .saturating_mul(BYTES_PER_TOKEN);
    let words = filler(bytes.saturating_sub(head.len() + tail.len()));
    Bytes::from([head.as_str(), words.as_str(), tail].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_as_large_as_it_says_and_json() {
        for dialect in [Dialect::Anthropic, Dialect::OpenAi] {
            let body = body(dialect, 7, 1000, true);
            assert_eq!(body.len(), 4000);
            let value: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(value["max_tokens"], 64);
        }
    }

    #[test]
    fn only_the_gateways_own_words_mean_wait() {
        let judge = |text: &str| {
            judge(
                Dialect::OpenAi,
                StatusCode::TOO_MANY_REQUESTS,
                text.as_bytes(),
                false,
            )
        };
        assert_eq!(
            judge(r#"{"error":{"code":"no_room"}}"#),
            Outcome::ToldToWait
        );
        assert_ne!(
            judge(r#"{"error":{"code":"rate_limit_exceeded"}}"#),
            Outcome::ToldToWait
        );
    }

    #[test]
    fn a_stream_without_its_end_has_failed() {
        let judge = |text: &str| judge(Dialect::OpenAi, StatusCode::OK, text.as_bytes(), true);
        assert_eq!(judge("data: {}\n\ndata: [DONE]\n\n"), Outcome::Served);
        assert_ne!(judge("data: {}\n\n"), Outcome::Served);
    }
}
