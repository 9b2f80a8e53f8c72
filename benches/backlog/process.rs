//! What the kernel says about a process: CPU time and peak memory.

use std::{collections::HashMap, fs, path::Path};

use crate::Result;

/// Linux counts CPU time in hundredths of a second for programs, whatever its own tick.
const MICROS_PER_TICK: u64 = 10_000;

/// CPU time of one process in microseconds, without its children.
pub(crate) fn cpu(pid: u32) -> Result<u64> {
    let (own, _, _) = stat(pid)?;
    Ok(own)
}

/// CPU time of a process with its children, those that have ended included.
pub(crate) fn cpu_of_family(parent: u32) -> Result<u64> {
    let (own, ended, _) = stat(parent)?;
    let mut total = own + ended;
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // it may have ended since the listing: then the parent's count has it
        if let Ok((own, _, of)) = stat(pid)
            && of == parent
        {
            total += own;
        }
    }
    Ok(total)
}

/// The most memory it ever had, in bytes.
pub(crate) fn peak_memory(pid: u32) -> Result<u64> {
    size(pid, "VmHWM")
}

/// The memory it has, in bytes.
pub(crate) fn memory(pid: u32) -> Result<u64> {
    size(pid, "VmRSS")
}

fn size(pid: u32, which: &str) -> Result<u64> {
    let text = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"))?;
    let fields: HashMap<&str, &str> = text.lines().filter_map(|line| line.split_once(':')).collect();
    let size = fields.get(which).and_then(|text| text.trim().strip_suffix(" kB")).ok_or("an unexpected status")?;
    Ok(size.parse::<u64>()? * 1024)
}

/// How many processes wanted to run during the last minute.
pub(crate) fn load() -> Result<f64> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').next().ok_or("an unexpected /proc/loadavg")?.parse()?)
}

/// Own time, time of children that have ended, parent.
fn stat(pid: u32) -> Result<(u64, u64, u32)> {
    let text = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"))?;
    // the name in parentheses may hold anything; what follows starts with field 3, the state
    let (_, rest) = text.rsplit_once(')').ok_or("an unexpected /proc/PID/stat")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |number: usize| -> Result<u64> { Ok(fields.get(number - 3).ok_or("a short /proc/PID/stat")?.parse()?) };
    let own = (field(14)? + field(15)?) * MICROS_PER_TICK;
    let ended = (field(16)? + field(17)?) * MICROS_PER_TICK;
    Ok((own, ended, u32::try_from(field(4)?)?))
}
