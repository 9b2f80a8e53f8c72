//! The sessions whose transactions are the bridge's own: how its changes are told from an application's.
//!
//! A change made in a transaction carries its session's id in the change stream. The id must be durable before the
//! session writes, or a restart could not recognise what the former run wrote. A `ClientSession` keeps its id for life,
//! over network errors too (the driver only declines to reuse it afterwards), so the pool never gives one back.

use std::{
    collections::HashSet,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use mongodb::{
    ClientSession,
    bson::{Binary, Bson, RawDocumentBuf, Timestamp, doc, spec::BinarySubtype},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use super::{
    connect::Legacy,
    error::{Doing, translate},
    ledger::LEDGER,
    write::transaction,
};
use crate::error::{Error, Result};

/// The ids of all sessions the bridge has ever written with and that may still appear in the oplog. Shared by clones.
#[derive(Clone, Default)]
pub struct KnownSessions(Arc<RwLock<HashSet<Uuid>>>);

impl KnownSessions {
    /// Adds sessions.
    pub fn add(&self, ids: impl IntoIterator<Item = Uuid>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).extend(ids);
    }

    /// Whether a change made in this session is the bridge's own.
    pub fn contains(&self, id: Uuid) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(&id)
    }
}

/// Sessions that may not write yet: first store their ids durably, then hand them to [`Legacy::use_sessions`].
pub struct NewSessions(Vec<ClientSession>);

impl NewSessions {
    /// The ids to store.
    pub fn ids(&self) -> Vec<Uuid> {
        self.0.iter().filter_map(session_id).collect()
    }
}

impl Legacy {
    /// Opens sessions for writing, as many as batches may be written at once.
    pub async fn open_sessions(&self, count: usize) -> Result<NewSessions> {
        let doing = Doing { what: "opening a session", on: self.database.name(), right: "update" };
        let mut sessions = Vec::with_capacity(count);
        for _ in 0..count {
            let session = self.client.start_session().await.map_err(|error| translate(&error, doing))?;
            sessions.push(session);
        }
        Ok(NewSessions(sessions))
    }

    /// Writes with these sessions from now on. Their ids must be durable by now.
    pub fn use_sessions(&self, new: NewSessions) {
        self.known.add(new.ids());
        self.pool.add(new.0);
    }

    /// Recognises what former runs wrote.
    pub fn know_sessions(&self, former: &[Uuid]) {
        self.known.add(former.iter().copied());
    }

    /// Ends the sessions of former runs, so that a transaction a killed bridge left open does not hold its documents
    /// for the server's 60 seconds. After this, none of its unfinished transactions can commit.
    pub async fn kill_sessions(&self, former: &[Uuid]) -> Result<()> {
        if former.is_empty() {
            return Ok(());
        }
        let ids: Vec<Bson> = former.iter().map(|id| Bson::Document(doc! { "id": binary(*id) })).collect();
        let doing =
            Doing { what: "ending the sessions of a former run", on: self.database.name(), right: "killAnySession" };
        let admin = self.client.database("admin");
        admin.run_command(doc! { "killSessions": ids }).await.map_err(|error| translate(&error, doing))?;
        Ok(())
    }

    /// Ends what idle sessions may have left open at the server, as whoever needs those documents would wait for its 60 seconds.
    /// The driver does not say whether an abort has arrived; a session's next transaction ends its last one.
    pub(super) async fn end_left_open(&self) -> Result<()> {
        let doing = Doing { what: "ending a transaction", on: LEDGER, right: "readWrite" };
        while let Some(mut session) = self.pool.lend_unsure() {
            session.abort_transaction().await.ok();
            session.start_transaction().with_options(transaction()).await.map_err(|error| translate(&error, doing))?;
            let anything = self.database.collection::<RawDocumentBuf>(LEDGER);
            let met = anything.find_one(doc! { "_id": 0 }).session(&mut *session).await;
            // it has read nothing and holds nothing: whether this arrives matters to nobody
            session.abort_transaction().await.ok();
            met.map_err(|error| translate(&error, doing))?;
            session.is_over();
        }
        Ok(())
    }
}

/// A session that nobody writes with at the moment.
struct Idle {
    /// Never changes.
    number: usize,
    session: ClientSession,
    /// Its last transaction may be open at the server: nothing says that its end has arrived there.
    unsure: bool,
}

/// The sessions that may write.
pub(super) struct SessionPool {
    idle: Mutex<Vec<Idle>>,
    free: Arc<Semaphore>,
    total: Mutex<usize>,
}

impl Default for SessionPool {
    fn default() -> Self {
        Self { idle: Mutex::default(), free: Arc::new(Semaphore::new(0)), total: Mutex::default() }
    }
}

impl SessionPool {
    fn add(&self, sessions: Vec<ClientSession>) {
        let count = sessions.len();
        let mut total = locked(&self.total);
        let idle = |(number, session)| Idle { number, session, unsure: false };
        locked(&self.idle).extend((*total..).zip(sessions).map(idle));
        *total += count;
        self.free.add_permits(count);
    }

    /// Lends a session without an open transaction; waits until one is free.
    pub(super) async fn lend(self: &Arc<Self>) -> Result<Lent> {
        let none = || Error::halt("no session is registered for writing to MongoDB");
        if *locked(&self.total) == 0 {
            return Err(none());
        }
        let permit = Arc::clone(&self.free).acquire_owned().await.map_err(|_| none())?;
        let idle = locked(&self.idle).pop().ok_or_else(none)?;
        let mut lent = Lent::new(self, idle, permit);
        // a cancelled write leaves its transaction open; that there is none is the usual case and an error
        lent.abort_transaction().await.ok();
        Ok(lent)
    }

    /// Lends an idle session whose last transaction may be open at the server.
    fn lend_unsure(self: &Arc<Self>) -> Option<Lent> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        let mut idle = locked(&self.idle);
        let at = idle.iter().position(|one| one.unsure)?;
        let unsure = idle.swap_remove(at);
        drop(idle);
        Some(Lent::new(self, unsure, permit))
    }
}

/// A session on loan; goes back when dropped, whatever happens.
pub(super) struct Lent {
    session: Option<ClientSession>,
    number: usize,
    unsure: bool,
    home: Arc<SessionPool>,
    _permit: OwnedSemaphorePermit,
}

impl Lent {
    fn new(home: &Arc<SessionPool>, Idle { number, session, unsure }: Idle, permit: OwnedSemaphorePermit) -> Self {
        Self { session: Some(session), number, unsure, home: Arc::clone(home), _permit: permit }
    }

    /// A transaction begins: unless its end is heard of, it may stay open.
    pub(super) const fn begins(&mut self) {
        self.unsure = true;
    }

    /// The server has said that no transaction of the session is open.
    pub(super) const fn is_over(&mut self) {
        self.unsure = false;
    }

    /// Which of the sessions it is, from 0.
    pub(super) const fn number(&self) -> usize {
        self.number
    }
}

impl Deref for Lent {
    type Target = ClientSession;

    fn deref(&self) -> &ClientSession {
        self.session.as_ref().expect("present until dropped")
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut ClientSession {
        self.session.as_mut().expect("present until dropped")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // fields drop after this body: the permit is released once the session is back
        let (number, unsure) = (self.number, self.unsure);
        locked(&self.home.idle).extend(self.session.take().map(|session| Idle { number, session, unsure }));
    }
}

/// The newest operation time the bridge has seen.
#[derive(Default)]
pub(super) struct Watermark(Mutex<Option<Timestamp>>);

impl Watermark {
    pub(super) fn advance(&self, time: Option<Timestamp>) {
        let mut seen = locked(&self.0);
        *seen = (*seen).max(time);
    }

    pub(super) fn get(&self) -> Option<Timestamp> {
        *locked(&self.0)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn session_id(session: &ClientSession) -> Option<Uuid> {
    match session.id().get("id") {
        Some(Bson::Binary(binary)) => Uuid::from_slice(&binary.bytes).ok(),
        _ => None,
    }
}

/// A uuid as BSON.
pub(super) fn binary(id: Uuid) -> Binary {
    Binary { subtype: BinarySubtype::Uuid, bytes: id.as_bytes().to_vec() }
}
