//! One change at a time at an otherwise idle bridge: from its commit until it can be read at the other side.

use std::time::{Duration, Instant};

use biograph_bridge::sandbox::USERS;
use mongodb::{
    Collection,
    bson::{Document, doc, oid::ObjectId},
};

use crate::{Result, bed::Bed, changes::Person, raw, report::Latency};

/// Looking more often would slow the servers down; this much is added to a latency at most.
const LOOK_EVERY: Duration = Duration::from_micros(300);
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn measure(bed: &Bed, people: &[Person], samples: usize) -> Result<Vec<Latency>> {
    let bare = raw::bare_commits(bed, ObjectId::new(), samples).await?;
    let daemon = bed.spawn()?;
    daemon.until_idle().await?;
    let users: Collection<Document> = bed.legacy.collection(USERS);
    let (mut there, mut back) = (Vec::new(), Vec::new());
    for (n, person) in people.iter().cycle().take(samples).enumerate() {
        there.push(to_renaissance(bed, &users, person, &format!("Legacy {n}")).await?);
        tokio::time::sleep(pause(n)).await;
        back.push(to_legacy(bed, &users, person, &format!("Renaissance {n}")).await?);
        tokio::time::sleep(pause(n)).await;
    }
    daemon.stop().await?;
    let [mongo, postgres] = bare;
    Ok(vec![
        Latency::new("legacy_to_renaissance", there),
        Latency::new("renaissance_to_legacy", back),
        Latency::new("bare MongoDB commit, majority and journalled", mongo),
        Latency::new("bare Postgres commit", postgres),
    ])
}

/// Uneven, so that changes do not fall into step with anything that happens at intervals.
fn pause(n: usize) -> Duration {
    Duration::from_millis(5 + (n as u64 * 7) % 23)
}

async fn to_renaissance(bed: &Bed, users: &Collection<Document>, person: &Person, name: &str) -> Result<Duration> {
    users.update_one(doc! { "_id": person.legacy }, doc! { "$set": { "name": name } }).await?;
    let committed = Instant::now();
    while committed.elapsed() < PATIENCE {
        let now: String = sqlx::query_scalar("SELECT first_name FROM users WHERE id = $1")
            .bind(person.row)
            .fetch_one(&bed.pool)
            .await?;
        if now == name {
            return Ok(committed.elapsed());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err("a change did not arrive in Renaissance".into())
}

async fn to_legacy(bed: &Bed, users: &Collection<Document>, person: &Person, name: &str) -> Result<Duration> {
    sqlx::query("UPDATE users SET first_name = $2 WHERE id = $1")
        .bind(person.row)
        .bind(name)
        .execute(&bed.pool)
        .await?;
    let committed = Instant::now();
    while committed.elapsed() < PATIENCE {
        let document = users.find_one(doc! { "_id": person.legacy }).projection(doc! { "name": 1 }).await?;
        if document.is_some_and(|found| found.get_str("name").is_ok_and(|now| now == name)) {
            return Ok(committed.elapsed());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err("a change did not arrive in BioGraph".into())
}
