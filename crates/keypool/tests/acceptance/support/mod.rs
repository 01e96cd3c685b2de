//! The bench on which every test stands: a simulated provider, a configuration file, the gateway between
//! them, a client. Whatever the gateway says is kept and searched for secrets in the end.

mod answer;
mod api;
mod client;
pub(crate) mod cloud;
mod gateway;
mod raw;
pub(crate) mod raw_http2;
mod secrets;
mod setup;
mod sse;
mod wait;
mod world;

pub(crate) use answer::{Answer, OpenAnswer};
pub(crate) use api::Api;
pub(crate) use client::{Call, Client};
pub(crate) use gateway::run_keypool;
pub(crate) use raw::{End, Raw, RawAnswer, post, post_whole};
pub(crate) use secrets::{CANARY, anthropic_key, gemini_key, mask, openai_key};
pub(crate) use setup::{Setup, guide_example, put};
pub(crate) use sse::{Event, events};
pub(crate) use wait::{PATIENCE, eventually};
pub(crate) use world::{Clock, World};
