//! What is read, by whom, and how good ours should be at it.

use crate::dumps::{self, Shape};

/// Who reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reader {
    Ours,
    /// Ours without what makes groups of what was read.
    OursAlone,
    /// github.com/google/pprof/profile
    Pprof,
    /// Its Parse, and nothing else.
    PprofAlone,
    /// github.com/DataDog/gostackparse
    Gostackparse,
    /// github.com/maruel/panicparse/v2/stack
    Panicparse,
    /// The same, without its own way to bring alike goroutines together.
    PanicparseScan,
}

impl Reader {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::OursAlone => "ours, decoding alone",
            Self::Pprof => "google/pprof",
            Self::PprofAlone => "google/pprof, Parse alone",
            Self::Gostackparse => "gostackparse",
            Self::Panicparse => "panicparse",
            Self::PanicparseScan => "panicparse, its Aggregate left out",
        }
    }

    /// Whether it is ours, whichever part of it.
    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::Ours | Self::OursAlone)
    }

    /// The one of ours that does as much.
    pub(crate) fn ours(self) -> Self {
        match self {
            Self::PprofAlone => Self::OursAlone,
            _ => Self::Ours,
        }
    }

    /// Whether it makes groups.
    pub(crate) fn groups(self) -> bool {
        !matches!(self, Self::OursAlone | Self::PprofAlone)
    }
}

/// How a dump is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As it is sent: compressed.
    Protobuf,
    Debug1,
    Debug2,
}

/// One dump, and those who read it.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(crate) name: &'static str,
    pub(crate) encoding: Encoding,
    pub(crate) shape: Shape,
    /// Others than ours, and how many times our CPU time theirs should be.
    pub(crate) peers: &'static [(Reader, Option<f64>)],
    /// How often the dump is read in one process, so that there is something to measure.
    pub(crate) repeats: u32,
    pub(crate) goals: Goals,
}

/// How good ours should be by itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Goals {
    /// Bytes of the dump per second of CPU time, at least.
    pub(crate) speed: Option<f64>,
    /// Allocations of one reading, fewer than this.
    pub(crate) allocations: Option<u64>,
    /// Held beside the dump: this many times its inflated bytes, and this many bytes, at most.
    pub(crate) peak: Option<(u64, u64)>,
}

impl Goals {
    pub(crate) fn peak_bytes(self, inflated: usize) -> Option<u64> {
        let (times, bytes) = self.peak?;
        Some(times * u64::try_from(inflated).unwrap() + bytes)
    }
}

/// The bytes of a dump.
#[derive(Debug)]
pub(crate) struct Body {
    /// As it is sent.
    pub(crate) bytes: Vec<u8>,
    /// How many those are before they are compressed.
    pub(crate) inflated: usize,
}

impl Work {
    pub(crate) fn body(&self) -> Body {
        let inflated = match self.encoding {
            Encoding::Protobuf => dumps::protobuf(self.shape),
            Encoding::Debug1 => dumps::debug1(self.shape),
            Encoding::Debug2 => dumps::debug2(self.shape),
        };
        Body {
            inflated: inflated.len(),
            bytes: match self.encoding {
                Encoding::Protobuf => dumps::gzip(&inflated),
                Encoding::Debug1 | Encoding::Debug2 => inflated,
            },
        }
    }

    /// The same for a peer: neither gostackparse nor panicparse reads a goroutine whose header has labels.
    pub(crate) fn peers_body(&self) -> Option<Body> {
        let cut = self.encoding == Encoding::Debug2 && self.shape.labels;
        cut.then(|| {
            let shape = Shape {
                labels: false,
                ..self.shape
            };
            Self {
                shape,
                ..self.clone()
            }
            .body()
        })
    }

    /// Whether a peer tells functions, so that its groups must be ours. Of debug=1 google/pprof keeps the addresses
    /// alone.
    pub(crate) fn groups_compare(&self) -> bool {
        self.encoding != Encoding::Debug1
    }
}

const TEXT: Goals = Goals {
    speed: Some(2e9),
    allocations: None,
    peak: Some((0, 4 << 20)),
};
const PROTOBUF: Goals = Goals {
    speed: None,
    allocations: Some(50),
    peak: Some((2, 2 << 20)),
};
/// panicparse compares each goroutine with each kind of goroutine: of a full dump it would not come to an end.
const FEWER: usize = 2_000;
const ON_PANICPARSE: &[(Reader, Option<f64>)] = &[
    (Reader::Panicparse, Some(100.0)),
    (Reader::PanicparseScan, None),
];
const ON_GOSTACKPARSE: &[(Reader, Option<f64>)] = &[(Reader::Gostackparse, Some(12.0))];

/// Goals are those of decoding alone, which is what Parse does.
const fn on_parse(goal: f64) -> [(Reader, Option<f64>); 3] {
    [
        (Reader::OursAlone, None),
        (Reader::PprofAlone, Some(goal)),
        (Reader::Pprof, None),
    ]
}

/// All of them.
pub(crate) fn all() -> Vec<Work> {
    let debug2 = |name, shape| Work {
        name,
        encoding: Encoding::Debug2,
        shape,
        peers: ON_GOSTACKPARSE,
        repeats: 1,
        goals: TEXT,
    };
    let fewer = |name, shape| Work {
        peers: ON_PANICPARSE,
        repeats: 5,
        goals: Goals::default(),
        ..debug2(
            name,
            Shape {
                goroutines: FEWER,
                ..shape
            },
        )
    };
    let protobuf = |name, shape, peers, repeats| Work {
        name,
        encoding: Encoding::Protobuf,
        shape,
        peers,
        repeats,
        goals: PROTOBUF,
    };
    vec![
        debug2("debug=2, deep", dumps::DEEP),
        fewer("debug=2, deep, fewer", dumps::DEEP),
        debug2("debug=2, many", dumps::MANY),
        fewer("debug=2, many, fewer", dumps::MANY),
        debug2("debug=2, shallow, labels", dumps::SHALLOW),
        fewer("debug=2, shallow, labels, fewer", dumps::SHALLOW),
        Work {
            name: "debug=1, all distinct",
            encoding: Encoding::Debug1,
            shape: dumps::DISTINCT,
            peers: &[(Reader::Pprof, Some(12.0))],
            repeats: 1,
            goals: Goals::default(),
        },
        protobuf(
            "protobuf, all distinct",
            dumps::DISTINCT,
            const { &on_parse(9.0) },
            1,
        ),
        protobuf(
            "protobuf, over 200 paths",
            dumps::PATHS,
            const { &on_parse(11.0) },
            1,
        ),
        protobuf("protobuf, 2k", dumps::FEW, const { &on_parse(4.0) }, 100),
        protobuf(
            "protobuf, 50",
            dumps::ORDINARY,
            const { &on_parse(4.0) },
            2_000,
        ),
    ]
}

/// The same with so few goroutines that it takes no time.
pub(crate) fn tiny() -> Vec<Work> {
    let fewer = |shape: Shape| Shape {
        goroutines: shape.goroutines.min(120),
        stacks: shape.stacks.min(40),
        ..shape
    };
    all()
        .into_iter()
        .map(|work| Work {
            shape: fewer(work.shape),
            repeats: 1,
            ..work
        })
        .collect()
}

/// What the plot shows: who reads which encoding, up to how many goroutines.
pub(crate) const CURVES: [(Encoding, Reader, usize); 5] = [
    (Encoding::Debug2, Reader::Panicparse, 3_000),
    (Encoding::Debug2, Reader::Gostackparse, usize::MAX),
    (Encoding::Debug2, Reader::Ours, usize::MAX),
    (Encoding::Protobuf, Reader::Pprof, usize::MAX),
    (Encoding::Protobuf, Reader::Ours, usize::MAX),
];

/// The sizes the plot shows.
pub(crate) const SIZES: [usize; 7] = [100, 300, 1_000, 3_000, 10_000, 30_000, 100_000];

/// What is read for one point of the plot.
pub(crate) fn point(encoding: Encoding, goroutines: usize) -> Work {
    let shape = match encoding {
        Encoding::Protobuf => dumps::PATHS,
        Encoding::Debug1 | Encoding::Debug2 => dumps::MANY,
    };
    Work {
        name: "",
        encoding,
        shape: Shape {
            goroutines,
            ..shape
        },
        peers: &[],
        repeats: u32::try_from((10_000 / goroutines).max(1)).unwrap(),
        goals: Goals::default(),
    }
}
