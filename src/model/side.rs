//! The two systems and the two ways a change can travel.

use std::fmt;

/// One of the two systems: BioGraph on MongoDB or Renaissance on Postgres.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// BioGraph on MongoDB.
    Legacy,
    /// Renaissance on Postgres.
    Renaissance,
}

impl Side {
    /// Both sides, legacy first.
    pub const ALL: [Self; 2] = [Self::Legacy, Self::Renaissance];

    /// The other system.
    pub const fn other(self) -> Self {
        match self {
            Self::Legacy => Self::Renaissance,
            Self::Renaissance => Self::Legacy,
        }
    }

    /// The name used in tables, metrics and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Renaissance => "renaissance",
        }
    }

    /// The way a change made on this side travels.
    pub const fn outbound(self) -> Direction {
        match self {
            Self::Legacy => Direction::LegacyToRenaissance,
            Self::Renaissance => Direction::RenaissanceToLegacy,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The way a change travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// MongoDB → Postgres.
    LegacyToRenaissance,
    /// Postgres → MongoDB.
    RenaissanceToLegacy,
}

impl Direction {
    /// Both directions, legacy to renaissance first.
    pub const ALL: [Self; 2] = [Self::LegacyToRenaissance, Self::RenaissanceToLegacy];

    /// Where the change was made.
    pub const fn source(self) -> Side {
        match self {
            Self::LegacyToRenaissance => Side::Legacy,
            Self::RenaissanceToLegacy => Side::Renaissance,
        }
    }

    /// Where the change is written.
    pub const fn target(self) -> Side {
        self.source().other()
    }

    /// The label value of the `direction` metrics label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LegacyToRenaissance => "legacy_to_renaissance",
            Self::RenaissanceToLegacy => "renaissance_to_legacy",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
