//! The one integration test binary: real servers, a module for each part.
#![cfg(feature = "sandbox")]

#[cfg(test)]
mod samples;
#[cfg(test)]
mod servers;
