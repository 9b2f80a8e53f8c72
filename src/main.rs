//! The `biograph-bridge` binary.

fn main() {}
