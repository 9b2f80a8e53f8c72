//! What people would lose who move back: everything that Renaissance holds of theirs and BioGraph cannot.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    error::Result,
    model::{
        key::{EntityIndex, LegacyId, RenaissanceId},
        mapping::Entity,
    },
    sync::ports::{CutoverStore, LegacyStore, RenaissanceStore},
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

/// What would be lost, for any number of people. Counts and names, no values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LossReport {
    /// How many records, by field.
    pub fields: BTreeMap<LostField, u64>,
    /// Rows of tables that no mapping knows, by table.
    pub tables: BTreeMap<String, u64>,
    /// Columns of mapped tables that no mapping knows: what they hold stays in Renaissance and is not seen by BioGraph.
    pub columns: Vec<String>,
}

impl LossReport {
    /// Adds what one more person would lose.
    pub async fn add<L: LegacyStore, R: RenaissanceStore + CutoverStore>(
        &mut self,
        (legacy, renaissance): (&L, &R),
        entities: &[Entity],
        (person, row): (LegacyId, RenaissanceId),
    ) -> Result<()> {
        if self.columns.is_empty() {
            self.columns = renaissance.unmapped_columns().await?;
        }
        let owned = renaissance.possessions(person, row).await?;
        let mut by_entity: BTreeMap<EntityIndex, Vec<(LegacyId, RenaissanceId)>> = BTreeMap::new();
        for (entity, legacy, row, _) in owned.linked {
            by_entity.entry(entity).or_default().push((legacy, row));
        }
        for (index, records) in by_entity {
            let Some(entity) = entities.get(usize::from(index.0)) else { continue };
            for chunk in records.chunks(CHUNK) {
                let (ids, rows): (Vec<LegacyId>, Vec<RenaissanceId>) = chunk.iter().copied().unzip();
                let documents = legacy.read(index, &ids, None).await?;
                let images = renaissance.read(index, &rows).await?.images;
                for (document, image) in documents.iter().zip(&images) {
                    let Some(image) = image else { continue };
                    for (field, why) in entity.unkept(document.as_ref(), image) {
                        let field = entity.fields.get(field).map_or_else(String::new, |field| field.name.clone());
                        let lost = LostField { entity: entity.name.clone(), field, why: why.as_str().to_owned() };
                        *self.fields.entry(lost).or_default() += 1;
                    }
                }
                for (table, count) in renaissance.unmapped_rows(index, &rows).await? {
                    *self.tables.entry(table).or_default() += count;
                }
            }
        }
        Ok(())
    }
}
