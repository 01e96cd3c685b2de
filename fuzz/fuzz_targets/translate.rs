//! Explores `keypool_fuzz::translate`; see docs/fuzzing.md.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keypool_fuzz::translate::check(data));
