//! stub
mod gate;
mod outcome;
#[cfg(test)]
mod sample;
pub use gate::{Gate, Place, Turn};
pub use outcome::{Phases, ProbeError, ProbeOutcome, ProbeReport, ProfileFetch};
#[cfg(test)]
pub(crate) use sample::test_report;
