//! Which process wrote a profile.

use std::collections::BTreeMap;

use super::*;
use messages::Mapping;

/// The program's own mapping, as Go lists it first.
fn program() -> Mapping {
    mapping(0x40_0000, b"/app")
}

fn mapping(memory_start: u64, file: &'static [u8]) -> Mapping {
    let files: [&[u8]; 5] = [b"", b"/app", b"[vdso]", b"/lib/libc.so", b"build"];
    let at = files.iter().position(|known| *known == file).unwrap();
    Mapping {
        memory_start,
        memory_limit: memory_start + 0x1000,
        file_offset: 0,
        filename: i64::try_from(STRINGS.len() + at).unwrap(),
        ..Mapping::default()
    }
}

fn process(mappings: &[Mapping]) -> Option<u64> {
    let bytes = with(|profile| {
        let files: [&[u8]; 5] = [b"", b"/app", b"[vdso]", b"/lib/libc.so", b"build"];
        profile.string_table.extend(files.map(<[u8]>::to_vec));
        profile.mapping = mappings.to_vec();
        profile.sample = vec![sample(&[1], &[1])];
    });
    Recorder::read(&bytes).1.unwrap().process
}

#[test]
fn the_program_and_the_kernels_address_tell_one_process_from_another() {
    let vdso = |start| mapping(start, b"[vdso]");
    let first = process(&[program(), vdso(0x7fff_0000)]);
    assert!(first.is_some());
    assert_eq!(process(&[program(), vdso(0x7fff_0000)]), first);
    let mut others = vec![
        vec![program(), vdso(0x7ffe_0000)],
        vec![program()],
        vec![mapping(0x50_0000, b"/app"), vdso(0x7fff_0000)],
        vec![mapping(0x40_0000, b"/lib/libc.so"), vdso(0x7fff_0000)],
    ];
    for change in [
        |mapping: &mut Mapping| mapping.memory_limit += 1,
        |mapping: &mut Mapping| mapping.file_offset += 1,
        |mapping: &mut Mapping| mapping.build_id = i64::try_from(STRINGS.len() + 4).unwrap(),
    ] {
        let mut changed = program();
        change(&mut changed);
        others.push(vec![changed, vdso(0x7fff_0000)]);
    }
    for other in others {
        assert!(process(&other).is_some());
        assert_ne!(process(&other), first, "{other:?}");
    }
}

#[test]
fn libraries_come_and_go_in_the_life_of_a_process() {
    let vdso = mapping(0x7fff_0000, b"[vdso]");
    let alone = process(&[program(), vdso]);
    for address in [0x7f00_0000, 0x7f10_0000] {
        let library = mapping(address, b"/lib/libc.so");
        assert_eq!(process(&[program(), library, vdso]), alone);
        assert_eq!(process(&[program(), library, library, vdso]), alone);
    }
    // What Go learnt of the symbols, and the numbers of mappings, change while libraries are loaded.
    let told = Mapping {
        id: 7,
        has_functions: true,
        ..program()
    };
    assert_eq!(process(&[told, vdso]), alone);
}

#[test]
fn a_profile_that_does_not_say_is_of_no_known_process() {
    assert_eq!(process(&[]), None);
    // What Go writes where it cannot read the mappings.
    let nothing = Mapping {
        id: 1,
        has_functions: true,
        ..Mapping::default()
    };
    assert_eq!(process(&[nothing]), None);
    let (_, summary) = Recorder::read(b"goroutine 1 [select]:\nmain.a()\n\t/a.go:1 +0x1\n");
    assert_eq!(summary.unwrap().process, None);
    // References to nothing are no reason to fail.
    for filename in [-1, 99, i64::MIN] {
        let odd = Mapping {
            filename,
            ..program()
        };
        assert!(process(&[odd]).is_some());
    }
}

#[test]
fn recorded_processes_all_differ_and_their_profiles_agree() {
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut seen: BTreeMap<u64, String> = BTreeMap::new();
    let mut profiles = 0;
    for folder in std::fs::read_dir(data).unwrap() {
        let folder = folder.unwrap().path();
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        for (wanted, file) in [
            (Wanted::Goroutines, "goroutine.debug0.pb.gz"),
            (Wanted::Goroutines, "goroutineleak.debug0.pb.gz"),
            (Wanted::Contention, "block.pb.gz"),
            (Wanted::Contention, "mutex.pb.gz"),
            (Wanted::Threads, "threadcreate.pb.gz"),
        ] {
            let Ok(body) = std::fs::read(folder.join(file)) else {
                continue;
            };
            let limits = Limits {
                inflated_bytes: 1 << 26,
            };
            let mut recorder = Recorder::default();
            let summary = crate::decode::decode_as(wanted, &body, &limits, &mut recorder).unwrap();
            let known = seen
                .entry(summary.process.unwrap())
                .or_insert_with(|| name.clone());
            assert_eq!(*known, name, "two processes of one number");
            profiles += 1;
        }
    }
    let processes = seen
        .values()
        .collect::<std::collections::BTreeSet<_>>()
        .len();
    assert_eq!(processes, seen.len(), "a process of two numbers: {seen:?}");
    assert!(processes >= 14 && profiles > processes, "{seen:?}");
}

#[test]
fn no_more_mappings_are_looked_at_than_a_process_may_have() {
    let vdso = mapping(0x7fff_0000, b"[vdso]");
    let library = mapping(0x60_0000, b"/lib/libc.so");
    let of = |libraries: usize| {
        let mut mappings = vec![library; libraries];
        mappings.insert(0, program());
        mappings.push(vdso);
        process(&mappings)
    };
    let found = process(&[program(), vdso]);
    assert_eq!(of(65_534), found);
    assert_eq!(of(65_535), process(&[program()]));
}
