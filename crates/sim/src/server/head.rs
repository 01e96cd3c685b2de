//! The head of an answer: status and headers, as each provider sends them.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};

use super::body::SimBody;
use super::shared::InFlight;
use crate::Dialect;
use crate::dialect::ids::{Ids, organisation_uuid};
use crate::dialect::quota_headers;
use crate::model::ProviderError;

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
        let mut ids = Ids::new(!seed);
        let (name, request_id) = match dialect {
            Dialect::Anthropic => ("request-id", ids.anthropic_request()),
            Dialect::OpenAi => ("x-request-id", ids.openai_request()),
        };
        let mut head = Self {
            dialect,
            headers: HeaderMap::with_capacity(24),
            request_id,
        };
        head.put(name, head.request_id.clone());
        head
    }

    fn put(&mut self, name: &'static str, value: impl TryInto<HeaderValue>) {
        // A value that no header can hold comes from the configuration; the answer goes without it.
        if let Ok(value) = value.try_into() {
            self.headers.insert(HeaderName::from_static(name), value);
        }
    }

    /// Adds whose key it was, and how long the answer took.
    pub(super) fn identify(&mut self, in_flight: &mut InFlight, took: Duration) {
        let identity = in_flight.with_model(|model, _, ticket| model.identity(ticket));
        let Some(identity) = identity else { return };
        match self.dialect {
            Dialect::Anthropic => {
                let organisation = organisation_uuid(&identity.organisation);
                self.put("anthropic-organization-id", organisation);
                if let Some(workspace) = identity.workspace {
                    self.put("anthropic-workspace-id", workspace);
                }
            }
            Dialect::OpenAi => {
                self.put("openai-organization", identity.organisation);
                if let Some(workspace) = identity.workspace {
                    self.put("openai-project", workspace);
                }
                self.put("openai-processing-ms", took.as_millis().to_string());
                self.put("openai-version", "2020-10-01");
            }
        }
    }

    /// Adds the state of the quota.
    pub(super) fn show_quota(&mut self, in_flight: &mut InFlight) {
        let dialect = self.dialect;
        let headers = in_flight.with_model(|model, now, ticket| {
            let quota = model.quota(now, ticket);
            quota_headers::render(dialect, &quota, now, model.is_scaled())
        });
        for (name, value) in headers.unwrap_or_default() {
            self.put(name, value);
        }
    }

    /// Adds how long the client should wait.
    pub(super) fn ask_to_wait(&mut self, error: &ProviderError) {
        if let Some(wait) = &error.retry_after {
            self.put("retry-after", wait.as_ref());
        }
        if let Some(millis) = error.retry_after_ms {
            self.put("retry-after-ms", millis.to_string());
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
        self.ask_to_wait(error);
        let body = Bytes::from(error.body(self.dialect, &self.request_id));
        self.with_body(error.status, Some(JSON), SimBody::whole(body, in_flight))
    }
}
