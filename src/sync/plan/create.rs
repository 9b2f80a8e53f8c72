//! Making a record on one side from the other.

use super::{Draft, apply, at, blank, fields::together_with};
use crate::{
    model::{
        digest::Digest,
        image::{Image, Patch},
        mapping::{Computed, Field, Flow, InsertValue},
        problem::{Problem, Reason},
        reading::Reading,
        side::Side,
        value::Value,
    },
    sync::ports::{IntentKind, LegacyChange, RenaissanceChange},
};

/// What a field of a new record gets.
enum Start {
    /// This value of the other side.
    Value(Value, Patch),
    /// What a record without the field would have; the other side has no place for it, or does not lead.
    Nothing,
    /// The same, and the field is parked.
    Problem(Problem),
}

impl Draft<'_> {
    /// Makes the record on `to` from the other side. A field that cannot cross is parked and takes the value a record
    /// without it would have; if there is none, the whole record is parked.
    pub(super) fn create(&mut self, to: Side) {
        let Some(source) = self.image(to.other()) else { return };
        if let Some(problem) = self.held_whole(to) {
            return self.park_whole(problem);
        }
        let mut created = blank(self.entity, to, self.record.legacy_id);
        let mut unset = Vec::new();
        for (n, (field, start)) in self.entity.fields.iter().zip(self.starts(to, source)).enumerate() {
            let (patch, agreed) = match self.started(n, field, to, start) {
                Ok(started) => started,
                Err(problem) => {
                    let waits = self.waits(field, &problem);
                    let round = self.round(&problem);
                    let detail = format!("{}: {}{round}", field.name, problem.detail);
                    self.park_record(Problem::new(problem.reason, detail), waits);
                    return;
                }
            };
            if !patch.is_empty() || agreed.is_some() {
                self.planned.fields.push((to, n));
            }
            apply(&mut created, &patch);
            self.patches[at(to)].extend(patch);
            match agreed {
                Some(value) => self.agree(n, field, Digest::of(&value), &value, false),
                None => unset.push(n),
            }
        }
        // What was not agreed on is held against what the new record reads now: only a later change there conflicts.
        for n in unset {
            self.base.set(n, self.entity.fields[n].get(to, &created).digest());
        }
        self.fill(to, &created);
        // a side that only follows takes over what it was not asked for
        let images = match to {
            Side::Legacy => [&created, source],
            Side::Renaissance => [source, &created],
        };
        self.merge_each(images, |field| field.flow == Flow::To(to.other()));
        self.wait_for_members();
        self.make(to);
    }

    fn make(&mut self, to: Side) {
        match to {
            Side::Renaissance => {
                let patch = std::mem::take(&mut self.patches[at(to)]);
                self.planned.plan.rows = Some(RenaissanceChange::Insert(patch));
                self.planned.plan.renaissance = None;
                self.planned.plan.base = Some(self.base.clone());
                self.update_document();
            }
            Side::Legacy => {
                let patch = std::mem::take(&mut self.patches[at(to)]);
                self.planned.document = Some(LegacyChange::Insert(patch));
                self.planned.plan.intent = Some((IntentKind::Insert, self.base.clone()));
                self.update_rows();
            }
        }
    }

    /// What each field starts with. One that cannot cross holds back those it is decided together with.
    fn starts(&self, to: Side, source: &Image) -> Vec<Start> {
        let fields = &self.entity.fields;
        let mut starts: Vec<Start> = fields.iter().enumerate().map(|(n, f)| self.start(n, f, to, source)).collect();
        for (culprit, field) in fields.iter().enumerate().filter(|(_, field)| field.group.is_some()) {
            let Some(problem) = starts.get(culprit).and_then(Start::problem) else { continue };
            let problem = together_with(problem, &field.name);
            for (start, other) in starts.iter_mut().zip(fields).filter(|(_, other)| other.group == field.group) {
                if matches!(start, Start::Value(..)) && !other.once {
                    *start = Start::Problem(problem.clone());
                }
            }
        }
        starts
    }

    fn start(&self, n: usize, field: &Field, to: Side, source: &Image) -> Start {
        if field.flow == Flow::To(to.other()) {
            return Start::Nothing;
        }
        if let Some(problem) = self.refusal(n) {
            return Start::Problem(problem.clone());
        }
        match field.get(to.other(), source) {
            Reading::Value(value) => match field.put(to, &value, None) {
                Ok(patch) => Start::Value(value, patch),
                Err(problem) => Start::Problem(problem),
            },
            Reading::Absent => Start::Nothing,
            Reading::Invalid(problem) => Start::Problem(problem),
        }
    }

    /// What is written for a field, and the value agreed on (`None`: a stand-in).
    fn started(&mut self, n: usize, field: &Field, to: Side, start: Start) -> Result<(Patch, Option<Value>), Problem> {
        match start {
            Start::Value(value, patch) => Ok((patch, Some(value))),
            Start::Nothing if field.flow == Flow::Both => Ok((Patch::new(), None)),
            Start::Nothing => Ok((self.stand_in(field, to).unwrap_or_default(), None)),
            Start::Problem(problem) => {
                let optional = problem.reason != Reason::MissingReference || !self.entity.insists_on(n);
                let patch = if optional { self.stand_in(field, to) } else { None };
                // A stand-in that was itself refused would be refused again.
                let patch = patch.ok_or_else(|| problem.clone())?;
                self.park(field, problem);
                Ok((patch, None))
            }
        }
    }

    /// The content of a record without the field: nothing in a document, the mapping's default in a row.
    fn stand_in(&self, field: &Field, to: Side) -> Option<Patch> {
        if to == Side::Legacy {
            return Some(Patch::new());
        }
        let missing = field.get(Side::Legacy, &blank(self.entity, Side::Legacy, self.record.legacy_id));
        missing.value().and_then(|value| field.put(to, value, None).ok())
    }

    /// Fills what no field writes.
    fn fill(&mut self, to: Side, created: &Image) {
        let (legacy, renaissance) = (&self.entity.legacy, &self.entity.renaissance);
        let (insert, computed) = match to {
            Side::Legacy => (legacy.insert.as_slice(), &legacy.computed),
            Side::Renaissance => (&[][..], &renaissance.computed),
        };
        let inserted = insert.iter().map(|(slot, value)| (*slot, Some(self.inserted(value))));
        let text = |computed: &Computed| {
            (computed.slot, Some(Value::Text(self.entity.computed_text(computed, to, created).into())))
        };
        let filled: Vec<_> = inserted.chain(computed.iter().map(text)).collect();
        self.patches[at(to)].extend(filled);
    }

    fn inserted(&self, value: &InsertValue) -> Value {
        match value {
            InsertValue::Constant(value) => value.clone(),
            // legacy has no passwords: whoever reads this one cannot log in with it
            InsertValue::UnusablePassword => Value::Text("!".into()),
            InsertValue::Now => Value::Timestamp(self.given.now),
            InsertValue::Uuid => Value::Uuid((self.given.new_uuid)().into_bytes()),
        }
    }
}

impl Start {
    const fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            Self::Value(..) | Self::Nothing => None,
        }
    }
}
