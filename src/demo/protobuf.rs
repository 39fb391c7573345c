//! The profile of the simulated service as `profile.proto`, the way Go's `runtime/pprof/proto.go` builds it.

use std::collections::HashMap;
use std::io::{self, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message as _;

use super::frame::Frame;
use super::story::Snapshot;
use super::text::sorted;
use crate::decode::messages::{Function, Line, Location, Mapping, Profile, Sample, ValueType};

/// When the story takes place: the first of January 2026, in nanoseconds since 1970.
const EPOCH_NANOS: u128 = 1_767_225_600_000_000_000;

/// The profile in the form of `debug=0`: gzip around protobuf.
///
/// # Errors
///
/// Never in practice: only writing to memory could fail.
pub(super) fn debug0(snapshot: &Snapshot) -> io::Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&encode(snapshot))?;
    gzip.finish()
}

/// Numbers for what a profile mentions, in order of first mention.
#[derive(Default)]
struct Tables {
    strings: Vec<Vec<u8>>,
    string_ids: HashMap<String, i64>,
    functions: Vec<Function>,
    function_ids: HashMap<&'static str, u64>,
    locations: Vec<Location>,
    location_ids: HashMap<u64, u64>,
}

impl Tables {
    fn string(&mut self, text: &str) -> i64 {
        if let Some(&id) = self.string_ids.get(text) {
            return id;
        }
        let id = signed(self.strings.len());
        self.strings.push(text.as_bytes().to_vec());
        self.string_ids.insert(text.to_owned(), id);
        id
    }

    fn function(&mut self, frame: &Frame) -> u64 {
        if let Some(&id) = self.function_ids.get(frame.function) {
            return id;
        }
        let name = self.string(frame.function);
        let filename = self.string(&frame.path());
        let id = next_id(self.functions.len());
        self.functions.push(Function {
            id,
            name,
            system_name: name,
            filename,
            start_line: 0,
        });
        self.function_ids.insert(frame.function, id);
        id
    }

    /// The numbers of a stack's locations: inlined calls share that of the function they are in.
    fn stack(&mut self, frames: impl Iterator<Item = &'static Frame>) -> Vec<u64> {
        let mut ids = Vec::new();
        let mut lines = Vec::new();
        let mut address = None;
        for frame in frames {
            let address_here = *address.get_or_insert(frame.pc);
            lines.push(Line {
                function_id: self.function(frame),
                line: i64::from(frame.line),
                column: 0,
            });
            if frame.is_inlined() {
                continue;
            }
            let line = std::mem::take(&mut lines);
            address = None;
            let next = next_id(self.locations.len());
            let id = *self.location_ids.entry(address_here).or_insert(next);
            if id == next {
                self.locations.push(Location {
                    id,
                    mapping_id: 1,
                    address: address_here,
                    line,
                    is_folded: false,
                });
            }
            ids.push(id);
        }
        ids
    }
}

fn encode(snapshot: &Snapshot) -> Vec<u8> {
    let mut tables = Tables::default();
    tables.string("");
    let goroutines = ValueType {
        r#type: tables.string("goroutine"),
        unit: tables.string("count"),
    };
    let sample = sorted(snapshot)
        .into_iter()
        .map(|p| Sample {
            location_id: tables.stack(p.stack.frames()),
            value: vec![i64::try_from(p.count).unwrap_or(i64::MAX)],
            label: Vec::new(),
        })
        .collect();
    let mapping = Mapping {
        id: 1,
        memory_start: 0x40_0000,
        memory_limit: 0x6c_0000,
        filename: tables.string("/app/orders"),
        build_id: tables.string("9f2c7d1e64b0a85ce3f1"),
        has_functions: true,
        ..Mapping::default()
    };
    let profile = Profile {
        sample_type: vec![goroutines],
        sample,
        mapping: vec![mapping],
        location: tables.locations,
        function: tables.functions,
        period_type: Some(goroutines),
        period: 1,
        time_nanos: i64::try_from(EPOCH_NANOS + snapshot.total_time.as_nanos()).unwrap_or(i64::MAX),
        ..Profile::default()
    };
    // Go writes the strings last. A message in two parts is the message of both.
    let mut out = profile.encode_to_vec();
    out.extend(
        Profile {
            string_table: tables.strings,
            ..Profile::default()
        }
        .encode_to_vec(),
    );
    out
}

fn signed(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// The number of the entry to come: numbers begin at 1.
fn next_id(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::super::story::{GROWTH, REST, Story};
    use super::*;

    /// The samples of an encoded profile, with the names of their functions, leaf first.
    fn samples(profile: &Profile) -> Vec<(i64, Vec<String>)> {
        let name = |id: u64| {
            let function = profile
                .function
                .iter()
                .find(|f| f.id == id)
                .expect("a function");
            let bytes = &profile.string_table[usize::try_from(function.name).expect("an index")];
            String::from_utf8(bytes.clone()).expect("a name")
        };
        let location = |id: &u64| {
            profile
                .location
                .iter()
                .find(|l| l.id == *id)
                .expect("a location")
                .line
                .clone()
        };
        profile
            .sample
            .iter()
            .map(|s| {
                (
                    s.value[0],
                    s.location_id
                        .iter()
                        .flat_map(location)
                        .map(|l| name(l.function_id))
                        .collect(),
                )
            })
            .collect()
    }

    #[test]
    fn every_goroutine_is_counted_with_its_stack() {
        for time in [
            Duration::ZERO,
            REST + GROWTH,
            REST + GROWTH + Duration::from_mins(2),
        ] {
            let snapshot = Story::at(time);
            let profile = Profile::decode(encode(&snapshot).as_slice()).expect("a profile");
            let mut have = samples(&profile);
            let mut want: Vec<(i64, Vec<String>)> = snapshot
                .populations
                .iter()
                .map(|p| {
                    (
                        i64::try_from(p.count).unwrap(),
                        p.stack.frames().map(|f| f.function.to_owned()).collect(),
                    )
                })
                .collect();
            have.sort();
            want.sort();
            assert_eq!(have, want);
        }
    }

    #[test]
    fn an_address_means_one_place() {
        let mut places: HashMap<u64, (&str, u32)> = HashMap::new();
        for frame in Story::at(REST + GROWTH)
            .populations
            .iter()
            .flat_map(|p| p.stack.frames())
        {
            let place = (frame.function, frame.line);
            assert_eq!(*places.entry(frame.pc).or_insert(place), place);
        }
    }

    #[test]
    fn inlined_calls_share_a_location() {
        let profile =
            Profile::decode(encode(&Story::at(REST + GROWTH)).as_slice()).expect("a profile");
        // Both halves of Mutex.Lock are inlined into the converter.
        let lock = profile
            .location
            .iter()
            .find(|l| l.address == 0x6b_b7e4)
            .expect("the call of lockSlow");
        assert_eq!(
            lock.line.iter().map(|l| l.line).collect::<Vec<_>>(),
            [70, 46, 16]
        );
    }

    #[test]
    fn the_strings_come_last() {
        let bytes = encode(&Story::at(Duration::ZERO));
        let profile = Profile::decode(bytes.as_slice()).expect("a profile");
        let last = profile.string_table.last().expect("strings");
        assert!(bytes.ends_with(last));
    }

    /// A reader that shares no code with ours must find the same. Skipped where there is no Python.
    #[test]
    fn another_reader_finds_the_same() {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/pprofdump.py");
        let snapshot = Story::at(REST + GROWTH);
        let spawned = Command::new("python3")
            .arg(script)
            .arg("-")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = spawned else { return };
        let mut input = child.stdin.take().expect("a pipe");
        input
            .write_all(&debug0(&snapshot).expect("bytes"))
            .expect("written");
        drop(input);
        let output = child.wait_with_output().expect("output");
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(output.status.success(), "{text}");
        let first = format!(
            "# - [('goroutine', 'count')] total {} samples {}",
            snapshot.total(),
            snapshot.populations.len()
        );
        assert_eq!(text.lines().next(), Some(first.as_str()));
        assert!(
            text.lines()
                .any(|l| l
                    .contains("runtime.mapassign_faststr:395 < main.(*Converter).StructToMap:22")),
            "{text}"
        );
    }
}
