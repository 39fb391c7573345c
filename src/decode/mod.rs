//! Bytes of a profile in, goroutines, contentions or threads pushed into a [`Sink`].
//!
//! The encoding is recognised from the bytes: gzip, protobuf (`debug=0`), counted text (`debug=1`), a block a
//! goroutine (`debug=2`, panics, SIGQUIT, logs that hold such a dump). Text is read as a stream in bounded memory;
//! a protobuf is held whole, since Go writes its string table last. Input is hostile: nothing here panics or
//! recurses on it, and whatever cannot be read is counted in [`Summary::damage`].

mod debug1;
mod debug2;
mod gzip;
mod hidden;
pub mod logs;
pub mod messages;
mod proto;
#[cfg(test)]
mod recorder;
#[cfg(test)]
mod tests;
mod text;

use debug1::Debug1;
use debug2::Debug2;

use crate::profile::{Sink, Summary};

/// How many bytes are looked at to recognise an encoding: what precedes the first line of `debug=1`, or the
/// field tags of a protobuf.
const SNIFF_BYTES: usize = 64;

/// The most goroutines one record may stand for; a larger count is damage. So many would need 8 TiB for their stacks,
/// and no sum over a dump overflows.
const MAX_COUNT: u64 = 0xffff_ffff;

/// The most frames read of one stack, calls that were inlined counted. Go keeps 128 addresses.
const MAX_FRAMES: usize = 512;

/// What Windows programs put before text; a protobuf or gzip never begins so.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What every gzip member begins with (RFC 1952).
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];

/// The name in place of a frame that has none.
const NO_SYMBOL: &[u8] = b"(no symbol)";

/// Bounds on what a dump may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes after inflation, and of a protobuf, at most; more is [`DecodeError::TooLarge`]. Text that comes
    /// uncompressed is read in bounded memory whatever its size.
    pub inflated_bytes: u64,
}

/// What a profile is to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// Goroutines: `goroutine` and `goroutineleak`, in every encoding.
    Goroutines,
    /// Waits for locks and channels since the program was started: `block` and `mutex`, as a protobuf.
    Contention,
    /// Threads of the operating system: `threadcreate`, as a protobuf.
    Threads,
}

/// Why a body is no profile that can be counted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Not the kind of profile that is wanted.
    #[error("this is not the profile expected: {found}")]
    NotPprof {
        /// What was found in its place.
        found: &'static str,
    },
    /// More bytes than allowed.
    #[error("more than {limit} bytes after inflation")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// A profile that is damaged beyond counting.
    #[error("{problem} at byte {offset}")]
    Damaged {
        /// What is wrong.
        problem: &'static str,
        /// Where, in inflated bytes.
        offset: u64,
    },
}

/// Reads a whole body of a goroutine profile. Cost: one pass over text; a protobuf is read twice and held once,
/// inflated.
///
/// # Errors
/// When the body is no goroutine profile, is larger than allowed, or is damaged beyond counting.
pub fn decode<S: Sink>(body: &[u8], limits: &Limits, sink: &mut S) -> Result<Summary, DecodeError> {
    decode_as(Wanted::Goroutines, body, limits, sink)
}

/// Reads a whole body of the kind wanted. Cost as [`decode`].
///
/// # Errors
/// When the body is no such profile, is larger than allowed, or is damaged beyond counting.
pub fn decode_as<S: Sink>(
    wanted: Wanted,
    body: &[u8],
    limits: &Limits,
    sink: &mut S,
) -> Result<Summary, DecodeError> {
    let text = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    // What has to be whole is whole already, and is not copied.
    match Form::of(text, wanted)? {
        Some(Form::Gzip) => inflate(wanted, text, *limits, sink),
        Some(Form::Protobuf) if proto::len(text) > limits.inflated_bytes => {
            Err(DecodeError::TooLarge {
                limit: limits.inflated_bytes,
            })
        }
        Some(Form::Protobuf) => proto::decode(wanted, text, sink),
        Some(Form::Debug1 | Form::Debug2) | None => {
            let mut decoder = Decoder::wanting(wanted, limits);
            decoder.push(body, sink)?;
            decoder.finish(sink)
        }
    }
}

/// How a body is written, as far as its first bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Gzip,
    Protobuf,
    Debug1,
    Debug2,
}

impl Form {
    /// Nothing for an empty body.
    ///
    /// # Errors
    /// When it is nothing that holds what is wanted.
    fn of(body: &[u8], wanted: Wanted) -> Result<Option<Self>, DecodeError> {
        // The same bytes are looked at however large the pieces are.
        let first = body.get(..SNIFF_BYTES).unwrap_or(body);
        Ok(Some(match first {
            [] => return Ok(None),
            _ if first.starts_with(GZIP_MAGIC) => Self::Gzip,
            _ if is_trace(first) => {
                return Err(DecodeError::NotPprof {
                    found: "an execution trace",
                });
            }
            _ if is_binary(first) => Self::Protobuf,
            _ if wanted != Wanted::Goroutines => {
                return Err(DecodeError::NotPprof {
                    found: "text, while of this profile only the protobuf form is read",
                });
            }
            _ if debug1::is_debug1(first) => Self::Debug1,
            _ => Self::Debug2,
        }))
    }
}

/// Whether these first bytes are the header of an execution trace.
fn is_trace(head: &[u8]) -> bool {
    head.starts_with(b"go 1.")
        && head
            .get(7..)
            .is_some_and(|rest| rest.starts_with(b" trace\0"))
}

/// Whether these first bytes are of gzip.
#[must_use]
pub fn is_gzip(head: &[u8]) -> bool {
    head.starts_with(GZIP_MAGIC)
}

/// Hands out in pieces what is in a gzip body, `limit` bytes of it at most, and says whether all of it was there. Cost: the
/// time of inflating, and one piece of memory.
///
/// # Errors
/// When there is more than `limit`, or the body has more members than any has.
pub fn inflated(body: &[u8], limit: u64, mut take: impl FnMut(&[u8])) -> Result<bool, DecodeError> {
    let end = gzip::inflate(body, limit, |piece| {
        take(piece);
        Ok(())
    })?;
    Ok(end == gzip::End::Clean)
}

/// Reads a body piece by piece; the pieces may end anywhere.
#[derive(Debug)]
pub struct Decoder {
    wanted: Wanted,
    limits: Limits,
    state: State,
    /// The bytes that a body may turn out to have, where something tells.
    expected: usize,
}

#[derive(Debug)]
enum State {
    Sniffing(Vec<u8>),
    Gzip(Vec<u8>),
    Protobuf(Vec<u8>),
    Debug1(Box<Debug1>),
    Debug2(Box<Debug2>),
}

impl Decoder {
    /// One for goroutines that has seen nothing yet.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self::wanting(Wanted::Goroutines, limits)
    }

    /// The same for a profile of another kind.
    #[must_use]
    pub fn wanting(wanted: Wanted, limits: &Limits) -> Self {
        Self {
            wanted,
            limits: *limits,
            state: State::Sniffing(Vec::new()),
            expected: 0,
        }
    }

    /// The bytes of the body that are held whole: of a compressed one and of a protobuf all that were pushed, of text
    /// none once it is recognised.
    #[must_use]
    pub fn held(&self) -> u64 {
        match &self.state {
            State::Sniffing(kept) | State::Gzip(kept) | State::Protobuf(kept) => proto::len(kept),
            State::Debug1(_) | State::Debug2(_) => 0,
        }
    }

    /// Takes the next piece. Text goes to the sink as it comes; compressed and protobuf bodies are kept until
    /// [`Decoder::finish`], so the caller bounds how many of their bytes it pushes.
    ///
    /// # Errors
    /// When a protobuf grows past the limit, or text comes where only a protobuf is read.
    pub fn push<S: Sink>(&mut self, piece: &[u8], sink: &mut S) -> Result<(), DecodeError> {
        match &mut self.state {
            State::Sniffing(head) => {
                let missing = (SNIFF_BYTES + BYTE_ORDER_MARK.len()).saturating_sub(head.len());
                let Some((first, rest)) = piece.split_at_checked(missing) else {
                    head.extend_from_slice(piece);
                    return Ok(());
                };
                head.extend_from_slice(first);
                let head = std::mem::take(head);
                self.start(&head, sink)?;
                self.push(rest, sink)
            }
            State::Gzip(kept) => {
                kept.extend_from_slice(piece);
                Ok(())
            }
            State::Protobuf(kept) => {
                let limit = self.limits.inflated_bytes;
                kept.extend_from_slice(piece);
                if proto::len(kept) > limit {
                    Err(DecodeError::TooLarge { limit })
                } else {
                    Ok(())
                }
            }
            State::Debug1(text) => {
                text.push(piece, sink);
                Ok(())
            }
            State::Debug2(text) => {
                text.push(piece, sink);
                Ok(())
            }
        }
    }

    /// Reads what is left and says what the dump was.
    ///
    /// # Errors
    /// As [`decode`].
    pub fn finish<S: Sink>(mut self, sink: &mut S) -> Result<Summary, DecodeError> {
        self.start_early(sink)?;
        match self.state {
            State::Sniffing(_) => Err(DecodeError::NotPprof {
                found: "an empty body",
            }),
            State::Gzip(body) => inflate(self.wanted, &body, self.limits, sink),
            State::Protobuf(body) => proto::decode(self.wanted, &body, sink),
            State::Debug1(text) => text.finish(sink),
            State::Debug2(text) => text.finish(sink),
        }
    }

    /// Recognises a body that ended before there was enough to be sure.
    fn start_early<S: Sink>(&mut self, sink: &mut S) -> Result<(), DecodeError> {
        match &mut self.state {
            State::Sniffing(head) => {
                let head = std::mem::take(head);
                self.start(&head, sink)
            }
            _ => Ok(()),
        }
    }

    /// Go compresses once; what is compressed again is made to hurt, and would be inflated by recursion.
    fn refuse_gzip(&self) -> Result<(), DecodeError> {
        match self.state {
            State::Gzip(_) => Err(DecodeError::NotPprof {
                found: "gzip inside gzip",
            }),
            _ => Ok(()),
        }
    }

    fn start<S: Sink>(&mut self, head: &[u8], sink: &mut S) -> Result<(), DecodeError> {
        let head = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head);
        self.state = match Form::of(head, self.wanted)? {
            None => return Ok(()),
            Some(Form::Gzip) => State::Gzip(Vec::new()),
            Some(Form::Protobuf) => State::Protobuf(Vec::with_capacity(self.expected)),
            Some(Form::Debug1) => State::Debug1(Box::default()),
            Some(Form::Debug2) => State::Debug2(Box::default()),
        };
        self.push(head, sink)
    }
}

/// Inflates a gzip body a piece at a time into a decoder of what is inside.
fn inflate<S: Sink>(
    wanted: Wanted,
    body: &[u8],
    limits: Limits,
    sink: &mut S,
) -> Result<Summary, DecodeError> {
    let mut inner = Decoder::wanting(wanted, &limits);
    inner.expected = gzip::expected(body, limits.inflated_bytes);
    let end = gzip::inflate(body, limits.inflated_bytes, |piece| {
        inner.push(piece, sink)?;
        inner.refuse_gzip()
    })?;
    inner.start_early(sink)?;
    inner.refuse_gzip()?;
    let cut = end == gzip::End::Cut;
    if cut && matches!(inner.state, State::Protobuf(_)) {
        return Err(DecodeError::Damaged {
            problem: "the compressed profile ends early",
            offset: gzip::len(body),
        });
    }
    let mut summary = inner.finish(sink)?;
    summary.truncated |= cut;
    summary.damage += u64::from(end == gzip::End::Trailing);
    Ok(summary)
}

/// Whether these are no bytes of text: the tags and lengths at the start of a protobuf are control characters.
fn is_binary(head: &[u8]) -> bool {
    let control = |&byte: &u8| byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b);
    head.iter().any(control)
}

/// Whether a stack of this depth may have lost its root: Go keeps 32 frames up to 1.22, 128 from 1.23 on
/// (runtime/pprof/pprof.go, runtime/mprof.go).
fn is_cut_depth(depth: usize) -> bool {
    depth == 32 || depth >= 128
}
