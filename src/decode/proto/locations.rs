//! The calls at each address of a stack.

use super::numbered::Numbered;
use super::tables::Tables;
use super::wire::{Field, Fields, Value, damaged};
use super::{MAX_STRINGS, TOO_MANY, tag};
use crate::decode::{DecodeError, NO_SYMBOL};
use crate::profile::{FrameId, FrameText, Sink};

/// The most bytes of names that all calls together may have. A call takes five bytes in the profile and may name a
/// function whose name fills the rest of it, while a sink reads the name of every call.
const MAX_NAME_BYTES: usize = 1 << 29;

/// What is wrong with a profile that exceeds it.
const TOO_LONG: &str = "longer names of its calls than a profile has";

/// The frames of each location: one for each call that was inlined there, innermost first.
#[derive(Debug)]
pub(super) struct Locations {
    frames: Vec<FrameId>,
    spans: Numbered<(u32, u32)>,
    pub(super) unknown: FrameId,
    /// Calls of functions that are not there.
    pub(super) damage: u64,
    /// Bytes of names handed on so far, as often as they were.
    name_bytes: usize,
}

impl Locations {
    /// None yet; room for all of `tables`.
    pub(super) fn new<S: Sink>(tables: &Tables<'_>, sink: &mut S) -> Self {
        Self {
            frames: Vec::with_capacity(tables.locations),
            spans: Numbered::with_capacity(tables.locations),
            unknown: sink.frame(FrameText {
                function: NO_SYMBOL,
                file: b"",
                line: 0,
            }),
            damage: 0,
            name_bytes: 0,
        }
    }

    /// Takes the next location.
    ///
    /// # Errors
    /// When it is malformed, or there are more calls, or longer names of them, than any profile has.
    pub(super) fn read<'a, S: Sink>(
        &mut self,
        bytes: &'a [u8],
        location: &'a [u8],
        tables: &Tables<'a>,
        sink: &mut S,
    ) -> Result<(), DecodeError> {
        let start = self.frames.len();
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
                    if self.frames.len() >= MAX_STRINGS {
                        return Err(damaged(bytes, line, TOO_MANY));
                    }
                    let frame = call(bytes, line, tables)?;
                    self.damage += u64::from(frame.is_none());
                    let frame = if let Some(frame) = frame {
                        self.name_bytes += frame.function.len() + frame.file.len();
                        if self.name_bytes > MAX_NAME_BYTES {
                            return Err(damaged(bytes, line, TOO_LONG));
                        }
                        sink.frame(frame)
                    } else {
                        self.unknown
                    };
                    self.frames.push(frame);
                }
                _ => {}
            }
        }
        if self.frames.len() == start {
            self.frames.push(self.unknown);
        }
        let bound = |at: usize| u32::try_from(at).map_err(|_| damaged(bytes, location, TOO_MANY));
        self.spans
            .insert(id, (bound(start)?, bound(self.frames.len())?))
            .ok_or_else(|| damaged(bytes, location, TOO_MANY))
    }

    /// The frames of one, if it is there.
    pub(super) fn frames(&self, id: u64) -> Option<&[FrameId]> {
        let (start, end) = self.spans.get(id)?;
        self.frames
            .get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
    }
}

/// The call that a line stands for; nothing when its function is not there.
fn call<'a>(
    bytes: &'a [u8],
    line: &'a [u8],
    tables: &Tables<'a>,
) -> Result<Option<FrameText<'a>>, DecodeError> {
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
    Ok(tables.function(function).map(|(function, file)| FrameText {
        // What the text forms print without a name.
        function: if function.is_empty() {
            NO_SYMBOL
        } else {
            function
        },
        file,
        line: u32::try_from(number).unwrap_or(0),
    }))
}
