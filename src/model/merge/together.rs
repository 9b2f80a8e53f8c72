//! Fields that are decided as one. Pure.

use crate::model::{digest::Digest, policy::Policy, reading::Reading, side::Side};

/// What to do about fields that are decided together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Together {
    /// Each is the same on both sides.
    Agreed,
    /// Nothing to write and nothing newly agreed.
    Keep,
    /// One side moved: all of them are copied to this side.
    Copy(Side),
    /// Both sides moved, and all of them stay as they are on this side.
    Conflict(Side),
    /// Both sides moved and the policy does not choose a side.
    Undecided,
}

/// One of several fields that are decided together. Unreadable ones are sorted out before.
pub struct Member<'a> {
    /// What both sides last agreed on.
    pub base: Option<Digest>,
    /// What the sides hold: legacy, renaissance.
    pub readings: &'a [Reading; 2],
}

impl Member<'_> {
    fn digests(&self) -> [Option<Digest>; 2] {
        [self.readings[0].digest(), self.readings[1].digest()]
    }

    fn agrees(&self) -> bool {
        let [left, right] = self.digests();
        left == right
    }

    /// Whether a side moved away from base. A side without a place for it did not, and what never was agreed on and is equal
    /// did not either.
    fn moved(&self, side: usize) -> bool {
        let [left, right] = self.digests();
        let now = if side == 0 { left } else { right };
        now.is_some() && now != self.base && !(self.base.is_none() && left == right)
    }
}

/// Decides fields as one: whoever moved any of them moved them all. `to`: the side that only follows, if one does.
pub fn together(policy: Policy, owner: Side, to: Option<Side>, members: &[Member<'_>]) -> Together {
    if members.iter().all(Member::agrees) {
        return Together::Agreed;
    }
    let moved = |side| members.iter().any(|member| member.moved(side));
    match (moved(0), moved(1), to) {
        (false, false, _) => Together::Keep,
        (true, false, None | Some(Side::Renaissance)) => Together::Copy(Side::Renaissance),
        (false, true, None | Some(Side::Legacy)) => Together::Copy(Side::Legacy),
        (_, _, Some(to)) => Together::Conflict(to.other()),
        (true, true, None) => policy.winner(owner).map_or(Together::Undecided, Together::Conflict),
    }
}
