//! What was received, byte for byte, for tests that compare.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use parking_lot::Mutex;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct ReceivedRequest {
    /// Time since the server's start.
    pub at: Duration,
    /// The method, in capitals.
    pub method: String,
    /// Path and query string.
    pub path_and_query: String,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// Header names in lower case and values, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// The secret that it came with, known or not.
    pub key: Option<String>,
}

impl ReceivedRequest {
    /// The first header of this name, written in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn new(at: Duration, head: &Parts, body: Bytes, key: Option<&str>) -> Self {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let pair = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (name.as_str().to_owned(), text(value.as_bytes()))
        };
        Self {
            at,
            method: head.method.to_string(),
            path_and_query: head
                .uri
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .to_owned(),
            version: format!("{:?}", head.version),
            headers: head.headers.iter().map(pair).collect(),
            body,
            key: key.map(ToOwned::to_owned),
        }
    }
}

/// The latest requests, up to a bound.
#[derive(Debug)]
pub(super) struct RequestLog {
    capacity: usize,
    requests: Mutex<VecDeque<ReceivedRequest>>,
}

impl RequestLog {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            requests: Mutex::new(VecDeque::new()),
        }
    }

    pub(super) fn is_off(&self) -> bool {
        self.capacity == 0
    }

    pub(super) fn push(&self, request: ReceivedRequest) {
        let mut requests = self.requests.lock();
        if requests.len() >= self.capacity {
            requests.pop_front();
        }
        requests.push_back(request);
    }

    pub(super) fn all(&self) -> Vec<ReceivedRequest> {
        self.requests.lock().iter().cloned().collect()
    }

    pub(super) fn clear(&self) {
        self.requests.lock().clear();
    }
}
