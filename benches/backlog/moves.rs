//! Moving people who do nothing meanwhile: how long one takes beyond the time that applications have to drain, and how many arrive in
//! a minute where 1,000 move together.

use std::{fmt, process::Stdio, time::Duration};

use serde_json::{Value, json};

use crate::{Measured, Result, bed::Bed, progress, report::Row};

/// People unless somebody says otherwise.
pub(crate) const PEOPLE: u32 = 20_000;
/// People who move together.
const TOGETHER: u32 = 1000;
/// People who move alone, one after the other.
const ALONE: usize = 5;
/// How long applications have to hold a person's writes (the default first), and how many people are on the way at once then.
const DRAINS: [(u64, u32); 2] = [(5000, 150), (500, 50)];
/// Of everybody who was moved alone: from the first step to the last, in seconds.
const TOOK: &str = "SELECT extract(epoch FROM max(at) - min(at))::float8 FROM biograph_bridge.cutover_history \
    WHERE batch IS NULL AND legacy_id = $1";

/// What was measured with one time to drain.
struct Run {
    drain: Duration,
    concurrency: u32,
    /// Seconds beyond the time to drain, sorted.
    alone: Vec<f64>,
    together: Row,
}

/// All of it.
pub(crate) struct Moves {
    people: Value,
    runs: Vec<Run>,
}

impl Run {
    fn median(&self) -> f64 {
        self.alone.get(self.alone.len() / 2).copied().unwrap_or_default()
    }

    fn worst(&self) -> f64 {
        self.alone.last().copied().unwrap_or_default()
    }

    fn per_minute(&self) -> f64 {
        self.together.per_second() * 60.0
    }
}

impl Measured for Moves {
    fn to_json(&self) -> Value {
        let run = |run: &Run| {
            json!({
                "drain_seconds": run.drain.as_secs_f64(), "beyond_drain_seconds": { "p50": run.median(), "worst": run.worst() },
                "concurrency": run.concurrency, "people_per_minute": run.per_minute(), "batch": run.together.to_json(),
            })
        };
        json!({ "people": self.people, "moves": self.runs.iter().map(run).collect::<Vec<_>>() })
    }
}

impl fmt::Display for Moves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} people, who own nothing beside their record; {TOGETHER} move together\n", self.people)?;
        writeln!(
            f,
            "| time to drain, s | one person: s beyond it, p50 | worst | at once | people per minute | CPU µs per person: bridge | both servers |"
        )?;
        writeln!(f, "|---:|---:|---:|---:|---:|---:|---:|")?;
        for run in &self.runs {
            let [own, servers] = run.together.cpu();
            writeln!(
                f,
                "| {:.1} | {:.2} | {:.2} | {} | {:.0} | {own:.0} | {servers:.0} |",
                run.drain.as_secs_f64(),
                run.median(),
                run.worst(),
                run.concurrency,
                run.per_minute(),
            )?;
        }
        Ok(())
    }
}

/// Moves people with each time to drain. Everybody has to be on both sides, and nobody moved.
pub(crate) async fn measure(bed: &Bed) -> Result<Moves> {
    let people: i64 = sqlx::query_scalar("SELECT count(*) FROM biograph_bridge.link").fetch_one(&bed.pool).await?;
    let mut runs = Vec::new();
    for (millis, concurrency) in DRAINS {
        let drain = Duration::from_millis(millis);
        progress(&format!("moves, {millis} ms to drain"));
        let daemon = bed.run_bridge(&[("BRIDGE_CUTOVER_DRAIN", &format!("{millis}ms"))])?;
        daemon.until(|status| status["state"] == "streaming").await?;
        daemon.until_idle().await?;
        let mut alone = one_by_one(bed, drain).await?;
        alone.sort_by(f64::total_cmp);
        let start = bed.measure(Some(&daemon))?;
        let took = together(bed, concurrency).await?;
        let together = start.ended(took, u64::from(TOGETHER), bed, Some(&daemon))?;
        daemon.stop().await?;
        runs.push(Run { drain, concurrency, alone, together });
    }
    Ok(Moves { people: json!(people), runs })
}

/// Seconds beyond the time to drain.
async fn one_by_one(bed: &Bed, drain: Duration) -> Result<Vec<f64>> {
    let unmoved = "SELECT legacy_id FROM biograph_bridge.link l WHERE NOT EXISTS \
        (SELECT FROM biograph_bridge.cutover c WHERE c.legacy_id = l.legacy_id) ORDER BY md5(legacy_id) LIMIT $1";
    let people: Vec<String> = sqlx::query_scalar(unmoved).bind(i64::try_from(ALONE)?).fetch_all(&bed.pool).await?;
    let mut times = Vec::new();
    for person in people {
        moved(bed, &["start", &format!("legacy:{person}")])?;
        let took: f64 = sqlx::query_scalar(TOOK).bind(&person).fetch_one(&bed.pool).await?;
        times.push(took - drain.as_secs_f64());
    }
    Ok(times)
}

/// How long it took from the first to the last of them.
async fn together(bed: &Bed, concurrency: u32) -> Result<Duration> {
    let (limit, concurrency) = (TOGETHER.to_string(), concurrency.to_string());
    moved(bed, &["batch", "--percent", "100", "--limit", &limit, "--concurrency", &concurrency])?;
    let batch = "SELECT extract(epoch FROM ended_at - begun_at)::float8, \
        (SELECT count(*) FROM biograph_bridge.cutover_member m WHERE m.batch = b.id AND outcome = 'moved') \
        FROM biograph_bridge.cutover_batch b ORDER BY id DESC LIMIT 1";
    let (seconds, moved): (f64, i64) = sqlx::query_as(batch).fetch_one(&bed.pool).await?;
    if moved != i64::from(TOGETHER) {
        return Err(format!("only {moved} of {TOGETHER} people were moved").into());
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// Runs `cutover …` to its end.
fn moved(bed: &Bed, arguments: &[&str]) -> Result<()> {
    let output = bed.command(&[&["cutover"], arguments, &["--json"]].concat()).stdout(Stdio::piped()).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("cutover {arguments:?}: {}", String::from_utf8_lossy(&output.stdout)).into())
}
