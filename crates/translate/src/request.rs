//! A client's request, read once, and written for each target that it is sent to.

use crate::api::{Api, Target};
use crate::ir::Request;
use crate::losses::{Losses, Refusal};
use crate::namespaces::NamespacedTool;
use crate::{chat, gemini, messages, responses};

/// Room for what a translation adds to a body: names are longer in one API or the other.
const BODY_BYTES_MORE: usize = 1024;

/// A client's request, read. It borrows from the body.
#[derive(Clone, Debug)]
pub struct ClientRequest<'a> {
    api: Api,
    request: Request<'a>,
    /// The size of the body, a good guess at the size of its translation.
    body_bytes: usize,
}

/// A request for a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translated {
    /// The body to send.
    pub body: Vec<u8>,
    /// What could not be carried.
    pub losses: Losses,
    /// The most tokens of output that the body asks for, which need not be what the client asked for.
    pub max_output_tokens: Option<u64>,
}

impl<'a> ClientRequest<'a> {
    /// Reads a body in the client's API.
    pub fn read(api: Api, body: &'a [u8]) -> Result<Self, Refusal> {
        let request = match api {
            Api::Messages => messages::read_request(body),
            Api::ChatCompletions => chat::read_request(body),
            Api::Responses => responses::read_request(body),
            Api::GenerateContent => gemini::read_request(body),
        }?;
        Ok(Self {
            api,
            request,
            body_bytes: body.len(),
        })
    }

    /// With what stands in the path and not in the body: Gemini asks for a stream by the name of
    /// the method.
    #[must_use]
    pub const fn with_stream(mut self, stream: bool) -> Self {
        self.request.stream = stream;
        self
    }

    /// The API it was read in.
    #[must_use]
    pub const fn api(&self) -> Api {
        self.api
    }

    /// Whether the client wants the answer as a stream.
    #[must_use]
    pub const fn is_stream(&self) -> bool {
        self.request.stream
    }

    /// Whether a streamed answer is to end with its usage.
    #[must_use]
    pub const fn wants_stream_usage(&self) -> bool {
        self.request.stream_usage
    }

    /// The functions that the client keeps in namespaces, by which the answer must call them.
    #[must_use]
    pub fn namespaced(&self) -> &[NamespacedTool] {
        &self.request.namespaced
    }

    /// Writes it for a target. The same request can be written for many, one after the other.
    pub fn write(&self, target: &Target<'_>) -> Result<Translated, Refusal> {
        let mut losses = self.request.judge(target)?;
        let mut body = Vec::with_capacity(self.body_bytes + BODY_BYTES_MORE);
        let write = match target.api {
            Api::Messages => messages::write_request,
            Api::ChatCompletions => chat::write_request,
            Api::Responses => responses::write_request,
            Api::GenerateContent => gemini::write_request,
        };
        write(&self.request, target, &mut losses, &mut body);
        let max_output_tokens = match target.api {
            Api::Messages => Some(messages::max_tokens(&self.request, target)),
            Api::ChatCompletions | Api::Responses | Api::GenerateContent => {
                target.output_tokens(self.request.max_output_tokens)
            }
        };
        Ok(Translated {
            body,
            losses,
            max_output_tokens,
        })
    }
}
