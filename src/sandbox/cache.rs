//! Where fetched servers are kept between runs, and the one lock around filling it.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use super::SandboxError;

/// A folder of ours that other users may read and nobody else may write.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The user's cache; for root one below the temp folder, as the servers' unprivileged user cannot pass through `/root`.
    pub(super) fn of_user() -> Result<Self, SandboxError> {
        let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let folder = if Uid::effective().is_root() {
            std::env::temp_dir().join("biograph-bridge-cache")
        } else {
            user_folder(var("XDG_CACHE_HOME"), var("HOME"))
        };
        Self::at(folder)
    }

    fn at(folder: PathBuf) -> Result<Self, SandboxError> {
        let tried = || format!("creating the cache folder {}", folder.display());
        if let Some(parent) = folder.parent() {
            fs::create_dir_all(parent).map_err(|error| SandboxError::io(tried(), &error))?;
        }
        match DirBuilder::new().mode(0o755).create(&folder) {
            // the umask may have taken bits away
            Ok(()) => fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
        .map_err(|error| SandboxError::io(tried(), &error))?;
        refuse_foreign(&folder)?;
        Ok(Self { folder })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Held by one thread of one process at a time, and let go by the system when its holder dies.
    pub(super) fn lock(&self) -> Result<File, SandboxError> {
        let path = self.folder.join("lock");
        let opened = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        opened
            .and_then(|file| file.lock().map(|()| file))
            .map_err(|error| SandboxError::io(format!("locking {}", path.display()), &error))
    }
}

fn user_folder(xdg: Option<OsString>, home: Option<OsString>) -> PathBuf {
    let base = xdg
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| home.map(|home| PathBuf::from(home).join(".cache")))
        .unwrap_or_else(|| std::env::temp_dir().join(format!("cache-{}", Uid::effective())));
    base.join("biograph-bridge")
}

/// In a shared temp folder somebody else could have put a program of theirs under our name.
fn refuse_foreign(folder: &Path) -> Result<(), SandboxError> {
    let meta = fs::symlink_metadata(folder)
        .map_err(|error| SandboxError::io(format!("reading {}", folder.display()), &error))?;
    let ours = meta.is_dir() && meta.uid() == Uid::effective().as_raw() && meta.mode() & 0o022 == 0;
    if ours {
        return Ok(());
    }
    Err(SandboxError::new(
        format!("{} is not a folder that only this user can write", folder.display()),
        "remove it and try again",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_follows_the_xdg_variable_then_home() {
        let xdg = user_folder(Some("/x".into()), Some("/home/a".into()));
        assert_eq!(xdg, Path::new("/x/biograph-bridge"));
        let home = user_folder(Some("relative".into()), Some("/home/a".into()));
        assert_eq!(home, Path::new("/home/a/.cache/biograph-bridge"));
    }

    #[test]
    fn a_folder_others_can_write_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("cache");
        Cache::at(folder.clone()).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        let error = Cache::at(folder).unwrap_err();
        assert_eq!(error.hint(), "remove it and try again");
    }
}
