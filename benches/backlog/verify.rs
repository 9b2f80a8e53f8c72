//! Comparing everybody, beside reading both sides once: all documents and all rows, with the fields that the mapping reads.

use std::{hint::black_box, time::Duration};

use biograph_bridge::sandbox::USERS;
use futures_util::TryStreamExt;
use mongodb::{
    Collection,
    bson::{RawDocumentBuf, doc},
};

use crate::{BATCH, Result, bed::Bed, raw, report::Row};

/// The rows of everybody.
const ROWS: &str = "SELECT u.id, u.old_user_id, u.username, u.country_code, u.phone_number, u.first_name, u.last_name, u.email, \
     u.profile_picture, u.subscription_status, u.is_active, u.created_at, u.date_joined, u.updated_at, \
     p.profile_visibility, p.email_notifications, p.push_notifications \
     FROM users u LEFT JOIN user_profiles p ON p.user_id = u.id ORDER BY u.id";

/// The measured runs.
#[derive(Default)]
pub(crate) struct Runs {
    pub(crate) bridge: Vec<Row>,
    pub(crate) raw: Vec<Row>,
}

/// Compares everybody so many times, at full speed and without other traffic. Everybody has to be on both sides.
pub(crate) async fn measure(bed: &Bed, repeat: usize) -> Result<Runs> {
    let mut runs = Runs::default();
    let daemon = bed.spawn()?;
    daemon.until(|status| status["state"] == "streaming").await?;
    daemon.until_idle().await?;
    crate::bed::vacuum(&bed.pool).await?;
    for round in 1..=repeat {
        crate::progress(&format!("verify, {round} of {repeat}"));
        let start = bed.measure(Some(&daemon))?;
        let compared = compare(bed).await?;
        runs.bridge.push(start.until_now(compared, bed, Some(&daemon))?);
        runs.raw.push(read(bed, compared).await?);
    }
    daemon.stop().await?;
    Ok(runs)
}

/// Has the daemon compare all people; how many there were.
async fn compare(bed: &Bed) -> Result<u64> {
    let asked = r#"{"entities": ["user"], "by": "bench"}"#;
    let request: i64 = sqlx::query_scalar(
        "WITH asked AS (INSERT INTO biograph_bridge.request (command, arguments) VALUES ('verify', $1::text::jsonb) RETURNING id) \
         SELECT id FROM asked, pg_notify('biograph_bridge_request', id::text)",
    )
    .bind(asked)
    .fetch_one(&bed.pool)
    .await?;
    let counts = "SELECT sum(compared)::int8, sum(equal)::int8 FROM biograph_bridge.verify_run \
        JOIN biograph_bridge.verify_progress ON run = id WHERE request = $1 AND outcome = 'complete' HAVING count(*) > 0";
    loop {
        let ended: Option<(i64, i64)> = sqlx::query_as(counts).bind(request).fetch_optional(&bed.pool).await?;
        match ended {
            Some((compared, equal)) if compared == equal => return Ok(u64::try_from(compared)?),
            Some((compared, equal)) => return Err(format!("only {equal} of {compared} people are equal").into()),
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

async fn read(bed: &Bed, people: u64) -> Result<Row> {
    let users: Collection<RawDocumentBuf> = bed.legacy.collection(USERS);
    let start = bed.measure(None)?;
    let mut documents = users.find(doc! {}).projection(raw::projection()).batch_size(u32::try_from(BATCH)?).await?;
    let mut read = [0_u64; 2];
    while documents.advance().await? {
        black_box(documents.current().to_owned());
        read[0] += 1;
    }
    let mut rows = sqlx::query(ROWS).fetch(&bed.pool);
    while let Some(row) = rows.try_next().await? {
        black_box(row);
        read[1] += 1;
    }
    if read != [people; 2] {
        return Err(format!("{read:?} were read, not {people}").into());
    }
    start.until_now(people, bed, None)
}
