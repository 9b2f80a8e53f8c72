//! Single-field changes of many people, half of them in either table, made as applications make them: one by one.

use biograph_bridge::{model::side::Side, sandbox::USERS};
use mongodb::{
    Database,
    bson::{Bson, Document, doc, oid::ObjectId},
};
use sqlx::PgPool;

use crate::{BATCH, Result, bed::Bed};

/// Both names of each visibility.
const VISIBILITIES: [(&str, &str); 3] = [("P", "public"), ("F", "friends"), ("O", "private")];

/// A person in sync.
pub(crate) struct Person {
    pub(crate) legacy: ObjectId,
    pub(crate) row: i64,
    /// Index into the visibilities.
    visibility: usize,
    /// Changes so far.
    changes: usize,
}

/// All people, in the order of their rows.
pub(crate) async fn load(pool: &PgPool) -> Result<Vec<Person>> {
    let rows: Vec<(String, i64, String)> = sqlx::query_as(
        "SELECT old_user_id, u.id, profile_visibility FROM users u JOIN user_profiles p ON p.user_id = u.id ORDER BY u.id",
    )
    .fetch_all(pool)
    .await?;
    let person = |(legacy, row, text): (String, i64, String)| {
        let visibility = VISIBILITIES.iter().position(|(_, name)| *name == text).ok_or("an unknown visibility")?;
        Ok(Person { legacy: legacy.parse()?, row, visibility, changes: 0 })
    };
    rows.into_iter().map(person).collect()
}

/// One change.
pub(crate) struct Change {
    pub(crate) legacy: ObjectId,
    pub(crate) row: i64,
    pub(crate) to: To,
}

/// What a person gets.
#[derive(Clone)]
pub(crate) enum To {
    /// A new name (`users`).
    Name(String),
    /// Another visibility (`user_profiles`), by index.
    Visibility(usize),
}

impl Change {
    /// Changes the name and the visibility in turns, starting with the name for every other person.
    pub(crate) fn next(person: &mut Person) -> Self {
        person.changes += 1;
        let to = if (usize::try_from(person.row).unwrap_or(0) + person.changes).is_multiple_of(2) {
            To::Name(format!("Person {} named {} times", person.row, person.changes))
        } else {
            person.visibility = (person.visibility + 1) % VISIBILITIES.len();
            To::Visibility(person.visibility)
        };
        Self { legacy: person.legacy, row: person.row, to }
    }

    /// As a statement of MongoDB's update command.
    pub(crate) fn statement(&self) -> Bson {
        let set = match &self.to {
            To::Name(name) => doc! { "name": name },
            To::Visibility(index) => doc! { "profile_settings": VISIBILITIES[*index].0 },
        };
        Bson::Document(doc! { "q": { "_id": self.legacy }, "u": { "$set": set } })
    }
}

impl To {
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Visibility(_) => None,
        }
    }

    pub(crate) fn visibility(&self) -> Option<&'static str> {
        match self {
            Self::Name(_) => None,
            Self::Visibility(index) => Some(VISIBILITIES[*index].1),
        }
    }
}

/// The changes of a backlog.
pub(crate) struct ChangeSet {
    pub(crate) changes: Vec<Change>,
    people: usize,
}

impl ChangeSet {
    /// A change for this share of the people; beyond 1 several for each.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "small numbers"
    )]
    pub(crate) fn next(people: &mut [Person], share: f64) -> Self {
        let wanted = (people.len() as f64 * share) as usize;
        let rounds = wanted.div_ceil(people.len());
        let chosen = wanted.min(people.len());
        let changes = (0..rounds).flat_map(|_| people[..chosen].iter_mut().map(Change::next).collect::<Vec<_>>());
        Self { changes: changes.collect(), people: chosen }
    }

    /// Other names for the people that get one in the first of every `share` changes.
    pub(crate) fn other_names(&self, share: usize) -> Self {
        let few = self.changes.iter().take(self.changes.len() / share);
        let renamed = |change: &Change| {
            let name = format!("{} elsewhere", change.to.name()?);
            Some(Change { legacy: change.legacy, row: change.row, to: To::Name(name) })
        };
        let changes: Vec<Change> = few.filter_map(renamed).collect();
        Self { people: changes.len(), changes }
    }

    /// The same changes in smaller sets, where each is of another person.
    pub(crate) fn steps(self, size: usize) -> impl Iterator<Item = Self> {
        let mut changes = self.changes.into_iter();
        std::iter::from_fn(move || {
            let step: Vec<Change> = changes.by_ref().take(size).collect();
            (!step.is_empty()).then_some(Self { people: step.len(), changes: step })
        })
    }

    /// How many people change.
    pub(crate) const fn people(&self) -> usize {
        self.people
    }

    /// Makes them at one side.
    pub(crate) async fn apply_at(&self, bed: &Bed, side: Side) -> Result<()> {
        match side {
            Side::Legacy => self.apply_to_documents(&bed.legacy).await,
            Side::Renaissance => self.apply_to_rows(&bed.pool).await,
        }
    }

    /// Every update is an oplog entry and a change event of its own.
    pub(crate) async fn apply_to_documents(&self, database: &Database) -> Result<()> {
        for chunk in self.changes.chunks(BATCH) {
            let updates: Vec<Bson> = chunk.iter().map(Change::statement).collect();
            let command =
                doc! { "update": USERS, "updates": updates, "ordered": true, "writeConcern": { "w": "majority" } };
            let answer = database.run_command(command).await?;
            if answer.get_i32("nModified")? != i32::try_from(chunk.len())? {
                return Err(format!("not every document changed: {answer}").into());
            }
        }
        Ok(())
    }

    /// Every update is a transaction of its own. Not waiting for the disk only shortens the preparation.
    pub(crate) async fn apply_to_rows(&self, pool: &PgPool) -> Result<()> {
        let mut session = pool.acquire().await?;
        sqlx::raw_sql(
            "CREATE TEMP TABLE backlog (n bigint, id bigint, name text, visibility text); SET synchronous_commit = off",
        )
        .execute(&mut *session)
        .await?;
        sqlx::query("INSERT INTO backlog SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[])")
            .bind((0..i64::try_from(self.changes.len())?).collect::<Vec<_>>())
            .bind(self.changes.iter().map(|change| change.row).collect::<Vec<_>>())
            .bind(self.changes.iter().map(|change| change.to.name()).collect::<Vec<_>>())
            .bind(self.changes.iter().map(|change| change.to.visibility()).collect::<Vec<_>>())
            .execute(&mut *session)
            .await?;
        sqlx::raw_sql(
            "DO $$ DECLARE one record; BEGIN \
               FOR one IN SELECT * FROM backlog ORDER BY n LOOP \
                 IF one.name IS NOT NULL THEN UPDATE users SET first_name = one.name WHERE id = one.id; \
                 ELSE UPDATE user_profiles SET profile_visibility = one.visibility WHERE user_id = one.id; END IF; \
                 COMMIT; \
               END LOOP; END $$",
        )
        .execute(&mut *session)
        .await?;
        // a commit that does wait, so that all of it is on disk when the measurement starts
        sqlx::raw_sql("RESET synchronous_commit; DROP TABLE backlog").execute(&mut *session).await?;
        Ok(())
    }

    /// Fails unless every change is there: a fast wrong answer is no answer.
    pub(crate) async fn expect_at(&self, bed: &Bed, side: Side) -> Result<()> {
        let last = &self.changes[self.changes.len() - self.people..];
        let found = match side {
            Side::Renaissance => {
                let matching: i64 = sqlx::query_scalar(
                    "SELECT count(*) FROM unnest($1::bigint[], $2::text[], $3::text[]) AS v(id, name, visibility) \
                     JOIN users u ON u.id = v.id JOIN user_profiles p ON p.user_id = v.id \
                     WHERE u.first_name = coalesce(v.name, u.first_name) \
                     AND p.profile_visibility = coalesce(v.visibility, p.profile_visibility)",
                )
                .bind(last.iter().map(|change| change.row).collect::<Vec<_>>())
                .bind(last.iter().map(|change| change.to.name()).collect::<Vec<_>>())
                .bind(last.iter().map(|change| change.to.visibility()).collect::<Vec<_>>())
                .fetch_one(&bed.pool)
                .await?;
                usize::try_from(matching)?
            }
            Side::Legacy => {
                let mut matching = 0;
                for chunk in last.chunks(BATCH) {
                    matching += count_documents(&bed.legacy, chunk).await?;
                }
                matching
            }
        };
        if found == last.len() { Ok(()) } else { Err(format!("{found} of {} changes arrived", last.len()).into()) }
    }
}

async fn count_documents(database: &Database, changes: &[Change]) -> Result<usize> {
    let wanted: Vec<Document> = changes
        .iter()
        .map(|change| match &change.to {
            To::Name(name) => doc! { "_id": change.legacy, "name": name },
            To::Visibility(index) => doc! { "_id": change.legacy, "profile_settings": VISIBILITIES[*index].0 },
        })
        .collect();
    let count = database.collection::<Document>(USERS).count_documents(doc! { "$or": wanted }).await?;
    Ok(usize::try_from(count)?)
}
