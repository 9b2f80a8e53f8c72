//! The change stream of the legacy database.
//!
//! The driver's `next_if_any` loses a batch when it is dropped while the server answers. Its future therefore lives in
//! the capture and survives a cancelled [`Capture::next`]. Whether it is ready at once also tells where a batch ends:
//! that is when a position is delivered, so that the checkpoint can pass the batch's last hint.

use std::{collections::VecDeque, future::poll_fn, pin::Pin, sync::Arc, task::Poll};

use mongodb::{
    bson::{Document, RawDocumentBuf, Timestamp, deserialize_from_document, doc, serialize_to_document},
    change_stream::{ChangeStream, event::ResumeToken},
    error::Result as DriverResult,
};
use tokio::time::{Duration, Instant};

use super::{
    connect::Legacy,
    documents::in_time,
    error::{Doing, translate, translate_open, unusable_token},
    event::{Fragments, Seen, Watched, token},
    sessions::KnownSessions,
};
use crate::{
    error::{Error, Result},
    model::{
        fact::{PositionLoss, RetryClass},
        hint::{Captured, Position},
        side::Side,
    },
    sync::ports::{Capture, Source},
};

/// How long the server waits for a change before it answers with an empty batch and a newer position.
const MAX_AWAIT: Duration = Duration::from_millis(100);
/// Events per answer: without a limit an answer grows to 16 MB, and memory with it.
const EVENTS: u32 = 1000;
/// A stream without any answer for this long hangs. Long, because a scan through a busy oplog answers late and starts
/// from the same place if it is cut off.
const SILENCE: Duration = Duration::from_secs(120);
/// An empty answer older than this is not told as idleness.
const STALE: Duration = Duration::from_secs(2);
/// In an unbroken run of hints, a position at least this often.
const POSITION_EVERY: u32 = 256;

type Stream = ChangeStream<RawDocumentBuf>;
type Step = Pin<Box<dyn Future<Output = (Stream, DriverResult<Option<RawDocumentBuf>>)> + Send>>;

/// One open change stream of the legacy database.
pub struct LegacyCapture {
    /// Set between steps.
    stream: Option<Stream>,
    /// The step under way.
    step: Option<Step>,
    /// When the step under way or done last asked the server; the first step only hands out the batch of the opening.
    asked: Option<Instant>,
    /// Whether that first step has been taken.
    opened: bool,
    watched: Arc<Watched>,
    known: KnownSessions,
    database: String,
    fragments: Fragments,
    ready: VecDeque<Captured>,
    echoes: u64,
    /// The newest position; never moves back.
    position: String,
    /// Events since a position was last delivered.
    since_position: u32,
    /// Why nothing more will come, told once everything before has been delivered.
    ended: Option<&'static str>,
}

impl Source for Legacy {
    type Capture = LegacyCapture;

    async fn open(&self, from: &Position) -> Result<LegacyCapture> {
        in_time("opening the change stream", self.open_after(from)).await
    }

    async fn tip(&self) -> Result<Position> {
        in_time("asking for the end of the log", self.end_of_log()).await
    }

    /// The cluster time of a write to the ledger, as far as a token tells it: every token from there on is greater.
    async fn mark(&self) -> Result<Position> {
        let Timestamp { time, increment } = in_time("leaving a mark in the log", self.write_mark()).await?;
        Ok(Position::Token(format!("82{time:08X}{increment:08X}")))
    }

    async fn clock(&self) -> Result<i64> {
        let hello = in_time("asking for the time", async {
            let hello = self.database.run_command(doc! { "hello": 1 }).await;
            hello.map_err(|error| translate(&error, self.following()))
        });
        let time = hello.await?.get_datetime("localTime").map(|time| time.timestamp_millis());
        let time = time.map_err(|_| Error::halt("MongoDB does not say what its clock shows"))?;
        Ok(time.saturating_mul(1000))
    }

    async fn renew(&self) -> Result<Position> {
        self.tip().await
    }

    /// Nothing to tell: the oplog is bounded by its size, not by its readers.
    fn confirm(&self, _position: &Position) {}
}

impl Legacy {
    async fn open_after(&self, from: &Position) -> Result<LegacyCapture> {
        let Position::Token(data) = from else {
            return Err(Error::halt("the saved position of the legacy side is not a resume token"));
        };
        let watched = Arc::new(Watched::new(&self.entities));
        let doing = self.following();
        let resume: ResumeToken =
            deserialize_from_document(doc! { "_data": data }).map_err(|_| unusable_token(doing))?;
        self.verify().await?;
        self.reach(data).await?;
        let opened = self
            .database
            .watch()
            .pipeline(watched.pipeline(self.splits_large_events().await?))
            // unlike resume_after it also passes an invalidate event
            .start_after(resume)
            .max_await_time(MAX_AWAIT)
            .batch_size(EVENTS)
            .await;
        let stream = opened.map_err(|error| translate_open(&error, doing))?;
        Ok(LegacyCapture {
            stream: Some(stream.with_type()),
            step: None,
            asked: None,
            opened: false,
            watched,
            known: self.known.clone(),
            database: self.database.name().to_owned(),
            fragments: Fragments::default(),
            ready: VecDeque::new(),
            echoes: 0,
            position: data.clone(),
            since_position: 0,
            ended: None,
        })
    }

    async fn end_of_log(&self) -> Result<Position> {
        let doing = self.following();
        let watched = Watched::new(&self.entities);
        let stream = self
            .database
            .watch()
            .pipeline(watched.pipeline(self.splits_large_events().await?))
            .max_await_time(MAX_AWAIT)
            .await
            .map_err(|error| translate(&error, doing))?;
        let data = stream.resume_token().as_ref().and_then(data_of);
        // What was written before the position, though perhaps not yet replicated to a majority, is in no later event:
        // every read from here on has to include it.
        self.seen.advance(self.operation_time().await?);
        data.map(Position::Token).ok_or_else(|| {
            Error::halt("MongoDB gave no position for a new change stream").with_hint("MongoDB 4.4 or later is needed")
        })
    }

    fn following(&self) -> Doing<'_> {
        Doing { what: "following changes", on: self.database.name(), right: "changeStream and find" }
    }

    /// Makes sure that the server has been where the position is, and that no read will be older than it: what was written
    /// before the position is in no event after it.
    async fn reach(&self, data: &str) -> Result<()> {
        let Some(saved) = time_of(data) else { return Ok(()) };
        let now = self.operation_time().await?;
        // a position that nothing has happened at may be one tick ahead
        if now.is_some_and(|now| now.time < saved.time) {
            return Err(Error::halt("the saved position of the legacy side is ahead of the server's clock")
                .with_loss(PositionLoss::ServerBehind)
                .with_hint("the server was put back to an earlier state; the bridge takes a new position and sweeps"));
        }
        self.seen.advance(now.map(|now| now.min(saved)));
        Ok(())
    }

    /// The cluster time of the last operation the server knows.
    async fn operation_time(&self) -> Result<Option<Timestamp>> {
        let mut session = self.client.start_session().causal_consistency(true).await;
        let session = session.as_mut().map_err(|error| translate(error, self.following()))?;
        let ping = self.database.run_command(doc! { "ping": 1 }).session(&mut *session).await;
        ping.map_err(|error| translate(&error, self.following()))?;
        Ok(session.operation_time())
    }

    async fn splits_large_events(&self) -> Result<bool> {
        let version = self.server_version().await?;
        Ok(version >= (7, 0, 0) || ((6, 0, 9)..(6, 1, 0)).contains(&version))
    }

    /// The server's version.
    pub(super) async fn server_version(&self) -> Result<(i32, i32, i32)> {
        let doing = Doing { what: "asking for the version", on: self.database.name(), right: "connect" };
        let info =
            self.database.run_command(doc! { "buildInfo": 1 }).await.map_err(|error| translate(&error, doing))?;
        let parts: Vec<i32> =
            info.get_array("versionArray").into_iter().flatten().filter_map(mongodb::bson::Bson::as_i32).collect();
        match parts[..] {
            [major, minor, patch, ..] => Ok((major, minor, patch)),
            _ => Err(Error::halt("the MongoDB server does not tell its version")),
        }
    }
}

impl Capture for LegacyCapture {
    async fn next(&mut self) -> Result<Captured> {
        loop {
            if let Some(captured) = self.ready.pop_front() {
                return Ok(captured);
            }
            if self.since_position >= POSITION_EVERY {
                self.flush();
                continue;
            }
            if let Some(why) = self.ended {
                if self.since_position > 0 {
                    self.flush();
                    continue;
                }
                return Err(Error::retry(why));
            }
            let Some(answer) = self.answer().await? else { continue };
            match answer.map_err(|error| translate(&error, self.doing()))? {
                Some(event) => self.take(event),
                None => self.idle(),
            }
        }
    }
}

impl LegacyCapture {
    fn doing(&self) -> Doing<'_> {
        Doing { what: "following changes", on: &self.database, right: "changeStream and find" }
    }

    /// The answer of the step under way; `None` when it is not there yet and something had to be delivered first.
    async fn answer(&mut self) -> Result<Option<DriverResult<Option<RawDocumentBuf>>>> {
        if self.step.is_none() {
            let mut stream = self.stream.take().ok_or_else(|| Error::retry("the change stream has failed before"))?;
            self.asked = self.opened.then(Instant::now);
            self.opened = true;
            self.step = Some(Box::pin(async move {
                let answer = stream.next_if_any().await;
                (stream, answer)
            }));
        }
        let Some(step) = self.step.as_mut() else { return Ok(None) };
        let polled = if self.since_position > 0 {
            poll_fn(|context| match step.as_mut().poll(context) {
                Poll::Ready(done) => Poll::Ready(Some(done)),
                Poll::Pending => Poll::Ready(None),
            })
            .await
        } else {
            let hangs = |_| {
                let late = format!("MongoDB has not answered the change stream for {} s", SILENCE.as_secs());
                Error::retry(late).with_class(RetryClass::Connection).from_side(Side::Legacy)
            };
            Some(tokio::time::timeout(SILENCE, step).await.map_err(hangs)?)
        };
        let Some((stream, answer)) = polled else {
            self.flush();
            return Ok(None);
        };
        // no await from here to the caller: a cancelled call loses nothing
        self.step = None;
        self.stream = Some(stream);
        Ok(Some(answer))
    }

    fn take(&mut self, event: RawDocumentBuf) {
        let Some(event) = self.fragments.complete(event) else { return };
        match self.watched.decode(&event, &self.known) {
            Seen::Changes(changes) => self.ready.extend(changes),
            Seen::Echo => self.echoes += 1,
            Seen::Invalidated => {
                self.ended = Some("the legacy database was dropped; the change stream starts again after that")
            }
            Seen::Nothing => {}
        }
        self.since_position += 1;
        self.advance(token(&event));
    }

    fn idle(&mut self) {
        let stream = self.stream.as_ref();
        let data = stream.and_then(Stream::resume_token).as_ref().and_then(data_of);
        if stream.is_none_or(|stream| !stream.is_alive()) {
            self.ended.get_or_insert("the server ended the change stream");
            return;
        }
        self.advance(data);
        // an empty answer that waited here for a busy caller says nothing about now
        if self.asked.is_none_or(|asked| asked.elapsed() > STALE) {
            return self.flush();
        }
        self.tell_echoes();
        self.ready.push_back(Captured::Idle(Position::Token(self.position.clone())));
        self.since_position = 0;
    }

    fn flush(&mut self) {
        self.tell_echoes();
        self.ready.push_back(Captured::Position(Position::Token(self.position.clone())));
        self.since_position = 0;
    }

    fn tell_echoes(&mut self) {
        if self.echoes > 0 {
            self.ready.push_back(Captured::Echo(std::mem::take(&mut self.echoes)));
        }
    }

    /// Tokens are hexadecimal keystrings: their order is the log's. After a hidden reconnect the driver may start again
    /// from an older one; the events of that stretch come twice, but the position stays.
    fn advance(&mut self, data: Option<String>) {
        if let Some(data) = data.filter(|data| *data > self.position) {
            self.position = data;
        }
    }
}

fn data_of(token: &ResumeToken) -> Option<String> {
    let document: Document = serialize_to_document(token).ok()?;
    document.get_str("_data").ok().map(str::to_owned)
}

/// The cluster time in a resume token: a keystring that begins with the type of timestamps, then seconds and increment.
fn time_of(data: &str) -> Option<Timestamp> {
    let digits = data.strip_prefix("82")?;
    let number = |range| u32::from_str_radix(digits.get(range)?, 16).ok();
    Some(Timestamp { time: number(0..8)?, increment: number(8..16)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_tells_its_cluster_time() {
        let token = "8263F5F1D0000000022B0229296E04";
        assert_eq!(time_of(token), Some(Timestamp { time: 0x63F5_F1D0, increment: 2 }));
        for damaged in ["", "82", "garbage", "8263F5F1D000000zz2"] {
            assert_eq!(time_of(damaged), None, "{damaged}");
        }
    }
}
