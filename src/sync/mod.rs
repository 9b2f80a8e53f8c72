//! Orchestration: what turns hints into agreement, over the interfaces in `ports`.

pub mod bridge;
pub mod cutover;
pub mod finding;
pub mod follow;
pub mod healing;
pub mod identify;
pub mod identities;
pub mod orders;
pub mod pace;
pub mod pauses;
pub mod person;
pub mod plan;
pub mod ports;
pub mod queue;
pub mod reconcile;
pub mod rehearsal;
pub mod requests;
mod resolve;
pub mod resume;
pub mod room;
pub mod status;
pub mod stops;
pub mod sweep;
pub mod sweeps;
pub mod tracker;
pub mod trail;
pub mod worker;
