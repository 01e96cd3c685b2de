//! The `keypool` binary: everything is in the library.

use std::process::ExitCode;

/// The allocator that the throughput of design and measurements rests on.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    keypool::cli::run()
}
