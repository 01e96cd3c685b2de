//! What keypool promises, proved on the real thing: the `keypool` binary between a client and a
//! simulated provider, all over sockets. Each test names the check of the acceptance list that it
//! proves (`// acceptance 57`).
//!
//! What takes minutes or days runs on a gateway in this process whose clock is moved by hand, over the
//! same sockets ([`support::Setup::start_with_manual_clock`]).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "clippy knows test functions, not the helpers beside them; a panic is a test's answer"
)]

mod support;

mod affinity;
mod bad_input;
mod body_memory;
mod breaker;
mod clouds;
mod config;
mod endpoints;
mod failover;
mod faults;
mod gemini;
mod health;
mod held_open;
mod hostile;
mod http2_abuse;
mod learning;
mod lifecycle;
mod operations;
mod overload;
mod performance;
mod process;
mod recovery;
mod relay;
mod routes;
mod routing;
mod security;
mod smuggling;
mod strategies;
mod streams;
mod tenants;
mod traces;
mod translation;
mod turns;
mod waiting;
