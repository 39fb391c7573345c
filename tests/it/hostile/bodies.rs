//! Bodies that want to hurt: they cost their sender little, and whoever reads them much if he is not careful.

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use goroutine_exporter::decode::messages::{
    Function, Label, Line, Location, Mapping, Profile, Sample, ValueType,
};
use prost::Message as _;

pub(super) const MIB: usize = 1 << 20;

/// Go's own best compression.
pub(super) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut writer = GzEncoder::new(Vec::new(), Compression::best());
    writer.write_all(content).unwrap();
    writer.finish().unwrap()
}

/// A protobuf in the making, with strings that are there once.
#[derive(Debug, Default)]
pub(super) struct Proto(pub(super) Profile);

impl Proto {
    /// One that counts goroutines.
    pub(super) fn goroutines() -> Self {
        Self::of(&[("goroutine", "count")])
    }

    /// One with these values, and their units.
    pub(super) fn of(kinds: &[(&str, &str)]) -> Self {
        let mut proto = Self::default();
        proto.text(b"");
        for (kind, unit) in kinds {
            let (kind, unit) = (proto.text(kind.as_bytes()), proto.text(unit.as_bytes()));
            proto.0.sample_type.push(ValueType { r#type: kind, unit });
        }
        proto
    }

    pub(super) fn text(&mut self, text: &[u8]) -> i64 {
        self.0.string_table.push(text.to_vec());
        i64::try_from(self.0.string_table.len() - 1).unwrap()
    }

    /// A function, and a location for a call of it; both have that number.
    pub(super) fn call(&mut self, id: u64, name: &[u8]) -> &mut Self {
        let name = self.text(name);
        self.0.function.push(Function {
            id,
            name,
            ..Function::default()
        });
        self.location(id, &[id])
    }

    /// A location with a call of each of these functions.
    pub(super) fn location(&mut self, id: u64, functions: &[u64]) -> &mut Self {
        let line = functions.iter().zip(1..).map(|(&function_id, line)| Line {
            function_id,
            line,
            column: 0,
        });
        self.0.location.push(Location {
            id,
            line: line.collect(),
            ..Location::default()
        });
        self
    }

    pub(super) fn sample(&mut self, location_id: &[u64], value: &[i64]) -> &mut Self {
        self.0.sample.push(Sample {
            location_id: location_id.to_vec(),
            value: value.to_vec(),
            label: Vec::new(),
        });
        self
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.0.encode_to_vec()
    }
}

/// Five goroutines in one place.
pub(super) fn small() -> Vec<u8> {
    let mut proto = Proto::goroutines();
    proto.call(1, b"main.f").sample(&[1], &[5]);
    proto.bytes()
}

/// Counts that no process has, and some whose sum needs more than 32 bits.
pub(super) fn counts(values: &[i64]) -> Vec<u8> {
    let mut proto = Proto::goroutines();
    proto.call(1, b"main.f");
    for value in values {
        proto.sample(&[1], &[*value]);
    }
    proto.bytes()
}

/// Tables that refer to what is not there, to each other's end, and far beyond.
pub(super) fn indices() -> Vec<u8> {
    let mut proto = Proto::goroutines();
    proto.call(u64::MAX, b"main.far").call(1, b"main.near");
    proto.location(2, &[1, 2, u64::MAX, 1, 7]).location(3, &[]);
    for (id, name) in [(3, i64::MAX), (4, i64::MIN), (5, -1)] {
        proto.0.function.push(Function {
            id,
            name,
            filename: name,
            ..Function::default()
        });
        proto.location(id + 10, &[id]);
    }
    proto.0.mapping.push(Mapping {
        filename: i64::MAX,
        build_id: -1,
        memory_start: u64::MAX,
        ..Mapping::default()
    });
    proto.sample(&[u64::MAX, 1], &[2]);
    proto.sample(&[2, 3, 13, 14, 15, 999, 1 << 63], &[3]);
    proto.0.sample[0].label.push(Label {
        key: i64::MAX,
        str: -7,
        ..Label::default()
    });
    proto.bytes()
}

/// One name of that length, and as many calls of it as told: each call is five bytes that stand for the whole name.
pub(super) fn called_often(name: usize, calls: usize) -> Vec<u8> {
    let mut proto = Proto::goroutines();
    proto.call(1, &b"x".repeat(name));
    proto.location(2, &vec![1; calls]).sample(&[2], &[1]);
    proto.bytes()
}

/// Locations of as many inlined calls as a stack may have, and stacks that begin with each pair of them.
pub(super) fn inlined(samples: usize) -> Vec<u8> {
    let mut proto = Proto::goroutines();
    proto.call(1, b"runtime.x");
    for id in 2..128 {
        proto.location(id, &[1; 512]);
    }
    let mut profile = proto.bytes();
    for number in 0..samples {
        let id = |of: usize| u8::try_from(2 + number / of % 126).unwrap();
        // A sample with three locations and the value 1.
        profile.extend_from_slice(&[0x12, 8, 0x0a, 3, id(15_876), id(126), id(1), 0x12, 1, 1]);
    }
    profile
}

/// Goroutines of groups of their own, as a protobuf.
pub(super) fn groups(count: u64) -> Vec<u8> {
    let mut proto = Proto::goroutines();
    for id in 1..=count {
        proto
            .call(id, format!("f{id}").as_bytes())
            .sample(&[id], &[1]);
    }
    proto.bytes()
}

/// The same as text.
pub(super) fn groups_of_text(count: u64) -> Vec<u8> {
    let mut text = String::new();
    for id in 1..=count {
        write!(
            text,
            "goroutine {id} [select]:\nf{id}()\n\t/a.go:1 +0x1\n\n"
        )
        .unwrap();
    }
    text.into_bytes()
}

/// Functions with names of a MiB, less what else a goroutine's text needs.
pub(super) fn long_names(count: usize) -> Vec<u8> {
    let mut text = String::new();
    for id in 1..=count {
        let name = format!("main.f{id}_").repeat((MIB - 200) / 9);
        write!(
            text,
            "goroutine {id} [select]:\n{name}()\n\t/a.go:1 +0x1\n\n"
        )
        .unwrap();
    }
    text.into_bytes()
}

/// One stack of that many calls, as text.
pub(super) fn deep(calls: usize) -> Vec<u8> {
    let mut text = String::from("goroutine 1 [select]:\n");
    for call in 0..calls {
        write!(text, "f{call}()\n\t/a.go:1\n").unwrap();
    }
    text.into_bytes()
}

/// The same as a protobuf of two goroutines.
pub(super) fn deep_proto(calls: usize) -> Vec<u8> {
    let mut proto = Proto::goroutines();
    proto.call(1, b"main.f").sample(&vec![1; calls], &[2]);
    proto.bytes()
}

/// What names must not do: end a label, a line, a page's element, or command a terminal.
pub(super) const NAMES: [&[u8]; 9] = [
    b"main.<script>alert(1)</script><img src=x onerror=alert(2)>",
    b"main.\" onmouseover=\"alert(3)\" x=\"",
    b"main.a\"} 1\ngoroutine_goroutines 99",
    b"main.back\\slash\\n\\\"",
    b"main.\x1b[2J\x1b]0;owned\x07red",
    b"main.nul\0\x01\x7f\xc2\x85end",
    b"main.bytes\xff\xfe\xc0\xaf\xed\xa0\x80",
    b"main.]]></svg></svg>--><!--",
    "main.right\u{202e}left\u{2028}line\u{feff}".as_bytes(),
];

/// A goroutine each of functions with such names, and labels of the same.
pub(super) fn odd_names() -> Vec<u8> {
    let mut proto = Proto::goroutines();
    let key = proto.text(b"tenant");
    for (id, name) in (1..).zip(NAMES) {
        proto.call(id, name).sample(&[id], &[60]);
        let str = proto.0.function.last().unwrap().name;
        let sample = proto.0.sample.last_mut().unwrap();
        sample.label.push(Label {
            key,
            str,
            ..Label::default()
        });
    }
    proto.bytes()
}

/// Labels without end, all of one sample and of many.
pub(super) fn labels(samples: usize) -> Vec<u8> {
    let mut proto = Proto::goroutines();
    let key = proto.text(b"tenant");
    proto.call(1, b"main.f");
    let values: Vec<i64> = (0..64_u8)
        .map(|number| {
            let mut value = vec![b'v'; 600];
            value[0] = b' ' + number;
            proto.text(&value)
        })
        .collect();
    for _ in 0..samples {
        proto.sample(&[1], &[1]);
        let label = values.iter().cycle().take(256).map(|&str| Label {
            key,
            str,
            ..Label::default()
        });
        proto.0.sample.last_mut().unwrap().label = label.collect();
    }
    proto.bytes()
}

/// A counted text in which every hidden address is another.
pub(super) fn addresses(stacks: u64) -> Vec<u8> {
    let mut text = String::from("goroutine profile: total 9\n");
    let known = "1 @ 0x900 0x500 0x7\n#\t0x6\tinternal/poll.runtime_pollWait+0x1\t/a.go:1\n\n";
    text.push_str(known);
    for at in 0..stacks {
        let (inner, wrapper) = (0x10_0000 + at, 0x20_0000 + at);
        write!(
            text,
            "1 @ 0x900 {inner:#x} {wrapper:#x} 0x8\n#\t0x7\tmain.f+0x1\t/a.go:1\n\n"
        )
        .unwrap();
    }
    text.into_bytes()
}
