//! Explores `keypool_fuzz::peek`; see docs/fuzzing.md.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keypool_fuzz::peek::check(data));
