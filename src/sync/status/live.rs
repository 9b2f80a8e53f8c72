//! The part of the status that sits behind the lock, and how it is read.

use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
    mem::{replace, take},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    BatchStatus, Crossing, EntryReport, ErrorReport, HeadroomReport, HealingReport, History, LoopReport, ParkedReport,
    PauseReport, StatusReport, SweepReport, Swept, VerifyReport,
};
use crate::{
    model::{
        fact::{DaemonState, Feed, Lag, PersonState, SweepKind},
        key::EntityIndex,
        pause::Pauses,
        problem::Reason,
        side::{Direction, Side},
    },
    sync::ports::{Healing, Verified},
};

/// A heartbeat takes no longer if all is well.
const LATE_BEAT: Duration = Duration::from_secs(3);

/// A sweep with what its rate is taken from.
#[derive(Clone, Copy)]
pub(super) struct Running {
    pub(super) swept: Swept,
    /// When this daemon first heard of it, and how far it was then.
    since: (Instant, u64),
}

impl Running {
    /// What is known after one more chunk. A sweep that starts over is a new one.
    pub(super) fn after(former: Option<&Self>, swept: Swept, now: Instant) -> Self {
        let same = former.filter(|former| !former.swept.done && former.swept.records <= swept.records);
        Self { swept, since: same.map_or((now, swept.records), |former| former.since) }
    }

    /// Records a second so far; `None` while it is too early to say or when it is complete.
    fn rate(&self, now: Instant) -> Option<f64> {
        let took = now.saturating_duration_since(self.since.0).as_secs_f64();
        let walked = self.swept.records.saturating_sub(self.since.1);
        (!self.swept.done && walked > 0 && took > 0.0).then(|| walked as f64 / took)
    }
}

#[derive(Default)]
pub(super) struct Live {
    pub(super) state: Option<DaemonState>,
    pub(super) shadow: bool,
    pub(super) feeds: [Option<Feed>; 2],
    pub(super) lags: [Lag; 2],
    /// How far each side's clock is ahead of ours, in microseconds.
    pub(super) clocks: [Option<i64>; 2],
    /// By direction, when the last heartbeat was left that has come through, and after what time the next one is.
    pub(super) beats: [Option<(Instant, Duration)>; 2],
    pub(super) checkpoints: [Option<(String, Instant)>; 2],
    pub(super) queue: (usize, usize),
    pub(super) sweeps: BTreeMap<(EntityIndex, Side, SweepKind), Running>,
    pub(super) healings: Vec<Healing>,
    pub(super) verified: Vec<Verified>,
    pub(super) parked: Vec<(EntityIndex, Reason, i64)>,
    pub(super) pauses: Arc<Pauses>,
    pub(super) people: BTreeMap<PersonState, i64>,
    pub(super) batches: Vec<BatchStatus>,
    pub(super) errors: BTreeMap<Cow<'static, str>, (SystemTime, String, Option<String>)>,
    pub(super) loops: BTreeMap<&'static str, Instant>,
    pub(super) recent: VecDeque<Crossing>,
    /// WAL kept for the bridge, and what may still be written, in bytes.
    pub(super) slot: (Option<f64>, Option<f64>),
    pub(super) oplog_window: Option<Duration>,
    /// Of the journal, and of what is parked.
    pub(super) newest: (Vec<EntryReport>, Vec<EntryReport>),
    pub(super) history: History,
}

impl Live {
    /// Forgets what the active daemon knows, now that it is another one: its heartbeats come through, it saves positions, and it
    /// counts. Gives what was parked.
    pub(super) fn stand_by(&mut self) -> Vec<(EntityIndex, Reason, i64)> {
        let kept = Self {
            state: self.state,
            shadow: self.shadow,
            feeds: self.feeds,
            clocks: self.clocks,
            pauses: Arc::clone(&self.pauses),
            errors: take(&mut self.errors),
            loops: take(&mut self.loops),
            recent: take(&mut self.recent),
            history: take(&mut self.history),
            ..Self::default()
        };
        replace(self, kept).parked
    }

    pub(super) fn feed(&self, side: Side) -> Feed {
        self.feeds[side_index(side)].unwrap_or(Feed::Down)
    }

    pub(super) fn checkpoint_age(&self, side: Side, now: Instant) -> Option<Duration> {
        self.checkpoints[side_index(side)].as_ref().map(|(_, saved)| now.saturating_duration_since(*saved))
    }

    /// Seconds from a commit on a side to now, by that side's clock; never negative.
    pub(super) fn age(&self, side: Side, committed_at: i64, clock: SystemTime) -> f64 {
        age(committed_at.saturating_sub(self.clocks[side_index(side)].unwrap_or(0)), clock)
    }

    /// Everything before the last heartbeat that came through is durable. If the next one does not come, nothing is known of what
    /// was committed since.
    pub(super) fn lag_seconds(&self, direction: Direction, (clock, now): (SystemTime, Instant)) -> Option<f64> {
        let lag = match self.lags[direction_index(direction)] {
            Lag::Unknown => None,
            // "Caught up" holds only as long as we would hear of something new.
            Lag::CaughtUp => (self.feed(direction.source()) == Feed::Streaming).then_some(0.0),
            Lag::Since(committed_at) => Some(self.age(direction.source(), committed_at, clock)),
        };
        let unheard = self.beats[direction_index(direction)].and_then(|(left, every)| {
            let since = now.saturating_duration_since(left);
            (since > every + LATE_BEAT).then_some(since.as_secs_f64())
        });
        lag.into_iter().chain(unheard).reduce(f64::max)
    }

    /// How far both logs are from losing what was not read yet.
    pub(super) fn headroom(&self, (clock, now): (SystemTime, Instant)) -> HeadroomReport {
        let window = self.oplog_window.map(|window| window.as_secs_f64());
        let saved = self.checkpoint_age(Side::Legacy, now).map(|age| age.as_secs_f64());
        let behind = saved.into_iter().chain(self.lag_seconds(Direction::LegacyToRenaissance, (clock, now)));
        HeadroomReport {
            slot_retained_bytes: self.slot.0,
            slot_safe_bytes: self.slot.1,
            slot_seconds_left: self.slot.1.and_then(|safe| self.history.seconds_left(safe)),
            oplog_window_seconds: window,
            oplog_seconds_left: window.zip(behind.reduce(f64::max)).map(|(window, behind)| (window - behind).max(0.0)),
        }
    }

    /// What the daemon is doing, to those who watch: where a whole direction stands still, or a guard has stepped in, the rest is
    /// of less interest.
    pub(super) fn shown_state(&self) -> DaemonState {
        let state = self.state.unwrap_or(DaemonState::Starting);
        let stopped = Direction::ALL.into_iter().any(|direction| self.pauses.stop(direction));
        let guarded = self.pauses.0.iter().any(|pause| pause.missing_on.is_some());
        match state {
            DaemonState::Streaming | DaemonState::Backfilling if stopped || guarded => DaemonState::Paused,
            other => other,
        }
    }

    /// The parts that need nothing but what is here.
    pub(super) fn report(&self, entities: &[&str], now: Instant) -> StatusReport {
        let name = |entity: EntityIndex| entities.get(usize::from(entity.0)).copied().unwrap_or("unknown").to_owned();
        let sweep = |running: &Running| {
            let (swept, rate) = (running.swept, running.rate(now));
            let left = swept.total.map(|total| total.saturating_sub(swept.records));
            SweepReport {
                entity: name(swept.entity),
                side: swept.side.to_string(),
                kind: swept.kind.to_string(),
                records: swept.records,
                parked: swept.parked,
                total: swept.total,
                done: swept.done,
                rate,
                eta_seconds: rate.zip(left).filter(|(rate, _)| *rate > 0.0).map(|(rate, left)| left as f64 / rate),
            }
        };
        let error =
            |(place, (at, message, fix)): (&Cow<'static, str>, &(SystemTime, String, Option<String>))| ErrorReport {
                place: place.clone().into_owned(),
                at: rfc3339(*at),
                message: message.clone(),
                fix: fix.clone(),
            };
        let idle = |(name, turned): (&&str, &Instant)| LoopReport {
            name: (*name).to_owned(),
            idle_seconds: now.saturating_duration_since(*turned).as_secs_f64(),
        };
        let parked = |(entity, reason, count): &(EntityIndex, Reason, i64)| ParkedReport {
            entity: name(*entity),
            reason: reason.to_string(),
            count: *count,
        };
        let healing = |healing: &Healing| HealingReport {
            side: healing.side.to_string(),
            cause: healing.cause.to_string(),
            old_position: healing.old.clone(),
            new_position: healing.new.clone(),
            begun_at: healing.begun_at.clone(),
            ended_at: healing.ended_at.clone(),
            changed: healing.changed,
        };
        let verified = |one: &Verified| VerifyReport {
            entity: name(one.entity),
            at: one.at.clone(),
            compared: one.counts.compared,
            differing: one.counts.differing,
            unsettled: one.counts.unsettled,
        };
        StatusReport {
            verified: self.verified.iter().map(verified).collect(),
            healings: self.healings.iter().map(healing).collect(),
            shadow: self.shadow,
            sweeps: self.sweeps.values().map(sweep).collect(),
            pauses: self.pauses.0.iter().map(|pause| PauseReport::new(pause, name)).collect(),
            parked: self.parked.iter().filter(|(_, _, count)| *count > 0).map(parked).collect(),
            batches: self.batches.clone(),
            people: self.people.iter().map(|(state, count)| (state.to_string(), *count)).collect(),
            errors: self.errors.iter().map(error).collect(),
            loops: self.loops.iter().map(idle).collect(),
            recent: self.recent.iter().cloned().collect(),
            newest_conflicts: self.newest.0.clone(),
            newest_parked: self.newest.1.clone(),
            ..StatusReport::default()
        }
    }
}

pub(super) const fn side_index(side: Side) -> usize {
    match side {
        Side::Legacy => 0,
        Side::Renaissance => 1,
    }
}

pub(super) const fn direction_index(direction: Direction) -> usize {
    side_index(direction.source())
}

/// How much of a sweep over both sides is done; `None` while the size of a side is unknown.
pub(super) fn progress(sides: [Option<Swept>; 2]) -> Option<f64> {
    let share = |swept: Swept| match (swept.done, swept.total) {
        (true, _) => Some((1.0, 1.0)),
        (false, Some(total)) if total > 0 => Some((swept.records.min(total) as f64 / total as f64, 1.0)),
        (false, Some(_) | None) => None,
    };
    let known: Option<Vec<_>> = sides.into_iter().flatten().map(share).collect();
    let (done, all) = known?.into_iter().fold((0.0, 0.0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
    (all > 0.0).then_some(done / all)
}

/// Seconds from a commit to now; never negative, whatever the source's clock says.
pub(super) fn age(committed_micros: i64, now: SystemTime) -> f64 {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    (now - committed_micros as f64 / 1e6).max(0.0)
}

pub(super) fn rfc3339(at: SystemTime) -> String {
    let at = OffsetDateTime::from(at);
    at.replace_millisecond(at.millisecond()).unwrap_or(at).format(&Rfc3339).unwrap_or_default()
}
