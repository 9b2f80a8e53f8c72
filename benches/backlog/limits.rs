//! What writing whole people takes if nothing else is done, however little of them has changed: the limit that others are held to.

use biograph_bridge::sandbox::USERS;
use futures_util::TryStreamExt;
use mongodb::{
    Collection,
    bson::{Bson, Document, doc},
    options::ReadConcern,
};

use crate::{
    BATCH, Result,
    bed::{self, Bed},
    first_copy::{PERSON, columns_of, upsert},
    raw::{Copies, durable},
    report::Row,
};

/// Upserts all rows of everybody, a transaction per batch and a statement per table.
pub(crate) async fn upserts(bed: &Bed, copies: &Copies, repeat: usize) -> Result<Vec<Row>> {
    let [(of_people, people), (of_profiles, profiles)] =
        [columns_of(&copies.pool, PERSON[0]).await?, columns_of(&copies.pool, PERSON[1]).await?];
    let all: i64 = sqlx::query_scalar("SELECT count(*) FROM users").fetch_one(&copies.pool).await?;
    let mut rows = Vec::new();
    for _ in 0..repeat {
        bed::vacuum(&copies.pool).await?;
        let mut session = copies.pool.acquire().await?;
        let start = bed.measure(None)?;
        for (people, profiles) in people.iter().zip(&profiles) {
            upsert(&mut session, [(&of_people, people), (&of_profiles, profiles)]).await?;
        }
        rows.push(start.until_now(u64::try_from(all)?, bed, None)?);
    }
    Ok(rows)
}

/// Replaces all documents, a transaction per batch.
pub(crate) async fn replaces(bed: &Bed, copies: &Copies, repeat: usize) -> Result<Vec<Row>> {
    let users: Collection<Document> = copies.legacy.collection(USERS);
    let mut documents: Vec<Document> = users.find(doc! {}).await?.try_collect().await?;
    let mut session = copies.client.start_session().await?;
    let mut rows = Vec::new();
    for round in 0..repeat {
        // a document that is replaced by itself is not written
        documents.iter_mut().enumerate().for_each(|(n, document)| {
            document.insert("name", format!("Person {n} of {round}"));
        });
        let start = bed.measure(None)?;
        for batch in documents.chunks(BATCH) {
            let replace = |document: &Document| {
                let id = document.get_object_id("_id")?;
                Ok(Bson::Document(doc! { "q": { "_id": id }, "u": document }))
            };
            let updates = batch.iter().map(replace).collect::<Result<Vec<Bson>>>()?;
            session.start_transaction().read_concern(ReadConcern::snapshot()).write_concern(durable()).await?;
            let command = doc! { "update": USERS, "updates": updates, "ordered": true };
            let answer = copies.legacy.run_command(command).session(&mut session).await?;
            session.commit_transaction().await?;
            if answer.get_i32("nModified")? != i32::try_from(batch.len())? {
                return Err(format!("not every document was replaced: {answer}").into());
            }
        }
        rows.push(start.until_now(documents.len() as u64, bed, None)?);
    }
    Ok(rows)
}
