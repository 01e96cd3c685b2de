//! What a client is told of its request's way.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Response};

use crate::body::AnswerBody;

/// Tells a client under which name the logs know its request.
pub(super) const REQUEST_ID_HEADER: &str = "x-keypool-request-id";

/// Tells a client that its request went to a provider of another API, and what was lost on the way.
const TRANSLATION_HEADER: HeaderName = HeaderName::from_static("x-keypool-translation");

/// Tells a client that its answer is not the provider's, but a guess.
const ESTIMATE_HEADER: &str = "x-keypool-estimated";

/// Who answered a request, for the headers that tell the client.
#[derive(Debug, Default)]
pub(super) struct Trail {
    /// How many attempts were made.
    pub(super) attempts: u32,
    /// How long it waited for room.
    pub(super) queued: Duration,
    /// The rule of `Router` that chose the targets.
    pub(super) rule: Option<&'static str>,
    pub(super) served_by: Option<(String, String)>,
    /// What the answer's translation is told by.
    pub(super) translation: Option<HeaderValue>,
    /// The answer is a guess of the gateway's own.
    is_estimate: bool,
}

impl Trail {
    /// Of an answer that is a guess of the gateway's own: nobody was asked.
    pub(super) fn of_estimate() -> Self {
        Self {
            is_estimate: true,
            ..Self::default()
        }
    }

    /// Tells the client who answered.
    pub(super) fn write_to(&self, response: &mut Response<AnswerBody>, request_id: &str) {
        let headers = response.headers_mut();
        let mut set = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        set(REQUEST_ID_HEADER, request_id);
        set("x-keypool-attempts", &self.attempts.to_string());
        set("x-keypool-queued-ms", &self.queued.as_millis().to_string());
        if let Some(rule) = self.rule {
            set("x-keypool-rule", rule);
        }
        if let Some((provider, mask)) = &self.served_by {
            set("x-keypool-provider", provider);
            set("x-keypool-key", mask);
        }
        if self.is_estimate {
            set(ESTIMATE_HEADER, "true");
        }
        if let Some(told) = &self.translation {
            headers.insert(TRANSLATION_HEADER, told.clone());
        }
    }
}
