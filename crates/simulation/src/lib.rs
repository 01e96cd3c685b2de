//! The pool core against the provider model in virtual time.
//!
//! A test over sockets sees minutes of traffic and a dozen keys; what goes wrong in a pool goes wrong
//! at the turn of the day, in the tenth hour of overload, or when two rare events meet. Here the same
//! core as in production ([`keypool_pool::Pool`]) serves the same model of a provider as the end-to-end
//! tests ([`keypool_sim::model::Model`]), through the same reading of headers and errors
//! ([`keypool_wire`]), and nothing waits: a month of traffic takes seconds, and a seed says it all.
//!
//! ```
//! use keypool_simulation::{Scenario, run};
//!
//! let scenario = Scenario::steady(3, keypool_sim::Limits::per_minute(60)).offered(0.5).minutes(3);
//! let report = run(&scenario);
//! assert_eq!(report.failed(), 0);
//! assert_eq!(report.answered, report.requests);
//! ```
//!
//! [`Scenario`] says what happens, [`run`] lets it happen and checks [`invariants`] after each step,
//! [`Report`] says how it went.

mod capacity;
mod distribution;
pub mod efficiency;
mod engine;
mod ideal;
pub mod invariants;
pub mod plan;
mod random;
mod report;
mod scenario;
mod tally;
mod traffic;
mod translate;
mod world;

pub use capacity::{Capacity, MeanCost};
pub use distribution::Size;
pub use engine::run;
pub use report::{KeyReport, QuotaReport, Report, Waits};
pub use scenario::{
    Arrivals, Checks, Declared, KeyPlan, Pattern, PoolPlan, Provider, Quota, Scenario, Sessions,
    TraceItem, Traffic,
};
