//! The routes against a real pool, without sockets.

mod changes;
mod harness;
mod views;
