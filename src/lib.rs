//! Keeps BioGraph (MongoDB) and Renaissance (Postgres) in sync, both ways, while people move from one to the other.

#[cfg(feature = "sandbox")]
pub mod sandbox;
