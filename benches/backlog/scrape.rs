//! What being watched costs the bridge while it works: the same load with and without somebody who fetches metrics, page, status and
//! probes. They fetch more often than anybody would, as the cost of one round a second is too small to see.

use std::{
    fmt,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    Measured, Result,
    bed::{Bed, Daemon},
    changes::Person,
    open_loop::{self, Both},
    progress,
    report::{Latency, Row},
};

/// What is fetched, one after the other.
const PATHS: [&str; 5] = ["/metrics", "/", "/api/status", "/livez", "/readyz"];
/// Rounds of all of them a second.
const ROUNDS: u32 = 20;
/// Changes a second on both sides together.
const RATE: u32 = 200;

/// What was measured with or without somebody who watches.
struct Run {
    rows: Vec<Row>,
    arrived: Latency,
    answered: Latency,
}

/// All of it.
pub(crate) struct Scrapes {
    context: Value,
    unwatched: Run,
    watched: Run,
}

impl Run {
    /// The median of the bridge's CPU seconds per second.
    fn cores(&self) -> f64 {
        let core = |row: &Row| Duration::from_micros(row.cpu_micros[0]).as_secs_f64() / row.seconds;
        let mut cores: Vec<f64> = self.rows.iter().map(core).collect();
        cores.sort_by(f64::total_cmp);
        cores.get(cores.len() / 2).copied().unwrap_or_default()
    }

    fn to_json(&self) -> Value {
        let latency =
            |one: &Latency| json!({ "p50_ms": one.millis(50), "p99_ms": one.millis(99), "worst_ms": one.millis(100) });
        json!({
            "cores": self.cores(), "arrived": latency(&self.arrived), "answered": latency(&self.answered),
            "runs": self.rows.iter().map(Row::to_json).collect::<Vec<_>>(),
        })
    }
}

impl Scrapes {
    /// The share of a core that one round a second takes.
    fn share(&self) -> f64 {
        (self.watched.cores() - self.unwatched.cores()) / f64::from(ROUNDS)
    }
}

impl Measured for Scrapes {
    fn to_json(&self) -> Value {
        json!({
            "context": self.context, "paths": PATHS, "rounds_per_second": ROUNDS, "changes_per_second": RATE,
            "unwatched": self.unwatched.to_json(), "watched": self.watched.to_json(), "cores_of_one_round_a_second": self.share(),
        })
    }
}

impl fmt::Display for Scrapes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{RATE} changes a second; {} fetched {ROUNDS} times a second, or not\n", PATHS.join(" "))?;
        writeln!(f, "| | % of a core | change, ms: p50 | p99 | answer, ms: p50 | p99 | worst |")?;
        writeln!(f, "|---|---:|---:|---:|---:|---:|---:|")?;
        for (name, run) in [("nobody watches", &self.unwatched), ("watched", &self.watched)] {
            write!(f, "| {name} | {:.2} |", 100.0 * run.cores())?;
            write!(f, " {:.2} | {:.2} |", run.arrived.millis(50), run.arrived.millis(99))?;
            let answers = [50, 99, 100].map(|percent| format!(" {:.2} |", run.answered.millis(percent)));
            writeln!(f, "{}", if run.answered.is_empty() { " | | |".to_owned() } else { answers.concat() })?;
        }
        writeln!(f, "\none round a second: {:.2} % of a core", 100.0 * self.share())
    }
}

/// Everybody has to be on both sides. In turns with and without, `repeat` times each.
pub(crate) async fn measure(bed: &Bed, people: &[Person], repeat: usize, lasting: Duration) -> Result<Scrapes> {
    let both = Both::of(bed);
    let daemon = bed.spawn()?;
    daemon.until_idle().await?;
    let (mut rows, mut arrived, mut answered) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()], Vec::new());
    for round in 0..=repeat {
        for watched in [false, true] {
            progress(&format!("{RATE} changes a second, watched: {watched}, {round} of {repeat}"));
            let start = bed.measure(Some(&daemon))?;
            let load = open_loop::on_both(&both, people, RATE, (lasting, round * 2 + usize::from(watched)));
            let (ways, answers) =
                if watched { tokio::try_join!(load, fetch(&daemon, lasting))? } else { (load.await?, Vec::new()) };
            // the first ones only warm up what is measured
            if round > 0 {
                let [there, back] = ways;
                let changes = there.arrived.len() + back.arrived.len();
                rows[usize::from(watched)].push(start.until_now(changes as u64, bed, Some(&daemon))?);
                arrived[usize::from(watched)].extend(there.arrived.into_iter().chain(back.arrived));
                answered.extend(answers);
            }
        }
    }
    daemon.stop().await?;
    let ([unwatched, watched], [alone, beside]) = (rows, arrived);
    let run = |rows, arrived, answered| Run {
        rows,
        arrived: Latency::new("a change", arrived),
        answered: Latency::new("an answer", answered),
    };
    let context = json!({ "people": people.len(), "repeat": repeat, "seconds": lasting.as_secs() });
    Ok(Scrapes { context, unwatched: run(unwatched, alone, Vec::new()), watched: run(watched, beside, answered) })
}

/// Fetches everything again and again for so long; how long each answer took.
async fn fetch(daemon: &Daemon, lasting: Duration) -> Result<Vec<Duration>> {
    let (client, begun, mut took) = (reqwest::Client::new(), Instant::now(), Vec::new());
    let mut due = tokio::time::interval(Duration::from_secs(1) / ROUNDS);
    while begun.elapsed() < lasting {
        due.tick().await;
        for path in PATHS {
            let asked = Instant::now();
            client.get(daemon.url(path)).send().await?.error_for_status()?.bytes().await?;
            took.push(asked.elapsed());
        }
    }
    Ok(took)
}
