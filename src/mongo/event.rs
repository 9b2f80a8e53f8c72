//! One change stream event, decoded: which key of which mapping it dirties, and whether the bridge itself made it.

use std::collections::HashMap;

use mongodb::bson::{Document, RawBsonRef, RawDocument, RawDocumentBuf, doc};
use uuid::Uuid;

use super::{
    codec,
    ledger::{LEDGER, MARK},
    sessions::KnownSessions,
    stray,
};
use crate::{
    drill::{self, Mechanism},
    model::{
        fact::PauseCause,
        hint::{Captured, Freshness, Hint, Structure},
        key::{EntityIndex, Key, SideId},
        mapping::Entity,
    },
};

/// The mapped collections.
pub(super) struct Watched {
    collections: HashMap<String, Vec<EntityIndex>>,
}

/// What an event says.
#[derive(Debug, PartialEq)]
pub(super) enum Seen {
    /// Deliver these, in order.
    Changes(Vec<Captured>),
    /// The bridge's own write.
    Echo,
    /// The stream ends here; it can be opened again after this event.
    Invalidated,
    /// Nothing the bridge maps.
    Nothing,
}

impl Watched {
    pub(super) fn new(entities: &[Entity]) -> Self {
        let mut collections: HashMap<String, Vec<EntityIndex>> = HashMap::new();
        for (index, entity) in (0..).zip(entities) {
            collections.entry(entity.legacy.collection.clone()).or_default().push(EntityIndex(index));
        }
        Self { collections }
    }

    /// Everything the server drops or leaves out early costs neither network nor decoding. `ns.coll` alone is matched,
    /// because the server can push that down into its oplog scan, and the stream is of one database anyway.
    pub(super) fn pipeline(&self, split_large: bool) -> Vec<Document> {
        let names: Vec<&String> = self.collections.keys().collect();
        let wanted = doc! { "$or": [
            { "ns.coll": { "$in": &names } },
            { "to.coll": { "$in": &names } },
            { "operationType": { "$in": ["dropDatabase", "invalidate"] } },
            // a mark is no change, but the position moves on at once
            { "ns.coll": LEDGER, "documentKey._id": MARK },
        ] };
        let kept = doc! {
            "_id": 1, "operationType": 1, "ns": 1, "to": 1, "documentKey": 1, "clusterTime": 1, "wallTime": 1, "lsid.id": 1,
            "splitEvent": 1,
        };
        let mut stages = vec![doc! { "$match": wanted }, doc! { "$project": kept }];
        if split_large {
            stages.push(doc! { "$changeStreamSplitLargeEvent": {} });
        }
        stages
    }

    pub(super) fn decode(&self, event: &RawDocument, known: &KnownSessions) -> Seen {
        match event.get_str("operationType").unwrap_or_default() {
            "insert" | "update" | "replace" | "delete" => self.change(event, known),
            "drop" => self.dropped(event),
            "rename" => self.rename(event),
            "dropDatabase" => self.everything_dropped(event),
            "invalidate" => Seen::Invalidated,
            _ => Seen::Nothing,
        }
    }

    fn change(&self, event: &RawDocument, known: &KnownSessions) -> Seen {
        let Some((_, entities)) = self.mapped(event, "ns") else { return Seen::Nothing };
        if session(event).is_some_and(|id| known.contains(id)) && !drill::lacks(Mechanism::Echoes) {
            return Seen::Echo;
        }
        let key = event.get_document("documentKey").ok();
        let gone = event.get_str("operationType").is_ok_and(|operation| operation == "delete");
        let delivered = entities.iter().map(|entity| match key.and_then(codec::id_of) {
            Some(id) => Captured::Hint(Hint {
                key: Key { entity: *entity, id: SideId::Legacy(id) },
                freshness: freshness(event),
                committed_at: committed_at(event),
            }),
            None => Captured::Unaddressable(*entity, stray::stray(key.and_then(stray::id_of).as_ref(), gone)),
        });
        Seen::Changes(delivered.collect())
    }

    fn dropped(&self, event: &RawDocument) -> Seen {
        self.mapped(event, "ns").map_or(Seen::Nothing, |(name, entities)| {
            let what = format!("collection {name} was dropped");
            Seen::Changes(vec![structure(event, PauseCause::Dropped, entities, what)])
        })
    }

    fn everything_dropped(&self, event: &RawDocument) -> Seen {
        let mut entities: Vec<EntityIndex> = self.collections.values().flatten().copied().collect();
        entities.sort_unstable();
        let what = "the legacy database was dropped".to_owned();
        Seen::Changes(vec![structure(event, PauseCause::Dropped, &entities, what)])
    }

    /// Renaming onto a mapped name replaces that collection without a drop event of its own (SERVER-126544).
    fn rename(&self, event: &RawDocument) -> Seen {
        let away = self.mapped(event, "ns");
        let away = away.map(|(name, entities)| (entities, format!("collection {name} was renamed to another name")));
        let onto = self.mapped(event, "to");
        let onto = onto.map(|(name, entities)| (entities, format!("another collection was renamed to {name}")));
        let seen = away.into_iter().chain(onto);
        let seen: Vec<Captured> =
            seen.map(|(entities, what)| structure(event, PauseCause::Renamed, entities, what)).collect();
        if seen.is_empty() { Seen::Nothing } else { Seen::Changes(seen) }
    }

    fn mapped<'a>(&'a self, event: &'a RawDocument, field: &str) -> Option<(&'a str, &'a [EntityIndex])> {
        let name = event.get_document(field).ok()?.get_str("coll").ok()?;
        self.collections.get(name).map(|entities| (name, entities.as_slice()))
    }
}

fn structure(event: &RawDocument, cause: PauseCause, entities: &[EntityIndex], what: String) -> Captured {
    let time = event.get_timestamp("clusterTime").map(|time| (time.time, time.increment)).unwrap_or_default();
    let event = format!("cluster time {}.{}", time.0, time.1);
    Captured::Structure(Structure { entities: entities.to_vec(), cause, what, event })
}

/// The `_data` of the resume token that is the event's `_id`.
pub(super) fn token(event: &RawDocument) -> Option<String> {
    event.get_document("_id").ok()?.get_str("_data").ok().map(str::to_owned)
}

/// Puts the fragments of a split event together again.
#[derive(Default)]
pub(super) struct Fragments(Option<Document>);

impl Fragments {
    /// The whole event, once its last fragment (or an event that was never split) has come.
    pub(super) fn complete(&mut self, event: RawDocumentBuf) -> Option<RawDocumentBuf> {
        let Ok(split) = event.get_document("splitEvent") else {
            self.0 = None;
            return Some(event);
        };
        let (number, of) = (split.get_i32("fragment").unwrap_or(1), split.get_i32("of").unwrap_or(1));
        let fragment = Document::try_from(&event).ok()?;
        let whole = self.0.get_or_insert_default();
        // each fragment has its own `_id`; the last one's is the position after the event
        whole.extend(fragment);
        if number < of {
            return None;
        }
        self.0.take().and_then(|whole| RawDocumentBuf::try_from(&whole).ok())
    }
}

fn session(event: &RawDocument) -> Option<Uuid> {
    match event.get_document("lsid").ok()?.get("id").ok()?? {
        RawBsonRef::Binary(binary) => Uuid::from_slice(binary.bytes).ok(),
        _ => None,
    }
}

fn freshness(event: &RawDocument) -> Freshness {
    event.get_timestamp("clusterTime").map_or(Freshness::Any, |at| Freshness::ClusterTime(at.time, at.increment))
}

/// `wallTime` (6.0 and later) is exact to the millisecond, `clusterTime` to the second.
fn committed_at(event: &RawDocument) -> Option<i64> {
    let wall = event.get_datetime("wallTime").ok().and_then(|time| time.timestamp_millis().checked_mul(1000));
    wall.or_else(|| event.get_timestamp("clusterTime").ok().map(|at| i64::from(at.time) * 1_000_000))
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{DateTime, Timestamp, oid::ObjectId};

    use super::{
        super::{codec::tests::raw, sessions::binary},
        *,
    };
    use crate::model::{hint::Stray, key::LegacyId};

    fn watched() -> Watched {
        Watched { collections: HashMap::from([("people".to_owned(), vec![EntityIndex(3)])]) }
    }

    fn update() -> Document {
        doc! {
            "_id": { "_data": "82AB" }, "operationType": "update", "ns": { "db": "d", "coll": "people" },
            "documentKey": { "_id": ObjectId::from_bytes([1; 12]) }, "clusterTime": Timestamp { time: 7, increment: 2 },
        }
    }

    #[test]
    fn an_update_is_a_hint_with_its_cluster_time() {
        let key = Key { entity: EntityIndex(3), id: SideId::Legacy(LegacyId::new([1; 12])) };
        let mut event = update();
        let expect = |committed_at| {
            Seen::Changes(vec![Captured::Hint(Hint {
                key,
                freshness: Freshness::ClusterTime(7, 2),
                committed_at: Some(committed_at),
            })])
        };
        assert_eq!(watched().decode(&raw(&event), &KnownSessions::default()), expect(7_000_000));
        event.insert("wallTime", DateTime::from_millis(7_123));
        assert_eq!(watched().decode(&raw(&event), &KnownSessions::default()), expect(7_123_000));
    }

    #[test]
    fn only_a_known_session_makes_an_echo() {
        let id = Uuid::from_bytes([9; 16]);
        let mut event = update();
        event.insert("lsid", doc! { "id": binary(id) });
        let known = KnownSessions::default();
        assert!(matches!(watched().decode(&raw(&event), &known), Seen::Changes(_)));
        known.add([id]);
        assert_eq!(watched().decode(&raw(&event), &known), Seen::Echo);
    }

    #[test]
    fn an_id_of_another_type_is_reported_as_it_may_be_shown() {
        let mut event = update();
        event.insert("documentKey", doc! { "_id": "ada" });
        let seen = watched().decode(&raw(&event), &KnownSessions::default());
        let ada = Stray { kind: "text", shown: "\"ada\"".to_owned(), gone: false };
        assert_eq!(seen, Seen::Changes(vec![Captured::Unaddressable(EntityIndex(3), ada)]));
    }

    #[test]
    fn a_rename_onto_a_mapped_name_is_seen() {
        let event =
            doc! { "operationType": "rename", "ns": { "db": "d", "coll": "x" }, "to": { "db": "d", "coll": "people" } };
        let Seen::Changes(changes) = watched().decode(&raw(&event), &KnownSessions::default()) else { panic!() };
        let [Captured::Structure(renamed)] = changes.as_slice() else { panic!("{changes:?}") };
        assert_eq!(
            (renamed.what.as_str(), renamed.cause),
            ("another collection was renamed to people", PauseCause::Renamed)
        );
        assert_eq!(renamed.entities, [EntityIndex(3)]);
        let other = doc! { "operationType": "drop", "ns": { "db": "d", "coll": "x" } };
        assert_eq!(watched().decode(&raw(&other), &KnownSessions::default()), Seen::Nothing);
    }

    #[test]
    fn a_split_event_is_put_together_and_keeps_the_last_position() {
        let mut fragments = Fragments::default();
        let mut first = update();
        first.remove("documentKey");
        first.insert("splitEvent", doc! { "fragment": 1, "of": 2 });
        let second = doc! {
            "_id": { "_data": "82AC" }, "splitEvent": { "fragment": 2, "of": 2 }, "documentKey": { "_id": ObjectId::from_bytes([1; 12]) },
        };
        assert_eq!(fragments.complete(raw(&first)), None);
        let whole = fragments.complete(raw(&second)).unwrap();
        assert_eq!(token(&whole).as_deref(), Some("82AC"));
        assert!(matches!(watched().decode(&whole, &KnownSessions::default()), Seen::Changes(_)));
    }
}
