//! Explores `keypool_fuzz::config`; see docs/fuzzing.md.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keypool_fuzz::config::check(data));
