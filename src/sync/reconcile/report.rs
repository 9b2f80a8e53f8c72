//! What became of a batch.

use std::sync::Arc;

use super::{Footprint, Work};
use crate::{
    error::Error,
    model::{
        key::{EntityIndex, Key, LegacyId},
        problem::Reason,
        side::{Direction, Side},
    },
    sync::plan::Effect,
};

/// One record's change on its way, for people watching.
#[derive(Clone, Debug)]
pub struct Crossing {
    /// Which way.
    pub direction: Direction,
    /// The record.
    pub legacy_id: LegacyId,
    /// The fields that crossed.
    pub fields: Vec<usize>,
    /// The record's name, masked.
    pub label: Option<String>,
    /// The key that hinted at it on the side it came from.
    pub key: Option<Key>,
}

/// A journal row that became final.
#[derive(Clone, Debug)]
pub struct Journalled {
    /// The field; `None` for the whole record.
    pub field: Option<String>,
    /// The policy that decided.
    pub policy: &'static str,
    /// Who won.
    pub winner: Option<Side>,
}

/// What became of a batch.
#[derive(Default)]
pub struct BatchReport {
    /// Keys whose reconcile is durable.
    pub settled: Vec<Key>,
    /// Keys that lost a race: read and decide again.
    pub lost: Vec<Key>,
    /// Keys whose change is committed but not yet visible to readers.
    pub not_visible: Vec<Key>,
    /// Keys that wait because a side takes no writes of theirs.
    pub held: Vec<(Side, Key)>,
    /// Why a side takes none, if that was found out now.
    pub blocked: Vec<(Side, Error)>,
    /// Keys that waited for something that is there now: to be reconciled again, no matter when.
    pub woken: Vec<Key>,
    /// What was reconciled first because records of the batch refer to it.
    pub pulled: Vec<(EntityIndex, BatchReport)>,
    /// Per settled record.
    pub effects: Vec<Effect>,
    /// What crossed.
    pub crossings: Vec<Crossing>,
    /// What was journalled.
    pub conflicts: Vec<Journalled>,
    /// What was not parked before.
    pub parked: Vec<Parked>,
    /// What became of orders.
    pub orders: Vec<(LegacyId, Result<(), String>)>,
    /// Records written as nothing but the bridge's own writes had changed them.
    pub own: Vec<LegacyId>,
    /// Records deleted without having been approved: on legacy, on renaissance.
    pub deleted: [u64; 2],
    /// What it was about, with what had to be brought in first, for batches that were read meanwhile.
    pub footprint: Arc<Footprint>,
}

/// A record that waits from now on, whole or in one field.
#[derive(Clone, Debug)]
pub struct Parked {
    /// The record.
    pub legacy_id: LegacyId,
    /// The field; `None`: the whole record.
    pub field: Option<String>,
    /// Why.
    pub reason: Reason,
}

impl BatchReport {
    /// The keys of a record wait for a side. An order about it does not.
    pub(super) fn hold(&mut self, side: Side, work: Work) {
        if work.record.order.is_some() {
            let why = format!("{side} takes no writes now: `biograph-bridge status` says why");
            self.orders.push((work.record.legacy_id, Err(why)));
        }
        self.held.extend(work.keys.into_iter().map(|key| (side, key)));
    }
}
