//! The one integration test binary: real servers, a module for each part.
#![cfg(feature = "sandbox")]

#[cfg(test)]
mod all_of_biograph;
#[cfg(test)]
mod backfill;
#[cfg(test)]
mod backfill_cli;
#[cfg(test)]
mod bed;
#[cfg(test)]
mod born_in_renaissance;
#[cfg(test)]
mod certificates;
#[cfg(test)]
mod chains;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod cli_databases;
#[cfg(test)]
mod cli_harness;
#[cfg(test)]
mod cli_mappings;
#[cfg(test)]
mod cohorts;
#[cfg(test)]
mod conflicts_cli;
#[cfg(test)]
mod crash_points;
#[cfg(test)]
mod cutover;
#[cfg(test)]
mod cutover_crash;
#[cfg(test)]
mod cutover_left;
#[cfg(test)]
mod cutover_refused;
#[cfg(test)]
mod django;
#[cfg(test)]
mod fence_triggers;
#[cfg(test)]
mod healing;
#[cfg(test)]
mod heartbeats;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod idle;
#[cfg(test)]
mod journal;
#[cfg(test)]
mod late_tables;
#[cfg(test)]
mod layering;
#[cfg(test)]
mod mongo_access;
#[cfg(test)]
mod mongo_capture;
#[cfg(test)]
mod mongo_documents;
#[cfg(test)]
mod mongo_lives;
#[cfg(test)]
mod mongo_mirror;
#[cfg(test)]
mod mongo_support;
#[cfg(test)]
mod mongo_tls;
#[cfg(test)]
mod observed;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod parked_cli;
#[cfg(test)]
mod pauses;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod postgres_capture;
#[cfg(test)]
mod postgres_catalog;
#[cfg(test)]
mod postgres_fixture;
#[cfg(test)]
mod postgres_join_setup;
#[cfg(test)]
mod postgres_join_tables;
#[cfg(test)]
mod postgres_links;
#[cfg(test)]
mod postgres_preflight;
#[cfg(test)]
mod postgres_requests;
#[cfg(test)]
mod postgres_setup;
#[cfg(test)]
mod postgres_tls;
#[cfg(test)]
mod promises;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod redelivery;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod route;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod rules_records;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod sandbox;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod servers;
#[cfg(test)]
mod shadow;
#[cfg(test)]
mod status_page;
#[cfg(test)]
mod sync_bad_input;
#[cfg(test)]
mod sync_basics;
#[cfg(test)]
mod sync_batches;
#[cfg(test)]
mod sync_blocked;
#[cfg(test)]
mod sync_crash;
#[cfg(test)]
mod sync_crash_sets;
#[cfg(test)]
mod sync_fence;
#[cfg(test)]
mod sync_freshness;
#[cfg(test)]
mod sync_lines;
#[cfg(test)]
mod sync_memory;
#[cfg(test)]
mod sync_merge;
#[cfg(test)]
mod sync_outages;
#[cfg(test)]
mod sync_pressure;
#[cfg(test)]
mod sync_references;
#[cfg(test)]
mod sync_settled;
#[cfg(test)]
mod sync_silence;
#[cfg(test)]
mod tally;
#[cfg(test)]
mod tls_run;
#[cfg(test)]
mod tombstones_cli;
#[cfg(test)]
mod town;
#[cfg(test)]
mod toys;
#[cfg(test)]
mod types;
#[cfg(test)]
mod types_columns;
#[cfg(test)]
mod types_limits;
#[cfg(test)]
mod types_spelling;
#[cfg(test)]
mod verify;
#[cfg(test)]
mod whole_compare;
#[cfg(test)]
mod whole_oracle;
#[cfg(test)]
mod writes;
