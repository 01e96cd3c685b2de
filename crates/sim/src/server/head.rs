//! The head of an answer: status and headers, as each provider sends them.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};

use super::body::SimBody;
use super::shared::InFlight;
use crate::Dialect;
use crate::dialect::ids;
use crate::model::{Header, ProviderError};

/// The type of a JSON body.
pub(super) const JSON: &str = "application/json";

/// The type of a stream of events.
pub(super) const EVENT_STREAM: &str = "text/event-stream; charset=utf-8";

/// What the headers of one answer tell, beside its type.
pub(super) struct Head {
    pub(super) dialect: Dialect,
    pub(super) request_id: String,
    headers: HeaderMap,
}

impl Head {
    /// A head with a request id drawn from `seed`.
    pub(super) fn new(dialect: Dialect, seed: u64) -> Self {
        let (name, request_id) = ids::request_id(dialect, seed);
        let mut head = Self {
            dialect,
            headers: HeaderMap::with_capacity(24),
            request_id,
        };
        if let Some(name) = name {
            head.put(name, head.request_id.clone());
        }
        head
    }

    fn put(&mut self, name: &'static str, value: impl TryInto<HeaderValue>) {
        // A value that no header can hold comes from the configuration; the answer goes without it.
        if let Ok(value) = value.try_into() {
            self.headers.insert(HeaderName::from_static(name), value);
        }
    }

    /// Adds how long the answer took, which OpenAI shows.
    pub(super) fn took(&mut self, took: Duration) {
        if self.dialect == Dialect::OpenAi {
            self.put("openai-processing-ms", took.as_millis().to_string());
        }
    }

    /// Adds headers that the model wrote.
    pub(super) fn add(&mut self, headers: Vec<Header>) {
        for (name, value) in headers {
            self.put(name, value);
        }
    }

    /// Adds any header, replacing one of the same name.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            self.headers.insert(name, value);
        }
    }

    /// The answer of this head.
    pub(super) fn with_body(
        mut self,
        status: u16,
        content_type: Option<&'static str>,
        body: SimBody,
    ) -> Response<SimBody> {
        if let Some(content_type) = content_type {
            self.headers
                .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        let mut response = Response::new(body);
        *response.status_mut() =
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        *response.headers_mut() = self.headers;
        response
    }

    /// An error answer of this head.
    pub(super) fn with_error(
        mut self,
        error: &ProviderError,
        in_flight: Option<InFlight>,
    ) -> Response<SimBody> {
        self.add(error.headers(self.dialect));
        let body = Bytes::from(error.body(self.dialect, &self.request_id));
        self.with_body(error.status, Some(JSON), SimBody::whole(body, in_flight))
    }
}
