//! The task that reads the stream, forwards confirmations to the server and notices silence.

use std::time::Duration;

use pgwire_replication::{Lsn, ReplicationClient, ReplicationEvent};
use sqlx::PgPool;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, Interval, MissedTickBehavior, interval},
};

use super::reader::Reader;
use crate::{
    error::{Error, Result},
    model::hint::{Captured, Position},
    postgres::connect::WAL_SENDER_TIMEOUT,
};

/// How often a quiet stream says so.
const QUIET_EVERY: Duration = Duration::from_secs(1);
/// A measurement of the log's end older than this says nothing about a moment ago.
const TIP_AGE: Duration = Duration::from_secs(5);

/// The flushed end of the log, and when the question was asked.
pub(super) type Tip = Option<(u64, Instant)>;

/// Owns the session; ends with it, or when nobody listens any more.
pub(super) struct Pump {
    client: ReplicationClient,
    reader: Reader,
    confirmed: watch::Receiver<u64>,
    tip: watch::Receiver<Tip>,
    out: mpsc::Sender<Result<Captured>>,
    heard: Instant,
    /// Whether anything was delivered since the last tick.
    busy: bool,
}

/// What woke the pump.
enum Wake {
    Event(Option<ReplicationEvent>),
    Confirmed,
    Tick,
}

impl Pump {
    pub(super) fn new(
        client: ReplicationClient,
        reader: Reader,
        confirmed: watch::Receiver<u64>,
        tip: watch::Receiver<Tip>,
        out: mpsc::Sender<Result<Captured>>,
    ) -> Self {
        Self { client, reader, confirmed, tip, out, heard: Instant::now(), busy: false }
    }

    pub(super) async fn run(mut self) {
        if let Err(error) = self.follow().await {
            // nobody listens any more: then nobody wants to know why either
            drop(self.out.send(Err(error)).await);
        }
    }

    async fn follow(&mut self) -> Result<()> {
        self.forward();
        let mut ticks = ticks();
        let mut captured = Vec::new();
        loop {
            match self.wake(&mut ticks).await? {
                Wake::Event(Some(event)) => {
                    self.heard = Instant::now();
                    self.reader.take(&event, &mut captured)?;
                    for item in captured.drain(..) {
                        self.busy = true;
                        if !Self::deliver(&self.out, &self.client, &mut self.confirmed, item).await {
                            return Ok(());
                        }
                    }
                }
                Wake::Event(None) => return Err(Error::retry("Postgres ended the replication stream")),
                Wake::Confirmed => self.forward(),
                Wake::Tick => {
                    let item = self.tick()?;
                    if let Some(item) = item
                        && !Self::deliver(&self.out, &self.client, &mut self.confirmed, item).await
                    {
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn wake(&mut self, ticks: &mut Interval) -> Result<Wake> {
        tokio::select! {
            biased;
            changed = self.confirmed.changed() => {
                changed.map_err(|_| Error::retry("the source of this capture is gone"))?;
                Ok(Wake::Confirmed)
            }
            _ = ticks.tick() => Ok(Wake::Tick),
            // cancelled only while it waits for an event, or in the instant between the end of the stream and its reason
            event = self.client.recv() => Ok(Wake::Event(event?)),
        }
    }

    /// Hands one item over; goes on confirming while the consumer is busy. False when nobody listens any more.
    async fn deliver(
        out: &mpsc::Sender<Result<Captured>>,
        client: &ReplicationClient,
        confirmed: &mut watch::Receiver<u64>,
        item: Captured,
    ) -> bool {
        loop {
            tokio::select! {
                biased;
                permit = out.reserve() => {
                    let Ok(permit) = permit else { return false };
                    permit.send(Ok(item));
                    return true;
                }
                changed = confirmed.changed() => {
                    if changed.is_err() {
                        return false;
                    }
                    client.update_applied_lsn(Lsn::from_u64(*confirmed.borrow_and_update()));
                }
            }
        }
    }

    fn forward(&mut self) {
        self.client.update_applied_lsn(Lsn::from_u64(*self.confirmed.borrow_and_update()));
    }

    /// Once a second: how far it is, unless the stream is busy and behind: then it speaks for itself.
    fn tick(&mut self) -> Result<Option<Captured>> {
        let silence = self.heard.elapsed();
        // the server asks for a sign of life at half of this
        if silence > WAL_SENDER_TIMEOUT {
            return Err(Error::retry(format!("Postgres has sent nothing for {} s", silence.as_secs())));
        }
        let busy = std::mem::take(&mut self.busy);
        let position = Position::Lsn(self.reader.position());
        let tip = *self.tip.borrow();
        let caught_up = tip.is_some_and(|(end, at)| at.elapsed() < TIP_AGE && end <= self.reader.position());
        let idle = caught_up && !self.reader.in_transaction();
        if busy && !idle {
            return Ok(None);
        }
        // far behind and yet silent: a position repeats the last one, so that the caller's loop keeps turning
        Ok(Some(if idle { Captured::Idle(position) } else { Captured::Position(position) }))
    }
}

/// A keepalive tells how far the server has read, not how far the log goes: without asking, a stream that is far behind in
/// changes to other tables would look idle.
pub(super) async fn probe_tip(pool: PgPool, tip: watch::Sender<Tip>) {
    let mut ticks = ticks();
    loop {
        ticks.tick().await;
        let asked = Instant::now();
        let end = sqlx::query_scalar::<_, i64>("SELECT pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')::int8");
        // a failure leaves the last answer to grow old; the stream itself reports a server that is gone
        if let Ok(end) = end.fetch_one(&pool).await {
            tip.send_replace(Some((end.cast_unsigned(), asked)));
        }
    }
}

fn ticks() -> Interval {
    let mut ticks = interval(QUIET_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
