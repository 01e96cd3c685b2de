//! What the programs of the benchmark share: processes that end with them, the gateway as one of these,
//! and some arithmetic.

pub mod gateway;
pub mod process;
pub mod stats;
