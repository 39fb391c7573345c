//! `debug=3` of CockroachDB's Go: one sample for each goroutine, whose labels say what a header says in text.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::classify::{ClassifySpec, Rules, WaitReason};
use crate::tally::{Collector, GroupId, Tally};

/// The keys of the labels, behind the strings that every profile here has.
const KEYS: [&[u8]; 4] = [
    b"go::goroutine",
    b"go::goroutine_created_by",
    b"go::goroutine_wait_minutes",
    b"go::goroutine_state",
];
const GOROUTINE: i64 = 8;
const CREATED_BY: i64 = 9;
const WAIT_MINUTES: i64 = 10;
const STATE: i64 = 11;
/// States in the words of the runtime, from here on.
const STATES: [&[u8]; 3] = [b"chan receive", b"select", b"running"];

/// One of a population: where it stands, what the runtime calls that, and since when.
#[derive(Clone, Copy)]
struct Goroutine {
    stack: &'static [u64],
    state: i64,
    minutes: i64,
}

/// The stacks are those of `profile()` with one function more: `runtime.chanrecv` is location 3.
fn population() -> Vec<Goroutine> {
    let receiving = |minutes| Goroutine {
        stack: &[2, 3, 1],
        state: 0,
        minutes,
    };
    let running = Goroutine {
        stack: &[1],
        state: 2,
        minutes: 0,
    };
    // The runtime's word for a `select` of one case differs from what the frames tell.
    let odd = Goroutine {
        stack: &[2, 3, 1],
        state: 1,
        minutes: 0,
    };
    vec![receiving(0), receiving(7), running, receiving(90), odd]
}

fn numeric(key: i64, num: i64) -> Label {
    Label {
        key,
        num,
        ..Label::default()
    }
}

fn text(key: i64, str: i64) -> Label {
    Label {
        key,
        str,
        ..Label::default()
    }
}

fn tables(profile: &mut Profile) {
    profile.function.push(Function {
        id: 3,
        name: i64::try_from(profile.string_table.len()).unwrap(),
        ..Function::default()
    });
    profile.string_table.push(b"runtime.chanrecv".to_vec());
    profile.location.push(Location {
        id: 3,
        line: vec![Line {
            function_id: 3,
            ..Line::default()
        }],
        ..Location::default()
    });
}

/// One sample a goroutine.
fn debug3(population: &[Goroutine]) -> Vec<u8> {
    with(|profile| {
        profile.string_table.extend(KEYS.map(<[u8]>::to_vec));
        profile.string_table.extend(STATES.map(<[u8]>::to_vec));
        tables(profile);
        for (id, goroutine) in (101..).zip(population) {
            let mut sample = sample(goroutine.stack, &[1]);
            // A label of the program's own, as pprof.Do sets it.
            sample.label = vec![
                text(6, 7),
                numeric(GOROUTINE, id),
                numeric(CREATED_BY, 1),
                text(STATE, STATE + 1 + goroutine.state),
            ];
            if goroutine.minutes > 0 {
                sample.label.push(numeric(WAIT_MINUTES, goroutine.minutes));
            }
            profile.sample.push(sample);
        }
    })
}

/// The same goroutines as `debug=0` counts them.
fn debug0(population: &[Goroutine]) -> Vec<u8> {
    with(|profile| {
        tables(profile);
        for goroutine in population {
            let known = profile
                .sample
                .iter_mut()
                .find(|sample| sample.location_id == goroutine.stack);
            match known {
                Some(sample) => sample.value[0] += 1,
                None => profile.sample.push(sample(goroutine.stack, &[1])),
            }
        }
    })
}

fn tally(bytes: &[u8], rules: &Rules) -> Tally {
    let mut collector = Collector::new(rules);
    let summary = decode(Wanted::Goroutines, bytes, &mut collector).unwrap();
    collector.finish(summary)
}

#[test]
fn labels_say_what_a_header_says() {
    let (recorder, summary) = Recorder::read(&debug3(&population()));
    let stack = "runtime.gopark@:460 < runtime.chanrecv@:0 < main.a@/a.go:1";
    let label = "tenant=caf\u{fffd} \u{fffd}";
    assert_eq!(
        recorder.goroutines,
        [
            format!("1 [chan receive] | {stack} {label}"),
            format!("1 [chan receive] 7m | {stack} {label}"),
            format!("1 [running] | main.a@/a.go:1 {label}"),
            format!("1 [chan receive] 90m | {stack} {label}"),
            format!("1 [select] | {stack} {label}"),
        ]
    );
    assert_eq!(recorder.ids, [101, 102, 103, 104, 105]);
    assert_eq!(summary.unwrap().damage, 0);
}

#[test]
fn waits_and_ids_are_counted_and_groups_are_those_of_debug0() {
    let rules = Rules::default();
    let (detailed, cheap) = (
        tally(&debug3(&population()), &rules),
        tally(&debug0(&population()), &rules),
    );
    let groups = |tally: &Tally| -> Vec<(GroupId, WaitReason, u64, Option<Arc<str>>)> {
        let of = tally.groups.iter();
        of.map(|group| {
            (
                group.id,
                group.wait_reason,
                group.goroutines,
                group.created_by.clone(),
            )
        })
        .collect()
    };
    assert_eq!(groups(&detailed), groups(&cheap));
    assert_eq!(detailed.wait_reasons, cheap.wait_reasons);
    assert_eq!((detailed.frames, cheap.frames), (4 * 3 + 1, 4 * 3 + 1));
    assert_eq!((cheap.highest_id, cheap.longest_waits[0]), (None, None));

    let receive = WaitReason::ChanReceive;
    assert_eq!(detailed.groups[0].wait_reason, receive);
    assert_eq!(detailed.groups[0].goroutines, 4);
    assert_eq!(detailed.highest_id, Some(105));
    let longest = Some(Duration::from_secs(90 * 60));
    assert_eq!(detailed.longest_waits[receive.index()], longest);
    assert_eq!(detailed.groups[0].longest_wait, longest);
    assert_eq!(detailed.waited[receive.index()], [2, 1, 1, 0]);
    assert_eq!(detailed.groups[0].created_by, None, "a number names none");
}

#[test]
fn the_keys_are_no_labels_of_the_program() {
    let keys = ["go::goroutine", "go::goroutine_state", "tenant"];
    let rules = Rules::new(&ClassifySpec {
        labels: keys.map(str::to_owned).to_vec(),
        ..ClassifySpec::default()
    })
    .unwrap();
    let counted = tally(&debug3(&population()), &rules).labels;
    assert!(counted.iter().all(|(key, ..)| &**key == "tenant"));
    assert_eq!(counted.iter().map(|(.., count)| count).sum::<u64>(), 5);
}

#[test]
fn labels_that_say_nothing_are_passed_over() {
    let check = |label: Label, ids: &[u64]| {
        let bytes = with(|profile| {
            profile.string_table.extend(KEYS.map(<[u8]>::to_vec));
            profile.sample = vec![sample(&[1], &[1])];
            profile.sample[0].label = vec![label];
        });
        let (recorder, summary) = Recorder::read(&bytes);
        assert_eq!(recorder.goroutines, ["1 | main.a@/a.go:1"], "{label:?}");
        assert_eq!((&recorder.ids[..], summary.unwrap().damage), (ids, 0));
    };
    check(numeric(GOROUTINE, i64::MAX), &[i64::MAX.unsigned_abs()]);
    for key in [GOROUTINE, WAIT_MINUTES] {
        for number in [0, -1, i64::MIN] {
            check(numeric(key, number), &[]);
        }
        check(text(key, 3), &[]);
    }
    check(text(STATE, 0), &[]);
    check(numeric(STATE, 5), &[]);
    check(text(CREATED_BY, 3), &[]);
    check(text(STATE, 99), &[]);
}
