//! The calls at each address of a stack.

use super::numbered::Numbered;
use super::tables::Tables;
use super::wire::{Field, Fields, Value, damaged};
use super::{MAX_STRINGS, TOO_MANY, tag};
use crate::decode::{DecodeError, NO_SYMBOL};
use crate::profile::{FrameId, FrameText, Sink};

/// The frames of each location: one for each call that was inlined there, innermost first.
#[derive(Debug)]
pub(super) struct Locations {
    frames: Vec<FrameId>,
    spans: Numbered<(u32, u32)>,
    pub(super) unknown: FrameId,
    /// Calls of functions that are not there.
    pub(super) damage: u64,
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
        }
    }

    /// Takes the next location.
    ///
    /// # Errors
    /// When it is malformed, or there are more calls than any profile has.
    pub(super) fn read<S: Sink>(
        &mut self,
        bytes: &[u8],
        location: &[u8],
        tables: &Tables<'_>,
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
                    let frame = line_frame(bytes, line, tables, sink)?;
                    self.damage += u64::from(frame.is_none());
                    self.frames.push(frame.unwrap_or(self.unknown));
                }
                _ => {}
            }
        }
        if self.frames.len() == start {
            self.frames.push(self.unknown);
        }
        let bound = |at: usize| u32::try_from(at).map_err(|_| damaged(bytes, location, TOO_MANY));
        self.spans
            .insert(id, (bound(start)?, bound(self.frames.len())?));
        Ok(())
    }

    /// The frames of one, if it is there.
    pub(super) fn frames(&self, id: u64) -> Option<&[FrameId]> {
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
    Ok(tables.function(function).map(|(function, file)| {
        sink.frame(FrameText {
            // What the text forms print without a name.
            function: if function.is_empty() {
                NO_SYMBOL
            } else {
                function
            },
            file,
            line: u32::try_from(number).unwrap_or(0),
        })
    }))
}
