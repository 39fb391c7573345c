mod bounds;
mod debug3;
mod kinds;
mod process;

use super::*;
use crate::decode::recorder::Recorder;
use crate::decode::{Limits, MAX_FRAMES, messages};
use messages::{Function, Label, Line, Location, Profile, Sample, ValueType};
use prost::Message as _;

/// The strings every profile here has.
const STRINGS: [&[u8]; 8] = [
    b"",
    b"goroutine",
    b"count",
    b"main.a",
    b"/a.go",
    b"runtime.gopark",
    b"tenant",
    b"caf\xe9 \xff",
];

/// `main.a` at `/a.go:1` is location 1, `runtime.gopark` location 2.
fn profile() -> Profile {
    let function = |id, name, filename| Function {
        id,
        name,
        filename,
        ..Function::default()
    };
    let location = |id, function_id, line| Location {
        id,
        line: vec![Line {
            function_id,
            line,
            column: 0,
        }],
        ..Location::default()
    };
    Profile {
        sample_type: vec![ValueType { r#type: 1, unit: 2 }],
        location: vec![location(1, 1, 1), location(2, 2, 460)],
        function: vec![function(1, 3, 4), function(2, 5, 0)],
        string_table: STRINGS.map(<[u8]>::to_vec).to_vec(),
        ..Profile::default()
    }
}

fn sample(location_id: &[u64], value: &[i64]) -> Sample {
    Sample {
        location_id: location_id.to_vec(),
        value: value.to_vec(),
        label: Vec::new(),
    }
}

fn with(change: impl FnOnce(&mut Profile)) -> Vec<u8> {
    let mut profile = profile();
    change(&mut profile);
    profile.encode_to_vec()
}

#[track_caller]
fn check(bytes: &[u8], expected: &[&str], damage: u64) {
    let (recorder, summary) = Recorder::read(bytes);
    let summary = summary.unwrap();
    assert_eq!(recorder.goroutines, expected);
    assert_eq!((summary.damage, summary.truncated), (damage, false));
}

#[track_caller]
fn refused(bytes: &[u8], words: &str) {
    let (_, summary) = Recorder::read(bytes);
    let text = summary.unwrap_err().to_string();
    assert!(text.contains(words), "{text}");
}

#[test]
fn the_stack_and_the_count_of_a_sample() {
    let bytes = with(|profile| {
        profile.sample = vec![sample(&[2, 1], &[7]), sample(&[1], &[1])];
    });
    check(
        &bytes,
        &[
            "7 | runtime.gopark@:460 < main.a@/a.go:1",
            "1 | main.a@/a.go:1",
        ],
        0,
    );
}

#[test]
fn lists_may_be_packed_or_not_and_in_pieces() {
    // Go writes a list of one or two numbers unpacked, prost packs all.
    let mut bytes = profile().encode_to_vec();
    for written in [
        &[0x08, 2, 0x08, 1, 0x10, 7][..],
        &[0x10, 7, 0x08, 2, 0x08, 1],
        &[0x0a, 2, 2, 1, 0x12, 1, 7],
        &[0x0a, 1, 2, 0x10, 7, 0x08, 1],
        &[0x08, 2, 0x0a, 0, 0x12, 1, 7, 0x0a, 1, 1],
    ] {
        bytes.extend([0x12, u8::try_from(written.len()).unwrap()]);
        bytes.extend(written);
    }
    check(&bytes, &["7 | runtime.gopark@:460 < main.a@/a.go:1"; 5], 0);
}

#[test]
fn a_sample_without_locations_has_not_started() {
    let bytes = with(|profile| profile.sample = vec![sample(&[], &[3])]);
    check(&bytes, &["3 not started | "], 0);
}

#[test]
fn inlined_calls_come_innermost_first() {
    let bytes = with(|profile| {
        let line = |function_id, line| Line {
            function_id,
            line,
            column: 0,
        };
        profile.location[0].line = vec![line(2, 9), line(1, 5), line(1, 6)];
        profile.sample = vec![sample(&[1, 2], &[1])];
    });
    check(
        &bytes,
        &["1 | runtime.gopark@:9 < main.a@/a.go:5 < main.a@/a.go:6 < runtime.gopark@:460"],
        0,
    );
}

#[test]
fn what_refers_to_nothing_is_damage_and_still_a_goroutine() {
    let no_symbol = "1 | (no symbol)@:0";
    // A location that is not there.
    check(
        &with(|profile| profile.sample = vec![sample(&[1, 99], &[1])]),
        &["1 | main.a@/a.go:1 < (no symbol)@:0"],
        1,
    );
    // A function that is not there.
    let bytes = with(|profile| {
        profile.location[0].line[0].function_id = 99;
        profile.sample = vec![sample(&[1], &[1])];
    });
    check(&bytes, &[no_symbol], 1);
    // A name, then a file, beyond the table or below it.
    for at in [8, -1, i64::MAX, i64::MIN] {
        for change in [
            |function: &mut Function, at| function.name = at,
            |function: &mut Function, at| function.filename = at,
        ] {
            let bytes = with(|profile| {
                change(&mut profile.function[0], at);
                profile.sample = vec![sample(&[1], &[1])];
            });
            check(&bytes, &[no_symbol], 1);
        }
    }
    // An address nobody has a name for is no damage: Go knows none for C code.
    let bytes = with(|profile| {
        profile.location[0].line.clear();
        profile.function[1].name = 0;
        profile.sample = vec![sample(&[1, 2], &[1])];
    });
    check(&bytes, &["1 | (no symbol)@:0 < (no symbol)@:460"], 0);
}

#[test]
fn counts_that_cannot_be() {
    let with_count = |value: &[i64]| with(|profile| profile.sample = vec![sample(&[1], value)]);
    refused(&with_count(&[-1]), "a negative count");
    refused(&with_count(&[i64::MIN]), "a negative count");
    check(&with_count(&[0]), &[], 0);
    check(&with_count(&[]), &[], 1);
    check(
        &with_count(&[0xffff_ffff]),
        &["4294967295 | main.a@/a.go:1"],
        0,
    );
    check(&with_count(&[0x1_0000_0000]), &[], 1);
    check(&with_count(&[i64::MAX]), &[], 1);
}

#[test]
fn the_column_is_that_of_goroutines() {
    let kinds = |kinds: &[&[u8]]| {
        with(|profile| {
            let strings = kinds.iter().map(|kind| kind.to_vec());
            profile.string_table.extend(strings);
            profile.sample_type = (8..)
                .take(kinds.len())
                .map(|r#type| ValueType { r#type, unit: 2 })
                .collect();
            profile.sample = vec![sample(&[1], &[5, 6, 7])];
        })
    };
    check(
        &kinds(&[b"other", b"goroutine", b"third"]),
        &["6 | main.a@/a.go:1"],
        0,
    );
    check(
        &kinds(&[b"goroutineleak"]),
        &["5 leaked | main.a@/a.go:1"],
        0,
    );
    let (_, leaks) = Recorder::read(&kinds(&[b"goroutineleak"]));
    assert!(leaks.unwrap().leaked_only);
    for (other, words) in [
        (&[&b"alloc_objects"[..], b"inuse_space"][..], "of the heap"),
        (&[b"samples", b"cpu"], "of the processor"),
        (&[b"wishes"], "counts no goroutines"),
        (&[], "counts no goroutines"),
    ] {
        refused(&kinds(other), words);
    }
    // More columns than values.
    let many = [&[&b"x"[..]; 3][..], &[b"goroutine"]].concat();
    check(&kinds(&many), &[], 1);
}

#[test]
fn a_profile_without_samples_has_no_goroutines_and_one_without_anything_is_none() {
    check(&profile().encode_to_vec(), &[], 0);
    refused(&[0x48, 0x05], "counts no goroutines");
    refused(&[], "an empty body");
}

#[test]
fn ids_may_be_sparse_huge_or_given_twice() {
    for id in [0, 3, 1000, 1 << 32, u64::MAX] {
        let bytes = with(|profile| {
            profile.function[0].id = id;
            profile.location[0].line[0].function_id = id;
            profile.location[0].id = id;
            profile.sample = vec![sample(&[id], &[1])];
        });
        check(&bytes, &["1 | main.a@/a.go:1"], 0);
    }
    // The last one of an id holds.
    let bytes = with(|profile| {
        profile.location[1].id = 1;
        profile.sample = vec![sample(&[1], &[1])];
    });
    check(&bytes, &["1 | runtime.gopark@:460"], 0);
}

#[test]
fn fields_may_come_in_any_order() {
    let mut whole = profile();
    whole.sample = vec![sample(&[2, 1], &[7])];
    let parts: Vec<Vec<u8>> = [
        Profile {
            string_table: whole.string_table.clone(),
            ..Profile::default()
        },
        Profile {
            sample: whole.sample.clone(),
            ..Profile::default()
        },
        Profile {
            function: whole.function.clone(),
            ..Profile::default()
        },
        Profile {
            location: whole.location.clone(),
            ..Profile::default()
        },
        Profile {
            sample_type: whole.sample_type.clone(),
            ..Profile::default()
        },
    ]
    .iter()
    .map(prost::Message::encode_to_vec)
    .collect();
    for first in 0..parts.len() {
        let bytes: Vec<u8> = (0..parts.len())
            .flat_map(|at| parts[(first + at) % parts.len()].clone())
            .collect();
        check(&bytes, &["7 | runtime.gopark@:460 < main.a@/a.go:1"], 0);
    }
}

#[test]
fn labels_are_any_bytes_and_those_that_refer_to_nothing_are_left_out() {
    let bytes = with(|profile| {
        profile.sample = vec![sample(&[1], &[1])];
        profile.sample[0].label = [(6, 7), (6, 99), (-1, 7)]
            .map(|(key, str)| Label {
                key,
                str,
                ..Label::default()
            })
            .to_vec();
    });
    check(
        &bytes,
        &["1 | main.a@/a.go:1 tenant=caf\u{fffd} \u{fffd}"],
        0,
    );
}

#[test]
fn a_field_that_lies_about_its_length_or_is_a_group_ends_the_profile() {
    let good = with(|profile| profile.sample = vec![sample(&[1], &[1])]);
    for (tail, name) in [
        (
            &[
                0x12, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01,
            ][..],
            "2^63 bytes",
        ),
        (
            &[
                0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
            ],
            "2^64 - 1 bytes",
        ),
        (&[0x12, 1], "one byte more than there is"),
        (&[0x13, 0x14], "a group"),
        (&[0x14], "the end of a group"),
        (&[0x17], "wire type 7"),
        (&[0x02, 0], "tag 0"),
        (&[0x12, 2, 0x08, 0x80], "a number cut short in a sample"),
        (&[0x12, 3, 0x0a, 1, 0x80], "a number cut short in a list"),
        (&[0x22, 2, 0x22, 5], "a line cut short"),
        (&[0x2a, 1, 0x08], "a function cut short"),
    ] {
        let (_, summary) = Recorder::read(&[&good[..], tail].concat());
        let Err(DecodeError::Damaged { offset, .. }) = summary else {
            panic!("{name}: {summary:?}");
        };
        let offset = usize::try_from(offset).unwrap();
        assert!(
            (good.len()..good.len() + tail.len()).contains(&offset),
            "{name} at {offset}"
        );
    }
    // Fields that nobody knows are passed over.
    let unknown = [
        0xfa, 0x3f, 2, 1, 2, 0xf8, 0x3f, 5, 0xf9, 0x3f, 1, 2, 3, 4, 5, 6, 7, 8, 0xfd, 0x3f, 1, 2,
        3, 4,
    ];
    check(&[&good[..], &unknown].concat(), &["1 | main.a@/a.go:1"], 0);
}

/// A location with many inlined calls, and samples that name it many times: a few kilobytes that would be
/// terabytes of stack.
#[test]
fn stacks_are_bounded_however_short_they_are_written() {
    let bytes = with(|profile| {
        profile.location[0].line = vec![profile.location[0].line[0]; 5_000];
        profile.sample = vec![sample(&vec![1; 100_000], &[1]), sample(&[2, 1, 1], &[1])];
    });
    let (recorder, summary) = Recorder::read(&bytes);
    assert_eq!((recorder.total, summary.unwrap().damage), (2, 0));
    for stack in &recorder.goroutines {
        assert_eq!(stack.matches(" < ").count(), MAX_FRAMES - 1);
        assert!(stack.ends_with(" ..."), "its root is cut");
    }
}

#[test]
fn tables_are_bounded_however_short_their_entries_are_written() {
    let decode = |bytes: &[u8]| decode(Wanted::Goroutines, bytes, &mut Recorder::default());
    let profile = with(|profile| profile.sample = vec![sample(&[1], &[1])]);
    for (entry, limit) in [
        (&[0x32, 0][..], MAX_STRINGS),
        (&[0x2a, 0], MAX_LOCATIONS),
        (&[0x22, 0], MAX_LOCATIONS),
    ] {
        let too_many = [&profile[..], &entry.repeat(limit + 1)].concat();
        assert!(
            matches!(
                decode(&too_many),
                Err(DecodeError::Damaged {
                    problem: TOO_MANY,
                    ..
                })
            ),
            "{entry:?}"
        );
    }
    let lines = Profile {
        location: vec![Location {
            line: vec![Line::default(); MAX_STRINGS],
            ..Location::default()
        }],
        ..Profile::default()
    };
    let too_many = [&profile[..], &lines.encode_to_vec()].concat();
    assert!(matches!(
        decode(&too_many),
        Err(DecodeError::Damaged {
            problem: TOO_MANY,
            ..
        })
    ));
}

#[test]
fn recorded_profiles_have_the_totals_that_prost_reads_in_them() {
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut compared = 0;
    for folder in std::fs::read_dir(data).unwrap() {
        let path = folder.unwrap().path().join("goroutine.debug0.pb.gz");
        let Ok(body) = std::fs::read(&path) else {
            continue;
        };
        let mut bytes = Vec::new();
        crate::decode::gzip::inflate(&body, 1 << 26, |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })
        .unwrap();
        let read = Profile::decode(bytes.as_slice()).unwrap();
        let total: i64 = read.sample.iter().map(|sample| sample.value[0]).sum();
        let mut recorder = Recorder::default();
        let limits = Limits {
            inflated_bytes: 1 << 26,
        };
        let summary = crate::decode::decode(&body, &limits, &mut recorder).unwrap();
        assert_eq!(
            (recorder.total, recorder.goroutines.len(), summary.damage),
            (total.try_into().unwrap(), read.sample.len(), 0),
            "{}",
            path.display()
        );
        compared += 1;
    }
    assert!(compared >= 14, "only {compared} compared");
}

/// Go keeps 32 calls up to 1.22 and 128 from 1.23 on: a stack of just so many may have been deeper.
#[test]
fn a_stack_as_deep_as_go_keeps_has_lost_its_root() {
    for (depth, root_cut) in [
        (31, false),
        (32, true),
        (33, false),
        (127, false),
        (128, true),
    ] {
        let bytes = with(|profile| profile.sample = vec![sample(&vec![1; depth], &[1])]);
        let (recorder, _) = Recorder::read(&bytes);
        assert_eq!(
            recorder.goroutines[0].ends_with(" ..."),
            root_cut,
            "{depth}"
        );
    }
}
