//! Deciding by hand what a conflict in the journal was about: an order to the reconciler, which writes it like anything else.
//! And putting back what was deleted.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::{
    orders::Orders,
    pauses::Present,
    plan::{Order, OrderedField},
    ports::{JournalEntry, LegacyStore, RenaissanceStore, Resolution, Restored},
    queue::HintQueue,
    stops::{Stop, Stops},
    tracker::Lane,
};
use crate::{
    error::{Error, Result},
    model::{
        conflict::ConflictKind,
        digest::Digest,
        hint::{Freshness, Hint},
        key::{EntityIndex, Key, LegacyId, SideId},
        mapping::Entity,
        meanings::meanings,
        pause::Closure,
        side::Side,
        value::Value,
    },
};

/// How long a request waits for its order to be carried out; shorter than a command waits for its request.
const CARRIED_OUT: Duration = Duration::from_secs(20);

/// What an entry is resolved with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Take {
    Legacy,
    Renaissance,
    Value,
}

impl Take {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Renaissance => "renaissance",
            Self::Value => "value",
        }
    }
}

/// A value as a person gave it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    json: Json,
}

/// Arguments of `conflict_resolve`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResolveArguments {
    id: i64,
    take: Take,
    /// With `value`: which; in an object, as null is a value too.
    #[serde(default)]
    value: Option<Given>,
    /// Who asks.
    by: String,
}

/// Arguments of `tombstone_restore`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RestoreArguments {
    id: i64,
    /// Who asks.
    by: String,
}

/// Carries out requests to resolve and to restore.
pub(super) struct Resolver<'a, L, R, Q> {
    pub(super) legacy: &'a L,
    pub(super) store: &'a R,
    pub(super) queue: &'a Q,
    pub(super) orders: &'a Orders,
    pub(super) entities: &'a [Entity],
    pub(super) pauses: &'a Present,
    pub(super) stops: &'a Stops,
}

/// Nothing of it would be looked at, and whoever asked would wait in vain.
fn paused(entity: &Entity, closure: Closure) -> Error {
    Error::halt(format!("{} is paused (pause {}): resume it first", entity.name, closure.pause))
}

impl<L: LegacyStore, R: RenaissanceStore, Q: HintQueue> Resolver<'_, L, R, Q> {
    /// Resolves an entry with all that was decided together with it. Done twice, it is done once.
    pub(super) async fn resolve(&self, request: i64, arguments: &ResolveArguments) -> Result<Json> {
        let entries = self.store.journal_entry(arguments.id).await?;
        let Some(asked) = entries.first() else {
            return Err(Error::halt(format!("the journal has no entry {}", arguments.id)));
        };
        if let Some((by, at, former)) = &asked.resolved {
            let before = Error::halt(format!("entry {} was resolved by {by} at {at}", asked.id));
            return if *former == request { Ok(done(&[asked.id])) } else { Err(before) };
        }
        if let Some(resolution) = of_deletion(asked, request, arguments) {
            return self.restore(asked.id, true, &arguments.by, Some(&resolution)).await.map(|_| done(&[asked.id]));
        }
        let (index, entity) = self.named(&asked.entity)?;
        let record = asked.legacy.ok_or_else(|| Error::halt("the entry names no record on the legacy side"))?;
        if let Some(closure) = self.pauses.now().entirely(index) {
            return Err(paused(entity, closure));
        }
        // its keys may be waiting for that side, and then whoever asks would wait with them
        let needed = [Stop::Reconciling].into_iter().chain(Side::ALL.map(Stop::WritingTo));
        if let Some(stop) = needed.into_iter().find(|stop| self.stops.holds(index, *stop).is_some()) {
            let place = stop.place(&entity.name);
            return Err(Error::halt(format!(
                "{place} is refused by the database now: `biograph-bridge status` says why"
            )));
        }
        let order = order(entity, &entries, request, arguments).map_err(Error::halt)?;
        let resolved = order.resolution.entries.clone();
        self.carry_out((index, record), order).await?;
        Ok(done(&resolved))
    }

    fn named(&self, name: &str) -> Result<(EntityIndex, &Entity)> {
        let known = (0..=u16::MAX).map(EntityIndex).zip(self.entities).find(|(_, known)| known.name == name);
        known.ok_or_else(|| Error::halt(format!("the daemon has no mapping for an entity `{name}`")))
    }

    /// Puts a deleted record back where the bridge deleted it. The other side follows as it follows any new record. Done twice,
    /// it is done once.
    pub(super) async fn put_back(&self, arguments: &RestoreArguments) -> Result<Json> {
        self.restore(arguments.id, false, &arguments.by, None).await
    }

    async fn restore(&self, id: i64, of_conflict: bool, by: &str, resolution: Option<&Resolution>) -> Result<Json> {
        let tombstone = self.store.tombstone(id, of_conflict).await?;
        let tombstone = tombstone.ok_or_else(|| Error::halt(format!("nothing deleted is kept under number {id}")))?;
        if tombstone.under_way {
            return Err(Error::halt("the deletion is under way: try again"));
        }
        let Some(side) = tombstone.from else {
            return Err(Error::halt(
                "both applications deleted it: the bridge never had to, and has kept nothing of it",
            ));
        };
        if tombstone.record.is_null() {
            return Err(Error::halt("what it held is not kept any more (tombstone_retention)"));
        }
        let (index, entity) = self.named(&tombstone.entity)?;
        let [legacy, renaissance] = self.pauses.now().closed(index, None);
        if let Some(closure) = if side == Side::Legacy { legacy } else { renaissance } {
            return Err(paused(entity, closure));
        }
        let restored = match (side, tombstone.legacy) {
            (Side::Legacy, Some(record)) => self.legacy.restore(index, record, &tombstone.record).await?,
            (Side::Legacy, None) => return Err(Error::halt("its legacy id is not known")),
            (Side::Renaissance, _) => self.store.restore(index, &tombstone.record).await?,
        };
        match restored {
            Restored::There => self.store.restored(tombstone.id, by, resolution).await?,
            Restored::Taken => return Err(Error::halt(format!("something is in {side} by now under its id"))),
            Restored::Refused(why) => return Err(Error::halt(format!("{side} refuses it: {why}"))),
        }
        let renaissance = tombstone.renaissance.filter(|_| side == Side::Renaissance);
        Ok(json!({
            "restored": tombstone.id,
            "again": tombstone.restored,
            "side": side.as_str(),
            "entity": tombstone.entity,
            "legacy_id": tombstone.legacy.map(|id| id.to_string()),
            "renaissance_id": renaissance,
        }))
    }

    async fn carry_out(&self, (index, record): (EntityIndex, LegacyId), order: Order) -> Result<()> {
        let Some(answered) = self.orders.place(index, record, order) else {
            return Err(Error::retry("another order about this record is being carried out"));
        };
        let key = Key { entity: index, id: SideId::Legacy(record) };
        let hint = Hint { key, freshness: Freshness::Any, committed_at: None };
        let waiting = async {
            self.queue.offer(Lane::Sweep(Side::Legacy), hint).await;
            answered.await
        };
        match tokio::time::timeout(CARRIED_OUT, waiting).await {
            Ok(Ok(outcome)) => outcome.map_err(|why| Error::halt(format!("nothing was written: {why}"))),
            // the request stays open: what was begun shows when it is looked at again
            Ok(Err(_)) | Err(_) => {
                self.orders.withdraw(index, record);
                Err(Error::retry("the record was not written in time"))
            }
        }
    }
}

fn done(resolved: &[i64]) -> Json {
    json!({ "resolved": resolved })
}

/// What is ordered: about the field of the first entry, and about those that were decided together with it.
fn order(
    entity: &Entity,
    entries: &[JournalEntry],
    request: i64,
    arguments: &ResolveArguments,
) -> std::result::Result<Order, String> {
    let asked = entries.first().ok_or("there is no such entry")?;
    check(asked)?;
    let name = asked.field.as_deref().ok_or("the entry is about the whole record")?;
    let field = entity.field(name).ok_or_else(|| format!("{} has no field {name} any more", entity.name))?;
    let group = entity.fields[field].group;
    let together = |entry: &&JournalEntry| {
        let other = entry.field.as_deref().and_then(|name| entity.field(name));
        entry.id == asked.id || group.is_some() && other.is_some_and(|other| entity.fields[other].group == group)
    };
    let entries: Vec<&JournalEntry> = entries.iter().filter(together).collect();
    if entries.len() > 1 && arguments.take == Take::Value {
        return Err(format!("{name} is decided together with other fields: take one side for all of them"));
    }
    let fields =
        entries.iter().map(|entry| ordered(entity, entry, arguments)).collect::<std::result::Result<_, _>>()?;
    let resolution = Resolution {
        entries: entries.iter().map(|entry| entry.id).collect(),
        taken: arguments.take.as_str().to_owned(),
        by: arguments.by.clone(),
        request,
    };
    Ok(Order { fields, resolution })
}

/// What taking the loser of a deletion means, if this is one: the record is put back.
fn of_deletion(entry: &JournalEntry, request: i64, arguments: &ResolveArguments) -> Option<Resolution> {
    let lost = entry.winner.filter(|_| entry.field.is_none() && !entry.foreseen)?.other();
    let deleted = matches!(entry.kind, Some(ConflictKind::DeleteUpdated | ConflictKind::StaleOwnerWrite));
    (deleted && arguments.take.as_str() == lost.as_str()).then(|| Resolution {
        entries: vec![entry.id],
        taken: arguments.take.as_str().to_owned(),
        by: arguments.by.clone(),
        request,
    })
}

/// Whether an entry can be resolved at all.
fn check(entry: &JournalEntry) -> std::result::Result<(), String> {
    if entry.foreseen {
        return Err("a shadow foresaw this: nothing was decided".to_owned());
    }
    if entry.under_way {
        return Err("the write that goes with it is under way: try again".to_owned());
    }
    match entry.kind {
        Some(ConflictKind::UniqueTaken) => {
            Err("somebody else holds the value: change it in one of the two records; see `biograph-bridge parked list`"
                .to_owned())
        }
        Some(ConflictKind::UpdateDeleted) if entry.field.is_none() => {
            Err("the record was made again: to delete it after all, delete it in either application".to_owned())
        }
        Some(_) if entry.field.is_none() => {
            Err("the record was deleted: taking the other side puts it back".to_owned())
        }
        Some(_) => Ok(()),
        None => Err("another version of biograph-bridge wrote it".to_owned()),
    }
}

fn ordered(
    entity: &Entity,
    entry: &JournalEntry,
    arguments: &ResolveArguments,
) -> std::result::Result<OrderedField, String> {
    let name = entry.field.as_deref().unwrap_or_default();
    let field = entity.field(name).ok_or_else(|| format!("{} has no field {name} any more", entity.name))?;
    let [legacy, renaissance] = entry.digests;
    let left = match entry.winner {
        Some(Side::Legacy) => legacy.map(|digest| [digest; 2]),
        Some(Side::Renaissance) => renaissance.map(|digest| [digest; 2]),
        None => legacy.zip(renaissance).map(<[Digest; 2]>::from),
    };
    let expected = left.ok_or_else(|| format!("the journal does not say what {name} held on both sides"))?;
    let stored = |side: usize| -> std::result::Result<Vec<Value>, String> {
        let value =
            meanings(&entry.values[side]).into_iter().find(|value| Some(Digest::of(value)) == entry.digests[side]);
        value
            .map(|value| vec![value])
            .ok_or_else(|| format!("the journal does not hold {name} exactly: give a --value"))
    };
    let values = match (arguments.take, &arguments.value) {
        (Take::Legacy, _) => stored(0)?,
        (Take::Renaissance, _) => stored(1)?,
        (Take::Value, Some(given)) => meanings(&given.json),
        (Take::Value, None) => return Err("no value was given".to_owned()),
    };
    Ok(OrderedField { field, values, expected })
}
