//! From the bytes of a goroutine profile to the groups with series: the part of a probe that computes. Pure but for the
//! state it is handed and the clock it takes durations from.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::ProbeError;
use crate::budget::{DetailMode, Expensive, TraceMode};
use crate::config::{Module, Profile};
use crate::decode::{DecodeError, Limits, decode};
use crate::tally::{Collector, Selection, Tally, select, steady};
use crate::tracker::TargetState;

/// A body of so many bytes, and of so many when inflated, is counted where it arrives: that takes less than a millisecond,
/// as long as handing it to another thread and back when both processors sleep. Many profiles of healthy services are so
/// small: 200 goroutines with 60 stacks come to 5 kB and 25. A made-up one costs the square of its size (long names, and
/// many calls that have them): some 3 ms here, and 40 with four times the bytes.
const SMALL_BODY: usize = 8 * 1024;
const SMALL_INFLATED: u64 = 32 * 1024;

/// What counting came to, and how long it took.
#[derive(Debug)]
pub struct Counted {
    /// The counts, or why there are none.
    pub tally: Result<Tally, DecodeError>,
    /// Inflating, parsing and counting.
    pub decode: Duration,
    /// Grouping; absent when there was nothing to group.
    pub classify: Option<Duration>,
}

/// Counts the goroutines in `body`. Blocking.
///
/// Cost: one pass, memory bounded by the module's `limits.inflated_bytes` and by the number of distinct stacks.
#[must_use]
pub fn count(body: &[u8], module: &Module) -> Counted {
    count_within(body, module, module.decode)
}

/// The same at once, when that blocks for no longer than any other step of a probe; otherwise nothing.
///
/// # Errors
/// When counting panicked, as it fails on a thread of its own.
pub(super) fn count_here(body: &[u8], module: &Module) -> Result<Option<Counted>, ProbeError> {
    if body.len() > SMALL_BODY {
        return Ok(None);
    }
    let limits = Limits {
        inflated_bytes: module.decode.inflated_bytes.min(SMALL_INFLATED),
    };
    let counting = || count_within(body, module, limits);
    // Nothing of it is seen again after a panic.
    let counted = catch_unwind(AssertUnwindSafe(counting)).map_err(|_| ProbeError::Panicked)?;
    let too_large = matches!(counted.tally, Err(DecodeError::TooLarge { .. }));
    Ok(Some(counted).filter(|_| !too_large))
}

fn count_within(body: &[u8], module: &Module, limits: Limits) -> Counted {
    let begun = Instant::now();
    let mut collector = Collector::new(&module.rules);
    let decoded = decode(body, &limits, &mut collector);
    let decode = begun.elapsed();
    match decoded {
        Ok(summary) => {
            let begun = Instant::now();
            let tally = collector.finish(summary);
            Counted {
                tally: Ok(tally),
                decode,
                classify: Some(begun.elapsed()),
            }
        }
        Err(error) => Counted {
            tally: Err(error),
            decode,
            classify: None,
        },
    }
}

/// Puts into the counts what is known from before, and chooses the groups with series.
///
/// `label` names the modules that look; `now` is the time of the probe. Cost: a sort of the groups.
pub fn choose(
    tally: &mut Tally,
    module: &Module,
    label: &str,
    state: &Mutex<TargetState>,
    now: Instant,
) -> Selection {
    let mut state = lock(state);
    recall(tally, module, &mut state, now);
    let memory = &mut state.view(label).memory;
    // Counts of a part say nothing of which groups are there: they are shown, and not remembered.
    let mut part = memory.clone();
    let memory = if tally.is_whole() { memory } else { &mut part };
    let selection = select(tally, &module.series, memory);
    steady(tally, &selection, memory);
    selection
}

/// Puts in what expensive profiles told, as long as it is current and the module wants it.
fn recall(tally: &mut Tally, module: &Module, state: &mut TargetState, now: Instant) {
    let of_detail = state
        .ledger
        .interval(Expensive::Detail, module.detail.min_interval);
    let of_leak = state
        .ledger
        .interval(Expensive::Leak, module.leak.min_interval);
    let of_trace = state
        .ledger
        .interval(Expensive::Trace, module.trace.min_interval);
    let wants_leaks = module.profiles.contains(&Profile::Leak);
    let wants_detail = module.detail.mode != DetailMode::Off;
    let lore = state.lore(&module.classify);
    tally.adopt_origins(&lore.origins);
    let waits = lore.waits.as_ref().filter(|_| wants_detail);
    if let Some(waits) = waits.and_then(|waits| waits.current(now, of_detail)) {
        tally.adopt_waits(&waits.what);
    }
    let marks = lore.marks.as_ref().filter(|_| wants_detail);
    let marks = marks.and_then(|marks| marks.current(now, of_detail));
    let leaks = lore.leaks.as_ref().filter(|_| wants_leaks);
    let leaks = leaks.and_then(|leaks| leaks.current(now, of_leak));
    // Both tell of the same goroutines: the newer is right, and they are never added up.
    let newer = marks.into_iter().chain(leaks).max_by_key(|kept| kept.asked);
    if let Some(newer) = newer {
        tally.adopt_leaks(&newer.what);
    }
    let parked = lore.parked.as_ref();
    let parked = parked.filter(|_| module.trace.mode != TraceMode::Off);
    if let Some(parked) = parked.and_then(|parked| parked.current(now, of_trace)) {
        tally.adopt_parked(&parked.what);
    }
}

/// The state, for a moment. A panic in the middle of a change leaves it at worst out of date.
pub(super) fn lock(state: &Mutex<TargetState>) -> MutexGuard<'_, TargetState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::tally::{GroupId, Leaks, Waits};
    use crate::tracker::Kept;

    const PROTOBUF: &[u8] = include_bytes!("../../tests/data/go1.26.6/goroutine.debug0.pb.gz");
    const TEXT: &[u8] = include_bytes!("../../tests/data/go1.26.6/goroutine.debug1.txt");
    const LEAKY: &[u8] = include_bytes!("../../tests/data/go1.27.3/goroutine.debug0.pb.gz");
    const LEAKS: &[u8] = include_bytes!("../../tests/data/go1.27.3/goroutineleak.debug0.pb.gz");
    const MARKED: &[u8] = include_bytes!("../../tests/data/go1.27.3/goroutineleak.debug2.txt");

    fn tally(body: &[u8]) -> Tally {
        count(body, &Module::default()).tally.unwrap()
    }

    fn chosen(tally: &mut Tally, state: &Mutex<TargetState>) -> Vec<GroupId> {
        let module = Module::default();
        let selection = choose(tally, &module, "default", state, Instant::now());
        let ids = selection.shown.iter().map(|&place| tally.groups[place].id);
        ids.collect()
    }

    #[test]
    fn a_profile_is_counted_and_remembered() {
        let state = Mutex::default();
        let mut first = tally(PROTOBUF);
        assert!(first.is_whole());
        let ids = chosen(&mut first, &state);
        assert_eq!(ids.len(), Module::default().series.groups);
        let mut again = tally(TEXT);
        assert_eq!(
            chosen(&mut again, &state),
            ids,
            "another encoding changed which groups have series"
        );
    }

    #[test]
    fn who_waits_for_a_lock_is_known() {
        let truth: serde_json::Value =
            serde_json::from_slice(include_bytes!("../../tests/data/go1.26.6/truth.json")).unwrap();
        let locks = [
            "sync.Mutex.Lock",
            "sync.RWMutex.RLock",
            "sync.RWMutex.Lock",
            "sync.WaitGroup.Wait",
            "semacquire",
        ];
        let kinds = truth["kinds"].as_object().unwrap().values();
        let at_locks = kinds.filter(|kind| {
            let reason = kind["wait_reason"].as_str().unwrap();
            locks.contains(&reason)
        });
        let known: u64 = at_locks.map(|kind| kind["count"].as_u64().unwrap()).sum();
        assert!(known > 50, "{known}");
        assert_eq!(tally(PROTOBUF).at_locks(), known);
    }

    #[test]
    fn what_is_small_is_counted_at_once_and_alike() {
        let module = Module::default();
        let here = |body: &[u8]| count_here(body, &module).unwrap();
        assert!(PROTOBUF.len() <= SMALL_BODY);
        let counted = here(PROTOBUF).unwrap().tally.unwrap();
        assert_eq!(counted, tally(PROTOBUF));
        assert!(TEXT.len() > SMALL_BODY);
        assert!(here(TEXT).is_none());
        // No profile is none, wherever it is found out.
        let html = here(b"<html>").unwrap().tally;
        assert!(matches!(html, Err(DecodeError::NotPprof { .. })));
    }

    #[test]
    fn what_grows_too_large_is_not_counted_at_once() {
        let mut module = Module::default();
        module.decode.inflated_bytes = 1000;
        assert!(count_here(PROTOBUF, &module).unwrap().is_none());
    }

    #[test]
    fn what_is_no_profile_is_not_counted() {
        let counted = count(b"<html>", &Module::default());
        assert!(matches!(counted.tally, Err(DecodeError::NotPprof { .. })));
        assert_eq!(counted.classify, None);
    }

    #[test]
    fn a_part_is_shown_and_not_remembered() {
        let state = Mutex::default();
        let mut cut = tally(PROTOBUF);
        cut.summary.truncated = true;
        assert!(!chosen(&mut cut, &state).is_empty());
        let memory = lock(&state).view("default").memory.clone();
        assert_eq!(memory, crate::tally::Memory::default());
    }

    /// Leaks as one profile told them, so many minutes ago.
    fn told(body: &[u8], minutes: u64) -> Kept<Leaks> {
        let ago = Duration::from_mins(minutes);
        Kept {
            what: Leaks::of(&tally(body)).unwrap(),
            asked: Instant::now().checked_sub(ago).unwrap(),
            read_at: SystemTime::now(),
        }
    }

    #[test]
    fn leaks_marked_and_proven_are_told_once() {
        // 94 of 94 in both profiles, as the truth of the capture says.
        let with_leaks = Module {
            profiles: Profile::CONFIGURABLE.into(),
            ..Module::default()
        };
        let counted = |marks: Option<u64>, leaks: Option<u64>, module: &Module| {
            let state = Mutex::new(TargetState::default());
            let lore = |kept: &Mutex<TargetState>| {
                let mut state = lock(kept);
                let lore = state.lore(&module.classify);
                lore.marks = marks.map(|minutes| told(MARKED, minutes));
                lore.leaks = leaks.map(|minutes| told(LEAKS, minutes));
            };
            lore(&state);
            let mut all = tally(LEAKY);
            choose(&mut all, module, "m", &state, Instant::now());
            let of_groups: u64 = all.groups.iter().map(|group| group.leaked).sum();
            assert_eq!(all.leaked.unwrap_or(0), of_groups);
            all.leaked
        };
        assert_eq!(counted(None, None, &with_leaks), None);
        assert_eq!(counted(Some(1), None, &with_leaks), Some(94));
        assert_eq!(counted(None, Some(1), &with_leaks), Some(94));
        assert_eq!(counted(Some(2), Some(1), &with_leaks), Some(94));
        assert_eq!(counted(Some(1), Some(2), &with_leaks), Some(94));
        // What is older than two intervals is not told any more, nor what the module does not ask for.
        assert_eq!(counted(Some(21), Some(21), &with_leaks), None);
        assert_eq!(counted(None, Some(1), &Module::default()), None);
        assert_eq!(counted(Some(1), None, &Module::default()), Some(94));
    }

    #[test]
    fn waits_are_told_while_they_are_current() {
        let longest = |minutes: u64, mode: DetailMode| {
            let mut module = Module::default();
            module.detail.mode = mode;
            let state = Mutex::new(TargetState::default());
            let detailed: &[u8] =
                include_bytes!("../../tests/data/go1.27.3-2min/goroutine.debug2.txt");
            lock(&state).lore(&module.classify).waits = Some(Kept {
                what: Waits::of(&tally(detailed)),
                asked: Instant::now()
                    .checked_sub(Duration::from_mins(minutes))
                    .unwrap(),
                read_at: SystemTime::now(),
            });
            let cheap: &[u8] =
                include_bytes!("../../tests/data/go1.27.3-2min/goroutine.debug0.pb.gz");
            let mut cheap = tally(cheap);
            choose(&mut cheap, &module, "m", &state, Instant::now());
            cheap
                .groups
                .iter()
                .filter_map(|group| group.longest_wait)
                .max()
        };
        let two_minutes = Some(Duration::from_mins(2));
        assert_eq!(longest(19, DetailMode::Auto), two_minutes);
        assert_eq!(longest(21, DetailMode::Auto), None);
        assert_eq!(longest(1, DetailMode::Off), None);
    }
}
