//! The bridge's own tables besides the journal: checkpoints, sweeps, intents, sessions, parked keys.

use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::{read::parse_legacy, store::Postgres, waiting::Arrived};
use crate::{
    drill::{self, Mechanism},
    error::{Error, Result},
    model::{
        hint::Position,
        key::{EntityIndex, Key, LegacyId, SideId},
        side::Side,
    },
};

/// A record that an intent created: entity, legacy id, renaissance id.
type Created = (String, String, Option<i64>);

impl Postgres {
    pub(super) async fn settle_intent(&self, intent: Uuid, landed: &[LegacyId]) -> Result<Vec<Key>> {
        let mut session = self.pool.acquire().await.map_err(Error::from)?;
        let mut settled = self.settle_on(&mut session, intent, landed, true).await;
        if settled.is_err() {
            Self::after_failure(&mut session).await;
        }
        // Who may not write to the rows can still settle: the rows get their legacy ids when they are looked at again.
        let unnamed = settled.as_ref().is_err_and(Error::is_blocked);
        if unnamed {
            settled = self.settle_on(&mut session, intent, landed, false).await;
            if settled.is_err() {
                Self::after_failure(&mut session).await;
            }
        }
        drop(session);
        let created = settled?;
        let mut arrived = Vec::with_capacity(created.len());
        for (entity, legacy, id) in &created {
            if let Some(renaissance) = *id {
                arrived.push(Arrived { entity, legacy: parse_legacy(legacy)?, renaissance });
            }
        }
        let mut woken = self.waiting_for(&arrived).await?;
        if unnamed {
            let index = |name: &str| self.entities().iter().zip(0..).find(|(entity, _)| entity.name == name);
            let key = |(_, number), id| Key { entity: EntityIndex(number), id: SideId::Renaissance(id) };
            woken.extend(arrived.iter().filter_map(|one| Some(key(index(one.entity)?, one.renaissance))));
        }
        Ok(woken)
    }

    /// Settles in one transaction and returns the records that were created, whose rows get their legacy ids if `named`.
    async fn settle_on(
        &self,
        session: &mut PgConnection,
        intent: Uuid,
        landed: &[LegacyId],
        named: bool,
    ) -> Result<Vec<Created>> {
        if drill::lacks(Mechanism::Intents) {
            return Ok(Vec::new());
        }
        let landed: Vec<String> = landed.iter().map(ToString::to_string).collect();
        let mut transaction = session.begin_with(self.opening_on_state()).await.map_err(Error::from)?;
        let created: Vec<Created> = sqlx::query_as(SETTLE)
            .bind(intent)
            .bind(&landed)
            .fetch_all(&mut *transaction)
            .await
            .map_err(Error::from)?;
        if named && !created.is_empty() {
            let announcement = sqlx::AssertSqlSafe(format!("SELECT {}", self.announcement()));
            sqlx::raw_sql(announcement).execute(&mut *transaction).await.map_err(Error::from)?;
        }
        for (entity, statements) in self.all() {
            let rows = created.iter().filter(|(name, ..)| *name == entity.name);
            let (ids, legacy): (Vec<i64>, Vec<&str>) =
                rows.filter_map(|(_, legacy, id)| Some(((*id)?, legacy.as_str()))).unzip();
            if named && !ids.is_empty() {
                sqlx::query(sqlx::AssertSqlSafe(statements.back_reference.clone()))
                    .bind(ids)
                    .bind(legacy)
                    .execute(&mut *transaction)
                    .await
                    .map_err(Error::from)?;
            }
        }
        drill::crash_point("before settling");
        transaction.commit().await.map_err(Error::from)?;
        Ok(created)
    }

    pub(super) async fn intents_left_open(&self) -> Result<Vec<Uuid>> {
        sqlx::query_scalar("SELECT DISTINCT id FROM biograph_bridge.open_intent")
            .fetch_all(&self.pool)
            .await
            .map_err(Error::from)
    }

    pub(super) async fn saved_position(&self, side: Side) -> Result<Option<Position>> {
        let text: Option<String> =
            sqlx::query_scalar("SELECT position FROM biograph_bridge.checkpoint WHERE side = $1")
                .bind(side.as_str())
                .fetch_optional(&self.pool)
                .await
                .map_err(Error::from)?;
        text.map(|text| match side {
            Side::Legacy => Ok(Position::Token(text)),
            Side::Renaissance => parse_lsn(&text),
        })
        .transpose()
    }

    pub(super) async fn save_positions(&self, positions: &[(Side, Position)]) -> Result<()> {
        let sides: Vec<&str> = positions.iter().map(|(side, _)| side.as_str()).collect();
        let texts: Vec<String> = positions.iter().map(|(_, position)| position.to_string()).collect();
        let mut transaction = self.begin_on_state().await?;
        sqlx::query(
            "INSERT INTO biograph_bridge.checkpoint (side, position) SELECT * FROM unnest($1::text[], $2::text[]) \
             ON CONFLICT (side) DO UPDATE SET position = excluded.position, at = now()",
        )
        .bind(sides)
        .bind(texts)
        .execute(&mut *transaction)
        .await
        .map_err(Error::from)?;
        transaction.commit().await.map_err(Error::from)
    }

    /// Registers MongoDB sessions before their first use and returns those of former runs, oldest dropped after a month.
    pub async fn register_sessions(&self, ids: &[Uuid]) -> Result<Vec<Uuid>> {
        let mut transaction = self.begin_on_state().await?;
        sqlx::query("DELETE FROM biograph_bridge.session WHERE opened_at < now() - interval '30 days'")
            .execute(&mut *transaction)
            .await
            .map_err(Error::from)?;
        let former = sqlx::query_scalar("SELECT id FROM biograph_bridge.session WHERE id <> ALL($1)")
            .bind(ids)
            .fetch_all(&mut *transaction)
            .await
            .map_err(Error::from)?;
        sqlx::query("INSERT INTO biograph_bridge.session (id) SELECT * FROM unnest($1::uuid[]) ON CONFLICT DO NOTHING")
            .bind(ids)
            .execute(&mut *transaction)
            .await
            .map_err(Error::from)?;
        transaction.commit().await.map_err(Error::from)?;
        Ok(former)
    }
}

/// Closes an intent in one statement; its parts touch different rows. Parameters: the intent, the legacy ids that
/// landed. Returns the records that were created. What did not land leaves no trace.
const SETTLE: &str = "WITH closed AS (DELETE FROM biograph_bridge.open_intent WHERE id = $1 RETURNING *), \
    landed AS (SELECT c.entity, c.shape, v.* FROM closed c, \
        unnest(c.legacy_ids, c.renaissance_ids, c.kinds, c.bases) AS v (legacy_id, renaissance_id, kind, base) \
      WHERE (v.legacy_id IN (SELECT unnest($2::text[]))) IS TRUE), \
    agreed AS (UPDATE biograph_bridge.link l SET base = i.base, shape = i.shape FROM landed i \
      WHERE i.kind <> 'delete' AND l.entity = i.entity AND l.legacy_id = i.legacy_id), \
    ended AS (DELETE FROM biograph_bridge.link l USING landed i \
      WHERE i.kind = 'delete' AND l.entity = i.entity AND l.legacy_id = i.legacy_id), \
    dropped_conflicts AS (DELETE FROM biograph_bridge.conflict WHERE intent = $1 AND legacy_id <> ALL($2)), \
    final_conflicts AS (UPDATE biograph_bridge.conflict SET intent = NULL WHERE intent = $1 AND legacy_id = ANY($2)), \
    resolved AS (UPDATE biograph_bridge.conflict SET resolution = NULL WHERE resolution = $1 AND legacy_id = ANY($2)), \
    unresolved AS (UPDATE biograph_bridge.conflict SET resolution = NULL, resolved_at = NULL, resolved_by = NULL, \
      resolved_request = NULL, taken = NULL WHERE resolution = $1 AND legacy_id <> ALL($2)), \
    dropped_tombstones AS (DELETE FROM biograph_bridge.tombstone WHERE intent = $1 AND legacy_id <> ALL($2)), \
    final_tombstones AS (UPDATE biograph_bridge.tombstone SET intent = NULL WHERE intent = $1 AND legacy_id = ANY($2)) \
    SELECT entity, legacy_id, renaissance_id FROM landed WHERE kind = 'insert'";

fn parse_lsn(text: &str) -> Result<Position> {
    let parts = text.split_once('/');
    let number = |part: &str| u64::from_str_radix(part, 16).ok();
    let lsn = parts.and_then(|(high, low)| Some(number(high)? << 32 | number(low)?));
    lsn.map(Position::Lsn).ok_or_else(|| Error::halt("the saved renaissance checkpoint is not an LSN"))
}
