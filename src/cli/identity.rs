//! Which databases are behind the two addresses: looked at before anything is written, and while the bridge runs.

use std::{sync::Arc, time::Duration};

use crate::{
    config::{Databases, redacted_uri},
    error::{Disposition, Error, Result},
    model::{fact::PositionLoss, hint::Position, mapping::Entity, side::Side},
    mongo::Legacy,
    postgres::{Pool, capture::PostgresSource, healing, identity, lease, setup, store::Postgres},
    sync::{
        finding::Finding,
        identities::{Identities, Known},
        ports::{HealingStore, Loss, RenaissanceStore, Source},
    },
};

/// How often both databases count: a backup older than twice this is recognised when it is restored.
const COUNT: Duration = Duration::from_secs(5);

/// Both databases as they are and as they are known. Writes nothing.
pub(super) async fn look(databases: &Databases, entities: &[Entity], pool: &Pool) -> Result<Identities> {
    let legacy = Legacy::connect(databases.legacy_uri.expose(), Arc::new(entities.to_vec())).await?;
    Ok(Identities {
        known: identity::known(pool).await?,
        legacy: legacy.identity().await?,
        renaissance: identity::of_server(pool).await?,
        places: [databases.legacy_uri.expose(), databases.renaissance_url.expose()].map(|uri| redacted_uri(uri)),
    })
}

/// Notes what both are known by; if one was put back to an earlier state, a new position and that a sweep is due. The number to
/// count on from.
pub(super) async fn settle(
    identities: &Identities,
    (legacy, store): (&Legacy, &Postgres),
    source: &PostgresSource,
    shadow: bool,
) -> Result<i64> {
    let mark = identities.mark();
    if let Some(side) = identities.restored() {
        tracing::error!(%side, "the database of {side} was put back to an earlier state: a sweep finds what differs");
        if !shadow {
            heal(side, (legacy, store), source).await?;
        }
    }
    let found = legacy.identify(identities.renaissance.as_deref()).await?;
    legacy.expect(&found);
    if shadow && identities.known[0].is_some() {
        return Ok(mark);
    }
    legacy.mark(mark).await?;
    let [legacy_place, place] = identities.places.clone();
    store.keep_identity(Side::Legacy, &Known { id: found.text(), place: legacy_place, mark }).await?;
    if let Some(id) = identities.renaissance.clone() {
        store.keep_identity(Side::Renaissance, &Known { id, place, mark: 0 }).await?;
    }
    Ok(mark)
}

async fn heal(side: Side, (legacy, store): (&Legacy, &Postgres), source: &PostgresSource) -> Result<()> {
    let new = match side {
        Side::Legacy => legacy.renew().await?,
        Side::Renaissance => source.renew().await?,
    };
    let old = store.checkpoint(side).await?;
    let loss = Loss { side, cause: PositionLoss::Restored, old, new, forget_bases: side == Side::Legacy };
    store.begin_healing(&loss).await
}

/// Counts up in both databases for as long as the bridge runs; ends only with what a person or a new start must see to.
pub(super) async fn count((legacy, store): (&Legacy, &Postgres), mut mark: i64, shadow: bool) -> Result<()> {
    let mut turn = tokio::time::interval(COUNT);
    loop {
        turn.tick().await;
        if shadow {
            continue;
        }
        let counted = async {
            legacy.mark(mark + 1).await?;
            store.mark(mark + 1).await
        };
        match counted.await {
            Ok(()) => mark += 1,
            Err(error) if error.disposition() == Disposition::Retry => {
                tracing::debug!(%error, "both databases count on later");
            }
            Err(error) => return Err(error.during("identifying the databases")),
        }
    }
}

/// Refuses a foreign database, if that is what made the bridge fail.
pub(super) async fn explain(databases: &Databases, entities: &[Entity], pool: &Pool) -> Result<()> {
    match look(databases, entities, pool).await {
        Ok(identities) => identities.refuse_others(),
        Err(error) => {
            tracing::debug!(%error, "cannot look whether the databases are the known ones");
            Ok::<(), Error>(())
        }
    }
}

/// Refuses a foreign database that is not accepted; and while a daemon is active, to accept any.
pub(super) async fn admit(databases: &Databases, entities: &[Entity], pool: &Pool, accepted: &[Side]) -> Result<()> {
    if !accepted.is_empty() && lease::is_held(pool).await? {
        return Err(Error::halt("a daemon is active").with_hint("stop it, then run this again and start it"));
    }
    let mut identities = look(databases, entities, pool).await?;
    if accepted.contains(&Side::Legacy) {
        identities.known[0] = None;
    }
    if accepted.contains(&Side::Renaissance) {
        identities.renaissance = None;
    }
    identities.refuse_others()
}

/// Takes the database of a side for the right one: the daemon knows it by what it is then, takes up its log from now on and
/// sweeps. Everything is set up.
pub(super) async fn accept(side: Side, pool: &Pool, legacy: &Legacy) -> Result<()> {
    legacy.identify(identity::of_server(pool).await?.as_deref()).await?;
    let new = match side {
        Side::Legacy => legacy.tip().await?,
        Side::Renaissance => {
            let slot = setup::slot_status(&mut *pool.acquire().await?).await?;
            let slot = slot.ok_or_else(|| Error::retry("the replication slot that was just made is gone"))?;
            Position::Lsn(slot.confirmed_flush_lsn)
        }
    };
    healing::note_move(pool, side, &new).await?;
    identity::forget(pool, side).await
}

/// Whether both databases are the known ones, for `check`.
pub(super) async fn finding(databases: &Databases, entities: &[Entity], pool: &Pool) -> Result<Finding> {
    let identities = look(databases, entities, pool).await?;
    let subject = "databases";
    Ok(match (identities.refuse_others(), identities.restored()) {
        (Err(error), _) => Finding::blocking(subject, error.to_string(), error.hint().unwrap_or_default()),
        (Ok(()), Some(side)) => {
            let detail = format!("{side} was put back to an earlier state");
            Finding::warning(subject, detail, "biograph-bridge run -- it takes a new position and sweeps both sides")
        }
        (Ok(()), None) if identities.known[0].is_none() => Finding::good(subject, "not synced before"),
        (Ok(()), None) => Finding::good(subject, "the ones synced before"),
    })
}
