//! The bytes of a trace: header, numbers, batches and the events inside them.
//!
//! Shape: 16 bytes `go 1.NN trace` and three zeros, then batches: `0x01 generation thread time size` and as many bytes
//! (`0x31` and one byte more for experiments, which are skipped), and from format 1.26 on a single `0x34` behind each
//! generation. All numbers are unsigned LEB128 of at most 10 bytes, not always in their shortest form. Source:
//! internal/trace/{batch,generation}.go and internal/trace/tracev2 of Go 1.27.3, runtime/trace*.go of Go 1.22 to 1.27.

use super::Refusal;

/// Bytes of the header.
pub(super) const HEADER_BYTES: usize = 16;
/// The most bytes of a batch (tracev2.MaxBatchSize).
const MAX_BATCH_BYTES: u64 = 64 << 10;
/// The most bytes of one number.
const MAX_NUMBER_BYTES: usize = 10;
/// The most bytes before the content of a batch: two of kind, four numbers.
const MAX_BATCH_HEAD: usize = 2 + 4 * MAX_NUMBER_BYTES;
/// The most arguments of an event behind its time.
pub(super) const MAX_ARGUMENTS: usize = 4;

/// The first byte of what stands between batches.
const EVENT_BATCH: u8 = 1;
const EXPERIMENTAL_BATCH: u8 = 49;
const END_OF_GENERATION: u8 = 52;

/// The first byte of a batch that holds a table.
const STACKS: u8 = 2;
const STRINGS: u8 = 4;
const SAMPLES: u8 = 6;
pub(super) const FREQUENCY: u8 = 8;
pub(super) const SYNC: u8 = 50;

/// The form of a trace, by the number in its header: the version of Go that introduced it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// Go 1.22.
    Go122,
    /// Go 1.23 and 1.24: coroutines, and the stacks of goroutines that stay parked.
    Go123,
    /// Go 1.25: clocks.
    Go125,
    /// Go 1.26 and 1.27: every generation says where it ends.
    Go126,
}

impl Format {
    /// As the header writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Go122 => "1.22",
            Self::Go123 => "1.23",
            Self::Go125 => "1.25",
            Self::Go126 => "1.26",
        }
    }

    /// Reads a header.
    pub(super) fn read(header: &[u8]) -> Result<Self, Refusal> {
        let minor = header
            .strip_prefix(b"go 1.")
            .and_then(|rest| rest.strip_suffix(b" trace\0\0\0"))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| digits.parse::<u8>().ok())
            .ok_or(Refusal::NotATrace)?;
        match minor {
            0..22 => Err(Refusal::TooOld { minor }),
            22 => Ok(Self::Go122),
            23 => Ok(Self::Go123),
            25 => Ok(Self::Go125),
            26 => Ok(Self::Go126),
            _ => Err(Refusal::UnknownFormat { minor }),
        }
    }

    /// Whether a byte of its own ends a generation.
    pub(super) fn says_ends(self) -> bool {
        self >= Self::Go126
    }

    /// The first byte of the batch that every generation has one of.
    pub(super) fn sync(self) -> u8 {
        if self >= Self::Go125 { SYNC } else { FREQUENCY }
    }

    /// Whether events of this number may stand in a trace of this form.
    fn knows(self, number: u8) -> bool {
        let last = match self {
            Self::Go122 => 44,
            Self::Go123 => 49,
            Self::Go125 => 51,
            Self::Go126 => 52,
        };
        number <= last || (number >= 128 && self >= Self::Go123)
    }
}

/// The numbers of the events that are looked at; all others are only stepped over.
pub(super) mod event {
    pub(crate) const PROCS_CHANGE: u8 = 9;
    pub(crate) const GO_CREATE: u8 = 14;
    pub(crate) const GO_CREATE_SYSCALL: u8 = 15;
    pub(crate) const GO_START: u8 = 16;
    pub(crate) const GO_DESTROY: u8 = 17;
    pub(crate) const GO_DESTROY_SYSCALL: u8 = 18;
    pub(crate) const GO_STOP: u8 = 19;
    pub(crate) const GO_BLOCK: u8 = 20;
    pub(crate) const GO_UNBLOCK: u8 = 21;
    pub(crate) const GO_SYSCALL_BEGIN: u8 = 22;
    pub(crate) const GO_SYSCALL_END: u8 = 23;
    pub(crate) const GO_SYSCALL_END_BLOCKED: u8 = 24;
    pub(crate) const GO_STATUS: u8 = 25;
    pub(crate) const STW_BEGIN: u8 = 26;
    pub(crate) const STW_END: u8 = 27;
    pub(crate) const GC_ACTIVE: u8 = 28;
    pub(crate) const GC_BEGIN: u8 = 29;
    pub(crate) const GC_END: u8 = 30;
    pub(crate) const SWEEP_BEGIN: u8 = 32;
    pub(crate) const SWEEP_END: u8 = 33;
    pub(crate) const ASSIST_ACTIVE: u8 = 34;
    pub(crate) const ASSIST_BEGIN: u8 = 35;
    pub(crate) const ASSIST_END: u8 = 36;
    pub(crate) const HEAP_ALLOC: u8 = 37;
    pub(crate) const HEAP_GOAL: u8 = 38;
    pub(crate) const GO_LABEL: u8 = 39;
    pub(crate) const GO_SWITCH: u8 = 45;
    pub(crate) const GO_SWITCH_DESTROY: u8 = 46;
    pub(crate) const GO_CREATE_BLOCKED: u8 = 47;
    pub(crate) const GO_STATUS_STACK: u8 = 48;
}

/// How many numbers follow the time of an event; nothing for what is no timed event.
const fn arguments(number: u8) -> Option<usize> {
    Some(match number {
        11 | 17 | 18 | 23 | 24 | 27 | 36 => 0,
        15 | 28 | 30..=32 | 34 | 35 | 37..=39 | 130 | 133 | 136 => 1,
        9 | 10 | 13 | 16 | 19 | 20 | 22 | 26 | 29 | 33 | 41 | 45 | 46 | 131 | 132 | 134 | 135 => 2,
        12 | 14 | 21 | 25 | 42 | 43 | 47 | 128 | 129 => 3,
        40 | 44 | 48 => 4,
        _ => return None,
    })
}

/// [`arguments`] by number; [`NO_EVENT`] for none.
const ARGUMENTS: [u8; 256] = {
    let mut table = [NO_EVENT; 256];
    let mut number = 0_u8;
    loop {
        if let Some(count) = arguments(number) {
            #[expect(
                clippy::as_conversions,
                clippy::cast_possible_truncation,
                clippy::indexing_slicing,
                reason = "worked out when it is compiled; there are at most four arguments"
            )]
            {
                table[number as usize] = count as u8;
            }
        }
        if number == u8::MAX {
            break table;
        }
        number += 1;
    }
};
const NO_EVENT: u8 = u8::MAX;

/// What is read from bytes, front to back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    /// The next number; nothing at the end, or when there is none.
    #[inline]
    pub(super) fn number(&mut self) -> Option<u64> {
        match *self.0 {
            [low, ref rest @ ..] if low < 0x80 => {
                self.0 = rest;
                Some(u64::from(low))
            }
            [low, high, ref rest @ ..] if high < 0x80 => {
                self.0 = rest;
                Some(u64::from(low & 0x7f) | u64::from(high) << 7)
            }
            _ => self.long_number(),
        }
    }

    fn long_number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for (at, &byte) in self.0.iter().take(MAX_NUMBER_BYTES).enumerate() {
            let part = u64::from(byte & 0x7f);
            // The tenth byte holds one bit.
            if at + 1 == MAX_NUMBER_BYTES && byte > 1 {
                return None;
            }
            number |= part << (7 * at);
            if byte < 0x80 {
                self.0 = self.0.get(at + 1..)?;
                return Some(number);
            }
        }
        None
    }
}

/// What stands next in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A batch.
    Batch(Batch),
    /// The generation ends here.
    End,
    /// More bytes are needed to tell.
    Cut,
    /// No batch begins here, or its size is out of bounds: nothing behind it can be found.
    Broken,
}

/// Where a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// What it holds.
    pub(super) kind: Kind,
    /// The generation it belongs to.
    pub(super) generation: u64,
    /// The thread that wrote it.
    pub(super) thread: u64,
    /// From where its events count their time.
    pub(super) time: u64,
    /// Bytes before its content.
    pub(super) head: usize,
    /// Bytes of its content.
    pub(super) size: usize,
}

/// What a batch holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Events of a thread.
    Events,
    Stacks,
    Strings,
    /// Frequency and clocks.
    Sync,
    /// What nothing is made of: samples of a CPU profile, experiments, nothing at all.
    Other,
}

/// Looks at what `bytes` begin with.
pub(super) fn piece(bytes: &[u8], format: Format) -> Piece {
    let mut at = Bytes(bytes);
    let experimental = match at.byte() {
        None => return Piece::Cut,
        Some(EVENT_BATCH) => false,
        Some(EXPERIMENTAL_BATCH) if format.knows(EXPERIMENTAL_BATCH) => true,
        Some(END_OF_GENERATION) if format.says_ends() => return Piece::End,
        Some(_) => return Piece::Broken,
    };
    let mut numbers = || {
        if experimental {
            at.byte()?;
        }
        Some((at.number()?, at.number()?, at.number()?, at.number()?))
    };
    let Some((generation, thread, time, size)) = numbers() else {
        // A number may be cut at the end, and so many bytes hold four of any length.
        return if bytes.len() < MAX_BATCH_HEAD {
            Piece::Cut
        } else {
            Piece::Broken
        };
    };
    if size > MAX_BATCH_BYTES || generation == 0 {
        return Piece::Broken;
    }
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if at.0.len() < size {
        return Piece::Cut;
    }
    let kind = match at.0.first() {
        _ if experimental || size == 0 => Kind::Other,
        Some(&STACKS) => Kind::Stacks,
        Some(&STRINGS) => Kind::Strings,
        Some(&SAMPLES) => Kind::Other,
        Some(&first) if first == format.sync() => Kind::Sync,
        _ => Kind::Events,
    };
    Piece::Batch(Batch {
        kind,
        generation,
        thread,
        time,
        head: bytes.len() - at.0.len(),
        size,
    })
}

/// An event whose arguments were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// Its number.
    pub(super) number: u8,
    /// What follows its time; zeros beyond.
    pub(super) arguments: [u64; MAX_ARGUMENTS],
}

/// Number and time since the event before of the next event; nothing when no event of this form begins here.
#[inline]
pub(super) fn event_head(bytes: &mut Bytes<'_>, format: Format) -> Option<(u8, u64)> {
    let number = bytes.byte()?;
    let known = ARGUMENTS
        .get(usize::from(number))
        .is_some_and(|&count| count != NO_EVENT);
    if !known || !format.knows(number) {
        return None;
    }
    Some((number, bytes.number()?))
}

/// The arguments of the event whose head was read.
#[inline]
pub(super) fn event_arguments(bytes: &mut Bytes<'_>, number: u8) -> Option<Event> {
    let count = usize::from(*ARGUMENTS.get(usize::from(number))?);
    let mut event = Event {
        number,
        ..Event::default()
    };
    for argument in event.arguments.iter_mut().take(count) {
        *argument = bytes.number()?;
    }
    Some(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_length_are_read_and_longer_ones_are_not() {
        let check = |bytes: &[u8], expected: Option<u64>| {
            let mut at = Bytes(bytes);
            assert_eq!(at.number(), expected, "{bytes:x?}");
            if expected.is_some() {
                assert_eq!(at.0, b"", "{bytes:x?}");
            }
        };
        check(&[0], Some(0));
        check(&[0x7f], Some(127));
        check(&[0x80, 1], Some(128));
        check(&[0x81, 0x80, 0x80, 0], Some(1));
        check(
            &[0xac, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0],
            Some(44),
        );
        check(
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            Some(u64::MAX),
        );
        check(
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
            None,
        );
        check(&[0x80; 10], None);
        check(&[0x80], None);
        check(&[], None);
    }

    #[test]
    fn headers_are_told_apart() {
        let check = |text: &str, expected: Result<Format, Refusal>| {
            let header = [text.as_bytes(), b"\0\0\0"].concat();
            assert_eq!(Format::read(&header), expected, "{text}");
        };
        check("go 1.22 trace", Ok(Format::Go122));
        check("go 1.23 trace", Ok(Format::Go123));
        check("go 1.25 trace", Ok(Format::Go125));
        check("go 1.26 trace", Ok(Format::Go126));
        check("go 1.21 trace", Err(Refusal::TooOld { minor: 21 }));
        check("go 1.11 trace", Err(Refusal::TooOld { minor: 11 }));
        check("go 1.24 trace", Err(Refusal::UnknownFormat { minor: 24 }));
        check("go 1.27 trace", Err(Refusal::UnknownFormat { minor: 27 }));
        check("go 1.99 trace", Err(Refusal::UnknownFormat { minor: 99 }));
        check("go 2.22 trace", Err(Refusal::NotATrace));
        check("<html><head>", Err(Refusal::NotATrace));
    }

    #[test]
    fn every_event_of_the_runtime_has_its_arguments() {
        // internal/trace/tracev2/events.go of Go 1.27.3: the arguments of each timed event behind dt.
        let spec = [
            (9, 2),
            (10, 2),
            (11, 0),
            (12, 3),
            (13, 2),
            (14, 3),
            (15, 1),
            (16, 2),
            (17, 0),
            (18, 0),
            (19, 2),
            (20, 2),
            (21, 3),
            (22, 2),
            (23, 0),
            (24, 0),
            (25, 3),
            (26, 2),
            (27, 0),
            (28, 1),
            (29, 2),
            (30, 1),
            (31, 1),
            (32, 1),
            (33, 2),
            (34, 1),
            (35, 1),
            (36, 0),
            (37, 1),
            (38, 1),
            (39, 1),
            (40, 4),
            (41, 2),
            (42, 3),
            (43, 3),
            (44, 4),
            (45, 2),
            (46, 2),
            (47, 3),
            (48, 4),
            (128, 3),
            (129, 3),
            (130, 1),
            (131, 2),
            (132, 2),
            (133, 1),
            (134, 2),
            (135, 2),
            (136, 1),
        ];
        let table: Vec<(u8, usize)> = (0..=u8::MAX)
            .filter_map(|number| arguments(number).map(|count| (number, count)))
            .collect();
        assert_eq!(table, spec);
    }
}
