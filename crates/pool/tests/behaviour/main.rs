//! What a user of the pool may rely on, through its public surface alone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

mod admin;
mod health;
mod leases;
mod limits;
mod recovery;
mod selection;
mod strategies;
