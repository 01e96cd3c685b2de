//! Paths of Gemini's API: the model and the method stand in them, not in the body.
//!
//! `/v1beta/models/gemini-2.5-flash:streamGenerateContent` asks for a stream of that model. `/v1/models/…` is
//! shared with the other dialects, so the method after the last colon tells. A model may be written in
//! every form that a body may name it in (`provider,model`, `provider/model`), with its slashes and colons
//! percent-encoded or not.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str};

use crate::dialect::Endpoint;

/// What has to be encoded in one segment of a path: all but RFC 3986's unreserved characters.
pub(crate) const IN_A_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The versions of the API that are served.
const VERSIONS: [&str; 3] = ["v1", "v1beta", "v1alpha"];

/// What a path of Gemini's API asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeminiPath<'a> {
    /// What is asked for.
    pub endpoint: Endpoint,
    /// The model, decoded. It may be empty.
    pub model: Cow<'a, str>,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// The version of the API.
    pub version: &'static str,
}

impl<'a> GeminiPath<'a> {
    /// Understands a path; `None` for one that asks for nothing in Gemini's API.
    #[must_use]
    pub fn parse(path: &'a str) -> Option<Self> {
        let (version, rest) = path.strip_prefix('/')?.split_once('/')?;
        let version = VERSIONS.iter().find(|known| **known == version)?;
        let (model, method) = rest.strip_prefix("models/")?.rsplit_once(':')?;
        let (endpoint, stream) = match method {
            "generateContent" => (Endpoint::GenerateContent, false),
            "streamGenerateContent" => (Endpoint::GenerateContent, true),
            "countTokens" => (Endpoint::CountContentTokens, false),
            "embedContent" => (Endpoint::EmbedContent, false),
            "batchEmbedContents" => (Endpoint::BatchEmbedContents, false),
            _ => return None,
        };
        Some(Self {
            endpoint,
            model: percent_decode_str(model).decode_utf8().ok()?,
            stream,
            version,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_method_and_version_are_read_from_the_path() {
        let read = |path| {
            let path = GeminiPath::parse(path)?;
            Some((
                path.endpoint,
                path.model.into_owned(),
                path.stream,
                path.version,
            ))
        };
        let expected = |endpoint, model: &str, stream, version| {
            Some((endpoint, model.to_owned(), stream, version))
        };
        for (path, found) in [
            (
                "/v1beta/models/gemini-2.5-flash:generateContent",
                expected(
                    Endpoint::GenerateContent,
                    "gemini-2.5-flash",
                    false,
                    "v1beta",
                ),
            ),
            (
                "/v1/models/gemini-2.5-flash:streamGenerateContent",
                expected(Endpoint::GenerateContent, "gemini-2.5-flash", true, "v1"),
            ),
            (
                "/v1beta/models/openrouter%2Cmeta-llama%2Fllama-4%3Afree:countTokens",
                expected(
                    Endpoint::CountContentTokens,
                    "openrouter,meta-llama/llama-4:free",
                    false,
                    "v1beta",
                ),
            ),
            (
                "/v1/models/openrouter,meta-llama/llama-4:free:embedContent",
                expected(
                    Endpoint::EmbedContent,
                    "openrouter,meta-llama/llama-4:free",
                    false,
                    "v1",
                ),
            ),
            (
                "/v1alpha/models/:batchEmbedContents",
                expected(Endpoint::BatchEmbedContents, "", false, "v1alpha"),
            ),
            ("/v1/models/gemini-2.5-flash", None),
            ("/v1/models", None),
            ("/v1/models/x:predict", None),
            ("/v2/models/x:generateContent", None),
            ("/v1/chat/completions", None),
            ("/v1/models/%FF:generateContent", None),
            ("", None),
        ] {
            assert_eq!(read(path), found, "{path}");
        }
    }
}
