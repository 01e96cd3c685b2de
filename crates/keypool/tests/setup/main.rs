//! Commands that set keypool up and send clients to it: `init`, `env`, `code` and `import-ccr`, by running the
//! real binary. Every key is a canary, which may occur in no output but that of `env`, and in the variables of
//! the agent that `code` runs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "clippy knows test functions, not the helpers beside them; a panic is a test's answer"
)]
#![cfg(unix)]

mod code;
mod env;
mod import_ccr;
mod init;
mod support;
