//! stub
mod outcome;
pub use outcome::{Phases, ProbeError, ProbeOutcome, ProbeReport, ProfileFetch};
