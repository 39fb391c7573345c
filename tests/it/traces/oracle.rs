//! What Go's own reader of traces counts: `tests/tools/trace_oracle`, built with the reader of the newest Go.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use goroutine_exporter::classify::{
    FrameClass, NO_STACK, Rules, Wait, WaitReason, names::display, traced,
};
use goroutine_exporter::profile::Leaf;
use goroutine_exporter::trace::{Spans, Sum};

use super::{Key, build};

/// The program.
#[derive(Debug)]
pub(super) struct Oracle(PathBuf);

/// What it counted.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) window: u64,
    pub(super) goroutines: u64,
    pub(super) blocked: BTreeMap<Key, Place>,
    pub(super) syscalls: BTreeMap<Key, Place>,
    pub(super) latency: BTreeMap<String, Delays>,
    pub(super) runnable: Spans,
    pub(super) runnable_split: [u64; 3],
    /// How many, how long, and the longest.
    pub(super) stops: BTreeMap<String, (Sum, u64)>,
    pub(super) mark: Spans,
    pub(super) assist: Spans,
    pub(super) sweep: Sum,
    pub(super) swept: [u64; 2],
    pub(super) workers: Sum,
    /// Made and ended, by who made them, for which function of the application, and what they run.
    pub(super) sites: BTreeMap<[String; 3], (u64, u64)>,
    pub(super) ended_older: u64,
    pub(super) lost: u64,
    pub(super) parked: BTreeSet<u64>,
    pub(super) metrics: [u64; 3],
}

#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) spans: Spans,
    pub(super) world_stopped: u64,
    pub(super) marking: u64,
}

#[derive(Debug)]
pub(super) struct Delays {
    pub(super) count: u64,
    pub(super) nanoseconds: u64,
    pub(super) longest: u64,
    pub(super) p50: u64,
    pub(super) p90: u64,
    pub(super) p99: u64,
}

impl Oracle {
    /// Builds it; nothing when this machine has no such Go.
    pub(super) fn build() -> Option<Self> {
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        build::oracle().map(Self)
    }

    /// What it counts; with `raw` the times are those of the trace.
    pub(super) fn count(&self, body: &[u8], raw: bool) -> Counted {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("trace");
        fs::write(&file, body).unwrap();
        let output = Command::new(&self.0)
            .args(raw.then_some("-raw"))
            .arg(&file)
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}");
        Counted::parse(&String::from_utf8(output.stdout).unwrap())
    }
}

impl Counted {
    fn parse(text: &str) -> Self {
        let rules = Rules::default();
        let mut counted = Self::default();
        for line in text.lines() {
            let cells: Vec<&str> = line.split('\t').collect();
            let number = |at: usize| cells[at].parse::<u64>().unwrap();
            let sum = |at: usize| Sum {
                count: number(at),
                nanoseconds: number(at + 1),
            };
            let spans = || Spans {
                closed: sum(1),
                left: sum(3),
                right: sum(5),
                both: sum(7),
            };
            match cells[0] {
                "window" => (counted.window, counted.goroutines) = (number(1), number(2)),
                kind @ ("block" | "syscall") => {
                    let key = key(&rules, kind, cells[11], cells[12]);
                    let places = if kind == "block" {
                        &mut counted.blocked
                    } else {
                        &mut counted.syscalls
                    };
                    if spans() != Spans::default() {
                        let place = places.entry(key).or_default();
                        add(&mut place.spans, &spans());
                        place.world_stopped += number(9);
                        place.marking += number(10);
                    }
                }
                "latency" => {
                    let delays = Delays {
                        count: number(2),
                        nanoseconds: number(3),
                        longest: number(4),
                        p50: number(5),
                        p90: number(6),
                        p99: number(7),
                    };
                    counted.latency.insert(cells[1].to_owned(), delays);
                }
                "runnable" => {
                    counted.runnable = spans();
                    counted.runnable_split = [number(9), number(10), number(11)];
                }
                "stop" => {
                    let kind = cells[1].strip_prefix("stop-the-world (").unwrap();
                    let kind = kind.strip_suffix(')').unwrap().to_owned();
                    counted.stops.insert(kind, (sum(2), number(4)));
                }
                "mark" => counted.mark = spans(),
                "assist" => counted.assist = spans(),
                "sweep" => {
                    counted.sweep = sum(1);
                    counted.swept = [number(3), number(4)];
                }
                "workers" => counted.workers = sum(1),
                "site" => {
                    let (creator, entry) = (frames(cells[3]), frames(cells[4]));
                    let leaf = |frames: &[Frame<'_>]| {
                        let first = frames.first();
                        first.map_or_else(String::new, |(function, _)| {
                            display(function.as_bytes()).into_owned()
                        })
                    };
                    let (_, _, app) = key(&rules, "syscall", "", cells[3]);
                    let mut names = [leaf(&creator), app, leaf(&entry)];
                    if creator.is_empty() && entry.is_empty() {
                        "(cgo callback)".clone_into(&mut names[2]);
                    }
                    let site = counted.sites.entry(names).or_default();
                    site.0 += number(1);
                    site.1 += number(2);
                }
                "ended_older" => counted.ended_older = number(1),
                "lost" => counted.lost = number(1),
                "parked" => drop(counted.parked.insert(number(1))),
                "metrics" => counted.metrics = [number(1), number(2), number(3)],
                other => panic!("{other}"),
            }
        }
        counted
    }
}

fn add(known: &mut Spans, more: &Spans) {
    known.closed = known.closed.and(more.closed);
    known.left = known.left.and(more.left);
    known.right = known.right.and(more.right);
    known.both = known.both.and(more.both);
}

/// Function and file.
type Frame<'t> = (&'t str, &'t str);

fn frames(text: &str) -> Vec<Frame<'_>> {
    text.split_terminator('\x1f')
        .map(|frame| {
            let mut parts = frame.split('\x1e');
            (parts.next().unwrap(), parts.next().unwrap())
        })
        .collect()
}

/// The group of what Go's reader says of a wait: its word for the reason, and the stack.
fn key(rules: &Rules, kind: &str, word: &str, stack: &str) -> Key {
    let frames = frames(stack);
    let classes: Vec<FrameClass> = frames
        .iter()
        .map(|(function, file)| rules.frame(function.as_bytes(), file.as_bytes()))
        .collect();
    let leaf = match word {
        "sync" => Leaf::Stated,
        _ if kind == "syscall" || word == "?" || word == "created" => Leaf::Complete,
        _ => Leaf::Cut,
    };
    let class = rules.stack(leaf, frames.len(), |at| classes[at]);
    let name = |at: Option<usize>| at.map(|at| display(frames[at].0.as_bytes()).into_owned());
    let told = match class.wait {
        Wait::Known(told) | Wait::Stated(told) => told,
        Wait::Hidden(_) => WaitReason::Unknown,
    };
    let reason = match word {
        _ if kind == "syscall" => WaitReason::Syscall,
        "" | "created" => WaitReason::Coroutine,
        "?" if frames.is_empty() || told == WaitReason::Running => WaitReason::Unknown,
        "?" => told,
        word => traced(word.as_bytes(), told),
    };
    (
        reason,
        name(class.blocking).unwrap_or_else(|| NO_STACK.to_owned()),
        name(class.app).unwrap_or_default(),
    )
}
