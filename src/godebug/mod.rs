//! Lines that a Go program writes to standard error under `GODEBUG=gctrace=1` and `schedtrace=N`: what it says of its
//! garbage collector and its scheduler, from Go 1.19 to 1.27.
//!
//! [`Reader`] takes bytes in pieces of any size and keeps [`Totals`]: counters that go on when the program starts anew, and
//! what its last lines said. The lines are not atomic. The runtime writes each of their words by itself, so whatever else
//! goes to the same stream can land between two of them, a `gc` line within a `SCHED` line, too. Hence:
//!
//! - A line counts wherever in a line of text it begins, behind the prefix of a logger or of Docker, and when all of it up
//!   to the end of that line is there, word for word. Nothing that is missing is guessed.
//! - What begins or ends like such a line, and is none, is counted as malformed. Cycles that are missing in the numbers of
//!   `gc` lines are counted as lost, whatever became of their lines.
//! - Text that holds neither is nobody's concern, and never an error: lines of `scheddetail`, `scav`, `pacer:`.
//! - Digits that another writer puts beside digits of the runtime, and nothing else, cannot be told from them; nor can a
//!   line end of its own between ` P` and ` (forced)`.
//!
//! One stream is one program at a time. Where two write to the same one, each line looks like a restart.
//!
//! Sources: `runtime/mgc.go` (`gcMarkTermination`) and `runtime/proc.go` (`schedtrace`) of each version.

mod cursor;
mod gctrace;
mod reader;
mod schedtrace;
mod totals;

pub use gctrace::{CpuTimes, Cycle};
pub use reader::{MAX_LINE_BYTES, Reader};
pub use schedtrace::Sample;
pub use totals::{JOIN_MILLISECONDS, Joined, Totals};

#[cfg(test)]
mod tests;
