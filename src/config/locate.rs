//! Finds where a key or a value stands, by walking to it and failing there: a YAML deserializer notes line and
//! column of an error and of nothing else.
//!
//! The walk is written against serde alone, and runs only once something is wrong.

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::error::Segment;

/// The message of the error at a map or a list; at anything else it is [`SCALAR`].
pub(super) const NESTED: &str = "here, a map or a list";

/// The message of the error at a text, number or nothing.
pub(super) const SCALAR: &str = "here";

/// What of the last step is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    /// Its value.
    Value,
    /// The key itself, the first of that name.
    Key,
    /// The key itself, the second of that name.
    SecondKey,
}

/// A walk down `path`. Always ends in an error: at the end of the path, or as near to it as there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk<'p> {
    pub(super) path: &'p [Segment],
    pub(super) aim: Aim,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SCALAR)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((Segment::Key(name), path)) = self.path.split_first() else {
            return Err(A::Error::custom(NESTED));
        };
        let mut left = match (path, self.aim) {
            ([], Aim::Key) => Some(0),
            ([], Aim::SecondKey) => Some(1),
            _ => None,
        };
        loop {
            let key = KeyName {
                name,
                fail: left == Some(0),
            };
            match map.next_key_seed(key)? {
                None => return Err(A::Error::custom(NESTED)),
                Some(true) if left.is_none() => return map.next_value_seed(Walk { path, ..self }),
                Some(true) => left = left.map(|left: usize| left.saturating_sub(1)),
                Some(false) => {}
            }
            map.next_value::<IgnoredAny>()?;
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Some((Segment::Index(index), path)) = self.path.split_first() else {
            return Err(A::Error::custom(NESTED));
        };
        for _ in 0..*index {
            if seq.next_element::<IgnoredAny>()?.is_none() {
                break;
            }
        }
        seq.next_element_seed(Walk { path, ..self })?;
        Err(A::Error::custom(NESTED))
    }

    /// A tagged value: the tag says nothing to us, the value is behind it.
    fn visit_enum<A: EnumAccess<'de>>(self, _data: A) -> Result<(), A::Error> {
        Err(A::Error::custom(SCALAR))
    }
}

/// Compares a key with a name; fails on it when asked to.
struct KeyName<'p> {
    name: &'p str,
    fail: bool,
}

impl<'de> DeserializeSeed<'de> for KeyName<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyName<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        match (key == self.name, self.fail) {
            (true, true) => Err(E::custom(SCALAR)),
            (same, _) => Ok(same),
        }
    }
}
