//! Who an unlinked record is on the other side: the same person or thing, a new one, or unclear. Pure.

use crate::model::{
    image::Image,
    mapping::Entity,
    problem::{Problem, Reason},
    reading::Reading,
    side::Side,
};

/// A record of the other side that matches an unlinked one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match<I> {
    /// How strong: 0 is a reference by id, then the natural keys in the mapping's order.
    pub rank: usize,
    /// Its id.
    pub id: I,
    /// Whether it is linked to another record already.
    pub linked: bool,
}

/// The outcome of looking for a counterpart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity<I> {
    /// There is none.
    New,
    /// This one, matched at this rank.
    Same(I, usize),
    /// Somebody else holds the key, or several match.
    Unclear(Problem),
}

/// Chooses among the matches: the strongest rank decides; several or a linked one at that rank are unclear.
pub fn choose<I: Copy + Eq>(entity: &Entity, mut matches: Vec<Match<I>>) -> Identity<I> {
    matches.sort_by_key(|found| found.rank);
    let Some(best) = matches.first().copied() else { return Identity::New };
    if matches.iter().any(|found| found.rank == best.rank && found.id != best.id) {
        return unclear(format!("several records on the other side have the same {}", key_name(entity, best.rank)));
    }
    if best.linked {
        return unclear(format!("another linked record already holds the same {}", key_name(entity, best.rank)));
    }
    Identity::Same(best.id, best.rank)
}

/// Refuses a match by a weaker key when a stronger one is known on both sides and differs: two records, one of them the wrong one.
pub fn contradiction(entity: &Entity, rank: usize, legacy: &Image, renaissance: &Image) -> Option<Problem> {
    let stronger = entity.natural_keys.iter().take(rank.saturating_sub(1));
    for (place, fields) in stronger.enumerate() {
        let readings = fields.iter().map(|field| &entity.fields[*field]);
        let readings: Vec<_> = readings
            .map(|field| (field.get(Side::Legacy, legacy), field.get(Side::Renaissance, renaissance)))
            .collect();
        let all_known = readings.iter().all(|(left, right)| known(left) && known(right));
        if all_known && readings.iter().any(|(left, right)| left != right) {
            let (weak, strong) = (key_name(entity, rank), key_name(entity, place + 1));
            let detail = format!("a record on the other side has the same {weak} but another {strong}");
            return Some(Problem::new(Reason::UniqueTaken, detail));
        }
    }
    None
}

const fn known(reading: &Reading) -> bool {
    match reading {
        Reading::Value(value) => !matches!(value, crate::model::value::Value::Null),
        Reading::Absent | Reading::Invalid(_) => false,
    }
}

fn unclear<I>(detail: String) -> Identity<I> {
    Identity::Unclear(Problem::new(Reason::UniqueTaken, detail))
}

fn key_name(entity: &Entity, rank: usize) -> String {
    let fields = rank.checked_sub(1).and_then(|key| entity.natural_keys.get(key));
    let names = |fields: &Vec<usize>| {
        let names = fields.iter().filter_map(|field| entity.fields.get(*field)).map(|field| field.name.as_str());
        names.collect::<Vec<_>>().join(" and ")
    };
    fields.map_or_else(|| "id of the old system".to_owned(), names)
}
