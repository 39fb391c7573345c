use crate::decode::recorder::Recorder;
use crate::decode::{DecodeError, Decoder, Limits};

fn check(dump: &str, expected: &[&str], damage: u64) {
    for dump in [dump.to_owned(), dump.replace('\n', "\r\n")] {
        let (recorder, summary) = Recorder::read(dump.as_bytes());
        let summary = summary.unwrap();
        assert_eq!(recorder.goroutines, expected, "{dump:?}");
        assert_eq!(
            (summary.damage, summary.truncated),
            (damage, false),
            "{dump:?}"
        );
    }
}

#[test]
fn one_goroutine_of_each_form() {
    check(
        "goroutine 42 [chan receive, 7 minutes, locked to thread]:\nmain.worker(0xc00, {0x1, 0x2?}, ...)\n\t/svc/main.go:19 +0x1d\nmain.(*T).run(...)\n\t/svc/run me.go:7\ncreated by main.start in goroutine 1\n\t/svc/main.go:7 +0x5c\n",
        &[
            "1 [chan receive] 7m | main.worker@/svc/main.go:19 < main.(*T).run@/svc/run me.go:7 | main.start@/svc/main.go:7",
        ],
        0,
    );
    check(
        "goroutine 1 [select (no cases) (leaked)]:\nmain.main()\n\t/svc/main.go:5 +0x1\n",
        &["1 [select (no cases)] leaked | main.main@/svc/main.go:5"],
        0,
    );
    check(
        "goroutine 9 [runnable]:\nmain.start.gowrap2()\n\t/svc/main.go:5\nruntime.goexit({})\n\t/go/asm.s:1 +0x1\ncreated by main.start in goroutine 1\n\t/svc/main.go:5 +0x2\n",
        &[
            "1 [runnable] not started | main.start.gowrap2@/svc/main.go:5 | main.start@/svc/main.go:5",
        ],
        0,
    );
    check(
        "goroutine 9 [runnable]:\nmain.busy()\n\t/svc/main.go:5 +0x9\n",
        &["1 [runnable] | main.busy@/svc/main.go:5"],
        0,
    );
    check(
        "goroutine 7 [running]:\n\tgoroutine running on other thread; stack unavailable\ncreated by main.start in goroutine 1\n\t/svc/main.go:7 +0x5c\n",
        &["1 [running] |  | main.start@/svc/main.go:7"],
        0,
    );
    check(
        "goroutine 8 [chan receive]:\nmain.a()\n\t/a.go:1 +0x1\n...53 frames elided...\nmain.z()\n\t/a.go:9 +0x1\ncreated by time.goFunc\n\t/go/time.go:1 +0x1\n",
        &["1 [chan receive] | main.a@/a.go:1 < main.z@/a.go:9 | time.goFunc@/go/time.go:1"],
        0,
    );
    check(
        "goroutine 8 [chan receive]:\nmain.a()\n\t/a.go:1 +0x1\n...additional frames elided...\ncreated by main.b\n\t/a.go:1 +0x1\n",
        &["1 [chan receive] | main.a@/a.go:1 ... | main.b@/a.go:1"],
        0,
    );
    check(
        "goroutine 8 [select]:\nmain.a()\n\t/a.go:1 +0x1\ncreated by main.b in goroutine 5\n\t/a.go:2 +0x1\n[originating from goroutine 5]:\nmain.b()\n\t/a.go:2 +0x1\ncreated by main.c\n\t/a.go:3 +0x1\n",
        &["1 [select] | main.a@/a.go:1 | main.b@/a.go:2"],
        0,
    );
    check(
        "goroutine 8 [syscall]:\nx_cgo_wait\n\tgcc.c:12 pc=0x40\nnon-Go function\n\tpc=0x41\nnon-Go function at pc=42\nmain._Cfunc_wait()\n\t_cgo.go:1 +0x1\n",
        &["1 [syscall] | x_cgo_wait@gcc.c:12 < non-Go function@:0 < main._Cfunc_wait@_cgo.go:1"],
        0,
    );
    check(
        "goroutine 8 [select] {tenant: a, \"odd \\\"key\": \"]: \\u00e9\"}:\nmain.a()\n\t/a.go:1 +0x1\n",
        &["1 [select] | main.a@/a.go:1 tenant=a odd \"key=]: é"],
        0,
    );
}

/// What of an ancestor's stack was left out is not missing in the goroutine's own.
#[test]
fn ancestors_change_nothing() {
    check(
        "goroutine 8 [select]:\nmain.a()\n\t/a.go:1 +0x1\ncreated by main.b in goroutine 5\n\t/a.go:2 +0x1\n[originating from goroutine 5]:\nmain.b()\n\t/a.go:2 +0x1\n...additional frames elided...\ncreated by main.c\n\t/a.go:3 +0x1\n",
        &["1 [select] | main.a@/a.go:1 | main.b@/a.go:2"],
        0,
    );
}

/// Blocks put together at random from such lines, most of them more than once: each reads as it does alone.
#[test]
fn what_was_read_before_changes_nothing() {
    const LINES: [&str; 24] = [
        "main.a(0x1)\n\t/a.go:1 +0x1\n",
        "main.a(0x22, {0x3, 0x4?}, ...)\n\t/a.go:1 +0x1\n",
        "main.a(0x1)\n\t/a.go:1\n",
        "main.a()\r\n\t/a.go:1 +0x1\r\n",
        "main.b(0x1)\n\t/a.go:2 +0x1f fp=0xc00 sp=0xc00 pc=0x4\n",
        "main.b(0xc000123456, 0xc000123456, 0xc000123456, 0xc000123456)\n\t/a b.go:2 +0x1\n",
        "main.(*T).f(0x1)(0x2)\n\t/a.go:3 +0x1\n",
        "main.g(\n\t/a.go:4 +0x1\n",
        "main.g(*)\n\t/a.go:4 +0x1\n",
        "cfunction\n\t?:0\n",
        "cfunction\n\tpc=0x1\n",
        "runtime.goexit({})\n\t/asm.s:1 +0x1\n",
        "goroutine 5 gp=x(0x1)\n\t/a.go:5 +0x1\n",
        "goroutine 5 gp=x( [)\n\t/a.go:5 +0x1\n",
        "main.unplaced(0x1)\n\t/a.go\n",
        "main.torn(0x1)\n",
        "...additional frames elided...\n",
        "...5 frames elided...\n",
        "\tgoroutine running on other thread; stack unavailable\n",
        "created by main.s in goroutine 1\n\t/s.go:7 +0x5\n",
        "created by main.s in goroutine 20\n\t/s.go:7 +0x5\n",
        "created by main.s\n\t/s.go:7 +0x5\n",
        "[originating from goroutine 5]:\n",
        "exit status 2\n",
    ];
    let mut state = 42_u32;
    let mut random = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        usize::try_from(state >> 8).unwrap() % below
    };
    let read = |dump: &str| {
        let (recorder, summary) = Recorder::read(dump.as_bytes());
        let summary = summary.unwrap();
        assert!(!summary.truncated);
        (recorder.goroutines, summary.damage)
    };
    let (mut together, mut repeated) = (0, 0);
    for _ in 0..300 {
        let pool: Vec<String> = (0..6)
            .map(|_| {
                (0..=random(5))
                    .map(|_| LINES[random(LINES.len())])
                    .collect()
            })
            .collect();
        let (mut dump, mut goroutines, mut damage) = (String::new(), Vec::new(), 0);
        for number in 0..40 {
            let block = format!("goroutine {} [select]:\n{}", 100 + number, pool[random(6)]);
            let end = ["\n", "\n", "\r\n", ""][random(4)];
            let alone = read(&format!("{block}\n"));
            goroutines.extend(alone.0);
            damage += alone.1;
            dump += &block;
            dump += end;
            repeated += usize::from(number > 5);
        }
        dump.push('\n');
        assert_eq!(read(&dump), (goroutines, damage), "{dump}");
        together += 1;
    }
    assert_eq!((together, repeated), (300, 10_200));
}

/// A line can be a call with some arguments, and the header of a goroutine with others.
#[test]
fn a_header_that_looks_like_a_known_call_is_none() {
    let block = |id: u32, arguments: &str| {
        format!(
            "goroutine {id} [select]:\nmain.a(0x1)\n\t/a.go:1 +0x1\ngoroutine 5 gp=x({arguments})\n\t/a.go:5 +0x1\n\n"
        )
    };
    check(
        &[block(1, "0x1"), block(2, " [")].concat(),
        &[
            "1 [select] | main.a@/a.go:1 < goroutine 5 gp=x@/a.go:5",
            "1 [select] | main.a@/a.go:1",
        ],
        1,
    );
}

#[test]
fn what_surrounds_a_dump_is_passed_over() {
    check(
        "2026/11/22 22:00:01 starting\npanic: runtime error: index out of range\n\tgoroutine 3 [text]\n\ngoroutine 1 [running]:\npanic({0x1?, 0x2})\n\t/go/panic.go:1 +0x1\nmain.main()\n\t/a.go:1 +0x1\nexit status 2\n",
        &["1 [running] | panic@/go/panic.go:1 < main.main@/a.go:1"],
        0,
    );
    check(
        "SIGQUIT: quit\nPC=0x4 m=0 sigcode=0\n\ngoroutine 5 gp=0xc0 m=0 mp=0xb [syscall]:\nsyscall.Syscall6(0xf7)\n\t/go/s.go:1 +0x39 fp=0x3 sp=0x3 pc=0x4\nruntime.goexit({})\n\t/go/asm.s:1 +0x1 fp=0x3 sp=0x3 pc=0x4\n\nrax    0xca\nrbx    0x0\n-----\n\ngoroutine 0 [idle]:\nruntime.futex()\n\t/go/f.s:1 +0x1\nrax    0xca\n",
        &[
            "1 [syscall] | syscall.Syscall6@/go/s.go:1",
            "1 [idle] | runtime.futex@/go/f.s:1",
        ],
        0,
    );
}

#[test]
fn a_goroutine_printed_twice_counts_once_but_each_thread_has_a_goroutine_0() {
    let block = |id: u32| format!("goroutine {id} [select]:\nmain.a()\n\t/a.go:1 +0x1\n\n");
    let (recorder, _) = Recorder::read(
        [block(7), block(0), block(7), block(0), block(8)]
            .concat()
            .as_bytes(),
    );
    assert_eq!(recorder.total, 4);
}

/// Every sequence of up to five of these pieces: a whole block counts, a damaged one costs itself and is counted, and
/// neither touches its neighbours.
#[test]
fn damage_costs_its_own_block_only() {
    /// Text, goroutines, damage.
    const PIECES: [(&str, u64, u64); 8] = [
        (
            "goroutine N [select]:\nmain.a(0x1)\n\t/a.go:1 +0x1\ncreated by main.b in goroutine 1\n\t/a.go:2 +0x1\n\n",
            1,
            0,
        ),
        ("goroutine N [select]:\nmain.a(0x1)\n\t/a.go:1 +0x1\n", 1, 0),
        ("goroutine N [select]:\nmain.a(0x1)\n\n", 0, 1),
        (
            "goroutine N [select]:\nmain.a(0x1)\nmain.b()\n\t/b.go:1 +0x1\n\n",
            0,
            1,
        ),
        ("goroutine N [select]:\n\t/a.go:1 +0x1\n\n", 0, 1),
        ("goroutine N [sel\n\n", 0, 1),
        ("goroutine N [select]:\nmain.a(0x1)\n\t/a.go\n\n", 0, 1),
        ("some other line\n\n", 0, 0),
    ];
    let mut tried = 0;
    for length in 1..=4_u32 {
        for number in 0..PIECES.len().pow(length) {
            let (mut dump, mut total, mut damage) = (String::new(), 0, 0);
            for place in 0..length {
                let (text, goroutines, broken) =
                    PIECES[number / PIECES.len().pow(place) % PIECES.len()];
                dump += &text.replace('N', &(place + 1).to_string());
                total += goroutines;
                damage += broken;
            }
            let (recorder, summary) = Recorder::read(dump.as_bytes());
            match summary {
                Ok(summary) => {
                    assert_eq!((recorder.total, summary.damage), (total, damage), "{dump}");
                }
                Err(error) => {
                    assert_eq!(
                        error,
                        DecodeError::NotPprof {
                            found: "text without the header of a goroutine"
                        }
                    );
                    assert_eq!((total, damage), (0, 0), "{dump}");
                }
            }
            tried += 1;
        }
    }
    assert_eq!(tried, 8 + 64 + 512 + 4096);
}

#[test]
fn exactly_64_mib_is_gos_cut() {
    let block = |id: usize| format!("goroutine {id} [select]:\nmain.a()\n\t/a.go:1 +0x1\n\n");
    let mut dump: Vec<u8> = (1..2000).flat_map(|id| block(id).into_bytes()).collect();
    let (_, summary) = Recorder::read(&dump);
    assert!(!summary.unwrap().truncated);
    for mid_line in [1, 5, 20, 40] {
        let (recorder, summary) = Recorder::read(&dump[..dump.len() - 1 - mid_line]);
        assert!(
            summary.unwrap().truncated,
            "cut {mid_line} bytes before the end"
        );
        assert_eq!(recorder.total, 1998);
    }
    let filler = b"a line of something else\n".repeat(2_700_000);
    dump.extend_from_slice(&filler[..(64 << 20) - dump.len() - 1]);
    dump.push(b'\n');
    let mut recorder = Recorder::default();
    let mut decoder = Decoder::new(&Limits { inflated_bytes: 0 });
    decoder.push(&dump, &mut recorder).unwrap();
    assert!(decoder.finish(&mut recorder).unwrap().truncated);
    assert_eq!(recorder.total, 1999);
}

#[test]
fn a_dump_without_blank_lines_is_read_in_bounded_memory() {
    let dump: String = (1..40_000)
        .map(|id| format!("goroutine {id} [select]:\nmain.a()\n\t/a.go:1 +0x1\n"))
        .collect();
    let (recorder, summary) = Recorder::read(dump.as_bytes());
    let summary = summary.unwrap();
    assert_eq!(
        (recorder.total, summary.damage, summary.truncated),
        (39_999, 0, false)
    );
    for size in [1000, 99_999, 1 << 20] {
        let mut recorder = Recorder::default();
        let mut decoder = Decoder::new(&Limits { inflated_bytes: 0 });
        for piece in dump.as_bytes().chunks(size) {
            decoder.push(piece, &mut recorder).unwrap();
        }
        assert_eq!(decoder.finish(&mut recorder), Ok(summary));
        assert_eq!(recorder.total, 39_999, "pieces of {size}");
    }
}

/// A search for the line end that a text has none of must not reach to the end of the text for each goroutine: this
/// took minutes.
#[test]
fn line_ends_of_windows_cost_no_more_than_others() {
    let dump: String = (1..150_000)
        .map(|id| format!("goroutine {id} [select]:\r\nmain.a()\r\n\t/a.go:1 +0x1\r\n\r\n"))
        .collect();
    let (recorder, _) = Recorder::read(dump.as_bytes());
    assert_eq!(recorder.total, 149_999);
}

#[test]
fn a_goroutine_that_something_else_follows_is_whole_wherever_the_text_ends() {
    let read = |text: &str| {
        let (recorder, summary) = Recorder::read(text.as_bytes());
        let summary = summary.unwrap();
        (recorder.total, summary.damage, summary.truncated)
    };
    let block = "goroutine 1 [select]:\nmain.a()\n\t/a.go:1 +0x1\n";
    let with = |tail: &str| read(&format!("{block}{tail}"));
    assert_eq!(with(""), (1, 0, false));
    assert_eq!(
        with("exit status 2\nsystemd: started\nsystemd: re"),
        (1, 0, false)
    );
    // One line alone may be the start of a call.
    assert_eq!(with("main.ma"), (0, 0, true));
    assert_eq!(with("main.main()\n\t/a.g"), (0, 0, true));
    assert_eq!(with("goroutine 2 [sel"), (1, 0, true));
    // A log that goes on for megabytes.
    let log = "systemd: started\n".repeat(200_000);
    assert_eq!(with(&log), (1, 0, false));
}

#[test]
fn blocks_that_differ_in_more_than_arguments_are_not_taken_for_each_other() {
    let block = |id: u64, call: &str, creator: &str| {
        format!(
            "goroutine {id} [select]:\n{call}\n\t/a.go:1 +0x1\ncreated by {creator}\n\t/a.go:2 +0x1\n"
        )
    };
    let blocks = [
        block(1, "main.a(0x1)", "main.f in goroutine 1"),
        block(2, "main.a(0x2, {0x3})", "main.f in goroutine 20"),
        // Without an end of its arguments it is no call of Go's.
        block(3, "main.a(", "main.f in goroutine 1"),
        // A creator has no arguments: what looks so is its name.
        block(4, "main.a(0x1)", "main.f(0x1)"),
        block(5, "main.a(0x1)", "main.f(0x2)"),
        block(6, "main.a(0x1)", "main.f in goroutine x"),
        block(7, "main.a(0x1)(0x2)", "main.f in goroutine 1"),
        block(8, "main.a(0x1)", "main.f in goroutine 300"),
    ];
    let read = [
        "1 [select] | main.a@/a.go:1 | main.f@/a.go:2",
        "1 [select] | main.a@/a.go:1 | main.f@/a.go:2",
        "1 [select] | main.a(@/a.go:1 | main.f@/a.go:2",
        "1 [select] | main.a@/a.go:1 | main.f(0x1)@/a.go:2",
        "1 [select] | main.a@/a.go:1 | main.f(0x2)@/a.go:2",
        "1 [select] | main.a@/a.go:1 | main.f in goroutine x@/a.go:2",
        "1 [select] | main.a(0x1)@/a.go:1 | main.f@/a.go:2",
        "1 [select] | main.a@/a.go:1 | main.f@/a.go:2",
    ];
    // Apart, and without blank lines between them.
    check(&blocks.join("\n"), &read, 0);
    check(&blocks.concat(), &read, 0);
}
