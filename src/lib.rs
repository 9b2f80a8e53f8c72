//! Keeps BioGraph (MongoDB) and Renaissance (Postgres) in sync, both ways, while people move from one to the other.

pub mod admin;
pub mod cli;
pub mod config;
pub mod drill;
pub mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod metrics;
pub mod model;
pub mod mongo;
pub mod postgres;
pub mod retry;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod sync;
pub mod telemetry;
