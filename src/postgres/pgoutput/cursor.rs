//! Reads big-endian fields off a byte slice, each with its bounds checked.

use super::{Column, Malformed, Tuple};

pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(*bytes)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_be_bytes)
    }

    /// A count of columns (16 bits) that cannot be negative.
    pub(super) fn count(&mut self) -> Result<u16, Malformed> {
        let count = self.array().map(i16::from_be_bytes)?;
        u16::try_from(count).map_err(|_| Malformed::NegativeLength)
    }

    /// A length (32 bits) that cannot be negative.
    pub(super) fn length(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.i32()?).map_err(|_| Malformed::NegativeLength)
    }

    /// A zero-terminated name.
    pub(super) fn name(&mut self) -> Result<&'a str, Malformed> {
        let end = self.rest.iter().position(|byte| *byte == 0).ok_or(Malformed::Truncated)?;
        let name = self.bytes(end)?;
        self.u8()?;
        std::str::from_utf8(name).map_err(|_| Malformed::NotUtf8)
    }

    /// A tuple, walked through once to check it.
    pub(super) fn tuple(&mut self) -> Result<Tuple<'a>, Malformed> {
        let count = self.count()?;
        let start = self.rest;
        for _ in 0..count {
            self.column()?;
        }
        let bytes = start.get(..start.len() - self.rest.len()).ok_or(Malformed::Truncated)?;
        Ok(Tuple { count, bytes })
    }

    pub(super) fn column(&mut self) -> Result<Column<'a>, Malformed> {
        let value = |cursor: &mut Self| {
            let length = cursor.length()?;
            cursor.bytes(length)
        };
        match self.u8()? {
            b'n' => Ok(Column::Null),
            b'u' => Ok(Column::Unchanged),
            b't' => value(self).map(Column::Text),
            b'b' => value(self).map(Column::Binary),
            other => Err(Malformed::UnknownKind(other)),
        }
    }

    pub(super) const fn end(&self) -> Result<(), Malformed> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(Malformed::Trailing(left)),
        }
    }
}
