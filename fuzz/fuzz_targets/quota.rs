//! Explores `keypool_fuzz::quota`; see docs/fuzzing.md.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keypool_fuzz::quota::check(data));
