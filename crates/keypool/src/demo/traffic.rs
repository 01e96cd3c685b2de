//! The demo's clients: they come when they come, ask, wait as they are told, and check what they
//! get.
//!
//! The load is open-loop: nobody comes later because somebody else still waits, as a closed loop
//! would have it, which hides just the overload that is to be shown. A client told to wait does as
//! the providers' own packages do: it tries twice more, when it was told to, and then leaves.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::answer_check;
use super::http::{Answer, Http};
use super::plan::{LIMIT_PER_MINUTE, Phase};

/// What the official SDKs do when not told otherwise.
const RETRIES: u32 = 2;

/// Every so many clients one asks for a stream.
const STREAM_EVERY: usize = 3;

/// Clients that empty the buckets together.
const DRAINERS: u32 = 32;

/// Who waited this long for room has met empty buckets, and all stop: a slow start holds back for less,
/// while with every key's bucket empty so many drainers wait for longer.
const EMPTY_AFTER: Duration = Duration::from_millis(300);

/// The clients' side of the demo.
#[derive(Debug, Clone)]
pub(super) struct Traffic {
    http: Http,
    progress: Arc<Progress>,
}

/// Counts that the live view shows.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Requests that were answered.
    pub(super) answered: AtomicU32,
    /// Answers that told a client to wait.
    pub(super) told_to_wait: AtomicU32,
    /// Clients that saw a failure.
    pub(super) failed: AtomicU32,
}

/// What became of one client.
#[derive(Debug, Clone)]
pub(super) struct Visit {
    /// When it left, counted from the beginning of the phase.
    pub(super) left: Duration,
    /// How often it was told to wait.
    pub(super) told_to_wait: u32,
    /// How it ended.
    pub(super) end: End,
}

/// How a client's visit ended.
#[derive(Debug, Clone)]
pub(super) enum End {
    /// With a whole, correct answer.
    Answered(Answered),
    /// It was told to wait, and there was no more time or no more try.
    Unserved,
    /// With anything else: what it was.
    Failed(String),
}

/// A whole, correct answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answered {
    /// From the last try to the head, but for the time in keypool's queue.
    pub(super) head_after: Duration,
    /// From the last try to the last byte, but for the time in keypool's queue.
    pub(super) took: Duration,
    /// How long it waited for room in keypool's queue.
    pub(super) queued: Duration,
    /// How many keys the gateway tried.
    pub(super) attempts: u32,
    /// Whether it was a stream.
    pub(super) is_stream: bool,
}

enum Reply {
    Answered(Answered),
    Wait(Duration),
    Failed(String),
}

impl Traffic {
    /// Clients of a gateway.
    pub(super) fn new(http: Http, progress: Arc<Progress>) -> Self {
        Self { http, progress }
    }

    /// Lets the clients of a phase come, and returns when the last one has left.
    pub(super) async fn run(&self, phase: &Phase, seed: u64) -> Vec<Visit> {
        let began = Instant::now();
        let ends = began + phase.length();
        let mut clients = JoinSet::new();
        for (number, came) in phase.arrivals(seed).into_iter().enumerate() {
            sleep_until(began + came).await;
            let traffic = self.clone();
            let is_stream = number % STREAM_EVERY == 0;
            clients.spawn(async move {
                let (told_to_wait, end) = traffic.visit(is_stream, ends).await;
                Visit {
                    left: began.elapsed(),
                    told_to_wait,
                    end,
                }
            });
        }
        clients.join_all().await
    }

    /// Sends requests until the pool has nothing left, and returns what failed.
    pub(super) async fn use_up_the_burst(&self, keys: u32) -> Vec<String> {
        // Twice what the keys hold: refilling goes on meanwhile, but not for a whole minute.
        let left = Arc::new(AtomicU32::new(keys.saturating_mul(2 * LIMIT_PER_MINUTE)));
        let is_empty = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for _ in 0..DRAINERS {
            let (traffic, left) = (self.clone(), Arc::clone(&left));
            let is_empty = Arc::clone(&is_empty);
            clients.spawn(async move {
                while left
                    .try_update(Relaxed, Relaxed, |left| left.checked_sub(1))
                    .is_ok()
                {
                    match traffic.ask(false).await {
                        Reply::Answered(answered) if answered.queued < EMPTY_AFTER => {}
                        Reply::Answered(_) | Reply::Wait(_) => is_empty.store(true, Relaxed),
                        Reply::Failed(reason) => return Some(reason),
                    }
                    if is_empty.load(Relaxed) {
                        return None;
                    }
                }
                Some("the keys' allowance does not come to an end".to_owned())
            });
        }
        clients.join_all().await.into_iter().flatten().collect()
    }

    /// One client, from its first try to its last.
    async fn visit(&self, is_stream: bool, ends: Instant) -> (u32, End) {
        let mut told_to_wait = 0;
        loop {
            let wait = match self.ask(is_stream).await {
                Reply::Answered(answered) => return (told_to_wait, End::Answered(answered)),
                Reply::Failed(reason) => return (told_to_wait, End::Failed(reason)),
                Reply::Wait(wait) => wait,
            };
            told_to_wait += 1;
            let again_at = Instant::now() + wait;
            if told_to_wait > RETRIES || again_at >= ends {
                return (told_to_wait, End::Unserved);
            }
            sleep_until(again_at).await;
        }
    }

    async fn ask(&self, is_stream: bool) -> Reply {
        let answer = self
            .http
            .send(Method::POST, "/v1/messages", body(is_stream))
            .await;
        let reply = answer.map_or_else(
            |error| Reply::Failed(format!("{error:#}")),
            |answer| read(answer, is_stream),
        );
        let counter = match &reply {
            Reply::Answered(_) => &self.progress.answered,
            Reply::Wait(_) => &self.progress.told_to_wait,
            Reply::Failed(_) => &self.progress.failed,
        };
        counter.fetch_add(1, Relaxed);
        reply
    }
}

fn body(is_stream: bool) -> Bytes {
    let body = json!({
        "model": "claude-haiku-4-5",
        "max_tokens": 100,
        "stream": is_stream,
        "messages": [{ "role": "user", "content": "Is there room?" }],
    });
    body.to_string().into()
}

/// What an answer means to a client.
fn read(answer: Answer, is_stream: bool) -> Reply {
    let Answer {
        head,
        body,
        head_after,
        took,
    } = answer;
    let body = match body {
        Ok(body) => body,
        Err(error) => return Reply::Failed(format!("{error:#}")),
    };
    if head.status == StatusCode::TOO_MANY_REQUESTS
        && let Some(wait) = wait_told(&head.headers)
    {
        return Reply::Wait(wait);
    }
    if !head.status.is_success() {
        let body = String::from_utf8_lossy(&body);
        return Reply::Failed(format!("status {}: {body}", head.status.as_u16()));
    }
    if let Err(reason) = answer_check::check(&body, is_stream) {
        return Reply::Failed(reason);
    }
    let attempts = number(&head.headers, "x-keypool-attempts").unwrap_or(1);
    let queued = number(&head.headers, "x-keypool-queued-ms").unwrap_or(0);
    let queued = Duration::from_millis(queued.into());
    Reply::Answered(Answered {
        head_after: head_after.saturating_sub(queued),
        took: took.saturating_sub(queued),
        queued,
        attempts,
        is_stream,
    })
}

/// The wait that an answer names, read as the official SDKs read it.
fn wait_told(headers: &HeaderMap) -> Option<Duration> {
    let milliseconds = number(headers, "retry-after-ms")
        .map(u64::from)
        .map(Duration::from_millis);
    milliseconds.or_else(|| {
        number(headers, "retry-after")
            .map(u64::from)
            .map(Duration::from_secs)
    })
}

fn number(headers: &HeaderMap, name: &str) -> Option<u32> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn reply(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> Reply {
        let mut response = http::Response::new(());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in headers {
            response
                .headers_mut()
                .insert(*name, HeaderValue::from_static(value));
        }
        let answer = Answer {
            head: response.into_parts().0,
            body: Ok(Bytes::from_static(body.as_bytes())),
            head_after: Duration::ZERO,
            took: Duration::ZERO,
        };
        read(answer, false)
    }

    #[test]
    fn a_429_that_names_a_wait_is_no_failure_and_one_that_does_not_is() {
        let told = reply(429, &[("retry-after", "2")], "{}");
        assert!(matches!(told, Reply::Wait(wait) if wait == Duration::from_secs(2)));
        let told = reply(429, &[("retry-after", "1"), ("retry-after-ms", "17")], "{}");
        assert!(matches!(told, Reply::Wait(wait) if wait == Duration::from_millis(17)));
        assert!(matches!(reply(429, &[], "{}"), Reply::Failed(_)));
    }

    #[test]
    fn any_other_error_is_a_failure_even_with_a_wait() {
        for status in [401, 404, 500, 503, 529] {
            let reply = reply(status, &[("retry-after", "1")], "{}");
            assert!(matches!(reply, Reply::Failed(_)), "{status}");
        }
    }

    #[test]
    fn an_answer_with_other_words_than_the_providers_is_a_failure() {
        let wrong = r#"{"type":"message","content":[{"type":"text","text":"something else"}]}"#;
        assert!(matches!(reply(200, &[], wrong), Reply::Failed(_)));
    }
}
