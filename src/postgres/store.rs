//! The renaissance side with the bridge's state: one pool, bound entities, their statements.

use std::{collections::HashMap, sync::Arc};

use sqlx::PgPool;

use super::{
    epochs::AnybodyMoved,
    growth::Growth,
    setup::{self, StateVersion},
    statements::Statements,
};
use crate::{
    error::{Error, Result},
    model::{catalog::Catalog, digest::Base, fact::SweepKind, key::EntityIndex, mapping::Entity},
    sync::room::Room,
};

/// Rows, links, journal and checkpoints, all in one Postgres. Cheap to clone.
#[derive(Clone)]
pub struct Postgres {
    pub(super) pool: PgPool,
    entities: Arc<Vec<Entity>>,
    statements: Arc<Vec<Statements>>,
    shapes: Arc<Shapes>,
    /// Whether there is any state to read.
    has_state: bool,
    growth: Growth,
    anybody_moved: AnybodyMoved,
    /// The epoch in which it may write.
    epoch: i64,
    /// Whether it keeps no record of sweeps and of what is parked.
    shadow: bool,
    /// How much may be read at once.
    room: Room,
}

impl Postgres {
    /// Prepares the store for bound entities; the state schema must be there (`setup`). It writes as long as the epoch is the
    /// present one (`lease`).
    pub async fn open(pool: PgPool, entities: Arc<Vec<Entity>>, catalog: &Catalog, epoch: i64) -> Result<Self> {
        let statements = statements(&entities, catalog)?;
        Shapes::register(&pool, &entities).await?;
        let shapes = Arc::new(Shapes::load(&pool, &entities).await?);
        let anybody_moved = AnybodyMoved::read(&pool).await?;
        Ok(Self {
            pool,
            entities,
            statements: Arc::new(statements),
            shapes,
            has_state: true,
            growth: Growth::default(),
            anybody_moved,
            epoch,
            shadow: false,
            room: Room::default(),
        })
    }

    /// From now on no more than this is read at once.
    #[must_use]
    pub fn with_room(self, room: Room) -> Self {
        Self { room, ..self }
    }

    pub(super) const fn room(&self) -> Room {
        self.room
    }

    /// The same for a shadow: how far its sweeps come and what they park is not kept.
    #[must_use]
    pub fn in_shadow(self) -> Self {
        Self { shadow: true, ..self }
    }

    pub(super) const fn is_shadow(&self) -> bool {
        self.shadow
    }

    /// Prepares the store for reading only; nothing need be set up, and nothing is. Without a state no record is linked.
    pub async fn open_for_reading(pool: PgPool, entities: Arc<Vec<Entity>>, catalog: &Catalog) -> Result<Self> {
        let statements = statements(&entities, catalog)?;
        let version = setup::state_version(&mut *pool.acquire().await?).await?;
        let has_state = match version {
            StateVersion::Missing => false,
            StateVersion::Current => true,
            StateVersion::Older | StateVersion::Newer(_) => {
                return Err(Error::halt("the state was written by another version of biograph-bridge").with_hint(
                    "use the version that the daemon runs, or run `biograph-bridge init` with this one first",
                ));
            }
        };
        let shapes = if has_state { Shapes::load(&pool, &entities).await? } else { Shapes::default() };
        let (statements, shapes) = (Arc::new(statements), Arc::new(shapes));
        let (growth, room, anybody_moved) = (Growth::default(), Room::default(), AnybodyMoved::default());
        Ok(Self { pool, entities, statements, shapes, has_state, growth, anybody_moved, epoch: 0, shadow: false, room })
    }

    /// Whether there is a state: links, parked keys, people.
    pub(super) const fn has_state(&self) -> bool {
        self.has_state
    }

    pub(super) const fn growth(&self) -> &Growth {
        &self.growth
    }

    pub(super) const fn anybody_moved(&self) -> &AnybodyMoved {
        &self.anybody_moved
    }

    /// The epoch in which it may write.
    pub(super) const fn epoch(&self) -> i64 {
        self.epoch
    }

    /// The entities it was opened with.
    pub fn entities(&self) -> &Arc<Vec<Entity>> {
        &self.entities
    }

    pub(super) fn entity(&self, index: EntityIndex) -> Result<(&Entity, &Statements)> {
        let at = usize::from(index.0);
        self.entities.get(at).zip(self.statements.get(at)).ok_or_else(|| Error::halt("an entity that is not mapped"))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&Entity, &Statements)> {
        self.entities.iter().zip(self.statements.iter())
    }

    pub(super) fn shapes(&self) -> &Shapes {
        &self.shapes
    }
}

fn statements(entities: &[Entity], catalog: &Catalog) -> Result<Vec<Statements>> {
    let indices = (0..=u16::MAX).map(EntityIndex).take(entities.len());
    indices.map(|index| Statements::new(entities, index, catalog)).collect()
}

/// Which fields, in which order, stored bases were written under; mappings change while bases stay.
#[derive(Default)]
pub(super) struct Shapes {
    /// Per entity: the id of its present field list.
    current: Vec<i32>,
    /// Shape id → where each stored field is now.
    places: HashMap<i32, Vec<Option<usize>>>,
}

/// Marks a field list ($2) of an entity ($1) as the one in use; forgets its first copy (kinds $3) if the last one lacked a
/// field.
const USE_FIELDS: &str = "WITH last AS (SELECT fields FROM biograph_bridge.shape \
      WHERE entity = $1 AND used_at IS NOT NULL ORDER BY used_at DESC LIMIT 1), \
    again AS (DELETE FROM biograph_bridge.sweep WHERE entity = $1 AND kind = ANY($3) \
      AND EXISTS (SELECT FROM last WHERE NOT last.fields @> $2) RETURNING 1), \
    used AS (UPDATE biograph_bridge.shape SET used_at = clock_timestamp() WHERE entity = $1 AND fields = $2) \
    SELECT count(*) FROM again";

impl Shapes {
    /// Makes sure that the present field lists have a number. An entity that has a field it did not have when it was last in
    /// use is copied anew: nobody has looked at that field since.
    async fn register(pool: &PgPool, entities: &[Entity]) -> Result<()> {
        for entity in entities {
            sqlx::query(
                "INSERT INTO biograph_bridge.shape (entity, fields) VALUES ($1, $2) ON CONFLICT (entity, fields) DO NOTHING",
            )
            .bind(&entity.name)
            .bind(names(entity))
            .execute(pool)
            .await
            .map_err(Error::from)?;
            let again: i64 = sqlx::query_scalar(USE_FIELDS)
                .bind(&entity.name)
                .bind(names(entity))
                .bind(SweepKind::FIRST_COPY.map(SweepKind::as_str))
                .fetch_one(pool)
                .await
                .map_err(Error::from)?;
            if again > 0 {
                tracing::info!(entity = entity.name, "a field is new: the first copy begins again");
            }
        }
        Ok(())
    }

    async fn load(pool: &PgPool, entities: &[Entity]) -> Result<Self> {
        let (mut current, mut places) = (Vec::new(), HashMap::new());
        for entity in entities {
            let fields = names(entity);
            let stored: Vec<(i32, Vec<String>)> =
                sqlx::query_as("SELECT id, fields FROM biograph_bridge.shape WHERE entity = $1")
                    .bind(&entity.name)
                    .fetch_all(pool)
                    .await
                    .map_err(Error::from)?;
            for (id, names) in stored {
                if names == fields {
                    current.push(id);
                }
                let place = |name: &String| fields.iter().position(|field| field == name);
                places.insert(id, names.iter().map(place).collect());
            }
        }
        Ok(Self { current, places })
    }

    /// The shape that bases of the entity are written under now.
    pub(super) fn current(&self, entity: EntityIndex) -> Result<i32> {
        let id = self.current.get(usize::from(entity.0)).copied();
        id.ok_or_else(|| Error::halt("an entity that is not mapped"))
    }

    /// Reads a stored base.
    pub(super) fn base(&self, shape: i32, bytes: &[u8], fields: usize) -> Result<Base> {
        let places = self.places.get(&shape).ok_or_else(|| {
            Error::halt(format!("a link was stored under field list {shape}, which this process has not seen"))
                .with_hint("restart the bridge")
        })?;
        Ok(Base::from_bytes(bytes, places, fields))
    }
}

fn names(entity: &Entity) -> Vec<String> {
    entity.fields.iter().map(|field| field.name.clone()).collect()
}
