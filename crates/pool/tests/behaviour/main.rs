//! What a user of the pool may rely on, through its public surface alone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

mod admin;
mod estimates;
mod flow;
mod health;
mod home;
mod learning;
mod leases;
mod limits;
mod owners;
mod recovery;
mod selection;
mod strategies;
mod trouble;
mod waiting;
mod waiting_order;
mod windows;
