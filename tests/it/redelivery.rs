//! The last minutes of both streams come once more, long after all of it was settled: nothing is written anywhere.

use biograph_bridge::model::side::Side;

use crate::{tally::Tallies, writes::Writes};

const SLOT: &str = "biograph_bridge";

/// Both positions, kept so that they can be had back.
struct Kept {
    positions: String,
}

impl Kept {
    async fn keep(tallies: &Tallies) -> Self {
        let positions = "SELECT string_agg(format('(%L, %L)', side, position), ', ') FROM biograph_bridge.checkpoint";
        tallies.toys.bed.sql(&format!("SELECT pg_copy_logical_replication_slot('{SLOT}', 'kept')")).await;
        Self { positions: tallies.toys.cell(positions).await }
    }

    async fn go_back(&self, tallies: &Tallies) {
        let bed = &tallies.toys.bed;
        bed.sql(&format!("SELECT pg_drop_replication_slot('{SLOT}')")).await;
        bed.sql(&format!("SELECT pg_copy_logical_replication_slot('kept', '{SLOT}')")).await;
        let set = "UPDATE biograph_bridge.checkpoint c SET position = v.position";
        bed.sql(&format!("{set} FROM (VALUES {}) v (side, position) WHERE v.side = c.side", self.positions)).await;
    }
}

/// How much is journalled, kept of deleted records, parked, and linked.
async fn state(tallies: &Tallies) -> String {
    let count = |table: &str| format!("(SELECT count(*) FROM biograph_bridge.{table})");
    let counts: Vec<String> = ["conflict", "tombstone", "parked", "intent", "link"].map(count).into();
    tallies.toys.cell(&format!("SELECT concat_ws(' ', {})", counts.join(", "))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_delivered_again_changes_nothing_and_a_loser_does_not_come_back() {
    let names = ["clash", "left", "right", "gone left", "gone right", "made again"];
    let (mut tallies, writes) = Tallies::new(names.map(str::to_owned)).await;
    let kept = Kept::keep(&tallies).await;

    // both sides edit one field of one record, before either has seen the other: legacy is the owner
    let (document, row) = tallies.ids["clash"];
    tallies.toys.set("tallies", document, "text", "winner").await;
    tallies.toys.bed.sql(&format!("UPDATE tallies SET text = 'loser', count = count + 7 WHERE id = {row}")).await;
    let clash = tallies.expected.get_mut("clash").unwrap();
    (clash.text, clash.count) = ("winner".to_owned(), clash.count + 7);
    tallies.delete(Side::Renaissance, "made again").await;
    let daemon = tallies.toys.bed.start().await;
    tallies.until_right("the first time").await;
    for side in Side::ALL {
        tallies.edit(side, "left", 3, "text").await;
        tallies.until_right("one side after the other").await;
        tallies.edit(side, "right", 5, "note").await;
        tallies.insert(side, &format!("new in {side}")).await;
    }
    tallies.delete(Side::Legacy, "gone left").await;
    tallies.delete(Side::Renaissance, "gone right").await;
    tallies.insert(Side::Renaissance, "made again").await;
    tallies.until_right("all of it").await;
    assert_eq!(daemon.stop().await, Some(0));
    let journal =
        "SELECT string_agg(concat_ws(' ', field, kind, winner, renaissance_value), ', ') FROM biograph_bridge.conflict";
    assert_eq!(tallies.toys.cell(journal).await, "text update_update legacy \"loser\"");
    let before = state(&tallies).await;
    writes.so_far(&tallies.toys.bed).await;

    let writes = Writes::from_now(&tallies.toys.bed, "tallies").await;
    kept.go_back(&tallies).await;
    let daemon = tallies.toys.bed.start().await;
    tallies.insert(Side::Legacy, "last in legacy").await;
    tallies.insert(Side::Renaissance, "last in renaissance").await;
    tallies.until_right("all of it, twice").await;
    tallies.toys.bed.until("all is dealt with", async || daemon.metric("queue_keys").await == Some(0.0)).await;
    for (side, least) in [("legacy", 6.0), ("renaissance", 8.0)] {
        let hints = daemon.metric_of("hints_total", &[side]).await.unwrap();
        assert!(hints >= least, "{side} was delivered again: {hints}");
    }
    assert_eq!(daemon.stop().await, Some(0));
    tallies.learn_ids().await;
    let (documents, rows) = writes.so_far(&tallies.toys.bed).await.records();
    let last = ["last in legacy", "last in renaissance"].map(|name| tallies.ids[name]);
    assert_eq!(documents, last.map(|(document, _)| document).into(), "nothing is written to legacy again");
    assert_eq!(rows, last.map(|(_, row)| row).into(), "nothing is written to renaissance again");
    let links =
        |state: &str| state.rsplit_once(' ').map(|(most, links)| (most.to_owned(), links.parse::<i32>().unwrap()));
    let (most, count) = links(&before).unwrap();
    assert_eq!(links(&state(&tallies).await), Some((most, count + 2)), "the journal as it was");
}
