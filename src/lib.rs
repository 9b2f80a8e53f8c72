//! Keeps BioGraph (MongoDB) and Renaissance (Postgres) in sync, both ways, while people move from one to the other.

pub mod admin;
pub mod cli;
pub mod error;
pub mod model;
pub mod mongo;
pub mod postgres;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod sync;
