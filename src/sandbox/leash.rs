//! Holds one server process so that it never outlives the process that started it, and neither does its folder.
//!
//! A shell waits at the end of a pipe whose other end only we hold. However we end, the system closes the pipe; the shell
//! then stops the server and removes the folder. `PR_SET_PDEATHSIG` would not do: it fires when the *thread* that
//! spawned ends, which tests and worker threads do all the time, and Linux alone has it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User};
use tempfile::TempDir;

use super::SandboxError;

/// How long the watchdog gives a server before it kills it, and how often it looks, are written in its script.
const WATCHDOG_PATIENCE: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const LAST_LINES: usize = 8;

/// Arguments: the folder, the signal that ends the server. Input: one line for each change of the server's pid, empty
/// for none. A killed Postgres leaves a shared memory segment, named in line 7 of its pid file. In a container whose
/// first process reaps nobody, an orphan that has ended stays a zombie.
const WATCHDOG: &str = r#"
trap '' HUP INT TERM QUIT
running() {
    kill -0 "$1" 2>/dev/null && ! grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null
}
pid=
while read -r line; do pid=$line; done
if [ -n "$pid" ]; then
    kill -s "$2" "$pid" 2>/dev/null
    looks=0
    while running "$pid" && [ "$looks" -lt 200 ]; do
        sleep 0.05
        looks=$((looks + 1))
    done
    running "$pid" && kill -s KILL "$pid" 2>/dev/null
fi
if [ -f "$1/data/postmaster.pid" ]; then
    segment=$(sed -n '7s/.*[[:space:]]//p' "$1/data/postmaster.pid")
    [ -n "$segment" ] && ipcrm -m "$segment" 2>/dev/null
fi
for attempt in 1 2 3 4 5; do
    rm -rf -- "$1" && break
    sleep 0.2
done
"#;

/// Waits for the word that the watchdog knows our pid, then becomes the server. Without it a `kill -9` of the parent
/// between the spawn and that message would leave a server nobody knows.
const GATE: &str = r#"read -r go && exec "$0" "$@" </dev/null"#;

/// A folder, at most one process at a time working in it, and the watchdog of both.
#[derive(Debug)]
pub(super) struct Leash {
    process: Option<Child>,
    watchdog: Child,
    pipe: Option<ChildStdin>,
    folder: TempDir,
}

impl Leash {
    /// A new folder below the temp folder; `goodbye` is the signal that ends its server when nobody needs it any more.
    pub(super) fn new(name: &str, goodbye: Signal) -> Result<Self, SandboxError> {
        let folder = make_folder(name)?;
        let mut watchdog = Command::new("/bin/sh")
            .args(["-c", WATCHDOG, "biograph-bridge-watchdog"])
            .arg(folder.path())
            .arg(goodbye.as_str().trim_start_matches("SIG"))
            .current_dir("/")
            // not in the terminal's foreground group: Ctrl-C is for the bridge, which drains first
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| SandboxError::io("starting /bin/sh", &error))?;
        let pipe = watchdog.stdin.take();
        Ok(Self { process: None, watchdog, pipe, folder })
    }

    /// The folder all this happens in; the server's own user owns it.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A file in the folder that only the server's user can read.
    pub(super) fn write_file(&self, name: &str, content: &str) -> Result<PathBuf, SandboxError> {
        let path = self.folder().join(name);
        fs::write(&path, content)
            .and_then(|()| give_away(&path))
            .map_err(|error| SandboxError::io(format!("writing {}", path.display()), &error))?;
        Ok(path)
    }

    /// A folder in the folder that the server's user can write.
    pub(super) fn make_dir(&self, name: &str) -> Result<(), SandboxError> {
        let path = self.folder().join(name);
        fs::create_dir(&path)
            .and_then(|()| give_away(&path))
            .map_err(|error| SandboxError::io(format!("making {}", path.display()), &error))
    }

    /// Starts a program in the folder, in a process group of its own, as an unprivileged user if we are root.
    pub(super) fn spawn<A: AsRef<OsStr>>(&mut self, program: &Path, args: &[A]) -> Result<(), SandboxError> {
        let io = |error: std::io::Error| SandboxError::io(format!("starting {}", program.display()), &error);
        let log = self.open_log().map_err(io)?;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", GATE]).arg(program).args(args);
        command.current_dir(self.folder()).process_group(0);
        command.stdin(Stdio::piped()).stdout(log.try_clone().map_err(io)?).stderr(log);
        for variable in postgres_variables() {
            command.env_remove(variable);
        }
        // messages are read below, so they must be the untranslated ones
        command.env("LC_ALL", "C");
        if let Some((uid, gid)) = unprivileged() {
            command.uid(uid).gid(gid);
        }
        let mut child = command.spawn().map_err(io)?;
        let gate = child.stdin.take();
        let pid = child.id();
        self.process = Some(child);
        self.tell_watchdog(&pid.to_string()).map_err(io)?;
        gate.map_or(Ok(()), |mut gate| gate.write_all(b"go\n")).map_err(io)
    }

    /// The running process, if there is one.
    pub(super) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Sends a signal to the process; one that has ended is not an error.
    pub(super) fn signal(&self, signal: Signal) {
        let pid = self.pid().and_then(|pid| i32::try_from(pid).ok());
        if let Some(Err(error)) = pid.map(|pid| kill(Pid::from_raw(pid), signal)) {
            tracing::debug!("sending {signal}: {error}");
        }
    }

    /// Its exit status once it has ended; `None` while it runs.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>, SandboxError> {
        let Some(process) = &mut self.process else {
            return Err(SandboxError::new("the server is not running", ""));
        };
        let status = process.try_wait().map_err(|error| SandboxError::io("waiting for a server", &error))?;
        if status.is_some() {
            self.forget();
        }
        Ok(status)
    }

    /// Waits for it to end, `None` after `limit`.
    pub(super) async fn end_within(&mut self, limit: Duration) -> Result<Option<ExitStatus>, SandboxError> {
        let started = Instant::now();
        while started.elapsed() < limit {
            if let Some(status) = self.ended()? {
                return Ok(Some(status));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(None)
    }

    /// `kill -9`, and waits for the process to be gone.
    pub(super) async fn kill(&mut self) -> Result<(), SandboxError> {
        self.signal(Signal::SIGKILL);
        while self.process.is_some() && self.ended()?.is_none() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Where what the server prints begins from now on, for [`Self::log_since`].
    pub(super) fn log_length(&self) -> usize {
        fs::metadata(self.log_path()).map_or(0, |meta| usize::try_from(meta.len()).unwrap_or(0))
    }

    /// What the server has printed after that point.
    pub(super) fn log_since(&self, start: usize) -> String {
        let log = fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(log.get(start..).unwrap_or_default()).into_owned()
    }

    fn log_path(&self) -> PathBuf {
        self.folder().join("log")
    }

    fn open_log(&self) -> std::io::Result<File> {
        OpenOptions::new().create(true).append(true).open(self.log_path())
    }

    fn tell_watchdog(&mut self, line: &str) -> std::io::Result<()> {
        match &mut self.pipe {
            Some(pipe) => writeln!(pipe, "{line}"),
            None => Ok(()),
        }
    }

    /// The pid may soon be somebody else's.
    fn forget(&mut self) {
        self.process = None;
        if let Err(error) = self.tell_watchdog("") {
            tracing::warn!("the watchdog of {} is gone: {error}", self.folder().display());
        }
    }
}

impl Drop for Leash {
    /// Lets go of the pipe, so that the watchdog does exactly what it does when we are killed, and waits for it.
    fn drop(&mut self) {
        drop(self.pipe.take());
        if let Some(process) = &mut self.process {
            reap(process);
        }
        reap(&mut self.watchdog);
    }
}

/// Waits for a child that is about to end; kills it if it does not (somebody may have killed the watchdog).
fn reap(child: &mut Child) {
    let started = Instant::now();
    while matches!(child.try_wait(), Ok(None)) {
        if started.elapsed() > WATCHDOG_PATIENCE
            && let Err(error) = child.kill()
        {
            tracing::warn!("killing process {}: {error}", child.id());
            return;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn make_folder(name: &str) -> Result<TempDir, SandboxError> {
    let folder = tempfile::Builder::new().prefix(&format!("biograph-bridge-{name}-")).tempdir();
    folder.and_then(|folder| give_away(folder.path()).map(|()| folder)).map_err(|error| {
        SandboxError::new(
            format!("making a folder in {}: {error}", std::env::temp_dir().display()),
            "set TMPDIR to a folder that can be written",
        )
    })
}

/// As root, makes it the property of the user that will run the server.
fn give_away(path: &Path) -> std::io::Result<()> {
    match unprivileged() {
        Some((uid, gid)) => std::os::unix::fs::chown(path, Some(uid), Some(gid)),
        None => Ok(()),
    }
}

/// The user and group that servers run as when we are root, which Postgres refuses to be.
fn unprivileged() -> Option<(u32, u32)> {
    if !Uid::effective().is_root() {
        return None;
    }
    let nobody = User::from_name("nobody").ok().flatten();
    Some(nobody.map_or((65534, 65534), |user| (user.uid.as_raw(), user.gid.as_raw())))
}

/// `PGDATA` and its like would change what the Postgres programs do.
fn postgres_variables() -> impl Iterator<Item = OsString> {
    std::env::vars_os().map(|(name, _)| name).filter(|name| name.as_encoded_bytes().starts_with(b"PG"))
}

/// The end of a log, which says why a server stopped.
pub(super) fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    match lines.get(lines.len().saturating_sub(LAST_LINES)..) {
        Some([]) | None => "it printed nothing".to_owned(),
        Some(last) => last.join("\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alive(pid: u32) -> bool {
        kill(Pid::from_raw(i32::try_from(pid).unwrap()), None).is_ok()
    }

    #[tokio::test]
    async fn dropping_the_leash_ends_the_process_and_removes_the_folder() {
        let mut leash = Leash::new("test", Signal::SIGTERM).unwrap();
        leash.spawn(Path::new("/bin/sleep"), &["600"]).unwrap();
        let (pid, folder) = (leash.pid().unwrap(), leash.folder().to_owned());
        assert!(alive(pid) && folder.exists());
        drop(leash);
        assert!(!alive(pid) && !folder.exists());
    }

    #[tokio::test]
    async fn a_process_that_ignores_the_goodbye_is_killed() {
        let mut leash = Leash::new("test", Signal::SIGTERM).unwrap();
        leash
            .spawn(Path::new("/bin/sh"), &["-c", "trap '' TERM; echo deaf; sleep 600 & wait; wait; sleep 20"])
            .unwrap();
        while !leash.log_since(0).contains("deaf") {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let pid = leash.pid().unwrap();
        leash.kill().await.unwrap();
        assert!(!alive(pid) && leash.pid().is_none());
    }

    #[tokio::test]
    async fn what_it_prints_is_kept() {
        let mut leash = Leash::new("test", Signal::SIGTERM).unwrap();
        leash.spawn(Path::new("/bin/sh"), &["-c", "echo one"]).unwrap();
        let status = leash.end_within(Duration::from_secs(10)).await.unwrap();
        assert!(status.unwrap().success());
        let start = leash.log_length();
        leash.spawn(Path::new("/bin/sh"), &["-c", "echo two; exit 3"]).unwrap();
        assert_eq!(leash.end_within(Duration::from_secs(10)).await.unwrap().unwrap().code(), Some(3));
        assert_eq!(leash.log_since(start), "two\n");
    }
}
