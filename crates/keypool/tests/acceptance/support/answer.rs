//! Answers of the gateway: whole ones, and ones that are still coming.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::time::timeout;

use super::secrets::Seen;
use super::sse::{self, Event};
use super::wait::PATIENCE;

/// A whole answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// A header's value; empty when it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text()))
    }

    /// `data` of an answer of the admin API, which must be a success.
    #[track_caller]
    pub(crate) fn data(&self) -> Value {
        let mut body = self.json();
        assert_eq!(body["success"], true, "{} {body}", self.status);
        body["data"].take()
    }

    /// `error` of an answer of the admin API, which must be a failure.
    #[track_caller]
    pub(crate) fn error(&self) -> Value {
        let mut body = self.json();
        assert_eq!(body["success"], false, "{} {body}", self.status);
        body["error"].take()
    }

    /// The mask of the key that served it.
    pub(crate) fn key(&self) -> String {
        self.header("x-keypool-key").to_owned()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        sse::events(&self.body)
    }

    #[track_caller]
    pub(crate) fn assert_ok(&self) {
        assert_eq!(self.status, 200, "{}", self.text());
    }
}

/// An answer whose body is still coming.
pub(crate) struct OpenAnswer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: Incoming,
    buffer: Vec<u8>,
    seen: Seen,
}

/// How a body ended.
#[derive(Debug)]
pub(crate) struct Ending {
    /// What had not been read as events before.
    pub(crate) body: Bytes,
    /// The connection broke before the body was complete.
    pub(crate) broken: bool,
}

impl Ending {
    pub(crate) fn events(&self) -> Vec<Event> {
        sse::events(&self.body)
    }
}

impl OpenAnswer {
    pub(crate) fn new(response: http::Response<Incoming>, seen: Seen) -> Self {
        let (head, body) = response.into_parts();
        seen.add(format!("{:?}\n", head.headers).as_bytes());
        Self {
            status: head.status,
            headers: head.headers,
            body,
            buffer: Vec::new(),
            seen,
        }
    }

    /// The next event of the stream, which must come.
    pub(crate) async fn event(&mut self) -> Event {
        loop {
            if let Some(event) = sse::take_event(&mut self.buffer) {
                return event;
            }
            let more = self.chunk().await.expect("the stream broke");
            assert!(more, "the stream ended");
        }
    }

    /// The next line that is not empty, which must come.
    pub(crate) async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let line = String::from_utf8(line).unwrap();
                if line.trim().is_empty() {
                    continue;
                }
                return line;
            }
            let more = self.chunk().await.expect("the stream broke");
            assert!(more, "the stream ended");
        }
    }

    /// Reads to the end, whatever that is.
    pub(crate) async fn ending(mut self) -> Ending {
        let broken = loop {
            match self.chunk().await {
                Ok(true) => {}
                Ok(false) => break false,
                Err(_) => break true,
            }
        };
        Ending {
            body: self.buffer.into(),
            broken,
        }
    }

    /// The whole answer; it must be complete.
    pub(crate) async fn whole(self) -> Answer {
        let (status, headers) = (self.status.as_u16(), self.headers.clone());
        let ending = self.ending().await;
        assert!(
            !ending.broken,
            "the answer broke off after {:?}",
            ending.body
        );
        Answer {
            status,
            headers,
            body: ending.body,
        }
    }

    /// Reads more into the buffer; false at the end.
    async fn chunk(&mut self) -> Result<bool, hyper::Error> {
        let frame = timeout(PATIENCE, self.body.frame())
            .await
            .expect("nothing more came");
        let Some(frame) = frame.transpose()? else {
            return Ok(false);
        };
        if let Some(data) = frame.data_ref() {
            self.seen.add(data);
            self.buffer.extend_from_slice(data);
        }
        Ok(true)
    }
}
