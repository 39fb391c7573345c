//! What is kept and shown of an execution trace: of the thousands of groups of a [`Window`] the first, and the rest in one.
//!
//! Only goroutines of the application count. The runtime's own are in no goroutine profile, and those that make the trace
//! would not be there without. Waits that began or ended in the window are told apart from goroutines that were parked
//! from its first moment to its last: those would drown everything else, and a service that idles has as many.
//!
//! Pure. Memory: at most [`MAX_ROWS`] rows with 32 KiB of names for each of four lists, 20 KiB in all for most programs.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::classify::WaitReason;
use crate::tally::{GroupId, OTHER_PLACES};
use crate::trace::{
    Births, Blame, Blocked, Cause, Collector, Damage, Format, Latency, Owner, Runnable, Sum, Window,
};

/// Rows of a list, at most: as many groups as can have series.
pub const MAX_ROWS: usize = 100;
/// Bytes of names in a list, at most; rows beyond are in its rest. A target may make its names as long as a label value.
const MAX_NAME_BYTES: usize = 32 << 10;
/// Kinds of stops of the world that are told apart, at most. Go has some thirty, and in a window few of them occur.
pub const MAX_STOPS: usize = 8;

/// Which parts of the delays before goroutines run are told: a delay that half of them do not exceed, and so on.
pub const QUANTILES: [(f64, &str); 4] = [(0.5, "50"), (0.9, "90"), (0.99, "99"), (1.0, "100")];

/// What is kept of one trace. All times are nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// How long the window was.
    pub nanoseconds: u64,
    /// Events in it.
    pub events: u64,
    /// What could not be read or does not fit together.
    pub damage: u64,
    /// `GOMAXPROCS`, when it was said.
    pub processors: Option<u64>,
    /// Waits that began or ended in the window, most time first.
    pub blocked: Top<Group, Sum>,
    /// Goroutines that waited for all of it, most of them first.
    pub parked: Top<Group, Sum>,
    /// System calls, and calls of C code, most time first.
    pub syscalls: Top<Group, Sum>,
    /// Goroutines made and ended, by where they were made; most made first.
    pub sites: Top<Site, Births>,
    /// From being able to run to running, in the order of [`Cause::ALL`].
    pub delays: [Delays; Cause::ALL.len()],
    /// All time between the two.
    pub runnable: Runnable,
    /// Stops of the world by kind, most time first; the longest of each with it. The trace's own are left out.
    pub stops: Vec<(Arc<str>, Sum, u64)>,
    /// What the garbage collector did.
    pub collector: Collector,
    /// What goroutines waited for, those parked all the time aside, in the order of [`Blame::ALL`].
    pub waiting: [u64; Blame::ALL.len()],
}

/// Where goroutines were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// As in a goroutine profile, as are the others.
    pub id: GroupId,
    /// Why they waited.
    pub wait_reason: WaitReason,
    /// In which function.
    pub blocking_frame: Arc<str>,
    /// For which function of the application.
    pub app_frame: Arc<str>,
}

/// Where goroutines were made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The function with the `go` statement.
    pub created_by: Arc<str>,
    /// The first function of the application above it.
    pub app_frame: Arc<str>,
    /// The function they run.
    pub entry: Arc<str>,
}

/// Delays of one cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delays {
    /// How many.
    pub count: u64,
    /// All together.
    pub nanoseconds: u64,
    /// In the order of [`QUANTILES`].
    pub quantiles: [u64; QUANTILES.len()],
}

/// The first rows of a list, and all others together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Top<K, N> {
    /// The first.
    pub rows: Vec<(K, N)>,
    /// The others.
    pub rest: N,
}

/// What rows are added up in.
pub trait Amount: Copy {
    /// Both together.
    #[must_use]
    fn plus(self, other: Self) -> Self;
}

/// What rows are told apart by.
pub trait Named {
    /// Bytes of its names.
    fn name_bytes(&self) -> usize;

    /// Whether its names are those that the rest goes by: a row of such names would be a series twice.
    fn is_rest(&self) -> bool;
}

impl Amount for Sum {
    fn plus(self, other: Self) -> Self {
        self.and(other)
    }
}

impl Amount for Births {
    fn plus(self, other: Self) -> Self {
        Self {
            created: self.created.saturating_add(other.created),
            ended: self.ended.saturating_add(other.ended),
        }
    }
}

impl Named for Group {
    fn name_bytes(&self) -> usize {
        self.blocking_frame.len() + self.app_frame.len()
    }

    fn is_rest(&self) -> bool {
        [&self.blocking_frame, &self.app_frame]
            .iter()
            .all(|name| &***name == OTHER_PLACES)
    }
}

impl Named for Site {
    fn name_bytes(&self) -> usize {
        self.created_by.len() + self.app_frame.len() + self.entry.len()
    }

    fn is_rest(&self) -> bool {
        [&self.created_by, &self.app_frame, &self.entry]
            .iter()
            .all(|name| &***name == OTHER_PLACES)
    }
}

impl<K: Clone, N: Amount> Top<K, N> {
    /// The first `count` rows, the others in the rest.
    #[must_use]
    pub fn first(&self, count: usize) -> Self {
        let (rows, others) = self
            .rows
            .split_at_checked(count)
            .unwrap_or((&self.rows, &[]));
        let rest = others.iter().map(|(_, amount)| *amount);
        Self {
            rows: rows.to_vec(),
            rest: rest.fold(self.rest, Amount::plus),
        }
    }
}

impl<K: Named, N: Amount> Top<K, N> {
    /// Of rows in their order, with what is in no row.
    fn of(rows: impl IntoIterator<Item = (K, N)>, rest: N) -> Self {
        let mut top = Self {
            rows: Vec::new(),
            rest,
        };
        let mut room = Some(MAX_NAME_BYTES);
        for (key, amount) in rows {
            room = room.and_then(|room| room.checked_sub(key.name_bytes()));
            if room.is_some() && top.rows.len() < MAX_ROWS && !key.is_rest() {
                top.rows.push((key, amount));
            } else {
                top.rest = top.rest.plus(amount);
            }
        }
        top
    }
}

impl Traced {
    /// Of a window. Cost: a sort of its groups.
    #[must_use]
    pub fn of(window: &Window) -> Self {
        let own = |groups: &[Blocked], amount: fn(&Blocked) -> Sum, by: fn(&Sum) -> u64| {
            let mut rows: Vec<(Group, Sum)> = groups
                .iter()
                .filter(|group| group.owner == Owner::Application)
                .map(|group| (Group::of(group), amount(group)))
                .filter(|(_, sum)| sum.count > 0)
                .collect();
            rows.sort_by_key(|(group, sum)| (Reverse(by(sum)), group.id));
            rows
        };
        let blocked = own(
            &window.blocked,
            |of| of.spans.moved(),
            |sum| sum.nanoseconds,
        );
        let parked = own(&window.blocked, |of| of.spans.both, |sum| sum.count);
        let syscalls = own(&window.syscalls, |of| of.spans.all(), |sum| sum.nanoseconds);
        let sites = window.sites.iter();
        let sites = sites.filter(|site| site.owner == Owner::Application);
        let sites = sites.map(|site| {
            let names = Site {
                created_by: Arc::clone(&site.created_by),
                app_frame: Arc::clone(&site.app_frame),
                entry: Arc::clone(&site.entry),
            };
            (names, site.births)
        });
        Self {
            nanoseconds: window.nanoseconds,
            events: window.events,
            damage: amount_of(&window.damage),
            processors: window.processors,
            blocked: Top::of(blocked, window.blocked_unlisted.moved()),
            parked: Top::of(parked, window.blocked_unlisted.both),
            syscalls: Top::of(syscalls, window.syscalls_unlisted.all()),
            sites: Top::of(
                sites.filter(|(_, births)| *births != Births::default()),
                window.sites_unlisted,
            ),
            delays: window.latency.each_ref().map(Delays::of),
            runnable: window.runnable,
            stops: window
                .stops
                .iter()
                .filter(|stop| !stop.tracer && stop.sum.count > 0)
                .map(|stop| (Arc::clone(&stop.kind), stop.sum, stop.longest))
                .collect(),
            collector: window.collector,
            waiting: window.verdict.map(|waited| waited.moved),
        }
        .with_few_stops()
    }

    /// The same with lists of at most so many rows.
    #[must_use]
    pub fn first(&self, count: usize) -> Self {
        Self {
            blocked: self.blocked.first(count),
            parked: self.parked.first(count),
            syscalls: self.syscalls.first(count),
            sites: self.sites.first(count),
            ..self.clone()
        }
    }

    fn with_few_stops(mut self) -> Self {
        let (mut others, named): (Vec<_>, Vec<_>) = std::mem::take(&mut self.stops)
            .into_iter()
            .partition(|(kind, ..)| &**kind == OTHER_PLACES);
        self.stops = named;
        if self.stops.len() > MAX_STOPS || !others.is_empty() {
            let room = self.stops.len().min(MAX_STOPS - 1);
            others.extend(self.stops.split_off(room));
            let rest = others
                .iter()
                .fold((Sum::default(), 0), |(sum, longest), (_, more, most)| {
                    (sum.and(*more), longest.max(*most))
                });
            self.stops.push((OTHER_PLACES.into(), rest.0, rest.1));
        }
        self
    }
}

impl Group {
    fn of(group: &Blocked) -> Self {
        Self {
            id: group.id,
            wait_reason: group.wait_reason,
            blocking_frame: Arc::clone(&group.blocking_frame),
            app_frame: Arc::clone(&group.app_frame),
        }
    }
}

impl Delays {
    fn of(latency: &Latency) -> Self {
        Self {
            count: latency.count,
            nanoseconds: latency.nanoseconds,
            quantiles: QUANTILES.map(|(part, _)| latency.quantile(part).unwrap_or(0)),
        }
    }
}

/// By group, the goroutines that were parked from the first moment to the last; `None` where the trace does not prove it:
/// Go 1.22 tells no stacks of them, and what was lost may have been a move.
#[must_use]
pub fn still(window: &Window) -> Option<BTreeMap<GroupId, u64>> {
    if window.format == Format::Go122
        || !window.damage.is_none()
        || window.blocked_unlisted.both.count > 0
    {
        return None;
    }
    let parked = window.blocked.iter();
    let parked = parked.filter(|group| group.spans.both.count > 0);
    Some(
        parked
            .map(|group| (group.id, group.spans.both.count))
            .collect(),
    )
}

/// All of it in one number, bytes aside: where no batch begins, nobody knows how many events there were.
fn amount_of(damage: &Damage) -> u64 {
    let Damage {
        generations,
        bytes: _,
        batches,
        events,
        tables,
        gaps,
        conflicts,
        unknown_goroutines,
        dropped,
        stretches,
        clamped: _,
    } = *damage;
    [
        generations,
        batches,
        events,
        tables,
        gaps,
        conflicts,
        unknown_goroutines,
        dropped,
        stretches,
    ]
    .into_iter()
    .fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::Rules;
    use crate::decode::inflated;
    use crate::trace::{Limits, decode};

    fn group(name: &str) -> Group {
        Group {
            id: GroupId(1),
            wait_reason: WaitReason::ChanSend,
            blocking_frame: name.into(),
            app_frame: "".into(),
        }
    }

    fn sum(count: u64) -> Sum {
        Sum {
            count,
            nanoseconds: count * 10,
        }
    }

    fn total(top: &Top<Group, Sum>) -> Sum {
        let listed = top.rows.iter().map(|(_, sum)| *sum);
        listed.fold(top.rest, Sum::and)
    }

    #[test]
    fn what_has_no_row_is_in_the_rest() {
        let rows = |count: u64| (0..count).map(|n| (group("main.f"), sum(n)));
        let all = Top::of(rows(250), sum(5));
        assert_eq!(all.rows.len(), MAX_ROWS);
        let expected = sum((0..250).sum::<u64>() + 5);
        assert_eq!(total(&all), expected);
        let few = all.first(7);
        assert_eq!(few.rows.len(), 7);
        assert_eq!(total(&few), expected);
        assert_eq!(all.first(1000), all);
    }

    #[test]
    fn nothing_is_proven_by_a_trace_without_stacks_of_who_is_parked() {
        let window = |folder: &str| {
            let packed = std::fs::read(format!("tests/data/{folder}/trace-1s.out.gz")).unwrap();
            let mut body = Vec::new();
            let whole = inflated(&packed, 64 << 20, |piece| body.extend_from_slice(piece));
            assert!(whole.unwrap());
            decode(&body, &Limits::default(), &Rules::default()).unwrap()
        };
        assert_eq!(still(&window("go1.22.10-trace")), None);
        let mut window = window("go1.27.3-trace");
        let parked = still(&window).unwrap();
        assert_eq!(
            parked.values().sum::<u64>(),
            u64::try_from(window.parked.len()).unwrap()
        );
        // What was lost may have been a move.
        window.damage.events += 1;
        assert_eq!(still(&window), None);
    }

    #[test]
    fn what_is_called_as_the_rest_is_counted_there() {
        let mut rows = vec![(group("main.f"), sum(1)), (group("other"), sum(2))];
        rows[1].0.app_frame = "other".into();
        let top = Top::of(rows, sum(3));
        assert_eq!(top.rows.len(), 1);
        assert_eq!(top.rest, sum(5));
    }

    #[test]
    fn names_are_bounded_together() {
        let long = "x".repeat(1000);
        let rows = (0..50).map(|n| (group(&long), sum(n)));
        let top = Top::of(rows, sum(0));
        assert_eq!(top.rows.len(), MAX_NAME_BYTES / 1000);
        assert_eq!(total(&top), sum((0..50).sum()));
    }
}
