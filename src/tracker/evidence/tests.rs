//! Targets that live through days in a moment.

use super::*;
use crate::classify::WaitReason;
use crate::probe::test_report;

const MINUTE: Duration = Duration::from_mins(1);

/// A target that is probed once a minute.
struct Life {
    evidence: Evidence,
    now: Instant,
    fired: Vec<Trigger>,
}

impl Life {
    fn new() -> Self {
        Self {
            evidence: Evidence::default(),
            now: Instant::now(),
            fired: Vec::new(),
        }
    }

    /// What one probe makes fire: all goroutines but `largest` are in groups that hold few.
    fn probe(&mut self, total: u64, largest: u64, leaked: Option<u64>) -> Option<Decision> {
        self.now += MINUTE;
        let mut tally = test_report().tally;
        tally.total = total;
        tally.leaked = leaked;
        let mut group = tally.groups.remove(0);
        group.id = GroupId::of(WaitReason::Select, "a", "a");
        group.goroutines = largest;
        tally.groups = vec![group];
        self.evidence.look(Look {
            tally: &tally,
            at: self.now,
            baseline: true,
        })
    }

    /// The same in a row of probes; baselines are left aside.
    fn live(&mut self, totals: impl IntoIterator<Item = u64>, largest: impl Fn(u64) -> u64) {
        for total in totals {
            let fired = self.probe(total, largest(total), None);
            let fired = fired.map(|decision| decision.trigger);
            self.fired
                .extend(fired.filter(|fired| *fired != Trigger::Baseline));
        }
    }

    fn fired(&mut self) -> Vec<Trigger> {
        std::mem::take(&mut self.fired)
    }
}

fn few(_: u64) -> u64 {
    0
}

fn hours(hours: usize, total: u64) -> impl Iterator<Item = u64> {
    std::iter::repeat_n(total, hours * 60)
}

#[test]
fn growth_fires_once_and_again_for_the_next_incident() {
    let mut life = Life::new();
    life.live(hours(3, 1200), few);
    assert_eq!(life.fired(), []);
    // 1.2k become 47k in half an hour, and stay for a while.
    let leak = (0..30).map(|minute| 1200 + 1500 * minute);
    life.live(leak.clone(), few);
    life.live(hours(1, 47_000), few);
    assert_eq!(life.fired(), [Trigger::Growth]);
    // It dies, starts again and leaks again: it is the same incident as long as it is never calm.
    for _ in 0..5 {
        life.live([100, 800, 1200, 1200], few);
        life.live(leak.clone(), few);
    }
    assert_eq!(life.fired(), []);
    // Repaired, and broken again the next day. The level has not been spoilt by what happened.
    life.live(hours(20, 1200), few);
    assert!((1150.0..1300.0).contains(&life.evidence.level().unwrap()));
    life.live(leak, few);
    assert_eq!(life.fired(), [Trigger::Growth]);
}

#[test]
fn growth_that_stays_becomes_usual() {
    let mut life = Life::new();
    life.live(hours(3, 1000), few);
    life.live(hours(12, 4000), few);
    assert_eq!(life.fired(), [Trigger::Growth]);
    // The ratchet has let go: from the new level it fires as from any other.
    life.live([7000; 10], few);
    assert_eq!(life.fired(), []);
    life.live(hours(1, 9000), few);
    assert_eq!(life.fired(), [Trigger::Growth]);
}

#[test]
fn what_is_small_slow_or_early_is_no_growth() {
    let check = |totals: Vec<u64>| {
        let mut life = Life::new();
        life.live(totals.clone(), few);
        assert_eq!(life.fired(), [], "{totals:?}");
    };
    // A service that starts.
    check(vec![8, 100, 400, 900, 1000, 1000, 1100, 1900]);
    // One that is small.
    check([hours(1, 20).collect(), vec![60, 99, 119]].concat());
    // A day that begins: five times as many over eight hours.
    check(
        hours(2, 1000)
            .chain((0..480).map(|minute| 1000 + minute * 4000 / 480))
            .collect(),
    );
    check(vec![0; 10]);
    check(vec![u64::MAX; 10]);
}

#[test]
fn a_group_that_comes_to_hold_most_fires_once() {
    let mut life = Life::new();
    life.live(hours(1, 1000), |total| total * 2 / 5);
    life.live(hours(1, 1000), |total| total / 2);
    assert_eq!(life.fired(), []);
    life.live(hours(1, 1000), |total| total / 2 + 1);
    assert_eq!(life.fired(), [Trigger::Dominant]);
    // Around the border nothing new happens, nor for less than half an hour below it.
    for _ in 0..10 {
        life.live([1000; 20], |_| 300);
        life.live([1000; 2], |_| 700);
    }
    assert_eq!(life.fired(), []);
    life.live([1000; 31], |_| 300);
    life.live([1000; 5], |_| 700);
    assert_eq!(life.fired(), [Trigger::Dominant]);
    // Most of few is nothing.
    let mut life = Life::new();
    life.live(hours(1, 99), few);
    life.live(hours(1, 99), |_| 90);
    // Nor is what has been so from the first probe on.
    let mut early = Life::new();
    early.live(hours(2, 1000), |_| 900);
    assert_eq!((life.fired(), early.fired()), (vec![], vec![]));
}

#[test]
fn the_first_proof_fires_even_in_the_first_probe() {
    let mut life = Life::new();
    let mut check = |leaked, expected: Option<Trigger>| {
        let fired = life.probe(1000, 0, leaked);
        let fired = fired.map(|decision| decision.trigger);
        let fired = fired.filter(|fired| *fired != Trigger::Baseline);
        assert_eq!(fired, expected, "{leaked:?}");
    };
    check(Some(3), Some(Trigger::Leak));
    check(Some(4), None);
    for _ in 0..50 {
        check(None, None);
    }
    check(Some(4), None);
    for _ in 0..20 {
        check(Some(0), None);
    }
    check(None, None);
    check(Some(1), None);
    for _ in 0..29 {
        check(Some(0), None);
    }
    check(Some(0), None);
    check(Some(1), Some(Trigger::Leak));
}

#[test]
fn one_fires_in_a_probe_and_the_others_next() {
    let mut life = Life::new();
    for _ in 0..6 {
        life.probe(100, 0, None);
    }
    let fired: Vec<_> = (0..5)
        .map(|_| life.probe(1000, 900, Some(9)).map(|fired| fired.trigger))
        .collect();
    let expected = [Trigger::Leak, Trigger::Growth, Trigger::Dominant].map(Some);
    assert_eq!(fired[..3], expected);
    assert_eq!(fired[3..], [None, None]);
}

#[test]
fn baselines_are_an_hour_apart() {
    let mut life = Life::new();
    let fired = (0..181).map(|_| life.probe(100, 0, None));
    let at: Vec<usize> = fired
        .enumerate()
        .filter_map(|(at, fired)| fired.map(|_| at))
        .collect();
    assert_eq!(at, [0, 60, 120, 180]);
}

#[test]
fn what_could_not_be_kept_fires_again() {
    let mut life = Life::new();
    let mut tried = Vec::new();
    // Every first attempt fails.
    let mut attempt = |life: &mut Life, total, largest, leaked| {
        if let Some(fired) = life.probe(total, largest, leaked) {
            tried.push(fired.trigger);
            if tried.len() % 2 == 1 {
                life.evidence.undo(fired);
            }
        }
    };
    for _ in 0..6 {
        attempt(&mut life, 100, 0, None);
    }
    for _ in 0..9 {
        attempt(&mut life, 1000, 900, Some(9));
    }
    let expected = [
        Trigger::Baseline,
        Trigger::Leak,
        Trigger::Growth,
        Trigger::Dominant,
    ];
    assert_eq!(tried, expected.map(|trigger| [trigger; 2]).as_flattened());
}
