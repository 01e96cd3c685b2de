//! Translation between the dialects of LLM APIs.
//!
//! A client speaks one API, the key that has room belongs to a provider that speaks another. Here a
//! request goes from the one into the other ([`ClientRequest`]), and the answer comes back, whole
//! ([`translate_answer`]), as a stream ([`StreamTranslator`]) or as an error ([`Failure`]). Embeddings
//! have a way of their own ([`EmbeddingRequest`], [`translate_embeddings`]).
//!
//! An answer that came whole where a stream was asked for becomes one ([`answer_as_stream`]).
//!
//! Between equal APIs a body passes untouched, but for what another API sealed
//! ([`without_foreign_state`]).
//!
//! All of it goes through one typed intermediate form (`ir`), which belongs to no API: each API is a
//! reader into it and a writer out of it. What has no counterpart is dropped or refused by one table
//! ([`rules`]), and said: nothing is silently wrong.
//!
//! Everything is a function over bytes: no sockets, no clock, no HTTP library. No input makes it
//! panic, and its memory is bounded by its input and [`limits`].

mod answer;
mod api;
mod chat;
mod embeddings;
mod error;
mod flow;
mod foreign;
mod gemini;
mod ir;
mod json;
pub mod limits;
mod losses;
mod messages;
mod models;
mod namespaces;
mod request;
mod responses;
pub mod rules;
mod seal;
mod sse;
mod stream;
mod whole_stream;

pub use answer::{Settings, translate_answer};
pub use api::{AnthropicVersion, Api, ChatFlavour, ServerTools, Target};
pub use embeddings::{
    EmbeddingApi, EmbeddingRequest, EmbeddingSettings, VectorEncoding, translate_embeddings,
};
pub use error::Failure;
pub use foreign::without_foreign_state;
pub use losses::{Fate, Loss, Losses, Refusal};
pub use namespaces::NamespacedTool;
pub use request::{ClientRequest, Translated};
pub use seal::carries_foreign_state;
pub use stream::StreamTranslator;
pub use whole_stream::answer_as_stream;
