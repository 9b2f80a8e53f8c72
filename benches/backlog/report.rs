//! What was measured, as a table and as JSON.

use std::{fmt, time::Duration};

use biograph_bridge::model::side::Direction;
use serde_json::{Value, json};

use crate::Measured;

/// One measured run.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) people: u64,
    pub(crate) seconds: f64,
    /// Of the bridge, of MongoDB, of Postgres.
    pub(crate) cpu_micros: [u64; 3],
    pub(crate) peak_bytes: u64,
    /// The load average of the minute before.
    pub(crate) load: f64,
}

/// Runs of the bridge beside the same work without it, each sorted by time.
struct Pair {
    what: String,
    bridge: Vec<Row>,
    raw: Vec<Row>,
}

/// Times of single changes.
pub(crate) struct Latency {
    what: String,
    sorted: Vec<Duration>,
}

/// All of it.
pub(crate) struct Report {
    context: Value,
    pairs: Vec<Pair>,
    others: Vec<Pair>,
    pub(crate) latency: Vec<Latency>,
    /// Direction, changes, peak bytes.
    pub(crate) memory: Vec<(Direction, usize, u64)>,
}

#[expect(clippy::cast_precision_loss, reason = "shown with few digits")]
impl Row {
    pub(crate) fn per_second(&self) -> f64 {
        self.people as f64 / self.seconds
    }

    /// CPU microseconds per person: the bridge, both servers together.
    pub(crate) fn cpu(&self) -> [f64; 2] {
        let [bridge, mongo, postgres] = self.cpu_micros;
        [bridge, mongo + postgres].map(|micros| micros as f64 / self.people as f64)
    }

    /// Both, one after the other.
    pub(crate) fn and(&self, other: &Self) -> Self {
        Self {
            people: self.people + other.people,
            seconds: self.seconds + other.seconds,
            cpu_micros: std::array::from_fn(|n| self.cpu_micros[n] + other.cpu_micros[n]),
            peak_bytes: self.peak_bytes.max(other.peak_bytes),
            load: self.load.max(other.load),
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        let [bridge, mongo, postgres] = self.cpu_micros.map(|micros| micros as f64 / self.people as f64);
        json!({
            "people": self.people, "seconds": self.seconds, "people_per_second": self.per_second(),
            "cpu_micros_per_person": { "bridge": bridge, "mongodb": mongo, "postgres": postgres }, "peak_bytes": self.peak_bytes,
            "load_average": self.load,
        })
    }
}

impl Latency {
    pub(crate) fn new(what: impl Into<String>, mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self { what: what.into(), sorted: times }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// The time that `percent` of them do not exceed; 100: the worst.
    pub(crate) fn millis(&self, percent: usize) -> f64 {
        let at = (self.sorted.len() * percent / 100).min(self.sorted.len().saturating_sub(1));
        self.sorted.get(at).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
    }
}

impl Report {
    pub(crate) const fn new(context: Value) -> Self {
        Self { context, pairs: Vec::new(), others: Vec::new(), latency: Vec::new(), memory: Vec::new() }
    }

    /// Adds a comparison of the medians.
    pub(crate) fn row(&mut self, what: &str, bridge: &[Row], raw: &[Row]) {
        self.pairs.extend(Pair::new(what, bridge, raw));
    }

    /// Adds a comparison of the medians with something that is no lower bound.
    pub(crate) fn beside(&mut self, what: &str, bridge: &[Row], other: &[Row]) {
        self.others.extend(Pair::new(what, bridge, other));
    }
}

impl Measured for Report {
    fn to_json(&self) -> Value {
        let rows = |rows: &[Row]| rows.iter().map(Row::to_json).collect::<Vec<_>>();
        let pair = |pair: &Pair, other: &str| {
            let mut json = json!({
                "what": pair.what, "bridge": median(&pair.bridge).to_json(), "ratio": pair.ratio(),
                "runs": { "bridge": rows(&pair.bridge), other: rows(&pair.raw) },
            });
            json[other] = median(&pair.raw).to_json();
            json
        };
        let latency = |one: &Latency| json!({ "what": one.what, "samples": one.sorted.len(), "p50_ms": one.millis(50), "p99_ms": one.millis(99) });
        let memory = |(direction, changes, bytes): &(Direction, usize, u64)| json!({ "direction": direction.to_string(), "changes": changes, "peak_bytes": bytes });
        json!({
            "context": self.context,
            "throughput": self.pairs.iter().map(|one| pair(one, "raw")).collect::<Vec<_>>(),
            "beside": self.others.iter().map(|one| pair(one, "other")).collect::<Vec<_>>(),
            "latency": self.latency.iter().map(latency).collect::<Vec<_>>(),
            "memory": self.memory.iter().map(memory).collect::<Vec<_>>(),
        })
    }
}

impl Pair {
    fn new(what: &str, bridge: &[Row], raw: &[Row]) -> Option<Self> {
        let sorted = |rows: &[Row]| {
            let mut rows = rows.to_vec();
            rows.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
            rows
        };
        let pair = Self { what: what.to_owned(), bridge: sorted(bridge), raw: sorted(raw) };
        (!bridge.is_empty() && !raw.is_empty()).then_some(pair)
    }

    fn ratio(&self) -> f64 {
        median(&self.bridge).per_second() / median(&self.raw).per_second()
    }

    /// The lowest and the highest load average at the start of its runs.
    fn load(&self) -> (f64, f64) {
        let loads = || self.bridge.iter().chain(&self.raw).map(|row| row.load);
        (loads().fold(f64::INFINITY, f64::min), loads().fold(0.0, f64::max))
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with few digits")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

/// Of rows sorted by time, at least one.
fn median(rows: &[Row]) -> &Row {
    &rows[rows.len() / 2]
}

impl Report {
    fn throughput(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n| people per second | bridge | raw reads and writes | ratio | CPU µs per person: bridge | both servers | raw: both servers | bridge: peak MiB | load |"
        )?;
        writeln!(f, "|---|---:|---:|---:|---:|---:|---:|---:|---:|")?;
        for pair in self.pairs.iter().chain(&self.others) {
            let (bridge, raw) = (median(&pair.bridge), median(&pair.raw));
            let ([own, servers], [_, bare]) = (bridge.cpu(), raw.cpu());
            let (low, high) = pair.load();
            writeln!(
                f,
                "| {} | {:.0} | {:.0} | {:.2} | {own:.0} | {servers:.0} | {bare:.0} | {:.0} | {low:.1} to {high:.1} |",
                pair.what,
                bridge.per_second(),
                raw.per_second(),
                pair.ratio(),
                mib(pair.bridge.iter().map(|row| row.peak_bytes).max().unwrap_or(0)),
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |key: &str| self.context[key].to_string().replace('"', "");
        writeln!(
            f,
            "{} people, batches of {}, median of {}; {}",
            text("people"),
            text("batch"),
            text("repeat"),
            text("servers")
        )?;
        writeln!(f, "{}", text("settings"))?;
        if !(self.pairs.is_empty() && self.others.is_empty()) {
            self.throughput(f)?;
        }
        if self.latency.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n| latency of one change, ms | p50 | p99 |\n|---|---:|---:|")?;
        for one in &self.latency {
            writeln!(f, "| {} | {:.2} | {:.2} |", one.what, one.millis(50), one.millis(99))?;
        }
        if self.memory.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n| peak memory of the bridge, MiB | changes waiting | MiB |\n|---|---:|---:|")?;
        for (direction, changes, bytes) in &self.memory {
            writeln!(f, "| {direction} | {changes} | {:.1} |", mib(*bytes))?;
        }
        Ok(())
    }
}
