//! The renaissance side and the bridge's state: the only place that names sqlx.

pub mod connect;
pub mod fault;
pub mod setup;
pub mod sql;
pub mod watched;
