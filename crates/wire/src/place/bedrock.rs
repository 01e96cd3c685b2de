//! Models of Amazon Bedrock: a region, and the model's id in the path.
//!
//! Claude is asked at `/model/{id}/invoke` (`/invoke-with-response-stream` for a stream) with a body of Messages that
//! names a version and the features under test instead of the model; whether it is streamed the path alone
//! says. Source: A-py, `lib/bedrock`. Whoever speaks OpenAI's dialect is served at `/openai/v1` (AWS's page
//! on chat completions).

use bytes::Bytes;
use serde_json::Value;

use super::body::with_members;
use super::{KeyPlace, PlaceError, is_label, path_and_query, segment};
use crate::base_url::{Call, UpstreamBase};
use crate::dialect::Dialect;

/// Stands in the body in place of a header.
const ANTHROPIC_VERSION: &str = "bedrock-2023-05-31";

/// A region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bedrock {
    /// Where models are asked.
    runtime: UpstreamBase,
    /// Where they are listed.
    control: UpstreamBase,
}

impl Bedrock {
    pub(super) fn of(url: Option<&str>, said: &KeyPlace) -> Result<Self, PlaceError> {
        let region = said.region.as_deref().ok_or_else(|| {
            let message = "is needed: a region such as us-east-1";
            PlaceError::new("region", message)
        })?;
        if !is_label(region) {
            let message = "is no region: write one such as us-east-1";
            return Err(PlaceError::new("region", message));
        }
        let at = |url: &str| {
            let base = UpstreamBase::parse(Dialect::OpenAi, url)?;
            let (path, _) = path_and_query(url);
            Ok::<_, PlaceError>(base.with_prefix(path.to_owned()))
        };
        Ok(match url {
            // Whoever stands in front of one stands in front of the other.
            Some(url) => Self {
                runtime: at(url)?,
                control: at(url)?,
            },
            None => Self {
                runtime: at(&format!("https://bedrock-runtime.{region}.amazonaws.com"))?,
                control: at(&format!("https://bedrock.{region}.amazonaws.com"))?,
            },
        })
    }

    /// Where whoever speaks OpenAI's dialect is served.
    pub(super) fn for_openai(self) -> UpstreamBase {
        self.runtime.below("/openai/v1")
    }

    pub(super) fn url(&self, call: &Call<'_>, name: &str) -> String {
        let method = if call.stream {
            "invoke-with-response-stream"
        } else {
            "invoke"
        };
        // What clients add to the paths of Messages means nothing there.
        let path = format!("/model/{}/{method}", segment(name));
        self.runtime.url_of(&path, None)
    }

    pub(super) fn models_url(&self) -> String {
        self.control.url_of("/foundation-models", None)
    }
}

/// What Claude is sent there, of a body of Messages. `beta` is what the header of that name says.
pub(super) fn claudes_body(body: &Bytes, beta: &str) -> Bytes {
    let beta: Vec<&str> = beta
        .split(',')
        .map(str::trim)
        .filter(|feature| !feature.is_empty())
        .collect();
    let version = ("anthropic_version", Value::from(ANTHROPIC_VERSION));
    if beta.is_empty() {
        with_members(body, &["model", "stream", "anthropic_version"], &[version])
    } else {
        let without = ["model", "stream", "anthropic_version", "anthropic_beta"];
        with_members(body, &without, &[version, ("anthropic_beta", beta.into())])
    }
}
