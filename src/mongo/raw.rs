//! Counting and adding up what documents hold, by the server and as it is stored.

use mongodb::bson::{Bson, Document, doc};

use super::{
    connect::Legacy,
    documents::{MAX_TIME, in_time, reading, with_ids},
    error::translate,
};
use crate::{
    error::Result,
    model::{
        key::{EntityIndex, LegacyId},
        mapping::Plain,
        side::Side,
    },
    sync::ports::{RawSum, RawSums},
};

impl Legacy {
    /// What these documents hold in these fields. No lens is involved.
    pub async fn raw_sums(&self, index: EntityIndex, ids: &[LegacyId], fields: &[(usize, Plain)]) -> Result<RawSums> {
        let entity = self.entity(index);
        let mut group = doc! { "_id": Bson::Null, "records": { "$sum": 1_i64 } };
        for (place, (field, plain)) in fields.iter().enumerate() {
            let slot = entity.fields.get(*field).and_then(|field| field.slots(Side::Legacy).first());
            let Some(path) = slot.and_then(|slot| entity.legacy.paths.get(*slot)) else { continue };
            let held = format!("${}", path.0.join("."));
            let empty = doc! { "$in": [{ "$ifNull": [&held, Bson::Null] }, [Bson::Null, ""]] };
            group.insert(format!("empty{place}"), doc! { "$sum": { "$cond": [empty, 1_i64, 0_i64] } });
            group.insert(format!("sum{place}"), doc! { "$sum": measured(*plain, &held) });
        }
        let doing = reading(entity);
        let answer = async {
            let failed = |error: mongodb::error::Error| translate(&error, doing);
            let stages = [doc! { "$match": with_ids(ids) }, doc! { "$group": group }];
            let collection = self.collection(entity);
            let sums = collection.aggregate(stages).max_time(MAX_TIME);
            let mut cursor = sums.with_type::<Document>().await.map_err(failed)?;
            Ok(if cursor.advance().await.map_err(failed)? {
                cursor.deserialize_current().map_err(failed)?
            } else {
                Document::new()
            })
        };
        let found = in_time(doing.what, answer).await?;
        let number = |key: &str| match found.get(key) {
            Some(Bson::Int32(number)) => f64::from(*number),
            #[expect(clippy::cast_precision_loss, reason = "a count or a sum of lengths")]
            Some(Bson::Int64(number)) => *number as f64,
            Some(Bson::Double(number)) => *number,
            _ => 0.0,
        };
        let sum = |place| RawSum { empty: number(&format!("empty{place}")), sum: number(&format!("sum{place}")) };
        Ok(RawSums { records: number("records"), fields: (0..fields.len()).map(sum).collect() })
    }
}

/// What a document adds to the sum.
fn measured(plain: Plain, held: &str) -> Document {
    match plain {
        Plain::Text => {
            let text = doc! { "$or": [{ "$eq": [{ "$type": held }, "string"] }, { "$isNumber": held }] };
            doc! { "$cond": [text, { "$strLenCP": { "$toString": held } }, 0_i64] }
        }
        Plain::Truth => doc! { "$cond": [{ "$eq": [held, true] }, 1_i64, 0_i64] },
        // digits are a number to both sides, however they are stored
        Plain::Number => {
            let digits = doc! { "$convert": { "input": held, "to": "double", "onError": 0_i64, "onNull": 0_i64 } };
            let is_text = doc! { "$eq": [{ "$type": held }, "string"] };
            doc! { "$switch": {
                "branches": [{ "case": { "$isNumber": held }, "then": held }, { "case": is_text, "then": digits }],
                "default": 0_i64,
            } }
        }
    }
}
