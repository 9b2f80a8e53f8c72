//! Who a record is on each side.

use std::{fmt, str::FromStr};

use super::side::Side;

/// The position of an entity in the loaded mappings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntityIndex(pub u16);

/// A legacy `_id`: an ObjectId. Shown and stored as 24 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LegacyId([u8; 12]);

impl LegacyId {
    /// Wraps the twelve bytes of an ObjectId.
    pub const fn new(bytes: [u8; 12]) -> Self {
        Self(bytes)
    }

    /// The twelve bytes.
    pub const fn bytes(self) -> [u8; 12] {
        self.0
    }
}

impl fmt::Display for LegacyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for LegacyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text was not 24 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnObjectId;

impl fmt::Display for NotAnObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an ObjectId (24 hex digits)")
    }
}

impl std::error::Error for NotAnObjectId {}

impl FromStr for LegacyId {
    type Err = NotAnObjectId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.as_bytes();
        if digits.len() != 24 {
            return Err(NotAnObjectId);
        }
        let mut bytes = [0; 12];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok()).ok_or(NotAnObjectId);
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

/// A Renaissance primary key.
pub type RenaissanceId = i64;

/// A record's id on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SideId {
    /// The `_id` of the document.
    Legacy(LegacyId),
    /// The primary key of the root row.
    Renaissance(RenaissanceId),
}

impl SideId {
    /// The side this id belongs to.
    pub const fn side(self) -> Side {
        match self {
            Self::Legacy(_) => Side::Legacy,
            Self::Renaissance(_) => Side::Renaissance,
        }
    }
}

impl fmt::Display for SideId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Legacy(id) => write!(f, "legacy:{id}"),
            Self::Renaissance(id) => write!(f, "renaissance:{id}"),
        }
    }
}

/// What a hint names: an entity and an id on the side where it changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Which entity.
    pub entity: EntityIndex,
    /// Which record, on which side.
    pub id: SideId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_legacy_id_reads_back_what_it_shows() {
        let id: LegacyId = "65f0c0ffee00000000000abc".parse().unwrap();
        assert_eq!(id.to_string(), "65f0c0ffee00000000000abc");
        assert_eq!("65F0C0FFEE00000000000ABC".parse(), Ok(id));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "65f0c0ffee00000000000ab", "65f0c0ffee00000000000abz", "+5f0c0ffee00000000000abc"] {
            assert_eq!(text.parse::<LegacyId>(), Err(NotAnObjectId), "{text}");
        }
    }
}
