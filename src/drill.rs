//! Drills, for tests and benches only: dying at a named point, and doing without a mechanism to see what it is good for.
//!
//! The feature `drill` compiles them in. Builds of the program are without it: there, nothing here does anything or reads the
//! environment.

/// A mechanism that a drill can take out: a test of what it guards then has to fail, and a bench shows what it costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// The epoch that every write checks.
    Fence,
    /// What is about to be written to legacy, noted before, and the ledger that says whether it landed.
    Intents,
    /// Journal rows of conflicts.
    Journal,
    /// The last record of what is deleted.
    Tombstones,
    /// What both sides last agreed on.
    Base,
    /// Reads that are at least as new as what hinted at them.
    Freshness,
    /// Recognising the bridge's own writes.
    Echoes,
    /// The sweep after a lost position.
    HealSweep,
    /// The bounds of queue and batches in bytes.
    ByteBounds,
    /// The guard against many deletions at once.
    BurstGuard,
    /// The breaker of loops.
    LoopBreaker,
}

impl Mechanism {
    /// Every mechanism.
    pub const ALL: [Self; 11] = [
        Self::Fence,
        Self::Intents,
        Self::Journal,
        Self::Tombstones,
        Self::Base,
        Self::Freshness,
        Self::Echoes,
        Self::HealSweep,
        Self::ByteBounds,
        Self::BurstGuard,
        Self::LoopBreaker,
    ];

    /// Its name in `BRIDGE_WITHOUT`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fence => "fence",
            Self::Intents => "intents",
            Self::Journal => "journal",
            Self::Tombstones => "tombstones",
            Self::Base => "base",
            Self::Freshness => "freshness",
            Self::Echoes => "echoes",
            Self::HealSweep => "heal_sweep",
            Self::ByteBounds => "byte_bounds",
            Self::BurstGuard => "burst_guard",
            Self::LoopBreaker => "loop_breaker",
        }
    }
}

/// Whether this run does without a mechanism: `BRIDGE_WITHOUT` lists names, with commas between them.
#[cfg(feature = "drill")]
pub fn lacks(mechanism: Mechanism) -> bool {
    static WITHOUT: std::sync::LazyLock<Vec<String>> = std::sync::LazyLock::new(|| listed("BRIDGE_WITHOUT", ','));
    WITHOUT.iter().any(|name| name == mechanism.as_str())
}

/// Whether this run does without a mechanism: never.
#[cfg(not(feature = "drill"))]
#[inline]
pub const fn lacks(_: Mechanism) -> bool {
    false
}

/// Ends the process here, as `kill -9` would, if `BRIDGE_CRASH_AT` says so: `NAME`, or `NAME:N` for the N-th passing.
#[cfg(feature = "drill")]
pub fn crash_point(name: &str) {
    use std::sync::{LazyLock, atomic};

    static POINT: LazyLock<Vec<String>> = LazyLock::new(|| listed("BRIDGE_CRASH_AT", ':'));
    static PASSED: atomic::AtomicU64 = atomic::AtomicU64::new(0);

    if POINT.first().is_none_or(|point| point != name) {
        return;
    }
    let fatal = POINT.get(1).and_then(|number| number.parse().ok()).unwrap_or(1);
    if PASSED.fetch_add(1, atomic::Ordering::Relaxed) + 1 == fatal {
        tracing::warn!(name, "a drill ends the process here");
        std::process::abort();
    }
}

/// Ends the process here if a drill says so: never.
#[cfg(not(feature = "drill"))]
#[inline]
pub const fn crash_point(_: &str) {}

#[cfg(feature = "drill")]
fn listed(variable: &str, separator: char) -> Vec<String> {
    let value = std::env::var(variable).unwrap_or_default();
    value.split(separator).map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}
