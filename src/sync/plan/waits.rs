//! What is parked, and what it waits for.

use super::Draft;
use crate::{
    model::{
        key::{EntityIndex, LegacyId, SideId},
        links::Links,
        mapping::Field,
        problem::{Problem, Reason},
        side::Side,
        value::Value,
    },
    sync::ports::ParkedRow,
};

impl Draft<'_> {
    /// Parks a field; once is enough.
    pub(super) fn park(&mut self, field: &Field, problem: Problem) {
        if !self.is_parked(field) {
            let waits = self.waits(field, &problem);
            self.planned.plan.parked.push(ParkedRow { field: Some(field.name.clone()), problem, waits });
        }
    }

    /// Parks the record and nothing else of it; `waits`: for whom.
    pub(super) fn park_record(&mut self, problem: Problem, waits: Vec<(EntityIndex, SideId)>) {
        self.planned.plan.parked = vec![ParkedRow { field: None, problem, waits }];
        self.planned.plan.conflicts.clear();
        self.planned.fields.clear();
        self.forget_unmade();
    }

    /// Parks the record for a reason that is no field's.
    pub(super) fn park_whole(&mut self, problem: Problem) {
        self.park_record(problem, Vec::new());
    }

    pub(super) fn is_parked(&self, field: &Field) -> bool {
        self.planned.plan.parked.iter().any(|row| row.field.as_ref() == Some(&field.name))
    }

    /// For a missing reference: the records it names that are not linked; where all are (the row has just gone), themselves.
    pub(super) fn waits(&self, field: &Field, problem: &Problem) -> Vec<(EntityIndex, SideId)> {
        let Some(refers) = field.refers.as_ref().filter(|_| problem.reason == Reason::MissingReference) else {
            return Vec::new();
        };
        let images = Side::ALL.into_iter().filter_map(|side| Some((side, self.image(side)?)));
        let (mut waits, mut named) = (Vec::new(), Vec::new());
        for (side, image) in images {
            waits.extend(Links::dangling(field, side, image).0);
            if let Some(Value::Id(id)) = field.get(side, image).value() {
                named.push((refers.entity, SideId::Legacy(LegacyId::new(*id))));
            }
        }
        if waits.is_empty() { named } else { waits }
    }

    /// Says, for a record that waits for another, if that one waits for it.
    pub(super) fn round(&self, problem: &Problem) -> String {
        let circle = self.record.circle.as_ref().filter(|_| problem.reason == Reason::MissingReference);
        circle.map_or_else(String::new, |way| {
            format!("; the two wait for each other: {way}; change one of the references")
        })
    }

    /// Sets cross without the members that are not linked. The field waits for those that may be on their way; a deleted one
    /// stays where it is named, and is only remembered, should it come back.
    pub(super) fn wait_for_members(&mut self) {
        if self.given.sets_later || !self.entity.has_linked_sets() {
            return;
        }
        let mut awaits = Vec::new();
        for field in &self.entity.fields {
            let Some(refers) = field.refers.as_ref().filter(|refers| refers.linked && refers.many) else { continue };
            if self.is_parked(field) {
                // undecided, so what was known of it still holds
                awaits.extend(self.record.awaits.iter().filter(|(entity, _)| *entity == refers.entity));
                continue;
            }
            let images = Side::ALL.into_iter().filter_map(|side| Some((side, self.image(side)?)));
            let mut found: Vec<_> = images.map(|(side, image)| (side, Links::dangling(field, side, image))).collect();
            for (_, (waiting, _)) in &mut found {
                waiting.retain(|(entity, id)| match id {
                    SideId::Legacy(id) if self.given.links.is_deleted(*entity, SideId::Legacy(*id)) => {
                        awaits.push((*entity, *id));
                        false
                    }
                    SideId::Legacy(_) | SideId::Renaissance(_) => true,
                });
            }
            let said: Vec<String> = found
                .iter()
                .filter(|(_, (waiting, _))| !waiting.is_empty())
                .map(|(side, (waiting, all))| format!("{} of {all} in {side}", waiting.len()))
                .collect();
            if said.is_empty() {
                continue;
            }
            let waits = found.into_iter().flat_map(|(_, (waiting, _))| waiting).collect();
            let detail = format!("{} refers to records that are not on both sides: {}", field.name, said.join(", "));
            let problem = Problem::new(Reason::MissingReference, detail);
            self.planned.plan.parked.push(ParkedRow { field: Some(field.name.clone()), problem, waits });
        }
        awaits.sort_unstable();
        awaits.dedup();
        self.planned.plan.awaits = Some(awaits);
    }
}
