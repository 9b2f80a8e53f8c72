//! The first copy: everybody is in BioGraph and nobody in Renaissance. Beside it, what it would cost at the least (reading
//! all documents and COPYing ready-made rows), and what a migration script does that writes one person after the other.

use std::{fmt::Write, time::Instant};

use biograph_bridge::sandbox::USERS;
use futures_util::TryStreamExt;
use mongodb::{
    Collection,
    bson::{RawDocumentBuf, doc},
};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, postgres::PgPoolCopyExt};

use crate::{BATCH, Result, bed::Bed, raw, report::Row};

/// What the bridge makes of a person, with the columns that order the rows.
pub(crate) const PERSON: [(&str, &str); 2] = [("users", "id"), ("user_profiles", "user_id")];
/// What it makes of their friends and subscribers.
const SETS: [(&str, &str); 2] = [("friendships", "user_id, friend_id"), ("subscribers", "user_id, subscriber_id")];
/// The database that the raw runs and the script write to.
const TARGET: &str = "first_copy";
/// People whom the script copies.
const SAMPLE: usize = 2000;

/// The measured runs, all of them in turns: what else the machine does meets each kind alike.
#[derive(Default)]
pub(crate) struct Runs {
    pub(crate) bridge: Vec<Row>,
    pub(crate) raw: Vec<Row>,
    pub(crate) consumer: Vec<Row>,
    pub(crate) script: Vec<Row>,
}

/// Copies everybody with the bridge, raw, and by the script, so many times; with their friends and subscribers if `sets`.
/// The bridge's last copy stays.
pub(crate) async fn measure(bed: &mut Bed, people: u32, repeat: usize, sets: bool) -> Result<Runs> {
    let (mut runs, mut made) = (Runs::default(), None);
    for round in 1..=repeat {
        crate::progress(&format!("first copy, {round} of {repeat}"));
        bed.empty_renaissance(sets).await?;
        let row = bridge(bed).await?;
        if row.people != u64::from(people) {
            return Err(format!("only {} of {people} people were copied", row.people).into());
        }
        runs.bridge.push(row);
        let rows = match &made {
            Some(rows) => rows,
            None => made.insert(Made::load(bed, sets).await?),
        };
        runs.raw.push(raw(bed, rows).await?);
        runs.consumer.push(consumer(bed, rows).await?);
        runs.script.push(script(bed, rows).await?);
    }
    Ok(runs)
}

/// From the beginning of the backfill until everybody is durable.
async fn bridge(bed: &Bed) -> Result<Row> {
    checkpoint(bed).await?;
    let daemon = bed.spawn()?;
    daemon.until(|status| matches!(status["state"].as_str(), Some("backfilling" | "streaming"))).await?;
    let start = bed.measure(Some(&daemon))?;
    daemon.until(|status| status["state"] == "streaming").await?;
    let complete = "SELECT count(*) FROM users JOIN user_profiles ON user_id = users.id";
    let people: i64 = sqlx::query_scalar(complete).fetch_one(&bed.pool).await?;
    let row = start.until_now(u64::try_from(people)?, bed, Some(&daemon))?;
    daemon.until_quiet().await?;
    daemon.stop().await?;
    Ok(row)
}

/// The texts of a batch of rows, column by column.
pub(crate) type Columns = Vec<Vec<Option<String>>>;

/// The rows that the bridge made, as a writer wants them.
struct Made {
    /// Per table of a person, batches of lines for COPY.
    person: [Vec<String>; 2],
    /// All lines of the tables whose rows refer to two people: they come when all of those are there.
    sets: Vec<(&'static str, String)>,
    /// Per table of a person: an upsert of many rows, and what it is to write.
    columns: [(String, Vec<Columns>); 2],
    /// Per table of a person: an INSERT, and the values of each row of the sample.
    sample: [(String, Vec<Vec<Option<String>>>); 2],
}

impl Made {
    async fn load(bed: &Bed, with_sets: bool) -> Result<Self> {
        let [users, profiles] = PERSON;
        let mut sets = Vec::new();
        for (table, order) in if with_sets { &SETS[..] } else { &[] } {
            sets.push((*table, lines_of(bed, (table, order)).await?.concat()));
        }
        Ok(Self {
            person: [lines_of(bed, users).await?, lines_of(bed, profiles).await?],
            sets,
            columns: [columns_of(&bed.pool, users).await?, columns_of(&bed.pool, profiles).await?],
            sample: [sample_of(bed, users).await?, sample_of(bed, profiles).await?],
        })
    }
}

/// All rows of a table as COPY gives them, in batches.
async fn lines_of(bed: &Bed, (table, order): (&str, &str)) -> Result<Vec<String>> {
    let stream = bed.pool.copy_out_raw(&format!("COPY (SELECT * FROM {table} ORDER BY {order}) TO STDOUT")).await?;
    let bytes: Vec<u8> = stream
        .try_fold(Vec::new(), |mut all, part| async move {
            all.extend_from_slice(&part);
            Ok(all)
        })
        .await?;
    let text = String::from_utf8(bytes)?;
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    Ok(lines.chunks(BATCH).map(<[&str]>::concat).collect())
}

/// Names and types of the columns of a table.
async fn described(pool: &PgPool, table: &str) -> Result<Vec<(String, String)>> {
    let columns = sqlx::query_as(
        "SELECT attname::text, format_type(atttypid, NULL) FROM pg_attribute \
         WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
    );
    Ok(columns.bind(table).fetch_all(pool).await?)
}

/// An upsert of many rows of a table, and the batches of what it is to write: all there are.
pub(crate) async fn columns_of(pool: &PgPool, (table, order): (&str, &str)) -> Result<(String, Vec<Columns>)> {
    let columns = described(pool, table).await?;
    let mut parts: [Vec<String>; 6] = Default::default();
    for (n, (name, sql_type)) in columns.iter().enumerate() {
        let of_column = [
            name.clone(),
            format!("v.c{n}::{sql_type}"),
            format!("${}::text[]", n + 1),
            format!("c{n}"),
            format!("{name} = excluded.{name}"),
            format!("{name}::text"),
        ];
        parts.iter_mut().zip(of_column).for_each(|(parts, part)| parts.push(part));
    }
    let [names, values, arrays, aliases, updates, texts] = parts.map(|parts| parts.join(", "));
    let upsert = format!(
        "INSERT INTO {table} ({names}) SELECT {values} FROM unnest({arrays}) AS v({aliases}) \
         ON CONFLICT (id) DO UPDATE SET {updates}"
    );
    let select = format!("SELECT ARRAY[{texts}] FROM {table} ORDER BY {order}");
    let rows: Vec<Vec<Option<String>>> = sqlx::query_scalar(AssertSqlSafe(select)).fetch_all(pool).await?;
    let turned = |rows: &[Vec<Option<String>>]| {
        (0..columns.len()).map(|n| rows.iter().map(|row| row[n].clone()).collect()).collect()
    };
    Ok((upsert, rows.chunks(BATCH).map(turned).collect()))
}

async fn sample_of(bed: &Bed, (table, order): (&str, &str)) -> Result<(String, Vec<Vec<Option<String>>>)> {
    let columns = described(&bed.pool, table).await?;
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let (mut texts, mut parameters) = (String::new(), String::new());
    for (n, (name, sql_type)) in columns.iter().enumerate() {
        let comma = if n == 0 { "" } else { ", " };
        write!(texts, "{comma}{name}::text")?;
        write!(parameters, "{comma}${}::text::{sql_type}", n + 1)?;
    }
    let insert = format!("INSERT INTO {table} ({}) VALUES ({parameters})", names.join(", "));
    let select = format!("SELECT ARRAY[{texts}] FROM {table} ORDER BY {order} LIMIT {SAMPLE}");
    Ok((insert, sqlx::query_scalar(AssertSqlSafe(select)).fetch_all(&bed.pool).await?))
}

/// Reading all documents and copying the rows of all tables, a transaction per batch.
async fn raw(bed: &Bed, made: &Made) -> Result<Row> {
    let url = bed.create_renaissance(TARGET).await?;
    let mut session = PgConnection::connect(&url).await?;
    let users: Collection<RawDocumentBuf> = bed.legacy.collection(USERS);
    checkpoint(bed).await?;

    let start = bed.measure(None)?;
    let at = Instant::now();
    let batch_size = u32::try_from(BATCH)?;
    let mut fields = raw::projection();
    if !made.sets.is_empty() {
        fields.extend(doc! { "friends": 1, "subscribers": 1 });
    }
    let mut cursor = users.find(doc! {}).projection(fields).batch_size(batch_size).await?;
    let mut read = 0;
    let [people, profiles] = &made.person;
    for (people, profiles) in people.iter().zip(profiles) {
        for _ in 0..BATCH {
            if !cursor.advance().await? {
                break;
            }
            std::hint::black_box(cursor.current().to_owned());
            read += 1;
        }
        let mut transaction = session.begin().await?;
        for ((table, _), lines) in PERSON.into_iter().zip([people, profiles]) {
            copy(&mut transaction, table, lines).await?;
        }
        transaction.commit().await?;
    }
    for (table, lines) in &made.sets {
        copy(&mut session, table, lines).await?;
    }
    let row = start.ended(at.elapsed(), read, bed, None)?;
    session.close().await?;
    bed.drop_database(TARGET).await?;
    Ok(row)
}

async fn copy(session: &mut PgConnection, table: &str, lines: &str) -> Result<()> {
    let mut copy = session.copy_in_raw(&format!("COPY {table} FROM STDIN")).await?;
    copy.send(lines.as_bytes()).await?;
    copy.finish().await?;
    Ok(())
}

/// Reading documents and writing their rows a batch at a time, with one upsert for each table: a consumer without the cost of mapping.
async fn consumer(bed: &Bed, made: &Made) -> Result<Row> {
    let url = bed.create_renaissance(TARGET).await?;
    let mut session = PgConnection::connect(&url).await?;
    let users: Collection<RawDocumentBuf> = bed.legacy.collection(USERS);
    checkpoint(bed).await?;

    let start = bed.measure(None)?;
    let at = Instant::now();
    let batch_size = u32::try_from(BATCH)?;
    let mut cursor = users.find(doc! {}).projection(raw::projection()).batch_size(batch_size).await?;
    let (mut read, [(upsert_users, people), (upsert_profiles, profiles)]) = (0, &made.columns);
    for (people, profiles) in people.iter().zip(profiles) {
        for _ in 0..BATCH {
            if !cursor.advance().await? {
                break;
            }
            std::hint::black_box(cursor.current().to_owned());
            read += 1;
        }
        upsert(&mut session, [(upsert_users, people), (upsert_profiles, profiles)]).await?;
    }
    let row = start.ended(at.elapsed(), read, bed, None)?;
    session.close().await?;
    bed.drop_database(TARGET).await?;
    Ok(row)
}

/// Writes a batch of both tables in one transaction.
pub(crate) async fn upsert(session: &mut PgConnection, tables: [(&String, &Columns); 2]) -> Result<()> {
    let mut transaction = session.begin().await?;
    for (upsert, columns) in tables {
        let query = sqlx::query(AssertSqlSafe(upsert.clone()));
        let query = columns.iter().fold(query, |query, column| query.bind(column));
        query.execute(&mut *transaction).await?;
    }
    Ok(transaction.commit().await?)
}

/// Reading document after document and writing each person's rows in a transaction: a migration script without the cost of
/// its language and its ORM.
async fn script(bed: &Bed, made: &Made) -> Result<Row> {
    let url = bed.create_renaissance(TARGET).await?;
    let mut session = PgConnection::connect(&url).await?;
    let users: Collection<RawDocumentBuf> = bed.legacy.collection(USERS);
    checkpoint(bed).await?;

    let start = bed.measure(None)?;
    let mut cursor = users.find(doc! {}).projection(raw::projection()).await?;
    let [(insert_user, people), (insert_profile, profiles)] = &made.sample;
    for (person, profile) in people.iter().zip(profiles) {
        if !cursor.advance().await? {
            return Err("a document is missing".into());
        }
        std::hint::black_box(cursor.current().to_owned());
        let mut transaction = session.begin().await?;
        for (insert, values) in [(insert_user, person), (insert_profile, profile)] {
            let query = sqlx::query(AssertSqlSafe(insert.clone()));
            let query = values.iter().fold(query, |query, value| query.bind(value));
            query.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
    }
    let row = start.until_now(people.len() as u64, bed, None)?;
    session.close().await?;
    bed.drop_database(TARGET).await?;
    Ok(row)
}

/// Nobody pays for what was written before.
async fn checkpoint(bed: &Bed) -> Result<()> {
    Ok(bed.postgres.execute("postgres", "CHECKPOINT").await?)
}
