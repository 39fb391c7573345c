#![no_main]

mod shim;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| shim::bodies::trace::any(bytes));
