//! Fuzzes the target `entry_delta`; what must hold is in `src/`, where an ordinary test calls it too.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidings_fuzz::run("entry_delta", data));
