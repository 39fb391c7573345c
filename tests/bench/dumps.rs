//! Large dumps, made up as Go writes them: the inputs of the benchmarks.

use std::fmt::Write as _;
use std::io::Write as _;

use goroutine_exporter::decode::messages::{
    Function, Label, Line, Location, Profile, Sample, ValueType,
};
use prost::Message;

/// A dump's shape.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Goroutines.
    pub goroutines: usize,
    /// Calls of each.
    pub depth: usize,
    /// Distinct stacks they share.
    pub stacks: usize,
    /// Whether each carries labels of its own.
    pub labels: bool,
}

/// 100 MB: deep stacks, as of an RPC service.
pub(crate) const DEEP: Shape = Shape {
    goroutines: 15_000,
    depth: 36,
    stacks: 2_000,
    labels: false,
};
/// 37 MB: many goroutines of little depth.
pub(crate) const MANY: Shape = Shape {
    goroutines: 40_000,
    depth: 5,
    stacks: 300,
    labels: false,
};
/// 97 MB: shallow stacks with labels in every header.
pub(crate) const SHALLOW: Shape = Shape {
    goroutines: 150_000,
    depth: 3,
    stacks: 200,
    labels: true,
};

/// Each goroutine at a stack of its own, with a label of its own: 209 MB as debug=1, 6 MB as a protobuf.
pub(crate) const DISTINCT: Shape = Shape {
    goroutines: 100_000,
    depth: 12,
    stacks: 100_000,
    labels: true,
};
/// As many labels, over few stacks.
pub(crate) const PATHS: Shape = Shape {
    stacks: 200,
    ..DISTINCT
};
/// A large service.
pub(crate) const FEW: Shape = Shape {
    goroutines: 2_000,
    depth: 20,
    stacks: 2_000,
    labels: false,
};
/// A small one.
pub(crate) const ORDINARY: Shape = Shape {
    goroutines: 50,
    depth: 12,
    stacks: 50,
    labels: false,
};

/// The function at a place of a stack: plumbing at the leaf, then a few of the application among dependencies.
pub(crate) fn function(stack: usize, place: usize) -> (String, String, usize) {
    let line = 17 + (stack * 7 + place * 13) % 900;
    match place {
        0 => (
            "internal/sync.(*Mutex).lockSlow".into(),
            "/usr/local/go/src/internal/sync/mutex.go".into(),
            149,
        ),
        1 => (
            "sync.(*Mutex).Lock".into(),
            "/usr/local/go/src/sync/mutex.go".into(),
            46,
        ),
        _ if place.is_multiple_of(3) => (
            format!(
                "example.com/shop/internal/handler{}.(*Server).handle{}",
                stack % 40,
                (stack + place) % 90
            ),
            format!(
                "/home/ci/build/shop/internal/handler{}/server.go",
                stack % 40
            ),
            line,
        ),
        _ => (
            format!(
                "google.golang.org/grpc/internal/transport.(*http2Server).operate{}.func{place}",
                (stack + place) % 60
            ),
            "/root/go/pkg/mod/google.golang.org/grpc@v1.71.0/internal/transport/http2_server.go"
                .into(),
            line,
        ),
    }
}

/// The body of `debug=2`.
#[must_use]
pub(crate) fn debug2(shape: Shape) -> Vec<u8> {
    let mut text = String::new();
    for goroutine in 0..shape.goroutines {
        let stack = goroutine % shape.stacks;
        write!(
            text,
            "goroutine {} [sync.Mutex.Lock, {} minutes]",
            1000 + goroutine * 3,
            goroutine % 700
        )
        .unwrap();
        if shape.labels {
            write!(
                text,
                " {{tenant: t{goroutine}, \"request path\": \"/api/v1/items/{goroutine}\"}}"
            )
            .unwrap();
        }
        text.push_str(":\n");
        for place in 0..shape.depth {
            let (function, file, line) = function(stack, place);
            let (one, two) = (0xc000_0000_usize + goroutine * 64, goroutine * 8 + place);
            writeln!(
                text,
                "{function}(0x{one:x}, {{0x{two:x}, 0x10?}}, 0x{place:x})\n\t{file}:{line} +0x{:x}",
                place * 29 + 5
            )
            .unwrap();
        }
        text.push_str("created by example.com/shop/internal/handler.(*Pool).start in goroutine 1\n\t/home/ci/build/shop/internal/handler/pool.go:88 +0x5c\n\n");
    }
    text.pop();
    text.into_bytes()
}

/// The body of `debug=1`.
#[must_use]
pub(crate) fn debug1(shape: Shape) -> Vec<u8> {
    let mut text = format!("goroutine profile: total {}\n", shape.goroutines);
    for stack in 0..shape.goroutines {
        let address = |place: usize| 0x40_0000 + (stack * shape.depth + place) * 16;
        text.push_str("1 @ 0x439976 0x44985c");
        for place in 0..shape.depth {
            write!(text, " 0x{:x}", address(place)).unwrap();
        }
        text.push_str(" 0x46a601\n");
        if shape.labels {
            writeln!(text, "# labels: {{\"tenant\":\"t{stack}\"}}").unwrap();
        }
        for place in 0..shape.depth {
            let (function, file, line) = function(stack % shape.stacks, place + 2);
            writeln!(
                text,
                "#\t0x{:x}\t{function}+0x{:x}\t\t{file}:{line}",
                address(place) - 1,
                place * 29 + 5
            )
            .unwrap();
        }
        text.push('\n');
    }
    text.into_bytes()
}

/// The body of `debug=0`, inflated: one goroutine a sample.
#[must_use]
pub(crate) fn protobuf(shape: Shape) -> Vec<u8> {
    let mut strings: Vec<Vec<u8>> = vec![Vec::new()];
    let mut intern = {
        let mut known = std::collections::HashMap::new();
        move |strings: &mut Vec<Vec<u8>>, text: String| -> i64 {
            *known.entry(text).or_insert_with_key(|text| {
                strings.push(text.clone().into_bytes());
                i64::try_from(strings.len() - 1).unwrap()
            })
        }
    };
    let mut profile = Profile::default();
    let kind = intern(&mut strings, "goroutine".into());
    let unit = intern(&mut strings, "count".into());
    profile.sample_type.push(ValueType { r#type: kind, unit });
    let runtime = [
        "runtime.gopark",
        "runtime.goparkunlock",
        "runtime.semacquire1",
        "internal/sync.runtime_SemacquireMutex",
    ];
    let mut ids = std::collections::HashMap::new();
    for goroutine in 0..shape.goroutines {
        let stack = goroutine % shape.stacks;
        let leaf = runtime.iter().map(|name| {
            (
                (*name).to_owned(),
                "/usr/local/go/src/runtime/proc.go".to_owned(),
                474,
            )
        });
        let calls = leaf.chain((0..shape.depth).map(|place| function(stack, place)));
        let location_id = calls
            .map(|(name, file, line)| {
                let next = u64::try_from(ids.len()).unwrap() + 1;
                *ids.entry((name.clone(), line)).or_insert_with(|| {
                    let (name, filename) = (intern(&mut strings, name), intern(&mut strings, file));
                    profile.function.push(Function {
                        id: next,
                        name,
                        system_name: name,
                        filename,
                        start_line: 0,
                    });
                    let line = Line {
                        function_id: next,
                        line: i64::try_from(line).unwrap(),
                        column: 0,
                    };
                    profile.location.push(Location {
                        id: next,
                        mapping_id: 1,
                        address: 0x40_0000 + next * 16,
                        line: vec![line],
                        is_folded: false,
                    });
                    next
                })
            })
            .collect();
        let mut label = Vec::new();
        if shape.labels {
            let key = intern(&mut strings, "tenant".into());
            let value = intern(&mut strings, format!("tenant-{goroutine}"));
            label.push(Label {
                key,
                str: value,
                num: 0,
                num_unit: 0,
            });
        }
        profile.sample.push(Sample {
            location_id,
            value: vec![1],
            label,
        });
    }
    profile.string_table = strings;
    profile.encode_to_vec()
}

/// A text as Docker keeps it: each line in JSON.
#[must_use]
pub(crate) fn docker(text: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(text)
        .lines()
        .map(|line| {
            let line = line.replace('\t', "\\t").replace('"', "\\\"");
            format!("{{\"log\":\"{line}\\n\",\"stream\":\"stderr\",\"time\":\"2026-11-25T01:02:03.123456789Z\"}}\n")
        })
        .collect::<String>()
        .into_bytes()
}

/// The same as Go sends it.
#[must_use]
pub(crate) fn gzip(body: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(body).unwrap();
    writer.finish().unwrap()
}
