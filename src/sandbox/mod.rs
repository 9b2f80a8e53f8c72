//! Real MongoDB and Postgres servers on loopback, without Docker or root, for trying the bridge out and for its tests.
//!
//! Whatever ends the process that started them (return, panic, Ctrl-C, `kill -9`) ends the servers and removes their folders.

mod cache;
mod content;
mod error;
mod leash;
mod locate;
mod mongod;
mod names;
mod people;
mod phones;
mod pip;
mod population;
mod ports;
mod postgres;
mod replica_set;
mod running;
mod schema;
mod shapes;
mod spoil;
mod stage;
mod traffic;
mod wheels;

pub use content::{
    BIOGRAPHS, BOOKS, CO_AUTHORS, CONTENT, NOTIFICATIONS, RECORDED_TIMES, SUBSCRIPTIONS, content, content_id,
};
pub use error::SandboxError;
pub use locate::{ServerChoice, mongod_program, postgres_folder, to_fetch};
pub use mongod::{Mongod, MongodOptions};
pub use people::{People, USERS, load_people, people, person_id};
pub use pip::python_packages;
pub use population::{Population, make_collections};
pub use postgres::{PostgresOptions, PostgresServer};
pub use replica_set::ReplicaSet;
pub use running::{Arrival, Running};
pub use schema::RENAISSANCE_SQL;
pub use stage::{Counter, Stage};
pub use traffic::{Change, ChangeKind, Traffic, TrafficOptions};
