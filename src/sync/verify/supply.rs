//! Reading the records of an entity in chunks, ahead of comparing them.

use tokio::sync::mpsc::{self, Receiver, Sender};

use super::Verifier;
use crate::{
    error::{Error, Result},
    model::{
        digest::Digest,
        image::Image,
        key::{EntityIndex, Key, LegacyId, RenaissanceId, SideId},
        value::Value,
    },
    sync::{
        ports::{
            CutoverStore, HealingStore, LegacyStore, LinkedRow, Listed, Part, RenaissanceStore, Run, Source, Stretch,
            VerifyStore,
        },
        queue::HintQueue,
        reconcile::Both,
    },
};

/// How many times more records are read at once where both sides are read from end to end: a chunk is made for looking each up.
const ALONG: u32 = 4;
/// The same where only ids are read.
const IDS_ALONG: u32 = 10;

/// Some records to compare.
#[derive(Default)]
pub(super) struct Chunk {
    pub(super) keys: Vec<Key>,
    /// Records that were read from both sides.
    pub(super) both: Option<Both>,
    /// The last record walked, as text; `None` at the end.
    pub(super) last: Option<String>,
    pub(super) walked: u64,
}

/// What was read of one side and is not paired up yet.
struct Ahead<T> {
    from: Receiver<Stretch<T>>,
    read: Stretch<T>,
}

impl<T> Ahead<T> {
    const fn new(from: Receiver<Stretch<T>>) -> Self {
        Self { from, read: Stretch { records: Vec::new(), more: true } }
    }

    /// Waits for more where everything is paired up.
    async fn fill(&mut self) -> Result<()> {
        while self.read.records.is_empty() && self.read.more {
            let read = self.from.recv().await;
            self.read = read.ok_or_else(|| Error::retry("one side is no longer read"))?;
        }
        Ok(())
    }

    /// Up to where this side is known, unless it is known to its end.
    fn end(&self, id: impl Fn(&T) -> LegacyId) -> Option<LegacyId> {
        self.read.records.last().filter(|_| self.read.more).map(id)
    }

    /// Takes what is there up to this id, or everything.
    fn up_to(&mut self, last: Option<LegacyId>, id: impl Fn(&T) -> LegacyId) -> Vec<T> {
        let all = &mut self.read.records;
        let taken = last.map_or(all.len(), |last| all.partition_point(|record| id(record) <= last));
        let left = all.split_off(taken);
        std::mem::replace(all, left)
    }
}

impl<L, R, SL, SR, Q> Verifier<'_, L, R, SL, SR, Q>
where
    L: LegacyStore,
    R: RenaissanceStore + HealingStore + VerifyStore + CutoverStore,
    SL: Source,
    SR: Source,
    Q: HintQueue,
{
    /// Sends the chunks of a part that follow this record, until the last one or until nobody wants them.
    pub(super) async fn supply(
        &self,
        of: (&Run, EntityIndex, Part),
        mut after: Option<String>,
        to: Sender<Chunk>,
    ) -> Result<()> {
        loop {
            if self.is_read_along(of) {
                after = self.supply_along(of, legacy_id(after.as_deref())?, &to).await?.map(|last| last.to_string());
            } else {
                let chunk = self.chunk(of, after.as_deref()).await?;
                after.clone_from(&chunk.last);
                if to.send(chunk).await.is_err() {
                    return Ok(());
                }
            }
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Whether both sides are read from end to end, rather than ids which are looked up.
    fn is_read_along(&self, (run, entity, part): (&Run, EntityIndex, Part)) -> bool {
        let paused = || self.reconciler.pauses().now().entirely(entity).is_some();
        run.asked.percent.is_none() && part == Part::Documents && !paused()
    }

    /// Sends both sides until their end, or as long as they are read along: then from where to go on. Each is read as fast as
    /// it comes.
    async fn supply_along(
        &self,
        of: (&Run, EntityIndex, Part),
        after: Option<LegacyId>,
        to: &Sender<Chunk>,
    ) -> Result<Option<LegacyId>> {
        let ((documents_to, documents), (rows_to, rows)) = (mpsc::channel(1), mpsc::channel(1));
        let documents_along = self.documents_along(of, after, documents_to);
        let rows_along = self.rows_along(of, after, rows_to);
        let ((), (), last) = tokio::try_join!(documents_along, rows_along, self.pair_up(of, documents, rows, to))?;
        Ok(last)
    }

    async fn documents_along(
        &self,
        (run, entity, _): (&Run, EntityIndex, Part),
        mut after: Option<LegacyId>,
        to: Sender<Stretch<(LegacyId, Image)>>,
    ) -> Result<()> {
        let limit = self.pace(run).chunk().saturating_mul(ALONG);
        loop {
            let stretch = self.reconciler.legacy().stretch(entity, after, limit).await?;
            let more = stretch.more;
            after = stretch.records.last().map(|(id, _)| *id).or(after);
            if to.send(stretch).await.is_err() || !more {
                return Ok(());
            }
        }
    }

    async fn rows_along(
        &self,
        (run, entity, _): (&Run, EntityIndex, Part),
        after: Option<LegacyId>,
        to: Sender<Stretch<LinkedRow>>,
    ) -> Result<()> {
        let (store, limit) = (self.reconciler.renaissance(), self.pace(run).chunk().saturating_mul(ALONG));
        let mut links = store.links_along(entity, after, limit).await?;
        loop {
            let (wanted, end) = (links.records.len(), links.records.last().map(|(id, _)| *id).filter(|_| links.more));
            let following = async {
                match end {
                    Some(end) => Ok(Some(store.links_along(entity, Some(end), limit).await?)),
                    None => Ok(None),
                }
            };
            let (rows, following) = tokio::try_join!(store.rows_along(entity, links.records), following)?;
            // rows that take too much room are fewer than their links
            let (fewer, last) = (rows.len() < wanted, rows.last().map(|row| row.legacy));
            let more = fewer || following.is_some();
            if to.send(Stretch { records: rows, more }).await.is_err() || !more {
                return Ok(());
            }
            links = match following {
                Some(following) if !fewer => following,
                Some(_) | None => store.links_along(entity, last, limit).await?,
            };
        }
    }

    /// Sends what was read of both sides, as far as both are known.
    async fn pair_up(
        &self,
        of: (&Run, EntityIndex, Part),
        documents: Receiver<Stretch<(LegacyId, Image)>>,
        rows: Receiver<Stretch<LinkedRow>>,
        to: &Sender<Chunk>,
    ) -> Result<Option<LegacyId>> {
        let (mut documents, mut rows) = (Ahead::new(documents), Ahead::new(rows));
        loop {
            documents.fill().await?;
            rows.fill().await?;
            let (both, last) = paired(&mut documents, &mut rows);
            let chunk = Chunk {
                walked: both.len() as u64,
                both: Some(both),
                last: last.map(|id| id.to_string()),
                ..Chunk::default()
            };
            if to.send(chunk).await.is_err() {
                return Ok(None);
            }
            if last.is_none() || !self.is_read_along(of) {
                return Ok(last);
            }
        }
    }

    async fn chunk(&self, (run, entity, part): (&Run, EntityIndex, Part), after: Option<&str>) -> Result<Chunk> {
        let (limit, store) = (self.pace(run).chunk(), self.reconciler.renaissance());
        let key = |id| Key { entity, id };
        let is_whole = run.asked.percent.is_none();
        match part {
            Part::Documents | Part::Links => {
                let after = legacy_id(after)?;
                let page = match part {
                    Part::Links => store.lone_links(entity, after, limit).await?,
                    _ => self.reconciler.legacy().page(entity, after, limit, Listed::All).await?,
                };
                let listed = page.listed.into_iter().filter(|id| is_sampled(run, &Value::Id(id.bytes())));
                let keys = listed.map(|id| key(SideId::Legacy(id))).collect();
                Ok(Chunk { keys, last: page.last.map(|id| id.to_string()), walked: page.walked, both: None })
            }
            Part::Rows => {
                let after = after.map(|id| id.parse::<RenaissanceId>().map_err(|_| malformed())).transpose()?;
                if is_whole {
                    let page = store.unlinked_page(entity, after, limit.saturating_mul(IDS_ALONG)).await?;
                    let keys = page.listed.into_iter().map(|id| key(SideId::Renaissance(id))).collect();
                    return Ok(Chunk {
                        keys,
                        last: page.last.map(|id| id.to_string()),
                        walked: page.walked,
                        both: None,
                    });
                }
                let rows = store.linked_page(entity, after, limit).await?;
                let (last, walked) = (rows.last().map(|(id, _)| id.to_string()), rows.len() as u64);
                Ok(Chunk { keys: self.without_document(run, entity, rows).await?, last, walked, both: None })
            }
            Part::Person => Err(Error::halt("what a person owns is not walked")),
        }
    }

    /// Of these rows, those without a document: the others were compared with theirs.
    async fn without_document(
        &self,
        run: &Run,
        entity: EntityIndex,
        mut rows: Vec<(RenaissanceId, Option<LegacyId>)>,
    ) -> Result<Vec<Key>> {
        rows.retain(|(row, legacy)| {
            is_sampled(run, &legacy.map_or(Value::Int(*row), |legacy| Value::Id(legacy.bytes())))
        });
        let linked: Vec<LegacyId> = rows.iter().filter_map(|(_, legacy)| *legacy).collect();
        let there = self.reconciler.legacy().present(entity, &linked).await?;
        let wanted = rows.iter().filter(|(_, legacy)| legacy.is_none_or(|legacy| !there.contains(&legacy)));
        Ok(wanted.map(|(row, _)| Key { entity, id: SideId::Renaissance(*row) }).collect())
    }
}

/// Up to which legacy id both are known, and what is there until then; no id once both are known to their ends.
fn paired(documents: &mut Ahead<(LegacyId, Image)>, rows: &mut Ahead<LinkedRow>) -> (Both, Option<LegacyId>) {
    let ends = [documents.end(|(id, _)| *id), rows.end(|row| row.legacy)];
    let last = ends.into_iter().flatten().min();
    let (documents, rows) = (documents.up_to(last, |(id, _)| *id), rows.up_to(last, |row| row.legacy));
    (Both { documents, rows }, last)
}

fn malformed() -> Error {
    Error::halt("the saved progress of a comparison is not an id")
}

fn legacy_id(text: Option<&str>) -> Result<Option<LegacyId>> {
    text.map(|id| id.parse().map_err(|_| malformed())).transpose()
}

/// Whether a record is in the sample: the same ones each time, and a smaller share within a larger one.
fn is_sampled(run: &Run, id: &Value) -> bool {
    run.asked.percent.is_none_or(|percent| (Digest::of(id).to_bits() % 10_000) as f64 / 100.0 < percent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::image::Version;

    fn id(n: u8) -> LegacyId {
        LegacyId::new([n; 12])
    }

    fn blank() -> Image {
        Image { slots: Vec::new(), version: Version(Vec::new()) }
    }

    fn row(n: u8) -> LinkedRow {
        LinkedRow { legacy: id(n), image: Some(blank()), named: true }
    }

    fn ahead<T>(records: Vec<Vec<T>>) -> Ahead<T> {
        let (to, from) = mpsc::channel(records.len().max(1));
        let last = records.len().saturating_sub(1);
        for (n, records) in records.into_iter().enumerate() {
            to.try_send(Stretch { records, more: n < last }).ok().unwrap();
        }
        Ahead::new(from)
    }

    /// What is compared together, by the bytes of the ids, and up to where.
    async fn met(documents: &[&[u8]], rows: &[&[u8]]) -> Vec<(Vec<u8>, Vec<u8>, Option<u8>)> {
        let documents = documents.iter().map(|ids| ids.iter().map(|n| (id(*n), blank())).collect());
        let rows = rows.iter().map(|ids| ids.iter().map(|n| row(*n)).collect());
        let (mut documents, mut rows) = (ahead(documents.collect()), ahead(rows.collect()));
        let byte = |id: LegacyId| id.bytes()[0];
        let mut met = Vec::new();
        loop {
            documents.fill().await.unwrap();
            rows.fill().await.unwrap();
            let (both, last) = paired(&mut documents, &mut rows);
            let ids = both.documents.iter().map(|(id, _)| byte(*id)).collect();
            met.push((ids, both.rows.iter().map(|row| byte(row.legacy)).collect(), last.map(byte)));
            if last.is_none() {
                return met;
            }
        }
    }

    #[tokio::test]
    async fn both_sides_are_met_together_however_they_were_cut() {
        let whole = (vec![1, 2, 4], vec![1, 3, 4, 5], None);
        assert_eq!(met(&[&[1, 2, 4]], &[&[1, 3, 4, 5]]).await, [whole]);
        let expected = [(vec![1, 2], vec![1], Some(2)), (vec![4], vec![3, 4], Some(4)), (vec![], vec![5], None)];
        assert_eq!(met(&[&[1, 2], &[4], &[]], &[&[1, 3, 4], &[5]]).await[..2], expected[..2]);
        assert_eq!(met(&[&[1, 2], &[4], &[]], &[&[1, 3, 4], &[5]]).await[2..], expected[2..]);
        assert_eq!(met(&[&[]], &[&[1], &[2]]).await, [(vec![], vec![1], Some(1)), (vec![], vec![2], None)]);
        assert_eq!(met(&[&[]], &[&[]]).await, [(vec![], vec![], None)]);
    }

    #[tokio::test]
    async fn a_side_that_is_no_longer_read_is_an_error_and_not_its_end() {
        let (to, from) = mpsc::channel::<Stretch<LinkedRow>>(1);
        drop(to);
        assert!(Ahead::new(from).fill().await.is_err());
    }
}
