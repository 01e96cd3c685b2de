//! The endpoints that clients use, and the smallest honest request to each.

use serde_json::{Value, json};

use super::answer::Answer;
use super::secrets::{anthropic_key, gemini_key, openai_key};

/// An endpoint for which models answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    Messages,
    Chat,
    Responses,
    Embeddings,
    /// Gemini's `generateContent`.
    Gemini,
}

impl Api {
    /// Those whose model and stream stand in the body; Gemini's have tests of their own.
    pub(crate) const ALL: [Self; 4] = [
        Self::Messages,
        Self::Chat,
        Self::Responses,
        Self::Embeddings,
    ];

    /// Those that can answer as a stream.
    pub(crate) const STREAMED: [Self; 3] = [Self::Messages, Self::Chat, Self::Responses];

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Messages => "/v1/messages",
            Self::Chat => "/v1/chat/completions",
            Self::Responses => "/v1/responses",
            Self::Embeddings => "/v1/embeddings",
            Self::Gemini => "/v1beta/models/gemini-2.5-flash:generateContent",
        }
    }

    /// The provider whose dialect it is.
    pub(crate) fn provider(self) -> &'static str {
        match self {
            Self::Messages => "anthropic",
            Self::Chat | Self::Responses | Self::Embeddings => "openai",
            Self::Gemini => "gemini",
        }
    }

    /// The `number`-th key of that provider.
    pub(crate) fn key(self, number: usize) -> String {
        match self {
            Self::Messages => anthropic_key(number),
            Self::Chat | Self::Responses | Self::Embeddings => openai_key(number),
            Self::Gemini => gemini_key(number),
        }
    }

    /// A model's name without its provider.
    pub(crate) fn model(self) -> &'static str {
        match self {
            Self::Messages => "claude-3-5-sonnet-20241022",
            Self::Chat | Self::Responses => "gpt-4o-mini",
            Self::Embeddings => "text-embedding-3-small",
            Self::Gemini => "gemini-2.5-flash",
        }
    }

    /// Headers that every client of the API sends.
    pub(crate) fn headers(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::Messages => vec![("anthropic-version", "2023-06-01")],
            Self::Chat | Self::Responses | Self::Embeddings | Self::Gemini => Vec::new(),
        }
    }

    pub(crate) fn body(self) -> Value {
        self.body_of("Hello")
    }

    /// A request with this text as its prompt.
    pub(crate) fn body_of(self, prompt: &str) -> Value {
        let model = format!("{},{}", self.provider(), self.model());
        let messages = json!([{"role": "user", "content": prompt}]);
        match self {
            Self::Messages => json!({"model": model, "max_tokens": 100, "messages": messages}),
            Self::Chat => json!({"model": model, "messages": messages}),
            Self::Responses | Self::Embeddings => json!({"model": model, "input": prompt}),
            // Its model goes into the path: see `Client::send`.
            Self::Gemini => json!({"model": model,
                "contents": [{"role": "user", "parts": [{"text": prompt}]}]}),
        }
    }

    pub(crate) fn streamed(self) -> Value {
        let mut body = self.body();
        body["stream"] = true.into();
        body
    }

    /// The event with which a complete stream ends.
    pub(crate) fn last_event(self) -> &'static str {
        match self {
            Self::Messages => "message_stop",
            Self::Chat | Self::Embeddings => "[DONE]",
            Self::Responses => "response.completed",
            Self::Gemini => "no event marks it",
        }
    }

    /// keypool's stable code in an error of this API's shape; the shape is checked on the way.
    #[track_caller]
    pub(crate) fn error_code(self, answer: &Answer) -> String {
        self.error_code_in(&answer.json())
    }

    /// The same for a body.
    #[track_caller]
    pub(crate) fn error_code_in(self, body: &Value) -> String {
        let error = &body["error"];
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{body}"
        );
        if self == Self::Gemini {
            assert!(
                error["code"].is_u64() && error["status"].is_string(),
                "{body}"
            );
            let reason = error["details"][0]["reason"].as_str();
            return reason.unwrap_or_default().to_ascii_lowercase();
        }
        assert!(error["type"].is_string(), "{body}");
        let code = match self {
            Self::Messages => {
                assert_eq!(body["type"], "error", "{body}");
                &error["details"]["error_code"]
            }
            Self::Chat | Self::Responses | Self::Embeddings | Self::Gemini => &error["code"],
        };
        code.as_str().unwrap_or_default().to_owned()
    }

    /// Fails unless the answer is this error of keypool's own, in the API's shape.
    #[track_caller]
    pub(crate) fn assert_error(self, answer: &Answer, status: u16, code: &str) {
        assert_eq!(answer.status, status, "{self:?}: {}", answer.text());
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(self.error_code(answer), code, "{self:?}: {}", answer.text());
    }
}
