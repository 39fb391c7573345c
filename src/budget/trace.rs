//! How long an execution trace lasts, and what else must be so before one is asked for.
//!
//! A trace costs the target while it lasts: a tenth to a third of a microsecond for every event, which is up to a fifth of the
//! processor time of a request, and memory when nobody reads what it writes. So windows are short. The first of a target is
//! very short; what it weighs says how long the next may be.

use std::time::{Duration, Instant};

use super::{EXPECTED_START, Ledger, MISSING_AGAIN, Moment, Skip};

/// The first window of a target of which nothing is known. The busiest program that was measured wrote 2.7 MB in it.
pub const FIRST_WINDOW: Duration = Duration::from_millis(50);
/// The shortest window that tells anything.
pub const SHORTEST_WINDOW: Duration = Duration::from_millis(10);
/// The longest trace that is read, whatever it was sized for.
pub const MAX_TRACE_BYTES: u64 = 64 << 20;
/// How much heavier than it was sized for a trace may get before its reading is given up.
const HEAVIER: u64 = 4;
/// Bytes that are read and counted in a second, at least; several times as many were measured.
const BYTES_PER_SECOND: u64 = 16 << 20;

/// Whether execution traces are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceMode {
    /// Never.
    Off,
    /// Of targets that are small enough, once in an interval.
    Auto,
}

impl TraceMode {
    /// The word for it in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Auto => "auto",
        }
    }
}

/// `modules.NAME.trace`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceSpec {
    /// Whether.
    pub mode: TraceMode,
    /// The time from one to the next, at least.
    pub min_interval: Duration,
    /// The longest window.
    pub window: Duration,
    /// What a trace may weigh, in bytes as sent: windows are sized for it.
    pub max_bytes: u64,
    /// Asked only of targets with at most so many goroutines: a trace tells the state of each.
    pub max_goroutines: u64,
}

impl TraceSpec {
    /// Bytes beyond which the reading of a trace is given up.
    #[must_use]
    pub fn body_limit(&self) -> u64 {
        let heavier = self.max_bytes.saturating_mul(HEAVIER);
        heavier.min(MAX_TRACE_BYTES)
    }

    /// The next window of a target whose last one had this weight; `None` where even the shortest is too heavy.
    #[must_use]
    pub fn next_window(&self, last: Option<Weight>) -> Option<Duration> {
        let Some(last) = last else {
            return Some(FIRST_WINDOW.min(self.window));
        };
        let nanoseconds = u128::from(self.max_bytes).saturating_mul(last.window.as_nanos())
            / u128::from(last.bytes.max(1));
        let fits = u64::try_from(nanoseconds).map_or(self.window, Duration::from_nanos);
        let fits = fits.min(self.window);
        // To the millisecond, as it is written into the request.
        let window = Duration::from_millis(u64::try_from(fits.as_millis()).unwrap_or(u64::MAX));
        (window >= SHORTEST_WINDOW.min(self.window)).then_some(window)
    }
}

/// What a window weighed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight {
    /// How long it was; where reading was given up, only up to then.
    pub window: Duration,
    /// Bytes of it, as sent.
    pub bytes: u64,
}

impl Weight {
    /// What so long a window of the same target weighs.
    fn of(&self, window: Duration) -> u64 {
        let bytes = u128::from(self.bytes).saturating_mul(window.as_nanos());
        u64::try_from(bytes / self.window.as_nanos().max(1)).unwrap_or(u64::MAX)
    }
}

/// What is remembered of the traces of one target, beside when they were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Traces {
    weight: Option<Weight>,
    /// When the target said that it has none, or one in a form that is not read.
    missing: Option<Instant>,
}

impl Ledger {
    /// Whether a trace may be asked for, and of which window.
    ///
    /// # Errors
    /// Why not.
    pub fn trace(&self, spec: &TraceSpec, moment: &Moment) -> Result<Duration, Skip> {
        if spec.mode == TraceMode::Off {
            return Err(Skip::Off);
        }
        let fits = moment.size.is_some_and(|size| size <= spec.max_goroutines);
        if !fits {
            return Err(Skip::Budget);
        }
        let again = spec.min_interval.max(MISSING_AGAIN);
        let missing = self
            .traces
            .missing
            .is_some_and(|said| moment.now.saturating_duration_since(said) < again);
        if missing || self.trace.is_recent(spec.min_interval, moment.now) {
            return Err(Skip::Interval);
        }
        // What was heavy once, for whatever reason, is tried again after the longest interval.
        let remembered = self.trace.is_remembered(spec.min_interval, moment.now);
        let last = self.traces.weight.filter(|_| remembered);
        let window = spec.next_window(last).ok_or(Skip::Budget)?;
        let bytes = last.map_or(spec.max_bytes, |last| last.of(window));
        let reading = Duration::from_millis(bytes.saturating_mul(1000) / BYTES_PER_SECOND);
        let takes = window
            .saturating_add(EXPECTED_START.saturating_mul(2))
            .saturating_add(reading);
        if self.busy || takes > moment.left {
            return Err(Skip::Budget);
        }
        Ok(window)
    }

    /// Notes what a trace weighed, as far as it was read.
    pub fn weigh(&mut self, weight: Weight) {
        self.traces.weight = Some(weight);
    }

    /// Notes that a trace came whole in a form that can be read, and was counted in time.
    pub fn has_traces(&mut self, spec: &TraceSpec) {
        self.traces.missing = None;
        // Twice what it was sized for is a program that just got busier.
        let bytes = self.traces.weight.map_or(0, |weight| weight.bytes);
        if bytes <= spec.max_bytes.saturating_mul(2) {
            self.trace.strikes = 0;
        }
    }

    /// Notes that somebody else was tracing the target, which is no fault of its.
    pub fn trace_busy(&mut self) {
        self.trace.strikes = self.trace.strikes.saturating_sub(1);
    }

    /// Notes that the target has no traces, or in a form that is not read, which is no fault of its.
    pub fn no_traces(&mut self, now: Instant) {
        self.traces.missing = Some(now);
        self.trace.strikes = 0;
    }

    /// Whether the target is known to have no traces that can be read.
    #[must_use]
    pub fn lacks_traces(&self) -> bool {
        self.traces.missing.is_some()
    }

    /// Forgets that another process had none.
    pub(super) fn forget_traces(&mut self) {
        self.traces.missing = None;
    }
}

#[cfg(test)]
mod tests {
    use super::super::Expensive;
    use super::*;

    const SPEC: TraceSpec = TraceSpec {
        mode: TraceMode::Auto,
        min_interval: Duration::from_mins(5),
        window: Duration::from_millis(500),
        max_bytes: 16 << 20,
        max_goroutines: 100_000,
    };

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn at(now: Instant) -> Moment {
        Moment {
            size: Some(100),
            at_locks: 0,
            now,
            left: Duration::from_secs(9),
            body_limit: 0,
        }
    }

    #[test]
    fn a_window_is_as_long_as_the_bytes_allow() {
        let check = |window: u64, bytes: u64, expected: Option<u64>| {
            let last = Weight {
                window: millis(window),
                bytes,
            };
            let next = SPEC.next_window(Some(last));
            assert_eq!(next, expected.map(millis), "{last:?}");
        };
        assert_eq!(SPEC.next_window(None), Some(FIRST_WINDOW));
        // 1 MiB in 50 ms is 20 MiB/s: the longest window comes to 10 MiB, the budget to 800 ms.
        check(50, 1 << 20, Some(500));
        check(50, 4 << 20, Some(200));
        check(200, 16 << 20, Some(200));
        check(200, 32 << 20, Some(100));
        check(500, 1, Some(500));
        check(500, 0, Some(500));
        // At 1.6 GiB/s the shortest window fits just so.
        check(10, 16 << 20, Some(10));
        check(10, (16 << 20) + (2 << 20), None);
        check(0, 1, None);
        check(1, u64::MAX, None);
        let short = TraceSpec {
            window: millis(20),
            ..SPEC
        };
        assert_eq!(short.next_window(None), Some(millis(20)));
    }

    #[test]
    fn reading_is_given_up_beyond_four_times_the_budget_and_never_later_than_64_mib() {
        assert_eq!(SPEC.body_limit(), MAX_TRACE_BYTES);
        let small = TraceSpec {
            max_bytes: 1 << 20,
            ..SPEC
        };
        assert_eq!(small.body_limit(), 4 << 20);
        let large = TraceSpec {
            max_bytes: 64 << 20,
            ..SPEC
        };
        assert_eq!(large.body_limit(), MAX_TRACE_BYTES);
    }

    #[test]
    fn a_trace_is_asked_for_only_where_everything_allows_it() {
        let now = Instant::now();
        let ledger = Ledger::default();
        let off = TraceSpec {
            mode: TraceMode::Off,
            ..SPEC
        };
        assert_eq!(ledger.trace(&off, &at(now)), Err(Skip::Off));
        assert_eq!(ledger.trace(&SPEC, &at(now)), Ok(FIRST_WINDOW));
        for size in [None, Some(100_001)] {
            let moment = Moment { size, ..at(now) };
            assert_eq!(ledger.trace(&SPEC, &moment), Err(Skip::Budget));
        }
        // The window, half a second of reserve, and the second in which a full budget is read.
        for (left, expected) in [(1_550, Ok(FIRST_WINDOW)), (1_549, Err(Skip::Budget))] {
            let left = millis(left);
            let moment = Moment { left, ..at(now) };
            assert_eq!(ledger.trace(&SPEC, &moment), expected);
        }
        let mut busy = ledger;
        busy.claim(Expensive::Leak, now);
        assert_eq!(busy.trace(&SPEC, &at(now)), Err(Skip::Budget));
        busy.release();
        assert_eq!(busy.trace(&SPEC, &at(now)), Ok(FIRST_WINDOW));
    }

    #[test]
    fn what_the_last_one_weighed_decides_on_the_next_until_it_is_old() {
        let begun = Instant::now();
        let mut ledger = Ledger::default();
        let minutes = |minutes| begun + Duration::from_mins(minutes);
        let weigh = |ledger: &mut Ledger, at, window, bytes| {
            ledger.claim(Expensive::Trace, at);
            let window = millis(window);
            ledger.weigh(Weight { window, bytes });
            ledger.has_traces(&SPEC);
            ledger.release();
        };
        weigh(&mut ledger, begun, 50, 2 << 20);
        assert_eq!(ledger.trace(&SPEC, &at(minutes(4))), Err(Skip::Interval));
        assert_eq!(ledger.trace(&SPEC, &at(minutes(5))), Ok(millis(400)));
        // So heavy that nothing can be asked for, at twice the interval and for as long as that is remembered.
        weigh(&mut ledger, minutes(5), 5, 64 << 20);
        assert_eq!(ledger.trace(&SPEC, &at(minutes(14))), Err(Skip::Interval));
        assert_eq!(ledger.trace(&SPEC, &at(minutes(15))), Err(Skip::Budget));
        assert_eq!(ledger.trace(&SPEC, &at(minutes(84))), Err(Skip::Budget));
        assert_eq!(ledger.trace(&SPEC, &at(minutes(85))), Ok(FIRST_WINDOW));
    }

    #[test]
    fn who_has_none_is_asked_rarely_and_who_is_busy_as_usual() {
        let begun = Instant::now();
        let mut ledger = Ledger::default();
        let minutes = |minutes| begun + Duration::from_mins(minutes);
        ledger.claim(Expensive::Trace, begun);
        ledger.trace_busy();
        ledger.release();
        assert_eq!(ledger.trace(&SPEC, &at(minutes(4))), Err(Skip::Interval));
        assert_eq!(ledger.trace(&SPEC, &at(minutes(5))), Ok(FIRST_WINDOW));
        ledger.claim(Expensive::Trace, minutes(5));
        ledger.no_traces(minutes(5));
        ledger.release();
        assert!(ledger.lacks_traces());
        assert_eq!(ledger.trace(&SPEC, &at(minutes(64))), Err(Skip::Interval));
        assert_eq!(ledger.trace(&SPEC, &at(minutes(65))), Ok(FIRST_WINDOW));
        ledger.restarted();
        assert!(!ledger.lacks_traces());
        assert_eq!(ledger.trace(&SPEC, &at(minutes(10))), Ok(FIRST_WINDOW));
    }
}
