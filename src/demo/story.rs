//! The incident, as a function of the story's time.
//!
//! At rest the service has 1,296 goroutines. From the fifth minute each request that carries an event queues
//! up behind one lock: the converter turns structs into maps by reflection while it holds it, and is slower
//! than the events come. About 1,530 goroutines a minute stay behind, 47,218 after half an hour, 95 % of
//! them in one place. Then the conversion is switched off, the queue drains within five minutes, and after a
//! pause it all begins again.
//!
//! Pure: no clock, no randomness. The same time gives the same goroutines, with the same ids.

use std::time::Duration;

use super::frame::Stack;
use super::stacks;

/// How long the service is at rest before it leaks.
pub const REST: Duration = Duration::from_mins(5);
/// How long it leaks.
pub const GROWTH: Duration = Duration::from_mins(30);
/// How long the queue takes to drain once fixed.
pub const RECOVERY: Duration = Duration::from_secs(270);
/// From one beginning to the next.
pub const CYCLE: Duration = Duration::from_mins(50);

/// Time stands still here, so that no number overflows: after about eleven thousand years.
const END: Duration = Duration::from_hours(100_000_000);

/// Goroutines that are there at the height of the incident and not at rest.
const PEAK_EXTRA: u64 = 45_922;
/// Of these, the ones that wait for the lock: all but the one that holds it and the pairs of [`extra`].
const PEAK_QUEUE: u64 = 45_003;
/// The service had been up for so long when the story began.
const UPTIME: Duration = Duration::from_hours(26);
/// Ids of goroutines that live as long as the service: so many for each population.
const IDS_PER_POPULATION: u64 = 1_000;
/// Ids of goroutines that belong to the story of one cycle start here.
const FIRST_ID: u64 = 4_000_000;
/// Ids a cycle uses up at most.
const IDS_PER_CYCLE: u64 = 200_000;
/// Where in them those of profiling requests begin.
const PROFILING_IDS: u64 = 150_000;

/// What the service is going through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing happens.
    Rest,
    /// Goroutines pile up.
    Leaking,
    /// The cause is gone, the queue drains.
    Recovering,
}

impl Phase {
    /// In words, for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rest => "at rest",
            Self::Leaking => "leaking",
            Self::Recovering => "fixed, recovering",
        }
    }
}

/// How long the goroutines of a population have waited.
#[derive(Clone, Copy, Debug)]
enum Waits {
    /// Less than a minute.
    Moments,
    /// Since the service came up, so many minutes ago.
    Minutes(u64),
    /// Since they were born, one after the other: the first of them is number `first` of the queue.
    Queue { first: u64, now_ms: u64 },
}

/// Goroutines that differ in nothing but their ids and how long they have waited.
#[derive(Clone, Debug)]
pub struct Population {
    pub(super) stack: &'static Stack,
    /// How many.
    pub count: u64,
    first_id: u64,
    waits: Waits,
}

impl Population {
    /// Why they wait, in the words of Go 1.27.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.stack.reason
    }

    /// Number of the `n`th goroutine, the oldest being the 0th.
    #[must_use]
    pub const fn id(&self, n: u64) -> u64 {
        match self.waits {
            // Every event costs two: one that handles the connection, one that enriches.
            Waits::Queue { .. } => self.first_id + 2 * n,
            Waits::Moments | Waits::Minutes(_) => self.first_id + n,
        }
    }

    /// Whole minutes the `n`th has waited.
    #[must_use]
    pub fn waited_minutes(&self, n: u64) -> u64 {
        match self.waits {
            Waits::Moments => 0,
            Waits::Minutes(minutes) => minutes,
            Waits::Queue { first, now_ms } => {
                let born = millis(REST) + (first + n) * millis(GROWTH) / PEAK_QUEUE;
                now_ms.saturating_sub(born) / 60_000
            }
        }
    }
}

/// All goroutines of one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Time since this round of the story began.
    pub time: Duration,
    /// Time since the story began for the first time.
    pub total_time: Duration,
    /// What the service is going through.
    pub phase: Phase,
    /// The goroutines; the one that writes the profile first. None is empty.
    pub populations: Vec<Population>,
}

impl Snapshot {
    /// How many goroutines there are.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.populations.iter().map(|p| p.count).sum()
    }

    /// The largest population's number.
    #[must_use]
    pub fn largest(&self) -> u64 {
        self.populations.iter().map(|p| p.count).max().unwrap_or(0)
    }
}

/// The story. It has no state: time is all it depends on.
#[derive(Clone, Copy, Debug)]
pub struct Story;

impl Story {
    /// The goroutines at a time since the story began.
    #[must_use]
    pub fn at(time: Duration) -> Snapshot {
        let total_ms = millis(time.min(END));
        let (cycle, now_ms) = (total_ms / millis(CYCLE), total_ms % millis(CYCLE));
        let (phase, extra) = extra(now_ms);
        // The one that converts, then of a hundred that are left one request with its watcher, which has not
        // been given up yet, then the queue.
        let converting = extra.min(1);
        let pairs = (extra - converting) / 100;
        let queue = extra - converting - 2 * pairs;
        // A few connections are busy now and idle then; the sum stays.
        let busy = (total_ms / 15_000 * 7) % 9;
        let up = Waits::Minutes((millis(UPTIME) + total_ms) / 60_000);
        let first = FIRST_ID + cycle * IDS_PER_CYCLE;
        // While the lock is contended it is handed over in order, so the oldest leave first.
        let drained = if phase == Phase::Recovering {
            PEAK_QUEUE.saturating_sub(queue)
        } else {
            0
        };

        let mut populations = vec![
            Population {
                stack: &stacks::PROFILING,
                count: 1,
                first_id: first + PROFILING_IDS + now_ms / 1_000,
                waits: Waits::Moments,
            },
            Population {
                stack: &stacks::MAIN,
                count: 1,
                first_id: 1,
                waits: Waits::Moments,
            },
        ];
        let lasting = [
            (&stacks::SQL_OPENER, 1, up),
            (&stacks::SQL_CLEANER, 1, up),
            (&stacks::SIGNAL_LOOP, 1, up),
            (&stacks::SUPERVISOR, 1, up),
            (&stacks::METRICS, 1, Waits::Moments),
            (&stacks::HEARTBEATS, 3, Waits::Moments),
            (&stacks::LEDGER, 6, Waits::Moments),
            (&stacks::PRICES, 12, Waits::Moments),
            (&stacks::WORKER, 256, Waits::Minutes(3)),
            (&stacks::CACHE_SHARD, 16, Waits::Moments),
            (&stacks::RPC_READER, 32, Waits::Minutes(1)),
            (&stacks::RPC_WRITER, 32, Waits::Minutes(1)),
            (&stacks::RPC_CALLBACKS, 64, up),
            (&stacks::CLIENT_READER, 96, Waits::Moments),
            (&stacks::CLIENT_WRITER, 96, Waits::Moments),
            (&stacks::IDLE_CONNECTION, 627 - 2 * busy, Waits::Moments),
            (&stacks::REQUEST, 24 + busy + pairs, Waits::Moments),
            // One more than requests: the one for the profile is watched too.
            (&stacks::REQUEST_WATCH, 25 + busy + pairs, Waits::Moments),
        ];
        populations.extend(
            (1..)
                .zip(lasting)
                .map(|(n, (stack, count, waits))| Population {
                    stack,
                    count,
                    first_id: n * IDS_PER_POPULATION,
                    waits,
                }),
        );
        if queue > 0 {
            populations.push(Population {
                stack: &stacks::CONVERTER_QUEUE,
                count: queue,
                first_id: first + 2 * drained + 2,
                waits: Waits::Queue {
                    first: drained,
                    now_ms,
                },
            });
        }
        if converting > 0 {
            populations.push(Population {
                stack: &stacks::CONVERTING,
                count: converting,
                first_id: first,
                waits: Waits::Moments,
            });
        }
        Snapshot {
            time: Duration::from_millis(now_ms),
            total_time: time,
            phase,
            populations,
        }
    }
}

/// What happens at a time of one cycle, and how many goroutines there are beyond those at rest.
fn extra(now_ms: u64) -> (Phase, u64) {
    let (growth, recovery) = (millis(GROWTH), millis(RECOVERY));
    let Some(leaking) = now_ms.checked_sub(millis(REST)) else {
        return (Phase::Rest, 0);
    };
    let Some(recovering) = leaking.checked_sub(growth + 1) else {
        return (Phase::Leaking, PEAK_EXTRA * leaking / growth);
    };
    // Fast at first, slower in the end.
    match recovery.saturating_sub(recovering + 1) {
        0 => (Phase::Rest, 0),
        left => (
            Phase::Recovering,
            PEAK_EXTRA * left * left / (recovery * recovery),
        ),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn check(seconds: u64, phase: Phase, total: u64) {
        let snapshot = Story::at(Duration::from_secs(seconds));
        assert_eq!(
            (snapshot.phase, snapshot.total()),
            (phase, total),
            "after {seconds} s"
        );
    }

    #[test]
    fn the_numbers_of_the_incident() {
        for cycle in [0, 3000, 30_000] {
            check(cycle, Phase::Rest, 1_296);
            check(cycle + 299, Phase::Rest, 1_296);
            check(cycle + 300, Phase::Leaking, 1_296);
            check(cycle + 360, Phase::Leaking, 1_296 + 1_530);
            check(cycle + 2_100, Phase::Leaking, 47_218);
            check(cycle + 2_101, Phase::Recovering, 46_878);
            check(cycle + 2_400, Phase::Rest, 1_296);
            check(cycle + 2_999, Phase::Rest, 1_296);
        }
    }

    #[test]
    fn one_place_has_95_percent_at_the_height() {
        let snapshot = Story::at(REST + GROWTH);
        assert!(
            snapshot.largest() * 100 >= snapshot.total() * 95,
            "{} of {}",
            snapshot.largest(),
            snapshot.total()
        );
        assert_eq!(snapshot.largest(), PEAK_QUEUE);
    }

    #[test]
    fn it_only_grows_while_it_leaks_and_only_shrinks_after() {
        let totals = |from, to| {
            (from..=to)
                .map(|s| Story::at(Duration::from_secs(s)).total())
                .collect::<Vec<_>>()
        };
        assert!(totals(300, 2_100).is_sorted());
        assert!(totals(2_100, 2_400).is_sorted_by(|a, b| a >= b));
    }

    #[test]
    fn no_two_goroutines_share_an_id() {
        for minute in [0, 5, 20, 35, 36, 37, 39, 75, 999] {
            let snapshot = Story::at(Duration::from_mins(minute));
            let ids: Vec<u64> = snapshot
                .populations
                .iter()
                .flat_map(|p| (0..p.count).map(|n| p.id(n)))
                .collect();
            assert_eq!(
                ids.iter().collect::<HashSet<_>>().len(),
                ids.len(),
                "in minute {minute}"
            );
        }
    }

    #[test]
    fn the_oldest_have_waited_since_the_leak_began_and_leave_first() {
        let queue = |time| {
            Story::at(time)
                .populations
                .into_iter()
                .find(|p| p.count > 10_000)
                .expect("a queue")
        };
        let peak = queue(REST + GROWTH);
        assert_eq!(
            (peak.waited_minutes(0), peak.waited_minutes(peak.count - 1)),
            (30, 0)
        );
        let draining = queue(REST + GROWTH + Duration::from_mins(1));
        assert!(draining.id(0) > peak.id(0));
        assert_eq!(draining.id(draining.count - 1), peak.id(peak.count - 1));
    }

    #[test]
    fn far_times_do_no_harm() {
        assert_eq!(Story::at(Duration::MAX).total(), Story::at(END).total());
    }
}
