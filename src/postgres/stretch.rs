//! Reading links with their rows from end to end, for comparing everybody.

use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, Row};

use super::{
    read::{image, parse_legacy},
    sql::quote_ident,
    store::Postgres,
};
use crate::{
    error::{Error, Result},
    model::{
        image::Image,
        key::{EntityIndex, LegacyId, RenaissanceId},
    },
    sync::ports::{LinkedRow, Page, Stretch},
};

/// Rows are read by range where at least one in so many of the range is wanted.
const SPARSE: i64 = 2;
/// For reading ranges along indexes, which the settings of the sessions are not made for.
const ALONG_INDEXES: &str = "BEGIN READ ONLY; SET LOCAL enable_nestloop = off; SET LOCAL enable_mergejoin = on";
/// The same where each side has to end with the other: a hash would take in all links each time.
const IN_ORDER: &str = "BEGIN READ ONLY; SET LOCAL enable_nestloop = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = on";

const LINKS: &str = "SELECT coalesce(array_agg(l.legacy_id), '{}'), coalesce(array_agg(l.renaissance_id), '{}') FROM \
    (SELECT legacy_id, renaissance_id FROM biograph_bridge.link \
     WHERE entity = $1 AND legacy_id > $2 ORDER BY legacy_id LIMIT $3) l";

/// What is there of a record, with whether its row carries a legacy id.
type Found = (Option<Image>, bool);

impl Postgres {
    pub(super) async fn links_after(
        &self,
        index: EntityIndex,
        after: Option<LegacyId>,
        limit: u32,
    ) -> Result<Stretch<(LegacyId, RenaissanceId)>> {
        let (entity, _) = self.entity(index)?;
        let (legacy, ids): (Vec<String>, Vec<RenaissanceId>) = sqlx::query_as(LINKS)
            .bind(&entity.name)
            .bind(after.map(|after| after.to_string()).unwrap_or_default())
            .bind(i64::from(limit))
            .fetch_one(&self.pool)
            .await
            .map_err(Error::from)?;
        let more = ids.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
        let link = |(legacy, id): (&String, RenaissanceId)| Ok((parse_legacy(legacy)?, id));
        Ok(Stretch { records: legacy.iter().zip(ids).map(link).collect::<Result<_>>()?, more })
    }

    pub(super) async fn rows_of_links(
        &self,
        index: EntityIndex,
        mut links: Vec<(LegacyId, RenaissanceId)>,
    ) -> Result<Vec<LinkedRow>> {
        let mut ids: Vec<RenaissanceId> = links.iter().map(|(_, id)| *id).collect();
        let found = loop {
            match self.rows_of(index, &ids).await {
                Err(error) if error.is_too_much() && ids.len() > 1 => ids.truncate(ids.len() / 2),
                found => break found?,
            }
        };
        links.truncate(ids.len());
        let record = |((legacy, _), (image, named)): (_, Found)| LinkedRow { legacy, image, named };
        Ok(links.into_iter().zip(found).map(record).collect())
    }

    /// In the order of the ids. Those of people who were copied together lie together.
    async fn rows_of(&self, index: EntityIndex, ids: &[RenaissanceId]) -> Result<Vec<Found>> {
        let ends = ids.iter().min().zip(ids.iter().max()).map(|(first, last)| (*first, *last));
        let wanted = i64::try_from(ids.len()).unwrap_or(i64::MAX).saturating_mul(SPARSE);
        if let Some((first, last)) = ends.filter(|(first, last)| last.saturating_sub(*first) < wanted) {
            let mut found = self.rows_between(index, (first, last)).await?;
            let place = |id: &RenaissanceId| usize::try_from(id - first).ok();
            let take = |id| place(id).and_then(|place| found.get_mut(place)).map(std::mem::take).unwrap_or_default();
            return Ok(ids.iter().map(take).collect());
        }
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let read = self.read_rows(index, ids).await?;
        let is_named = |name: Option<String>| name.is_some_and(|name| !name.is_empty());
        Ok(read.images.into_iter().zip(read.legacy_ids.into_iter().map(is_named)).collect())
    }

    /// What is there of all records from the first id to the last, one place per id.
    async fn rows_between(
        &self,
        index: EntityIndex,
        (first, last): (RenaissanceId, RenaissanceId),
    ) -> Result<Vec<Found>> {
        let (entity, statements) = self.entity(index)?;
        let places = usize::try_from(last - first).unwrap_or(0) + 1;
        // several stretches wait to be compared at a time
        let (mut found, mut counter) = (vec![Found::default(); places], self.room().half().counter(places));
        let mut transaction =
            self.pool.begin_with(AssertSqlSafe(ALONG_INDEXES.to_owned())).await.map_err(Error::from)?;
        let mut rows =
            sqlx::query(AssertSqlSafe(statements.between.as_str())).bind(first).bind(last).fetch(&mut *transaction);
        while let Some(row) = rows.try_next().await.map_err(Error::from)? {
            let id: i64 = row.try_get(1).map_err(Error::from)?;
            let name: Option<&str> = row.try_get(2).map_err(Error::from)?;
            let image = image(entity, &row)?;
            counter.add(image.as_ref().map_or(0, Image::weight))?;
            if let Some(place) = usize::try_from(id - first).ok().and_then(|place| found.get_mut(place)) {
                *place = (image, name.is_some_and(|name| !name.is_empty()));
            }
        }
        drop(rows);
        transaction.commit().await.map_err(Error::from)?;
        Ok(found)
    }

    pub(super) async fn page_of_unlinked(
        &self,
        index: EntityIndex,
        after: Option<RenaissanceId>,
        limit: u32,
    ) -> Result<Page<RenaissanceId>> {
        let (entity, _) = self.entity(index)?;
        let root = &entity.renaissance.tables[0];
        let (table, key) = (quote_ident(&root.name), quote_ident(&root.key));
        let first = after.map_or(i64::MIN, |after| after.saturating_add(1));
        // both are met in the order of their ids, so that the links end with the rows
        let sql = format!(
            "SELECT coalesce(array_agg(r.id) FILTER (WHERE l.renaissance_id IS NULL), '{{}}'), max(r.id), count(*) FROM \
               (SELECT {key}::int8 AS id FROM {table} WHERE {key} >= $2 ORDER BY {key} LIMIT $3) r \
             LEFT JOIN (SELECT renaissance_id FROM biograph_bridge.link WHERE entity = $1 AND renaissance_id >= $2 \
               ORDER BY renaissance_id) l ON l.renaissance_id = r.id"
        );
        let mut transaction = self.pool.begin_with(AssertSqlSafe(IN_ORDER.to_owned())).await.map_err(Error::from)?;
        let (listed, last, walked): (Vec<i64>, Option<i64>, i64) = sqlx::query_as(AssertSqlSafe(sql))
            .bind(&entity.name)
            .bind(first)
            .bind(i64::from(limit))
            .fetch_one(&mut *transaction)
            .await
            .map_err(Error::from)?;
        transaction.commit().await.map_err(Error::from)?;
        Ok(Page { listed, last, walked: u64::try_from(walked).unwrap_or(0) })
    }
}
