//! Who runs a command, for the records of what was done by hand.

use std::{env, process::Command};

/// The user of the operating system; `unknown` if it does not say.
pub(super) fn asks() -> String {
    // the system knows better than the environment
    let id = Command::new("id").arg("-un").output().ok().filter(|output| output.status.success());
    let name = id.and_then(|output| String::from_utf8(output.stdout).ok()).map(|name| name.trim().to_owned());
    let named = |variable: &str| env::var(variable).ok();
    let name = name.filter(|name| !name.is_empty()).or_else(|| named("USER")).or_else(|| named("LOGNAME"));
    name.unwrap_or_else(|| "unknown".to_owned())
}
