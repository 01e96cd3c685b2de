//! The sans-IO core of keypool: which API key serves the next request.
//!
//! Everything in here is plain data and `&mut self` methods that take `now`: no clock, no sockets,
//! no tasks, no randomness but that of the configured seed. The same code runs in production, in
//! unit tests, and in a simulation of a week in a second. The pool never sees a secret; it knows
//! keys by their [`KeyId`] alone.
//!
//! [`Pool`] is the whole surface; its documentation tells the order of calls.

pub mod bounds;

mod config;
mod id;
mod limits;
mod strategy;
mod time;

mod admin;
mod demand;
mod explain;
mod lease;
mod outcome;
mod output;
mod refusal;
mod snapshot;

mod bars;
mod cooldown;
mod group;
mod health;
mod key;
mod latency;
mod meter;
mod meters;
mod ramp;
mod recent;
mod record;
mod trial;

mod chooser;
mod glob;
mod names;
mod pool;
mod ready;
mod slab;
mod timers;

pub use admin::{AdminError, Applied, Command, Edit, KeyPatch};
pub use config::{ConfigError, KeyConfig, PoolConfig, Priority, PriorityOutOfRange, Window};
pub use demand::Demand;
pub use explain::{BarReason, Explanation, Standing};
pub use id::{KeyId, ParseKeyIdError};
pub use lease::Lease;
pub use limits::{Dimension, Limits};
pub use outcome::{Charge, CooldownScope, ErrorNote, FaultKind, Outcome, Usage, Verdict};
pub use output::{Alert, AlertKind, Output, ProbeResult, StateChange, WakeReason};
pub use pool::Pool;
pub use refusal::{Admission, Refusal, RefusalReason};
pub use snapshot::{
    ErrorCounts, GroupSnapshot, KeySnapshot, KeyState, MeterSnapshot, PoolSnapshot,
};
pub use strategy::{ParseStrategyError, Strategy};
pub use time::Timestamp;
