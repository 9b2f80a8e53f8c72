//! Orchestration: what turns hints into agreement, over the interfaces in `ports`.

pub mod finding;
pub mod ports;
pub mod status;
pub mod tracker;
