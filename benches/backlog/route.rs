//! Lookups of people: from memory alone, and over HTTP with one thread that serves, beside an answer that looks nothing up.

use std::{
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use biograph_bridge::{
    admin::Admin,
    config::Secret,
    metrics::EntityLabels,
    model::{
        cutover::CutoverRow,
        directory::Known,
        key::{EntityIndex, LegacyId, SideId},
        mapping::{Entity, parse},
        side::Side,
        value::Value,
    },
    sync::{
        directory::{Answer, Question},
        status::Status,
    },
};
use serde_json::{Value as Json, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

use crate::{Measured, Result, process, progress};

/// Who ask at once, each on a connection of their own that stays open.
const CLIENTS: u32 = 16;
/// For how long each question is asked.
const TIME: Duration = Duration::from_secs(5);
/// Lookups without HTTP.
const ALONE: u32 = 1_000_000;

/// Answers in a while.
struct Answers {
    /// Their times, sorted.
    times: Vec<Duration>,
    seconds: f64,
}

/// What was measured.
pub(crate) struct Lookups {
    people: u32,
    bytes: u64,
    alone: f64,
    phone: Answers,
    bare: Answers,
}

#[expect(clippy::cast_precision_loss, reason = "shown with few digits")]
impl Answers {
    fn per_second(&self) -> f64 {
        self.times.len() as f64 / self.seconds
    }

    fn millis(&self, percent: usize) -> f64 {
        let at = (self.times.len() * percent / 100).min(self.times.len().saturating_sub(1));
        self.times.get(at).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
    }

    fn to_json(&self) -> Json {
        json!({ "per_second": self.per_second(), "p50_ms": self.millis(50), "p99_ms": self.millis(99) })
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with few digits")]
impl Measured for Lookups {
    fn to_json(&self) -> Json {
        json!({
            "people": self.people, "directory_bytes": self.bytes, "bytes_per_person": self.bytes as f64 / f64::from(self.people),
            "from_memory_per_second": self.alone, "route": self.phone.to_json(), "livez": self.bare.to_json(),
            "ratio": self.phone.per_second() / self.bare.per_second(), "clients": CLIENTS,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with few digits")]
impl fmt::Display for Lookups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} people known in {:.1} MiB\n", self.people, self.bytes as f64 / (1024.0 * 1024.0))?;
        writeln!(f, "| answers per second, one thread that serves | /s | p50 ms | p99 ms |\n|---|---:|---:|---:|")?;
        for (what, answers) in [("/api/route?phone=…", &self.phone), ("/livez", &self.bare)] {
            let (half, most) = (answers.millis(50), answers.millis(99));
            writeln!(f, "| {what} | {:.0} | {half:.2} | {most:.2} |", answers.per_second())?;
        }
        writeln!(f, "| from memory, without HTTP | {:.0} | | |", self.alone)
    }
}

/// Lets so many people be known, and asks for them.
pub(crate) fn measure(people: u32) -> Result<Lookups> {
    progress(&format!("{people} people"));
    let file = include_str!("../../mappings/user.toml");
    let entity = parse("user.toml", file).map_err(|_| "mappings/user.toml cannot be read")?;
    let before = process::memory(std::process::id())?;
    let status = Arc::new(known(entity, people));
    let bytes = process::memory(std::process::id())?.saturating_sub(before);
    progress("lookups from memory");
    let alone = alone(&status, people)?;
    let (address, cancel) = serve(Arc::clone(&status))?;
    let asking = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    progress("lookups over HTTP");
    let phone = asking.block_on(ask(address, people, |n| format!("/api/route?phone=%2B1{}", phone(n))))?;
    let bare = asking.block_on(ask(address, people, |_| "/livez".to_owned()))?;
    cancel.cancel();
    Ok(Lookups { people, bytes, alone, phone, bare })
}

fn phone(number: u32) -> u64 {
    2_015_550_000 + u64::from(number)
}

fn known(entity: Entity, count: u32) -> Status {
    let status = Status::new(vec![EntityLabels::from(&entity)]).knowing(&[entity]);
    status.directory().begin(1);
    status.directory().fill(|people| {
        for number in 0..count {
            let mut id = [7; 12];
            id[..4].copy_from_slice(&number.to_be_bytes());
            let names = [
                ("phone", format!("+1{}", phone(number))),
                ("email", format!("person.{number}@example.org")),
                ("username", format!("person{number}")),
            ];
            people.put(&Known {
                entity: EntityIndex(0),
                legacy: Some(LegacyId::new(id)),
                renaissance: Some(i64::from(number) + 1),
                names: names.map(|(word, text)| people.seal(word, &Value::Text(text.into()))).into(),
                ways: [0b01, 0b11],
                row: CutoverRow::UNMOVED,
            });
        }
    });
    status
}

/// Lookups per second by phone and by id in turns.
fn alone(status: &Status, people: u32) -> Result<f64> {
    let started = Instant::now();
    for number in 0..ALONE {
        let person = number.wrapping_mul(2_654_435_761) % people;
        let text = [format!("+1{}", phone(person))];
        let question = if number % 2 == 0 {
            Question::Name("phone", &text)
        } else {
            Question::Id(SideId::Renaissance(i64::from(person) + 1))
        };
        match status.directory().ask(question) {
            Answer::Here(row, _) if row.owner == Side::Legacy => {}
            other => return Err(format!("a person who is known was not found: {other:?}").into()),
        }
    }
    Ok(f64::from(ALONE) / started.elapsed().as_secs_f64())
}

/// Serves on a thread of its own.
fn serve(status: Arc<Status>) -> Result<(SocketAddr, CancellationToken)> {
    let (cancel, (tell, told)) = (CancellationToken::new(), std::sync::mpsc::channel());
    let stop = cancel.clone();
    let serving = async move {
        let admin = Admin::bind(SocketAddr::from(([127, 0, 0, 1], 0)), None::<Secret<String>>).await?;
        // who asked may have gone
        _ = tell.send(admin.address());
        admin.serve(status, stop).await
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || runtime.block_on(serving));
    Ok((told.recv()?, cancel))
}

/// Asks from all clients for [`TIME`].
async fn ask(address: SocketAddr, people: u32, path: impl Fn(u32) -> String) -> Result<Answers> {
    let started = Instant::now();
    let clients = (0..CLIENTS).map(|client| one_client(address, client, people, &path));
    let times = futures_util::future::try_join_all(clients).await?;
    let seconds = started.elapsed().as_secs_f64();
    let mut times = times.concat();
    times.sort_unstable();
    Ok(Answers { times, seconds })
}

async fn one_client(
    address: SocketAddr,
    client: u32,
    people: u32,
    path: impl Fn(u32) -> String,
) -> Result<Vec<Duration>> {
    let mut line = TcpStream::connect(address).await?;
    line.set_nodelay(true)?;
    let (started, mut times, mut number) = (Instant::now(), Vec::new(), client);
    let mut bytes = [0; 2048];
    while started.elapsed() < TIME {
        number = number.wrapping_mul(2_654_435_761).wrapping_add(12_345);
        let request = format!("GET {} HTTP/1.1\r\nhost: bench\r\n\r\n", path(number % people));
        let asked = Instant::now();
        line.write_all(request.as_bytes()).await?;
        let mut read = 0;
        // every answer is one JSON object without another in it
        while !bytes[..read].ends_with(b"}") {
            match line.read(&mut bytes[read..]).await? {
                0 => return Err("the server ended a connection".into()),
                count => read += count,
            }
        }
        times.push(asked.elapsed());
        if !bytes.starts_with(b"HTTP/1.1 200") {
            return Err("an answer is not 200".into());
        }
    }
    Ok(times)
}
