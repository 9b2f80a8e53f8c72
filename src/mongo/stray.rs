//! Documents whose `_id` is not an ObjectId: found in short reads, shown without showing who somebody is.

use mongodb::{
    bson::{Bson, Document, RawDocument, doc, oid::ObjectId},
    options::ReadConcern,
};

use super::{
    connect::Legacy,
    documents::{MAX_TIME, drain, in_time, reading},
    error::translate,
    extjson,
};
use crate::{
    error::{Error, Result},
    model::{digest::Digest, hint::Stray, key::EntityIndex, mapping::Entity, mask::mask, value::Value},
    sync::ports::Strays,
};

/// So many digits may be a phone number.
const PHONE_DIGITS: usize = 7;
/// Longer ids are cut.
const SHOWN: usize = 60;

impl Legacy {
    /// The order of `_id`s goes by type: what sorts before ObjectIds, then what sorts after them. Bounds on the index
    /// cross types, which comparisons in a filter do not.
    pub(super) async fn strays_after(&self, index: EntityIndex, after: Option<&str>, limit: u32) -> Result<Strays> {
        let entity = self.entity(index);
        let after = after.map(unmark).transpose()?;
        let mut ids = Vec::new();
        for range in [Range::BeforeObjectIds, Range::AfterObjectIds] {
            let left = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(ids.len());
            if left == 0 || range == Range::BeforeObjectIds && after.as_ref().is_some_and(sorts_after) {
                continue;
            }
            let from = after.as_ref().filter(|after| sorts_after(after) == (range == Range::AfterObjectIds));
            ids.extend(self.range(entity, range, from, left).await?);
        }
        let mark = ids.last().map(mark).transpose()?;
        Ok(Strays { found: ids.iter().map(|id| stray(Some(id), false)).collect(), mark })
    }

    async fn range(&self, entity: &Entity, range: Range, from: Option<&Bson>, limit: usize) -> Result<Vec<Bson>> {
        let mut session = self.reading_session(None).await?;
        let doing = reading(entity);
        // the lower bound is inclusive, so one more is asked for and the former last is left out
        let ask = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let lowest = match range {
            Range::BeforeObjectIds => Bson::MinKey,
            Range::AfterObjectIds => Bson::ObjectId(ObjectId::from_bytes([0xff; 12])),
        };
        let collection = self.collection(entity);
        let mut query = collection.find(doc! {}).projection(doc! { "_id": 1 }).sort(doc! { "_id": 1 });
        query = query.hint(mongodb::options::Hint::Keys(doc! { "_id": 1 })).limit(ask).max_time(MAX_TIME);
        query = query.min(doc! { "_id": from.unwrap_or(&lowest) }).read_concern(ReadConcern::majority());
        if range == Range::BeforeObjectIds {
            query = query.max(doc! { "_id": ObjectId::from_bytes([0; 12]) });
        }
        let answer = async {
            let read = async { drain(query.session(&mut session).await?, &mut session).await };
            read.await.map_err(|error| translate(&error, doing))
        };
        let documents = in_time(doing.what, answer).await?;
        self.seen.advance(session.operation_time());
        let ids = documents.iter().filter_map(|document| id_of(document));
        let former = from.map(mark).transpose()?;
        let new = |id: &Bson| !matches!(id, Bson::ObjectId(_)) && mark(id).ok() != former;
        Ok(ids.filter(new).take(limit).collect())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Range {
    BeforeObjectIds,
    AfterObjectIds,
}

/// Whether an `_id` of this type sorts after ObjectIds.
const fn sorts_after(id: &Bson) -> bool {
    !matches!(
        id,
        Bson::MinKey
            | Bson::Undefined
            | Bson::Null
            | Bson::Int32(_)
            | Bson::Int64(_)
            | Bson::Double(_)
            | Bson::Decimal128(_)
            | Bson::String(_)
            | Bson::Symbol(_)
            | Bson::Document(_)
            | Bson::Array(_)
            | Bson::Binary(_)
    )
}

/// The `_id` of a document or of a document key.
pub(super) fn id_of(document: &RawDocument) -> Option<Bson> {
    document.get("_id").ok().flatten().and_then(|raw| raw.try_into().ok())
}

/// How people see a document that no key can name.
pub(super) fn stray(id: Option<&Bson>, gone: bool) -> Stray {
    Stray { kind: id.map_or("missing", kind), shown: id.map_or_else(|| "missing".to_owned(), shown), gone }
}

/// Extended JSON, unless it could be a phone number or an address: then a mask, with enough of a fingerprint to tell two
/// of them apart and too little to find the number again.
fn shown(id: &Bson) -> String {
    let text = match id {
        // to MongoDB the same `_id`, whatever type of number it is
        Bson::Int64(number) => number.to_string(),
        other => extjson::value(other).to_string(),
    };
    let telling = text.contains('@') || longest_number(&text) >= PHONE_DIGITS;
    let visible = match id {
        Bson::String(text) if telling => mask(text),
        _ if telling => mask(""),
        _ if text.chars().count() > SHOWN => text.chars().take(SHOWN).collect::<String>() + "…",
        _ => return text,
    };
    let fingerprint = Digest::of(&Value::Text(text.into())).to_bits() & 0xffff_ffff;
    format!("{visible} #{fingerprint:08x}")
}

/// The digits of the longest number, written with separators or without.
fn longest_number(text: &str) -> usize {
    let (mut longest, mut digits) = (0, 0);
    for letter in text.chars() {
        match letter {
            _ if letter.is_numeric() => digits += 1,
            ' ' | '-' | '.' | '(' | ')' | '/' | '+' => {}
            _ => digits = 0,
        }
        longest = longest.max(digits);
    }
    longest
}

const fn kind(id: &Bson) -> &'static str {
    match id {
        Bson::String(_) => "text",
        Bson::Int32(_) | Bson::Int64(_) => "int",
        Bson::Double(_) => "double",
        Bson::Decimal128(_) => "decimal",
        Bson::Document(_) => "object",
        Bson::Binary(_) => "binData",
        Bson::DateTime(_) => "timestamp",
        Bson::Boolean(_) => "bool",
        Bson::Null => "null",
        _ => "another type",
    }
}

/// An id as a mark to go on from; exact for every type.
fn mark(id: &Bson) -> Result<String> {
    let bytes = doc! { "_id": id }.to_vec();
    let bytes = bytes.map_err(|error| Error::halt("an _id cannot be written down").with_source(error))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn unmark(mark: &str) -> Result<Bson> {
    let malformed = || Error::halt("the saved progress of the legacy sweep is not an id");
    let digits: Vec<u8> = mark.chars().filter_map(|digit| digit.to_digit(16)?.try_into().ok()).collect();
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    let mut document = Document::from_reader(&mut bytes.as_slice()).map_err(|_| malformed())?;
    document.remove("_id").ok_or_else(malformed)
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{DateTime, Decimal128};

    use super::*;

    #[test]
    fn plain_ids_are_shown_and_telling_ones_are_masked_apart() {
        let show = |id: Bson| stray(Some(&id), false).shown;
        assert_eq!(show("imported-17".into()), "\"imported-17\"");
        assert_eq!(show(Bson::Int32(17)), "17");
        assert_eq!(show(Bson::Null), "null");
        let phones =
            [show("+1 (847) 555-0100".into()), show("+1 (847) 555-0101".into()), show(8_475_550_100_i64.into())];
        for phone in &phones {
            let (mask, fingerprint) = phone.split_once('#').unwrap();
            assert!(mask.starts_with('•') && !mask.contains(char::is_numeric) && fingerprint.len() == 8, "{phone}");
        }
        assert_ne!(phones[0], phones[1]);
        assert!(show("ada@example.org".into()).starts_with("a•••• #"));
        assert!(show(doc! { "mail": "ada@example.org" }.into()).starts_with("•••• #"));
        assert!(show("x".repeat(500).into()).chars().count() < 80);
    }

    #[test]
    fn a_mark_keeps_every_type_exactly() {
        let ids: [Bson; 7] = [
            Bson::Int32(7),
            Bson::Int64(7),
            Bson::Double(7.5),
            "seven".into(),
            doc! { "a": 7 }.into(),
            DateTime::from_millis(7).into(),
            "7".parse::<Decimal128>().unwrap().into(),
        ];
        for id in ids {
            assert_eq!(unmark(&mark(&id).unwrap()).unwrap(), id);
        }
        assert!(unmark("nonsense").is_err());
    }
}
