//! keypool, as its users see it: the configuration file, the command line, the log.
//!
//! The gateway itself is in `keypool-gateway`; this crate finds out what it shall do, starts it, and
//! talks to one that runs.

pub mod cli;
pub mod config;
pub mod demo;
pub mod logging;
