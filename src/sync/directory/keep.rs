//! Keeps the directory current: walks everybody once, then looks again at whoever changed.

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    sync::atomic::Ordering::{AcqRel, Acquire},
    time::{Duration, Instant},
};

use super::{Directory, LOADING, READY};
use crate::{
    error::Result,
    model::{
        cutover::CutoverRow,
        directory::{Known, People},
        image::Image,
        key::{EntityIndex, Key, LegacyId, RenaissanceId, SideId},
        mapping::{Entity, Field, Needs},
        person,
        reading::Reading,
        side::Side,
        value::Value,
    },
    retry::{Backoff, Failures, Policy},
    sync::ports::{CutoverStore, LegacyStore, Listed, RenaissanceStore},
};

/// People who are read at once.
const PAGE: u32 = 500;
/// How often everybody is looked at again, in case something was missed.
const AGAIN: Duration = Duration::from_secs(6 * 3600);
/// Once everybody is known, and as long as much waits to be carried over, a walk takes this share of the time: one part of
/// looking, so many of rest.
const REST: u32 = 4;
/// A walk that begins while much waits to be carried over gives way to that entirely, but not for longer.
const GIVES_WAY: Duration = Duration::from_secs(10);
/// How often it looks whether it may go on.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const NAME: &str = "the directory of people";

/// What was heard of cutover rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noticed {
    /// The row of this person changed, whoever changed it.
    Person(LegacyId),
    /// Some changes may have gone unheard.
    Missed,
}

/// Hears of changes of cutover rows.
pub trait News: Send {
    /// Waits for the next one. After an error it is asked again, and something may have been missed.
    fn next(&mut self) -> impl Future<Output = Result<Noticed>> + Send;
}

/// Feeds a directory from both sides.
pub struct Keeper<'a, L, R> {
    /// The directory.
    pub directory: &'a Directory,
    /// The legacy side.
    pub legacy: &'a L,
    /// The renaissance side and the state.
    pub store: &'a R,
    /// The entities, as the stores have them.
    pub entities: &'a [Entity],
    /// Whether much waits to be carried over.
    pub is_behind: &'a (dyn Fn() -> bool + Sync),
}

/// Both ids of a person, as far as there are any.
type Ids = (Option<LegacyId>, Option<RenaissanceId>);
/// A person as they were met: what each side says of them.
type Met = (Ids, [Option<Image>; 2]);

impl<L: LegacyStore, R: RenaissanceStore + CutoverStore> Keeper<'_, L, R> {
    /// Keeps it current until dropped. What fails is tried again and ends nothing.
    pub async fn keep(&self, mut news: impl News) {
        // it hears before it looks: nothing happens unheard in between
        if let Err(error) = news.next().await {
            tracing::warn!(%error, "cannot listen for people who move yet");
        }
        tokio::join!(self.listen(&mut news), self.look());
    }

    async fn listen(&self, news: &mut impl News) {
        let (mut backoff, mut failures) = (Backoff::new(Policy::RUNNING), Failures::that_follow());
        loop {
            match news.next().await {
                Ok(Noticed::Person(person)) => self.directory.changed(person),
                Ok(Noticed::Missed) => self.directory.look_at_all(),
                Err(error) => {
                    failures.failed("listening for people who move", &error);
                    tokio::time::sleep(backoff.after(&error)).await;
                    self.directory.look_at_all();
                    continue;
                }
            }
            failures.succeeded("listening for people who move");
            backoff.reset();
        }
    }

    async fn look(&self) {
        let (mut backoff, mut failures) = (Backoff::new(Policy::RUNNING), Failures::that_follow());
        loop {
            let woken = self.directory.wake.notified();
            let all = std::mem::take(&mut self.directory.due().all);
            let looked = if all {
                self.walk().await.inspect_err(|_| self.directory.due().all = true)
            } else {
                self.look_at_changed().await
            };
            if let Err(error) = looked {
                failures.failed(NAME, &error);
                tokio::time::sleep(backoff.after(&error)).await;
                continue;
            }
            failures.succeeded(NAME);
            backoff.reset();
            if tokio::time::timeout(AGAIN, woken).await.is_err() {
                self.directory.due().all = true;
            }
        }
    }

    /// Looks at everybody, and at whoever changes meanwhile.
    async fn walk(&self) -> Result<()> {
        self.directory.people_mut().begin_walk();
        let start = Instant::now();
        for (index, _) in person::persons(self.entities) {
            let mut after = None;
            loop {
                let began = Instant::now();
                let page = self.legacy.page(index, after, PAGE, Listed::All).await?;
                // who changed meanwhile was met already
                let keys = self.not_met(index, page.listed.into_iter().map(SideId::Legacy));
                self.look_at(index, &keys).await?;
                after = page.last;
                self.after_page(start, began).await?;
                if after.is_none() {
                    break;
                }
            }
            let mut after = None;
            loop {
                let began = Instant::now();
                let page = self.store.page(index, after, PAGE, Listed::All).await?;
                // those that have a document were met there
                let keys = self.not_met(index, page.listed.into_iter().map(SideId::Renaissance));
                self.look_at(index, &keys).await?;
                after = page.last;
                self.after_page(start, began).await?;
                if after.is_none() {
                    break;
                }
            }
        }
        self.directory.people_mut().end_walk();
        self.directory.complete();
        Ok(())
    }

    /// Whom the walk has not met yet.
    fn not_met(&self, index: EntityIndex, ids: impl Iterator<Item = SideId>) -> Vec<SideId> {
        let people = self.directory.people();
        ids.filter(|id| !people.is_met(index, *id)).collect()
    }

    async fn after_page(&self, start: Instant, began: Instant) -> Result<()> {
        let took = began.elapsed();
        self.look_at_changed().await?;
        while (self.is_behind)() && start.elapsed() < GIVES_WAY {
            tokio::time::sleep(LOOK_EVERY).await;
            self.look_at_changed().await?;
        }
        if self.directory.is_ready() || (self.is_behind)() {
            tokio::time::sleep(took * REST).await;
            self.look_at_changed().await?;
        }
        Ok(())
    }

    /// Looks at those who changed.
    async fn look_at_changed(&self) -> Result<()> {
        loop {
            let (keys, doors) = {
                let mut due = self.directory.due();
                (some(&mut due.keys), some(&mut due.doors))
            };
            if keys.is_empty() && doors.is_empty() {
                return Ok(());
            }
            for (index, entity) in person::persons(self.entities) {
                let of = |due: &[Key]| -> Vec<SideId> {
                    due.iter().filter(|key| key.entity == index).map(|key| key.id).collect()
                };
                let look = async {
                    self.look_at(index, &of(&keys)).await?;
                    let changed = self.with_other_doors((index, entity), of(&doors)).await?;
                    self.look_at(index, &changed).await
                };
                if let Err(error) = look.await {
                    let mut due = self.directory.due();
                    due.keys.extend(keys);
                    due.doors.extend(doors);
                    return Err(error);
                }
            }
        }
    }

    /// Of these people those who have another way to log in to Renaissance than is known, or one less; and who is not known.
    async fn with_other_doors(&self, (index, entity): (EntityIndex, &Entity), ids: Vec<SideId>) -> Result<Vec<SideId>> {
        if ids.is_empty() {
            return Ok(ids);
        }
        let known: Vec<Option<(RenaissanceId, u8)>> = {
            let people = self.directory.people();
            ids.iter().map(|id| people.in_renaissance(index, *id)).collect()
        };
        let rows: Vec<RenaissanceId> = known.iter().flatten().map(|(row, _)| *row).collect();
        let mut other: Vec<bool> = known.iter().map(Option::is_none).collect();
        for (bit, needs) in doors(entity) {
            let open: HashSet<RenaissanceId> = self.store.opened(index, needs, &rows).await?.into_iter().collect();
            for (other, known) in other.iter_mut().zip(&known) {
                *other |= known.is_some_and(|(row, ways)| (ways & 1 << bit != 0) != open.contains(&row));
            }
        }
        Ok(ids.into_iter().zip(other).filter(|(_, other)| *other).map(|(id, _)| id).collect())
    }

    /// Reads these people as they are now on both sides.
    async fn look_at(&self, index: EntityIndex, keys: &[SideId]) -> Result<()> {
        let Some(entity) = self.entities.get(usize::from(index.0)).filter(|_| !keys.is_empty()) else { return Ok(()) };
        self.directory.due().heard.clear();
        let mut asked: HashSet<SideId> = keys.iter().copied().collect();
        {
            let people = self.directory.people();
            for (legacy, renaissance) in keys.iter().filter_map(|id| people.ids(index, *id)) {
                asked.extend(legacy.map(SideId::Legacy));
                asked.extend(renaissance.map(SideId::Renaissance));
            }
        }
        let (documents, rows) = apart(&asked);
        let resolved = self.store.resolve(index, &documents, &rows).await?;
        let pairs = resolved.iter().map(|resolved| (resolved.link.legacy, resolved.link.renaissance));
        let pairs: HashMap<LegacyId, RenaissanceId> = pairs.collect();
        for (legacy, renaissance) in &pairs {
            asked.extend([SideId::Legacy(*legacy), SideId::Renaissance(*renaissance)]);
        }
        let (documents, rows) = apart(&asked);
        let (images, read, standings) = tokio::try_join!(
            self.legacy.read(index, &documents, None),
            self.store.read(index, &rows),
            self.store.standings(&documents)
        )?;
        let standings: HashMap<LegacyId, CutoverRow> = standings.iter().map(|one| (one.person, one.row)).collect();
        let mut found: Vec<Met> = Vec::new();
        let mut rows: HashMap<RenaissanceId, Image> =
            rows.iter().zip(read.images).filter_map(|(id, image)| Some((*id, image?))).collect();
        for (id, image) in documents.iter().zip(images) {
            let linked = pairs.get(id).copied();
            let counterpart = linked.and_then(|linked| rows.remove(&linked));
            found.push(((Some(*id), linked), [image, counterpart]));
        }
        found.extend(rows.into_iter().map(|(id, image)| ((None, Some(id)), [None, Some(image)])));
        found.retain(|(_, images)| images.iter().any(Option::is_some));
        let locked = self.locked((index, entity), &found).await?;
        self.take_in((index, entity), asked, (&found, &locked), &standings);
        Ok(())
    }

    /// The ways in Renaissance that are closed to each of these people, as their row lacks what it needs for them: bits as in
    /// [`Telling`].
    async fn locked(
        &self,
        (index, entity): (EntityIndex, &Entity),
        found: &[Met],
    ) -> Result<HashMap<RenaissanceId, u8>> {
        let mut locked = HashMap::new();
        for (bit, needs) in doors(entity) {
            let rows: Vec<RenaissanceId> = found.iter().filter_map(|((_, row), _)| *row).collect();
            let open: HashSet<RenaissanceId> = self.store.opened(index, needs, &rows).await?.into_iter().collect();
            for row in rows.into_iter().filter(|row| !open.contains(row)) {
                *locked.entry(row).or_default() |= 1 << bit;
            }
        }
        Ok(locked)
    }

    /// Replaces what is known of those who were asked about by what was found.
    fn take_in(
        &self,
        (index, entity): (EntityIndex, &Entity),
        asked: HashSet<SideId>,
        (found, locked): (&[Met], &HashMap<RenaissanceId, u8>),
        standings: &HashMap<LegacyId, CutoverRow>,
    ) {
        let telling = Telling::of(entity);
        // before anybody has to wait for the directory
        let said: Vec<(Vec<u64>, [u8; 2])> = {
            let people = self.directory.people();
            found.iter().map(|(_, images)| Telling::said(&telling, &people, images)).collect()
        };
        let due = self.directory.due();
        let mut people = self.directory.people_mut();
        let mut gone = asked;
        for (((legacy, renaissance), _), (names, [old, new])) in found.iter().zip(said) {
            let heard = legacy.filter(|legacy| due.heard.contains(legacy)).and_then(|legacy| people.row(legacy));
            let row = heard.or_else(|| standings.get(legacy.as_ref()?).copied()).unwrap_or(CutoverRow::UNMOVED);
            let closed = renaissance.and_then(|row| locked.get(&row)).copied().unwrap_or(0);
            let known = Known {
                entity: index,
                legacy: *legacy,
                renaissance: *renaissance,
                names,
                ways: [old, new & !closed],
                row,
            };
            legacy.iter().for_each(|id| _ = gone.remove(&SideId::Legacy(*id)));
            renaissance.iter().for_each(|id| _ = gone.remove(&SideId::Renaissance(*id)));
            people.put(&known);
        }
        gone.into_iter().for_each(|id| people.remove(index, id));
    }
}

impl Directory {
    fn is_ready(&self) -> bool {
        self.stage.load(Acquire) == READY
    }

    /// Everybody is known now.
    fn complete(&self) {
        self.due().complete = true;
        // whoever is away meanwhile stays so
        _ = self.stage.compare_exchange(LOADING, READY, AcqRel, Acquire);
    }
}

/// What ways to log in to Renaissance need beside fields, by their bits.
fn doors(entity: &Entity) -> impl Iterator<Item = (usize, &Needs)> {
    let offered = entity.logins.iter().enumerate().filter(|(_, login)| login.sides[1]);
    offered.filter_map(|(bit, login)| Some((bit, login.needs.as_ref()?)))
}

/// Takes some of what is due.
fn some(due: &mut HashSet<Key>) -> Vec<Key> {
    let some: Vec<Key> = due.iter().take(PAGE as usize).copied().collect();
    some.iter().for_each(|key| _ = due.remove(key));
    some
}

fn apart(ids: &HashSet<SideId>) -> (Vec<LegacyId>, Vec<RenaissanceId>) {
    let (mut documents, mut rows) = (Vec::new(), Vec::new());
    for id in ids {
        match id {
            SideId::Legacy(id) => documents.push(*id),
            SideId::Renaissance(id) => rows.push(*id),
        }
    }
    (documents, rows)
}

/// A field that says who somebody is.
struct Telling<'a> {
    field: &'a Field,
    /// Whether it names people.
    names: bool,
    /// The ways to log in that it opens on each side, one bit each.
    opens: [u8; 2],
}

impl<'a> Telling<'a> {
    /// Those of an entity; one that does both is read once.
    fn of(entity: &'a Entity) -> Vec<Self> {
        let mut telling: Vec<(usize, Self)> =
            person::keys(entity).map(|(n, field)| (n, Self { field, names: true, opens: [0; 2] })).collect();
        for (bit, login) in entity.logins.iter().enumerate() {
            let Some(field) = entity.fields.get(login.field) else { continue };
            if !telling.iter().any(|(n, _)| *n == login.field) {
                telling.push((login.field, Self { field, names: false, opens: [0; 2] }));
            }
            for (_, one) in telling.iter_mut().filter(|(n, _)| *n == login.field) {
                one.opens.iter_mut().zip(login.sides).for_each(|(opens, offered)| *opens |= u8::from(offered) << bit);
            }
        }
        telling.into_iter().map(|(_, one)| one).collect()
    }

    /// What a person is known by: what names them on either side, sealed, each once, and the ways to log in that they have on each.
    fn said(telling: &[Self], people: &People, images: &[Option<Image>; 2]) -> (Vec<u64>, [u8; 2]) {
        let (mut names, mut ways) = (Vec::new(), [0; 2]);
        for one in telling {
            for ((side, image), (ways, opens)) in Side::ALL.into_iter().zip(images).zip(ways.iter_mut().zip(one.opens))
            {
                let reading = image.as_ref().map(|image| one.field.get(side, image));
                let value = reading.as_ref().and_then(Reading::value).filter(|value| **value != Value::Null);
                let Some(value) = value else { continue };
                *ways |= opens;
                if one.names {
                    let sealed = people.seal(&one.field.name, value);
                    if !names.contains(&sealed) {
                        names.push(sealed);
                    }
                }
            }
        }
        (names, ways)
    }
}
