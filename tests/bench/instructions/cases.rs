//! The cases: what goes in, and what is done with it.

use std::fs;
use std::hint::black_box;

use goroutine_exporter::classify::{FrameClass, Rules};
use goroutine_exporter::decode::logs::{Choice, Reader};
use goroutine_exporter::decode::{self, Decoder, Limits};
use goroutine_exporter::expose::expose_tally;
use goroutine_exporter::profile::{
    Encoding, Facts, FrameId, FrameText, Leaf, Sink as _, Stack, Summary,
};
use goroutine_exporter::tally::{Collector, Memory, Selection, SeriesLimits, Tally, select};
use goroutine_exporter::trace;

use crate::dumps::{self, FEW, ORDINARY, Shape};
use crate::measured;
use crate::programs::repository;

const LIMITS: Limits = Limits {
    inflated_bytes: 256 << 20,
};
/// As a socket delivers.
const PIECE_BYTES: usize = 64 << 10;

/// One amount of work whose instructions are counted.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Makes what goes in; the same every time.
    pub(crate) input: fn() -> Vec<u8>,
    /// Prepares, calls [`measured`] once, and finds the result right.
    pub(crate) work: fn(&[u8]),
}

/// Those of the large benchmarks, a tenth of them or less.
pub(crate) const CASES: &[Case] = &[
    Case {
        name: "classify_frames",
        input: Vec::new,
        work: classify_frames,
    },
    Case {
        name: "debug2_deep",
        input: || dumps::debug2(DEEP),
        work: |body| stream(body, DEEP),
    },
    Case {
        name: "debug2_many",
        input: || dumps::debug2(MANY),
        work: |body| stream(body, MANY),
    },
    Case {
        name: "debug2_labels",
        input: || dumps::debug2(LABELS),
        work: |body| stream(body, LABELS),
    },
    Case {
        name: "debug1_distinct",
        input: || dumps::debug1(DISTINCT),
        work: |body| stream(body, DISTINCT),
    },
    Case {
        name: "protobuf_10k_distinct",
        input: || dumps::gzip(&dumps::protobuf(DISTINCT)),
        work: |body| whole(body, DISTINCT),
    },
    Case {
        name: "protobuf_10k_over_200",
        input: || dumps::gzip(&dumps::protobuf(PATHS)),
        work: |body| whole(body, PATHS),
    },
    Case {
        name: "protobuf_2k",
        input: || dumps::gzip(&dumps::protobuf(FEW)),
        work: |body| whole(body, FEW),
    },
    Case {
        name: "protobuf_50",
        input: || dumps::gzip(&dumps::protobuf(ORDINARY)),
        work: |body| whole(body, ORDINARY),
    },
    Case {
        name: "logs_plain",
        input: || dumps::debug2(LOGS),
        work: logs,
    },
    Case {
        name: "logs_docker",
        input: || dumps::docker(&dumps::debug2(LOGS)),
        work: logs,
    },
    Case {
        name: "tally_10k",
        input: Vec::new,
        work: tally,
    },
    Case {
        name: "expose_100_groups",
        input: || dumps::gzip(&dumps::protobuf(GROUPS)),
        work: expose_groups,
    },
    Case {
        name: "probe_200",
        input: || dumps::gzip(&dumps::protobuf(PROBE)),
        work: probe,
    },
    Case {
        name: "trace",
        input: recorded_trace,
        work: trace,
    },
];

const DEEP: Shape = Shape {
    goroutines: 1_500,
    stacks: 400,
    ..dumps::DEEP
};
/// How often the trace is read: it is short.
const TRACES: u64 = 10;
const LOGS: Shape = Shape {
    goroutines: 500,
    ..DEEP
};
const MANY: Shape = Shape {
    goroutines: 4_000,
    ..dumps::MANY
};
const LABELS: Shape = Shape {
    goroutines: 10_000,
    ..dumps::SHALLOW
};
const DISTINCT: Shape = Shape {
    goroutines: 10_000,
    stacks: 10_000,
    ..dumps::DISTINCT
};
const PATHS: Shape = Shape {
    goroutines: 10_000,
    ..dumps::PATHS
};
const GROUPS: Shape = Shape {
    goroutines: 3_000,
    depth: 12,
    stacks: 300,
    labels: false,
};
const PROBE: Shape = Shape {
    goroutines: 200,
    depth: 12,
    stacks: 60,
    labels: false,
};

/// Frames are told apart, then stacks of them.
fn classify_frames(_: &[u8]) {
    let texts: Vec<(String, String, usize)> = (0..MANY.stacks)
        .flat_map(|stack| (0..MANY.depth).map(move |place| dumps::function(stack, place)))
        .collect();
    let rules = Rules::default();
    let mut apps = 0;
    measured(&mut || {
        let classes: Vec<FrameClass> = texts
            .iter()
            .map(|(function, file, _)| {
                rules.frame(black_box(function.as_bytes()), black_box(file.as_bytes()))
            })
            .collect();
        for stack in classes.chunks_exact(MANY.depth) {
            let of = |at: usize| *stack.get(at).unwrap();
            let class = rules.stack(Leaf::Complete, stack.len(), of);
            apps += usize::from(class.app == Some(3));
        }
    });
    assert_eq!(apps, MANY.stacks);
}

/// As text comes from a socket.
fn stream(body: &[u8], shape: Shape) {
    let mut tally = None;
    measured(&mut || {
        let mut collector = Collector::new(&Rules::default());
        let mut decoder = Decoder::new(&LIMITS);
        for piece in black_box(body).chunks(PIECE_BYTES) {
            decoder.push(piece, &mut collector).unwrap();
        }
        let summary = decoder.finish(&mut collector).unwrap();
        tally = Some(collector.finish(summary));
    });
    right(tally.as_ref(), shape);
}

/// As a compressed profile is read.
fn whole(body: &[u8], shape: Shape) {
    let mut tally = None;
    measured(&mut || tally = Some(counted(black_box(body))));
    right(tally.as_ref(), shape);
}

fn counted(body: &[u8]) -> Tally {
    let mut collector = Collector::new(&Rules::default());
    let summary = decode::decode(body, &LIMITS, &mut collector).unwrap();
    collector.finish(summary)
}

fn right(tally: Option<&Tally>, shape: Shape) {
    let tally = tally.unwrap();
    let goroutines = u64::try_from(shape.goroutines).unwrap();
    assert_eq!((tally.total, tally.summary.damage), (goroutines, 0));
}

/// As `inspect` reads files.
fn logs(body: &[u8]) {
    let rules = Rules::default();
    let mut tally = None;
    measured(&mut || {
        let mut reader = Reader::new(&LIMITS, Choice::Best, || Collector::new(&rules));
        for piece in black_box(body).chunks(PIECE_BYTES) {
            reader.push(piece).unwrap();
        }
        let outcome = reader.finish().unwrap();
        tally = Some(outcome.sink.finish(outcome.summary));
    });
    right(tally.as_ref(), LOGS);
}

/// A trace of a busy program, as Go writes it.
fn recorded_trace() -> Vec<u8> {
    let file = repository("tests/data/go1.27.3-traced/trace-25ms.out.gz");
    let mut body = Vec::new();
    let packed = fs::read(file).unwrap();
    let whole = decode::inflated(&packed, LIMITS.inflated_bytes, |piece| {
        body.extend_from_slice(piece);
    });
    assert!(whole.unwrap());
    body
}

fn trace(body: &[u8]) {
    let rules = Rules::default();
    let mut events = 0;
    measured(&mut || {
        for _ in 0..TRACES {
            let window = trace::decode(black_box(body), &trace::Limits::default(), &rules).unwrap();
            assert!(window.damage.is_none(), "{:?}", window.damage);
            events += window.events;
        }
    });
    assert!(events > 1_000 * TRACES, "{events}");
}

/// Counting alone: what a decoder would push, of as many stacks, all distinct.
fn tally(_: &[u8]) {
    let texts: Vec<Vec<(String, String, usize)>> = (0..DISTINCT.stacks)
        .map(|stack| {
            (0..DISTINCT.depth)
                .map(|place| dumps::function(stack, place))
                .collect()
        })
        .collect();
    let mut tally = None;
    measured(&mut || {
        let mut collector = Collector::new(&Rules::default());
        let mut frames: Vec<FrameId> = Vec::new();
        for text in &texts {
            frames.clear();
            frames.extend(text.iter().map(|(function, file, line)| {
                collector.frame(FrameText {
                    function: function.as_bytes(),
                    file: file.as_bytes(),
                    line: u32::try_from(*line).unwrap(),
                })
            }));
            let stack = collector.stack(Stack {
                frames: &frames,
                leaf: Leaf::Stated,
                root_cut: false,
            });
            collector.count(
                stack,
                &Facts {
                    count: 1,
                    wait_reason: Some(b"sync.Mutex.Lock"),
                    ..Facts::default()
                },
            );
        }
        tally = Some(collector.finish(Summary {
            encoding: Encoding::Debug2,
            leaked_only: false,
            declared_total: None,
            truncated: false,
            damage: 0,
            process: None,
        }));
    });
    right(tally.as_ref(), DISTINCT);
}

fn limits(groups: usize) -> SeriesLimits {
    SeriesLimits {
        groups,
        min_goroutines: 5,
        min_ratio: 0.0,
    }
}

/// Text for Prometheus, of the most groups that a module may ask for.
fn expose_groups(body: &[u8]) {
    let tally = counted(body);
    let selection: Selection = select(&tally, &limits(100), &mut Memory::default());
    let mut text = String::new();
    measured(&mut || text = expose_tally(black_box(&tally), &selection));
    let series = text.matches("\ngoroutine_group_goroutines{").count();
    assert_eq!(series, 100, "{text}");
}

/// What a probe of an ordinary service adds to the fetch.
fn probe(body: &[u8]) {
    let mut text = String::new();
    measured(&mut || {
        let tally = counted(black_box(body));
        let selection = select(&tally, &limits(20), &mut Memory::default());
        text = expose_tally(&tally, &selection);
    });
    assert!(text.contains("goroutine_goroutines 200\n"), "{text}");
}
