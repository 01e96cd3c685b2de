//! Targets for fuzzing: plain functions over bytes that panic when a promise is broken.
//!
//! Whatever comes from a client, a provider or an operator passes through code that must neither
//! panic nor hang, whatever the bytes. That alone is a weak test: a reader that returns nonsense
//! does not panic either. So each target holds the code to what it promises, against a naive reading of
//! the same bytes or against a rule that must hold for all of them.
//!
//! The inputs under `corpus/` are replayed by a test; `fuzz/run` explores from there.

#![allow(
    clippy::missing_panics_doc,
    reason = "a panic is how a target says that a promise is broken"
)]

pub mod config;
pub mod errors;
pub mod peek;
pub mod quota;
pub mod stream;
pub mod translate;
pub mod usage;

mod answer;
mod json;
mod secret;

/// One target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which is that of its module, its program, and its directory under `corpus/`.
    pub name: &'static str,
    /// Panics if the code breaks a promise on these bytes.
    pub check: fn(&[u8]),
}

/// All targets.
pub const TARGETS: [Target; 7] = [
    Target {
        name: "config",
        check: config::check,
    },
    Target {
        name: "errors",
        check: errors::check,
    },
    Target {
        name: "peek",
        check: peek::check,
    },
    Target {
        name: "quota",
        check: quota::check,
    },
    Target {
        name: "stream",
        check: stream::check,
    },
    Target {
        name: "translate",
        check: translate::check,
    },
    Target {
        name: "usage",
        check: usage::check,
    },
];
