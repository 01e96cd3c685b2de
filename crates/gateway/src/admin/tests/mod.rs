//! The routes against a real pool, without sockets.

mod changes;
mod flow;
mod harness;
mod views;
