//! The words the whole program speaks: frames, what a dump says of a goroutine, and the [`Sink`] that
//! decoders fill.
//!
//! Decoders push, nobody pulls: a 64 MiB dump passes through without ever being a value. A sink gives every
//! distinct frame and stack a number, so that a decoder which has met a stack before says only its number
//! and the count. This module holds no behaviour beyond that and refuses to know any encoding.

use std::fmt;

/// How a profile was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// `profile.proto`, what `/debug/pprof/goroutine` answers by default (`debug=0`).
    Protobuf,
    /// Text with counted stacks (`debug=1`).
    Debug1,
    /// Text with one block for each goroutine (`debug=2`, panics, SIGQUIT).
    Debug2,
}

impl Encoding {
    /// The word for it in JSON and on pages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Protobuf => "protobuf",
            Self::Debug1 => "debug1",
            Self::Debug2 => "debug2",
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One call, as the dump wrote it. Bytes, since Go lets any byte into these strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameText<'a> {
    /// The function's symbol, without arguments or offset: `example.com/svc.(*Pool).get`.
    pub function: &'a [u8],
    /// The source file as compiled in; empty where the dump has none.
    pub file: &'a [u8],
    /// The source line; 0 where the dump has none.
    pub line: u32,
}

/// A frame a [`Sink`] has met, by the number it gave it. Any number will do: a sink may count, or say in it what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrameId(pub u64);

/// A stack a [`Sink`] has met, by the number it gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StackId(pub u32);

impl StackId {
    /// The number of a stack the sink did not keep, since it holds enough of them. It means that stack until
    /// [`Sink::stack`] is called again, so a decoder must not remember it.
    pub const TRANSIENT: Self = Self(u32::MAX);
}

/// A run of addresses at the leaf of a `debug=1` stack whose function names that encoding leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HiddenId(pub u16);

/// What is known of the frames at the leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// They are all there: the runtime's own frames are in the stack (protobuf).
    Complete,
    /// The dump hides the runtime's frames and says the wait reason in words (`debug=2`).
    Stated,
    /// The dump hides them; what they are is told at the end by [`Sink::reveal`] (`debug=1`).
    Hidden(HiddenId),
    /// The runtime's function that parks was cut off: its caller comes first (a wait in an execution trace).
    Cut,
}

/// A stack as a decoder hands it over.
#[derive(Clone, Copy, Debug)]
pub struct Stack<'a> {
    /// Leaf (the blocked call) first.
    pub frames: &'a [FrameId],
    /// What is known beyond the first frame.
    pub leaf: Leaf,
    /// Whether the outermost frames are missing: the dump was made with a limit on depth.
    pub root_cut: bool,
}

/// What a profile says of what it counts at one stack: goroutines, threads, or waits that are over (contention).
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// How many.
    pub count: u64,
    /// How long they waited, all together; 0 but for contention.
    pub delay_nanoseconds: u64,
    /// The runtime's words for why it waits, without suffixes (`chan receive`); `debug=2`, and `debug=3` of
    /// CockroachDB's Go.
    pub wait_reason: Option<&'a [u8]>,
    /// Whole minutes waited, rounded down, counted by Go from the first garbage collection that saw the
    /// goroutine blocked; absent below one minute or where not reported.
    pub waited_minutes: Option<u64>,
    /// Marked `(leaked)`: the runtime proved it unreachable.
    pub leaked: bool,
    /// It has not run a single instruction yet.
    pub not_started: bool,
    /// The `go` statement that made it; `debug=2` only.
    pub created_by: Option<FrameId>,
    /// The goroutine's number; as `wait_reason`.
    pub id: Option<u64>,
    /// pprof labels, unescaped; empty unless [`Sink::wants_labels`].
    pub labels: &'a [(&'a [u8], &'a [u8])],
}

/// What takes a decoded profile, one goroutine or one counted stack at a time.
pub trait Sink {
    /// Whether this sink reads [`Facts::labels`]; parsing them is skipped otherwise.
    fn wants_labels(&self) -> bool {
        false
    }

    /// The number of a frame; the same frame gets the same number.
    fn frame(&mut self, frame: FrameText<'_>) -> FrameId;

    /// The number of a stack made of frames this sink has numbered. [`StackId::TRANSIENT`] when the sink is
    /// full.
    fn stack(&mut self, stack: Stack<'_>) -> StackId;

    /// Takes what was counted at one stack: `stack` is what [`Sink::stack`] returned. The same stack may come again.
    fn count(&mut self, stack: StackId, facts: &Facts<'_>);

    /// Says at the end which functions stood behind the hidden addresses `id`, leaf first: symbols of the
    /// runtime such as `runtime.gopark`. Not called for what could not be found out.
    fn reveal(&mut self, id: HiddenId, functions: &[&str]);
}

/// What a decoder says of the dump as a whole when it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The encoding that was recognised.
    pub encoding: Encoding,
    /// Whether only goroutines proven leaked are listed (`goroutineleak`, debug=0 and debug=1).
    pub leaked_only: bool,
    /// The total the dump claims in its first line (`debug=1`).
    pub declared_total: Option<u64>,
    /// Whether the dump was cut: in mid-line, in mid-stream, or at Go's own limit of 64 MiB.
    pub truncated: bool,
    /// Records that could not be read and were left out.
    pub damage: u64,
    /// Which process wrote it: the same number from the same process, another one from any other, as far as its
    /// mappings tell. A protobuf only; comparable within one run of the exporter.
    pub process: Option<u64>,
}
