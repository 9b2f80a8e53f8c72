//! The first copy: everybody is in BioGraph and nobody in Renaissance.

use std::time::Instant;

use biograph_bridge::sandbox::USERS;
use futures_util::TryStreamExt;
use mongodb::{
    Collection,
    bson::{RawDocumentBuf, doc},
};
use sqlx::{Connection, PgConnection, postgres::PgPoolCopyExt};

use crate::{BATCH, Result, bed::Bed, raw, report::Row};

/// Both tables, and how their columns are given to COPY.
const TABLES: [&str; 2] = ["users", "user_profiles"];

/// From the beginning of the backfill until everybody is durable.
pub(crate) async fn bridge(bed: &Bed) -> Result<Row> {
    let daemon = bed.spawn()?;
    daemon.until(|status| matches!(status["state"].as_str(), Some("backfilling" | "streaming"))).await?;
    let start = bed.measure(Some(&daemon))?;
    daemon.until(|status| status["state"] == "streaming").await?;
    let people: i64 = sqlx::query_scalar("SELECT count(*) FROM users").fetch_one(&bed.pool).await?;
    let row = start.until_now(u64::try_from(people)?, bed, Some(&daemon))?;
    daemon.until_quiet().await?;
    daemon.stop().await?;
    Ok(row)
}

/// Reading all documents and copying the rows that the bridge made of them into empty tables, batch by batch.
pub(crate) async fn raw(bed: &Bed) -> Result<Row> {
    let url = bed.postgres.create_renaissance("first_copy").await?;
    let batches = [rows_of(bed, TABLES[0]).await?, rows_of(bed, TABLES[1]).await?];
    let mut session = PgConnection::connect(&url).await?;
    let users: Collection<RawDocumentBuf> = bed.legacy.collection(USERS);

    let start = bed.measure(None)?;
    let at = Instant::now();
    let batch_size = u32::try_from(BATCH)?;
    let mut cursor = users.find(doc! {}).projection(raw::projection()).batch_size(batch_size).await?;
    let mut read = 0;
    for (people, profiles) in batches[0].iter().zip(&batches[1]) {
        for _ in 0..BATCH {
            if !cursor.advance().await? {
                break;
            }
            std::hint::black_box(cursor.current().to_owned());
            read += 1;
        }
        let mut transaction = session.begin().await?;
        for (table, lines) in TABLES.into_iter().zip([people, profiles]) {
            let mut copy = transaction.copy_in_raw(&format!("COPY {table} FROM STDIN")).await?;
            copy.send(lines.as_bytes()).await?;
            copy.finish().await?;
        }
        transaction.commit().await?;
    }
    start.ended(at.elapsed(), read, bed, None)
}

/// All rows of a table as COPY gives them, in batches.
async fn rows_of(bed: &Bed, table: &str) -> Result<Vec<String>> {
    let pool = sqlx::PgPool::connect(&bed.postgres.url("raw")).await?;
    let stream = pool.copy_out_raw(&format!("COPY (SELECT * FROM {table} ORDER BY id) TO STDOUT")).await?;
    let bytes: Vec<u8> = stream
        .try_fold(Vec::new(), |mut all, part| async move {
            all.extend_from_slice(&part);
            Ok(all)
        })
        .await?;
    pool.close().await;
    let text = String::from_utf8(bytes)?;
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    Ok(lines.chunks(BATCH).map(<[&str]>::concat).collect())
}
