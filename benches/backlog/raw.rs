//! The raw cost: the same reads and writes without the bridge, with the same drivers, on copies of both databases.
//!
//! Copies, because what is written behind the bridge's back would be changes for it.

use std::{
    collections::HashMap,
    hint::black_box,
    time::{Duration, Instant},
};

use biograph_bridge::{model::side::Direction, sandbox::USERS};
use mongodb::{
    Client, Collection, Database,
    bson::{Bson, Document, RawDocumentBuf, doc, oid::ObjectId},
    options::{Acknowledgment, ClientOptions, ReadConcern, WriteConcern},
};
use sqlx::{Executor, PgPool, postgres::PgPoolOptions};

use crate::{
    BATCH, Result,
    bed::{self, Bed},
    changes::{Change, ChangeSet},
    report::Row,
};

/// The top-level fields that the mapping reads.
const FIELDS: [&str; 14] = [
    "username",
    "country_code",
    "phone_number",
    "name",
    "email",
    "profile_pic_url",
    "is_premium_member",
    "is_removed",
    "status_key",
    "profile_settings",
    "email_notification",
    "push_notification",
    "created_time",
    "updated_time",
];
/// The columns that the mapping reads.
const READ: &str = "SELECT u.id, u.old_user_id, u.username, u.country_code, u.phone_number, u.first_name, u.last_name, u.email, \
     u.profile_picture, u.subscription_status, u.is_active, u.created_at, u.date_joined, u.updated_at, \
     p.profile_visibility, p.email_notifications, p.push_notifications \
     FROM unnest($1::bigint[]) AS k(id) LEFT JOIN users u ON u.id = k.id LEFT JOIN user_profiles p ON p.user_id = k.id";

pub(crate) fn projection() -> Document {
    FIELDS.iter().map(|field| ((*field).to_owned(), Bson::Int32(1))).collect()
}

/// Acknowledged by a majority and journalled, as the bridge writes.
pub(crate) fn durable() -> WriteConcern {
    WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build()
}

/// Copies of both databases as the bridge left them, with one connection to each.
pub(crate) struct Copies {
    pub(crate) client: Client,
    pub(crate) legacy: Database,
    pub(crate) pool: PgPool,
}

impl Copies {
    pub(crate) async fn make(bed: &Bed) -> Result<Self> {
        // a template must have no other users
        bed.pool.close().await;
        bed.postgres.execute("postgres", "CREATE DATABASE raw TEMPLATE renaissance").await?;
        let pool = PgPoolOptions::new().max_connections(1).connect(&bed.postgres.url("raw")).await?;
        let copy = doc! { "$out": { "db": "raw", "coll": USERS } };
        bed.legacy.collection::<Document>(USERS).aggregate([copy]).await?;
        let mut options = ClientOptions::parse(bed.mongo.uri("raw")).await?;
        options.max_pool_size = Some(1);
        let client = Client::with_options(options)?;
        let legacy = client.database("raw");
        Ok(Self { client, legacy, pool })
    }

    /// Makes the changes at the source, then measures reading its log alone, and carrying them over.
    pub(crate) async fn run(&self, bed: &Bed, direction: Direction, changes: &ChangeSet) -> Result<(Row, Row)> {
        bed::vacuum(&self.pool).await?;
        let log = match direction {
            Direction::LegacyToRenaissance => self.read_oplog(bed, changes).await?,
            Direction::RenaissanceToLegacy => self.read_wal(bed, changes).await?,
        };
        let start = bed.measure(None)?;
        self.carry_over(direction, changes).await?;
        Ok((log, start.until_now(changes.people() as u64, bed, None)?))
    }

    /// Makes the changes at the source and carries them over, which is measured together: what changing people takes where no
    /// bridge looks on.
    pub(crate) async fn burst(&self, bed: &Bed, direction: Direction, changes: &ChangeSet) -> Result<Row> {
        let start = bed.measure(None)?;
        match direction {
            Direction::LegacyToRenaissance => changes.apply_to_documents(&self.legacy).await?,
            Direction::RenaissanceToLegacy => changes.apply_to_rows(&self.pool).await?,
        }
        self.carry_over(direction, changes).await?;
        start.until_now(changes.people() as u64, bed, None)
    }

    /// Reads the changed records, reads the targets and writes those.
    async fn carry_over(&self, direction: Direction, changes: &ChangeSet) -> Result<()> {
        for batch in changes.changes.chunks(BATCH) {
            match direction {
                Direction::LegacyToRenaissance => {
                    self.read_documents(batch).await?;
                    self.read_rows(batch).await?;
                    self.write_rows(batch).await?;
                }
                Direction::RenaissanceToLegacy => {
                    self.read_rows(batch).await?;
                    self.read_documents(batch).await?;
                    self.write_documents(batch).await?;
                }
            }
        }
        Ok(())
    }

    /// Through a change stream, whose events are counted.
    async fn read_oplog(&self, bed: &Bed, changes: &ChangeSet) -> Result<Row> {
        let before = self.legacy.watch().await?.resume_token().ok_or("no resume token")?;
        changes.apply_to_documents(&self.legacy).await?;
        let start = bed.measure(None)?;
        let mut stream = self.legacy.watch().resume_after(before).batch_size(u32::try_from(BATCH)?).await?;
        let mut left = changes.changes.len();
        while left > 0 {
            left -= usize::from(black_box(stream.next_if_any().await?).is_some());
        }
        start.until_now(changes.people() as u64, bed, None)
    }

    /// Decoded by pgoutput into the server's own answer.
    async fn read_wal(&self, bed: &Bed, changes: &ChangeSet) -> Result<Row> {
        // apart: a slot cannot be made in a transaction that has written
        for statement in [
            "CREATE PUBLICATION raw_log FOR TABLE users, user_profiles",
            "SELECT pg_create_logical_replication_slot('raw_log', 'pgoutput')",
        ] {
            sqlx::raw_sql(statement).execute(&self.pool).await?;
        }
        changes.apply_to_rows(&self.pool).await?;
        let start = bed.measure(None)?;
        let messages: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_logical_slot_get_binary_changes('raw_log', NULL, NULL, \
             'proto_version', '1', 'publication_names', 'raw_log')",
        )
        .fetch_one(&self.pool)
        .await?;
        let row = start.until_now(changes.people() as u64, bed, None)?;
        sqlx::raw_sql("SELECT pg_drop_replication_slot('raw_log'); DROP PUBLICATION raw_log")
            .execute(&self.pool)
            .await?;
        // each change has a message for its beginning, itself and its end
        if usize::try_from(messages)? < 3 * changes.changes.len() {
            return Err(format!("only {messages} messages were read").into());
        }
        Ok(row)
    }

    async fn read_documents(&self, batch: &[Change]) -> Result<()> {
        let users: Collection<RawDocumentBuf> = self.legacy.collection(USERS);
        let ids: Vec<Bson> = batch.iter().map(|change| Bson::ObjectId(change.legacy)).collect();
        let mut cursor = users
            .find(doc! { "_id": { "$in": ids } })
            .projection(projection())
            .batch_size(u32::try_from(BATCH + 1)?)
            .read_concern(ReadConcern::majority())
            .await?;
        let mut found: HashMap<ObjectId, RawDocumentBuf> = HashMap::new();
        while cursor.advance().await? {
            found.insert(cursor.current().get_object_id("_id")?, cursor.current().to_owned());
        }
        if found.len() == batch.len() { Ok(()) } else { Err("documents are missing".into()) }
    }

    async fn read_rows(&self, batch: &[Change]) -> Result<()> {
        let ids: Vec<i64> = batch.iter().map(|change| change.row).collect();
        let rows = sqlx::query(READ).bind(ids).fetch_all(&self.pool).await?;
        if rows.len() == batch.len() { Ok(()) } else { Err("rows are missing".into()) }
    }

    async fn write_rows(&self, batch: &[Change]) -> Result<()> {
        let (mut names, mut visibilities) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
        for change in batch {
            if let Some(name) = change.to.name() {
                names.0.push(change.row);
                names.1.push(name);
            }
            if let Some(visibility) = change.to.visibility() {
                visibilities.0.push(change.row);
                visibilities.1.push(visibility);
            }
        }
        let mut transaction = self.pool.begin().await?;
        transaction
            .execute(
                sqlx::query(
                    "UPDATE users u SET first_name = v.name FROM unnest($1::bigint[], $2::text[]) AS v(id, name) WHERE u.id = v.id",
                )
                .bind(names.0)
                .bind(names.1),
            )
            .await?;
        transaction
            .execute(
                sqlx::query(
                    "UPDATE user_profiles p SET profile_visibility = v.visibility \
                     FROM unnest($1::bigint[], $2::text[]) AS v(id, visibility) WHERE p.user_id = v.id",
                )
                .bind(visibilities.0)
                .bind(visibilities.1),
            )
            .await?;
        Ok(transaction.commit().await?)
    }

    async fn write_documents(&self, batch: &[Change]) -> Result<()> {
        let updates: Vec<Bson> = batch.iter().map(Change::statement).collect();
        let mut session = self.client.start_session().await?;
        session.start_transaction().read_concern(ReadConcern::snapshot()).write_concern(durable()).await?;
        let command = doc! { "update": USERS, "updates": updates, "ordered": true };
        let answer = self.legacy.run_command(command).session(&mut session).await?;
        session.commit_transaction().await?;
        if answer.get_i32("n")? == i32::try_from(batch.len())? { Ok(()) } else { Err("documents are missing".into()) }
    }
}

/// One bare, durable change at a time: the floor of any latency.
pub(crate) async fn bare_commits(bed: &Bed, id: ObjectId, samples: usize) -> Result<[Vec<Duration>; 2]> {
    let users: Collection<Document> = bed.client.database("bare").collection(USERS);
    sqlx::raw_sql("CREATE TABLE IF NOT EXISTS public.bare (n bigint); INSERT INTO public.bare VALUES (0)")
        .execute(&bed.pool)
        .await?;
    users.insert_one(doc! { "_id": id, "n": 0_i64 }).await?;
    let (mut mongo, mut postgres) = (Vec::new(), Vec::new());
    for n in 0..i64::try_from(samples)? {
        let at = Instant::now();
        let update = users.update_one(doc! { "_id": id }, doc! { "$set": { "n": n + 1 } });
        update.write_concern(durable()).await?;
        mongo.push(at.elapsed());
        let at = Instant::now();
        sqlx::query("UPDATE public.bare SET n = $1").bind(n + 1).execute(&bed.pool).await?;
        postgres.push(at.elapsed());
    }
    sqlx::raw_sql("DROP TABLE public.bare").execute(&bed.pool).await?;
    Ok([mongo, postgres])
}
