//! What the daemon reports about itself: the closed sets behind metric labels and status words.

use std::fmt;

/// A word list: names, the complete list, display.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// Every word of the set.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word in metrics, status and messages.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// The word's place in [`Self::ALL`].
            pub const fn index(self) -> usize {
                self as usize
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// What the daemon is doing as a whole.
    DaemonState {
        /// Connecting, checking, settling what a former run left open.
        Starting = "starting",
        /// Sweeping what was never swept, while streaming.
        Backfilling = "backfilling",
        /// Following both logs.
        Streaming = "streaming",
        /// A position was lost: a new one is taken and a sweep runs.
        Healing = "healing",
        /// Stopped by a person or a guard.
        Paused = "paused",
        /// Another daemon is active; this one waits to take over.
        Standby = "standby",
    }
}

words! {
    /// What Postgres says of the log that the replication slot needs (`pg_replication_slots.wal_status`).
    SlotState {
        /// Within `max_wal_size`.
        Reserved = "reserved",
        /// Beyond it, and kept.
        Extended = "extended",
        /// May be removed at the next checkpoint.
        Unreserved = "unreserved",
        /// Removed: the slot is of no use any more.
        Lost = "lost",
    }
}

/// How much log Postgres keeps for the slot, and how the slot is; what is unknown is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SlotRoom {
    /// Kept because of it.
    pub retained_bytes: Option<f64>,
    /// What may still be written before it is lost; none without a limit. Below 0: beyond the limit, and not removed yet.
    pub safe_bytes: Option<f64>,
    /// What Postgres says of its log.
    pub state: Option<SlotState>,
    /// Whether a connection reads from it.
    pub is_read: Option<bool>,
}

words! {
    /// How far the connection to one side has come.
    Feed {
        /// No connection.
        Down = "down",
        /// Connected; the change stream is not open yet.
        Connected = "connected",
        /// Changes are being received.
        Streaming = "streaming",
    }
}

words! {
    /// What reconciling one record led to.
    Reconciled {
        /// Both sides were equal already.
        Unchanged = "unchanged",
        /// The legacy side was written.
        ToLegacy = "to_legacy",
        /// The renaissance side was written.
        ToRenaissance = "to_renaissance",
        /// Each side received fields of the other.
        Both = "both",
        /// The whole record was parked.
        Parked = "parked",
    }
}

words! {
    /// Why something is tried again.
    RetryClass {
        /// Any other failure.
        Error = "error",
        /// The way to the database broke.
        Connection = "connection",
        /// The server elects a primary, stops or starts.
        Election = "election",
        /// The server is short of connections, memory or time.
        Overload = "overload",
        /// The login was refused.
        Login = "login",
        /// Another transaction was in the way.
        Contention = "contention",
        /// A right is missing, the disk is full, the database is read-only: a person has to see to it.
        Blocked = "blocked",
        /// The record changed between read and write.
        LostRace = "lost_race",
        /// The hinted change was not visible yet.
        NotVisible = "not_visible",
    }
}

words! {
    /// Why something is paused.
    PauseCause {
        /// A person asked for it.
        Asked = "asked",
        /// A mapped collection or table was dropped.
        Dropped = "dropped",
        /// A mapped collection was renamed, or another one took its name.
        Renamed = "renamed",
        /// A mapped table was truncated.
        Truncated = "truncated",
        /// Too many records were deleted at once.
        Burst = "burst",
    }
}

words! {
    /// Why an entity's keys are walked.
    SweepKind {
        /// First contact.
        Backfill = "backfill",
        /// Filling sets of references once everything they may refer to has been met.
        References = "references",
        /// Comparing under live traffic.
        Verify = "verify",
        /// After a lost position.
        Heal = "heal",
        /// The same for sets of references, once everything they may refer to has been met.
        HealReferences = "heal_references",
        /// The same for links whose rows are gone: what was deleted on both sides.
        HealLinks = "heal_links",
    }
}

impl SweepKind {
    /// The kinds that make up the first copy of an entity, in order.
    pub const FIRST_COPY: [Self; 2] = [Self::Backfill, Self::References];
    /// The kinds that make up the sweep after a lost position.
    pub const HEALING: [Self; 3] = [Self::Heal, Self::HealReferences, Self::HealLinks];
}

words! {
    /// Why a saved position can no longer be resumed from. Networks, elections and logins never are a reason.
    PositionLoss {
        /// The oplog no longer reaches back to it.
        HistoryLost = "history_lost",
        /// The oplog has nothing at the place that the resume token names.
        TokenNotFound = "token_not_found",
        /// What is saved is no resume token of this server.
        TokenUnusable = "token_unusable",
        /// A shard that the change stream read from was removed.
        ShardRemoved = "shard_removed",
        /// There is no replication slot.
        SlotMissing = "slot_missing",
        /// The server has removed log that the slot still needed, or has given the slot up.
        SlotInvalidated = "slot_invalidated",
        /// The slot is ahead of the position: it was made anew, or another program has read from it.
        SlotAhead = "slot_ahead",
        /// The position is ahead of the server: it was put back to an earlier state.
        ServerBehind = "server_behind",
        /// The database was put back to an earlier state.
        Restored = "restored",
        /// A person has said that another database is the right one.
        Moved = "moved",
    }
}

words! {
    /// Where a person is between the two systems.
    PersonState {
        /// On the legacy system.
        Legacy = "legacy",
        /// Moving: both applications hold this person's writes.
        Draining = "draining",
        /// On the renaissance system.
        Renaissance = "renaissance",
    }
}

/// How far a direction is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lag {
    /// Not known: not connected, or nothing was received yet. Shown as absent, never as 0.
    #[default]
    Unknown,
    /// Everything the source had a moment ago is durable at the other side.
    CaughtUp,
    /// The oldest change that is not durable at the other side was committed then (microseconds since the epoch).
    Since(i64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_words_index_is_its_place_in_the_list() {
        for (index, state) in DaemonState::ALL.iter().enumerate() {
            assert_eq!(state.index(), index);
        }
        assert_eq!(DaemonState::Healing.to_string(), "healing");
    }
}
