//! People who are born in Renaissance: their first cutover row, with the reason in the history.

use sqlx::PgConnection;

use crate::{
    error::{Error, Result},
    model::cutover::CutoverRow,
    postgres::store::Postgres,
};

/// A row of somebody who is gone may still name this row.
const LET_GO: &str = "UPDATE biograph_bridge.cutover c SET renaissance_id = NULL \
    FROM unnest($1::text[], $2::bigint[]) AS v(legacy, renaissance) \
    WHERE c.renaissance_id = v.renaissance AND c.legacy_id <> v.legacy";
/// Who has a row keeps it. BioGraph never owned them, so nothing it writes is a former owner's.
const ENTER: &str = "WITH born AS (INSERT INTO biograph_bridge.cutover (legacy_id, renaissance_id, state, epoch, since, moved) \
      SELECT v.legacy, v.renaissance, $3, $4, clock_timestamp(), false FROM unnest($1::text[], $2::bigint[]) AS v(legacy, renaissance) \
      ON CONFLICT (legacy_id) DO NOTHING RETURNING legacy_id, renaissance_id) \
    INSERT INTO biograph_bridge.cutover_history (legacy_id, renaissance_id, step, toward, state, epoch, detail) \
    SELECT legacy_id, renaissance_id, 'born', $3, $3, $4, 'born in Renaissance' FROM born";
const WITHOUT_ROW: &str = "SELECT l.legacy_id, l.renaissance_id FROM biograph_bridge.link l WHERE l.born_in_renaissance \
    AND l.entity = ANY($1) AND l.legacy_id > $2 AND NOT EXISTS \
      (SELECT FROM biograph_bridge.cutover c WHERE c.legacy_id = l.legacy_id) ORDER BY l.legacy_id LIMIT $3";
/// People who get their row together.
const TOGETHER: i64 = 5000;

/// Enters people whose documents are made from their rows: by both ids, a column each.
pub(in crate::postgres) async fn enter(
    connection: &mut PgConnection,
    legacy: &[String],
    renaissance: &[i64],
) -> Result<u64> {
    let row = CutoverRow::BORN_IN_RENAISSANCE;
    let letting_go = sqlx::query(LET_GO).bind(legacy).bind(renaissance);
    letting_go.execute(&mut *connection).await.map_err(Error::from)?;
    let entering = sqlx::query(ENTER).bind(legacy).bind(renaissance).bind(row.state.as_str()).bind(row.epoch);
    Ok(entering.execute(connection).await.map_err(Error::from)?.rows_affected())
}

impl Postgres {
    /// Enters everybody who was born in Renaissance and has no row. How many there were.
    pub(super) async fn enter_born(&self) -> Result<u64> {
        let (mut after, mut entered) = (String::new(), 0);
        loop {
            let page: Vec<(String, i64)> = sqlx::query_as(WITHOUT_ROW)
                .bind(self.person_entities())
                .bind(&after)
                .bind(TOGETHER)
                .fetch_all(&self.pool)
                .await
                .map_err(Error::from)?;
            let Some((last, _)) = page.last() else { return Ok(entered) };
            after.clone_from(last);
            // whoever decides from now on asks whether the owner is still the same
            self.anybody_moved().note();
            let (legacy, renaissance): (Vec<String>, Vec<i64>) = page.into_iter().unzip();
            let mut transaction = self.begin_on_state().await?;
            entered += enter(&mut transaction, &legacy, &renaissance).await?;
            transaction.commit().await.map_err(Error::from)?;
        }
    }
}
