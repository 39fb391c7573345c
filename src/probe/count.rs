//! From the bytes of a profile to the groups with series: the part of a probe that computes. Blocking, and pure
//! but for the state it is handed and the clock it takes durations from.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::ProbeReport;
use crate::config::Module;
use crate::decode::{DecodeError, decode};
use crate::tally::{Collector, select, steady};
use crate::tracker::TargetState;

/// What counting came to, and how long it took.
#[derive(Debug)]
pub struct Counted {
    /// The counts, or why there are none.
    pub report: Result<ProbeReport, DecodeError>,
    /// Inflating, parsing and counting.
    pub decode: Duration,
    /// Grouping and choosing; absent when there was nothing to group.
    pub classify: Option<Duration>,
}

/// Counts the goroutines in `body`.
///
/// Cost: one pass, memory bounded by the module's `limits.inflated_bytes` and by the number of distinct stacks.
/// `state` is locked only while groups are chosen.
#[must_use]
pub fn count(body: &[u8], module: &Module, state: &Mutex<TargetState>) -> Counted {
    let begun = Instant::now();
    let mut collector = Collector::new(&module.rules);
    let decoded = decode(body, &module.decode, &mut collector);
    let decode = begun.elapsed();
    let summary = match decoded {
        Ok(summary) => summary,
        Err(error) => {
            return Counted {
                report: Err(error),
                decode,
                classify: None,
            };
        }
    };
    let begun = Instant::now();
    let mut tally = collector.finish(summary);
    let selection = {
        // A panic in the middle of a choice leaves a memory that is at worst out of date.
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let selection = select(&tally, &module.series, &mut state.memory);
        steady(&mut tally, &selection, &mut state.memory);
        selection
    };
    let classify = Some(begun.elapsed());
    Counted {
        report: Ok(ProbeReport { tally, selection }),
        decode,
        classify,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROTOBUF: &[u8] = include_bytes!("../../tests/data/go1.26.6/goroutine.debug0.pb.gz");
    const TEXT: &[u8] = include_bytes!("../../tests/data/go1.26.6/goroutine.debug1.txt");

    #[test]
    fn a_profile_is_counted_and_remembered() {
        let (module, state) = (Module::default(), Mutex::default());
        let counted = count(PROTOBUF, &module, &state);
        let report = counted.report.unwrap();
        assert!(report.is_whole() && counted.classify.is_some());
        assert_eq!(report.selection.shown.len(), module.series.groups);
        let ids = |report: &ProbeReport| -> Vec<_> {
            report
                .selection
                .shown
                .iter()
                .map(|&place| report.tally.groups[place].id)
                .collect()
        };
        let remembered = state.lock().unwrap().clone();
        assert_ne!(remembered, TargetState::default());
        let again = count(TEXT, &module, &state).report.unwrap();
        assert_eq!(
            ids(&again),
            ids(&report),
            "another encoding changed which groups have series"
        );
    }

    #[test]
    fn what_is_no_profile_leaves_the_state_alone() {
        let state = Mutex::default();
        let counted = count(b"<html>", &Module::default(), &state);
        assert!(matches!(counted.report, Err(DecodeError::NotPprof { .. })));
        assert_eq!(counted.classify, None);
        assert_eq!(*state.lock().unwrap(), TargetState::default());
    }
}
