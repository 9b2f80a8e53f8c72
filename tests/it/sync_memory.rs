//! Memory stays bounded whatever the size of records, batches and transactions.
//!
//! `BRIDGE_TEST_BATCH_BYTES=1000GiB` shows what it takes without a bound, `BRIDGE_TEST_BOOKS=256` makes it a transaction of 1 GiB.

use std::time::Instant;

use mongodb::bson::{Document, doc};

use crate::bed::{Bed, Daemon};

const BOOKS: &str = "authapp_booksmodel";
const MEBIBYTE: usize = 1 << 20;
/// What one book takes.
const EACH: usize = 4 * MEBIBYTE;
/// Books, usually: all of them are many times what a batch may take, and fewer than a batch may have.
const MANY: usize = 24;
/// What the daemon may take at most, in MiB: a few records, several times over while they are decoded, decided about and sent.
const MOST: u64 = 400;

impl Daemon {
    /// The most memory the process has had, in MiB.
    pub(crate) fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_many_megabytes_cross_both_ways_a_few_at_a_time() {
    let mut bed = Bed::roomy().await;
    let many: usize = std::env::var("BRIDGE_TEST_BOOKS").map_or(MANY, |many| many.parse().unwrap());
    let bound = std::env::var("BRIDGE_TEST_BATCH_BYTES").unwrap_or_else(|_| "16MiB".to_owned());
    bed.settings.push(("BRIDGE_BATCH_BYTES", bound));
    // however many there are, nobody is asked before they go
    bed.settings.push(("BRIDGE_DELETE_GUARD_SHARE", "1".to_owned()));
    bed.sql("ALTER TABLE books ALTER COLUMN synopsis TYPE text").await;
    let started = Instant::now();
    let owner = bed.insert_person("Ada", doc! {}).await;
    let books = bed.legacy.collection::<Document>(BOOKS);
    for number in 0..many {
        let book = doc! {
            "user_id": owner, "title": format!("Book {number}"), "synopsis": "x".repeat(EACH), "biographs": [],
            "is_published": true, "status_key": 1,
        };
        books.insert_one(book).await.unwrap();
    }
    let daemon = bed.start().await;
    bed.until_count("SELECT count(*) FROM books WHERE length(synopsis) = 4194304", many as i64).await;
    let first = daemon.peak();
    println!("copied {} MiB after {:.1?}: peak {first} MiB", many * EACH / MEBIBYTE, started.elapsed());

    // one transaction of as much
    bed.sql("UPDATE books SET synopsis = repeat('yy', 2097152)").await;
    let crossed = doc! { "synopsis": { "$regex": "^yy" } };
    bed.until("all of it is in legacy", async || books.count_documents(crossed.clone()).await.unwrap() == many as u64)
        .await;
    println!("crossed back after {:.1?}: peak {} MiB", started.elapsed(), daemon.peak());

    // each document is kept whole before it goes
    bed.sql("DELETE FROM books").await;
    bed.until("all of them go", async || books.count_documents(doc! {}).await.unwrap() == 0).await;
    assert_eq!(bed.count("SELECT count(*) FROM biograph_bridge.tombstone WHERE entity = 'book'").await, many as i64);
    let peak = daemon.peak();
    println!("deleted after {:.1?}: peak {peak} MiB", started.elapsed());
    assert!(peak < MOST, "{peak} MiB");
    assert_eq!(bed.parked().await, []);
    assert_eq!(daemon.stop().await, Some(0));
}
