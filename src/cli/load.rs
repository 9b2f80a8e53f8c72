//! The mapping files: read from their directory, checked, ready for use.

use std::{fs, path::Path};

use super::Failure;
use crate::{
    config::Setting,
    error::{Error, Result},
    model::{
        key::EntityIndex,
        mapping::{
            Entity,
            check::{CheckReport, check},
        },
        nearest::did_you_mean,
    },
};

/// Checks all `*.toml` files of the directory, in the order of their names.
pub(super) fn checked(directory: &Path) -> Result<CheckReport> {
    let report = check(&files(directory)?);
    if report.files == 0 {
        return Err(no_files(directory, "holds no *.toml file"));
    }
    Ok(report)
}

/// The entities of the directory; any error in any file refuses all of them.
pub(super) fn entities(directory: &Path) -> Result<Vec<Entity>, Failure> {
    usable(checked(directory)?)
}

/// The entities of a report without errors.
pub(super) fn usable(report: CheckReport) -> Result<Vec<Entity>, Failure> {
    if report.is_ok() {
        return Ok(report.entities);
    }
    let errors = report.errors.iter().map(ToString::to_string);
    let lines: Vec<_> = errors.chain(report.failures.iter().map(ToString::to_string)).collect();
    let hint = "see `biograph-bridge mappings check`";
    Err(Error::halt(format!("the mappings are not usable:\n  {}", lines.join("\n  "))).with_hint(hint).into())
}

/// The entity of that name with its position, or which one was meant.
pub(super) fn named<'e>(entities: &'e [Entity], name: &str) -> Result<(EntityIndex, &'e Entity), Failure> {
    let found = (0..=u16::MAX).map(EntityIndex).zip(entities).find(|(_, entity)| entity.name == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = entities.iter().map(|entity| entity.name.as_str()).collect();
        let hint =
            did_you_mean(name, names.iter().copied()).unwrap_or_else(|| format!("there are: {}", names.join(", ")));
        Error::halt(format!("no mapping file declares an entity `{name}`")).with_hint(hint).into()
    })
}

fn files(directory: &Path) -> Result<Vec<(String, String)>> {
    let entries = fs::read_dir(directory).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => no_files(directory, "does not exist"),
        _ => no_files(directory, "cannot be read").with_source(error),
    })?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| no_files(directory, "cannot be read").with_source(error))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let name = path.display().to_string();
            let text = fs::read_to_string(&path)
                .map_err(|error| Error::halt(format!("cannot read {name}")).with_source(error))?;
            files.push((name, text));
        }
    }
    files.sort();
    Ok(files)
}

fn no_files(directory: &Path, what: &str) -> Error {
    let hint = format!("name the directory of the mapping files with {}", Setting::Mappings.flag());
    Error::halt(format!("the mappings directory {} {what}", directory.display())).with_hint(hint)
}
