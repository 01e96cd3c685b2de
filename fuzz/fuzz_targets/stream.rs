//! Explores `keypool_fuzz::stream`; see docs/fuzzing.md.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keypool_fuzz::stream::check(data));
