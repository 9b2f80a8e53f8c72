//! Every metric, its labels and its buckets. The only file that names `prometheus`.

use std::time::Duration;

use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder, core::Collector,
};

use crate::model::{
    fact::{DaemonState, PersonState, PositionLoss, Reconciled, RetryClass, SlotRoom, SlotState, SweepKind},
    key::EntityIndex,
    mapping::Entity,
    policy::Policy,
    problem::Reason,
    side::{Direction, Side},
};

/// The media type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Before every name.
const PREFIX: &str = "biograph_bridge";
/// The `field` of a conflict over the whole record.
const WHOLE_RECORD: &str = "*";
/// The `winner` of a conflict that waits for a person.
const NO_WINNER: &str = "none";
/// Commit to durable, in seconds.
const LATENCY: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];
/// From leaving a heartbeat until it has come through, in seconds.
const HEARTBEAT: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
/// Duration of a batch, in seconds.
const CUTOVER_SECONDS: &[f64] = &[0.5, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 30.0, 60.0, 120.0];
const BATCH_SECONDS: &[f64] = &[0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Records in a batch.
const BATCH_RECORDS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0];

/// The names an entity contributes to labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityLabels {
    /// The entity's name.
    pub name: String,
    /// Its fields and what decides their conflicts.
    pub fields: Vec<(String, Policy)>,
}

impl From<&Entity> for EntityLabels {
    fn from(entity: &Entity) -> Self {
        let fields = entity.fields.iter().map(|field| (field.name.clone(), field.policy)).collect();
        Self { name: entity.name.clone(), fields }
    }
}

/// The metrics of one daemon, in a registry of their own.
pub struct Metrics {
    registry: Registry,
    entities: Vec<EntityLabels>,
    sync_lag: GaugeVec,
    sync_latency: HistogramVec,
    heartbeat: HistogramVec,
    clock_skew: GaugeVec,
    hints: Vec<[IntCounter; 2]>,
    echoes: IntCounterVec,
    reconciled: IntCounterVec,
    conflicts: IntCounterVec,
    parked: IntGaugeVec,
    queue_keys: IntGauge,
    queue_bytes: IntGauge,
    checkpoint_age: GaugeVec,
    batch_duration: HistogramVec,
    batch_records: HistogramVec,
    retries: IntCounterVec,
    reconnects: IntCounterVec,
    healings: IntCounterVec,
    slot_retained: GaugeVec,
    slot_safe: GaugeVec,
    slot_left: GaugeVec,
    slot_status: IntGaugeVec,
    slot_active: GaugeVec,
    oplog_window: GaugeVec,
    oplog_left: GaugeVec,
    sweep_records: IntCounterVec,
    sweep_progress: GaugeVec,
    verify_differences: IntGaugeVec,
    people: IntGaugeVec,
    cutover_duration: HistogramVec,
    state: IntGaugeVec,
}

impl Metrics {
    /// Registers every metric; counters exist at 0 for every label that can occur.
    pub fn new(entities: Vec<EntityLabels>) -> Self {
        let registry = Registry::new();
        let r = Register(&registry);
        let hints = r.counters("hints_total", "Changes received, by side and entity.", &["side", "entity"]);
        let build = r.gauge_vec("build_info", "Always 1; the version that runs.", &["version"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let metrics = Self {
            hints: entities.iter().map(|e| Side::ALL.map(|s| hints.with_label_values(&[s.as_str(), &e.name]))).collect(),
            sync_lag: r.optional("sync_lag_seconds", "Age of the oldest change committed at the source and not yet durable at the other side; 0 when caught up, absent when unknown.", &["direction"]),
            sync_latency: r.histogram("sync_latency_seconds", "From the commit of a change to its durability at the other side.", LATENCY),
            heartbeat: r.histogram("heartbeat_roundtrip_seconds", "From leaving a heartbeat in the source's log until everything before it is durable at the other side, on the bridge's clock.", HEARTBEAT),
            clock_skew: r.optional("clock_skew_seconds", "How far the side's clock is ahead of the bridge's (negative: behind); absent until it was asked.", &["side"]),
            echoes: r.counters("echoes_total", "The bridge's own writes that came back and were dropped.", &["side"]),
            reconciled: r.counters("reconciled_total", "Records reconciled, by what it led to.", &["entity", "outcome"]),
            conflicts: r.counters("conflicts_total", "Fields that both sides changed to different values (`*`: the whole record).", &["entity", "field", "policy", "winner"]),
            parked: r.gauge_vec("parked", "Records and fields that cannot be synced now, by reason.", &["entity", "reason"]),
            queue_keys: r.gauge("queue_keys", "Keys waiting to be reconciled."),
            queue_bytes: r.gauge("queue_bytes", "Memory held by waiting keys."),
            checkpoint_age: r.optional("checkpoint_age_seconds", "Time since the side's position was last saved; absent until it was.", &["side"]),
            batch_duration: r.histogram("batch_duration_seconds", "Duration of one reconciled batch.", BATCH_SECONDS),
            batch_records: r.histogram("batch_records", "Records in one reconciled batch.", BATCH_RECORDS),
            retries: r.counters("retries_total", "Attempts that are made again, by side and cause.", &["side", "class"]),
            reconnects: r.counters("reconnects_total", "Connections made again after one was lost.", &["side"]),
            healings: r.counters("healings_total", "Positions that were lost and healed by a sweep, by side and cause.", &["side", "cause"]),
            slot_retained: r.optional("slot_retained_bytes", "WAL that Postgres keeps for the bridge; absent when unknown.", &[]),
            slot_safe: r.optional("slot_safe_bytes", "WAL that can still be written before the slot is lost; absent when unlimited or unknown.", &[]),
            slot_left: r.optional("slot_exhaustion_seconds", "Time until the slot is lost at the rate of the last minutes; absent while nothing shrinks, or when unlimited or unknown.", &[]),
            slot_status: r.gauge_vec("slot_status", "1 for what Postgres says of the slot's log (wal_status), 0 for the others; absent when unknown.", &["status"]),
            slot_active: r.optional("slot_active", "1 while a connection reads from the slot, else 0; absent when unknown.", &[]),
            oplog_left: r.optional("oplog_exhaustion_seconds", "Time until the bridge's position leaves the oplog if it does not move, as if an oplog that was never full were; absent when unknown.", &[]),
            oplog_window: r.optional("oplog_window_seconds", "Time span of the MongoDB oplog; absent when unknown.", &[]),
            sweep_records: r.counters("sweep_records_total", "Records walked by sweeps.", &["entity", "kind"]),
            sweep_progress: r.optional("sweep_progress_ratio", "How much of a sweep is done, 0 to 1; absent if none ran.", &["entity", "kind"]),
            verify_differences: r.gauge_vec("verify_differences", "Records that differed, and were not repaired, when the entity was last compared completely; absent until it was.", &["entity"]),
            people: r.gauge_vec("people", "People by where they are between the systems.", &["state"]),
            cutover_duration: r.histogram_of("cutover_duration_seconds", "How long the writes of a person were held who moved, from the fence to the flip.", CUTOVER_SECONDS, &[]),
            state: r.gauge_vec("state", "1 for what the daemon is doing, 0 for the others.", &["state"]),
            registry: registry.clone(),
            entities,
        };
        metrics.create_at_zero();
        metrics
    }

    /// The text format 0.0.4.
    pub fn render(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).expect("an encoder into memory does not fail")
    }

    /// The names of the entities, in mapping order.
    pub fn entities(&self) -> impl Iterator<Item = &str> {
        self.entities.iter().map(|entity| entity.name.as_str())
    }

    /// `sync_lag_seconds`; `None` makes it absent.
    pub fn lag(&self, direction: Direction, seconds: Option<f64>) {
        present(&self.sync_lag, &[direction.as_str()], seconds);
    }

    /// `sync_latency_seconds`.
    pub fn latency(&self, direction: Direction, seconds: f64) {
        self.sync_latency.with_label_values(&[direction.as_str()]).observe(seconds);
    }

    /// `heartbeat_roundtrip_seconds`.
    pub fn heartbeat(&self, direction: Direction, took: Duration) {
        self.heartbeat.with_label_values(&[direction.as_str()]).observe(took.as_secs_f64());
    }

    /// `clock_skew_seconds`.
    pub fn clock_skew(&self, side: Side, seconds: f64) {
        present(&self.clock_skew, &[side.as_str()], Some(seconds));
    }

    /// `hints_total`.
    pub fn hint(&self, side: Side, entity: EntityIndex) {
        if let Some(counters) = self.hints.get(usize::from(entity.0)) {
            let [legacy, renaissance] = counters;
            match side {
                Side::Legacy => legacy.inc(),
                Side::Renaissance => renaissance.inc(),
            }
        }
    }

    /// `echoes_total`.
    pub fn echoes(&self, side: Side, count: u64) {
        self.echoes.with_label_values(&[side.as_str()]).inc_by(count);
    }

    /// `reconciled_total`.
    pub fn reconciled(&self, entity: EntityIndex, outcome: Reconciled, count: u64) {
        self.reconciled.with_label_values(&[self.name(entity), outcome.as_str()]).inc_by(count);
    }

    /// `conflicts_total`; no field means the whole record, no winner that it waits for a person.
    pub fn conflict(&self, entity: EntityIndex, field: Option<&str>, policy: &str, winner: Option<Side>) {
        let winner = winner.map_or(NO_WINNER, Side::as_str);
        self.conflicts.with_label_values(&[self.name(entity), field.unwrap_or(WHOLE_RECORD), policy, winner]).inc();
    }

    /// `parked`.
    pub fn parked(&self, entity: EntityIndex, reason: Reason, count: i64) {
        self.parked.with_label_values(&[self.name(entity), reason.as_str()]).set(count);
    }

    /// `queue_keys` and `queue_bytes`.
    pub fn queue(&self, keys: usize, bytes: usize) {
        self.queue_keys.set(i64::try_from(keys).unwrap_or(i64::MAX));
        self.queue_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// `checkpoint_age_seconds`.
    pub fn checkpoint_age(&self, side: Side, age: Option<Duration>) {
        present(&self.checkpoint_age, &[side.as_str()], age.map(|age| age.as_secs_f64()));
    }

    /// `batch_duration_seconds` and `batch_records`.
    pub fn batch(&self, direction: Direction, records: usize, duration: Duration) {
        let records = u32::try_from(records).unwrap_or(u32::MAX);
        self.batch_duration.with_label_values(&[direction.as_str()]).observe(duration.as_secs_f64());
        self.batch_records.with_label_values(&[direction.as_str()]).observe(f64::from(records));
    }

    /// `retries_total`.
    pub fn retry(&self, side: Side, class: RetryClass) {
        self.retries.with_label_values(&[side.as_str(), class.as_str()]).inc();
    }

    /// `reconnects_total`.
    pub fn reconnect(&self, side: Side) {
        self.reconnects.with_label_values(&[side.as_str()]).inc();
    }

    /// `healings_total`.
    pub fn healing(&self, side: Side, cause: PositionLoss) {
        self.healings.with_label_values(&[side.as_str(), cause.as_str()]).inc();
    }

    /// `slot_retained_bytes`, `slot_safe_bytes`, `slot_status` (one-hot) and `slot_active`.
    pub fn slot(&self, slot: SlotRoom) {
        present(&self.slot_retained, &[], slot.retained_bytes);
        present(&self.slot_safe, &[], slot.safe_bytes);
        present(&self.slot_active, &[], slot.is_read.map(|read| f64::from(u8::from(read))));
        match slot.state {
            None => self.slot_status.reset(),
            Some(current) => SlotState::ALL.iter().for_each(|state| {
                self.slot_status.with_label_values(&[state.as_str()]).set(i64::from(*state == current));
            }),
        }
    }

    /// `slot_exhaustion_seconds` and `oplog_exhaustion_seconds`.
    pub fn exhaustion(&self, slot: Option<f64>, oplog: Option<f64>) {
        present(&self.slot_left, &[], slot);
        present(&self.oplog_left, &[], oplog);
    }

    /// `oplog_window_seconds`.
    pub fn oplog_window(&self, window: Option<Duration>) {
        present(&self.oplog_window, &[], window.map(|window| window.as_secs_f64()));
    }

    /// `sweep_records_total` and `sweep_progress_ratio`.
    pub fn swept(&self, entity: EntityIndex, kind: SweepKind, chunk: u64, progress: Option<f64>) {
        let labels = [self.name(entity), kind.as_str()];
        self.sweep_records.with_label_values(&labels).inc_by(chunk);
        present(&self.sweep_progress, &labels, progress);
    }

    /// `verify_differences`.
    pub fn verify_differences(&self, entity: EntityIndex, count: i64) {
        self.verify_differences.with_label_values(&[self.name(entity)]).set(count);
    }

    /// `people`.
    pub fn people(&self, state: PersonState, count: i64) {
        self.people.with_label_values(&[state.as_str()]).set(count);
    }

    /// What only the active daemon knows becomes absent: another one shows it from now on.
    pub fn stand_by(&self) {
        self.people.reset();
        self.verify_differences.reset();
        self.sweep_progress.reset();
        self.slot(SlotRoom::default());
        self.exhaustion(None, None);
        self.oplog_window(None);
        self.queue(0, 0);
    }

    /// `cutover_duration_seconds`.
    pub fn moved(&self, took: Duration) {
        self.cutover_duration.with_label_values::<&str>(&[]).observe(took.as_secs_f64());
    }

    /// `state`, one-hot.
    pub fn state(&self, current: DaemonState) {
        for state in DaemonState::ALL {
            self.state.with_label_values(&[state.as_str()]).set(i64::from(*state == current));
        }
    }

    fn name(&self, entity: EntityIndex) -> &str {
        self.entities.get(usize::from(entity.0)).map_or("unknown", |entity| entity.name.as_str())
    }

    fn create_at_zero(&self) {
        self.cutover_duration.with_label_values::<&str>(&[]);
        for direction in Direction::ALL.map(Direction::as_str) {
            self.sync_latency.with_label_values(&[direction]);
            self.heartbeat.with_label_values(&[direction]);
            self.batch_duration.with_label_values(&[direction]);
            self.batch_records.with_label_values(&[direction]);
        }
        for side in Side::ALL.map(Side::as_str) {
            self.echoes.with_label_values(&[side]);
            self.reconnects.with_label_values(&[side]);
            for cause in PositionLoss::ALL {
                self.healings.with_label_values(&[side, cause.as_str()]);
            }
            for class in RetryClass::ALL {
                self.retries.with_label_values(&[side, class.as_str()]);
            }
        }
        for entity in &self.entities {
            self.create_entity_at_zero(entity);
        }
        for state in PersonState::ALL {
            self.people.with_label_values(&[state.as_str()]);
        }
        self.state(DaemonState::Starting);
    }

    fn create_entity_at_zero(&self, entity: &EntityLabels) {
        let name = entity.name.as_str();
        for outcome in Reconciled::ALL {
            self.reconciled.with_label_values(&[name, outcome.as_str()]);
        }
        for reason in Reason::ALL {
            self.parked.with_label_values(&[name, reason.as_str()]);
        }
        for kind in SweepKind::ALL {
            self.sweep_records.with_label_values(&[name, kind.as_str()]);
        }
        let whole = (WHOLE_RECORD, Policy::Owner);
        for (field, policy) in entity.fields.iter().map(|(field, policy)| (field.as_str(), *policy)).chain([whole]) {
            for winner in winners(policy) {
                self.conflicts.with_label_values(&[name, field, policy.as_str(), winner]);
            }
        }
    }
}

/// Who can win under a policy.
fn winners(policy: Policy) -> &'static [&'static str] {
    match policy {
        Policy::Owner | Policy::Latest | Policy::Sum => &["legacy", "renaissance"],
        Policy::Legacy => &["legacy"],
        Policy::Renaissance => &["renaissance"],
        Policy::Park => &[NO_WINNER],
        Policy::Max | Policy::Min | Policy::Union => &[], // these combine both sides: never a conflict
    }
}

/// Sets a gauge, or makes it absent.
fn present(gauge: &GaugeVec, labels: &[&str], value: Option<f64>) {
    match value {
        Some(value) => gauge.with_label_values(labels).set(value),
        // An error only says that it was absent already.
        None => drop(gauge.remove_label_values(labels)),
    }
}

/// Registration: names are constants, so a refusal is a bug that the tests below find.
struct Register<'a>(&'a Registry);

impl Register<'_> {
    fn opts(name: &str, help: &str) -> Opts {
        Opts::new(name, help).namespace(PREFIX)
    }

    fn add<C: Collector + Clone + 'static>(&self, collector: prometheus::Result<C>) -> C {
        let collector = collector.expect("metric names and labels are valid");
        self.0.register(Box::new(collector.clone())).expect("metric names are distinct");
        collector
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.add(IntCounterVec::new(Self::opts(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.add(IntGauge::with_opts(Self::opts(name, help)))
    }

    fn gauge_vec(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.add(IntGaugeVec::new(Self::opts(name, help), labels))
    }

    /// A gauge that may be absent.
    fn optional(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.add(GaugeVec::new(Self::opts(name, help), labels))
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> HistogramVec {
        self.histogram_of(name, help, buckets, &["direction"])
    }

    fn histogram_of(&self, name: &str, help: &str, buckets: &[f64], labels: &[&str]) -> HistogramVec {
        let opts = HistogramOpts::new(name, help).namespace(PREFIX).buckets(buckets.to_vec());
        self.add(HistogramVec::new(opts, labels))
    }
}

#[cfg(test)]
mod tests;
