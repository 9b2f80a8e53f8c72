//! Whether a record is synced at all, and whether it is made, deleted or merged.

use super::Record;
use crate::model::{
    digest::Base,
    image::Image,
    mapping::{DeleteRule, Entity, Flow},
    merge::{Existence, existence},
    problem::{Problem, Reason},
    side::Side,
};

/// Whether what is there of a record belongs, on whichever sides it is.
pub(super) fn is_synced(entity: &Entity, record: &Record) -> bool {
    let images = [(Side::Legacy, &record.legacy), (Side::Renaissance, &record.renaissance)];
    images.into_iter().all(|(side, image)| image.as_ref().is_none_or(|image| entity.belongs(side, image)))
}

/// What is to become of a whole record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is on both sides: merge field by field.
    Merge,
    /// New: make it on this side.
    Create(Side),
    /// Make it again on this side. `winner`: whose wish that was, if the sides disagreed.
    Restore { on: Side, winner: Option<Side> },
    /// Delete it on this side. `winner`: whose wish that was, if the sides disagreed.
    Delete { on: Side, winner: Option<Side> },
    /// It was deleted on one side, by a rule or because it did not belong there, and stays on the other, which no longer
    /// follows. Its link stays too: without it the record would look new and be made again.
    Stay,
    /// It is on neither side.
    End,
}

pub(super) fn fate(entity: &Entity, record: &Record) -> Fate {
    let remaining = match (&record.legacy, &record.renaissance) {
        (Some(image), None) => Some((Side::Legacy, image)),
        (None, Some(image)) => Some((Side::Renaissance, image)),
        (None, None) | (Some(_), Some(_)) => None,
    };
    if let (Some((side, _)), Some(base)) = (remaining, &record.base)
        && base.is_outside(side.other())
    {
        return Fate::Stay;
    }
    if let (Some((side, _)), Some(true)) = (remaining, record.base.as_ref().map(Base::is_forgotten)) {
        return Fate::Restore { on: side.other(), winner: None };
    }
    let changed = match (remaining, &record.base) {
        (Some((side, image)), Some(base)) => moved(entity, side, image, base),
        _ => false,
    };
    let (legacy, renaissance) = (record.legacy.is_some(), record.renaissance.is_some());
    match (existence(legacy, renaissance, record.base.is_some(), changed, record.owner), entity.deletes) {
        (Existence::Both, _) => Fate::Merge,
        (Existence::Gone, _) => Fate::End,
        (Existence::Create(side), _) => Fate::Create(side),
        (Existence::Delete(on), DeleteRule::Mirror) => Fate::Delete { on, winner: None },
        (Existence::DeleteChanged(on), DeleteRule::Mirror) => Fate::Delete { on, winner: Some(record.owner) },
        (Existence::Restore(on), DeleteRule::Mirror) => Fate::Restore { on, winner: Some(record.owner) },
        (Existence::Delete(stays), DeleteRule::Restore) => Fate::Restore { on: stays.other(), winner: None },
        (Existence::DeleteChanged(stays), DeleteRule::Restore) => {
            Fate::Restore { on: stays.other(), winner: Some(stays) }
        }
        (Existence::Restore(on), DeleteRule::Restore) => Fate::Restore { on, winner: Some(on.other()) },
        (Existence::Delete(_) | Existence::DeleteChanged(_) | Existence::Restore(_), DeleteRule::Keep) => Fate::Stay,
    }
}

/// What becomes of a record whose fate a database refused. One that something still refers to is not as it was when it was
/// deleted: where the owner's side holds on to it, it is made again.
pub(super) fn instead(refused: Fate, problem: &Problem, owner: Side) -> Option<Fate> {
    match (refused, owner) {
        (Fate::Delete { on: Side::Renaissance, .. }, Side::Renaissance)
            if problem.reason == Reason::StillReferenced =>
        {
            Some(Fate::Restore { on: Side::Legacy, winner: Some(owner) })
        }
        _ => None,
    }
}

/// Whether any readable field whose changes cross differs from what was agreed on.
fn moved(entity: &Entity, side: Side, image: &Image, base: &Base) -> bool {
    entity.fields.iter().enumerate().filter(|(_, field)| !field.once && field.flow != Flow::To(side)).any(
        |(n, field)| {
            let (now, agreed) = (field.get(side, image).digest(), base.get(n));
            now.is_some() && agreed.is_some() && now != agreed
        },
    )
}
