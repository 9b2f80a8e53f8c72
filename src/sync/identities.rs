//! Whether the databases behind the two addresses are the ones that were synced before, and as they were left. Pure.
//!
//! BioGraph's is known by an id of the bridge's own in it (and the replica set's, where the bridge may ask for it), so one that
//! was dropped or restored from before the bridge has none. Renaissance is known by the server's and the database's number;
//! its state goes wherever it goes, so BioGraph keeps the number too.
//!
//! A number that counts up in both, in BioGraph first, tells a database that was put back to an earlier state. If it was
//! BioGraph's, what both sides agreed on no longer says who changed what: an old value would pass for a new one, and what is
//! missing for deleted. It is forgotten, so that differences are conflicts, journalled, and what is missing on one side is made
//! again. If it was Renaissance, the agreements went back with the rows and hold: BioGraph is ahead, and is swept.

use crate::{
    error::{Error, Result},
    model::side::Side,
};

/// What BioGraph's database says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LegacyIdentity {
    /// The bridge's id for it.
    pub id: String,
    /// The id of its replica set, if the bridge may know.
    pub replica_set: Option<String>,
    /// The Renaissance database that it is synced with, as [`Identities::renaissance`].
    pub renaissance: Option<String>,
    /// How far it has counted.
    pub mark: i64,
}

/// A database as the state knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Its id; of BioGraph with the replica set's behind a slash, if that is known.
    pub id: String,
    /// Where it was, without secrets.
    pub place: String,
    /// How far the state has counted.
    pub mark: i64,
}

/// Both databases as they are and as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identities {
    /// The state's word: of legacy, of renaissance.
    pub known: [Option<Known>; 2],
    /// BioGraph's, unless it has none.
    pub legacy: Option<LegacyIdentity>,
    /// The numbers of the Postgres server and the database; `None` if the bridge may not know.
    pub renaissance: Option<String>,
    /// Where they are now, without secrets.
    pub places: [String; 2],
}

impl LegacyIdentity {
    /// How the state keeps it.
    pub fn text(&self) -> String {
        self.replica_set.as_ref().map_or_else(|| self.id.clone(), |set| format!("{}/{set}", self.id))
    }

    /// Whether it is the one known by this text.
    pub fn is(&self, known: &str) -> bool {
        let (id, set) = known.split_once('/').map_or((known, None), |(id, set)| (id, Some(set)));
        self.id == id && set.zip(self.replica_set.as_deref()).is_none_or(|(known, now)| known == now)
    }
}

impl Identities {
    /// Refuses a database that is not the one known.
    pub fn refuse_others(&self) -> Result<()> {
        let [legacy, renaissance] = &self.known;
        if let Some(known) = legacy {
            match &self.legacy {
                None => {
                    return Err(self.other(
                        Side::Legacy,
                        known,
                        "it was dropped, restored from before, or never synced",
                    ));
                }
                Some(found) if !found.is(&known.id) => {
                    return Err(self.other(Side::Legacy, known, "it is another one"));
                }
                Some(_) => {}
            }
        }
        let Some(now) = &self.renaissance else { return Ok(()) };
        if let Some(known) = renaissance {
            if known.id != *now {
                return Err(self.other(Side::Renaissance, known, "the server or the database is another one"));
            }
            return Ok(());
        }
        let paired = self.legacy.as_ref().and_then(|legacy| legacy.renaissance.as_ref());
        match paired.filter(|paired| *paired != now) {
            Some(_) => {
                let known = Known { place: "another Renaissance".to_owned(), ..Known::default() };
                Err(self.other(Side::Renaissance, &known, "BioGraph is synced with that one"))
            }
            None => Ok(()),
        }
    }

    /// The side that was put back to an earlier state, if one was. Both are the known ones.
    pub fn restored(&self) -> Option<Side> {
        let (known, found) = (self.known[0].as_ref()?, self.legacy.as_ref()?);
        match found.mark {
            mark if mark < known.mark => Some(Side::Legacy),
            // a daemon may have ended between counting in BioGraph and in the state
            mark if mark > known.mark + 1 => Some(Side::Renaissance),
            _ => None,
        }
    }

    /// How far to count on from.
    pub fn mark(&self) -> i64 {
        let known = self.known[0].as_ref().map_or(0, |known| known.mark);
        known.max(self.legacy.as_ref().map_or(0, |legacy| legacy.mark))
    }

    fn other(&self, side: Side, known: &Known, why: &str) -> Error {
        let place = &self.places[usize::from(side == Side::Renaissance)];
        other(side, &format!("the database at {place} is not the one synced before, at {}: {why}", known.place))
    }
}

/// The error about a database that is not the one known.
pub fn other(side: Side, what: &str) -> Error {
    let setting = match side {
        Side::Legacy => "legacy_uri",
        Side::Renaissance => "renaissance_url",
    };
    Error::halt(format!("{what}; nothing was written to it")).with_hint(format!(
        "point {setting} back at the former one; or, if this one is to take its place: biograph-bridge init --accept-{side}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn synced() -> Identities {
        let known = |id: &str| Some(Known { id: id.to_owned(), place: "there".to_owned(), mark: 7 });
        let legacy =
            LegacyIdentity { id: "a".into(), replica_set: Some("rs".into()), renaissance: Some("1/2".into()), mark: 7 };
        Identities {
            known: [known("a/rs"), known("1/2")],
            legacy: Some(legacy),
            renaissance: Some("1/2".into()),
            places: ["here".into(), "here".into()],
        }
    }

    #[test]
    fn both_are_taken_at_the_first_start_and_known_later() {
        let first = Identities { renaissance: Some("1/2".into()), ..Identities::default() };
        first.refuse_others().unwrap();
        assert_eq!(first.restored(), None);
        synced().refuse_others().unwrap();
        assert_eq!(synced().restored(), None);
    }

    #[test]
    fn another_database_is_refused_with_both_places_and_the_way_to_accept_it() {
        let mut dropped = synced();
        dropped.legacy = None;
        let mut other = synced();
        other.legacy.as_mut().unwrap().replica_set = Some("rs2".into());
        let mut moved = synced();
        moved.renaissance = Some("3/2".into());
        for (identities, option) in [(dropped, "legacy"), (other, "legacy"), (moved.clone(), "renaissance")] {
            let error = identities.refuse_others().unwrap_err();
            assert!(error.hint().unwrap().contains(&format!("init --accept-{option}")), "{error}");
            assert!(error.to_string().contains("at here") && error.to_string().contains("at there"), "{error}");
        }
        moved.known = [None, None];
        assert!(moved.refuse_others().is_err(), "a Renaissance without a state is not the one that BioGraph knows");
    }

    #[test]
    fn what_the_bridge_may_not_know_says_nothing() {
        let mut blind = synced();
        blind.renaissance = None;
        blind.legacy.as_mut().unwrap().replica_set = None;
        blind.refuse_others().unwrap();
    }

    #[test]
    fn whoever_has_counted_less_was_put_back() {
        let counted = |legacy, state| {
            let mut identities = synced();
            identities.legacy.as_mut().unwrap().mark = legacy;
            identities.known[0].as_mut().unwrap().mark = state;
            identities.restored()
        };
        assert_eq!([counted(7, 7), counted(8, 7)], [None, None]);
        assert_eq!([counted(6, 7), counted(9, 7)], [Some(Side::Legacy), Some(Side::Renaissance)]);
    }
}
