//! A simulator of LLM providers, so that a pool of keys can be judged without a single real key.
//!
//! It has two halves. [`model`] is pure: it takes `now`, plain data and a seed, and decides what a
//! provider would do with a request: its limits, its charging rule, the faults that a script asks
//! for. [`SimServer`] puts HTTP around it: the Anthropic, the OpenAI and the Gemini API in their own event
//! order, with their ids, headers and error bodies, over HTTP/1.1 and h2c.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use keypool_sim::{Fault, FaultWindow, Limits, SimConfig, SimServer};
//!
//! let config = SimConfig::anthropic(&["sk-ant-1", "sk-ant-2"], Limits::per_minute(50));
//! let server = SimServer::start(([127, 0, 0, 1], 0).into(), config).await?;
//! server.sim().set_faults("sk-ant-1", vec![FaultWindow::next(3, Fault::overloaded())])?;
//! // … send requests to server.base_url() …
//! let served = server.sim().counters().key("sk-ant-2").admitted;
//! server.stop().await;
//! # let _ = served; Ok(()) }
//! ```

mod config;
mod dialect;
mod fault;
mod limits;
pub mod model;
mod server;
mod time;

pub use config::{
    AnswerConfig, ConfigError, DayReset, HeaderStyle, ModelClass, Organisation, Ramp, SimConfig,
    SimKey, Spread,
};
pub use dialect::{Dialect, Endpoint};
pub use fault::{ContentEncoding, Fault, FaultWindow};
pub use limits::{Algorithm, Dimension, Limits};
pub use model::counters::{Counters, KeyCounters, OrganisationCounters};
pub use server::{ReceivedRequest, Sim, SimServer, UnknownName};
pub use time::SimTime;
