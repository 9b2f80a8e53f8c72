#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| drop(biograph_bridge::fuzzing::mapping(text)));
