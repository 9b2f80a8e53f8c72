//! The legacy side: the only place that names the MongoDB driver.

mod capture;
mod codec;
mod connect;
mod cutover;
mod documents;
mod error;
mod event;
mod extjson;
mod fence;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod identity;
mod layout;
mod ledger;
mod pages;
mod patch;
mod preflight;
mod raw;
mod restore;
mod sessions;
mod setup;
mod size;
mod spelling;
mod stray;
mod structure;
mod tls;
mod write;

pub use capture::LegacyCapture;
pub use connect::Legacy;
pub use sessions::{KnownSessions, NewSessions};
pub use setup::LedgerPlan;
