//! Made-up goroutines, and how Go writes them in each encoding. Property tests and fuzz targets share this file, so
//! that both make populations of bytes: any bytes give one, and fewer bytes a smaller one.
//!
//! Source: runtime/pprof/{pprof,protobuf,label}.go and runtime/traceback.go, Go 1.27.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use goroutine_exporter::classify::names::cut_middle;
use goroutine_exporter::decode::messages::{
    Function, Label, Line, Location, Profile, Sample, ValueType,
};
use prost::Message as _;

/// The pprof label key that tests allow-list.
pub(crate) const LABEL: &str = "tenant";

/// The most groups of goroutines in one population.
const MAX_GROUPS: usize = 12;

/// Whose code a call is, as far as grouping asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Plumbing,
    Stdlib,
    Dependency,
    App,
}

/// One call of a stack.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Call {
    /// The symbol as a protobuf has it.
    pub symbol: String,
    /// The symbol as the text forms have it: type arguments left out.
    pub text: String,
    /// The name that labels show.
    pub shown: String,
    pub kind: Kind,
    pub file: String,
    pub line: u32,
}

/// Why goroutines wait, and what of that stands at the leaf of the stack.
#[derive(Debug)]
pub(crate) struct Wait {
    pub reason: &'static str,
    /// Frames of the runtime that only a protobuf names, and their addresses in the order the linker lays them out.
    hidden: &'static [(&'static str, u64)],
    /// Calls below those, which all encodings have.
    visible: &'static [(&'static str, &'static str)],
}

const GOPARK: (&str, u64) = ("runtime.gopark", 0x900);

/// Every way to wait that populations have.
pub(crate) const WAITS: [Wait; 10] = [
    Wait {
        reason: "running",
        hidden: &[],
        visible: &[],
    },
    Wait {
        reason: "chan receive",
        hidden: &[
            GOPARK,
            ("runtime.chanrecv", 0x240),
            ("runtime.chanrecv1", 0x200),
        ],
        visible: &[],
    },
    Wait {
        reason: "chan send",
        hidden: &[
            GOPARK,
            ("runtime.chansend", 0x110),
            ("runtime.chansend1", 0x100),
        ],
        visible: &[],
    },
    Wait {
        reason: "select",
        hidden: &[GOPARK, ("runtime.selectgo", 0x650)],
        visible: &[],
    },
    Wait {
        reason: "select (no cases)",
        hidden: &[GOPARK, ("runtime.block", 0x600)],
        visible: &[],
    },
    Wait {
        reason: "sleep",
        hidden: &[GOPARK],
        visible: &[("time.Sleep", "runtime/time.go")],
    },
    Wait {
        reason: "IO wait",
        hidden: &[GOPARK, ("runtime.netpollblock", 0x500)],
        visible: &[
            ("internal/poll.runtime_pollWait", "runtime/netpoll.go"),
            ("internal/poll.(*FD).Read", "internal/poll/fd_unix.go"),
        ],
    },
    Wait {
        reason: "sync.Mutex.Lock",
        hidden: &[
            GOPARK,
            ("runtime.goparkunlock", 0x910),
            ("runtime.semacquire1", 0x920),
        ],
        visible: &[
            ("internal/sync.runtime_SemacquireMutex", "runtime/sema.go"),
            ("internal/sync.(*Mutex).lockSlow", "internal/sync/mutex.go"),
            ("sync.(*Mutex).Lock", "sync/mutex.go"),
        ],
    },
    Wait {
        reason: "sync.WaitGroup.Wait",
        hidden: &[
            GOPARK,
            ("runtime.goparkunlock", 0x910),
            ("runtime.semacquire1", 0x920),
        ],
        visible: &[
            ("sync.runtime_SemacquireWaitGroup", "runtime/sema.go"),
            ("sync.(*WaitGroup).Wait", "sync/waitgroup.go"),
        ],
    },
    Wait {
        reason: "syscall",
        hidden: &[],
        visible: &[("syscall.Syscall6", "syscall/syscall_linux.go")],
    },
];

/// Goroutines that are alike.
#[derive(Clone, Debug)]
pub(crate) struct Goroutines {
    pub count: u64,
    /// A place in [`WAITS`].
    pub wait: usize,
    /// What they were called to do, leaf first; empty where they have not started.
    pub calls: Vec<Call>,
    /// How many calls the compiler made one of.
    pub inlined: usize,
    pub minutes: Option<u64>,
    pub leaked: bool,
    pub labels: Vec<(String, Vec<u8>)>,
}

/// All goroutines of a process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Population {
    pub groups: Vec<Goroutines>,
    /// Whether it is written as a leak profile: `debug=0` and `debug=1` say so in their name.
    pub leak_profile: bool,
}

/// What a reader should find.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    pub total: u64,
    pub leaked: u64,
    /// Goroutines by wait reason, blocking frame and application frame.
    pub groups: BTreeMap<(String, String, String), u64>,
    /// Goroutines by value of the label [`LABEL`].
    pub labels: BTreeMap<String, u64>,
}

/// Bytes as choices: each call takes one, and when none are left the first choice is made.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn below(&mut self, bound: usize) -> usize {
        let Some((&byte, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        usize::from(byte) % bound
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }
}

impl Population {
    /// The population that these bytes stand for.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let mut choices = Choices(bytes);
        let leak_profile = choices.below(8) == 7;
        let mut groups = Vec::new();
        while !choices.0.is_empty() && groups.len() < MAX_GROUPS {
            groups.push(goroutines(&mut choices));
        }
        Self {
            groups,
            leak_profile,
        }
    }

    /// What a reader of `encoding` (0, 1, 2 as in `?debug=`) should find in what is written here.
    pub(crate) fn expected(&self, encoding: u8) -> Expected {
        let mut expected = Expected::default();
        let present = |reason: &str| {
            self.groups
                .iter()
                .any(|group| !group.calls.is_empty() && WAITS[group.wait].reason == reason)
        };
        let parked = ["sleep", "IO wait", "sync.Mutex.Lock", "sync.WaitGroup.Wait"]
            .iter()
            .any(|reason| present(reason));
        // What debug=1 hides can be told from addresses only by comparing two ways to wait.
        let told = |reason: &str| match reason {
            "chan receive" | "chan send" => {
                parked && present("chan receive") && present("chan send")
            }
            "select" | "select (no cases)" => {
                parked && present("select") && present("select (no cases)")
            }
            _ => true,
        };
        for group in &self.groups {
            let reason = WAITS[group.wait].reason;
            let key = if group.calls.is_empty() {
                (
                    "running".to_owned(),
                    "(not started)".to_owned(),
                    String::new(),
                )
            } else {
                let reason = if encoding == 1 && !told(reason) {
                    "unknown"
                } else {
                    reason
                };
                let blocking = group
                    .calls
                    .iter()
                    .find(|call| call.kind != Kind::Plumbing)
                    .or(group.calls.last());
                let app = group.calls.iter().find(|call| call.kind == Kind::App);
                let shown =
                    |call: Option<&Call>| call.map_or(String::new(), |call| call.shown.clone());
                (reason.to_owned(), shown(blocking), shown(app))
            };
            expected.total += group.count;
            *expected.groups.entry(key).or_default() += group.count;
            let leaked = if encoding == 2 {
                group.leaked
            } else {
                self.leak_profile
            };
            expected.leaked += if leaked { group.count } else { 0 };
            for (_, value) in group.labels.iter().filter(|(key, _)| key == LABEL) {
                let visible = String::from_utf8_lossy(value).replace(char::is_control, "\u{fffd}");
                let value = cut_middle(&visible).into_owned();
                *expected.labels.entry(value).or_default() += group.count;
            }
        }
        expected
    }

    /// The body of `?debug=0`, before compression.
    pub(crate) fn protobuf(&self) -> Vec<u8> {
        let mut tables = Tables::default();
        tables.string(b"");
        let mut profile = Profile {
            sample_type: vec![ValueType {
                r#type: tables.string(self.name().as_bytes()),
                unit: tables.string(b"count"),
            }],
            ..Profile::default()
        };
        for group in &self.groups {
            let mut location_id = Vec::new();
            if !group.calls.is_empty() {
                for (name, address) in WAITS[group.wait].hidden {
                    let call =
                        stdlib_call(name, "runtime/proc.go", u32::try_from(*address).unwrap());
                    location_id.push(tables.location(&[call]));
                }
            }
            for calls in group.stack().chunks(group.inlined) {
                location_id.push(tables.location(calls));
            }
            let label = group
                .labels
                .iter()
                .map(|(key, value)| Label {
                    key: tables.string(key.as_bytes()),
                    str: tables.string(value),
                    ..Label::default()
                })
                .collect();
            profile.sample.push(Sample {
                location_id,
                value: vec![i64::try_from(group.count).unwrap()],
                label,
            });
        }
        profile.location = tables.locations;
        profile.function = tables.functions;
        profile.string_table = tables.strings;
        profile.encode_to_vec()
    }

    /// The body of `?debug=1`.
    pub(crate) fn debug1(&self) -> Vec<u8> {
        let total = self.expected(1).total;
        let mut text = format!("{} profile: total {total}\n", self.name());
        let mut addresses = BTreeMap::new();
        for group in &self.groups {
            let stack = group.stack();
            let placed: Vec<(u64, &[Call])> = stack
                .chunks(group.inlined)
                .map(|calls| {
                    let next = 0x40_0000 + 0x20 * u64::try_from(addresses.len()).unwrap();
                    (*addresses.entry(calls.to_vec()).or_insert(next), calls)
                })
                .collect();
            write!(text, "{} @", group.count).unwrap();
            if !stack.is_empty() {
                for (_, address) in WAITS[group.wait].hidden {
                    write!(text, " {address:#x}").unwrap();
                }
            }
            for (address, _) in &placed {
                write!(text, " {address:#x}").unwrap();
            }
            text.push_str(" 0x49ce1\n");
            if !group.labels.is_empty() {
                let pairs: Vec<String> = group
                    .labels
                    .iter()
                    .map(|(key, value)| format!("{}:{}", quoted(key.as_bytes()), quoted(value)))
                    .collect();
                writeln!(text, "# labels: {{{}}}", pairs.join(", ")).unwrap();
            }
            for (address, calls) in &placed {
                for call in *calls {
                    writeln!(
                        text,
                        "#\t{:#x}\t{}+0x1d\t\t{}:{}",
                        address - 1,
                        call.text,
                        call.file,
                        call.line
                    )
                    .unwrap();
                }
            }
            text.push('\n');
        }
        text.into_bytes()
    }

    /// The body of `?debug=2`.
    pub(crate) fn debug2(&self) -> Vec<u8> {
        let mut blocks = Vec::new();
        let mut id = 1;
        for group in &self.groups {
            for _ in 0..group.count {
                blocks.push(group.block(id));
                id += 3;
            }
        }
        blocks.join("\n").into_bytes()
    }

    /// The body of `?debug=` this number.
    pub(crate) fn written(&self, encoding: u8) -> Vec<u8> {
        match encoding {
            0 => self.protobuf(),
            1 => self.debug1(),
            _ => self.debug2(),
        }
    }

    fn name(&self) -> &'static str {
        if self.leak_profile {
            "goroutineleak"
        } else {
            "goroutine"
        }
    }
}

impl Goroutines {
    /// The calls that every encoding has, leaf first.
    fn stack(&self) -> Vec<Call> {
        if self.calls.is_empty() {
            return Vec::new();
        }
        let visible = WAITS[self.wait].visible.iter();
        visible
            .map(|(name, file)| stdlib_call(name, file, 77))
            .chain(self.calls.iter().cloned())
            .collect()
    }

    /// One of them as `?debug=2` prints it.
    fn block(&self, id: u64) -> String {
        let mut text = format!("goroutine {id} [");
        text.push_str(if self.calls.is_empty() {
            "runnable"
        } else {
            WAITS[self.wait].reason
        });
        if self.leaked {
            text.push_str(" (leaked)");
        }
        if let Some(minutes) = self.minutes {
            write!(text, ", {minutes} minutes").unwrap();
        }
        text.push(']');
        if !self.labels.is_empty() {
            let pairs: Vec<String> = self
                .labels
                .iter()
                .map(|(key, value)| {
                    format!(
                        "{}: {}",
                        bare_or_quoted(key.as_bytes()),
                        bare_or_quoted(value)
                    )
                })
                .collect();
            write!(text, " {{{}}}", pairs.join(", ")).unwrap();
        }
        text.push_str(":\n");
        if self.calls.is_empty() {
            text.push_str("main.start.gowrap1()\n\t/home/ci/svc/main.go:7\n");
        }
        for (place, call) in self.stack().iter().enumerate() {
            let arguments = ["...", "0x1, {0x2?, 0x3}, ...", ""][place % 3];
            writeln!(
                text,
                "{}({arguments})\n\t{}:{} +0x1d",
                call.text, call.file, call.line
            )
            .unwrap();
        }
        text.push_str("created by main.start in goroutine 1\n\t/home/ci/svc/main.go:7 +0x5c\n");
        text
    }
}

/// The same as Go sends it for `?debug=0`.
pub(crate) fn gzip(body: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(body).unwrap();
    writer.finish().unwrap()
}

fn goroutines(choices: &mut Choices<'_>) -> Goroutines {
    let count = match choices.below(8) {
        0 => 1,
        7 => 1 + choices.below(200),
        few => few,
    };
    let wait = choices.below(WAITS.len());
    let started = choices.below(16) != 15;
    let depth = 1 + choices.below(7);
    let calls = if started {
        (0..depth).map(|_| call(choices)).collect()
    } else {
        Vec::new()
    };
    let labels = (0..choices.below(3))
        .map(|at| {
            let key = [LABEL, "user id", "k\"é"][(at + choices.below(3)) % 3];
            (key.to_owned(), label_value(choices))
        })
        .collect::<BTreeMap<_, _>>();
    Goroutines {
        count: u64::try_from(count).unwrap(),
        wait: if started { wait } else { 0 },
        calls,
        inlined: 1 + choices.below(3),
        minutes: choices.of(&[None, Some(1), Some(9), Some(100_000)]),
        leaked: choices.below(6) == 5,
        labels: labels.into_iter().collect(),
    }
}

/// A call whose symbol is one of Go's odd ones.
fn call(choices: &mut Choices<'_>) -> Call {
    let name = name(choices);
    let (symbol, text, shown, kind, file) = match choices.below(14) {
        0 => same(format!("main.{name}"), Kind::App, "/home/ci/svc/main.go"),
        1 => same(
            format!("main.(*pool).{name}.func1.2"),
            Kind::App,
            "/home/ci/my svc/pool.go",
        ),
        2 => same(
            format!("example.com/shop/cart.{name}.gowrap1"),
            Kind::App,
            "C:/src/shop/cart/cart.go",
        ),
        3 => same(
            format!("example.com/shop.Cart.{name}-fm"),
            Kind::Dependency,
            "<autogenerated>",
        ),
        4 => (
            format!("main.{name}[go.shape.int]"),
            format!("main.{name}[...]"),
            format!("main.{name}[...]"),
            Kind::App,
            "/home/ci/svc/generic.go",
        ),
        5 => (
            format!(
                "main.(*box[go.shape.struct {{ Name string \"json:\\\"a(b]\\\"\"; X map[string]int }}]).{name}"
            ),
            format!("main.(*box[...]).{name}"),
            format!("main.(*box[...]).{name}"),
            Kind::App,
            "/home/ci/svc/generic.go",
        ),
        6 => (
            format!("example.com/x/c%2ed.{name}"),
            format!("example.com/x/c%2ed.{name}"),
            format!("example.com/x/c.d.{name}"),
            Kind::App,
            "/home/ci/x/c.d/dotted.go",
        ),
        7 => (
            format!("example.com/svc/vendor/github.com/a/b.{name}"),
            format!("example.com/svc/vendor/github.com/a/b.{name}"),
            format!("github.com/a/b.{name}"),
            Kind::Dependency,
            "/home/ci/svc/vendor/github.com/a/b/f.go",
        ),
        8 => same(
            format!("github.com/dep/lib/v2.(*Client).{name}"),
            Kind::Dependency,
            "/go/pkg/mod/github.com/dep/lib/v2@v2.3.4/client.go",
        ),
        9 => same(
            format!("net/http.(*conn).{name}"),
            Kind::Stdlib,
            "/usr/local/go/src/net/http/server.go",
        ),
        10 => (
            format!("vendor/golang.org/x/net/http2.{name}"),
            format!("vendor/golang.org/x/net/http2.{name}"),
            format!("golang.org/x/net/http2.{name}"),
            Kind::Plumbing,
            "/usr/local/go/src/vendor/golang.org/x/net/http2/frame.go",
        ),
        11 => same(
            format!("bufio.(*Reader).{name}"),
            Kind::Plumbing,
            "bufio/bufio.go",
        ),
        12 => same(
            format!("internal/poll.{name}"),
            Kind::Plumbing,
            "/usr/local/go/src/internal/poll/fd.go",
        ),
        _ => same(
            format!("crypto/tls.(*Conn).{name}"),
            Kind::Plumbing,
            "/usr/local/go/src/crypto/tls/conn.go",
        ),
    };
    Call {
        symbol,
        text,
        shown: cut_middle(&shown).into_owned(),
        kind,
        file: file.to_owned(),
        line: 1 + u32::try_from(choices.below(2)).unwrap() * 400,
    }
}

/// A symbol that is written and shown as it is.
fn same(
    symbol: String,
    kind: Kind,
    file: &'static str,
) -> (String, String, String, Kind, &'static str) {
    (symbol.clone(), symbol.clone(), symbol, kind, file)
}

fn stdlib_call(name: &str, file: &str, line: u32) -> Call {
    Call {
        symbol: name.to_owned(),
        text: name.to_owned(),
        shown: name.to_owned(),
        kind: Kind::Plumbing,
        file: format!("/usr/local/go/src/{file}"),
        line,
    }
}

fn name(choices: &mut Choices<'_>) -> String {
    match choices.below(8) {
        0 => "run".to_owned(),
        1 => "Wäit_日本".to_owned(),
        2 => "glob..func1".to_owned(),
        3 => "run-range2".to_owned(),
        4 => "percent%2e".to_owned(),
        5 => format!("{}{}", "long".repeat(100), choices.below(3)),
        6 => format!("{}{}", "é".repeat(97 + choices.below(4)), "ü".repeat(60)),
        _ => format!("f{}", choices.below(5)),
    }
}

fn label_value(choices: &mut Choices<'_>) -> Vec<u8> {
    match choices.below(8) {
        0 => b"a".to_vec(),
        1 => Vec::new(),
        2 => b"caf\xe9 \xff\xfe".to_vec(),
        3 => b"quote\" back\\slash \n\r\t\0\x7f".to_vec(),
        4 => b"}: {]: [, @ 0x1".to_vec(),
        5 => "z".repeat(300).into_bytes(),
        6 => "é😀\u{2028}".as_bytes().to_vec(),
        _ => {
            let len = choices.below(5);
            let (value, rest) = choices.0.split_at(len.min(choices.0.len()));
            choices.0 = rest;
            value.to_vec()
        }
    }
}

/// Text as `strconv.Quote` writes it.
fn quoted(text: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                c if c.is_control() && c.is_ascii() => {
                    write!(out, "\\x{:02x}", u32::from(c)).unwrap();
                }
                c if c.is_control() || c == '\u{2028}' => {
                    write!(out, "\\u{:04x}", u32::from(c)).unwrap();
                }
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}").unwrap();
        }
    }
    out.push('"');
    out
}

/// Text as a header of Go 1.27 has it: bare where nothing in it could be mistaken.
fn bare_or_quoted(text: &[u8]) -> String {
    if text.iter().all(u8::is_ascii_alphanumeric) {
        String::from_utf8_lossy(text).into_owned()
    } else {
        quoted(text)
    }
}

/// The tables of a protobuf as they fill.
#[derive(Default)]
struct Tables {
    strings: Vec<Vec<u8>>,
    known: BTreeMap<Vec<u8>, i64>,
    functions: Vec<Function>,
    function_ids: BTreeMap<(String, String), u64>,
    locations: Vec<Location>,
    location_ids: BTreeMap<Vec<Call>, u64>,
}

impl Tables {
    fn string(&mut self, text: &[u8]) -> i64 {
        let next = i64::try_from(self.strings.len()).unwrap();
        let at = *self.known.entry(text.to_vec()).or_insert(next);
        if at == next {
            self.strings.push(text.to_vec());
        }
        at
    }

    fn function(&mut self, call: &Call) -> u64 {
        let next = u64::try_from(self.functions.len()).unwrap() + 1;
        let key = (call.symbol.clone(), call.file.clone());
        let id = *self.function_ids.entry(key).or_insert(next);
        if id == next {
            let name = self.string(call.symbol.as_bytes());
            let filename = self.string(call.file.as_bytes());
            self.functions.push(Function {
                id,
                name,
                system_name: name,
                filename,
                start_line: 0,
            });
        }
        id
    }

    fn location(&mut self, calls: &[Call]) -> u64 {
        let next = u64::try_from(self.locations.len()).unwrap() + 1;
        let id = *self.location_ids.entry(calls.to_vec()).or_insert(next);
        if id == next {
            let line = calls
                .iter()
                .map(|call| Line {
                    function_id: self.function(call),
                    line: i64::from(call.line),
                    column: 0,
                })
                .collect();
            self.locations.push(Location {
                id,
                mapping_id: 1,
                address: 0x40_0000 + 16 * id,
                line,
                is_folded: false,
            });
        }
        id
    }
}
