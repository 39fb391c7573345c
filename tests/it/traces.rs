//! Execution traces against Go's own reader, and against profiles of the same process.

mod build;
mod oracle;
mod rewrite;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use goroutine_exporter::classify::{Rules, WaitReason};
use goroutine_exporter::trace::{
    Blocked, Cause, Decoder, Format, Limits, Owner, Refusal, Spans, Sum, Window, decode,
};

use crate::captures::Capture;
use crate::go::{MIDDLE, NEW, OLD};
use crate::programs::repository;
use oracle::{Counted, Oracle};

/// Between the oldest that is read and the newest: the first that says where a generation ends.
const NEWER: &str = "1.26.6";

/// The traces of `tests/data`, with the form they are in.
const RECORDED: [(&str, Format); 5] = [
    ("go1.22.10-trace/trace-1s.out.gz", Format::Go122),
    ("go1.24.11-traced/trace-25ms.out.gz", Format::Go123),
    ("go1.25.5-trace/trace-1s.out.gz", Format::Go125),
    ("go1.27.3-trace/trace-1s.out.gz", Format::Go126),
    ("go1.27.3-traced/trace-25ms.out.gz", Format::Go126),
];

pub(crate) fn recorded(file: &str) -> Vec<u8> {
    let file = repository("tests/data").join(file);
    let packed = std::fs::read(file).unwrap();
    let mut body = Vec::new();
    #[expect(clippy::disallowed_types, reason = "the capture is our own")]
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed[..]), &mut body).unwrap();
    body
}

fn whole(body: &[u8]) -> Window {
    decode(body, &Limits::default(), &Rules::default()).unwrap()
}

/// A trace of a busy program, in generations of a tenth of a second.
fn traced(version: &str) -> Option<Vec<u8>> {
    let settings = "traceadvanceperiod=100000000";
    build::traced(version, &["-for", "350ms"], settings)
}

/// How far Go's reader may move what is too short for a hundredth of it to mean anything: an event that it can place only
/// after another thread's gets that one's time.
const MOVED: u64 = 50_000;

/// How near sums must be.
#[derive(Clone, Copy)]
enum Near {
    Same,
    /// A hundredth, or [`MOVED`]: Go's reader moves times so that they rise over all threads.
    Percent,
    /// Anything: while everything runs at once, a thread may lose its processor between taking its turn and reading the
    /// clock, and Go's reader moves times by as much.
    Counts,
}

impl Near {
    #[track_caller]
    fn check(self, what: &str, ours: u64, theirs: u64) {
        let far = match self {
            Self::Same => 0,
            Self::Percent => (theirs / 100).max(MOVED),
            Self::Counts => u64::MAX,
        };
        assert!(ours.abs_diff(theirs) <= far, "{what}: {ours} for {theirs}");
    }

    /// How much of an interval lies in another: what is not known yet when it ends is left out, and when that is known depends on
    /// the order in which a reader takes what happens at once.
    #[track_caller]
    fn overlap(self, what: &str, ours: u64, theirs: u64) {
        match self {
            Self::Same => Self::Percent.check(what, ours, theirs),
            Self::Percent | Self::Counts => self.check(what, ours, theirs),
        }
    }

    #[track_caller]
    fn sum(self, what: &str, ours: Sum, theirs: Sum) {
        assert_eq!(ours.count, theirs.count, "{what}");
        self.check(what, ours.nanoseconds, theirs.nanoseconds);
    }

    #[track_caller]
    fn spans(self, what: &str, ours: &Spans, theirs: &Spans) {
        self.sum(&format!("{what}, closed"), ours.closed, theirs.closed);
        self.sum(&format!("{what}, left"), ours.left, theirs.left);
        self.sum(&format!("{what}, right"), ours.right, theirs.right);
        self.sum(&format!("{what}, both"), ours.both, theirs.both);
    }
}

type Key = (WaitReason, String, String);

fn by_key(groups: &[Blocked]) -> BTreeMap<Key, &Blocked> {
    let keyed = groups.iter().map(|group| {
        let names = (
            group.blocking_frame.to_string(),
            group.app_frame.to_string(),
        );
        ((group.wait_reason, names.0, names.1), group)
    });
    keyed.collect()
}

fn same_groups(near: Near, ours: &[Blocked], theirs: &BTreeMap<Key, oracle::Place>) {
    let ours = by_key(ours);
    let keys = |keys: Vec<&Key>| keys.into_iter().cloned().collect::<BTreeSet<Key>>();
    assert_eq!(keys(ours.keys().collect()), keys(theirs.keys().collect()));
    for (key, place) in theirs {
        let what = format!("{key:?}");
        near.spans(&what, &ours[key].spans, &place.spans);
        near.overlap(&what, ours[key].world_stopped, place.world_stopped);
        near.overlap(&what, ours[key].marking, place.marking);
    }
}

fn compare(near: Near, ours: &Window, theirs: &Counted) {
    assert!(ours.damage.is_none(), "{:?}", ours.damage);
    near.check("window", ours.nanoseconds, theirs.window);
    assert_eq!(ours.goroutines, theirs.goroutines);
    same_groups(near, &ours.blocked, &theirs.blocked);
    same_groups(near, &ours.syscalls, &theirs.syscalls);
    assert_eq!(ours.syscalls_lost_processor, theirs.lost);
    for cause in Cause::ALL {
        let (what, ours) = (cause.as_str(), &ours.latency[cause.index()]);
        let Some(theirs) = theirs.latency.get(what) else {
            assert_eq!(ours.count, 0, "{what}");
            continue;
        };
        assert_eq!(ours.count, theirs.count, "{what}");
        near.check(what, ours.nanoseconds, theirs.nanoseconds);
        near.check(what, ours.longest, theirs.longest);
        if !matches!(near, Near::Same) {
            continue;
        }
        for (part, exact) in [(0.5, theirs.p50), (0.9, theirs.p90), (0.99, theirs.p99)] {
            let found = ours.quantile(part).unwrap();
            assert!(
                found >= exact && found - exact <= exact / 16,
                "{what} {part}: {found} for {exact}"
            );
        }
    }
    near.spans("runnable", &ours.runnable.spans, &theirs.runnable);
    near.overlap(
        "stopped",
        ours.runnable.world_stopped,
        theirs.runnable_split[0],
    );
    near.overlap("marking", ours.runnable.marking, theirs.runnable_split[1]);
    near.overlap("other", ours.runnable.other, theirs.runnable_split[2]);
    let stops: BTreeSet<String> = ours
        .stops
        .iter()
        .map(|stop| stop.kind.to_string())
        .collect();
    assert_eq!(stops, theirs.stops.keys().cloned().collect());
    for stop in &ours.stops {
        let (sum, longest) = theirs.stops[&*stop.kind];
        near.sum(&stop.kind, stop.sum, sum);
        near.check(&stop.kind, stop.longest, longest);
        assert_eq!(stop.tracer, &*stop.kind == "start trace");
    }
    let collector = &ours.collector;
    near.spans("mark", &collector.mark, &theirs.mark);
    near.spans("assist", &collector.assist, &theirs.assist);
    near.sum("sweep", collector.sweep, theirs.sweep);
    assert_eq!(
        [collector.swept_bytes, collector.reclaimed_bytes],
        theirs.swept
    );
    near.sum("workers", collector.workers, theirs.workers);
    let sites: BTreeMap<_, _> = ours
        .sites
        .iter()
        .map(|site| {
            let names = [&site.created_by, &site.app_frame, &site.entry];
            (
                names.map(ToString::to_string),
                (site.births.created, site.births.ended),
            )
        })
        .collect();
    assert_eq!(sites, theirs.sites);
    assert_eq!(ours.ended_older, theirs.ended_older);
    let parked: BTreeSet<u64> = ours.parked.iter().map(|(id, _)| *id).collect();
    assert_eq!(parked, theirs.parked);
    let metrics = [collector.heap_live, collector.heap_goal, ours.processors];
    assert_eq!(metrics.map(Option::unwrap_or_default), theirs.metrics);
}

/// Compares with Go's reader, as it is and with the times that the trace has.
fn agrees(oracle: &Oracle, name: &str, body: &[u8], moved: Near) -> Window {
    let ours = whole(body);
    eprintln!(
        "{name}: {} events in {} generations",
        ours.events, ours.generations
    );
    if !ours.damage.is_none() {
        // The next run makes another.
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("damaged.trace");
        std::fs::write(&kept, body).unwrap();
        eprintln!("the trace is kept in {}", kept.display());
    }
    compare(Near::Same, &ours, &oracle.count(body, true));
    compare(moved, &ours, &oracle.count(body, false));
    ours
}

#[test]
fn recorded_traces_are_counted_as_by_gos_own_reader() {
    let Some(oracle) = Oracle::build() else {
        return;
    };
    for (folder, format) in RECORDED {
        let window = agrees(&oracle, folder, &recorded(folder), Near::Percent);
        assert_eq!(window.format, format);
    }
}

/// Of a machine with many more threads than processors: once a goroutine blocks as the first thing its thread says in a
/// generation, without the status that should stand before it.
#[test]
fn what_ran_across_a_border_ends_without_its_status() {
    let Some(oracle) = Oracle::build() else {
        return;
    };
    let body = recorded("go1.24.11-traced/trace-350ms-border.out.gz");
    let window = agrees(&oracle, "border", &body, Near::Counts);
    assert!(window.generations >= 3, "{}", window.generations);
}

#[test]
fn traces_of_a_busy_program_are_counted_as_by_gos_own_reader() {
    let Some(oracle) = Oracle::build() else {
        return;
    };
    for (version, format) in [
        (MIDDLE, Format::Go123),
        (NEWER, Format::Go126),
        (NEW, Format::Go126),
    ] {
        let Some(body) = traced(version) else {
            return;
        };
        let window = agrees(&oracle, version, &body, Near::Counts);
        assert_eq!(window.format, format);
        assert!(window.generations >= 3, "{}", window.generations);
        // Something of everything, or agreeing means nothing.
        let reasons: BTreeSet<WaitReason> = window
            .blocked
            .iter()
            .filter(|group| group.owner == Owner::Application && group.spans.closed.count > 0)
            .map(|group| group.wait_reason)
            .collect();
        for reason in [
            WaitReason::ChanReceive,
            WaitReason::ChanSend,
            WaitReason::Select,
            WaitReason::MutexLock,
            WaitReason::RwMutexLock,
            WaitReason::WaitGroupWait,
            WaitReason::CondWait,
            WaitReason::Sleep,
            WaitReason::IoWait,
            WaitReason::Coroutine,
        ] {
            assert!(reasons.contains(&reason), "Go {version}: no {reason}");
        }
        assert!(window.collector.mark.closed.count > 0, "Go {version}");
        assert!(window.collector.assist.closed.count > 0, "Go {version}");
        assert!(window.collector.sweep.count > 0, "Go {version}");
        for cause in [Cause::Unblock, Cause::Create, Cause::Yield] {
            assert!(
                window.latency[cause.index()].count > 0,
                "{}",
                cause.as_str()
            );
        }
        let parked = window
            .blocked
            .iter()
            .find(|group| &*group.blocking_frame == "main.park")
            .unwrap();
        assert_eq!(parked.spans.both.count, 20, "Go {version}");
        assert_eq!(parked.wait_reason, WaitReason::ChanReceive);
        in_pieces(&body, &window);
        whatever_the_clocks(&body, &window);
    }
}

#[test]
fn a_trace_in_the_form_before_go_1_22_is_refused() {
    let Some(body) = traced(OLD) else {
        return;
    };
    let refused = decode(&body, &Limits::default(), &Rules::default()).unwrap_err();
    assert!(
        matches!(refused, Refusal::TooOld { minor: 0..22 }),
        "{refused:?}"
    );
    assert!(refused.to_string().ends_with("needs Go 1.22 or newer"));
}

#[test]
fn clocks_change_no_count_of_a_recorded_trace() {
    for (folder, _) in RECORDED {
        let body = recorded(folder);
        whatever_the_clocks(&body, &whole(&body));
    }
}

/// What no clock may change.
fn unmoved(window: &Window) -> String {
    let counts =
        |spans: &Spans| [spans.closed, spans.left, spans.right, spans.both].map(|sum| sum.count);
    let groups = |groups: &[Blocked]| -> BTreeMap<_, _> {
        let groups = groups.iter();
        groups
            .map(|group| (group.id, counts(&group.spans)))
            .collect()
    };
    let stops: BTreeMap<_, _> = window
        .stops
        .iter()
        .map(|stop| (stop.kind.clone(), stop.sum.count))
        .collect();
    let sites: Vec<_> = window
        .sites
        .iter()
        .map(|site| (&site.created_by, &site.entry, site.births))
        .collect();
    format!(
        "{:?}\n{:?}\n{:?}\n{:?}\n{stops:?}\n{:?}\n{:?}\n{}\n{sites:?}\n{}\n{:?}",
        groups(&window.blocked),
        groups(&window.syscalls),
        window.latency.each_ref().map(|latency| latency.count),
        counts(&window.runnable.spans),
        counts(&window.collector.mark),
        counts(&window.collector.assist),
        window.collector.sweep.count,
        window.goroutines,
        window.parked.iter().map(|(id, _)| id).collect::<Vec<_>>(),
    )
}

/// Clocks of threads that differ by up to a millisecond change no count.
fn whatever_the_clocks(body: &[u8], expected: &Window) {
    for ahead in [10, 100, 1_000, 10_000] {
        for odd in [0, 1] {
            let other = rewrite::skewed(body, |thread| if thread % 2 == odd { ahead } else { 0 });
            let window = whole(&other);
            assert!(window.damage.is_none(), "{ahead}: {:?}", window.damage);
            assert_eq!(unmoved(&window), unmoved(expected), "{ahead}");
        }
    }
}

#[test]
fn a_recorded_trace_cut_between_batches_says_what_is_whole() {
    for (folder, format) in RECORDED {
        let body = recorded(folder);
        let all = whole(&body);
        let mut ends = 0;
        for piece in rewrite::pieces(&body) {
            let cut = decode(&body[..piece.start], &Limits::default(), &Rules::default());
            match &cut {
                Ok(cut) => {
                    assert!(cut.events <= all.events, "{folder} {}", piece.start);
                    assert!(cut.generations <= all.generations);
                }
                Err(refusal) => assert!(matches!(refusal, Refusal::Truncated { .. })),
            }
            if format == Format::Go126 {
                assert_eq!(
                    cut.map_or(0, |cut| cut.generations),
                    ends,
                    "{}",
                    piece.start
                );
            }
            ends += u64::from(piece.batch.is_none());
        }
    }
}

/// However the bytes come, the result is the same.
fn in_pieces(body: &[u8], expected: &Window) {
    for size in [1 << 14, 4_099] {
        let mut decoder = Decoder::new(&Limits::default(), &Rules::default());
        for piece in body.chunks(size) {
            decoder.push(piece).unwrap();
        }
        assert_eq!(&decoder.finish().unwrap(), expected);
    }
}

#[test]
fn a_group_of_the_trace_is_the_group_of_the_profile() {
    let folder = "go1.27.3-trace";
    let window = whole(&recorded(&format!("{folder}/trace-1s.out.gz")));
    let captures = Capture::all();
    let capture = captures
        .iter()
        .find(|capture| capture.name == folder)
        .unwrap();
    let profile = capture.tally("goroutine.debug0.pb.gz").unwrap();
    // The connection that asked for the trace, and those that asked for profiles, are elsewhere in each.
    let moves = |blocking: &str| {
        [
            "net/http.",
            "net/http/pprof.",
            "runtime/pprof.",
            "runtime/trace.",
        ]
        .iter()
        .any(|name| blocking.starts_with(name))
    };
    let of_trace: BTreeMap<_, _> = window
        .blocked
        .iter()
        .chain(&window.syscalls)
        .filter(|group| group.spans.both.count > 0)
        .filter(|group| group.owner == Owner::Application && !moves(&group.blocking_frame))
        .map(|group| (group.id, (group.wait_reason, group.spans.both.count)))
        .collect();
    let of_profile: BTreeMap<_, _> = profile
        .groups
        .iter()
        .filter(|group| group.wait_reason != WaitReason::Running)
        .filter(|group| !moves(&group.blocking_frame))
        .map(|group| (group.id, (group.wait_reason, group.goroutines)))
        .collect();
    assert!(of_trace.len() > 60, "{}", of_trace.len());
    assert_eq!(of_trace, of_profile);

    // And by number: each parked goroutine is in that state in the detailed profile.
    let dump = String::from_utf8(capture.bytes("goroutine.debug2.txt").unwrap()).unwrap();
    for (id, group) in &window.parked {
        let group = &window.blocked[*group];
        if group.owner != Owner::Application || moves(&group.blocking_frame) {
            continue;
        }
        let head = dump
            .lines()
            .find(|line| line.starts_with(&format!("goroutine {id} [")))
            .unwrap_or_else(|| panic!("goroutine {id} of {group:?} is not in the profile"));
        let words = group.wait_reason.as_str();
        assert!(head.contains(words), "{head}: {words}");
    }
    assert!(window.parked.len() > 100, "{}", window.parked.len());
}
