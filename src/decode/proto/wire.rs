//! The protobuf wire format, borrowed: fields of a message as they lie in the bytes.
//!
//! Source: protobuf.dev/programming-guides/encoding. Groups (wire types 3 and 4) are refused: no profile has them.

use crate::decode::DecodeError;

/// What is wrong with packed numbers that do not read.
const MALFORMED_LIST: &str = "a malformed list of numbers";

/// A field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field<'a> {
    pub(super) tag: u32,
    pub(super) value: Value<'a>,
}

/// A field's value, as far as the wire tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Value<'a> {
    /// A varint.
    Number(u64),
    /// Length-delimited: a string, a message, packed numbers.
    Bytes(&'a [u8]),
    /// Fixed 32 or 64 bits, of which profiles have none.
    Fixed,
}

/// The fields of `message`, which lies in `whole`; after an error there are no more.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    whole: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(whole: &'a [u8], message: &'a [u8]) -> Self {
        Self {
            whole,
            rest: message,
        }
    }

    /// How many bytes have been read.
    pub(super) fn offset(&self) -> usize {
        self.whole.len() - self.rest.len()
    }

    #[allow(
        clippy::inline_always,
        reason = "a field handed over in memory costs more than it took to read"
    )]
    #[inline(always)]
    fn read(&mut self) -> Option<Field<'a>> {
        let key = varint(&mut self.rest)?;
        let tag = u32::try_from(key >> 3).ok().filter(|&tag| tag > 0)?;
        let value = match key & 7 {
            0 => Value::Number(varint(&mut self.rest)?),
            1 => {
                self.rest = self.rest.get(8..)?;
                Value::Fixed
            }
            2 => {
                let len = usize::try_from(varint(&mut self.rest)?).ok()?;
                let (value, rest) = self.rest.split_at_checked(len)?;
                self.rest = rest;
                Value::Bytes(value)
            }
            5 => {
                self.rest = self.rest.get(4..)?;
                Value::Fixed
            }
            _ => return None,
        };
        Some(Field { tag, value })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, DecodeError>;

    #[allow(clippy::inline_always, reason = "as above")]
    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let at = self.rest;
        let field = self
            .read()
            .ok_or_else(|| damaged(self.whole, at, "a malformed protobuf field"));
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// Whether a repeated field of numbers, packed or not, is cut short.
///
/// # Errors
/// When a packed one ends in mid-number.
pub(super) fn ends_with_a_number(whole: &[u8], value: Value<'_>) -> Result<(), DecodeError> {
    match value {
        Value::Bytes(packed @ [.., 0x80..=0xff]) => Err(damaged(whole, packed, MALFORMED_LIST)),
        _ => Ok(()),
    }
}

/// Hands out the numbers of a repeated field, packed or not.
///
/// # Errors
/// When a packed one ends in mid-number.
pub(super) fn numbers(
    whole: &[u8],
    value: Value<'_>,
    mut take: impl FnMut(u64),
) -> Result<(), DecodeError> {
    match value {
        Value::Number(number) => take(number),
        Value::Bytes(packed) => {
            let mut rest = packed;
            while !rest.is_empty() {
                take(varint(&mut rest).ok_or_else(|| damaged(whole, packed, MALFORMED_LIST))?);
            }
        }
        Value::Fixed => {}
    }
    Ok(())
}

/// The number at the start of `bytes`, which then begin behind it; `None` when it does not end in 10 bytes or
/// exceeds 64 bits.
#[inline]
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    // Nearly all numbers of a profile are that short.
    match *bytes {
        [byte @ 0..=0x7f, after @ ..] => {
            *bytes = after;
            Some(u64::from(*byte))
        }
        [low, high @ 0..=0x7f, after @ ..] => {
            *bytes = after;
            Some(u64::from(low & 0x7f) | (u64::from(*high) << 7))
        }
        _ => long_varint(bytes),
    }
}

/// The same of any length.
fn long_varint(bytes: &mut &[u8]) -> Option<u64> {
    let (mut value, mut shift, mut rest) = (0, 0, *bytes);
    loop {
        let (&byte, after) = rest.split_first()?;
        // Of the tenth byte there is room for one bit, and no other may follow.
        if shift == 63 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            *bytes = after;
            return Some(value);
        }
        shift += 7;
        rest = after;
    }
}

/// An error at `part`, which lies in `whole`.
pub(super) fn damaged(whole: &[u8], part: &[u8], problem: &'static str) -> DecodeError {
    let offset = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
    DecodeError::Damaged {
        problem,
        offset: u64::try_from(offset).unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_agree_with_prost() {
        let values = (0..64).flat_map(|bit| [1_u64 << bit, (1 << bit) - 1, u64::MAX >> bit]);
        for value in values {
            let mut written = Vec::new();
            prost::encoding::encode_varint(value, &mut written);
            written.push(0xff);
            let mut rest = &written[..];
            assert_eq!(varint(&mut rest), Some(value));
            assert_eq!(rest, [0xff]);
            for end in 0..written.len() - 1 {
                assert_eq!(varint(&mut &written[..end]), None, "{value} cut at {end}");
            }
        }
        assert_eq!(varint(&mut &[0xff; 11][..]), None);
        assert_eq!(
            varint(&mut &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2][..]),
            None
        );
    }

    #[test]
    fn malformed_fields_end_the_message() {
        let check = |bytes: &[u8]| {
            let last = Fields::new(bytes, bytes).last();
            assert!(
                matches!(last, Some(Err(DecodeError::Damaged { .. }))),
                "{bytes:?} {last:?}"
            );
        };
        check(&[0x00]);
        check(&[0x0b]);
        check(&[0x0c]);
        check(&[0x0a, 0x02, 0x00]);
        check(&[
            0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
        ]);
        check(&[0x09, 0, 0, 0]);
        check(&[0x08, 0x01, 0x80]);
        let fine: Vec<_> =
            Fields::new(&[], &[0x08, 0x05, 0x12, 0x01, 0x07, 0x1d, 0, 0, 0, 0]).collect();
        assert_eq!(fine.len(), 3);
        assert_eq!(
            fine[1],
            Ok(Field {
                tag: 2,
                value: Value::Bytes(&[7])
            })
        );
    }
}
