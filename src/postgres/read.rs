//! Reading records, links and natural keys: a constant number of statements per batch.

use std::collections::{BTreeMap, HashSet};

use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, Row, postgres::PgRow};

use super::{codec, statements, store::Postgres};
use crate::{
    error::{Error, Result},
    model::{
        image::{Image, Version},
        key::{EntityIndex, LegacyId, RenaissanceId},
        mapping::Entity,
    },
    sync::ports::{Link, Probe, RenaissanceRead, Resolved},
};

/// Probe numbers and, per compared column, what it has to hold.
type Alternatives = (Vec<i64>, Vec<Vec<Option<String>>>);
/// A row of the link query.
type LinkRow = (
    String,
    i64,
    i32,
    Option<Vec<u8>>,
    Option<String>,
    Option<Vec<String>>,
    Option<String>,
    Option<String>,
    Option<i64>,
    Option<bool>,
);

impl Postgres {
    pub(super) async fn read_rows(&self, index: EntityIndex, ids: &[RenaissanceId]) -> Result<RenaissanceRead> {
        let (entity, statements) = self.entity(index)?;
        let rows = self.counted_rows(&statements.read, ids).await?;
        let (mut images, mut legacy_ids, mut snapshot) = (Vec::with_capacity(ids.len()), Vec::new(), None);
        for row in &rows {
            if snapshot.is_none() {
                snapshot = row.try_get::<Option<String>, _>(0).map_err(Error::from)?;
            }
            legacy_ids.push(row.try_get(2).map_err(Error::from)?);
            images.push(image(entity, row)?);
        }
        let text = match snapshot {
            Some(text) => text,
            None => sqlx::query_scalar("SELECT pg_current_snapshot()::text")
                .fetch_one(&self.pool)
                .await
                .map_err(Error::from)?,
        };
        let snapshot = text.parse().map_err(|e| Error::halt("reading pg_current_snapshot()").with_source(e))?;
        Ok(RenaissanceRead { images, legacy_ids, snapshot })
    }

    /// The rows of a read, unless they take too much.
    async fn counted_rows(&self, sql: &str, ids: &[RenaissanceId]) -> Result<Vec<PgRow>> {
        let mut session = self.pool.acquire().await.map_err(Error::from)?;
        let mut counter = self.room().counter(ids.len());
        let mut found = Vec::with_capacity(ids.len());
        let counted = async {
            let mut rows = sqlx::query(AssertSqlSafe(sql)).bind(ids).fetch(&mut *session);
            while let Some(row) = rows.try_next().await.map_err(Error::from)? {
                counter.add(size(&row)?)?;
                found.push(row);
            }
            Ok(())
        };
        let counted: Result<()> = counted.await;
        if counted.as_ref().is_err_and(Error::is_too_much) {
            // the rest of the answer is on its way: ending the session is cheaper than reading it
            session.close_on_drop();
        }
        counted.map(|()| found)
    }

    pub(super) async fn resolve_links(
        &self,
        index: EntityIndex,
        legacy: &[LegacyId],
        renaissance: &[RenaissanceId],
    ) -> Result<Vec<Resolved>> {
        let (entity, _) = self.entity(index)?;
        let texts: Vec<String> = legacy.iter().map(ToString::to_string).collect();
        let rows: Vec<LinkRow> = sqlx::query_as(
            "SELECT l.legacy_id, l.renaissance_id, l.shape, l.base, l.person, l.awaits, c.owner, c.former, c.epoch, \
                    (SELECT bool_or(p.reason = 'looping') FROM biograph_bridge.parked p \
                     WHERE p.entity = $1 AND p.legacy_id = l.legacy_id) \
             FROM (SELECT * FROM biograph_bridge.link WHERE entity = $1 AND legacy_id = ANY($2) \
                   UNION ALL SELECT * FROM biograph_bridge.link WHERE entity = $1 AND renaissance_id = ANY($3)) l \
             LEFT JOIN biograph_bridge.cutover c ON c.legacy_id = coalesce(l.person, l.legacy_id)",
        )
        .bind(&entity.name)
        .bind(&texts)
        .bind(renaissance)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::from)?;
        // a link named from both sides comes twice; sorting that out in SQL would compare whole rows
        let mut known = HashSet::new();
        let rows = rows.into_iter().filter(|row| renaissance.is_empty() || legacy.is_empty() || known.insert(row.1));
        rows.map(|row| self.resolved(entity, row)).collect()
    }

    fn resolved(&self, entity: &Entity, row: LinkRow) -> Result<Resolved> {
        let (legacy, renaissance, shape, base, person, awaits, owner, former, epoch, parked) = row;
        let legacy = parse_legacy(&legacy)?;
        let (owner, former) = super::targets::owning(owner.as_deref(), former.as_deref())?;
        let base = base.map(|bytes| self.shapes().base(shape, &bytes, entity.fields.len())).transpose()?;
        Ok(Resolved {
            link: Link { legacy, renaissance, base },
            owner,
            epoch: epoch.unwrap_or(0),
            former,
            parked: parked.is_some(),
            looping: parked == Some(true),
            person: person.as_deref().map(parse_legacy).transpose()?,
            awaits: self.awaited(&awaits.unwrap_or_default())?,
        })
    }

    pub(super) async fn rows_by_legacy_id(
        &self,
        index: EntityIndex,
        ids: &[LegacyId],
    ) -> Result<Vec<(LegacyId, RenaissanceId)>> {
        let (_, statements) = self.entity(index)?;
        let texts: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let rows: Vec<(String, i64)> = sqlx::query_as(AssertSqlSafe(statements.by_legacy_id.clone()))
            .bind(&texts)
            .fetch_all(&self.pool)
            .await
            .map_err(Error::from)?;
        rows.into_iter().map(|(legacy, id)| Ok((parse_legacy(&legacy)?, id))).collect()
    }

    /// One statement per set of columns that some alternative compares: as many as the mapping has forms, not as there
    /// are keys.
    pub(super) async fn find_rows(
        &self,
        index: EntityIndex,
        probes: &[Probe],
    ) -> Result<Vec<(usize, usize, RenaissanceId)>> {
        let (entity, _) = self.entity(index)?;
        let mut groups: BTreeMap<(usize, Vec<usize>), Alternatives> = BTreeMap::new();
        for (number, probe) in probes.iter().enumerate() {
            for (rank, alternatives) in probe.keys.iter().enumerate() {
                for form in alternatives {
                    let slots: Vec<usize> = form.iter().map(|(slot, _)| *slot).collect();
                    let (numbers, columns) =
                        groups.entry((rank, slots)).or_insert_with(|| (vec![], vec![vec![]; form.len()]));
                    numbers.push(i64::try_from(number).unwrap_or(i64::MAX));
                    columns.iter_mut().zip(form).for_each(|(column, (place, slot))| {
                        column.push(codec::encode(Some(slot), statements::kind_of(entity, *place)));
                    });
                }
            }
        }
        let mut found = Vec::new();
        for ((rank, slots), (numbers, columns)) in groups {
            let mut query = sqlx::query_as(statements::find(entity, &slots)).bind(numbers);
            for column in columns {
                query = query.bind(column);
            }
            let rows: Vec<(i64, i64)> = query.fetch_all(&self.pool).await.map_err(Error::from)?;
            found.extend(rows.into_iter().filter_map(|(probe, id)| Some((usize::try_from(probe).ok()?, rank, id))));
        }
        Ok(found)
    }

    /// The planner's estimate, or a real count where there is none yet.
    pub(super) async fn rough_count(&self, index: EntityIndex) -> Result<u64> {
        let (entity, _) = self.entity(index)?;
        let table = super::sql::quote_ident(&entity.renaissance.tables[0].name);
        let estimate: f32 = sqlx::query_scalar("SELECT reltuples FROM pg_class WHERE oid = $1::text::regclass")
            .bind(&table)
            .fetch_one(&self.pool)
            .await?;
        let count = if estimate >= 1000.0 {
            format!("{estimate:.0}").parse().unwrap_or(0)
        } else {
            let sql = format!("SELECT count(*) FROM {table}");
            let count: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&self.pool).await?;
            u64::try_from(count).unwrap_or(0)
        };
        Ok(count)
    }
}

pub(super) fn parse_legacy(text: &str) -> Result<LegacyId> {
    text.parse().map_err(|e| Error::halt("reading a legacy id from the state").with_source(e))
}

/// What a row takes, in bytes.
fn size(row: &PgRow) -> Result<usize> {
    let size = |at| Ok(row.try_get_raw(at).map_err(Error::from)?.as_bytes().map_or(0, <[u8]>::len));
    (0..row.len()).map(size).sum()
}

/// Columns before the mapped ones: one that is of no interest here, id, legacy id, then a version per table.
pub(super) fn image(entity: &Entity, row: &PgRow) -> Result<Option<Image>> {
    if row.try_get::<Option<i64>, _>(1).map_err(Error::from)?.is_none() {
        return Ok(None);
    }
    let tables = entity.renaissance.tables.len();
    let mut versions = Vec::with_capacity(tables);
    for table in 0..tables {
        let xmin: Option<i64> = row.try_get(3 + table).map_err(Error::from)?;
        // Zero is no transaction's id: the child row is missing.
        versions.push(xmin.and_then(|xmin| u64::try_from(xmin).ok()).unwrap_or(0));
    }
    let mut slots = Vec::with_capacity(entity.renaissance.columns.len());
    for (at, column) in entity.renaissance.columns.iter().enumerate() {
        let kind = column.info.as_ref().map_or(crate::model::catalog::ColumnKind::Other, |info| info.limits.kind);
        let missing = versions[column.table] == 0;
        slots.push(if missing { None } else { codec::decode(row, 3 + tables + at, kind)? });
    }
    Ok(Some(Image { slots, version: Version(versions) }))
}
