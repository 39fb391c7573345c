//! What may be asked of a target beyond the cheap profile, and when: the two requests that stop its world, and the
//! execution trace, which slows it down.
//!
//! The detailed dump (`debug=2`) stops the target for as long as it takes to walk every frame, up to seven times
//! over; `goroutineleak` runs a garbage collection whose pause grows faster than the number of goroutines. A
//! [`Ledger`] per target remembers when each was asked for and what it came to, and allows the next one only
//! where the size just counted, the time since the last one and the time left for the probe all permit it.
//!
//! Pure: clocks are read by the caller. Source of the costs: measured on Go 1.27 with 2 processors, 1,000 to
//! 100,000 goroutines of 10 to 36 frames; the expectations are some four times what was seen there.

mod trace;

use std::time::{Duration, Instant};

pub use trace::{FIRST_WINDOW, MAX_TRACE_BYTES, SHORTEST_WINDOW, TraceMode, TraceSpec, Weight};

use trace::Traces;

/// What a request may take before there is anything to walk: the way there and back, and a busy target.
const EXPECTED_START: Duration = Duration::from_millis(250);
/// What a dump may take for each frame; 0.9 to 8.5 µs were measured.
const EXPECTED_PER_FRAME: Duration = Duration::from_micros(20);
/// What proving leaks may take for each goroutine; 5 to 74 µs were measured, the most beyond any sane limit.
const EXPECTED_PER_GOROUTINE: Duration = Duration::from_micros(50);
/// What a dump's head and a frame may take in bytes; 60 to 110 a frame were measured.
const EXPECTED_START_BYTES: u64 = 64 << 10;
const EXPECTED_FRAME_BYTES: u64 = 256;
/// Goroutines that wait for locks, at most, when leaks are to be proven. With the world stopped the runtime walks, for each
/// of them, the list of all that wait for the same lock (runtime/sema.go, `queue`; runtime/mgc.go, Go 1.27): the pause
/// grows with their square, 0.3 s were measured for 10,000 and 35 to 69 s for 100,000 at one mutex.
const MAX_AT_LOCKS: u64 = 3_000;
/// How often the interval is doubled at most: ten minutes become less than three hours.
const MAX_STRIKES: u32 = 4;
/// After how long a target that had no leak profile is asked again, where the interval is not longer: somebody may
/// have routed it by then.
const MISSING_AGAIN: Duration = Duration::from_secs(3600);

/// Whether the detailed form of the goroutine profile is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DetailMode {
    /// Where the target is small enough, once in an interval.
    Auto,
    /// Never.
    Off,
    /// In every probe of a target that is small enough.
    Always,
}

impl DetailMode {
    /// The word for it in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Off => "off",
            Self::Always => "always",
        }
    }
}

/// Which form that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DetailSource {
    /// `debug=2`: every Go has it, and stops its world for it.
    Debug2,
    /// `debug=3` of `CockroachDB`'s Go: exact, without stopping the world; creators stay unknown. Other versions of
    /// Go answer it as `debug=2`, so it takes the same budget.
    Debug3,
}

impl DetailSource {
    /// The word for it in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug2 => "debug2",
            Self::Debug3 => "debug3",
        }
    }

    /// What is asked for it.
    #[must_use]
    pub const fn query(self) -> &'static str {
        match self {
            Self::Debug2 => "debug=2",
            Self::Debug3 => "debug=3",
        }
    }
}

/// `modules.NAME.detail`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DetailSpec {
    /// Whether.
    pub mode: DetailMode,
    /// Which form.
    pub source: DetailSource,
    /// Asked only of targets with fewer frames than this on all their stacks together, in every mode.
    pub max_frames: u64,
    /// The time from one to the next, at least.
    pub min_interval: Duration,
}

/// `modules.NAME.leak`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeakSpec {
    /// Asked only of targets with at most so many goroutines.
    pub max_goroutines: u64,
    /// The time from one to the next, at least.
    pub min_interval: Duration,
}

/// The expensive requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expensive {
    /// The detailed goroutine profile.
    Detail,
    /// The profile of proven leaks.
    Leak,
    /// An execution trace.
    Trace,
}

/// Why an expensive request is not made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// The module does not ask for it.
    Off,
    /// The last one is too recent, or the target does not have it.
    Interval,
    /// The target is too large, what is left of the probe's time too short, or another one is under way.
    Budget,
}

impl Skip {
    /// Every reason, in the order they are looked at.
    pub const ALL: [Self; 3] = [Self::Budget, Self::Interval, Self::Off];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Interval => "interval",
            Self::Budget => "budget",
        }
    }
}

/// What a request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Frames or goroutines there were to walk.
    pub size: u64,
    /// From the request to the end of the answer.
    pub duration: Duration,
    /// Bytes of the answer as sent.
    pub bytes: u64,
}

/// Where and when a request would be made.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Frames (detail) or goroutines (leak, trace) counted in this very probe; `None` where the count is not whole.
    pub size: Option<u64>,
    /// Of these goroutines, how many wait for locks: any number of them may wait for the same one.
    pub at_locks: u64,
    /// Now.
    pub now: Instant,
    /// The time left for the request.
    pub left: Duration,
    /// The longest answer that is read, in bytes.
    pub body_limit: u64,
}

/// What is remembered of the expensive requests to one target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    detail: Account,
    leak: Account,
    /// One of them is under way: never two at once.
    busy: bool,
    /// When the target said that it has no leak profile.
    leak_missing: Option<Instant>,
    trace: Account,
    traces: Traces,
}

/// What is remembered of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Account {
    asked: Option<Instant>,
    /// How many times running it cost more than expected, or failed.
    strikes: u32,
    last: Option<Cost>,
}

impl Ledger {
    /// One of a target that may have been asked a moment ago, for all that is remembered: the next request waits an
    /// interval.
    #[must_use]
    pub fn wary(now: Instant) -> Self {
        let asked = Account {
            asked: Some(now),
            ..Account::default()
        };
        Self {
            detail: asked.clone(),
            leak: asked.clone(),
            trace: asked,
            ..Self::default()
        }
    }

    /// Whether the detailed profile may be asked for.
    ///
    /// # Errors
    /// Why not.
    pub fn detail(&self, spec: &DetailSpec, moment: &Moment) -> Result<(), Skip> {
        if spec.mode == DetailMode::Off {
            return Err(Skip::Off);
        }
        let frames = moment.size.filter(|&frames| frames < spec.max_frames);
        let frames = frames.ok_or(Skip::Budget)?;
        if spec.mode == DetailMode::Auto && self.detail.is_recent(spec.min_interval, moment.now) {
            return Err(Skip::Interval);
        }
        let remembered = self.detail.remembered(spec.min_interval, moment.now);
        self.affords(&expected(Expensive::Detail, frames, remembered), moment)
    }

    /// Whether proof of leaks may be asked for.
    ///
    /// # Errors
    /// Why not.
    pub fn leak(&self, spec: &LeakSpec, moment: &Moment) -> Result<(), Skip> {
        let goroutines = moment.size.filter(|&size| size <= spec.max_goroutines);
        let goroutines = goroutines.ok_or(Skip::Budget)?;
        if moment.at_locks > MAX_AT_LOCKS {
            return Err(Skip::Budget);
        }
        let again = spec.min_interval.max(MISSING_AGAIN);
        let missing = self
            .leak_missing
            .is_some_and(|said| moment.now.saturating_duration_since(said) < again);
        if missing || self.leak.is_recent(spec.min_interval, moment.now) {
            return Err(Skip::Interval);
        }
        let remembered = self.leak.remembered(spec.min_interval, moment.now);
        self.affords(&expected(Expensive::Leak, goroutines, remembered), moment)
    }

    /// Which of those that are allowed comes first: the one that waited longest, in the order of `allowed` those that did
    /// for as long.
    #[must_use]
    pub fn first(&self, allowed: &[Expensive]) -> Option<Expensive> {
        allowed
            .iter()
            .copied()
            .min_by_key(|&what| self.of(what).asked)
    }

    /// Notes that a request is made now. Until [`Ledger::settle`] says otherwise it counts as one that cost too much,
    /// and no other is made before [`Ledger::release`].
    pub fn claim(&mut self, what: Expensive, now: Instant) {
        self.busy = true;
        let account = self.account(what);
        account.asked = Some(now);
        account.strikes = account.strikes.saturating_add(1).min(MAX_STRIKES);
    }

    /// Notes what the request came to: one that cost no more than expected clears what was held against it.
    pub fn settle(&mut self, what: Expensive, cost: Cost) {
        let expected = expected(what, cost.size, None);
        if what == Expensive::Leak {
            self.leak_missing = None;
        }
        let account = self.account(what);
        let light = what == Expensive::Leak || cost.bytes <= expected.bytes;
        if light && cost.duration <= expected.duration {
            account.strikes = 0;
        }
        account.last = Some(cost);
    }

    /// Notes that the target has no leak profile, which is no fault of its.
    pub fn missing(&mut self, now: Instant) {
        self.leak_missing = Some(now);
        self.leak.strikes = 0;
    }

    /// Whether the target is known to have no leak profile.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.leak_missing.is_some()
    }

    /// Notes that the request is over, however it ended.
    pub fn release(&mut self) {
        self.busy = false;
    }

    /// Forgets what another process may have: it is asked anew for what the last one did not have. When it was asked
    /// for the rest stays, since a target that restarts all the time must not be asked all the time.
    pub fn restarted(&mut self) {
        self.leak_missing = None;
        self.forget_traces();
    }

    /// The interval in force: the configured one, doubled for each time running that it cost too much.
    #[must_use]
    pub fn interval(&self, what: Expensive, min_interval: Duration) -> Duration {
        self.of(what).interval(min_interval)
    }

    fn affords(&self, expected: &Cost, moment: &Moment) -> Result<(), Skip> {
        // Twice the expectation must fit, so that the answer to the scraper is not late when it is wrong.
        let fits = expected.duration.saturating_mul(2) <= moment.left
            && expected.bytes <= moment.body_limit;
        if self.busy || !fits {
            return Err(Skip::Budget);
        }
        Ok(())
    }

    fn account(&mut self, what: Expensive) -> &mut Account {
        match what {
            Expensive::Detail => &mut self.detail,
            Expensive::Leak => &mut self.leak,
            Expensive::Trace => &mut self.trace,
        }
    }

    fn of(&self, what: Expensive) -> &Account {
        match what {
            Expensive::Detail => &self.detail,
            Expensive::Leak => &self.leak,
            Expensive::Trace => &self.trace,
        }
    }
}

impl Account {
    fn interval(&self, min_interval: Duration) -> Duration {
        min_interval.saturating_mul(1 << self.strikes.min(MAX_STRIKES))
    }

    fn is_recent(&self, min_interval: Duration, now: Instant) -> bool {
        let interval = self.interval(min_interval);
        self.asked
            .is_some_and(|asked| now.saturating_duration_since(asked) < interval)
    }

    /// What the last request cost, until even the longest interval has passed since: what was slow once, for whatever
    /// reason, is tried again.
    fn remembered(&self, min_interval: Duration, now: Instant) -> Option<Cost> {
        self.last.filter(|_| self.is_remembered(min_interval, now))
    }

    fn is_remembered(&self, min_interval: Duration, now: Instant) -> bool {
        let longest = min_interval.saturating_mul(1 << MAX_STRIKES);
        self.asked
            .is_some_and(|asked| now.saturating_duration_since(asked) < longest)
    }
}

/// What a request for `size` will cost: what any may, or in proportion what the last one did, whichever is more.
fn expected(what: Expensive, size: u64, last: Option<Cost>) -> Cost {
    let (each, bytes) = match what {
        Expensive::Detail => (
            EXPECTED_PER_FRAME,
            EXPECTED_START_BYTES.saturating_add(size.saturating_mul(EXPECTED_FRAME_BYTES)),
        ),
        // Only leaked goroutines are in it, folded by stack: how long it is says nothing of what it cost.
        Expensive::Leak => (EXPECTED_PER_GOROUTINE, 0),
        // Its window is what it costs, and that is in the request; see `trace`.
        Expensive::Trace => (Duration::ZERO, u64::MAX),
    };
    let units = u32::try_from(size).unwrap_or(u32::MAX);
    let mut cost = Cost {
        size,
        duration: EXPECTED_START.saturating_add(each.saturating_mul(units)),
        bytes,
    };
    if let Some(last) = last {
        // A target that has shrunk since may cost what it did.
        let grown = |value: u128| {
            let grown = value.saturating_mul(u128::from(size.max(last.size)));
            u64::try_from(grown / u128::from(last.size.max(1))).unwrap_or(u64::MAX)
        };
        let duration = Duration::from_millis(grown(last.duration.as_millis()));
        cost.duration = cost.duration.max(duration);
        if what == Expensive::Detail {
            cost.bytes = cost.bytes.max(grown(u128::from(last.bytes)));
        }
    }
    cost
}

#[cfg(test)]
mod tests;
