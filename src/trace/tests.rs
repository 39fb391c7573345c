mod program;
mod sorted;

use std::collections::{BTreeMap, BTreeSet};

use program::{FREQUENCY, Program, Random, batch, header, number, sync, tables};

use super::goroutine::{Record, Step};
use super::machine::NOBODY;
use super::window::{Damage, Spans, Sum, Window};
use super::wire::event;
use super::*;

const FORMATS: [Format; 4] = [Format::Go122, Format::Go123, Format::Go125, Format::Go126];

fn read(body: &[u8]) -> Result<Window, Refusal> {
    decode(body, &Limits::default(), &Rules::default())
}

/// The numbers of a window that no clock may change.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    blocked: BTreeMap<(WaitReason, String), [u64; 4]>,
    syscalls: BTreeMap<String, [u64; 4]>,
    latency: [u64; Cause::ALL.len()],
    runnable: [u64; 4],
    created: u64,
    goroutines: u64,
}

fn counts(spans: &Spans) -> [u64; 4] {
    [spans.closed, spans.left, spans.right, spans.both].map(|sum| sum.count)
}

impl Counts {
    fn of(window: &Window) -> Self {
        let blocked = window.blocked.iter().map(|group| {
            let key = (group.wait_reason, group.blocking_frame.to_string());
            (key, counts(&group.spans))
        });
        let syscalls = window
            .syscalls
            .iter()
            .map(|group| (group.blocking_frame.to_string(), counts(&group.spans)));
        Self {
            blocked: blocked.collect(),
            syscalls: syscalls.collect(),
            latency: window.latency.clone().map(|latency| latency.count),
            runnable: counts(&window.runnable.spans),
            created: window.sites.iter().map(|site| site.births.created).sum(),
            goroutines: window.goroutines,
        }
    }

    fn of_program(program: &Program) -> Self {
        let names = ["(no stack)", "main.a", "main.b", "main.c"];
        let name = |stack: u64| names[usize::try_from(stack).unwrap()].to_owned();
        let reason = |reason: u64| {
            [
                WaitReason::Unknown,
                WaitReason::ChanSend,
                WaitReason::Semacquire,
                WaitReason::IoWait,
            ][usize::try_from(reason).unwrap()]
        };
        let truth = &program.truth;
        let blocked = truth
            .blocked
            .iter()
            .map(|(&(why, at), spans)| ((reason(why), name(at)), counts(spans)));
        let syscalls = truth
            .syscalls
            .iter()
            .map(|(&at, spans)| (name(at), counts(spans)));
        Self {
            blocked: blocked.collect(),
            syscalls: syscalls.collect(),
            latency: truth.latency.map(|sum| sum.count),
            runnable: counts(&truth.runnable),
            created: truth.created,
            goroutines: truth.goroutines,
        }
    }
}

#[test]
fn what_a_program_did_is_counted() {
    for seed in 0..200 {
        for format in FORMATS {
            let program = Program::run(seed, format, 3, 300);
            let body = program.written(&[], 1 + usize::try_from(seed).unwrap() % 20);
            let window = read(&body).unwrap();
            assert_eq!(window.damage, Damage::default(), "{seed}");
            assert_eq!(Counts::of(&window), Counts::of_program(&program), "{seed}");
            let sums = window.latency.clone().map(|latency| Sum {
                count: latency.count,
                nanoseconds: latency.nanoseconds,
            });
            assert_eq!(sums, program.truth.latency, "{seed}");
            assert_eq!(window.runnable.spans, program.truth.runnable, "{seed}");
            let all = |spans: &mut dyn Iterator<Item = Spans>| -> u64 {
                spans.map(|spans| spans.all().nanoseconds).sum()
            };
            assert_eq!(
                all(&mut window.blocked.iter().map(|group| group.spans)),
                all(&mut program.truth.blocked.values().copied()),
                "{seed}"
            );
        }
    }
}

#[test]
fn clocks_that_differ_change_no_count() {
    let mut clamped = 0;
    for seed in 0..200 {
        let program = Program::run(seed, Format::Go126, 4, 300);
        let expected = Counts::of_program(&program);
        // From less than what lies between two events to more than the whole window.
        for ahead in [1, 10, 100, 1_000, 100_000] {
            for ahead in [
                [ahead, 0, 0, 0],
                [0, ahead, 0, ahead],
                [3 * ahead, 2 * ahead, ahead, 0],
            ] {
                let window = read(&program.written(&ahead, 7)).unwrap();
                assert!(window.damage.is_none(), "{seed}: {:?}", window.damage);
                assert_eq!(Counts::of(&window), expected, "{seed}");
                clamped += window.damage.clamped;
            }
        }
    }
    assert!(clamped > 1_000, "nothing was out of order: {clamped}");
}

#[test]
fn merging_gives_what_sorting_gives() {
    for seed in 0..200 {
        for ahead in [0, 5, 500] {
            let program = Program::run(seed, Format::Go126, 4, 400);
            let body = program.written(&[ahead, 0, 2 * ahead], 9);
            assert_eq!(
                sorted::Totals::of(&read(&body).unwrap()),
                sorted::read(&body, Format::Go126),
                "{seed} {ahead}"
            );
        }
    }
}

#[test]
fn a_trace_cut_anywhere_never_says_more() {
    for format in FORMATS {
        let program = Program::run(7, format, 3, 150);
        let body = program.written(&[], 5);
        let whole = read(&body).unwrap();
        assert!(whole.generations > 1);
        let (mut refused, mut windows) = (0, 0);
        for cut in 0..body.len() {
            match read(&body[..cut]) {
                Ok(window) => {
                    windows += 1;
                    assert!(window.generations <= whole.generations);
                    assert!(window.events <= whole.events);
                    if format.says_ends() {
                        // The end of a generation alone leaves nothing behind.
                        let clean = body[..cut].ends_with(&[52]) && window.damage.generations == 0;
                        assert!(clean || window.damage.generations == 1, "{cut}");
                    }
                }
                Err(Refusal::Truncated { bytes }) => {
                    refused += 1;
                    assert_eq!(bytes, u64::try_from(cut).unwrap());
                }
                Err(other) => panic!("{cut}: {other:?}"),
            }
        }
        assert!(refused > 16 && windows > 16, "{refused} {windows}");
    }
}

#[test]
fn pieces_of_any_size_give_the_same() {
    for format in FORMATS {
        let body = Program::run(3, format, 3, 200).written(&[], 4);
        let whole = read(&body).unwrap();
        for size in [1, 2, 3, 7, 64, 1000] {
            let mut decoder = Decoder::new(&Limits::default(), &Rules::default());
            for piece in body.chunks(size) {
                decoder.push(piece).unwrap();
            }
            assert_eq!(decoder.finish().unwrap(), whole, "{size}");
        }
    }
}

#[test]
fn flipped_bits_do_no_harm() {
    let bodies: Vec<Vec<u8>> = FORMATS
        .into_iter()
        .map(|format| Program::run(11, format, 3, 60).written(&[], 5))
        .collect();
    let mut random = Random::new(1);
    let (mut read_well, mut damaged) = (0, 0);
    for round in 0..10_000 {
        let mut body = bodies[round % bodies.len()].clone();
        for _ in 0..=random.below(8) {
            let at = random.below(body.len());
            body[at] ^= 1 << random.below(8);
        }
        if random.below(4) == 0 {
            let from = random.below(body.len());
            let until = from + random.below((body.len() - from).min(40));
            body.drain(from..until);
        }
        match read(&body) {
            Ok(window) if window.damage.is_none() => read_well += 1,
            Ok(_) => damaged += 1,
            Err(refusal) => assert!(!refusal.to_string().is_empty()),
        }
    }
    assert!(read_well > 100 && damaged > 1_000, "{read_well} {damaged}");
}

/// A trace of one generation: these events of each thread.
fn one(format: Format, threads: &[(u64, &[&[u64]])], strings: &[&str]) -> Vec<u8> {
    let mut out = header(format);
    sync(&mut out, format, 1, 1000, FREQUENCY);
    for (thread, events) in threads {
        let mut content = Vec::new();
        for event in *events {
            content.push(u8::try_from(event[0]).unwrap());
            for &argument in &event[1..] {
                number(&mut content, argument);
            }
        }
        batch(&mut out, 1, *thread, 1000, &content);
    }
    tables(&mut out, 1, strings, &[(1, 2)]);
    if format.says_ends() {
        out.push(52);
    }
    out
}

fn n(number: u8) -> u64 {
    u64::from(number)
}

#[test]
fn a_goroutine_that_c_code_calls_comes_and_goes_with_the_same_number() {
    let once: [&[u64]; 6] = [
        &[n(event::GO_CREATE_SYSCALL), 1, 5],
        &[n(event::GO_SYSCALL_END), 1],
        &[n(event::GO_BLOCK), 1, 3, 1],
        // Another thread wakes it; see below.
        &[n(event::GO_START), 3, 5, 2],
        &[n(event::GO_SYSCALL_BEGIN), 1, 1, 0],
        &[n(event::GO_DESTROY_SYSCALL), 1],
    ];
    let twice = [once, once].concat();
    let wakes: [&[u64]; 2] = [
        &[n(event::GO_UNBLOCK), 5, 5, 1, 0],
        &[n(event::GO_UNBLOCK), 8, 5, 1, 0],
    ];
    let body = one(
        Format::Go126,
        &[(1, &twice), (2, &wakes)],
        &["main.f", "/a/main.go", "chan receive"],
    );
    let window = read(&body).unwrap();
    assert!(window.damage.is_none(), "{:?}", window.damage);
    let births = &window.sites[0];
    assert_eq!((births.births.created, births.births.ended), (2, 2));
    assert_eq!(&*births.entry, "(cgo callback)");
    assert_eq!(window.goroutines, 0);
    assert_eq!(window.blocked[0].spans.closed.count, 2);
    assert_eq!(window.latency[Cause::Unblock.index()].count, 2);
    let calls: u64 = window
        .syscalls
        .iter()
        .map(|call| call.spans.closed.count)
        .sum();
    assert_eq!(calls, 4);
}

#[test]
fn a_stopped_world_and_marking_are_told_apart() {
    // Units of 64 ns: runnable from 10 to 110, stopped from 20 to 40, marking from 30 to 80.
    let main: [&[u64]; 7] = [
        &[n(event::GO_STATUS), 1, 1, 1, 2],
        &[n(event::GO_CREATE), 9, 2, 1, 1],
        &[n(event::STW_BEGIN), 10, 3, 0],
        &[n(event::GC_BEGIN), 10, 1, 0],
        &[n(event::STW_END), 10],
        &[n(event::GC_END), 40, 2],
        &[n(event::STW_BEGIN), 50, 4, 0],
    ];
    let other: [&[u64]; 1] = [&[n(event::GO_START), 110, 2, 1]];
    let body = one(
        Format::Go126,
        &[(1, &main), (2, &other)],
        &[
            "main.f",
            "/a/main.go",
            "GC sweep termination",
            "start trace",
        ],
    );
    let window = read(&body).unwrap();
    assert!(window.damage.is_none(), "{:?}", window.damage);
    let runnable = window.runnable;
    assert_eq!(
        runnable.spans.closed,
        Sum {
            count: 1,
            nanoseconds: 100 * 64
        }
    );
    assert_eq!(
        (runnable.world_stopped, runnable.marking, runnable.other),
        (20 * 64, 40 * 64, 40 * 64)
    );
    let blames = [Blame::WorldStopped, Blame::Marking, Blame::Scheduler];
    let verdict = blames.map(|blame| window.verdict[blame.index()].moved);
    assert_eq!(verdict, [20 * 64, 40 * 64, 40 * 64]);
    assert_eq!(window.stops.len(), 2);
    assert_eq!(&*window.stops[0].kind, "GC sweep termination");
    assert_eq!(
        window.stops[0].sum,
        Sum {
            count: 1,
            nanoseconds: 20 * 64
        }
    );
    assert!(!window.stops[0].tracer && window.stops[1].tracer);
    assert_eq!(
        window.collector.mark.closed,
        Sum {
            count: 1,
            nanoseconds: 50 * 64
        }
    );
}

#[test]
fn what_is_missing_is_counted() {
    // The wake-up between the block and the start is lost.
    let events: [&[u64]; 4] = [
        &[n(event::GO_STATUS), 1, 7, 1, 2],
        &[n(event::GO_BLOCK), 1, 3, 1],
        &[n(event::GO_START), 5, 7, 2],
        &[n(event::GO_BLOCK), 1, 3, 1],
    ];
    let body = one(
        Format::Go126,
        &[(1, &events)],
        &["main.f", "/a/main.go", "sleep"],
    );
    let damage = read(&body).unwrap().damage;
    assert_eq!((damage.gaps, damage.conflicts), (1, 1));
    // An event that does not exist.
    let events: [&[u64]; 2] = [&[n(event::GO_STATUS), 1, 7, 1, 2], &[60, 1]];
    let body = one(Format::Go126, &[(1, &events)], &[]);
    assert_eq!(read(&body).unwrap().damage.events, 1);
    // A form does not have the events of a later one.
    let events: [&[u64]; 1] = [&[n(event::GO_STATUS_STACK), 1, 7, 1, 4, 0]];
    for (format, expected) in FORMATS.into_iter().zip([1, 0, 0, 0]) {
        let body = one(format, &[(u64::MAX, &events)], &[]);
        assert_eq!(read(&body).unwrap().damage.events, expected, "{format:?}");
    }
    // A batch of another generation; bytes that are no batch.
    let mut body = header(Format::Go126);
    sync(&mut body, Format::Go126, 1, 1000, FREQUENCY);
    batch(&mut body, 5, 1, 1000, &[]);
    body.push(52);
    let clean = body.clone();
    body.extend_from_slice(b"<html>");
    let damage = read(&body).unwrap().damage;
    assert_eq!(
        (damage.batches, damage.bytes, damage.generations),
        (1, 6, 1)
    );
    assert_eq!(read(&clean).unwrap().damage.batches, 1);
    // No clock.
    let mut body = header(Format::Go126);
    batch(&mut body, 1, 1, 1000, &[]);
    body.push(52);
    assert!(matches!(read(&body), Err(Refusal::Truncated { .. })));
}

#[test]
fn what_is_no_trace_is_refused() {
    let check = |body: &[u8], expected: Refusal| assert_eq!(read(body).unwrap_err(), expected);
    check(b"", Refusal::Truncated { bytes: 0 });
    check(b"go 1.2", Refusal::Truncated { bytes: 6 });
    check(b"<html>", Refusal::NotATrace);
    check(
        b"Could not enable tracing: tracing is already enabled\n",
        Refusal::NotATrace,
    );
    check(b"go 1.21 trace\0\0\0\x01", Refusal::TooOld { minor: 21 });
    check(
        b"go 1.28 trace\0\0\0\x01",
        Refusal::UnknownFormat { minor: 28 },
    );
    check(b"go 1.26 trace\0\0\0", Refusal::Truncated { bytes: 16 });
    check(b"go 1.26 trace\0\0\0\x07", Refusal::Damaged);
}

#[test]
fn limits_hold_and_what_is_left_out_is_counted() {
    let program = Program::run(5, Format::Go126, 3, 300);
    let body = program.written(&[], 5);
    let limits = |change: &dyn Fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        decode(&body, &limits, &Rules::default())
    };
    let whole = limits(&|_| {}).unwrap();
    let few = limits(&|limits| limits.goroutines = 2).unwrap();
    assert!(few.damage.dropped > 0);
    assert!(few.goroutines <= 2);
    let few = limits(&|limits| limits.groups = 2).unwrap();
    assert!(few.blocked.len() + few.syscalls.len() <= 2 && few.sites.len() <= 2);
    let sum = |window: &Window| -> u64 {
        let blocked = window.blocked.iter().chain(&window.syscalls);
        let listed: u64 = blocked.map(|group| group.spans.all().count).sum();
        listed + window.blocked_unlisted.all().count + window.syscalls_unlisted.all().count
    };
    assert_eq!(sum(&few), sum(&whole));
    assert_eq!(
        limits(&|limits| limits.generation_bytes = 200).unwrap_err(),
        Refusal::TooLarge { limit: 200 }
    );
    // Those that never move, named up to the limit.
    let status: Vec<[u64; 5]> = (1..=50)
        .map(|id| [n(event::GO_STATUS), 1, id, 0, 4])
        .collect();
    let events: Vec<&[u64]> = status.iter().map(|event| &event[..]).collect();
    let body = one(Format::Go126, &[(u64::MAX, &events)], &[]);
    let limits = Limits {
        parked: 10,
        ..Limits::default()
    };
    let window = decode(&body, &limits, &Rules::default()).unwrap();
    assert_eq!((window.parked.len(), window.parked_unlisted), (10, 40));
    assert_eq!(window.blocked[0].spans.both.count, 50);
}

#[test]
fn a_clock_of_any_frequency_gives_nanoseconds() {
    let check = |frequency, units, expected| {
        let clock = Clock::new(frequency).unwrap();
        assert_eq!(clock.nanoseconds(units), expected, "{frequency}");
    };
    check(15_625_000, 3, 192);
    check(1_000_000_000, 3, 3);
    check(3_000_000_000, 3_000_000_001, 1_000_000_000);
    check(2_399_000_000, 2_399, 1_000);
    check(1, u64::MAX, u64::MAX);
    assert!(Clock::new(0).is_none());
}

/// Were what is left moved for each of them, this would take minutes.
#[test]
fn generations_of_a_byte_each_cost_a_byte_each() {
    let mut body = b"go 1.26 trace\0\0\0".to_vec();
    body.resize(2 << 20, 0x34);
    assert_eq!(read(&body), Err(Refusal::Truncated { bytes: 2 << 20 }));
}

/// Goroutines that end while records of them wait leave one place behind each, and no more.
#[test]
fn a_place_is_given_back_once() {
    let limits = Limits {
        goroutines: 3,
        ..Limits::default()
    };
    let mut machine = Machine::new(Groups::new(&Rules::default(), limits.groups), &limits);
    for generation in 1..=4 {
        machine.begin(generation);
        let at = machine.goroutine(generation);
        for sequence in [1, 1, 2, 2] {
            for step in [Step::Start, Step::Destroy, Step::Destroy] {
                let record = Record {
                    sequence,
                    at: generation,
                    step,
                };
                machine.record(at, record);
            }
        }
        machine.end();
        assert_eq!(machine.len(), 0, "{generation}");
    }
    let places: BTreeSet<u32> = (100..110).map(|id| machine.goroutine(id)).collect();
    let expected: BTreeSet<u32> = [0, 1, 2, NOBODY].into();
    assert_eq!(places, expected);
    assert_eq!(machine.len(), 3);
}
