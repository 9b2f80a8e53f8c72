//! A record that is on both sides: its fields, one by one or as groups.

use super::{Draft, at};
use crate::{
    model::{
        digest::Digest,
        image::{Image, Patch},
        key::SideId,
        mapping::{Field, Flow},
        merge::{Agreed, Member, Together, Verdict, follow, merge, together},
        policy::Policy,
        problem::{Problem, Reason},
        reading::Reading,
        side::Side,
        value::Value,
    },
    sync::ports::{IntentKind, LegacyChange, RenaissanceChange},
};

/// A field of a group: its index, itself, what both sides hold.
type Grouped<'a> = (usize, &'a Field, [Reading; 2]);

impl Draft<'_> {
    pub(super) fn merge_fields(&mut self) {
        let (Some(legacy), Some(renaissance)) = (self.image(Side::Legacy), self.image(Side::Renaissance)) else {
            return;
        };
        self.merge_each([legacy, renaissance], |_| true);
        self.wait_for_members();
        // A row found by a natural key is told who it is.
        self.planned.plan.back_reference = self.record.unnamed;
        self.update_rows();
        self.update_document();
        if self.record.base.as_ref() != Some(&self.base_now) {
            self.planned.plan.base = Some(self.base_now.clone());
        }
    }

    /// Merges the fields that are `wanted`; those of a group are all wanted or none.
    pub(super) fn merge_each(&mut self, [legacy, renaissance]: [&Image; 2], wanted: impl Fn(&Field) -> bool) {
        let fields = &self.entity.fields;
        for (n, field) in fields.iter().enumerate().filter(|(_, field)| !field.once && wanted(field)) {
            if self.obey(n, field, [legacy, renaissance]) {
                continue;
            }
            match field.group {
                None => self.merge_field(n, field, legacy, renaissance),
                Some(group) => {
                    let members = || fields.iter().enumerate().filter(|(_, f)| f.group == Some(group) && !f.once);
                    if members().any(|(n, _)| self.is_ordered(n)) {
                        // the others are equal: the order was held against them too
                        self.merge_field(n, field, legacy, renaissance);
                    } else if members().next().is_some_and(|(first, _)| first == n) {
                        let readings = |field: &Field| {
                            [field.get(Side::Legacy, legacy), field.get(Side::Renaissance, renaissance)]
                        };
                        let grouped: Vec<Grouped<'_>> =
                            members().map(|(n, field)| (n, field, readings(field))).collect();
                        self.merge_group(&grouped);
                    }
                }
            }
        }
    }

    /// What the fields write to rows that are there.
    pub(super) fn update_rows(&mut self) {
        let patch = std::mem::take(&mut self.patches[at(Side::Renaissance)]);
        let Some(rows) = self.image(Side::Renaissance) else { return };
        if !patch.is_empty() || self.planned.plan.back_reference {
            self.planned.plan.rows = Some(RenaissanceChange::Update(rows.version.clone(), patch));
        }
    }

    /// What the fields write to a document that is there.
    pub(super) fn update_document(&mut self) {
        let patch = std::mem::take(&mut self.patches[at(Side::Legacy)]);
        let Some(document) = self.image(Side::Legacy) else { return };
        if !patch.is_empty() {
            self.planned.document = Some(LegacyChange::Update(document.version.clone(), patch));
            self.planned.plan.intent = Some((IntentKind::Update, self.base.clone()));
        }
    }

    fn merge_field(&mut self, n: usize, field: &Field, legacy: &Image, renaissance: &Image) {
        if let Some(problem) = self.refusal(n) {
            self.park(field, problem.clone());
            return;
        }
        // as the merge says of equal values; under `sum` both may have added the same
        if let Some(value) = field.same(legacy, renaissance).filter(|_| field.policy != Policy::Sum) {
            return self.agree(n, field, Digest::of(&value), &value, true);
        }
        let readings = [field.get(Side::Legacy, legacy), field.get(Side::Renaissance, renaissance)];
        let lasting = self.lasting(n, field);
        let agreed = match &lasting {
            Some(members) => Agreed { value: None, members: Some(members), number: None },
            None => Agreed { value: self.base.get(n), members: self.base.members(n), number: self.base.number(n) },
        };
        let verdict = match field.flow {
            Flow::Both => merge(self.policy(field), self.record.owner, agreed, &readings[0], &readings[1]),
            Flow::To(side) => follow(side, agreed, &readings[0], &readings[1]),
        };
        match verdict {
            Verdict::Agreed(digest) => {
                readings[0].value().into_iter().for_each(|value| self.agree(n, field, digest, value, true));
            }
            Verdict::Keep => {}
            Verdict::Copy { to, value } => {
                if self.copy(n, field, to, &value) {
                    self.note_stale(n, field, to, &readings);
                }
            }
            Verdict::Combined(value) => {
                self.combine(n, field, &value, &readings[0]);
                self.record.former.into_iter().for_each(|former| self.note_stale(n, field, former.other(), &readings));
            }
            Verdict::Conflict { winner, value } => {
                if self.copy(n, field, winner.other(), &value) {
                    self.conflict(n, field, Some(winner), &readings);
                }
            }
            Verdict::Undecided => {
                self.conflict(n, field, None, &readings);
                self.park(field, undecided(field));
            }
            Verdict::Unreadable(_, problem) => self.park(field, problem),
        }
    }

    /// The field's policy, for this record.
    fn policy(&self, field: &Field) -> Policy {
        field.policy.at_times(self.updated())
    }

    /// When each side says that the record was last updated, in microseconds since 1970.
    pub(super) fn updated(&self) -> [Option<i64>; 2] {
        let field = self.entity.updated.and_then(|n| self.entity.fields.get(n));
        Side::ALL.map(|side| match field?.get(side, self.image(side)?).value()? {
            Value::Timestamp(micros) => Some(*micros),
            _ => None,
        })
    }

    /// What was agreed on of a set without the members that were deleted since and are back: their rows went with them, which
    /// nobody who edited the set has done. `None` if there are none.
    fn lasting(&self, n: usize, field: &Field) -> Option<Vec<u64>> {
        let refers = field.refers.as_ref().filter(|refers| refers.linked && refers.many)?;
        let back =
            self.record.awaits.iter().filter(|(entity, id)| {
                *entity == refers.entity && self.given.links.knows(*entity, SideId::Legacy(*id))
            });
        let back: Vec<u64> = back.map(|(_, id)| Digest::of(&Value::Id(id.bytes())).to_bits()).collect();
        let members = self.base.members(n).unwrap_or_default();
        (!back.is_empty()).then(|| members.iter().copied().filter(|member| !back.contains(member)).collect())
    }

    /// What writing a value to a side takes, unless that side cannot hold it or must not be written.
    fn patch(&self, field: &Field, to: Side, value: &Value) -> Result<Patch, Problem> {
        let patch = field.put(to, value, self.image(to))?;
        match self.held(field, to).filter(|_| !patch.is_empty()) {
            Some(problem) => Err(problem),
            None => Ok(patch),
        }
    }

    /// Adds one value to what is written to a side. False if that is not possible now: the field is parked.
    pub(super) fn copy(&mut self, n: usize, field: &Field, to: Side, value: &Value) -> bool {
        match self.patch(field, to, value) {
            Ok(patch) => {
                self.agree(n, field, Digest::of(value), value, to == Side::Renaissance || patch.is_empty());
                self.write(n, to, patch);
                true
            }
            Err(problem) => {
                self.park(field, problem);
                false
            }
        }
    }

    /// Writes one value to both sides. The rows come first and have all that the document held and no longer held: until the
    /// document is written, it is what was agreed on, and the rows are ahead.
    pub(super) fn combine(&mut self, n: usize, field: &Field, value: &Value, legacy: &Reading) {
        let put = |to| self.patch(field, to, value);
        match put(Side::Legacy).and_then(|document| Ok((document, put(Side::Renaissance)?))) {
            Ok((document, rows)) => {
                if let Some(held) = legacy.value().filter(|_| !document.is_empty()) {
                    self.agree(n, field, Digest::of(held), held, true);
                }
                self.agree(n, field, Digest::of(value), value, document.is_empty());
                self.write(n, Side::Legacy, document);
                self.write(n, Side::Renaissance, rows);
            }
            Err(problem) => self.park(field, problem),
        }
    }

    fn write(&mut self, n: usize, to: Side, patch: Patch) {
        if !patch.is_empty() {
            self.planned.fields.push((to, n));
        }
        self.patches[at(to)].extend(patch);
    }

    /// Fields that are decided together cross together or not at all.
    fn merge_group(&mut self, group: &[Grouped<'_>]) {
        let Some((_, first, _)) = group.first() else { return };
        let unreadable = |(n, _, readings): &Grouped<'_>| match (self.refusal(*n), &readings) {
            (Some(problem), _) | (None, [Reading::Invalid(problem), _] | [_, Reading::Invalid(problem)]) => {
                Some((*n, problem.clone()))
            }
            (None, _) => None,
        };
        if let Some((n, problem)) = group.iter().find_map(unreadable) {
            self.park_group(group, n, &problem);
            return;
        }
        let to = match first.flow {
            Flow::Both => None,
            Flow::To(side) => Some(side),
        };
        let members: Vec<Member<'_>> =
            group.iter().map(|(n, _, readings)| Member { base: self.base.get(*n), readings }).collect();
        match together(self.policy(first), self.record.owner, to, &members) {
            Together::Agreed => {
                for (n, field, readings) in group {
                    let value = readings[0].value();
                    value.into_iter().for_each(|value| self.agree(*n, field, Digest::of(value), value, true));
                }
            }
            Together::Keep => {}
            Together::Copy(to) => {
                if self.copy_group(group, to) {
                    for (n, field, readings) in group.iter().filter(|(.., readings)| differs(readings)) {
                        self.note_stale(*n, field, to, readings);
                    }
                }
            }
            Together::Conflict(winner) => {
                if self.copy_group(group, winner.other()) {
                    for (n, field, readings) in group.iter().filter(|(.., readings)| differs(readings)) {
                        self.conflict(*n, field, Some(winner), readings);
                    }
                }
            }
            Together::Undecided => {
                for (n, field, readings) in group.iter().filter(|(.., readings)| differs(readings)) {
                    self.conflict(*n, field, None, readings);
                }
                self.park_group(group, group[0].0, &undecided(first));
            }
        }
    }

    fn copy_group(&mut self, group: &[Grouped<'_>], to: Side) -> bool {
        let mut patches = Vec::with_capacity(group.len());
        for (n, field, readings) in group {
            let Some(value) = readings[at(to.other())].value() else { continue };
            match self.patch(field, to, value) {
                Ok(patch) => patches.push((*n, *field, value, patch)),
                Err(problem) => {
                    self.park_group(group, *n, &problem);
                    return false;
                }
            }
        }
        let at_once = to == Side::Renaissance || patches.iter().all(|(.., patch)| patch.is_empty());
        for (n, field, value, patch) in patches {
            self.agree(n, field, Digest::of(value), value, at_once);
            self.write(n, to, patch);
        }
        true
    }

    /// Parks every field of a group in which the sides differ, as the one at `culprit` cannot cross.
    fn park_group(&mut self, group: &[Grouped<'_>], culprit: usize, problem: &Problem) {
        let name = &self.entity.fields[culprit].name;
        for (n, field, readings) in group {
            if *n == culprit {
                self.park(field, problem.clone());
            } else if differs(readings) {
                self.park(field, together_with(problem, name));
            }
        }
    }
}

/// The problem of a field that is held back by another one of its group.
pub(super) fn together_with(problem: &Problem, culprit: &str) -> Problem {
    let detail = format!("is decided together with {culprit}, which cannot cross: {}", problem.detail);
    Problem { pause: problem.pause, ..Problem::new(problem.reason, detail) }
}

fn differs(readings: &[Reading; 2]) -> bool {
    readings[0].digest() != readings[1].digest()
}

fn undecided(field: &Field) -> Problem {
    let detail = format!("both sides changed {} and its policy leaves it to a person", field.name);
    Problem::new(Reason::Undecided, detail)
}
