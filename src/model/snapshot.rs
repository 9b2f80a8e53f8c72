//! Which Postgres transactions a snapshot sees: the freshness rule of the renaissance side.

use std::{fmt, str::FromStr};

/// A `pg_current_snapshot()`: everything below `xmin` is visible, nothing from `xmax` on, nor what is in progress.
/// Format: `xmin:xmax:xip,xip,…` with 64-bit ids (PostgreSQL documentation, "Transaction ID and Snapshot Information").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    xmin: u64,
    xmax: u64,
    in_progress: Vec<u64>,
}

/// The text was not a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotASnapshot;

impl fmt::Display for NotASnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a pg_snapshot")
    }
}

impl std::error::Error for NotASnapshot {}

impl Snapshot {
    /// Whether the committed transaction with this 32-bit id, as pgoutput reports it, is visible.
    pub fn sees(&self, xid: u32) -> bool {
        let full = self.widen(xid);
        full < self.xmax && (full < self.xmin || self.in_progress.binary_search(&full).is_err())
    }

    /// The 64-bit id nearest to `xmax` with these low bits: ids in use are never 2^31 apart.
    fn widen(&self, xid: u32) -> u64 {
        let low = u64::from(xid);
        let candidate = (self.xmax & !0xFFFF_FFFF) | low;
        if candidate > self.xmax + (1 << 31) {
            candidate.saturating_sub(1 << 32)
        } else if candidate + (1 << 31) < self.xmax {
            candidate + (1 << 32)
        } else {
            candidate
        }
    }
}

impl FromStr for Snapshot {
    type Err = NotASnapshot;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split(':');
        let mut number = || parts.next().and_then(|part| part.parse().ok()).ok_or(NotASnapshot);
        let (xmin, xmax) = (number()?, number()?);
        let list = parts.next().ok_or(NotASnapshot)?;
        let mut in_progress = list
            .split(',')
            .filter(|id| !id.is_empty())
            .map(|id| id.parse().map_err(|_| NotASnapshot))
            .collect::<Result<Vec<u64>, _>>()?;
        in_progress.sort_unstable();
        Ok(Self { xmin, xmax, in_progress })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_in_progress_is_not_seen() {
        let snapshot: Snapshot = "100:105:101,103".parse().unwrap();
        let seen: Vec<u32> = (99..107).filter(|xid| snapshot.sees(*xid)).collect();
        assert_eq!(seen, [99, 100, 102, 104]);
    }

    #[test]
    fn the_32_bit_id_is_widened_across_an_epoch() {
        let after_wrap: Snapshot = "4294967300:4294967310:".parse().unwrap();
        assert!(after_wrap.sees(u32::MAX), "committed before the wrap");
        assert!(after_wrap.sees(5));
        assert!(!after_wrap.sees(20));
        let before_wrap: Snapshot = "4294967290:4294967294:".parse().unwrap();
        assert!(!before_wrap.sees(3), "a transaction after the wrap is the future");
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "1", "1:2", "a:b:", "1:2:x"] {
            assert_eq!(text.parse::<Snapshot>(), Err(NotASnapshot), "{text}");
        }
    }
}
