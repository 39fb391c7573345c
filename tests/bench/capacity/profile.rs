//! The profiles that stand-ins serve: an ordinary service's, and one with as many groups as are asked for.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;

use goroutine_exporter::decode::messages::{Function, Line, Location, Profile, Sample, ValueType};
use prost::Message as _;

/// One distinct stack, and how many goroutines have it.
#[derive(Clone, Debug)]
pub(crate) struct Stack {
    /// As Go writes it between brackets.
    reason: &'static str,
    /// The runtime's own frames at the leaf, which debug=2 leaves out.
    runtime: &'static [&'static str],
    /// The others, leaf first: function, file, line.
    frames: Vec<(String, String, usize)>,
    pub(crate) goroutines: u64,
}

/// A way to wait: what Go calls it, and the frames of the runtime and of the standard library above the blocked function.
struct Way {
    reason: &'static str,
    runtime: &'static [&'static str],
    library: &'static [(&'static str, &'static str, usize)],
}

const RECEIVE: &[&str] = &["runtime.gopark", "runtime.chanrecv", "runtime.chanrecv1"];
const SEND: &[&str] = &["runtime.gopark", "runtime.chansend", "runtime.chansend1"];
const SELECT: &[&str] = &["runtime.gopark", "runtime.selectgo"];
const MUTEX: &[&str] = &[
    "runtime.gopark",
    "runtime.goparkunlock",
    "runtime.semacquire1",
];
const POLL: &[&str] = &["runtime.gopark", "runtime.netpollblock"];
const SLEEP: &[&str] = &["runtime.gopark"];

/// What an ordinary service's goroutines do, as recorded profiles of Go 1.27 have it (`tests/data`).
const WAYS: [Way; 6] = [
    Way {
        reason: "IO wait",
        runtime: POLL,
        library: &[
            ("internal/poll.runtime_pollWait", "runtime/netpoll.go", 351),
            (
                "internal/poll.(*pollDesc).wait",
                "internal/poll/fd_poll_runtime.go",
                84,
            ),
            ("internal/poll.(*FD).Read", "internal/poll/fd_unix.go", 165),
            ("net.(*netFD).Read", "net/fd_posix.go", 68),
            ("net.(*conn).Read", "net/net.go", 196),
        ],
    },
    Way {
        reason: "select",
        runtime: SELECT,
        library: &[],
    },
    Way {
        reason: "chan receive",
        runtime: RECEIVE,
        library: &[],
    },
    Way {
        reason: "chan send",
        runtime: SEND,
        library: &[],
    },
    Way {
        reason: "sync.Mutex.Lock",
        runtime: MUTEX,
        library: &[
            (
                "internal/sync.runtime_SemacquireMutex",
                "runtime/sema.go",
                95,
            ),
            (
                "internal/sync.(*Mutex).lockSlow",
                "internal/sync/mutex.go",
                149,
            ),
            ("sync.(*Mutex).Lock", "sync/mutex.go", 46),
        ],
    },
    Way {
        reason: "sleep",
        runtime: SLEEP,
        library: &[("time.Sleep", "runtime/time.go", 361)],
    },
];

/// Of an ordinary service.
const GOROUTINES: u64 = 200;
const STACKS: usize = 60;
const PLACES: usize = 15;

/// 200 goroutines and `more`, 60 stacks, 15 groups, about 12 frames each. Services have functions of their own.
pub(crate) fn ordinary(service: usize, more: u64) -> Vec<Stack> {
    (0..STACKS)
        .map(|stack| {
            let (place, chain) = (stack % PLACES, stack / PLACES);
            let way = &WAYS[place % WAYS.len()];
            let mut frames = library(way);
            frames.push(own(service, place, "wait", 40 + place));
            for call in 0..3 {
                let other = (place + call * 4 + chain) % PLACES;
                frames.push(own(service, other, "call", 90 + chain + call));
            }
            frames.push(dependency("handle", 210 + chain));
            frames.push(dependency("serve", 310));
            frames.push(own(service, place, "run", 17));
            let share = GOROUTINES / STACKS as u64;
            let rest = u64::from((stack as u64) < GOROUTINES % STACKS as u64);
            Stack {
                reason: way.reason,
                runtime: way.runtime,
                frames,
                goroutines: share + rest + if stack == 0 { more } else { 0 },
            }
        })
        .collect()
}

/// So many groups of twenty goroutines, each at a function of its own.
pub(crate) fn groups(groups: usize) -> Vec<Stack> {
    (0..groups)
        .map(|group| {
            let way = &WAYS[group % WAYS.len()];
            let mut frames = library(way);
            frames.push(own(group / PLACES, group % PLACES, "wait", 40));
            frames.push(dependency("serve", 310));
            frames.push(own(0, 0, "run", 17));
            Stack {
                reason: way.reason,
                runtime: way.runtime,
                frames,
                goroutines: 20,
            }
        })
        .collect()
}

fn library(way: &Way) -> Vec<(String, String, usize)> {
    way.library
        .iter()
        .map(|(name, file, line)| {
            let file = format!("/usr/local/go/src/{file}");
            ((*name).to_owned(), file, *line)
        })
        .collect()
}

fn own(service: usize, place: usize, what: &str, line: usize) -> (String, String, usize) {
    (
        format!("example.com/shop/service{service}/internal/stage{place}.(*Worker).{what}{place}"),
        format!("/home/ci/build/shop/service{service}/internal/stage{place}/worker.go"),
        line,
    )
}

fn dependency(what: &str, line: usize) -> (String, String, usize) {
    (
        format!("google.golang.org/grpc/internal/transport.(*http2Server).{what}Streams"),
        "/root/go/pkg/mod/google.golang.org/grpc@v1.71.0/internal/transport/http2_server.go".into(),
        line,
    )
}

/// All goroutines of these stacks.
pub(crate) fn total(stacks: &[Stack]) -> u64 {
    stacks.iter().map(|stack| stack.goroutines).sum()
}

/// The body of `debug=0`: one sample for each distinct stack.
pub(crate) fn protobuf(stacks: &[Stack]) -> Vec<u8> {
    let mut tables = Tables::default();
    tables.string("");
    let (kind, unit) = (tables.string("goroutine"), tables.string("count"));
    let samples = stacks
        .iter()
        .map(|stack| {
            let runtime = stack.runtime.iter().map(|name| {
                let file = "/usr/local/go/src/runtime/proc.go".to_owned();
                ((*name).to_owned(), file, 474)
            });
            let frames = runtime.chain(stack.frames.iter().cloned());
            Sample {
                location_id: frames.map(|frame| tables.location(frame)).collect(),
                value: vec![i64::try_from(stack.goroutines).unwrap()],
                label: Vec::new(),
            }
        })
        .collect();
    let sampled = ValueType { r#type: kind, unit };
    Profile {
        sample_type: vec![sampled],
        sample: samples,
        location: tables.locations,
        function: tables.functions,
        string_table: tables.strings,
        period_type: Some(sampled),
        period: 1,
        ..Profile::default()
    }
    .encode_to_vec()
}

/// What samples point into.
#[derive(Default)]
struct Tables {
    strings: Vec<Vec<u8>>,
    texts: HashMap<String, i64>,
    functions: Vec<Function>,
    names: HashMap<String, u64>,
    locations: Vec<Location>,
    places: HashMap<(u64, usize), u64>,
}

impl Tables {
    fn string(&mut self, text: &str) -> i64 {
        let next = i64::try_from(self.strings.len()).unwrap();
        *self.texts.entry(text.to_owned()).or_insert_with(|| {
            self.strings.push(text.as_bytes().to_vec());
            next
        })
    }

    fn function(&mut self, name: &str, file: &str) -> u64 {
        if let Some(&known) = self.names.get(name) {
            return known;
        }
        let id = self.functions.len() as u64 + 1;
        let (text, filename) = (self.string(name), self.string(file));
        self.functions.push(Function {
            id,
            name: text,
            system_name: text,
            filename,
            start_line: 0,
        });
        self.names.insert(name.to_owned(), id);
        id
    }

    fn location(&mut self, (name, file, line): (String, String, usize)) -> u64 {
        let function_id = self.function(&name, &file);
        let next = self.locations.len() as u64 + 1;
        *self.places.entry((function_id, line)).or_insert_with(|| {
            let line = i64::try_from(line).unwrap();
            self.locations.push(Location {
                id: next,
                mapping_id: 1,
                address: 0x40_0000 + next * 16,
                line: vec![Line {
                    function_id,
                    line,
                    column: 0,
                }],
                is_folded: false,
            });
            next
        })
    }
}

/// The body of `debug=2`.
pub(crate) fn debug2(stacks: &[Stack]) -> Vec<u8> {
    let mut text = String::new();
    let mut id = 1;
    for stack in stacks {
        for _ in 0..stack.goroutines {
            writeln!(text, "goroutine {id} [{}, 3 minutes]:", stack.reason).unwrap();
            for (place, (function, file, line)) in stack.frames.iter().enumerate() {
                let offset = place * 29 + 5;
                writeln!(
                    text,
                    "{function}(0xc0000{id:x}, {{0xc0001{place:x}8, 0x10?}})\n\t{file}:{line} +0x{offset:x}"
                )
                .unwrap();
            }
            text.push_str(
                "created by google.golang.org/grpc.(*Server).Serve in goroutine 1\n\t/root/go/pkg/mod/google.golang.org/grpc@v1.71.0/server.go:940 +0x5c\n\n",
            );
            id += 7;
        }
    }
    text.into_bytes()
}

/// As Go compresses its profiles.
pub(crate) fn gzip(body: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(body).unwrap();
    writer.finish().unwrap()
}
