//! A load at a fixed rate on both sides, whatever becomes of it: changes are made when they are due, so a stall is felt by all that
//! fall into it. Measured from each commit until the change can be read at the other side.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use biograph_bridge::{model::side::Side, sandbox::USERS};
use futures_util::TryStreamExt;
use mongodb::{
    Collection,
    bson::{Document, doc, oid::ObjectId},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sqlx::PgPool;

use crate::{Result, bed::Bed, changes::Person, progress, report::Latency};

/// The same arrivals every time.
const SEED: u64 = 11;
/// Looking more often would slow the servers down; this much is added to a latency at most, and the look itself.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// How long the last change may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where changes can be made, and looked for.
#[derive(Clone)]
pub(crate) struct Both {
    users: Collection<Document>,
    pool: PgPool,
}

/// Changes on their way from one side.
#[derive(Default)]
pub(crate) struct UnderWay {
    /// Person → the name they are to have at the other side, and when that was committed.
    changes: HashMap<usize, (String, Option<Instant>)>,
    pub(crate) arrived: Vec<Duration>,
    /// From when they were due until they were committed.
    committed: Vec<Duration>,
    failed: Option<String>,
}

type Shared = Arc<Mutex<UnderWay>>;

fn lock(shared: &Shared) -> MutexGuard<'_, UnderWay> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// For each rate, changes per second of both sides together, for so long: how long they took to arrive, and to be made.
pub(crate) async fn measure(bed: &Bed, people: &[Person], rates: &[u32], lasting: Duration) -> Result<Vec<Latency>> {
    let both = Both::of(bed);
    let daemon = bed.spawn()?;
    daemon.until_idle().await?;
    let mut latencies = Vec::new();
    // the first one only warms up what is measured
    for (round, rate) in rates.iter().take(1).chain(rates).enumerate() {
        progress(&format!("open loop, {rate} changes a second on both sides together"));
        let lasting = if round == 0 { lasting / 4 } else { lasting };
        let [there, back] = on_both(&both, people, *rate, (lasting, round)).await?;
        if round > 0 {
            for (way, side, done) in
                [("legacy_to_renaissance", "MongoDB", there), ("renaissance_to_legacy", "Postgres", back)]
            {
                latencies.push(Latency::new(format!("{way} at {rate}/s"), done.arrived));
                latencies.push(Latency::new(format!("the commit in {side} itself at {rate}/s"), done.committed));
            }
        }
    }
    daemon.stop().await?;
    Ok(latencies)
}

/// Makes so many changes a second for so long, half of them at each side, and sees them arrive; `round` makes the names new.
pub(crate) async fn on_both(
    both: &Both,
    people: &[Person],
    rate: u32,
    (lasting, round): (Duration, usize),
) -> Result<[UnderWay; 2]> {
    let each = f64::from(rate) / 2.0;
    let (left, right) = people.split_at(people.len() / 2);
    let (there, back) = tokio::try_join!(
        run(both, Side::Legacy, left, (each, lasting, round)),
        run(both, Side::Renaissance, right, (each, lasting, round)),
    )?;
    Ok([there, back])
}

/// Makes changes at one side and sees them arrive at the other.
async fn run(
    both: &Both,
    from: Side,
    people: &[Person],
    (rate, lasting, round): (f64, Duration, usize),
) -> Result<UnderWay> {
    let shared = Shared::default();
    let seed = SEED + round as u64 * 2 + u64::from(from == Side::Legacy);
    let make = make(both, from, people, (StdRng::seed_from_u64(seed), rate, lasting, round), &shared);
    let mut made = std::pin::pin!(make);
    tokio::select! {
        made = &mut made => made?,
        seen = see(both, from.other(), people, &shared) => seen?,
    }
    let last = Instant::now();
    tokio::select! {
        seen = see(both, from.other(), people, &shared) => seen?,
        late = async {
            while !lock(&shared).changes.is_empty() {
                if last.elapsed() > PATIENCE {
                    return Err(format!("{} changes of {from} did not arrive", lock(&shared).changes.len()));
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Ok(())
        } => late?,
    }
    let done = std::mem::take(&mut *lock(&shared));
    match done.failed {
        Some(failed) => Err(failed.into()),
        None => Ok(done),
    }
}

/// Makes a change whenever one is due, as independent users do: the times between them are exponentially distributed.
async fn make(
    both: &Both,
    side: Side,
    people: &[Person],
    (mut random, rate, lasting, round): (StdRng, f64, Duration, usize),
    shared: &Shared,
) -> Result<()> {
    let begun = Instant::now();
    let mut due = begun;
    for n in 0.. {
        let even: f64 = random.random_range(f64::MIN_POSITIVE..1.0);
        due += Duration::from_secs_f64(-even.ln() / rate);
        if due >= begun + lasting {
            break;
        }
        tokio::time::sleep_until(due.into()).await;
        // nobody is changed again while their last change is under way, unless that takes longer than everybody's turn
        let at = n % people.len();
        let name = format!("{side} {round} {n}");
        lock(shared).changes.insert(at, (name.clone(), None));
        let (both, shared) = (both.clone(), Arc::clone(shared));
        let (legacy, row) = (people[at].legacy, people[at].row);
        tokio::spawn(async move {
            let made = both.change(side, (legacy, row), &name).await;
            let (now, mut state) = (Instant::now(), lock(&shared));
            state.committed.push(now.saturating_duration_since(due));
            match (made, state.changes.get_mut(&at)) {
                (Ok(()), Some((_, committed))) => *committed = Some(now),
                (Ok(()), None) => {}
                (Err(error), _) => state.failed = Some(error.to_string()),
            }
        });
    }
    Ok(())
}

/// Looks for what is under way to a side until it is dropped.
async fn see(both: &Both, side: Side, people: &[Person], shared: &Shared) -> Result<()> {
    loop {
        let sought: Vec<(usize, String)> = {
            let state = lock(shared);
            if let Some(failed) = &state.failed {
                return Err(failed.clone().into());
            }
            let committed = state.changes.iter().filter(|(_, (_, at))| at.is_some());
            committed.map(|(person, (name, _))| (*person, name.clone())).collect()
        };
        if !sought.is_empty() {
            let found = both.named(side, people, &sought).await?;
            let (now, mut state) = (Instant::now(), lock(shared));
            for person in found {
                if let Some((_, Some(committed))) = state.changes.remove(&person) {
                    state.arrived.push(now.saturating_duration_since(committed));
                }
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

impl Both {
    /// Those of a bed.
    pub(crate) fn of(bed: &Bed) -> Self {
        Self { users: bed.legacy.collection(USERS), pool: bed.pool.clone() }
    }

    async fn change(&self, side: Side, (legacy, row): (ObjectId, i64), name: &str) -> Result<()> {
        match side {
            Side::Legacy => {
                self.users.update_one(doc! { "_id": legacy }, doc! { "$set": { "name": name } }).await?;
            }
            Side::Renaissance => {
                let update = sqlx::query("UPDATE users SET first_name = $2 WHERE id = $1").bind(row).bind(name);
                update.execute(&self.pool).await?;
            }
        }
        Ok(())
    }

    /// Those of the sought who have their name by now.
    async fn named(&self, side: Side, people: &[Person], sought: &[(usize, String)]) -> Result<Vec<usize>> {
        let has: HashMap<String, String> = match side {
            Side::Legacy => {
                let ids: Vec<ObjectId> = sought.iter().map(|(person, _)| people[*person].legacy).collect();
                let found = self.users.find(doc! { "_id": { "$in": ids } }).projection(doc! { "name": 1 }).await?;
                let found: Vec<Document> = found.try_collect().await?;
                let name = |one: Document| {
                    Some((one.get_object_id("_id").ok()?.to_hex(), one.get_str("name").ok()?.to_owned()))
                };
                found.into_iter().filter_map(name).collect()
            }
            Side::Renaissance => {
                let ids: Vec<i64> = sought.iter().map(|(person, _)| people[*person].row).collect();
                let found: Vec<(i64, String)> = sqlx::query_as("SELECT id, first_name FROM users WHERE id = ANY($1)")
                    .bind(ids)
                    .fetch_all(&self.pool)
                    .await?;
                found.into_iter().map(|(id, name)| (id.to_string(), name)).collect()
            }
        };
        let id = |person: usize| match side {
            Side::Legacy => people[person].legacy.to_hex(),
            Side::Renaissance => people[person].row.to_string(),
        };
        let there = sought.iter().filter(|(person, name)| has.get(&id(*person)) == Some(name));
        Ok(there.map(|(person, _)| *person).collect())
    }
}
