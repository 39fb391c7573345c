//! Samples: stacks with their counts, and labels where somebody wants them.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::locations::Locations;
use super::tables::{Columns, GOROUTINE_ID, Tables};
use super::tag;
use super::wire::{self, Field, Fields, Value, damaged};
use crate::decode::{DecodeError, MAX_COUNT, MAX_FRAMES, Wanted, is_cut_depth};
use crate::profile::{Facts, FrameId, Leaf, Sink, Stack, StackId};

/// The most labels read of one sample; programs set a handful.
const MAX_LABELS: usize = 256;
/// The most stacks remembered by their location ids.
const MAX_REMEMBERED: usize = 1 << 15;

/// How many calls all stacks together may have, for each byte of the profile and beside them. An address takes a byte at
/// least and stands for one call, or a few that were inlined there; a made-up one may stand for five hundred.
const CALLS_A_BYTE: usize = 4;
const CALLS_AT_LEAST: usize = 1 << 20;

/// What is wrong with a profile that exceeds it.
const TOO_DEEP: &str = "more calls in its stacks than a profile has";

/// Labels of one sample that say what `debug=2` says in its header; the one with the number is [`GOROUTINE_ID`]. Source:
/// `debug=3` of CockroachDB's Go, runtime/pprof/pprof.go.
const STATE: &[u8] = b"go::goroutine_state";
const WAIT_MINUTES: &[u8] = b"go::goroutine_wait_minutes";
/// The number of the goroutine that made it, which names no function.
const CREATED_BY: &[u8] = b"go::goroutine_created_by";

/// Reads samples.
pub(super) struct Samples<'t, 'a> {
    bytes: &'a [u8],
    tables: &'t Tables<'a>,
    locations: &'t Locations,
    wanted: Wanted,
    columns: Columns,
    /// Whether labels are looked at: few profiles have any that matter.
    labelled: bool,
    /// Samples that could not be read.
    pub(super) damage: u64,
    /// How many calls the stacks to come may have.
    calls_left: usize,
    hasher: RandomState,
    stacks: HashTable<(u64, StackId)>,
    // What follows is kept from sample to sample, so that a sample costs no allocation.
    written: Vec<Value<'a>>,
    ids: Vec<u64>,
    frames: Vec<FrameId>,
    labels: Vec<(&'a [u8], &'a [u8])>,
}

/// What the labels of CockroachDB's `debug=3` say of a goroutine.
#[derive(Clone, Copy, Debug, Default)]
struct Said<'a> {
    id: Option<u64>,
    minutes: Option<u64>,
    state: Option<&'a [u8]>,
}

impl<'t, 'a> Samples<'t, 'a> {
    /// A reader of the samples in `bytes`.
    pub(super) fn new<S: Sink>(
        bytes: &'a [u8],
        tables: &'t Tables<'a>,
        locations: &'t Locations,
        (wanted, columns): (Wanted, Columns),
        sink: &S,
    ) -> Self {
        Self {
            bytes,
            tables,
            locations,
            wanted,
            columns,
            labelled: wanted == Wanted::Goroutines && (tables.has_ids || sink.wants_labels()),
            damage: 0,
            calls_left: bytes
                .len()
                .saturating_mul(CALLS_A_BYTE)
                .saturating_add(CALLS_AT_LEAST),
            hasher: RandomState::default(),
            stacks: HashTable::new(),
            written: Vec::new(),
            ids: Vec::new(),
            frames: Vec::new(),
            labels: Vec::new(),
        }
    }

    /// Takes the next sample.
    ///
    /// # Errors
    /// When it is malformed, counts what only the difference of two profiles can, or stacks have more calls than any
    /// profile's.
    pub(super) fn read<S: Sink>(
        &mut self,
        sample: &'a [u8],
        sink: &mut S,
    ) -> Result<(), DecodeError> {
        self.written.clear();
        self.labels.clear();
        let mut said = Said::default();
        let (mut values, mut count, mut delay) = (0, 0_u64, 0_u64);
        for field in Fields::new(self.bytes, sample) {
            match field? {
                Field {
                    tag: tag::sample::LOCATION_ID,
                    value,
                    // One more than is read, so that a deeper stack is known to be cut.
                } if self.written.len() <= MAX_FRAMES && value != Value::Bytes(&[]) => {
                    wire::ends_with_a_number(self.bytes, value)?;
                    self.written.push(value);
                }
                Field {
                    tag: tag::sample::VALUE,
                    value,
                } => {
                    wire::numbers(self.bytes, value, |value| {
                        if values == self.columns.count {
                            count = value;
                        }
                        if self.columns.delay == Some(values) {
                            delay = value;
                        }
                        values += 1;
                    })?;
                }
                Field {
                    tag: tag::sample::LABEL,
                    value: Value::Bytes(label),
                } if self.labelled => self.label(label, &mut said, sink.wants_labels())?,
                _ => {}
            }
        }
        if [count, delay]
            .iter()
            .any(|&value| i64::try_from(value).is_err())
        {
            return Err(damaged(
                self.bytes,
                sample,
                "a negative count (the difference of two profiles?)",
            ));
        }
        let most = match self.wanted {
            Wanted::Goroutines | Wanted::Threads => MAX_COUNT,
            // Events of months add up.
            Wanted::Contention => u64::MAX,
        };
        if values <= self.columns.count.max(self.columns.delay.unwrap_or(0)) || count > most {
            self.damage += 1;
            return Ok(());
        }
        if count == 0 && delay == 0 {
            return Ok(());
        }
        let stack = self.stack(sample, sink)?;
        sink.count(
            stack,
            &Facts {
                count,
                delay_nanoseconds: delay,
                wait_reason: said.state,
                waited_minutes: said.minutes,
                id: said.id,
                leaked: self.columns.leaked_only,
                not_started: self.wanted == Wanted::Goroutines && self.written.is_empty(),
                labels: &self.labels,
                ..Facts::default()
            },
        );
        Ok(())
    }

    /// The number of the stack at hand. The ids of one that was met before are not even read.
    fn stack<S: Sink>(&mut self, sample: &'a [u8], sink: &mut S) -> Result<StackId, DecodeError> {
        let hash = self.hasher.hash_one(&self.written);
        if let Some(&(_, known)) = self.stacks.find(hash, |(known, _)| *known == hash) {
            return Ok(known);
        }
        self.ids.clear();
        for &value in &self.written {
            wire::numbers(self.bytes, value, |id| {
                if self.ids.len() <= MAX_FRAMES {
                    self.ids.push(id);
                }
            })?;
        }
        self.frames.clear();
        for &id in &self.ids {
            let room = MAX_FRAMES - self.frames.len();
            if room == 0 {
                break;
            }
            if let Some(frames) = self.locations.frames(id) {
                self.frames.extend(frames.iter().take(room));
            } else {
                self.damage += 1;
                self.frames.push(self.locations.unknown);
            }
        }
        self.calls_left = self
            .calls_left
            .checked_sub(self.frames.len())
            .ok_or_else(|| damaged(self.bytes, sample, TOO_DEEP))?;
        let stack = sink.stack(Stack {
            frames: &self.frames,
            leaf: Leaf::Complete,
            root_cut: is_cut_depth(self.ids.len()) || self.frames.len() == MAX_FRAMES,
        });
        if stack != StackId::TRANSIENT && self.stacks.len() < MAX_REMEMBERED {
            self.stacks
                .insert_unique(hash, (hash, stack), |(hash, _)| *hash);
        }
        Ok(stack)
    }

    fn label(
        &mut self,
        label: &[u8],
        said: &mut Said<'a>,
        wanted: bool,
    ) -> Result<(), DecodeError> {
        let (mut key, mut text, mut number) = (0, 0, 0);
        for field in Fields::new(self.bytes, label) {
            let Field {
                tag,
                value: Value::Number(value),
            } = field?
            else {
                continue;
            };
            match tag {
                tag::label::KEY => key = value,
                tag::label::STR => text = value,
                tag::label::NUM => number = value,
                _ => {}
            }
        }
        let Some((key, text)) = self.tables.string(key).zip(self.tables.string(text)) else {
            return Ok(());
        };
        // Zero is not written, and a number below it none of Go's.
        let number = Some(number).filter(|&number| number > 0 && i64::try_from(number).is_ok());
        match key {
            GOROUTINE_ID => said.id = number,
            WAIT_MINUTES => said.minutes = number,
            STATE => said.state = Some(text).filter(|text| !text.is_empty()),
            CREATED_BY => {}
            _ if wanted && self.labels.len() < MAX_LABELS => self.labels.push((key, text)),
            _ => {}
        }
        Ok(())
    }
}
