use super::*;
use crate::profile::Leaf;

/// A stack of functions, leaf first, that waited so often and so long.
fn add(collector: &mut ContentionCollector, functions: &[&str], events: u64, nanoseconds: u64) {
    let frames: Vec<FrameId> = functions
        .iter()
        .map(|function| {
            collector.frame(FrameText {
                function: function.as_bytes(),
                file: b"",
                line: 1,
            })
        })
        .collect();
    let stack = collector.stack(Stack {
        frames: &frames,
        leaf: Leaf::Complete,
        root_cut: false,
    });
    collector.count(
        stack,
        &Facts {
            count: events,
            delay_nanoseconds: nanoseconds,
            ..Facts::default()
        },
    );
}

fn collector() -> ContentionCollector {
    ContentionCollector::new(&Rules::default())
}

fn shown(contention: &Contention) -> Vec<(&str, &str, u64, u64)> {
    let places = contention.places.iter();
    places
        .map(|place| {
            (
                &*place.blocking_frame,
                &*place.app_frame,
                place.events,
                place.nanoseconds,
            )
        })
        .collect()
}

#[test]
fn waits_of_one_place_are_one_longest_first() {
    let mut waits = collector();
    let write = ["sync.(*Mutex).Lock", "net/http.(*T).write", "main.send"];
    add(&mut waits, &write, 1, 5);
    add(&mut waits, &["runtime.chanrecv1", "main.b"], 2, 100);
    add(
        &mut waits,
        &["runtime.selectgo", "main.b", "main.main"],
        3,
        100,
    );
    add(&mut waits, &write, 4, 6);
    add(&mut waits, &["main.a"], 9, 11);
    add(&mut waits, &[], 1, 1);
    add(&mut waits, &["sync.(*Mutex).Unlock", "main.c"], 5, 11);
    let contention = waits.finish();
    assert_eq!(
        shown(&contention),
        [
            ("main.b", "main.b", 5, 200),
            ("main.a", "main.a", 9, 11),
            ("main.c", "main.c", 5, 11),
            ("net/http.(*T).write", "main.send", 5, 11),
            ("(no stack)", "", 1, 1),
        ]
    );
    assert_eq!((contention.events, contention.nanoseconds), (25, 234));
}

#[test]
fn sums_saturate() {
    let mut waits = collector();
    add(&mut waits, &["main.a"], u64::MAX, u64::MAX);
    add(&mut waits, &["main.a"], 1, 1);
    add(&mut waits, &["main.b"], 2, 3);
    let contention = waits.finish();
    let most = u64::MAX;
    assert_eq!((contention.events, contention.nanoseconds), (most, most));
    assert_eq!(
        shown(&contention),
        [("main.a", "main.a", most, most), ("main.b", "main.b", 2, 3)]
    );
}

#[test]
fn waits_of_too_many_places_are_in_the_totals() {
    let mut waits = collector();
    for number in 0..MAX_GROUPS + 10 {
        add(&mut waits, &[&format!("main.f{number}")], 1, 2);
    }
    // A place that is there already still counts.
    add(&mut waits, &["main.f0"], 1, 2);
    // A frame whose text was too long to keep.
    let long = "x".repeat(30 << 20);
    add(&mut waits, &[&long], 1, 2);
    let contention = waits.finish();
    let total = u64::try_from(MAX_GROUPS).unwrap() + 12;
    assert_eq!(contention.places.len(), MAX_GROUPS);
    assert_eq!(
        (contention.events, contention.nanoseconds),
        (total, 2 * total)
    );
    assert_eq!(shown(&contention)[0], ("main.f0", "main.f0", 2, 4));
}

/// Places `main.fN` with these nanoseconds, and ten of no place.
fn contention(nanoseconds: &[(usize, u64)]) -> Contention {
    let mut waits = collector();
    for (number, nanoseconds) in nanoseconds {
        add(&mut waits, &[&format!("main.f{number}")], 1, *nanoseconds);
    }
    let mut contention = waits.finish();
    contention.events += 10;
    contention.nanoseconds += 10;
    contention
}

fn names(contention: &Contention, selection: &ContentionSelection) -> Vec<String> {
    let places = selection.shown.iter();
    places
        .map(|&at| contention.places[at].blocking_frame.to_string())
        .collect()
}

#[test]
fn the_longest_have_series_and_the_rest_is_other() {
    let waits = contention(&[(1, 100), (2, 50), (3, 70), (4, 1)]);
    let mut memory = ContentionMemory::default();
    let selection = select_contention(&waits, 2, &mut memory);
    assert_eq!(names(&waits, &selection), ["main.f1", "main.f3"]);
    assert_eq!(
        (selection.other_events, selection.other_nanoseconds),
        (12, 61)
    );
    let selection = select_contention(&waits, 0, &mut memory);
    assert_eq!(
        (selection.shown.len(), selection.other_nanoseconds),
        (0, waits.nanoseconds)
    );
    let selection = select_contention(&waits, usize::MAX, &mut memory);
    assert_eq!(
        (selection.shown.len(), selection.other_nanoseconds),
        (4, 10)
    );
    let nothing = select_contention(&Contention::default(), 5, &mut memory);
    assert_eq!(nothing, ContentionSelection::default());
    assert_eq!(memory, ContentionMemory::default());
}

#[test]
fn a_place_keeps_its_series_until_it_is_far_out() {
    let mut memory = ContentionMemory::default();
    let before = contention(&[(0, 10), (1, 9)]);
    let selection = select_contention(&before, 2, &mut memory);
    assert_eq!(names(&before, &selection), ["main.f0", "main.f1"]);
    // Ever more that waited longer. Each is shown at once, and those that were shown stay for five ranks.
    let mut waits = vec![(0, 10), (1, 9)];
    for number in 2..7 {
        waits.push((number, 100 + u64::try_from(number).unwrap()));
        let now = contention(&waits);
        let selection = select_contention(&now, 2, &mut memory);
        let found = names(&now, &selection);
        assert_eq!(found[0], format!("main.f{number}"));
        assert!(found.contains(&"main.f0".to_owned()), "{found:?}");
        assert!(found.len() <= 7, "{found:?}");
        assert_eq!(found.contains(&"main.f1".to_owned()), number < 7);
    }
    waits.push((7, 200));
    let now = contention(&waits);
    let found = names(&now, &select_contention(&now, 2, &mut memory));
    assert!(found.contains(&"main.f0".to_owned()), "rank 7 of 2 + 5");
    assert!(!found.contains(&"main.f1".to_owned()), "rank 8");
    // Out is out: back within the slack it has no series before it is among the first.
    waits.retain(|(number, _)| *number < 2 || *number == 7);
    waits.extend([(8, 300), (9, 400)]);
    let now = contention(&waits);
    let found = names(&now, &select_contention(&now, 2, &mut memory));
    assert_eq!(found, ["main.f9", "main.f8", "main.f7", "main.f0"]);
}

#[test]
fn a_place_that_is_called_other_is_no_second_series_of_that_name() {
    let mut waits = contention(&[(1, 1), (2, 3)]);
    waits.places[0].blocking_frame = OTHER_PLACES.into();
    waits.places[0].app_frame = OTHER_PLACES.into();
    let selection = select_contention(&waits, 5, &mut ContentionMemory::default());
    assert_eq!(names(&waits, &selection), ["main.f1"]);
    assert_eq!(
        (selection.other_events, selection.other_nanoseconds),
        (11, 13)
    );
}
