//! The renaissance side and the bridge's state: the only place that names sqlx.

mod array;
mod awaits;
pub mod capture;
pub mod catalog;
mod codec;
mod commit;
pub mod conflicts;
pub mod connect;
pub mod cutover;
mod doors;
mod epochs;
pub mod fault;
mod growth;
pub mod healing;
pub mod identity;
mod journal;
pub mod lease;
mod members;
pub mod parked;
pub mod pauses;
mod persons;
pub mod pgoutput;
pub mod preflight;
mod raw;
mod read;
mod refusal;
pub mod report;
pub mod request;
mod resolving;
mod retention;
pub mod setup;
mod shadow;
pub mod sql;
mod state;
mod statements;
pub mod store;
pub mod sweeps;
mod targets;
pub mod timeline;
pub mod tombstones;
pub mod verify;
mod waiting;
pub mod watched;
mod write;

/// Connections to Renaissance.
pub type Pool = sqlx::PgPool;
