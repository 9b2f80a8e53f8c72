//! Healing a lost position: a new one is taken and saved together with the note that a sweep is due, the stream goes on from
//! there, and the sweep finds what changed in between, deletions included.
//!
//! Nothing of it is held in memory alone: a daemon that dies at any point finds the position lost as before, or the note.
//! The other side's stream goes on all the while. What heals is the sweep; so a position that is lost again and again with
//! nothing in between stops the daemon, since each time a sweep would begin that never ends.

use tokio_util::sync::CancellationToken;

use super::{
    ports::{HealingStore, Loss, Source},
    status::Status,
};
use crate::{
    error::{Error, Result},
    model::{
        fact::{DaemonState, PositionLoss},
        hint::Position,
        key::EntityIndex,
        side::Side,
    },
    retry::{Policy, retry},
};

/// How often in a row a side's position may be lost without having moved on by itself in between.
pub const MOST_IN_A_ROW: u32 = 3;

/// Heals the lost positions of one side.
pub struct Healer<'a, R, S> {
    /// Which side.
    pub side: Side,
    /// Where a new position is taken.
    pub source: &'a S,
    /// The state.
    pub store: &'a R,
    /// What people see.
    pub status: &'a Status,
    /// Whether nothing is saved: then the position stays lost, for the daemon that comes after.
    pub shadow: bool,
}

/// Forgets what both sides agreed on, where a healing that is due wants it. Done before any stream is opened, as a hint that is
/// reconciled with an old base would take an old value for a new one; a run that is interrupted begins again.
pub async fn forget_bases<R: HealingStore>(
    store: &R,
    entities: usize,
    chunk: u32,
    stop: &CancellationToken,
) -> Result<()> {
    let doing = "forgetting what both sides agreed on";
    let healings = retry(doing, Policy::RUNNING, stop, || store.healings()).await?;
    let ids: Vec<i64> = healings.iter().filter(|healing| healing.forget_bases).map(|healing| healing.id).collect();
    if ids.is_empty() {
        return Ok(());
    }
    for entity in (0..=u16::MAX).map(EntityIndex).take(entities) {
        let mut after = None;
        loop {
            after = retry(doing, Policy::RUNNING, stop, || store.forget_bases(entity, after, chunk)).await?;
            if after.is_none() {
                break;
            }
        }
    }
    retry(doing, Policy::RUNNING, stop, || store.bases_forgotten(&ids)).await
}

impl<R: HealingStore, S: Source> Healer<'_, R, S> {
    /// Takes a new position, without saving it.
    pub async fn renew(&self, loss: PositionLoss, error: &Error, stop: &CancellationToken) -> Result<Position> {
        self.status.state(DaemonState::Healing);
        tracing::error!(
            side = %self.side, cause = %loss,
            "the position of {} is lost: a new one is taken and a sweep finds what changed meanwhile: {error}", self.side
        );
        if !self.shadow {
            self.refuse_another(error, stop).await?;
        }
        retry("taking a new position", Policy::RUNNING, stop, || self.source.renew()).await
    }

    /// Saves the new position with the note that a sweep is due.
    pub async fn note(
        &self,
        cause: PositionLoss,
        (old, new): (&Position, &Position),
        stop: &CancellationToken,
    ) -> Result<()> {
        let (side, store) = (self.side, self.store);
        if !self.shadow {
            let loss = Loss { side, cause, old: Some(old.clone()), new: new.clone(), forget_bases: false };
            retry("saving a new position", Policy::RUNNING, stop, || store.begin_healing(&loss)).await?;
        }
        self.status.healing(side, cause);
        self.status.checkpoint(side, new);
        tracing::warn!(%side, %cause, position = %new, "took a new position; the sweep is due");
        Ok(())
    }

    /// The breaker.
    async fn refuse_another(&self, error: &Error, stop: &CancellationToken) -> Result<()> {
        let (side, store) = (self.side, self.store);
        let doing = "reading how often the position was lost";
        let losses = retry(doing, Policy::RUNNING, stop, || store.losses_in_a_row(side)).await?;
        if losses < MOST_IN_A_ROW {
            return Ok(());
        }
        retry("noting that healing has stopped", Policy::RUNNING, stop, || store.stop_counting(side)).await?;
        let context = format!(
            "the position of {side} was lost {losses} times in a row, each time before the stream got anywhere: {error}"
        );
        Err(Error::halt(context).with_hint(match side {
            Side::Legacy => {
                "make the oplog larger than what is written while the bridge starts: \
                 db.adminCommand({replSetResizeOplog: 1, size: MB, minRetentionHours: 24}); then start the bridge again"
            }
            Side::Renaissance => {
                "raise max_slot_wal_keep_size (ALTER SYSTEM SET … = '10GB'; SELECT pg_reload_conf()), and see that nobody \
                 drops the slot biograph_bridge; then start the bridge again"
            }
        }))
    }
}
