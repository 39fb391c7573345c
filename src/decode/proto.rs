//! `profile.proto`, what Go answers by default (`debug=0`), read where it lies.
//!
//! Two passes over the bytes: the first counts and collects the tables, whose strings come last, the second reads
//! the samples. Strings stay bytes, since Go lets labels of any bytes through. Nothing is copied but what the sink
//! keeps. Source: profile.proto of google/pprof; runtime/pprof/{proto,protobuf}.go of Go 1.19 to 1.27.

#[cfg(test)]
mod tests;
mod wire;

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashTable};

use super::{DecodeError, MAX_FRAMES};
use crate::profile::{Encoding, Facts, FrameId, FrameText, Leaf, Sink, Stack, StackId, Summary};
use wire::{Field, Fields, Value, damaged};

/// The most labels read of one sample; programs set a handful.
const MAX_LABELS: usize = 256;
/// The most stacks remembered by their location ids.
const MAX_REMEMBERED: usize = 1 << 15;
/// The most strings, and calls of all locations together. An entry may cost two bytes in the profile and sixteen in
/// memory, so the bytes alone do not bound them. A profile of a million goroutines with labels of their own has a few
/// million strings.
const MAX_STRINGS: usize = 1 << 22;
/// The most functions, and locations. Large programs have a hundred thousand.
const MAX_LOCATIONS: usize = 1 << 20;

/// What is wrong with a profile whose tables exceed that.
const TOO_MANY: &str = "more strings, functions or calls than a profile has";

/// Tags of the messages Profile, `ValueType`, Sample, Label, Location, Line and Function.
mod tag {
    pub(super) mod profile {
        pub(in super::super) const SAMPLE_TYPE: u32 = 1;
        pub(in super::super) const SAMPLE: u32 = 2;
        pub(in super::super) const LOCATION: u32 = 4;
        pub(in super::super) const FUNCTION: u32 = 5;
        pub(in super::super) const STRING_TABLE: u32 = 6;
    }
    pub(super) mod value_type {
        pub(in super::super) const TYPE: u32 = 1;
    }
    pub(super) mod sample {
        pub(in super::super) const LOCATION_ID: u32 = 1;
        pub(in super::super) const VALUE: u32 = 2;
        pub(in super::super) const LABEL: u32 = 3;
    }
    pub(super) mod label {
        pub(in super::super) const KEY: u32 = 1;
        pub(in super::super) const STR: u32 = 2;
    }
    pub(super) mod location {
        pub(in super::super) const ID: u32 = 1;
        pub(in super::super) const LINE: u32 = 4;
    }
    pub(super) mod line {
        pub(in super::super) const FUNCTION_ID: u32 = 1;
        pub(in super::super) const LINE: u32 = 2;
    }
    pub(super) mod function {
        pub(in super::super) const ID: u32 = 1;
        pub(in super::super) const NAME: u32 = 2;
        pub(in super::super) const FILENAME: u32 = 4;
    }
}

/// The length of what is held, for the caller's limit.
pub(super) fn len(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Reads an inflated profile. Cost: about half the time of inflating it; memory besides the bytes is 16 bytes a
/// string, 24 a location and a function, and up to 1 MiB of remembered stacks.
///
/// # Errors
/// When it counts no goroutines, holds the difference of two profiles, or is damaged.
pub(super) fn decode<S: Sink>(bytes: &[u8], sink: &mut S) -> Result<Summary, DecodeError> {
    let tables = Tables::read(bytes)?;
    let (column, leaked_only) = tables.column()?;
    let locations = Locations::read(bytes, &tables, sink)?;
    let mut samples = Samples {
        tables: &tables,
        locations: &locations,
        column,
        leaked_only,
        state: State::default(),
    };
    for field in Fields::new(bytes, bytes) {
        if let Field {
            tag: tag::profile::SAMPLE,
            value: Value::Bytes(sample),
        } = field?
        {
            samples.read(bytes, sample, sink)?;
        }
    }
    Ok(Summary {
        encoding: Encoding::Protobuf,
        leaked_only,
        declared_total: None,
        truncated: false,
        damage: samples.state.damage + locations.damage,
    })
}

/// The tables that samples refer to.
#[derive(Debug, Default)]
struct Tables<'a> {
    strings: Vec<&'a [u8]>,
    /// Name and file of a function, as places in `strings`.
    functions: Numbered<(u64, u64)>,
    sample_types: Vec<u64>,
    locations: usize,
}

impl<'a> Tables<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let (mut strings, mut functions, mut locations) = (0, 0, 0);
        for field in Fields::new(bytes, bytes) {
            match field?.tag {
                tag::profile::STRING_TABLE => strings += 1,
                tag::profile::FUNCTION => functions += 1,
                tag::profile::LOCATION => locations += 1,
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
        };
        for field in Fields::new(bytes, bytes) {
            match field? {
                Field {
                    tag: tag::profile::STRING_TABLE,
                    value: Value::Bytes(text),
                } => tables.strings.push(text),
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
                    tables.functions.insert(id, (name, file));
                }
                Field {
                    tag: tag::profile::SAMPLE_TYPE,
                    value: Value::Bytes(kind),
                } if tables.sample_types.len() < 16 => {
                    let mut name = 0;
                    for field in Fields::new(bytes, kind) {
                        if let Field {
                            tag: tag::value_type::TYPE,
                            value: Value::Number(value),
                        } = field?
                        {
                            name = value;
                        }
                    }
                    tables.sample_types.push(name);
                }
                _ => {}
            }
        }
        Ok(tables)
    }

    fn string(&self, at: u64) -> Option<&'a [u8]> {
        self.strings.get(usize::try_from(at).ok()?).copied()
    }

    /// Which value of a sample counts goroutines, and whether only leaked ones.
    fn column(&self) -> Result<(usize, bool), DecodeError> {
        let found = self
            .sample_types
            .iter()
            .enumerate()
            .find_map(|(column, &name)| match self.string(name)? {
                b"goroutine" => Some((column, false)),
                b"goroutineleak" => Some((column, true)),
                _ => None,
            });
        found.ok_or(DecodeError::NotPprof {
            found: "no protobuf, or one that counts no goroutines",
        })
    }
}

/// Values by ids that Go hands out from 1 on: a vector where they are dense, a map where somebody else wrote them.
#[derive(Debug)]
struct Numbered<T> {
    dense: Vec<Option<T>>,
    sparse: HashMap<u64, T, RandomState>,
    bound: usize,
}

impl<T: Copy> Default for Numbered<T> {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl<T: Copy> Numbered<T> {
    fn with_capacity(entries: usize) -> Self {
        let bound = entries.saturating_mul(2).saturating_add(16);
        Self {
            dense: Vec::with_capacity(entries.saturating_add(1)),
            sparse: HashMap::default(),
            bound,
        }
    }

    fn insert(&mut self, id: u64, value: T) {
        match usize::try_from(id).ok().filter(|&at| at < self.bound) {
            Some(at) => {
                if at >= self.dense.len() {
                    self.dense.resize(at + 1, None);
                }
                if let Some(slot) = self.dense.get_mut(at) {
                    *slot = Some(value);
                }
            }
            None => {
                self.sparse.insert(id, value);
            }
        }
    }

    fn get(&self, id: u64) -> Option<T> {
        match usize::try_from(id).ok().filter(|&at| at < self.bound) {
            Some(at) => self.dense.get(at).copied().flatten(),
            None => self.sparse.get(&id).copied(),
        }
    }
}

/// The frames of each location: one for each call that was inlined there, innermost first.
#[derive(Debug)]
struct Locations {
    frames: Vec<FrameId>,
    spans: Numbered<(u32, u32)>,
    unknown: FrameId,
    /// Calls of functions that are not there.
    damage: u64,
}

impl Locations {
    fn read<S: Sink>(bytes: &[u8], tables: &Tables<'_>, sink: &mut S) -> Result<Self, DecodeError> {
        let unknown = sink.frame(FrameText {
            function: super::NO_SYMBOL,
            file: b"",
            line: 0,
        });
        let mut locations = Self {
            frames: Vec::with_capacity(tables.locations),
            spans: Numbered::with_capacity(tables.locations),
            unknown,
            damage: 0,
        };
        for field in Fields::new(bytes, bytes) {
            let Field {
                tag: tag::profile::LOCATION,
                value: Value::Bytes(location),
            } = field?
            else {
                continue;
            };
            let start = locations.frames.len();
            let mut id = 0;
            for field in Fields::new(bytes, location) {
                match field? {
                    Field {
                        tag: tag::location::ID,
                        value: Value::Number(value),
                    } => id = value,
                    Field {
                        tag: tag::location::LINE,
                        value: Value::Bytes(line),
                    } => {
                        if locations.frames.len() >= MAX_STRINGS {
                            return Err(damaged(bytes, line, TOO_MANY));
                        }
                        let frame = line_frame(bytes, line, tables, sink)?;
                        locations.damage += u64::from(frame.is_none());
                        locations.frames.push(frame.unwrap_or(unknown));
                    }
                    _ => {}
                }
            }
            if locations.frames.len() == start {
                locations.frames.push(unknown);
            }
            let bound =
                |at: usize| u32::try_from(at).map_err(|_| damaged(bytes, location, TOO_MANY));
            locations
                .spans
                .insert(id, (bound(start)?, bound(locations.frames.len())?));
        }
        Ok(locations)
    }

    fn frames(&self, id: u64) -> Option<&[FrameId]> {
        let (start, end) = self.spans.get(id)?;
        self.frames
            .get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
    }
}

fn line_frame<S: Sink>(
    bytes: &[u8],
    line: &[u8],
    tables: &Tables<'_>,
    sink: &mut S,
) -> Result<Option<FrameId>, DecodeError> {
    let (mut function, mut number) = (0, 0);
    for field in Fields::new(bytes, line) {
        match field? {
            Field {
                tag: tag::line::FUNCTION_ID,
                value: Value::Number(value),
            } => function = value,
            Field {
                tag: tag::line::LINE,
                value: Value::Number(value),
            } => number = value,
            _ => {}
        }
    }
    let text = tables
        .functions
        .get(function)
        .and_then(|(name, file)| tables.string(name).zip(tables.string(file)));
    Ok(text.map(|(function, file)| {
        sink.frame(FrameText {
            // What the text forms print without a name.
            function: if function.is_empty() {
                super::NO_SYMBOL
            } else {
                function
            },
            file,
            line: u32::try_from(number).unwrap_or(0),
        })
    }))
}

/// Reads samples.
struct Samples<'t, 'a> {
    tables: &'t Tables<'a>,
    locations: &'t Locations,
    column: usize,
    leaked_only: bool,
    state: State,
}

/// What is kept from sample to sample, so that a sample costs no allocation.
#[derive(Default)]
struct State {
    hasher: RandomState,
    stacks: HashTable<(u64, StackId)>,
    ids: Vec<u64>,
    frames: Vec<FrameId>,
    damage: u64,
}

impl Samples<'_, '_> {
    fn read<S: Sink>(
        &mut self,
        bytes: &[u8],
        sample: &[u8],
        sink: &mut S,
    ) -> Result<(), DecodeError> {
        let state = &mut self.state;
        state.ids.clear();
        let mut labels: Vec<(&[u8], &[u8])> = Vec::new();
        let (mut values, mut count) = (0, 0_u64);
        for field in Fields::new(bytes, sample) {
            match field? {
                Field {
                    tag: tag::sample::LOCATION_ID,
                    value,
                } => {
                    wire::numbers(bytes, value, |id| {
                        // One more than is read, so that a deeper stack is known to be cut.
                        if state.ids.len() <= MAX_FRAMES {
                            state.ids.push(id);
                        }
                    })?;
                }
                Field {
                    tag: tag::sample::VALUE,
                    value,
                } => {
                    wire::numbers(bytes, value, |value| {
                        if values == self.column {
                            count = value;
                        }
                        values += 1;
                    })?;
                }
                Field {
                    tag: tag::sample::LABEL,
                    value: Value::Bytes(label),
                } if sink.wants_labels() && labels.len() < MAX_LABELS => {
                    labels.extend(self.tables.label(bytes, label)?);
                }
                _ => {}
            }
        }
        if i64::try_from(count).is_err() {
            return Err(damaged(
                bytes,
                sample,
                "a negative count (the difference of two profiles?)",
            ));
        }
        if values <= self.column || count > super::MAX_COUNT {
            state.damage += 1;
            return Ok(());
        }
        if count == 0 {
            return Ok(());
        }
        let hash = state.hasher.hash_one(&state.ids);
        let known = state
            .stacks
            .find(hash, |(known, _)| *known == hash)
            .map(|(_, stack)| *stack);
        let stack = known.unwrap_or_else(|| {
            state.frames.clear();
            for &id in &state.ids {
                let room = MAX_FRAMES - state.frames.len();
                if room == 0 {
                    break;
                }
                if let Some(frames) = self.locations.frames(id) {
                    state.frames.extend(frames.iter().take(room));
                } else {
                    state.damage += 1;
                    state.frames.push(self.locations.unknown);
                }
            }
            let root_cut = super::is_cut_depth(state.ids.len()) || state.frames.len() == MAX_FRAMES;
            let stack = sink.stack(Stack {
                frames: &state.frames,
                leaf: Leaf::Complete,
                root_cut,
            });
            if stack != StackId::TRANSIENT && state.stacks.len() < MAX_REMEMBERED {
                state
                    .stacks
                    .insert_unique(hash, (hash, stack), |(hash, _)| *hash);
            }
            stack
        });
        let not_started = state.ids.is_empty();
        sink.goroutines(
            stack,
            &Facts {
                count,
                leaked: self.leaked_only,
                not_started,
                labels: &labels,
                ..Facts::default()
            },
        );
        Ok(())
    }
}

/// Key and value of a label, where it is one of text.
type TextLabel<'a> = Option<(&'a [u8], &'a [u8])>;

impl<'a> Tables<'a> {
    fn label(&self, bytes: &[u8], label: &[u8]) -> Result<TextLabel<'a>, DecodeError> {
        let (mut key, mut text) = (0, 0);
        for field in Fields::new(bytes, label) {
            match field? {
                Field {
                    tag: tag::label::KEY,
                    value: Value::Number(value),
                } => key = value,
                Field {
                    tag: tag::label::STR,
                    value: Value::Number(value),
                } => text = value,
                _ => {}
            }
        }
        Ok(self.string(key).zip(self.string(text)))
    }
}
