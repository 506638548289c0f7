//! MessagePack as notepack.io (2 and 3) and @msgpack/msgpack write it.

use crate::broadcast::{NAME_LEN_MAX, Undecodable};

/// Reads values one after the other. Holds nothing but what is left.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

/// What a value begins with. Lists and maps go on with so many values, or pairs of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Head<'a> {
    Nil,
    /// Of notepack.io 2, which had a value of its own for it.
    Undefined,
    Flag(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(&'a [u8]),
    Bytes(&'a [u8]),
    /// Milliseconds since 1970.
    Date(i64),
    List(u32),
    Map(u32),
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Nothing may be left.
    pub(crate) fn finish(&self) -> Result<(), Undecodable> {
        match self.rest.len() {
            0 => Ok(()),
            len => Err(Undecodable::Trailing { len }),
        }
    }

    pub(crate) fn head(&mut self) -> Result<Head<'a>, Undecodable> {
        let first = self.byte()?;
        Ok(match first {
            0x00..=0x7f => Head::Unsigned(first.into()),
            0x80..=0x8f => Head::Map(u32::from(first & 0x0f)),
            0x90..=0x9f => Head::List(u32::from(first & 0x0f)),
            0xa0..=0xbf => Head::Text(self.take(usize::from(first & 0x1f))?),
            0xc0 => Head::Nil,
            0xc1 => return Err(Undecodable::Value),
            0xc2 => Head::Flag(false),
            0xc3 => Head::Flag(true),
            0xc4..=0xc6 => {
                let len = self.len(first - 0xc4)?;
                Head::Bytes(self.take(len)?)
            }
            0xc7..=0xc9 => {
                let len = self.len(first - 0xc7)?;
                self.extension(len)?
            }
            0xca => Head::Float(f32::from_be_bytes(self.array()?).into()),
            0xcb => Head::Float(f64::from_be_bytes(self.array()?)),
            0xcc => Head::Unsigned(self.byte()?.into()),
            0xcd => Head::Unsigned(u16::from_be_bytes(self.array()?).into()),
            0xce => Head::Unsigned(u32::from_be_bytes(self.array()?).into()),
            0xcf => Head::Unsigned(u64::from_be_bytes(self.array()?)),
            0xd0 => Head::Signed(i8::from_be_bytes(self.array()?).into()),
            0xd1 => Head::Signed(i16::from_be_bytes(self.array()?).into()),
            0xd2 => Head::Signed(i32::from_be_bytes(self.array()?).into()),
            0xd3 => Head::Signed(i64::from_be_bytes(self.array()?)),
            0xd4..=0xd8 => self.extension(1 << (first - 0xd4))?,
            0xd9..=0xdb => {
                let len = self.len(first - 0xd9)?;
                Head::Text(self.take(len)?)
            }
            0xdc => Head::List(u16::from_be_bytes(self.array()?).into()),
            0xdd => Head::List(u32::from_be_bytes(self.array()?)),
            0xde => Head::Map(u16::from_be_bytes(self.array()?).into()),
            0xdf => Head::Map(u32::from_be_bytes(self.array()?)),
            0xe0..=0xff => Head::Signed(i64::from(first.cast_signed())),
        })
    }

    /// Goes behind the next value, however it is nested: what is open is a number, not a stack.
    pub(crate) fn skip(&mut self) -> Result<(), Undecodable> {
        let mut open = 1_u64;
        while open > 0 {
            open -= 1;
            // Each value is a byte at least, so a sum beyond what is left never comes true.
            open = match self.head()? {
                Head::List(len) => open.saturating_add(len.into()),
                Head::Map(len) => open.saturating_add(u64::from(len) * 2),
                _ => open,
            };
        }
        Ok(())
    }

    /// How many members a map has that comes next; none for nil, which stands for an absent one.
    pub(crate) fn map(&mut self, part: &'static str) -> Result<u32, Undecodable> {
        match self.head()? {
            Head::Map(len) => Ok(len),
            Head::Nil | Head::Undefined => Ok(0),
            _ => Err(Undecodable::Part { part }),
        }
    }

    /// The same for a list.
    pub(crate) fn list(&mut self, part: &'static str) -> Result<u32, Undecodable> {
        match self.head()? {
            Head::List(len) => Ok(len),
            Head::Nil | Head::Undefined => Ok(0),
            _ => Err(Undecodable::Part { part }),
        }
    }

    /// A name: text, or a whole number as its text, as JavaScript compares them.
    pub(crate) fn name(&mut self, part: &'static str) -> Result<String, Undecodable> {
        let refused = Undecodable::Part { part };
        Ok(match self.head()? {
            Head::Text(text) if text.len() <= NAME_LEN_MAX => {
                str::from_utf8(text).map_err(|_| refused)?.to_owned()
            }
            Head::Unsigned(number) => number.to_string(),
            Head::Signed(number) => number.to_string(),
            _ => return Err(refused),
        })
    }

    /// The length of what has it in 1, 2 or 4 bytes.
    fn len(&mut self, size: u8) -> Result<usize, Undecodable> {
        Ok(match size {
            0 => self.byte()?.into(),
            1 => u16::from_be_bytes(self.array()?).into(),
            _ => usize::try_from(u32::from_be_bytes(self.array()?)).unwrap_or(usize::MAX),
        })
    }

    fn extension(&mut self, len: usize) -> Result<Head<'a>, Undecodable> {
        let kind = self.byte()?.cast_signed();
        let bytes = self.take(len)?;
        let millis = |seconds: i64, nanos: u32| {
            let millis = seconds.saturating_mul(1_000);
            Head::Date(millis.saturating_add(i64::from(nanos / 1_000_000)))
        };
        Ok(match (kind, bytes) {
            (-1, &[a, b, c, d]) => millis(u32::from_be_bytes([a, b, c, d]).into(), 0),
            (-1, &[..]) if len == 8 => {
                let both = u64::from_be_bytes(Self::eight(bytes)?);
                let nanos = u32::try_from(both >> 34).unwrap_or_default();
                millis((both & ((1 << 34) - 1)).cast_signed(), nanos)
            }
            (-1, &[a, b, c, d, ref seconds @ ..]) if len == 12 => millis(
                i64::from_be_bytes(Self::eight(seconds)?),
                u32::from_be_bytes([a, b, c, d]),
            ),
            // As notepack.io 2 wrote them.
            (0, &[0]) => Head::Undefined,
            (0, _) if len == 8 => Head::Date(i64::from_be_bytes(Self::eight(bytes)?)),
            (0, bytes) => Head::Bytes(bytes),
            _ => return Err(Undecodable::Value),
        })
    }

    fn eight(bytes: &[u8]) -> Result<[u8; 8], Undecodable> {
        bytes.try_into().map_err(|_| Undecodable::Truncated)
    }

    fn byte(&mut self) -> Result<u8, Undecodable> {
        let (first, rest) = self.rest.split_first().ok_or(Undecodable::Truncated)?;
        self.rest = rest;
        Ok(*first)
    }

    fn array<const LEN: usize>(&mut self) -> Result<[u8; LEN], Undecodable> {
        let (first, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(Undecodable::Truncated)?;
        self.rest = rest;
        Ok(*first)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Undecodable> {
        let taken = self.rest.split_at_checked(len);
        let (taken, rest) = taken.ok_or(Undecodable::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_value_is_read() {
        for (bytes, head) in [
            (&[0x07][..], Head::Unsigned(7)),
            (&[0xff], Head::Signed(-1)),
            (&[0xcc, 0xff], Head::Unsigned(255)),
            (&[0xcd, 1, 0], Head::Unsigned(256)),
            (&[0xce, 0, 1, 0, 0], Head::Unsigned(65_536)),
            (&[0xcf, 0, 0, 1, 0, 0, 0, 0, 0], Head::Unsigned(1 << 40)),
            (&[0xd0, 0x80], Head::Signed(-128)),
            (&[0xd1, 0x80, 0], Head::Signed(-32_768)),
            (&[0xd2, 0x80, 0, 0, 0], Head::Signed(-2_147_483_648)),
            (&[0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0], Head::Signed(i64::MIN)),
            (&[0xca, 0x3f, 0xc0, 0, 0], Head::Float(1.5)),
            (&[0xa1, b'a'], Head::Text(b"a")),
            (&[0xd9, 1, b'a'], Head::Text(b"a")),
            (&[0xda, 0, 1, b'a'], Head::Text(b"a")),
            (&[0xdb, 0, 0, 0, 1, b'a'], Head::Text(b"a")),
            (&[0xc4, 1, 9], Head::Bytes(&[9])),
            (&[0xc5, 0, 1, 9], Head::Bytes(&[9])),
            (&[0xc6, 0, 0, 0, 1, 9], Head::Bytes(&[9])),
            (&[0xdc, 0, 0], Head::List(0)),
            (&[0xdd, 0, 0, 0, 0], Head::List(0)),
            (&[0xde, 0, 0], Head::Map(0)),
            (&[0xdf, 0, 0, 0, 0], Head::Map(0)),
            // notepack.io 2.
            (&[0xd4, 0, 0], Head::Undefined),
            (&[0xd7, 0, 0, 0, 0, 0, 0, 0, 1, 0], Head::Date(256)),
            (&[0xc7, 3, 0, 1, 2, 3], Head::Bytes(&[1, 2, 3])),
            (&[0xc8, 0, 3, 0, 1, 2, 3], Head::Bytes(&[1, 2, 3])),
            (&[0xc9, 0, 0, 0, 3, 0, 1, 2, 3], Head::Bytes(&[1, 2, 3])),
            // Dates of notepack.io 3 and @msgpack/msgpack, the last one before 1970.
            (
                &[0xd6, 0xff, 0x65, 0x93, 0x7d, 0x25],
                Head::Date(1_704_164_645_000),
            ),
            (
                &[0xd7, 0xff, 0xa1, 0xa5, 0xd6, 0, 0x65, 0x93, 0x7d, 0x25],
                Head::Date(1_704_164_645_678),
            ),
            (
                &[
                    0xc7, 12, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                ],
                Head::Date(-1_000),
            ),
        ] {
            let mut reader = Reader::new(bytes);

            assert_eq!(reader.head(), Ok(head), "{bytes:02x?}");
            if !matches!(head, Head::List(_) | Head::Map(_)) {
                assert_eq!(reader.finish(), Ok(()));
            }
            for end in 0..bytes.len() {
                let truncated = Reader::new(&bytes[..end]).head();
                assert_eq!(truncated, Err(Undecodable::Truncated), "{bytes:02x?}");
            }
        }
    }

    #[test]
    fn what_no_dialect_has_is_refused() {
        for bytes in [&[0xc1][..], &[0xd4, 5, 0], &[0xc7, 3, 0xff, 0, 0, 0]] {
            assert_eq!(Reader::new(bytes).head(), Err(Undecodable::Value));
        }
    }

    #[test]
    fn what_is_skipped_may_be_as_deep_as_it_likes_and_announces_nothing_that_is_reserved() {
        let mut deep = vec![0x91; 1_000_000];
        deep.push(0xc0);
        let mut reader = Reader::new(&deep);

        assert_eq!(reader.skip(), Ok(()));
        assert_eq!(reader.finish(), Ok(()));
        let mut liar = Reader::new(&[0xdd, 0xff, 0xff, 0xff, 0xff, 0xc0]);
        assert_eq!(liar.skip(), Err(Undecodable::Truncated));
    }
}
