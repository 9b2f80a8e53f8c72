//! `mappings check` without a database: problems, examples that do not hold, and warnings, over all files at once.

use super::{CaseFailure, Entity, MappingError, connect, parse, transform::Transform};
use crate::model::side::Side;

/// What checking a set of mapping files found.
#[derive(Clone, Default, PartialEq)]
pub struct CheckReport {
    /// The entities of the files without errors, in the order of the files.
    pub entities: Vec<Entity>,
    /// What is wrong.
    pub errors: Vec<MappingError>,
    /// Examples that do not hold.
    pub failures: Vec<CaseFailure>,
    /// What should be looked at and blocks nothing.
    pub warnings: Vec<String>,
    /// Files checked.
    pub files: usize,
    /// Fields found.
    pub fields: usize,
    /// Examples run.
    pub cases: usize,
}

impl CheckReport {
    /// Whether nothing blocks.
    pub fn is_ok(&self) -> bool {
        self.errors.is_empty() && self.failures.is_empty()
    }
}

/// Checks mapping files, given as name and text.
pub fn check(files: &[(String, String)]) -> CheckReport {
    let mut report = CheckReport { files: files.len(), ..CheckReport::default() };
    for (file, text) in files {
        match parse(file, text) {
            Ok(entity) => report.add(entity),
            Err(errors) => report.errors.extend(errors),
        }
    }
    if report.errors.is_empty() {
        report.errors.extend(connect(&mut report.entities));
    }
    if files.is_empty() {
        report.warnings.push("there are no mapping files".to_owned());
    }
    report
}

impl CheckReport {
    fn add(&mut self, entity: Entity) {
        let mut error = |message: String| {
            self.errors.push(MappingError {
                file: entity.origin.file.clone(),
                line: 1,
                field: None,
                message,
                hint: None,
            });
        };
        for other in &self.entities {
            let elsewhere = &other.origin.file;
            if other.name == entity.name {
                error(format!("entity {} is already declared in {elsewhere}", entity.name));
            }
            if other.legacy.collection == entity.legacy.collection {
                error(format!("collection {} is already mapped in {elsewhere}", entity.legacy.collection));
            }
            for table in &entity.renaissance.tables {
                if other.renaissance.tables.iter().any(|taken| taken.name == table.name) {
                    error(format!("table {} is already mapped in {elsewhere}", table.name));
                }
            }
        }
        self.fields += entity.fields.len();
        self.cases += entity.cases.len();
        self.failures.extend(entity.run_cases());
        self.warnings.extend(entity.warnings());
        self.entities.push(entity);
    }
}

impl Entity {
    /// What should be looked at before use and blocks nothing.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let file = &self.origin.file;
        for field in &self.fields {
            let placeholder = Side::ALL.iter().any(|side| match &field.half(*side).transform {
                Transform::Media(media) => media.prefixes.iter().any(|(_, url)| url.contains("example.com")),
                Transform::Text(_)
                | Transform::Bool(_)
                | Transform::Int(_)
                | Transform::Timestamp(_)
                | Transform::Table(_)
                | Transform::Flags(_)
                | Transform::Phone(_)
                | Transform::Name(_)
                | Transform::Date(_)
                | Transform::Json(_)
                | Transform::List(_)
                | Transform::Spread(_)
                | Transform::Reference(_)
                | Transform::References(_)
                | Transform::Float(_)
                | Transform::Decimal(_)
                | Transform::Uuid(_)
                | Transform::Bytes(_) => false,
            });
            if placeholder {
                warnings.push(format!(
                    "{file}:{}: field {}: media prefix still points at example.com; put your media host there",
                    field.line, field.name
                ));
            }
        }
        if self.cases.is_empty() {
            warnings.push(format!(
                "{file}: entity {} has no [[case]]: nothing shows that it means what it says",
                self.name
            ));
        }
        warnings
    }
}
