//! What people would lose who move back: everything that Renaissance holds of theirs and BioGraph cannot.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    error::Result,
    model::{
        key::{EntityIndex, LegacyId, RenaissanceId},
        mapping::Entity,
    },
    sync::ports::{Belonging, CutoverStore, LegacyStore, RenaissanceStore},
};

/// Records read at once.
const CHUNK: usize = 500;

/// A field that records hold otherwise than they would come back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LostField {
    /// The entity.
    pub entity: String,
    /// The field.
    pub field: String,
    /// Why, in words.
    pub why: String,
}

/// What one person would lose. Counts and names, no values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// How many records, by field.
    pub fields: BTreeMap<LostField, u64>,
    /// Rows of tables that no mapping knows, by table.
    pub tables: BTreeMap<String, u64>,
}

/// How much of something would be lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Records, or rows.
    pub count: u64,
    /// The people whose they are.
    pub people: u64,
}

impl Extent {
    const fn add(&mut self, count: u64) {
        self.count += count;
        self.people += 1;
    }
}

/// What would be lost, for any number of people. Counts and names, no values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LossReport {
    /// How many people were looked at.
    pub people: u64,
    /// How many of them would lose something.
    pub concerned: u64,
    /// Records, by field.
    pub fields: BTreeMap<LostField, Extent>,
    /// Rows of tables that no mapping knows, by table.
    pub tables: BTreeMap<String, Extent>,
    /// Columns of mapped tables that no mapping knows: what they hold stays in Renaissance and is not seen by BioGraph.
    pub columns: Vec<String>,
    /// Tables that no mapping knows and that may not be read: what they hold of these people is not known.
    pub unread: Vec<String>,
}

impl LossReport {
    /// Adds what these people would lose, and returns it for each who would lose something. A few hundred people at once.
    pub async fn add<L: LegacyStore, R: RenaissanceStore + CutoverStore>(
        &mut self,
        (legacy, renaissance): (&L, &R),
        entities: &[Entity],
        persons: &[LegacyId],
    ) -> Result<BTreeMap<LegacyId, Lost>> {
        if self.people == 0 {
            self.columns = renaissance.unmapped_columns().await?;
            self.unread = renaissance.unread_tables().await?;
        }
        let mut by_entity: BTreeMap<EntityIndex, Vec<Belonging>> = BTreeMap::new();
        for one in renaissance.belongings(persons).await? {
            by_entity.entry(one.entity).or_default().push(one);
        }
        let mut lost: BTreeMap<LegacyId, Lost> = BTreeMap::new();
        for (index, records) in by_entity {
            let Some(entity) = entities.get(usize::from(index.0)) else { continue };
            for chunk in records.chunks(CHUNK) {
                look((legacy, renaissance), entity, chunk, &mut lost).await?;
            }
        }
        self.people += persons.len() as u64;
        self.concerned += lost.len() as u64;
        for one in lost.values() {
            for (field, count) in &one.fields {
                self.fields.entry(field.clone()).or_default().add(*count);
            }
            for (table, count) in &one.tables {
                self.tables.entry(table.clone()).or_default().add(*count);
            }
        }
        Ok(lost)
    }
}

/// Notes what records of one entity hold that would not come back.
async fn look<L: LegacyStore, R: RenaissanceStore + CutoverStore>(
    (legacy, renaissance): (&L, &R),
    entity: &Entity,
    records: &[Belonging],
    lost: &mut BTreeMap<LegacyId, Lost>,
) -> Result<()> {
    let Some(index) = records.first().map(|record| record.entity) else { return Ok(()) };
    let ids: Vec<LegacyId> = records.iter().map(|record| record.legacy).collect();
    let rows: Vec<RenaissanceId> = records.iter().map(|record| record.renaissance).collect();
    let documents = legacy.read(index, &ids, None).await?;
    let images = renaissance.read(index, &rows).await?.images;
    for ((record, document), image) in records.iter().zip(&documents).zip(&images) {
        let Some(image) = image else { continue };
        for (field, why) in entity.unkept(document.as_ref(), image) {
            let Some(field) = entity.fields.get(field) else { continue };
            let (name, why) = (field.name.clone(), field.unkept_because(why));
            let field = LostField { entity: entity.name.clone(), field: name, why };
            *lost.entry(record.person).or_default().fields.entry(field).or_default() += 1;
        }
    }
    let owners: BTreeMap<RenaissanceId, LegacyId> =
        records.iter().map(|record| (record.renaissance, record.person)).collect();
    for (table, row, count) in renaissance.unmapped_rows(index, &rows).await? {
        let Some(person) = owners.get(&row) else { continue };
        *lost.entry(*person).or_default().tables.entry(table).or_default() += count;
    }
    Ok(())
}
