//! What wins when both sides changed one field.

use std::cmp::Ordering;

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
    /// The value of the side whose record was updated last, by the times both records name; the owner's if they are equal
    /// or one of them is unknown.
    Latest,
    /// The greater value; combines both sides, so it is never a conflict (for bookkeeping such as update times).
    Max,
    /// The smaller value; combines both sides, so it is never a conflict.
    Min,
    /// Both, for sets: what either side added since they last agreed is in, what either side removed is out. Never a
    /// conflict.
    Union,
    /// For numbers: what they last agreed on and what either side added to it since. Never a conflict, unless they never
    /// agreed or one side took the number away: then the owner wins.
    Sum,
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
            Self::Latest => "latest",
            Self::Max => "max",
            Self::Min => "min",
            Self::Union => "union",
            Self::Sum => "sum",
            Self::Park => "park",
        }
    }

    /// The policy of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == name)
    }

    /// Every policy.
    pub const ALL: [Self; 9] = [
        Self::Owner,
        Self::Legacy,
        Self::Renaissance,
        Self::Latest,
        Self::Max,
        Self::Min,
        Self::Union,
        Self::Sum,
        Self::Park,
    ];

    /// The side that wins outright under this policy, if it is decided by side.
    pub const fn winner(self, owner: Side) -> Option<Side> {
        match self {
            // what has no later side or no sum is the owner's
            Self::Owner | Self::Latest | Self::Sum => Some(owner),
            Self::Legacy => Some(Side::Legacy),
            Self::Renaissance => Some(Side::Renaissance),
            Self::Max | Self::Min | Self::Union | Self::Park => None,
        }
    }

    /// The policy for a record whose sides (legacy, renaissance) were last updated at these times: `latest` becomes the later
    /// side, any other policy stays.
    pub fn at_times(self, times: [Option<i64>; 2]) -> Self {
        match (self, times) {
            (Self::Latest, [Some(legacy), Some(renaissance)]) => match legacy.cmp(&renaissance) {
                Ordering::Greater => Self::Legacy,
                Ordering::Less => Self::Renaissance,
                Ordering::Equal => Self::Owner,
            },
            (Self::Latest, _) => Self::Owner,
            (other, _) => other,
        }
    }
}
