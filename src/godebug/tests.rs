use proptest::prelude::*;

use super::cursor::looks;
use super::*;

/// Lines of each version as it printed them.
const CYCLES: [&str; 9] = [
    "gc 285 @1.301s 7%: 0.034+1.1+0 ms clock, 0.069+0/0.10/0+0.001 ms cpu, 22->22->2 MB, 34 MB goal, 0 MB stacks, 0 MB globals, 2 P (forced)",
    "gc 2 @0.006s 4%: 0.062+0.40+0.001 ms clock, 0.12+0.033/0.061/0.11+0.003 ms cpu, 7->9->5 MB, 8 MB goal, 0 MB stacks, 0 MB globals, 2 P",
    "gc 2 @0.008s 3%: 0.056+0.34+0.001 ms clock, 0.11+0.074/0.18/0.047+0.003 ms cpu, 7->9->5 MB, 8 MB goal, 0 MB stacks, 0 MB globals, 2 P",
    "gc 237 @1.302s 3%: 0.013+2.9+0.003 ms clock, 0.026+0/2.1/0+0.007 ms cpu, 6->6->2 MB, 9 MB goal, 0 MB stacks, 0 MB globals, 2 P (forced)",
    "gc 2 @0.001s 7%: 0.005+0.26+0.003 ms clock, 0.011+0.093/0.018/0.080+0.007 ms cpu, 7->8->4 MB, 7 MB goal, 0 MB stacks, 0 MB globals, 2 P",
    "gc 2 @0.002s 12%: 0.074+0.57+0.004 ms clock, 0.14+0.021/0.19/0+0.009 ms cpu, 7->8->4 MB, 7 MB goal, 0 MB stacks, 0 MB globals, 2 P",
    "gc 526 @1.304s 5%: 0.024+0.56+0.001 ms clock, 0.048+0/0.15/0.083+0.003 ms cpu, 4->4->2 MB, 7 MB goal, 0 MB stacks, 0 MB globals, 2 P (forced)",
    "gc 2 @0.002s 18%: 0.018+1.4+0.003 ms clock, 0.037+0.15/0.077/0.062+0.007 ms cpu, 6->25->21 MB, 7 MB goal, 0 MB stacks, 0 MB globals, 2 P",
    "gc 1 @1.002s 0% (checking for goroutine leaks): 0.21+0.30+0.087 ms clock, 0.42+0/0.14/0.20+0.17 ms cpu, 0->0->0 MB, 4 MB goal, 0 MB stacks, 0 MB globals, 2 P (forced)",
];
const SAMPLES: [&str; 7] = [
    "SCHED 501ms: gomaxprocs=2 idleprocs=0 threads=5 spinningthreads=0 idlethreads=1 runqueue=0 [0 0]",
    "SCHED 534ms: gomaxprocs=2 idleprocs=0 threads=5 spinningthreads=0 needspinning=1 idlethreads=2 runqueue=1 [0 0]",
    "SCHED 502ms: gomaxprocs=2 idleprocs=1 threads=5 spinningthreads=0 needspinning=0 idlethreads=2 runqueue=0 [0 0]",
    "SCHED 508ms: gomaxprocs=2 idleprocs=0 threads=5 spinningthreads=0 needspinning=1 idlethreads=2 runqueue=0 [ 0 0 ] schedticks=[ 281758 243245 ]",
    "SCHED 506ms: gomaxprocs=2 idleprocs=0 threads=5 spinningthreads=0 needspinning=1 idlethreads=2 runqueue=0 [ 0 1 ] schedticks=[ 168772 223655 ]",
    "SCHED 1004ms: gomaxprocs=2 idleprocs=0 threads=6 spinningthreads=0 idlethreads=2 runqueue=3 gcwaiting=0 nmidlelocked=0 stopwait=0 sysmonwait=0",
    "SCHED 1004ms: gomaxprocs=2 idleprocs=0 threads=6 spinningthreads=0 needspinning=1 idlethreads=2 runqueue=3 gcwaiting=false nmidlelocked=0 stopwait=0 sysmonwait=false",
];
/// Lines of other settings, and such that only look alike.
const OTHERS: [&str; 14] = [
    "",
    "  P0: status=1 schedtick=182488 syscalltick=0 m=4 runqsize=0 gfreecnt=0 timerslen=2",
    "  M4: p=0 curg=1 mallocing=1 throwing=0 preemptoff= locks=17 dying=0 spinning=false blocked=false lockedg=nil",
    "  G2: status=4(force gc (idle)) m=nil lockedm=nil",
    "scav 0 KiB work (bg), 0 KiB work (eager), 7624 KiB now, 60% util",
    "pacer: assist ratio=+4.0e+0 (scan 1 MB in 2->4 MB) workers=1++0.0e+0",
    "checkfinalizers: queue: 0 finalizers + 0 cleanups",
    "gc is slow, SCHED is not",
    "gc 5 objects",
    "gc 5 @home",
    "SCHED ms: gomaxprocs=2",
    "2026-11-28T22:00:00Z INFO agc 12 done",
    "runqueue is [empty]",
    "a line of \u{fffd} bytes",
];

fn read(text: &[u8], size: usize) -> Totals {
    let mut reader = Reader::default();
    for piece in text.chunks(size) {
        reader.feed(piece);
    }
    reader.cut();
    reader.totals().clone()
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap()
}

fn whole(text: &str) -> Totals {
    read(text.as_bytes(), usize::MAX)
}

#[test]
fn every_version_is_read() {
    for line in CYCLES {
        let totals = whole(&format!("{line}\n"));
        assert_eq!((totals.cycles, totals.malformed_cycles), (1, 0), "{line}");
        let cycle = totals.last_cycle.unwrap();
        assert!(line.starts_with(&format!("gc {} @", cycle.number)));
        assert_eq!(cycle.forced, line.contains("(forced)"));
        assert_eq!(cycle.checks_leaks, line.contains("leaks"));
        assert_eq!(cycle.gomaxprocs, 2);
    }
    let cycle = whole(&format!("{}\n", CYCLES[7])).last_cycle.unwrap();
    let expected = Cycle {
        number: 2,
        at_milliseconds: 2,
        cpu_percent: 18,
        checks_leaks: false,
        forced: false,
        sweep_termination_us: 18,
        mark_us: 1400,
        mark_termination_us: 3,
        cpu: CpuTimes {
            pause_us: 37 + 7,
            assist_us: 150,
            background_us: 77,
            idle_us: 62,
        },
        heap_start: 6 << 20,
        heap_end: 25 << 20,
        heap_live: 21 << 20,
        goal: 7 << 20,
        stacks: 0,
        globals: 0,
        gomaxprocs: 2,
    };
    assert_eq!(cycle, expected);
    for line in SAMPLES {
        let totals = whole(&format!("{line}\n"));
        assert_eq!((totals.samples, totals.malformed_samples), (1, 0), "{line}");
        let sample = totals.last_sample.unwrap();
        assert_eq!(sample.local_queues.is_none(), line.contains("gcwaiting"));
        assert_eq!(sample.ticks.is_some(), line.contains("schedticks"));
    }
    let sample = whole(&format!("{}\n", SAMPLES[4])).last_sample.unwrap();
    let expected = Sample {
        at_milliseconds: 506,
        gomaxprocs: 2,
        idle_procs: 0,
        threads: 5,
        spinning_threads: 0,
        idle_threads: 2,
        global_queue: 0,
        local_queues: Some(1),
        ticks: Some(168_772 + 223_655),
    };
    assert_eq!((sample, sample.runnable()), (expected, Some(1)));
}

#[test]
fn other_lines_are_nobodys_concern() {
    let text = OTHERS.join("\n") + "\n";
    let expected = Totals {
        lines: number(OTHERS.len()),
        ..Totals::default()
    };
    assert_eq!(whole(&text), expected);
}

#[test]
fn lines_are_found_behind_anything() {
    for front in [
        "2026-11-28T22:00:00.123Z stderr F ",
        "app_1  | ",
        "\u{1b}[31m",
        "level=info msg=x SCHED ",
        "gc gc gc gc 12",
        "idleprocs=2",
    ] {
        for line in CYCLES {
            let totals = whole(&format!("{front}{line}\r\n"));
            assert_eq!((totals.cycles, totals.malformed_cycles), (1, 0), "{front}");
        }
        for line in SAMPLES {
            let totals = whole(&format!("{front}{line}\n"));
            assert_eq!(
                (totals.samples, totals.malformed_samples),
                (1, 0),
                "{front}"
            );
        }
    }
    let line = CYCLES[8].replace('>', "\\u003e");
    let docker = format!("{{\"log\":\"{line}\\n\",\"stream\":\"stderr\",\"time\":\"x\"}}\n");
    assert_eq!(whole(&docker).cycles, 1);
    let docker = format!("{{\"log\":\"{}\\n\",\"stream\":\"stderr\"}}\n", SAMPLES[4]);
    assert_eq!(whole(&docker).samples, 1);
}

#[test]
fn a_line_within_another_is_taken_and_the_other_counted() {
    let (cycle, sample) = (CYCLES[5], SAMPLES[4]);
    for at in 1..sample.len() {
        let (front, back) = sample.split_at(at);
        let totals = whole(&format!("{front}{cycle}\n{back}\n{sample}\n"));
        assert_eq!((totals.cycles, totals.malformed_cycles), (1, 0), "{front}");
        // Before the colon of its begin, and behind its last bracket, nothing of it is cut.
        assert_eq!(
            (totals.samples, totals.malformed_samples),
            (1, 1),
            "{front}"
        );
    }
}

/// Where another writer can come between: the runtime writes words and numbers each by themselves.
fn borders(line: &str) -> Vec<usize> {
    let bytes = line.as_bytes();
    let border = |at: &usize| {
        let (before, behind) = (bytes[at - 1], bytes[*at]);
        before == b'=' || before.is_ascii_digit() != behind.is_ascii_digit()
    };
    let inside = (1..bytes.len()).filter(border);
    inside.chain([line.trim_end().len()]).collect()
}

#[test]
fn one_damage_is_counted_once() {
    for (lines, gc) in [(&CYCLES[..], true), (&SAMPLES[..], false)] {
        for line in lines {
            for at in borders(line) {
                for foreign in ["x", "hello world\n", "a\nb", "gc 5 of SCHED", " ", "="] {
                    let (front, back) = line.split_at(at);
                    let text = format!("before\n{front}{foreign}{back}\n");
                    let totals = whole(&text);
                    let (read, malformed) = if gc {
                        (totals.cycles, totals.malformed_cycles)
                    } else {
                        (totals.samples, totals.malformed_samples)
                    };
                    assert_eq!((read, malformed), (0, 1), "{text}");
                }
            }
        }
    }
}

#[test]
fn a_line_that_does_not_end_is_damaged() {
    for line in CYCLES {
        for at in 0..=line.len() {
            let (front, _) = line.split_at(at);
            assert_eq!(whole(front).cycles, 0, "{front}");
        }
        assert_eq!(whole(line).malformed_cycles, 1);
    }
}

#[test]
fn numbers_that_cannot_be_are_damage() {
    let line = CYCLES[1];
    for (from, to) in [
        ("gc 2 ", "gc 0 "),
        ("gc 2 ", "gc 02 "),
        ("gc 2 ", "gc 4294967296 "),
        ("0.006s", "0.06s"),
        ("0.006s", "99999999999999999999.000s"),
        ("0.062+", "0.62000+"),
        ("0.40", "5"),
        ("7->9", "17592186044416->9"),
        ("2 P", "0 P"),
        ("2 P", "2 P (forcd)"),
    ] {
        let totals = whole(&format!("{}\n", line.replacen(from, to, 1)));
        assert_eq!((totals.cycles, totals.malformed_cycles), (0, 1), "{to}");
    }
    let line = SAMPLES[3];
    for (from, to) in [
        ("[ 0 0 ]", "[ 0 0 0 ]"),
        ("[ 0 0 ]", "[ 0 ]"),
        ("[ 0 0 ]", "[ ]"),
        ("[ 0 0 ]", "[ 0 0]"),
        ("threads=5", "threads=5 threads=5"),
        ("threads=5", "threads="),
        ("threads=5", "threads=true"),
        ("threads=5", "threads=99999999999999999999"),
        ("idleprocs=0 ", ""),
        ("281758 243245", "281758"),
        ("281758", "18446744073709551615"),
        ("gomaxprocs=2", "gomaxprocs=0"),
    ] {
        let totals = whole(&format!("{}\n", line.replacen(from, to, 1)));
        assert_eq!((totals.samples, totals.malformed_samples), (0, 1), "{to}");
    }
    let line = line.replace("threads=5", "news=7 lists=[ 1 2 3 ] flags=true threads=5");
    assert_eq!(whole(&format!("{line}\n")).samples, 1);
}

#[test]
fn long_lines_are_passed_over_and_counted() {
    let cycle = CYCLES[1];
    for (length, taken) in [(MAX_LINE_BYTES, 1), (MAX_LINE_BYTES + 1, 0)] {
        let line = format!("{}{cycle}\n", "x".repeat(length - cycle.len()));
        for size in [1, 1000, MAX_LINE_BYTES, usize::MAX] {
            let totals = read(format!("{line}{cycle}\n").as_bytes(), size);
            assert_eq!(totals.cycles, taken + 1, "{length}");
            assert_eq!((totals.lines_too_long, totals.lines), (1 - taken, 2));
        }
    }
}

#[test]
fn a_line_of_many_begins_costs_what_its_bytes_do() {
    let long = format!("{}=", "a".repeat(5000));
    let begins = [
        "gc ",
        "gc 1 @1",
        "gc 1 @1.000s 1%: ",
        "SCHED ",
        "SCHED 1ms:",
        "SCHED 1ms: gomaxprocs=2 [ 1 2 3 4 5 6 7 ",
        "gc 1 @SCHED 1ms: a",
        CYCLES[8],
        SAMPLES[4],
        &format!("gc {}", "1".repeat(5000)),
        &format!("SCHED 1ms: {long}"),
    ];
    for begin in begins {
        for (front, back) in [("", ""), ("{", " "), ("{", "}"), ("{\"", "\\n\"}")] {
            let half = MAX_LINE_BYTES / 2;
            let many = begin.repeat(half / begin.len());
            let padding = back.repeat((half - front.len()) / back.len().max(1));
            let line = format!("{front}{many}{padding}\n");
            looks::take();
            let totals = whole(&line);
            let looked = looks::take();
            assert_eq!((totals.lines, totals.lines_too_long), (1, 0));
            // All of it once, and what is read of each that begins: its first words twice, and each word as often as
            // others could be in its place.
            assert!(looked >= line.len(), "{looked} of {}", line.len());
            assert!(looked <= 10 * line.len(), "{looked} of {}", line.len());
        }
    }
}

#[test]
fn what_began_before_is_passed_over() {
    let mut reader = Reader::default();
    reader.skip_line();
    reader.feed(format!("{}\n{}\n", CYCLES[1], CYCLES[2]).as_bytes());
    assert_eq!((reader.totals().cycles, reader.totals().lines), (1, 1));
    let mut reader = Reader::default();
    reader.skip_line();
    reader.feed(b"ms cpu, 7->9->5 MB, 8 MB goal, 0 MB stacks, 0 MB globals, 2 P\n");
    assert_eq!(reader.totals(), &Totals::default());
}

fn cycle(number: u32, at: u64) -> String {
    format!(
        "gc {number} @{}.{:03}s 1%: 0.010+0.20+0.020 ms clock, 0.020+0/0.30/0+0.040 ms cpu, 7->9->5 MB, 8 MB goal, 0 MB stacks, 0 MB globals, 2 P\n",
        at / 1000,
        at % 1000
    )
}

fn sample(at: u64, queue: u64, ticks: u64) -> String {
    format!(
        "SCHED {at}ms: gomaxprocs=2 idleprocs=0 threads=5 spinningthreads=0 needspinning=0 idlethreads=2 runqueue={queue} [ 1 0 ] schedticks=[ {ticks} 5 ]\n"
    )
}

/// Cycles, lost, restarts.
fn counted(lines: &[String]) -> (u64, u64, u64) {
    let mut reader = Reader::default();
    reader.feed(lines.concat().as_bytes());
    let totals = reader.totals();
    assert_eq!((totals.malformed_cycles, totals.malformed_samples), (0, 0));
    (totals.cycles, totals.lost_cycles, totals.restarts)
}

#[test]
fn gaps_are_lost_cycles_and_falls_are_restarts() {
    let check = |lines: &[String], expected| assert_eq!(counted(lines), expected, "{lines:?}");
    check(&[cycle(1, 5), cycle(2, 6)], (2, 0, 0));
    // Nobody knows what was before the first.
    check(&[cycle(3, 5), cycle(7, 6)], (2, 3, 0));
    check(&[cycle(1, 5), cycle(2, 6), cycle(1, 4)], (3, 0, 1));
    check(&[cycle(1, 5), cycle(1, 6)], (2, 0, 1));
    check(&[cycle(1, 5), cycle(2, 6), cycle(2, 7)], (3, 1, 1));
    // The clock tells it, too.
    check(&[cycle(1, 50), cycle(3, 6)], (2, 2, 1));
    check(&[cycle(70, 9), cycle(72, 10), cycle(2, 1)], (3, 1 + 1, 1));
}

#[test]
fn one_restart_is_one_whichever_line_shows_it() {
    let check = |lines: &[String], expected| assert_eq!(counted(lines), expected, "{lines:?}");
    let old = [sample(0, 0, 1), cycle(1, 5), cycle(2, 6), sample(500, 0, 9)];
    let new = [
        [sample(0, 0, 1), cycle(1, 5), cycle(2, 6)],
        [cycle(1, 5), sample(0, 0, 1), cycle(2, 6)],
        [cycle(1, 5), cycle(2, 6), sample(0, 0, 1)],
    ];
    for new in &new {
        check(&[&old[..], &new[..]].concat(), (4, 0, 1));
        check(&[&old[..], &new[..], &old[..]].concat(), (6, 0, 2));
    }
    // Nothing but the scheduler's clock.
    check(
        &[sample(5, 0, 1), sample(4, 0, 1), sample(0, 0, 1)],
        (0, 0, 2),
    );
    check(&[sample(5, 0, 1), sample(5, 0, 1)], (0, 0, 0));
    // No cycle in the first life, or in the second.
    check(
        &[sample(5, 0, 1), cycle(1, 1), sample(0, 0, 1), cycle(2, 2)],
        (2, 0, 1),
    );
    check(
        &[
            cycle(1, 9),
            sample(5, 0, 1),
            sample(0, 0, 1),
            sample(0, 0, 1),
        ],
        (1, 0, 1),
    );
}

#[test]
fn rounds_of_the_scheduler_add_up_across_restarts() {
    let ticks = |lines: &[String]| {
        let mut reader = Reader::default();
        reader.feed(lines.concat().as_bytes());
        reader.totals().ticks
    };
    let lines = [
        sample(0, 0, 10),
        sample(9, 0, 100),
        sample(3, 0, 20),
        sample(4, 0, 21),
    ];
    assert_eq!(ticks(&lines), 90 + 26);
    // Noticed by the other kind of line, they are not counted twice.
    let lines = [
        sample(8, 0, 10),
        cycle(2, 5),
        sample(9, 0, 20),
        cycle(1, 4),
        sample(10, 0, 30),
    ];
    assert_eq!(ticks(&lines), 20);
}

#[test]
fn pauses_are_held_against_the_queues_around_them() {
    let joined = |lines: &[String]| {
        let mut reader = Reader::default();
        reader.feed(lines.concat().as_bytes());
        let Joined {
            cycles,
            growing_cycles,
            growing_pause_us,
        } = reader.totals().joined;
        (cycles, growing_cycles, growing_pause_us)
    };
    let (grown, same) = (sample(200, 4, 0), sample(200, 3, 0));
    let before = sample(100, 3, 0);
    let two = [cycle(1, 1), cycle(2, 2)].concat();
    let check = |lines: &[&String], expected| {
        let lines: Vec<String> = lines.iter().map(|line| (*line).clone()).collect();
        assert_eq!(joined(&lines), expected, "{lines:?}");
    };
    check(&[&before, &two, &grown], (2, 2, 60));
    check(&[&before, &two, &same], (2, 0, 0));
    check(&[&two, &before, &grown], (0, 0, 0));
    check(&[&before, &two], (0, 0, 0));
    check(&[&before, &grown, &two, &sample(300, 5, 0)], (2, 2, 60));
    // Too far apart, another life, or unknown queues.
    check(
        &[&before, &two, &sample(100 + JOIN_MILLISECONDS, 9, 0)],
        (2, 2, 60),
    );
    check(
        &[&before, &two, &sample(101 + JOIN_MILLISECONDS, 9, 0)],
        (0, 0, 0),
    );
    check(&[&before, &two, &sample(99, 9, 0)], (0, 0, 0));
    check(&[&before, &cycle(2, 2), &cycle(1, 1), &grown], (0, 0, 0));
    let detail = format!("{}\n", SAMPLES[6]);
    check(&[&before, &two, &detail, &sample(2000, 9, 0)], (0, 0, 0));
}

/// What the runtime writes at once, with what others may write between.
fn foreign() -> impl Strategy<Value = String> {
    // Its ends are no digits, which nobody could tell from those beside them, and it does not begin with a line end.
    "[a-zA-Z][ -z\n]{0,30}[a-zA-Z=:]\n?"
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn never_a_false_number(
        plan in prop::collection::vec(
            (any::<bool>(), prop::option::weighted(0.5, (any::<prop::sample::Index>(), foreign())), prop::option::of(foreign())),
            1..30,
        ),
        size in 1_usize..200,
    ) {
        let (mut text, mut taken, mut samples, mut damaged) = (String::new(), Vec::new(), Vec::new(), 0);
        for (cycles, (gc, damage, between)) in (1_u32..).zip(plan) {
            let at = u64::from(cycles) * 7;
            let line = if gc { cycle(cycles, at) } else { sample(at, at, at) };
            if let Some((index, foreign)) = damage {
                let at = *index.get(&borders(&line));
                let (front, back) = line.split_at(at);
                text += &format!("{front}{foreign}{back}");
                damaged += 1;
            } else {
                text += &line;
                if gc { taken.push(cycles) } else { samples.push(at) }
            }
            text += &between.unwrap_or_default();
        }
        let totals = read(text.as_bytes(), size);
        prop_assert_eq!(&totals, &whole(&text));
        prop_assert_eq!(totals.cycles, number(taken.len()));
        prop_assert_eq!(totals.samples, number(samples.len()));
        prop_assert_eq!(totals.restarts, 0);
        prop_assert_eq!(totals.last_cycle.map(|cycle| cycle.number), taken.last().copied());
        let span = taken.last().zip(taken.first()).map_or(0, |(last, first)| last - first + 1);
        prop_assert_eq!(totals.lost_cycles + totals.cycles, u64::from(span));
        prop_assert_eq!(totals.mark_us, 200 * totals.cycles);
        prop_assert_eq!(totals.last_sample.map(|sample| sample.global_queue), samples.last().copied());
        let malformed = totals.malformed_cycles + totals.malformed_samples;
        prop_assert_eq!(malformed > 0, damaged > 0, "{} of {} in {}", malformed, damaged, text);
    }
}
