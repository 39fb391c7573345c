//! The tables that samples refer to, and what they say is counted.

use std::ops::Range;

use super::numbered::Numbered;
use super::wire::{Field, Fields, Value, damaged};
use super::{MAX_LOCATIONS, MAX_STRINGS, TOO_MANY, tag};
use crate::decode::{DecodeError, Wanted};

/// The label with a goroutine's number, which a profile with one sample for each goroutine has (CockroachDB's
/// `debug=3`).
pub(super) const GOROUTINE_ID: &[u8] = b"go::goroutine";

/// The most kinds of values looked at; Go writes up to four.
const MAX_SAMPLE_TYPES: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Tables<'a> {
    strings: Vec<&'a [u8]>,
    /// Name and file of a function, as places in `strings`.
    functions: Numbered<(u32, u32)>,
    /// What a value counts, and its unit, as places in `strings`.
    sample_types: Vec<(u64, u64)>,
    /// How many locations there are.
    pub(super) locations: usize,
    /// Where samples lie, and locations and mappings: Go writes those of a kind beside each other, so that what is read
    /// later need not be looked for everywhere.
    pub(super) samples_at: Range<usize>,
    pub(super) places_at: Range<usize>,
    /// Whether samples may say which goroutine they are.
    pub(super) has_ids: bool,
}

/// Which values of a sample are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Columns {
    /// The one that counts.
    pub(super) count: usize,
    /// The one with nanoseconds of delay.
    pub(super) delay: Option<usize>,
    /// Whether only leaked goroutines are counted.
    pub(super) leaked_only: bool,
}

/// Makes a range reach over another, which lies behind its start.
fn widen(range: &mut Range<usize>, other: Range<usize>) {
    if range.end == 0 {
        range.start = other.start;
    }
    range.end = other.end;
}

impl<'a> Tables<'a> {
    /// Collects them, in two passes over the bytes.
    ///
    /// # Errors
    /// When the profile is damaged, or has more of something than any profile.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let (mut strings, mut functions, mut locations) = (0, 0, 0);
        let (mut samples_at, mut places_at) = (0..0, 0..0);
        let mut fields = Fields::new(bytes, bytes);
        let mut start = 0;
        while let Some(field) = fields.next() {
            let at = start..fields.offset();
            start = at.end;
            match field?.tag {
                tag::profile::SAMPLE => widen(&mut samples_at, at),
                tag::profile::MAPPING => widen(&mut places_at, at),
                tag::profile::LOCATION => {
                    locations += 1;
                    widen(&mut places_at, at);
                }
                tag::profile::STRING_TABLE => strings += 1,
                tag::profile::FUNCTION => functions += 1,
                _ => {}
            }
        }
        if strings > MAX_STRINGS || functions > MAX_LOCATIONS || locations > MAX_LOCATIONS {
            return Err(damaged(bytes, bytes, TOO_MANY));
        }
        let mut tables = Self {
            strings: Vec::with_capacity(strings),
            functions: Numbered::with_capacity(functions),
            sample_types: Vec::new(),
            locations,
            samples_at,
            places_at,
            has_ids: false,
        };
        for field in Fields::new(bytes, bytes) {
            match field? {
                Field {
                    tag: tag::profile::STRING_TABLE,
                    value: Value::Bytes(text),
                } => {
                    tables.has_ids |= text == GOROUTINE_ID;
                    tables.strings.push(text);
                }
                Field {
                    tag: tag::profile::FUNCTION,
                    value: Value::Bytes(function),
                } => {
                    let (mut id, mut name, mut file) = (0, 0, 0);
                    for field in Fields::new(bytes, function) {
                        match field? {
                            Field {
                                tag: tag::function::ID,
                                value: Value::Number(value),
                            } => id = value,
                            Field {
                                tag: tag::function::NAME,
                                value: Value::Number(value),
                            } => name = value,
                            Field {
                                tag: tag::function::FILENAME,
                                value: Value::Number(value),
                            } => file = value,
                            _ => {}
                        }
                    }
                    // A place that takes more bits lies beyond any string table, as this one does.
                    let place = |at: u64| u32::try_from(at).unwrap_or(u32::MAX);
                    tables
                        .functions
                        .insert(id, (place(name), place(file)))
                        .ok_or_else(|| damaged(bytes, function, TOO_MANY))?;
                }
                Field {
                    tag: tag::profile::SAMPLE_TYPE,
                    value: Value::Bytes(kind),
                } if tables.sample_types.len() < MAX_SAMPLE_TYPES => {
                    let (mut name, mut unit) = (0, 0);
                    for field in Fields::new(bytes, kind) {
                        match field? {
                            Field {
                                tag: tag::value_type::TYPE,
                                value: Value::Number(value),
                            } => name = value,
                            Field {
                                tag: tag::value_type::UNIT,
                                value: Value::Number(value),
                            } => unit = value,
                            _ => {}
                        }
                    }
                    tables.sample_types.push((name, unit));
                }
                _ => {}
            }
        }
        Ok(tables)
    }

    /// An entry of the string table.
    pub(super) fn string(&self, at: u64) -> Option<&'a [u8]> {
        self.strings.get(usize::try_from(at).ok()?).copied()
    }

    /// Symbol and source file of a function.
    pub(super) fn function(&self, id: u64) -> Option<(&'a [u8], &'a [u8])> {
        let (name, file) = self.functions.get(id)?;
        self.string(name.into()).zip(self.string(file.into()))
    }

    /// Which values of a sample are those wanted.
    ///
    /// # Errors
    /// When the profile counts something else.
    pub(super) fn columns(&self, wanted: Wanted) -> Result<Columns, DecodeError> {
        let plain = |count| Columns {
            count,
            ..Columns::default()
        };
        let leaked = |count| Columns {
            leaked_only: true,
            ..plain(count)
        };
        let columns = match wanted {
            Wanted::Goroutines => {
                let any = self.column(b"goroutine").map(plain);
                any.or_else(|| self.column(b"goroutineleak").map(leaked))
            }
            Wanted::Contention => {
                let both = self.column(b"contentions").zip(self.delay());
                both.map(|(count, delay)| Columns {
                    delay: Some(delay),
                    ..plain(count)
                })
            }
            Wanted::Threads => self.column(b"threadcreate").map(plain),
        };
        columns.ok_or_else(|| DecodeError::NotPprof {
            found: self.kind().unwrap_or(match wanted {
                Wanted::Goroutines => "no protobuf, or one that counts no goroutines",
                Wanted::Contention => "no protobuf, or one that counts no contention",
                Wanted::Threads => "no protobuf, or one that counts no threads",
            }),
        })
    }

    fn column(&self, name: &[u8]) -> Option<usize> {
        self.sample_types
            .iter()
            .position(|&(kind, _)| self.string(kind) == Some(name))
    }

    fn delay(&self) -> Option<usize> {
        self.sample_types.iter().position(|&(kind, unit)| {
            self.string(kind) == Some(b"delay") && self.string(unit) == Some(b"nanoseconds")
        })
    }

    /// What profile of Go this is.
    fn kind(&self) -> Option<&'static str> {
        self.sample_types
            .iter()
            .find_map(|&(kind, _)| match self.string(kind)? {
                b"goroutine" => Some("a profile of goroutines"),
                b"goroutineleak" => Some("a profile of leaked goroutines"),
                b"contentions" => Some("a profile of contention"),
                b"threadcreate" => Some("a profile of threads"),
                b"cpu" => Some("a profile of the processor"),
                b"inuse_space" | b"alloc_space" => Some("a profile of the heap"),
                _ => None,
            })
    }
}
