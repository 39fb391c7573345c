use std::time::Duration;

use super::*;
use crate::classify::{Origin, Rules, WaitReason};
use crate::decode::{Limits, decode};
use crate::profile::{Encoding, Summary};
use crate::tally::{Collector, STUCK, WAITED_MINUTES};

const LIMITS: SeriesLimits = SeriesLimits {
    groups: 5,
    min_goroutines: 5,
    min_ratio: 0.0,
};

/// A group of so many goroutines; a name that ends in `!` is proven leaked, in `?` stuck.
fn group(name: &str, goroutines: u64) -> Group {
    let wait_reason = WaitReason::MutexLock;
    Group {
        id: GroupId::of(wait_reason, name, ""),
        wait_reason,
        blocking_frame: name.into(),
        app_frame: "".into(),
        goroutines,
        leaked: u64::from(name.ends_with('!')),
        longest_wait: name.ends_with('?').then_some(STUCK),
        parked: None,
        file: "".into(),
        places: vec![],
        line: 0,
        entry: "".into(),
        created_by: None,
        origin: Origin::App,
    }
}

fn tally(groups: &[(&str, u64)]) -> Tally {
    let mut groups: Vec<Group> = groups
        .iter()
        .map(|(name, goroutines)| group(name, *goroutines))
        .collect();
    groups.sort_by_key(|group| (Reverse(group.goroutines), group.id));
    let waits = WaitReason::ALL.len();
    Tally {
        summary: Summary {
            encoding: Encoding::Protobuf,
            leaked_only: false,
            declared_total: None,
            truncated: false,
            damage: 0,
            process: None,
        },
        total: groups.iter().map(|group| group.goroutines).sum(),
        wait_reasons: [0; WaitReason::ALL.len()],
        longest_waits: [None; WaitReason::ALL.len()],
        waited: [[0; WAITED_MINUTES.len()]; WaitReason::ALL.len()],
        leaked: None,
        groups,
        unlisted: 0,
        watches: Vec::new(),
        labels: Vec::with_capacity(waits),
        highest_id: None,
        checked: None,
        frames: 0,
    }
}

/// The names of the groups that are shown, best first; the books are checked on the way.
fn look(groups: &[(&str, u64)], limits: &SeriesLimits, memory: &mut Memory) -> Vec<String> {
    let tally = tally(groups);
    let selection = select(&tally, limits, memory);
    assert!(selection.shown.len() <= limits.groups);
    assert_eq!(selection.shown.len() + selection.folded, tally.groups.len());
    let shown: u64 = selection
        .shown
        .iter()
        .map(|&place| tally.groups[place].goroutines)
        .sum();
    assert_eq!(shown + selection.other, tally.total);
    assert!(memory.held.len() + memory.candidates.len() <= 2 * limits.groups);
    selection
        .shown
        .iter()
        .map(|&place| tally.groups[place].blocking_frame.to_string())
        .collect()
}

#[test]
fn on_the_first_look_all_qualify_and_the_most_urgent_and_largest_are_shown() {
    let mut memory = Memory::default();
    let groups = [
        ("tiny", 4),
        ("leak!", 1),
        ("small", 5),
        ("large", 900),
        ("stuck?", 2),
        ("leaks!", 2),
        ("middle", 30),
        ("more", 20),
    ];
    assert_eq!(
        look(&groups, &LIMITS, &mut memory),
        ["leaks!", "leak!", "stuck?", "large", "middle"]
    );
    assert_eq!(
        look(
            &groups,
            &SeriesLimits {
                groups: 0,
                ..LIMITS
            },
            &mut memory
        ),
        [""; 0]
    );
    assert_eq!(look(&[], &LIMITS, &mut Memory::default()), [""; 0]);
}

#[test]
fn ties_are_broken_by_id() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let mut ids: Vec<_> = names
        .iter()
        .map(|name| {
            (
                GroupId::of(WaitReason::MutexLock, name, ""),
                (*name).to_owned(),
            )
        })
        .collect();
    ids.sort();
    let expected: Vec<_> = ids.into_iter().take(5).map(|(_, name)| name).collect();
    let groups = names.map(|name| (name, 10));
    assert_eq!(look(&groups, &LIMITS, &mut Memory::default()), expected);
}

#[test]
fn below_the_floor_only_what_is_proven_or_stuck_is_shown() {
    let groups = [
        ("a", 100),
        ("b", 10),
        ("c", 9),
        ("d", 4),
        ("e!", 1),
        ("f?", 1),
    ];
    let check = |min_goroutines, min_ratio, expected: &[&str]| {
        let limits = SeriesLimits {
            groups: 10,
            min_goroutines,
            min_ratio,
        };
        assert_eq!(
            look(&groups, &limits, &mut Memory::default()),
            expected,
            "{min_goroutines} {min_ratio}"
        );
    };
    check(0, 0.0, &["e!", "f?", "a", "b", "c", "d"]);
    check(5, 0.0, &["e!", "f?", "a", "b", "c"]);
    // A share of 125 goroutines: 10 of them are exactly 0.08, and 0.0801 is more.
    check(5, 0.08, &["e!", "f?", "a", "b"]);
    check(5, 0.0801, &["e!", "f?", "a"]);
    check(5, 1.0, &["e!", "f?"]);
    check(u64::MAX, 0.0, &["e!", "f?"]);
    check(5, f64::NAN, &["e!", "f?", "a", "b", "c"]);
    check(5, -1.0, &["e!", "f?", "a", "b", "c"]);
}

#[test]
fn a_small_newcomer_is_shown_the_second_time_in_a_row() {
    let mut memory = Memory::default();
    let (without, with) = ([("a", 9)], [("a", 9), ("new", 49)]);
    assert_eq!(look(&without, &LIMITS, &mut memory), ["a"]);
    assert_eq!(look(&with, &LIMITS, &mut memory), ["a"]);
    assert_eq!(look(&without, &LIMITS, &mut memory), ["a"]);
    assert_eq!(look(&with, &LIMITS, &mut memory), ["a"], "not in a row");
    assert_eq!(look(&with, &LIMITS, &mut memory), ["new", "a"]);
    assert_eq!(look(&with, &LIMITS, &mut memory), ["new", "a"]);
    // Missing for two probes it is still known; after three it is a newcomer again.
    for (missed, after) in [(1, &["new", "a"][..]), (2, &["new", "a"]), (3, &["a"])] {
        for _ in 0..missed {
            assert_eq!(look(&without, &LIMITS, &mut memory), ["a"]);
        }
        assert_eq!(
            look(&with, &LIMITS, &mut memory),
            after,
            "missing for {missed}"
        );
    }
}

#[test]
fn a_large_or_urgent_newcomer_is_shown_at_once() {
    for newcomer in [("new", 50), ("new!", 1), ("new?", 1)] {
        let mut memory = Memory::default();
        look(&[("a", 9)], &LIMITS, &mut memory);
        let shown = look(&[("a", 9), newcomer], &LIMITS, &mut memory);
        assert_eq!(shown.len(), 2, "{newcomer:?}");
    }
}

const FULL: [(&str, u64); 5] = [("a", 100), ("b", 90), ("c", 80), ("d", 70), ("e", 60)];

fn full_and(more: &[(&'static str, u64)]) -> Vec<(&'static str, u64)> {
    FULL.iter().chain(more).copied().collect()
}

#[test]
fn a_held_place_is_lost_to_the_clearly_larger_and_the_more_urgent_only() {
    let replaced = |newcomer| {
        let mut memory = Memory::default();
        look(&FULL, &LIMITS, &mut memory);
        let shown = look(&full_and(&[newcomer]), &LIMITS, &mut memory);
        assert_eq!(shown.len(), 5);
        shown.iter().all(|name| name != "e")
    };
    assert!(!replaced(("new", 61)));
    assert!(!replaced(("new", 119)));
    assert!(replaced(("new", 120)));
    assert!(replaced(("new", 1_000_000)));
    assert!(replaced(("new!", 1)));
    assert!(replaced(("new?", 1)));
    assert!(!replaced(("new", 5)));
}

#[test]
fn a_held_place_is_kept_until_the_third_look_far_below() {
    let crowd: Vec<String> = (0..10).map(|number| format!("crowd{number}")).collect();
    let above = |size, number: usize| {
        let crowd = crowd.iter().take(number);
        full_and(&[])
            .into_iter()
            .chain(crowd.map(|name| (name.as_str(), size)))
            .collect::<Vec<_>>()
    };
    // Ten that are larger, not twice as large: `e` ranks 15th, below the 10th place.
    let mut memory = Memory::default();
    look(&FULL, &LIMITS, &mut memory);
    let names = |shown: Vec<String>| shown.contains(&"e".to_owned());
    let crowded = above(101, 10);
    assert!(names(look(&crowded, &LIMITS, &mut memory)));
    assert!(names(look(&crowded, &LIMITS, &mut memory)));
    assert!(!names(look(&crowded, &LIMITS, &mut memory)));
    // Five above it: 10th, counted from 1, is near enough for ever.
    let mut memory = Memory::default();
    look(&FULL, &LIMITS, &mut memory);
    for _ in 0..10 {
        assert!(names(look(&above(101, 5), &LIMITS, &mut memory)));
    }
    // One look at a better rank forgives.
    for _ in 0..5 {
        assert!(names(look(&crowded, &LIMITS, &mut memory)));
        assert!(names(look(&crowded, &LIMITS, &mut memory)));
        assert!(names(look(&FULL, &LIMITS, &mut memory)));
    }
}

#[test]
fn fewer_places_keep_the_best_and_more_are_filled() {
    let mut memory = Memory::default();
    look(&FULL, &LIMITS, &mut memory);
    let two = SeriesLimits {
        groups: 2,
        ..LIMITS
    };
    assert_eq!(look(&FULL, &two, &mut memory), ["a", "b"]);
    assert_eq!(look(&FULL, &LIMITS, &mut memory), ["a", "b", "c", "d", "e"]);
}

#[test]
fn a_stuck_group_waits_ten_minutes_for_a_lock_or_a_send() {
    let mut stuck = group("a", 1);
    for (wait_reason, minutes, expected) in [
        (WaitReason::MutexLock, 10, true),
        (WaitReason::MutexLock, 9, false),
        (WaitReason::ChanSend, 10, true),
        (WaitReason::RwMutexRLock, 10, true),
        (WaitReason::ChanReceive, 10_000, false),
        (WaitReason::Select, 10_000, false),
    ] {
        stuck.wait_reason = wait_reason;
        stuck.longest_wait = Some(Duration::from_secs(60 * minutes));
        assert_eq!(stuck.is_stuck(), expected, "{wait_reason} {minutes}");
    }
    stuck.longest_wait = None;
    assert!(!stuck.is_stuck());
}

/// The line told for the one group, probe after probe: each with so many goroutines at line 1, 2 and 3.
fn told(probes: &[[u64; 3]]) -> Vec<u32> {
    let mut memory = Memory::default();
    let limits = SeriesLimits {
        groups: 5,
        min_goroutines: 1,
        min_ratio: 0.0,
    };
    let mut lines = Vec::new();
    for probe in probes {
        let mut text = format!("goroutine profile: total {}\n", probe.iter().sum::<u64>());
        for (at, count) in probe.iter().enumerate().filter(|(_, count)| **count > 0) {
            text += &format!(
                "{count} @ 0x{at}1\n#\t0x{at}1\tmain.f+0x1\t/a.go:{}\n\n",
                at + 1
            );
        }
        let mut collector = Collector::new(&Rules::default());
        let summary = decode(
            text.as_bytes(),
            &Limits { inflated_bytes: 0 },
            &mut collector,
        )
        .unwrap();
        let mut tally = collector.finish(summary);
        let selection = select(&tally, &limits, &mut memory);
        steady(&mut tally, &selection, &mut memory);
        lines.push(tally.groups[0].line);
    }
    lines
}

#[test]
fn a_group_changes_its_line_only_for_a_reason() {
    assert_eq!(
        told(&[[60, 40, 0], [40, 60, 0], [60, 40, 0]]),
        [1, 1, 1],
        "two lines of about one size"
    );
    assert_eq!(
        told(&[[60, 40, 0], [30, 61, 0], [31, 60, 0]]),
        [1, 2, 2],
        "the other is twice as large"
    );
    assert_eq!(
        told(&[[60, 40, 0], [0, 0, 9]]),
        [1, 3],
        "a deploy moved the line"
    );
}
