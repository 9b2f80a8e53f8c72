//! The pure core: values, keys, hints, mappings and the merge. No I/O, no clock, no driver.

pub mod base64;
pub mod calendar;
pub mod catalog;
pub mod counterparts;
pub mod cutover;
pub mod decimal;
pub mod digest;
pub mod fact;
pub mod hint;
pub mod image;
pub mod json;
pub mod jsonb;
pub mod key;
pub mod links;
pub mod mapping;
pub mod mask;
pub mod merge;
pub mod nearest;
pub mod person;
pub mod policy;
pub mod problem;
pub mod reading;
pub mod side;
pub mod snapshot;
pub mod sum;
pub mod value;
