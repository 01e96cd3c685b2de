//! Explores `keypool_fuzz::usage`; see docs/fuzzing.md.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keypool_fuzz::usage::check(data));
