//! What both applications do all day: seeded, realistic writes straight into both databases, without any bridge code.
//!
//! BioGraph writes as Django with djongo does, Renaissance as the Django ORM does; both may be at work on one person.

mod legacy;
mod renaissance;

use std::{collections::BTreeMap, fmt};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use self::legacy::LegacyApp;
use self::renaissance::RenaissanceApp;
use super::{SandboxError, names};
use crate::model::{
    key::{LegacyId, SideId},
    side::Side,
};

/// How many people an application has in mind; on larger databases only the newest are written to.
const ROSTER: u32 = 20_000;
/// After so many of its own steps an application looks again who is there.
const LOOK_AGAIN: u32 = 100;
/// Whoever was just deleted on the other side is passed over this often before somebody new joins instead.
const ATTEMPTS: u32 = 5;

/// What the applications do, and to whom.
#[derive(Clone, Debug, Default)]
pub struct TrafficOptions {
    /// The same seed wants the same writes in the same order.
    pub seed: u64,
    /// Only this side's application is at work; `None`: both, in turn by chance.
    pub only: Option<Side>,
    /// Now and then both sides change the same person's name at the same moment: a real conflict.
    pub clashes: bool,
    /// Nobody writes to this person.
    pub spared: Option<LegacyId>,
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    /// Some fields of a person: `$set` of what changed, or the whole row as it was read.
    Edit,
    /// The whole document as it was read, with one field changed; on Renaissance the profile row.
    Replace,
    /// Somebody signs up.
    Join,
    /// Somebody is deactivated without being deleted, or comes back.
    Leave,
    /// Somebody is deleted for good, children first.
    Delete,
    /// Somebody makes something: a biograph, a book, a co-author, a notification, a listening time, a purchase.
    Publish,
    /// Something that somebody made is changed.
    Revise,
    /// Something that somebody made is deleted for good.
    Withdraw,
    /// A friend or a subscriber comes or goes.
    Befriend,
    /// Both applications rename the same person at the same moment.
    Clash,
}

impl ChangeKind {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Edit => "edit",
            Self::Replace => "replace",
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Delete => "delete",
            Self::Publish => "publish",
            Self::Revise => "revise",
            Self::Withdraw => "withdraw",
            Self::Befriend => "befriend",
            Self::Clash => "clash",
        }
    }

    fn any(rng: &mut StdRng, clashes: bool) -> Self {
        match rng.random_range(0..100u32) {
            0 => Self::Delete,
            1 | 2 if clashes => Self::Clash,
            1..=4 => Self::Leave,
            5..=11 => Self::Join,
            12..=24 => Self::Replace,
            25..=34 => Self::Publish,
            35..=46 => Self::Revise,
            47 | 48 => Self::Withdraw,
            49..=55 => Self::Befriend,
            56.. => Self::Edit,
        }
    }
}

impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One write that an application has made and knows to be committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it did.
    pub kind: ChangeKind,
    /// To whom, on the side whose application wrote (a clash: on the renaissance side).
    pub id: SideId,
}

/// Both applications.
pub struct Traffic {
    rng: StdRng,
    options: TrafficOptions,
    legacy: LegacyApp,
    renaissance: RenaissanceApp,
    counts: BTreeMap<(Side, ChangeKind), u64>,
}

impl Traffic {
    /// Points both applications at their databases; connections are made when they are needed and made again when lost.
    pub async fn new(legacy_uri: &str, renaissance_url: &str, options: TrafficOptions) -> Result<Self, SandboxError> {
        let newcomers = Newcomers { seed: options.seed, next: 0 };
        Ok(Self {
            rng: StdRng::seed_from_u64(options.seed),
            legacy: LegacyApp::new(legacy_uri, newcomers.clone(), options.spared).await?,
            renaissance: RenaissanceApp::new(renaissance_url, newcomers, options.spared)?,
            options,
            counts: BTreeMap::new(),
        })
    }

    /// One write. After an error it is unknown whether it landed, as for any application; the next step starts afresh.
    pub async fn step(&mut self) -> Result<Change, SandboxError> {
        let by_chance = if self.rng.random_bool(0.5) { Side::Legacy } else { Side::Renaissance };
        let side = self.options.only.unwrap_or(by_chance);
        let kind = ChangeKind::any(&mut self.rng, self.options.clashes && self.options.only.is_none());
        let change = match (kind, side) {
            (ChangeKind::Clash, _) => self.clash().await?,
            (_, Side::Legacy) => self.legacy.act(&mut self.rng, kind).await?,
            (_, Side::Renaissance) => self.renaissance.act(&mut self.rng, kind).await?,
        };
        *self.counts.entry((change.id.side(), change.kind)).or_default() += 1;
        Ok(change)
    }

    /// What was done so far, by the side whose application did it.
    pub fn counts(&self) -> &BTreeMap<(Side, ChangeKind), u64> {
        &self.counts
    }

    /// How many writes one side's application has made.
    pub fn made(&self, side: Side) -> u64 {
        self.counts.iter().filter(|((of, _), _)| *of == side).map(|(_, count)| count).sum()
    }

    async fn clash(&mut self) -> Result<Change, SandboxError> {
        let Some((row, document)) = self.renaissance.somebody_on_both(&mut self.rng).await? else {
            return self.renaissance.act(&mut self.rng, ChangeKind::Edit).await;
        };
        let (here, there) = (names::random_name(&mut self.rng), names::random_name(&mut self.rng));
        let (legacy, renaissance) =
            tokio::join!(self.legacy.rename(document, &here), self.renaissance.rename(row, &there));
        legacy.and(renaissance)?;
        Ok(Change { kind: ChangeKind::Clash, id: SideId::Renaissance(row) })
    }
}

/// People who do not exist yet: unique names and numbers, different ones for different seeds.
#[derive(Clone, Debug)]
struct Newcomers {
    seed: u64,
    next: u32,
}

struct Newcomer {
    name: String,
    username: String,
    email: String,
    country: i32,
    phone: String,
}

impl Newcomers {
    /// Beyond the sample people.
    const FIRST: u32 = 1_000_000;
    const PER_SEED: u32 = 100_000;
    const SEEDS: u64 = 50;

    fn next(&mut self, rng: &mut StdRng, side: Side) -> Newcomer {
        let number = 2 * (self.next % (Self::PER_SEED / 2)) + u32::from(side == Side::Renaissance);
        self.next += 1;
        let seed = u32::try_from(self.seed % Self::SEEDS).unwrap_or(0);
        let name = names::random_name(rng);
        let username = format!("{}.{:x}.{number}", names::ascii(&name), self.seed);
        let (country, phone) = super::phones::phone(Self::FIRST + seed * Self::PER_SEED + number);
        Newcomer { email: names::email(rng, &username), name, username, country, phone }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newcomers_of_both_sides_and_of_several_seeds_are_all_different() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut phones = std::collections::HashSet::new();
        let mut names = std::collections::HashSet::new();
        for seed in [1, 2, 49] {
            for side in Side::ALL {
                let mut newcomers = Newcomers { seed, next: 0 };
                for _ in 0..1000 {
                    let newcomer = newcomers.next(&mut rng, side);
                    assert!(newcomer.phone.len() == 10 && newcomer.username.len() <= 150);
                    assert!(phones.insert(newcomer.phone) && names.insert(newcomer.username));
                }
            }
        }
    }

    #[test]
    fn most_changes_are_small_and_few_are_rare() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut seen: BTreeMap<ChangeKind, u32> = BTreeMap::new();
        (0..10_000).for_each(|_| *seen.entry(ChangeKind::any(&mut rng, true)).or_default() += 1);
        let small = seen[&ChangeKind::Edit] + seen[&ChangeKind::Revise];
        assert!(small > 5000 && seen[&ChangeKind::Delete] < 150, "{seen:?}");
        assert_eq!(seen.len(), 10);
    }
}
