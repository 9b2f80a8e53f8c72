//! Comparing everything that a person owns.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{Finding, Mover, steps::Travel};
use crate::{
    drill,
    error::{Disposition, Result},
    model::{
        cutover::Heard,
        key::{EntityIndex, Key, LegacyId, SideId},
    },
    sync::{
        belongings::documents,
        ports::{
            CutoverMirror, CutoverStore, HealingStore, Journey, LegacyStore, Possessions, RenaissanceStore, Source,
            Unsettled, VerifyStore,
        },
        queue::HintQueue,
        reconcile::{Compared, Difference, Standing},
    },
};

/// A difference that lasts so long is one: an application that does not hold its writes is still being caught up with.
const LASTS: Duration = Duration::from_secs(3);
/// The pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Findings reported at most.
const SHOWN: usize = 100;

/// What a look has found.
#[derive(Default)]
struct Look {
    /// What differs or waits.
    findings: Vec<Finding>,
    /// Records that cannot be judged yet: a change of theirs is still on its way.
    unclear: Vec<Finding>,
    /// Records looked at.
    records: usize,
}

impl<L, R, SL, SR, Q> Mover<'_, L, R, SL, SR, Q>
where
    L: LegacyStore + CutoverMirror,
    R: RenaissanceStore + HealingStore + VerifyStore + CutoverStore,
    SL: Source,
    SR: Source,
    Q: HintQueue,
{
    /// Compares until everything agrees, something has differed for a while, or it is too late.
    pub(super) async fn compared(&self, travel: &mut Travel, stop: &CancellationToken) -> Heard {
        let mut differs_since: Option<Instant> = None;
        loop {
            let look = tokio::select! {
                biased;
                () = stop.cancelled() => {
                    travel.findings.push(Finding::new("compare", "the daemon stops"));
                    return Heard::Late;
                }
                look = self.look(&travel.journey) => look,
            };
            let late = Instant::now() >= travel.deadline;
            match look {
                Ok(look) if look.findings.is_empty() && look.unclear.is_empty() => {
                    drill::crash_point("cutover after comparing");
                    self.note(travel, "compared", Some(format!("{} records agree", look.records))).await;
                    return Heard::Done;
                }
                Ok(look) if look.findings.is_empty() => {
                    differs_since = None;
                    if late {
                        travel.findings.extend(look.unclear);
                        return Heard::Late;
                    }
                }
                Ok(look) => {
                    let since = *differs_since.get_or_insert_with(Instant::now);
                    if late || since.elapsed() >= LASTS {
                        let more = look.findings.len().saturating_sub(SHOWN);
                        travel.findings.extend(look.findings.into_iter().take(SHOWN));
                        if more > 0 {
                            travel.findings.push(Finding::new("compare", format!("and {more} more")));
                        }
                        return Heard::Differs;
                    }
                }
                Err(error) if error.disposition() == Disposition::Retry && !late => {}
                Err(error) => {
                    travel.findings.push(Finding::failed("compare", &error));
                    return Heard::Late;
                }
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn look(&self, journey: &Journey) -> Result<Look> {
        let mut look = Look::default();
        let Some(renaissance) = journey.renaissance else {
            look.findings.push(Finding::new("link", "this person is not on both sides"));
            return Ok(look);
        };
        look.findings.extend(self.store().unsettled(journey.person).await?.iter().map(unsettled));
        let (legacy, people) = (self.reconciler.legacy(), [journey.person]);
        let (owned, documents) = tokio::try_join!(
            self.store().possessions(journey.person, renaissance),
            documents(legacy, self.entities, &people)
        )?;
        let records = records(&owned, &documents);
        let mut by_entity: BTreeMap<EntityIndex, Vec<Key>> = BTreeMap::new();
        for (entity, id, other) in &records {
            let key = Key { entity: *entity, id: *id };
            let other = other.is_some_and(|id| self.queue.is_dirty(Key { entity: *entity, id }));
            if other || self.queue.is_dirty(key) {
                look.unclear.push(Finding::new(self.name(*entity), format!("{} is still being reconciled", key.id)));
            } else {
                by_entity.entry(*entity).or_default().push(key);
            }
        }
        if !owned.linked.iter().any(|(_, legacy, ..)| *legacy == journey.person) {
            look.findings.push(Finding::new("link", "this person's own record is no longer linked"));
        }
        look.records = records.len();
        for (entity, keys) in by_entity {
            for compared in self.reconciler.compare(entity, &keys).await? {
                self.judge(entity, &compared, (journey.person, &mut look));
            }
        }
        Ok(look)
    }

    fn judge(&self, entity: EntityIndex, compared: &Compared, (person, look): (LegacyId, &mut Look)) {
        let name = self.name(entity);
        let ids = [compared.legacy.map(SideId::Legacy), compared.renaissance.map(SideId::Renaissance)];
        let ids: Vec<String> = ids.into_iter().flatten().map(|id| id.to_string()).collect();
        let at = ids.join(" ");
        match &compared.standing {
            Standing::Equal => {}
            Standing::NotVisible => look.unclear.push(Finding::new(name, format!("{at}: a change is not visible yet"))),
            Standing::Waiting => {
                let what = compared
                    .waiting
                    .iter()
                    .map(|(field, reason)| format!("{} ({reason})", field.as_deref().unwrap_or("whole record")));
                let detail = format!("{at} waits: {}", what.collect::<Vec<_>>().join(", "));
                let fix = format!("biograph-bridge parked list --user legacy:{person}");
                look.findings.push(Finding::new(name, detail).with_fix(fix));
            }
            Standing::Differs(difference) => {
                let detail = format!("{at} {}", self.said(entity, difference));
                let fix = format!("biograph-bridge verify --user legacy:{person} --repair");
                look.findings.push(Finding::new(name, detail).with_fix(fix));
            }
        }
    }

    /// In what the sides differ, in words.
    fn said(&self, entity: EntityIndex, difference: &Difference) -> String {
        let fields = self.entities.get(usize::from(entity.0)).map_or(&[][..], |entity| &entity.fields);
        match difference {
            Difference::Fields(differing) => {
                let shown = differing.iter().map(|(field, moved)| {
                    let name = fields.get(*field).map_or("?", |field| field.name.as_str());
                    format!("{name} (moved: {})", moved.as_str())
                });
                format!("differs in {}", shown.collect::<Vec<_>>().join(", "))
            }
            Difference::MissingIn(side, moved) => format!("is missing in {side} (moved: {})", moved.as_str()),
            Difference::NotLinked => "is equal on both sides and not linked".to_owned(),
            Difference::NotNamed => "has a row without its legacy id".to_owned(),
            Difference::Gone => "is on neither side any more, and still linked".to_owned(),
        }
    }

    fn name(&self, entity: EntityIndex) -> String {
        self.entities.get(usize::from(entity.0)).map_or_else(String::new, |entity| entity.name.clone())
    }
}

/// All that belongs to a person, each with its id and the one on the other side, if it is linked: what the links know, and what
/// they have missed.
fn records(owned: &Possessions, documents: &[(EntityIndex, LegacyId)]) -> Vec<(EntityIndex, SideId, Option<SideId>)> {
    let linked = owned.linked.iter();
    let known: HashSet<(EntityIndex, LegacyId)> = linked.clone().map(|(entity, id, ..)| (*entity, *id)).collect();
    let linked = linked.map(|(entity, id, row, _)| (*entity, SideId::Legacy(*id), Some(SideId::Renaissance(*row))));
    let rows = owned.unlinked.iter().map(|(entity, id)| (*entity, SideId::Renaissance(*id), None));
    let missed = documents.iter().filter(|document| !known.contains(document));
    linked.chain(rows).chain(missed.map(|(entity, id)| (*entity, SideId::Legacy(*id), None))).collect()
}

/// Something that is parked, or that nobody has decided.
pub(super) fn unsettled(found: &Unsettled) -> Finding {
    let Unsettled { entity, legacy_id, renaissance_id, field, why, id, conflict } = found;
    let legacy = legacy_id.as_ref().map(|id| format!(" legacy:{id}")).unwrap_or_default();
    let renaissance = renaissance_id.map(|id| format!(" renaissance:{id}")).unwrap_or_default();
    let field = field.as_deref().map_or("whole record".to_owned(), |field| format!("field {field}"));
    let (check, fix) = if *conflict {
        ("conflicts", format!("biograph-bridge conflicts resolve {id} --take legacy or renaissance"))
    } else {
        ("parked", format!("biograph-bridge parked show {id}"))
    };
    Finding::new(check, format!("{entity}{legacy}{renaissance}, {field}: {why}")).with_fix(fix)
}
