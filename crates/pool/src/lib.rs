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
mod day_rule;
mod id;
mod limits;
mod strategy;
mod time;
mod urgency;

mod admin;
mod demand;
mod explain;
mod lease;
mod outcome;
mod output;
mod refusal;
mod report;
mod snapshot;
mod trace;

mod bars;
mod breaker;
mod breakers;
mod cooldown;
mod course;
mod doubts;
mod estimate;
mod flow;
mod group;
mod health;
mod key;
mod latency;
mod learned;
mod meter;
mod meters;
mod ramp;
mod recent;
mod record;
mod retry_budget;
mod trial;
mod unit;

mod chooser;
mod expiring;
mod glob;
mod names;
mod pool;
mod queue;
mod quota_class;
mod ready;
mod slab;
mod timers;

pub use admin::{AdminError, Applied, Command, Edit, KeyPatch};
pub use breaker::BreakerState;
pub use config::{
    AffinityConfig, ConfigError, KeyConfig, PoolConfig, Priority, PriorityOutOfRange, QueueConfig,
    Sequential, Window,
};
pub use course::{Course, Failed, Next};
pub use day_rule::DayRule;
pub use demand::{Demand, Wait};
pub use explain::{BarReason, Explanation, Standing};
pub use id::{KeyId, ParseKeyIdError};
pub use lease::Lease;
pub use limits::{Dimension, Limits};
pub use outcome::{
    Charge, CooldownScope, ErrorNote, FaultKind, Outcome, Suspicion, Usage, Verdict,
};
pub use output::{Alert, AlertKind, BreakerChange, Output, ProbeResult, StateChange, WakeReason};
pub use pool::Pool;
pub use queue::WaiterId;
pub use refusal::{Admission, Refusal, RefusalReason, Turn};
pub use report::{QuotaOwner, QuotaReading};
pub use snapshot::{
    AffinityCounts, AffinitySnapshot, BreakerSnapshot, ErrorCounts, GroupSnapshot, KeySnapshot,
    KeyState, MeterSnapshot, PoolSnapshot, QueueSnapshot,
};
pub use strategy::{ParseStrategyError, Strategy};
pub use time::Timestamp;
pub use trace::TraceRecord;
pub use urgency::{ParseUrgencyError, Urgency};
