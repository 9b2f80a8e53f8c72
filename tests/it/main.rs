//! The one integration test binary: real servers, a module for each part.

#[cfg(test)]
mod servers;
