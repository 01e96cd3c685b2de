//! Models of Google's Vertex AI: a project, a region, and who published the model.
//!
//! Claude is asked at `…/publishers/anthropic/models/{model}:rawPredict` (`:streamRawPredict` for a stream) with a
//! body of Messages that names a version instead of the model; tokens are counted by a model of that name.
//! Source: A-py, `lib/vertex`. Whoever speaks OpenAI's dialect is served at `…/endpoints/openapi` (Google's page
//! on its compatibility with OpenAI); Gemini's models at `…/publishers/google/models/{model}:generateContent` (G-py).

use bytes::Bytes;
use serde_json::Value;

use super::body::with_members;
use super::{KeyPlace, PlaceError, is_label, segment};
use crate::base_url::{Call, UpstreamBase};
use crate::dialect::{Dialect, Endpoint};

/// Stands in the body in place of a header.
const ANTHROPIC_VERSION: &str = "vertex-2023-10-16";

/// The region that is all regions.
const GLOBAL: &str = "global";

/// A project in a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Vertex {
    /// Up to the region.
    base: UpstreamBase,
}

impl Vertex {
    pub(super) fn of(url: Option<&str>, said: &KeyPlace) -> Result<Self, PlaceError> {
        let region = said.region.as_deref().ok_or_else(|| {
            let message = "is needed: a region such as us-east5, or global";
            PlaceError::new("region", message)
        })?;
        if !is_label(region) {
            let message = "is no region: write one such as us-east5, or global";
            return Err(PlaceError::new("region", message));
        }
        let project = said.project.as_deref().ok_or_else(|| {
            let message = "is needed: the project's id, unless the service account names it";
            PlaceError::new("project", message)
        })?;
        let url = url.map_or_else(|| host_of(region), str::to_owned);
        // Whatever the dialect, it ends with a version.
        let base = UpstreamBase::parse(Dialect::OpenAi, &url)?;
        let project = segment(project);
        Ok(Self {
            base: base.below(&format!("/projects/{project}/locations/{region}")),
        })
    }

    /// Where whoever speaks OpenAI's dialect is served.
    pub(super) fn for_openai(self) -> UpstreamBase {
        self.base.below("/endpoints/openapi")
    }

    /// Where Gemini's models are asked in their own dialect.
    pub(super) fn for_gemini(self) -> UpstreamBase {
        self.base.below("/publishers/google")
    }

    pub(super) fn url(&self, call: &Call<'_>, name: &str) -> String {
        let (model, method) = match (call.endpoint, call.stream) {
            (Endpoint::CountTokens, _) => ("count-tokens", "rawPredict"),
            (_, true) => (name, "streamRawPredict"),
            (_, false) => (name, "rawPredict"),
        };
        let path = format!("/publishers/anthropic/models/{}:{method}", segment(model));
        self.base.url_of(&path, call.query)
    }
}

/// What Claude is sent there, of a body of Messages.
pub(super) fn claudes_body(call: &Call<'_>, body: &Bytes, name: &str) -> Bytes {
    let version = ("anthropic_version", Value::from(ANTHROPIC_VERSION));
    let without = ["model", "anthropic_version"];
    if call.endpoint == Endpoint::CountTokens {
        with_members(body, &without, &[("model", name.into()), version])
    } else {
        with_members(body, &without, &[version])
    }
}

fn host_of(region: &str) -> String {
    if region == GLOBAL {
        "https://aiplatform.googleapis.com/v1".to_owned()
    } else {
        format!("https://{region}-aiplatform.googleapis.com/v1")
    }
}
