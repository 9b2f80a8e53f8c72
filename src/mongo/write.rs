//! Writing documents: compare-and-set and a ledger entry in one snapshot transaction, few wide commands.
//!
//! A refused document is named by the server and left out of the next attempt; a failure that names none, and a
//! conflict with another transaction, halve the batch until the one document is alone. Whoever changes a document
//! between our read and our write makes the server refuse our transaction, so nobody's change is overwritten.

use std::{collections::HashMap, time::Duration};

use mongodb::{
    bson::{Bson, Document, RawDocumentBuf, doc},
    error::{Error as DriverError, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT},
    options::{ReadConcern, ReadPreference, SelectionCriteria, TransactionOptions},
};
use uuid::Uuid;

use super::{
    codec::{self, object_id},
    connect::{Legacy, durable},
    cutover,
    documents::{drain, with_ids},
    error::{Class, Doing, NO_ROOM_IN_CACHE, class, class_of, code_of, of_write, problem, translate},
    fence, ledger, patch,
    sessions::Lent,
    size,
};
use crate::{
    drill,
    error::{Error, Result},
    model::{
        image::Version,
        key::{LegacyId, RenaissanceId},
        mapping::Entity,
        problem::{Problem, Reason},
        side::Side,
    },
    sync::ports::{LegacyChange, LegacyWrite, Outcome, Wrote},
};

/// A commit the server does not finish within this is asked about again.
const MAX_COMMIT: Duration = Duration::from_secs(10);
const COMMIT_TRIES: u32 = 4;
/// A batch in conflict with another transaction is tried again whole this often before it is halved.
const WHOLE_TRIES: u32 = 2;
const CONFLICT_PAUSE: Duration = Duration::from_millis(15);
/// After this many refused documents a batch is halved as well, so that a bad batch is not read again for each of them.
const REFUSALS_BEFORE_HALVING: usize = 4;

/// How one transaction ended.
enum Attempt {
    /// Committed (or empty): one outcome per write of the part.
    Done(Vec<Outcome>),
    /// This write of the part was refused, perhaps for this field; nothing was written.
    Refused(usize, Option<usize>, Problem),
    /// Something in the part was refused; nothing was written.
    RefusedSomewhere(Problem),
    /// Another transaction was in the way; nothing was written.
    Contended,
    /// The intent has been settled meanwhile; nothing was written and nothing more of it ever will be.
    Closed,
    /// Another daemon is active; nothing was written.
    Fenced,
    /// The server refuses what anybody would write there; nothing was written.
    Blocked(Error),
    /// The server is not able to now; nothing was written.
    Failed(Error),
}

/// Writes that still have to be tried, by index, and how often they were tried as they are.
struct Part {
    writes: Vec<usize>,
    tries: u32,
}

impl Legacy {
    pub(super) async fn write_all(&self, entity: &Entity, intent: Uuid, writes: &[LegacyWrite]) -> Result<Wrote> {
        self.end_left_open().await?;
        let mut session = self.pool.lend().await?;
        let mut outcomes = vec![Outcome::LostRace; writes.len()];
        let (mut refused, mut blocked) = (0, None);
        let mut parts: Vec<Part> = size::parts(writes).into_iter().map(|writes| Part { writes, tries: 0 }).collect();
        while let Some(mut part) = parts.pop() {
            if part.writes.is_empty() {
                continue;
            }
            let chosen: Vec<&LegacyWrite> = part.writes.iter().map(|index| &writes[*index]).collect();
            match self.attempt(&mut session, entity, intent, &chosen).await? {
                Attempt::Done(done) => part.writes.iter().zip(done).for_each(|(index, done)| outcomes[*index] = done),
                Attempt::Refused(at, field, problem) => {
                    refused += 1;
                    let one = part.writes.remove(at);
                    outcomes[one] = placed(entity, &writes[one], field, problem);
                    part.tries = 0;
                    if refused > REFUSALS_BEFORE_HALVING { parts.extend(part.halves()) } else { parts.push(part) }
                }
                Attempt::RefusedSomewhere(problem) => match part.writes[..] {
                    [alone] => outcomes[alone] = placed(entity, &writes[alone], None, problem),
                    _ => parts.extend(part.halves()),
                },
                Attempt::Contended => {
                    part.tries += 1;
                    if part.tries < WHOLE_TRIES {
                        tokio::time::sleep(CONFLICT_PAUSE).await;
                        parts.push(part);
                    } else if part.writes.len() > 1 {
                        parts.extend(part.halves());
                    }
                    // alone and still in conflict: the race is lost, as `outcomes` says from the start
                }
                Attempt::Closed => return Err(Error::retry("the intent was settled while it was being written")),
                Attempt::Fenced => return Err(fence::taken_over()),
                Attempt::Failed(error) => return Err(error),
                // no document is at fault, so none is looked for
                Attempt::Blocked(error) => {
                    let left = parts.drain(..).flat_map(|part| part.writes);
                    part.writes.into_iter().chain(left).for_each(|index| outcomes[index] = Outcome::Blocked);
                    blocked = Some(error);
                }
            }
        }
        Ok(Wrote { outcomes, blocked })
    }

    /// One transaction.
    async fn attempt(
        &self,
        session: &mut Lent,
        entity: &Entity,
        intent: Uuid,
        writes: &[&LegacyWrite],
    ) -> Result<Attempt> {
        let doing = writing(entity);
        if let Some(time) = self.seen.get() {
            session.advance_operation_time(time);
        }
        session.begins();
        session.start_transaction().with_options(transaction()).await.map_err(|error| translate(&error, doing))?;
        match self.statements(session, entity, intent, writes).await {
            Ok(Ok(outcomes)) => {
                drill::crash_point("before committing the documents");
                self.finish(session, entity, outcomes).await
            }
            Ok(Err(attempt)) => {
                session.abort_transaction().await.map_err(|error| translate(&error, doing))?;
                Ok(attempt)
            }
            Err(error) => {
                // after an error the server has ended the transaction already; this ends it if it was the network
                session.abort_transaction().await.map_err(|error| translate(&error, doing))?;
                unplaced(&error).map_or_else(|| blocked(translate(&error, doing)), Ok)
            }
        }
    }

    /// Reads, compares and writes; the inner error is an attempt that has to be given up.
    async fn statements(
        &self,
        session: &mut Lent,
        entity: &Entity,
        intent: Uuid,
        writes: &[&LegacyWrite],
    ) -> Result<Result<Vec<Outcome>, Attempt>, DriverError> {
        let ids: Vec<LegacyId> = writes.iter().map(|write| write.id).collect();
        let found = self
            .collection(entity)
            .find(with_ids(&ids))
            .projection(codec::projection(&entity.legacy.paths))
            .batch_size(u32::try_from(ids.len() + 1).unwrap_or(u32::MAX))
            .session(&mut **session)
            .await?;
        let documents = drain(found, session).await?;
        let current: HashMap<LegacyId, RawDocumentBuf> =
            documents.into_iter().filter_map(|document| codec::id_of(&document).map(|id| (id, document))).collect();
        let batch = Batch::plan(entity, writes, &current);
        if batch.landing.is_empty() {
            return Ok(Ok(batch.outcomes));
        }
        let passing = self.epoch.statement(session.number());
        if let Some(end) = self.enter(session, ledger::record(passing, intent, &batch.landing)).await? {
            return Ok(Err(end));
        }
        for (command, of) in batch.commands(&entity.legacy.collection) {
            let answer = self.database.run_command(command).session(&mut **session).await?;
            if let Some(failure) = first_error(&answer) {
                return Ok(Err(failure.attempt(entity, &of)));
            }
            let touched = answer.get_i32("n").ok().and_then(|n| usize::try_from(n).ok());
            if touched != Some(of.len()) {
                return Ok(Err(Attempt::Contended));
            }
        }
        Ok(match self.note_born(session, batch.born(writes)).await? {
            Some(end) => Err(end),
            None => Ok(batch.outcomes),
        })
    }

    /// Says in the mirror of cutover rows who is born in Renaissance; `Some` if the attempt ends here.
    async fn note_born(
        &self,
        session: &mut Lent,
        born: Vec<(LegacyId, RenaissanceId)>,
    ) -> Result<Option<Attempt>, DriverError> {
        if born.is_empty() {
            return Ok(None);
        }
        let answer = self.database.run_command(cutover::born(&born)).session(&mut **session).await?;
        Ok(first_error(&answer).map(|failure| failure.of_nobody(cutover::WRITING).unwrap_or(Attempt::Contended)))
    }

    /// Passes the fence and enters what is to land into the ledger; `Some` if the attempt ends here.
    async fn enter(&self, session: &mut Lent, updates: Vec<Document>) -> Result<Option<Attempt>, DriverError> {
        let expected = i32::try_from(updates.len()).unwrap_or(i32::MAX);
        if expected == 0 {
            return Ok(None);
        }
        let record = doc! { "update": ledger::LEDGER, "updates": updates };
        let answer = self.database.run_command(record).session(&mut **session).await?;
        if let Some(failure) = first_error(&answer) {
            return Ok(Some(failure.of_ledger()));
        }
        Ok((answer.get_i32("n").ok() != Some(expected)).then_some(Attempt::Fenced))
    }

    /// Commits until the server says what became of it.
    async fn finish(&self, session: &mut Lent, entity: &Entity, outcomes: Vec<Outcome>) -> Result<Attempt> {
        let doing = Doing { what: "committing", ..writing(entity) };
        for tries in 1..=COMMIT_TRIES {
            match session.commit_transaction().await {
                Ok(()) => {
                    session.is_over();
                    self.seen.advance(session.operation_time());
                    return Ok(Attempt::Done(outcomes));
                }
                Err(error) if error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT) => {
                    if tries == COMMIT_TRIES {
                        return Err(translate(&error, doing).during("whether the write landed is unknown"));
                    }
                    tokio::time::sleep(CONFLICT_PAUSE * 2_u32.pow(tries)).await;
                }
                Err(error) => return unplaced(&error).map_or_else(|| Err(translate(&error, doing)), Ok),
            }
        }
        Err(Error::retry("whether the write landed is unknown"))
    }
}

impl Part {
    /// The first half comes last, to be taken first. Halves are not tried twice: that would double the cost at every level.
    fn halves(mut self) -> [Self; 2] {
        let second = self.writes.split_off(self.writes.len() / 2);
        [second, self.writes].map(|writes| Self { writes, tries: WHOLE_TRIES - 1 })
    }
}

/// A refused write: of a document that would be too large the field that has to be shortened.
fn placed(entity: &Entity, write: &LegacyWrite, field: Option<usize>, problem: Problem) -> Outcome {
    let too_large = field.is_none() && problem.reason == Reason::TooLarge;
    match size::blame(entity, write).filter(|_| too_large) {
        Some((slot, problem)) => Outcome::Refused(field_of_slot(entity, slot), problem),
        None => Outcome::Refused(field, problem),
    }
}

/// What one transaction will do.
struct Batch {
    outcomes: Vec<Outcome>,
    landing: Vec<LegacyId>,
    inserts: Vec<(usize, Document)>,
    updates: Vec<(usize, Document)>,
    deletes: Vec<(usize, Document)>,
}

impl Batch {
    fn plan(entity: &Entity, writes: &[&LegacyWrite], current: &HashMap<LegacyId, RawDocumentBuf>) -> Self {
        let paths = &entity.legacy.paths;
        let mut batch = Self {
            outcomes: Vec::with_capacity(writes.len()),
            landing: Vec::new(),
            inserts: Vec::new(),
            updates: Vec::new(),
            deletes: Vec::new(),
        };
        for (index, write) in writes.iter().enumerate() {
            let id = object_id(write.id);
            let unchanged =
                |version: &Version| current.get(&write.id).filter(|document| codec::version(document) == *version);
            let planned = match &write.change {
                LegacyChange::Insert(_) if current.contains_key(&write.id) => Ok(false),
                LegacyChange::Insert(patch) => size::check(patch, paths).and_then(|()| {
                    batch.inserts.push((index, patch::insertion(write.id, patch, paths)?));
                    Ok(true)
                }),
                LegacyChange::Update(version, patch) => match unchanged(version) {
                    None => Ok(false),
                    Some(document) => size::check(patch, paths).and_then(|()| {
                        let update = patch::update(document, patch, paths)?;
                        let statement = update.map(|update| (index, doc! { "q": { "_id": id }, "u": update }));
                        batch.updates.extend(statement);
                        Ok(true)
                    }),
                },
                LegacyChange::Delete(version) => Ok(unchanged(version).is_some_and(|_| {
                    batch.deletes.push((index, doc! { "q": { "_id": id }, "limit": 1 }));
                    true
                })),
            };
            batch.outcomes.push(match planned {
                Ok(true) => {
                    batch.landing.push(write.id);
                    Outcome::Written
                }
                Ok(false) => Outcome::LostRace,
                Err((slot, problem)) => Outcome::Refused(field_of_slot(entity, slot), problem),
            });
        }
        batch
    }

    /// People among those who are created that are born in Renaissance.
    fn born(&self, writes: &[&LegacyWrite]) -> Vec<(LegacyId, RenaissanceId)> {
        let made = self.inserts.iter().filter_map(|(index, _)| writes.get(*index));
        made.filter_map(|write| Some((write.id, write.born?))).collect()
    }

    /// The commands, each with the writes its statements belong to.
    fn commands(&self, collection: &str) -> Vec<(Document, Vec<usize>)> {
        let kinds = [
            ("insert", "documents", &self.inserts),
            ("update", "updates", &self.updates),
            ("delete", "deletes", &self.deletes),
        ];
        let used = kinds.into_iter().filter(|(_, _, statements)| !statements.is_empty());
        used.map(|(command, list, statements)| {
            let (of, bodies): (Vec<usize>, Vec<Bson>) =
                statements.iter().map(|(index, body)| (*index, Bson::Document(body.clone()))).unzip();
            (doc! { command: collection, list: bodies, "ordered": true }, of)
        })
        .collect()
    }
}

/// The first statement that failed.
struct Failure {
    statement: usize,
    code: i32,
    /// The paths of the violated unique index.
    index: Vec<String>,
}

impl Failure {
    /// The ledger document of the intent is there and closed, unless the server says otherwise.
    fn of_ledger(&self) -> Attempt {
        self.of_nobody(ledger::WRITING).unwrap_or(Attempt::Closed)
    }

    /// What came of it if no document is at fault.
    fn of_nobody(&self, doing: Doing<'_>) -> Option<Attempt> {
        match class(self.code) {
            Class::Contended => Some(Attempt::Contended),
            Class::Denied | Class::NoWrites => Some(Attempt::Blocked(of_write(self.code, doing))),
            Class::Unreachable | Class::Election | Class::Overload => Some(Attempt::Failed(of_write(self.code, doing))),
            Class::Unknown
            | Class::PositionLost(_)
            | Class::PositionUnusable
            | Class::LoginRefused
            | Class::Standalone
            | Class::Document(_)
            | Class::Unsupported => None,
        }
    }

    fn attempt(self, entity: &Entity, of: &[usize]) -> Attempt {
        if self.index == ["_id"] {
            return Attempt::Contended;
        }
        if let Some(attempt) = self.of_nobody(writing(entity)) {
            return attempt;
        }
        let paths = self.index.join(", ");
        let problem = problem(self.code, (!paths.is_empty()).then_some(paths.as_str()));
        let slot = self.index.iter().find_map(|path| entity.legacy.paths.iter().position(|p| p.0.join(".") == *path));
        match of.get(self.statement) {
            Some(write) => Attempt::Refused(*write, slot.and_then(|slot| field_of_slot(entity, slot)), problem),
            None => Attempt::RefusedSomewhere(problem),
        }
    }
}

fn field_of_slot(entity: &Entity, slot: usize) -> Option<usize> {
    entity.fields.iter().position(|field| field.slots(Side::Legacy).contains(&slot))
}

fn first_error(answer: &Document) -> Option<Failure> {
    let errors = answer.get_array("writeErrors").ok()?;
    let error = errors.first()?.as_document()?;
    Some(Failure {
        statement: error.get_i32("index").ok().and_then(|index| usize::try_from(index).ok()).unwrap_or(usize::MAX),
        code: error.get_i32("code").unwrap_or_default(),
        index: error.get_document("keyPattern").map(|pattern| pattern.keys().cloned().collect()).unwrap_or_default(),
    })
}

/// A command that failed as a whole and may succeed with fewer documents or later; `None` for everything else.
fn unplaced(error: &DriverError) -> Option<Attempt> {
    match class_of(error)? {
        Class::Contended
            if error.contains_label(TRANSIENT_TRANSACTION_ERROR) || code_of(error) == Some(NO_ROOM_IN_CACHE) =>
        {
            Some(Attempt::Contended)
        }
        Class::Document(_) => Some(Attempt::RefusedSomewhere(problem(code_of(error)?, None))),
        _ => None,
    }
}

/// An error after which nothing of the transaction can land any more.
fn blocked(error: Error) -> Result<Attempt> {
    if error.is_blocked() { Ok(Attempt::Blocked(error)) } else { Err(error) }
}

fn writing(entity: &Entity) -> Doing<'_> {
    Doing { what: "writing documents", on: &entity.legacy.collection, right: "readWrite" }
}

/// How every transaction of the bridge runs.
pub(super) fn transaction() -> TransactionOptions {
    TransactionOptions::builder()
        .read_concern(ReadConcern::snapshot())
        .write_concern(durable())
        .selection_criteria(SelectionCriteria::ReadPreference(ReadPreference::Primary))
        .max_commit_time(MAX_COMMIT)
        .build()
}
