#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop(biograph_bridge::fuzzing::pgoutput(bytes)));
