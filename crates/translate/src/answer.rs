//! A provider's whole answer in the words of the client's API.

use crate::api::Api;
use crate::error::Failure;
use crate::namespaces::NamespacedTool;
use crate::{chat, gemini, messages, responses};

/// What is known of an answer beside its body.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'s> {
    /// The API it is written in.
    pub from: Api,
    /// The client's API.
    pub to: Api,
    /// The model that was asked, for answers that do not name one.
    pub model: &'s str,
    /// An id for answers that have none of their own.
    pub id: &'s str,
    /// When the answer came, for APIs that state it: seconds since 1970, UTC.
    pub created_unix_s: u64,
    /// Whether a streamed answer is to end with its usage where the API leaves the choice.
    pub stream_usage: bool,
    /// The functions that the client keeps in namespaces.
    pub namespaced: &'s [NamespacedTool],
}

impl Settings<'_> {
    /// The answer's own id, or the one given for it.
    pub(crate) fn id<'i>(&'i self, own: &'i str) -> &'i str {
        if own.is_empty() { self.id } else { own }
    }

    /// The model the answer names, or the one that was asked.
    pub(crate) fn model<'m>(&'m self, own: &'m str) -> &'m str {
        if own.is_empty() { self.model } else { own }
    }
}

/// Translates the body of a successful answer. What is a failure within a success is an error here,
/// with the status it should have had.
pub fn translate_answer(settings: &Settings<'_>, body: &[u8]) -> Result<Vec<u8>, Failure> {
    let answer = match settings.from {
        Api::Messages => messages::read_answer(body),
        Api::ChatCompletions => chat::read_answer(body),
        Api::Responses => responses::read_answer(body),
        Api::GenerateContent => gemini::read_answer(body, settings),
    }?;
    let mut out = Vec::with_capacity(body.len() + 512);
    match settings.to {
        Api::Messages => messages::write_answer(&answer, settings, &mut out),
        Api::ChatCompletions => chat::write_answer(&answer, settings, &mut out),
        Api::Responses => responses::write_answer(&answer, settings, &mut out),
        Api::GenerateContent => gemini::write_answer(&answer, settings, &mut out),
    }
    Ok(out)
}
