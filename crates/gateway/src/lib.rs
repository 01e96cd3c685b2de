//! keypool's gateway: takes requests of LLM clients, sends each with a key that has room, and moves on
//! to another key when one fails.
//!
//! The pool (`keypool-pool`) decides and the dialects (`keypool-wire`) are known elsewhere; this crate
//! does the IO. [`Gateway::start`] is the way in.

mod admin;
mod answer;
mod auth;
mod body;
mod catalogue;
pub mod clock;
pub mod config;
mod core;
mod credentials;
mod driver;
mod exhaustion;
mod limits;
mod live;
mod pool_shell;
mod provider;
mod routing;
mod secret;
mod server;
mod state;
mod telemetry;
mod traffic;
mod upstream;

pub use config::GatewayConfig;
pub use core::{ReloadError, ReloadSummary, Reloader};
pub use credentials::{AccountError, AwsSecret, ServiceAccount};
pub use secret::Secret;
pub use server::{DrainReport, Gateway, RunningGateway, StartError};
