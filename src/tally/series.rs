//! stub

use super::Tally;

/// A module's `limits:` that bound series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeriesLimits {
    /// Groups with series of their own, at most.
    pub groups: usize,
    /// The smallest group that gets them.
    pub min_goroutines: u64,
    /// The same as a share of the total, 0 to 1.
    pub min_ratio: f64,
}

/// What is remembered of a target from probe to probe. Starts empty; losing it does no harm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {}

/// Which groups get series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Places in [`Tally::groups`], best first; at most `limits.groups`.
    pub shown: Vec<usize>,
    /// How many distinct groups are folded.
    pub folded: usize,
    /// How many goroutines they hold, those in no group included.
    pub other: u64,
}

/// Chooses them.
pub fn select(_tally: &Tally, _limits: &SeriesLimits, _memory: &mut Memory) -> Selection {
    Selection {
        shown: vec![],
        folded: 0,
        other: 0,
    }
}
