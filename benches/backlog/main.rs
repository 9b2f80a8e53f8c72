//! `cargo bench`: how fast the bridge is, beside the raw cost of the same reads and writes, in one run on real servers.
//!
//! Everything it reports was measured on this machine a moment ago; only the ratios mean anything elsewhere.

mod backlog;
mod bed;
mod changes;
mod first_copy;
mod growth;
mod latency;
mod limits;
mod moves;
mod open_loop;
mod process;
mod raw;
mod report;
mod route;
mod scrape;
mod steady;
mod verify;

use std::{io::Write, time::Duration};

use biograph_bridge::model::side::Direction;
use clap::Parser;
use serde_json::json;

use bed::Bed;
use changes::Person;
use report::{Report, Row};

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// Records per batch, of the bridge (its default) and of the raw runs alike.
const BATCH: usize = 1000;
/// People unless somebody says otherwise.
const PEOPLE: u32 = 50_000;

/// Measures the bridge against the raw cost of the same reads and writes
#[derive(Parser)]
struct Options {
    /// Measure only this
    only: Option<Part>,
    /// People in sync, and changes in a backlog [default: 50000]
    #[arg(long)]
    people: Option<u32>,
    /// A tenth of everything: 5000 people
    #[arg(long, env = "BENCH_SHORT")]
    short: bool,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
    /// How often each backlog is measured; the median is reported
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// Single changes per direction for the latency
    #[arg(long, default_value_t = 300)]
    samples: usize,
    /// Changes per second of both sides together, for the latency at a fixed rate
    #[arg(long, value_delimiter = ',', default_values_t = [200, 1000])]
    rates: Vec<u32>,
    /// How long each rate is kept up, in seconds
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Appended by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

/// What can be measured by itself.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The first copy of everybody
    FirstCopy,
    /// Catching up from a backlog, in each direction and in both at once
    Backlog,
    /// A steady load on both sides, with and without journal, intents and fencing
    Steady,
    /// The latency of changes that are made on both sides at a fixed rate
    OpenLoop,
    /// Moving people to Renaissance: one by one, and 1,000 together
    Moves,
    /// Comparing everybody
    Verify,
    /// What a change costs among 10,000 people and among many: 200,000 unless --people says otherwise
    Growth,
    /// What metrics, page and probes cost while changes cross
    Scrape,
    /// Asking where people are; needs no servers, and knows 1,000,000 people unless --people says otherwise
    Route,
}

fn main() -> Result<()> {
    let mut options = Options::parse();
    if options.short {
        options.people = Some(5000);
        options.samples = options.samples.min(100);
        options.seconds = options.seconds.min(5);
    }
    options.repeat = options.repeat.max(1);
    if options.only == Some(Part::Route) {
        return print(&options, &lookups(&options)?);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match options.only {
        Some(Part::Moves) => print(&options, &runtime.block_on(moved(&options))?),
        Some(Part::Scrape) => print(&options, &runtime.block_on(scraped(&options))?),
        Some(Part::Growth) => print(&options, &runtime.block_on(grown(&options))?),
        None => {
            // first, as what others have given back would hide what memory it takes
            let lookups = lookups(&options)?;
            let (report, moves, scrapes) = runtime.block_on(everything(&options))?;
            let others: [(_, Box<dyn Measured>); 3] =
                [("moves", Box::new(moves)), ("scrape", Box::new(scrapes)), ("route", Box::new(lookups))];
            print(&options, &Everything { report, others })
        }
        Some(_) => print(&options, &runtime.block_on(measure(&options))?),
    }
}

/// Prints what was measured as asked for.
fn print(options: &Options, measured: &impl Measured) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if options.json {
        writeln!(out, "{:#}", measured.to_json())?
    } else {
        write!(out, "{measured}")?
    }
    Ok(())
}

/// What can be shown as a table and as JSON.
trait Measured: std::fmt::Display {
    fn to_json(&self) -> serde_json::Value;
}

/// All parts of a run.
struct Everything {
    report: Report,
    others: [(&'static str, Box<dyn Measured>); 3],
}

impl Measured for Everything {
    fn to_json(&self) -> serde_json::Value {
        let mut json = self.report.to_json();
        self.others.iter().for_each(|(name, part)| json[*name] = part.to_json());
        json
    }
}

impl std::fmt::Display for Everything {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.report)?;
        self.others.iter().try_for_each(|(name, part)| write!(f, "\n{name}: {part}"))
    }
}

/// All parts but the lookups, which need no servers.
async fn everything(options: &Options) -> Result<(Report, moves::Moves, scrape::Scrapes)> {
    let mut report = measure(options).await?;
    growth::measure(options.many(), options.repeat, &mut report).await?;
    Ok((report, moved(options).await?, scraped(options).await?))
}

impl Options {
    /// People among whom few change.
    fn many(&self) -> u32 {
        match self.only {
            Some(Part::Growth) => self.people.unwrap_or(4 * PEOPLE),
            _ => self.people.unwrap_or(PEOPLE).saturating_mul(4),
        }
    }
}

fn lookups(options: &Options) -> Result<route::Lookups> {
    let alone = options.only == Some(Part::Route);
    let people = if options.short { 100_000 } else { options.people.filter(|_| alone).unwrap_or(1_000_000) };
    route::measure(people)
}

async fn grown(options: &Options) -> Result<Report> {
    let mut report = Report::new(json!({
        "people": options.many(), "repeat": options.repeat, "batch": BATCH, "servers": "as the bench starts them",
        "settings": bed::SETTINGS,
    }));
    growth::measure(options.many(), options.repeat, &mut report).await?;
    Ok(report)
}

async fn moved(options: &Options) -> Result<moves::Moves> {
    let most = if options.only.is_none() { moves::PEOPLE } else { u32::MAX };
    let mut bed = Bed::start(options.people.unwrap_or(moves::PEOPLE).min(most)).await?;
    steady::prepare(&mut bed).await?;
    moves::measure(&bed).await
}

async fn scraped(options: &Options) -> Result<scrape::Scrapes> {
    let mut bed = Bed::start(options.people.unwrap_or(PEOPLE)).await?;
    steady::prepare(&mut bed).await?;
    let people = changes::load(&bed.pool).await?;
    scrape::measure(&bed, &people, options.repeat, Duration::from_secs(options.seconds)).await
}

async fn measure(options: &Options) -> Result<Report> {
    let everybody = options.people.unwrap_or(PEOPLE);
    let mut bed = Bed::start(everybody).await?;
    let mut report = Report::new(json!({
        "people": everybody, "repeat": options.repeat, "batch": BATCH, "servers": bed.versions().await?,
        "settings": bed::SETTINGS,
    }));
    if options.only == Some(Part::Steady) {
        steady::prepare(&mut bed).await?;
        let mut people = changes::load(&bed.pool).await?;
        steady::measure(&bed, &mut people, options.repeat, &mut report).await?;
        return Ok(report);
    }
    if options.only == Some(Part::OpenLoop) {
        steady::prepare(&mut bed).await?;
        let people = changes::load(&bed.pool).await?;
        let lasting = Duration::from_secs(options.seconds);
        report.latency = open_loop::measure(&bed, &people, &options.rates, lasting).await?;
        return Ok(report);
    }
    if options.only == Some(Part::Backlog) {
        steady::prepare(&mut bed).await?;
        let mut people = changes::load(&bed.pool).await?;
        let bridge = backlog::of_bridge(&bed, &mut people, options.repeat).await?;
        backlog::beside_raw(&bed, &mut people, bridge, options.repeat, &mut report).await?;
        return Ok(report);
    }
    if options.only == Some(Part::Verify) {
        steady::prepare(&mut bed).await?;
        let runs = verify::measure(&bed, options.repeat).await?;
        report.row("verify", &runs.bridge, &runs.raw);
        return Ok(report);
    }
    let copies = first_copy::measure(&mut bed, everybody, options.repeat, true).await?;
    report.row("first copy, friends and subscribers too", &copies.bridge, &copies.raw);
    let copies = first_copy::measure(&mut bed, everybody, options.repeat, false).await?;
    report.row("first copy", &copies.bridge, &copies.raw);
    report.beside("first copy, beside a plain consumer: read, multi-row upsert", &copies.bridge, &copies.consumer);
    report.beside("first copy, beside a script that writes one person after the other", &copies.bridge, &copies.script);
    if options.only == Some(Part::FirstCopy) {
        return Ok(report);
    }

    let runs = verify::measure(&bed, options.repeat).await?;
    report.row("verify", &runs.bridge, &runs.raw);
    let mut people = changes::load(&bed.pool).await?;
    steady::measure(&bed, &mut people, options.repeat, &mut report).await?;
    let bridge = backlog::of_bridge(&bed, &mut people, options.repeat).await?;
    progress("latency of single changes");
    report.latency = latency::measure(&bed, &people, options.samples).await?;
    let lasting = Duration::from_secs(options.seconds);
    report.latency.extend(open_loop::measure(&bed, &people, &options.rates, lasting).await?);
    progress("memory");
    report.memory = memory(&bed, &mut people, &bridge.caught_up).await?;
    backlog::beside_raw(&bed, &mut people, bridge, options.repeat, &mut report).await?;
    Ok(report)
}

/// Peak memory against the length of the backlog: a tenth, all people, four changes per person.
async fn memory(bed: &Bed, people: &mut [Person], measured: &[Vec<Row>; 2]) -> Result<Vec<(Direction, usize, u64)>> {
    let mut peaks = Vec::new();
    for (direction, rows) in Direction::ALL.into_iter().zip(measured) {
        let small = backlog::catch_up(bed, direction, people, 0.1).await?;
        peaks.push((direction, people.len() / 10, small.peak_bytes));
        let peak = rows.iter().map(|row| row.peak_bytes).max().unwrap_or(0);
        peaks.push((direction, people.len(), peak));
        let large = backlog::catch_up(bed, direction, people, 4.0).await?;
        peaks.push((direction, people.len() * 4, large.peak_bytes));
    }
    Ok(peaks)
}

fn progress(what: &str) {
    // nobody may be reading stderr
    drop(writeln!(std::io::stderr(), "… {what}"));
}
