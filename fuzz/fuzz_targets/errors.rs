//! Explores `keypool_fuzz::errors`; see docs/fuzzing.md.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keypool_fuzz::errors::check(data));
