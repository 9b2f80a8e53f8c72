//! Drafts: people who are to move together, while a command finds out who they are. Nothing moves before a batch is made of one.

use sqlx::{PgPool, postgres::PgQueryResult};

use crate::error::Result;

/// Begins an empty draft. Those that nobody began with are removed.
pub async fn begin(pool: &PgPool) -> Result<i64> {
    sqlx::query("DELETE FROM biograph_bridge.cutover_draft WHERE made_at < clock_timestamp() - interval '1 day'")
        .execute(pool)
        .await?;
    Ok(sqlx::query_scalar("INSERT INTO biograph_bridge.cutover_draft DEFAULT VALUES RETURNING id")
        .fetch_one(pool)
        .await?)
}

/// Adds people by their legacy ids; who is in it already stays so. How many were added.
pub async fn add(pool: &PgPool, draft: i64, people: &[String]) -> Result<u64> {
    let sql = "INSERT INTO biograph_bridge.cutover_draft_member (draft, legacy_id) SELECT $1, unnest($2::text[]) \
        ON CONFLICT DO NOTHING";
    Ok(sqlx::query(sql).bind(draft).bind(people).execute(pool).await?.rows_affected())
}

/// Adds everybody who is in Renaissance or on the way to or from there: those of one batch, or all whom a mapping of people
/// (`entities`) knows. How many were added.
pub async fn add_moved(pool: &PgPool, draft: i64, batch: Option<i64>, entities: &[&str]) -> Result<u64> {
    let added: PgQueryResult = match batch {
        Some(batch) => {
            let sql = "INSERT INTO biograph_bridge.cutover_draft_member (draft, legacy_id) SELECT $1, m.legacy_id \
                FROM biograph_bridge.cutover_member m JOIN biograph_bridge.cutover c USING (legacy_id) \
                WHERE m.batch = $2 AND c.state <> 'legacy'";
            sqlx::query(sql).bind(draft).bind(batch).execute(pool).await?
        }
        None => {
            let sql = "INSERT INTO biograph_bridge.cutover_draft_member (draft, legacy_id) SELECT $1, c.legacy_id \
                FROM biograph_bridge.cutover c WHERE c.state <> 'legacy' AND EXISTS \
                (SELECT FROM biograph_bridge.link l WHERE l.entity = ANY($2) AND l.legacy_id = c.legacy_id)";
            sqlx::query(sql).bind(draft).bind(entities).execute(pool).await?
        }
    };
    Ok(added.rows_affected())
}

/// The people of a draft after `after`, in the order of their legacy ids.
pub async fn members(pool: &PgPool, draft: i64, after: &str, limit: i64) -> Result<Vec<String>> {
    let sql = "SELECT legacy_id FROM biograph_bridge.cutover_draft_member WHERE draft = $1 AND legacy_id > $2 \
        ORDER BY legacy_id LIMIT $3";
    Ok(sqlx::query_scalar(sql).bind(draft).bind(after).bind(limit).fetch_all(pool).await?)
}

/// Forgets a draft.
pub async fn discard(pool: &PgPool, draft: i64) -> Result<()> {
    sqlx::query("DELETE FROM biograph_bridge.cutover_draft WHERE id = $1").bind(draft).execute(pool).await?;
    Ok(())
}
