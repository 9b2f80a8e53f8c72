//! What wins when both sides changed one field.

use super::side::Side;

/// The rule for a field that both sides moved away from base, to different values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Policy {
    /// The side that is authoritative for the person: legacy before cutover, renaissance after.
    #[default]
    Owner,
    /// Always the legacy value.
    Legacy,
    /// Always the renaissance value.
    Renaissance,
    /// The greater value; combines both sides, so it is never a conflict (for bookkeeping such as update times).
    Max,
    /// The smaller value; combines both sides, so it is never a conflict.
    Min,
    /// Both, for sets: what either side added since they last agreed is in, what either side removed is out. Never a
    /// conflict.
    Union,
    /// Neither: the field is parked until a person decides.
    Park,
}

impl Policy {
    /// The name in mapping files, the journal and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Legacy => "legacy",
            Self::Renaissance => "renaissance",
            Self::Max => "max",
            Self::Min => "min",
            Self::Union => "union",
            Self::Park => "park",
        }
    }

    /// The policy of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == name)
    }

    /// Every policy.
    pub const ALL: [Self; 7] =
        [Self::Owner, Self::Legacy, Self::Renaissance, Self::Max, Self::Min, Self::Union, Self::Park];

    /// The side that wins outright under this policy, if it is decided by side.
    pub const fn winner(self, owner: Side) -> Option<Side> {
        match self {
            Self::Owner => Some(owner),
            Self::Legacy => Some(Side::Legacy),
            Self::Renaissance => Some(Side::Renaissance),
            Self::Max | Self::Min | Self::Union | Self::Park => None,
        }
    }
}
