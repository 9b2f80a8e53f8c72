//! Free loopback ports for servers that will be stopped and started again on the same one.

use std::net::{Ipv4Addr, TcpListener};

use super::SandboxError;

/// Below the ephemeral range of Linux (32768) and macOS (49152): a client that keeps reconnecting to a stopped server
/// on an ephemeral port can be handed that very port and connect to itself, and then the server cannot come back.
const RANGE: std::ops::Range<u16> = 20_000..32_000;
const ATTEMPTS: usize = 200;

/// A port nobody listens on now; somebody may before the caller does, so a clash must be retried.
pub(super) fn free_port() -> Result<u16, SandboxError> {
    (0..ATTEMPTS)
        .map(|_| rand::random_range(RANGE))
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .ok_or_else(|| {
            SandboxError::new(
                format!("no free port on 127.0.0.1 between {} and {}", RANGE.start, RANGE.end),
                "allow this process to listen on loopback",
            )
        })
}
