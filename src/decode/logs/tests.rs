use super::{Choice, Outcome, Reader};
use crate::decode::recorder::Recorder;
use crate::decode::{DecodeError, Limits};

const LIMITS: Limits = Limits {
    inflated_bytes: 1 << 20,
};

fn read_in(text: &[u8], size: usize, choice: Choice) -> Result<Outcome<Recorder>, DecodeError> {
    let mut reader = Reader::new(&LIMITS, choice, Recorder::default);
    for piece in text.chunks(size) {
        reader.push(piece)?;
    }
    reader.finish()
}

#[track_caller]
fn read(text: &str) -> Outcome<Recorder> {
    let whole = read_in(text.as_bytes(), usize::MAX, Choice::Best).unwrap();
    for size in [1, 7] {
        let pieces = read_in(text.as_bytes(), size, Choice::Best).unwrap();
        assert_eq!(pieces.sink.goroutines, whole.sink.goroutines);
        assert_eq!(
            (pieces.summary, &pieces.report),
            (whole.summary, &whole.report)
        );
    }
    whole
}

const TWO: [&str; 7] = [
    "goroutine 7 [select]:",
    "main.a(0x1)",
    "\t/svc/a.go:1 +0x1",
    "",
    "goroutine 8 [chan receive, 5 minutes]:",
    "main.b()",
    "\t/svc/b.go:2 +0x1",
];
const READ: [&str; 2] = [
    "1 [select] | main.a@/svc/a.go:1",
    "1 [chan receive] 5m | main.b@/svc/b.go:2",
];

/// Expects the two goroutines, so many lines skipped and records damaged.
#[track_caller]
fn check(text: &str, skipped: u64, damage: u64) -> Outcome<Recorder> {
    let found = read(text);
    assert_eq!(found.sink.goroutines, READ, "{text}");
    let report = &found.report;
    assert_eq!(
        (report.skipped, found.summary.damage, report.damaged),
        (skipped, damage, damage),
        "{report}: {text}"
    );
    found
}

/// The lines each wrapped by `wrap`, and joined.
fn each(lines: &[&str], wrap: impl Fn(usize, &str) -> String) -> String {
    let lines: Vec<String> = lines
        .iter()
        .enumerate()
        .map(|(number, line)| wrap(number, line) + "\n")
        .collect();
    lines.concat()
}

#[test]
fn a_plain_dump_says_nothing() {
    let found = check(&(TWO.join("\n") + "\n"), 0, 0);
    assert!(!found.report.says_something() && found.report.dumps == 1);
    assert_eq!(found.report.to_string(), "");
}

#[test]
fn prefixes_are_learnt_whoever_writes_them() {
    let check = |name: &str, prefix: &dyn Fn(usize) -> String| {
        let text = each(&TWO, |number, line| prefix(number) + line);
        let found = check(&text, 0, 0);
        assert_eq!(found.report.wrappers, [name], "{text}");
    };
    check("kubectl --prefix", &|_| {
        "[pod/web-7d9f8-x2x1z/app] ".to_owned()
    });
    check("docker compose", &|_| "web-1  | ".to_owned());
    check("journald", &|n| {
        format!("Nov 25 01:02:{:02} host1 svc[1234]: ", n + 3)
    });
    check("klog", &|n| {
        format!("I1125 01:02:03.{n:06}   12345 file.go:{}] ", 123 + n)
    });
    check("quote marks", &|_| "> ".to_owned());
    check("quote marks", &|_| "> > ".to_owned());
    check("indentation", &|_| "    ".to_owned());
    check("indentation", &|_| "\t".to_owned());
    check("prefix \"web-7d9f8-x2x1z app\"", &|_| {
        "web-7d9f8-x2x1z app ".to_owned()
    });
    check("prefix \"2026-11-25T01:02:03.1Z\"", &|n| {
        format!("2026-11-25T01:02:03.{}Z ", n * n * n + 1)
    });
    check("prefix \"~~ anything ~~\"", &|_| {
        "~~ anything ~~ ".to_owned()
    });
    check("syslog", &|_| {
        "<11>1 2026-11-25T01:02:03Z host svc 12 - - svc: ".to_owned()
    });
}

#[test]
fn of_a_prefix_of_two_the_lines_below_may_have_only_the_first() {
    // klog writes its own before the first line of several; the collector before each.
    let text = each(&TWO, |number, line| {
        let klog = "I1125 01:02:03.000004   12345 file.go:123] ";
        format!("[pod/a/b] {}{line}", if number == 0 { klog } else { "" })
    });
    check(&text, 0, 0);
    let text = each(&TWO, |number, line| {
        format!(
            "{}{line}",
            if number == 0 {
                "2026/11/25 01:02:03 "
            } else {
                ""
            }
        )
    });
    check(&text, 0, 0);
}

#[test]
fn lines_within_json_and_fields() {
    let json = |line: &str| serde_json::to_string(line).unwrap();
    let check = |name: &str, wrap: &dyn Fn(&str) -> String| {
        let text = each(&TWO, |_, line| wrap(line));
        let found = check(&text, 0, 0);
        assert_eq!(found.report.wrappers.first().unwrap(), name, "{text}");
    };
    check("docker JSON", &|line| {
        let log = json(&(line.to_owned() + "\n"));
        format!("{{\"log\":{log},\"stream\":\"stderr\",\"time\":\"2026-11-25T01:02:03Z\"}}")
    });
    check("CRI", &|line| {
        format!("2026-11-25T01:02:03.123456789Z stderr F {line}")
    });
    check("CRI", &|line| {
        let (start, end) = line.split_at(line.len() / 2);
        let time = "2026-11-25T01:02:03.123456789+01:00 stdout";
        format!("{time} P {start}\n{time} F {end}")
    });
    check("journald JSON", &|line| {
        format!("{{\"_PID\":\"1\",\"MESSAGE\":{},\"X\":\"y\"}}", json(line))
    });
    check("journald JSON", &|line| {
        format!("{{\"MESSAGE\" : {:?}, \"X\":\"y\"}}", line.as_bytes())
    });
    check("field text", &|line| {
        format!("{{\"level\":\"info\",\"text\": {}}}", json(line))
    });
    check("field msg", &|line| {
        format!("time=2026-11-25T01:02:03Z level=INFO msg={}", json(line))
    });
    // As slog does, which quotes only what needs it.
    check("field msg", &|line| {
        let plain = !line.is_empty() && !line.contains([' ', '\t', '"', '=']);
        let value = if plain { line.to_owned() } else { json(line) };
        format!("time=2026-11-25T01:02:03Z level=INFO msg={value} n=1")
    });
    check("docker JSON", &|line| {
        let klog = format!("I1125 01:02:03.000004   12345 file.go:123] {line}\n");
        format!("{{\"log\":{},\"stream\":\"stderr\"}}", json(&klog))
    });
    check("field text", &|line| {
        format!("\u{1b}[36mINFO\u{1b}[0m {{\"text\":{}}}", json(line))
    });
}

#[test]
fn a_dump_within_one_string() {
    let dump = format!("boom\n{}\n", TWO.join("\n"));
    let value = serde_json::to_string(&dump).unwrap();
    let check = |text: &str| {
        check(&format!("{text}\n"), 1, 0);
    };
    check(&format!(
        "{{\"level\":\"error\",\"stack\":{value},\"n\":1}}"
    ));
    check(&format!(
        "{{\"level\":\"error\",\"error\":{{\"stack\":{value}}}}}"
    ));
    check(&format!(
        "time=\"2026-11-25T01:02:03Z\" level=error msg={value} n=1"
    ));
    check(&format!(
        "2026-11-25T01:02:03Z\tERROR\tx/main.go:12\tfailed\t{{\"stack\": {value}}}"
    ));
    let docker =
        serde_json::to_string(&format!("{{\"level\":\"error\",\"stack\":{value}}}\n")).unwrap();
    check(&format!("{{\"log\":{docker},\"stream\":\"stderr\"}}"));
    let (start, end) = docker.split_at(docker.len() / 2);
    if !start.ends_with('\\') {
        check(&format!(
            "{{\"log\":{start}\",\"stream\":\"stderr\"}}\n{{\"log\":\"{end},\"stream\":\"stderr\"}}"
        ));
    }
}

#[test]
fn what_pasting_does_to_space() {
    check(
        &TWO.join("\r\n\r\n")
            .replace("\r\n\r\n", "\r\n")
            .replace("goroutine 8", "\r\ngoroutine 8")
            .replace("+0x1", "+0x1\r\n")
            .replace("\r\n\r\n\r\n", "\r\n\r\n"),
        0,
        0,
    );
    check(&(TWO.join("  \n") + "\n"), 0, 0);
    check(&(TWO.join("\n").replace('\t', "        ") + "\n"), 0, 0);
    check(&(TWO.join("\n").replace('\t', "") + "\n"), 0, 0);
    check(&(TWO.join("\n").replace('\t', "#011") + "\n"), 0, 0);
    check(
        &format!("It hangs:\n```\n{}\n```\nAny idea?\n", TWO.join("\n")),
        2,
        0,
    );
    check(&(TWO.join("\n").replace("\n\n", "\n") + "\n"), 0, 0);
    let text = TWO.join("\r\n") + "\r\n";
    let bytes: Vec<u8> = "\u{feff}"
        .encode_utf16()
        .chain(text.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(
        read_in(&bytes, 5, Choice::Best).unwrap().sink.goroutines,
        READ
    );
    let zipped = crate::decode::tests::gzip(text.as_bytes());
    assert_eq!(
        read_in(&zipped, 5, Choice::Best).unwrap().sink.goroutines,
        READ
    );
}

#[test]
fn other_lines_between_are_skipped_and_counted() {
    let with = |others: &[&str]| -> String {
        let mut text = String::new();
        for line in TWO {
            for other in others {
                text += &format!("{other}\n");
            }
            text += &format!("{line}\n");
        }
        text
    };
    let found = check(
        &with(&["2026/11/25 01:02:03 GET /x (200)", "a=b f(bar)"]),
        14,
        0,
    );
    assert_eq!(
        found.report.examples,
        ["2026/11/25 01:02:03 GET /x (200)", "a=b f(bar)"]
    );
    let prefixed = each(
        &with(&["hello there"]).lines().collect::<Vec<_>>(),
        |_, line| format!("web-1  | {line}"),
    );
    check(&prefixed, 7, 0);
    // Lines of another process have another name before them.
    let other = prefixed.replace("web-1  | hello there", "web-2  | main.c()");
    check(&other, 7, 0);
}

#[test]
fn what_cannot_be_told_is_damage() {
    let check = |text: &str, goroutines: &[&str], damage: u64| {
        let found = read(text);
        assert_eq!(found.sink.goroutines, goroutines, "{text}");
        assert_eq!(found.summary.damage, damage, "{text}");
    };
    let second = "goroutine 8 [chan receive, 5 minutes]:\nmain.b()\n\t/svc/b.go:2 +0x1\n";
    let expected = &READ[1..];
    // Between a call and its place another call, or a word.
    for other in ["main.x()", "word"] {
        let text =
            format!("goroutine 7 [select]:\nmain.a(0x1)\n{other}\n\t/svc/a.go:1 +0x1\n\n{second}");
        check(&text, expected, 1);
    }
    // A call without place, a place without call, a call torn in two by another line.
    for lines in [
        "main.a(0x1)",
        "\t/svc/a.go:1 +0x1",
        "main.a(0x2026/11/25 x\n1)\n\t/svc/a.go:1 +0x1",
    ] {
        check(
            &format!("goroutine 7 [select]:\n{lines}\n\n{second}"),
            expected,
            1,
        );
    }
    // Lines that are not understood in place of all calls.
    let unknown = format!("goroutine 7 [select]:\n%% main.a(0x1)\n%% /svc/a.go:1 +0x1\n\n{second}");
    check(&unknown, expected, 1);
    let counted = "goroutine profile: total 3\n3 @ 0x1 0x2\n%% main.a\n\n";
    check(counted, &[], 1);
    // A start in mid-goroutine, plain and wrapped.
    let start = format!("main.z()\n\t/svc/z.go:1 +0x1\nmain.y()\n\t/svc/y.go:1 +0x1\n\n{second}");
    check(&start, expected, 1);
    assert!(read(&start).summary.truncated);
    check(
        &each(&start.lines().collect::<Vec<_>>(), |_, line| {
            format!("web-1 | {line}")
        }),
        expected,
        1,
    );
    // Stacks of errors and of other languages are no goroutines.
    let others = "main.f\n\t/a.go:1\nException\n\tat com.example.Main(Main.java:12)\n  File \"a.py\", line 3\n\n";
    check(&format!("{others}{second}"), expected, 0);
    let throw =
        "fatal error: x\n\nruntime stack:\nruntime.throw({0x1, 0x2})\n\t/go/panic.go:1 +0x1\n\n";
    check(&format!("{throw}{second}"), expected, 0);
}

#[test]
fn several_dumps_are_told_apart_and_one_is_read() {
    let running = |id: u32, place: u32| {
        format!("goroutine {id} [running]:\nmain.w()\n\t/svc/w.go:{place} +0x1\n\n")
    };
    let block = |id: u32, place: u32| {
        format!("goroutine {id} [select]:\nmain.a()\n\t/svc/a.go:{place} +0x1\n\n")
    };
    let dump = |first: u32, place: u32, rest: &[u32]| {
        running(first, place) + &rest.iter().map(|id| block(*id, place)).collect::<String>()
    };
    let check = |text: &str, dumps: u32, number: u32, total: u64| {
        let found = read(text);
        let report = &found.report;
        assert_eq!(
            (report.dumps, report.read, found.sink.total),
            (dumps, Some(number), total),
            "{text}"
        );
        let all = read_in(text.as_bytes(), usize::MAX, Choice::All).unwrap();
        let each: u64 = (1..=dumps)
            .map(|number| {
                read_in(text.as_bytes(), usize::MAX, Choice::Number(number))
                    .unwrap()
                    .sink
                    .total
            })
            .sum();
        assert_eq!((all.sink.total, all.report.read), (each, None));
        assert!(read_in(text.as_bytes(), usize::MAX, Choice::Number(dumps + 1)).is_err());
    };
    let one = dump(90, 1, &[1, 2, 18]);
    check(&one, 1, 1, 4);
    check(&(one.clone() + &dump(95, 2, &[1, 2, 18, 19])), 2, 2, 5);
    // Single stacks of panics go behind a dump, wherever they stand.
    check(&(running(5, 1) + &one + &running(6, 1)), 3, 2, 4);
    check(&(running(5, 1) + &running(6, 1)), 2, 2, 1);
    // A cut dump goes behind a whole one.
    check(
        &(one.clone() + one.strip_suffix(".go:1 +0x1\n\n").unwrap()),
        2,
        1,
        4,
    );
    // Signals, other processes, profiles with counts.
    let signal = format!(
        "SIGQUIT: quit\nPC=0x1 m=0\n\n{}",
        [1, 2, 3].map(|id| block(id, 1)).concat()
    );
    check(&(signal.clone() + &signal), 2, 2, 3);
    let other = format!(
        "SIGQUIT: quit\nPC=0x1 m=0\n\n{}",
        [11, 12].map(|id| block(id, 1)).concat()
    );
    check(&(signal.clone() + &other), 2, 2, 2);
    let counted = "goroutine profile: total 3\n3 @ 0x1 0x2\n#\t0x1\tmain.a+0x1\t/a.go:1\n\n";
    check(&format!("x\n{counted}2026 other\n{counted}"), 2, 2, 3);
    check(&format!("{one}{counted}{one}"), 3, 3, 4);
    let blocks = [1, 2, 3].map(|id| block(id, 1)).concat();
    check(&(blocks.clone() + &blocks), 2, 2, 3);
    let pods = |name: &str, text: &str| {
        each(&text.lines().collect::<Vec<_>>(), |_, line| {
            format!("{name} | {line}")
        })
    };
    check(
        &(pods("a", &blocks) + &pods("b", &block(9, 1)) + &pods("b", &block(10, 1))),
        2,
        2,
        2,
    );
    // Other running goroutines say that they run elsewhere; threads of a crash print theirs again.
    let elsewhere = "goroutine 40 [running]:\n\tgoroutine running on other thread; stack unavailable\ncreated by main.m\n\t/svc/m.go:1 +0x1\n\n";
    check(&(one.clone() + elsewhere + &block(41, 1)), 1, 1, 6);
    let threads = format!(
        "{signal}-----\n\nSIGQUIT: quit\nPC=0x2 m=1\n\n{}{}",
        block(1, 1),
        running(2, 1)
    );
    check(&threads, 1, 1, 3);
    assert_eq!(
        read(&(one.clone() + &one)).report.to_string(),
        "2 dumps in this file, reading number 2 (--dump N reads another, --dump all adds them)"
    );
}

#[test]
fn counted_stacks_within_logs() {
    let lines = [
        "goroutine profile: total 3",
        "2 @ 0x10 0x20",
        "#\t0x1f\tmain.a+0x1\t\t/a b.go:1",
        "",
        "1 @ 0x30 0x20",
        "# labels: {\"k\":\"v\"}",
        "#\t0x2f\tmain.b+0x1\t/b.go:2",
        "",
    ];
    let expected = ["2 | #0 main.a@/a b.go:1", "1 | #1 main.b@/b.go:2 k=v"];
    let check = |text: &str, skipped: u64| {
        let found = read(text);
        assert_eq!(
            found
                .sink
                .goroutines
                .iter()
                .map(|line| line.replace("#1", "#0"))
                .collect::<Vec<_>>(),
            expected.map(|line| line.replace("#1", "#0")),
            "{text}"
        );
        assert_eq!(
            (
                found.report.skipped,
                found.summary.damage,
                found.summary.truncated
            ),
            (skipped, 0, false),
            "{text}"
        );
    };
    check(&each(&lines, |_, line| line.to_owned()), 0);
    check(&each(&lines, |_, line| format!("web-1 | {line}")), 0);
    check(
        &each(&lines, |_, line| {
            format!(
                "2026-11-25T01:02:03.1Z stderr F {line}\n2026-11-25T01:02:03.1Z stderr F hello you"
            )
        }),
        8,
    );
    check(&each(&lines, |_, line| line.replace('\t', "    ")), 0);
    check(
        &each(&lines, |_, line| line.to_owned()).replace("\n\n", "\n"),
        0,
    );
    check(
        &each(&lines, |_, line| {
            if line.is_empty() {
                String::new()
            } else {
                format!("> {line}")
            }
        }),
        0,
    );
}

#[test]
fn what_is_no_dump_is_refused_in_the_same_words() {
    let check = |text: &str, words: &str| {
        for size in [1, 1000] {
            match read_in(text.as_bytes(), size, Choice::Best) {
                Err(DecodeError::NotPprof { found }) => assert!(found.contains(words), "{found}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    };
    check("", "an empty body");
    check("\u{feff}", "an empty body");
    check(" \n", "text without the header");
    check(
        "<html>goroutine 1 [running]: no</html>",
        "text without the header",
    );
    check(
        "threadcreate profile: total 9\n8 @ \n#\t0x0\n",
        "the text of another profile",
    );
    check("goroutine 1 [sel", "text without the header");
}

/// Reads within a time that only work in proportion to the input can keep, slow builds included. What it is read as is
/// for others to say; the books of the one dump that is certain are kept.
fn in_time(text: &[u8]) {
    let started = std::time::Instant::now();
    let found = read_in(text, 1 << 16, Choice::Best);
    let bound = std::time::Duration::from_secs(20);
    assert!(started.elapsed() < bound, "{:?}", started.elapsed());
    if let Ok(found) = found {
        let listed = u64::try_from(found.sink.goroutines.len()).unwrap();
        assert!(found.sink.total >= listed && found.report.examples.len() <= 2);
    }
}

#[test]
fn hostile_texts_take_time_in_proportion() {
    let dump = TWO.join("\n") + "\n";
    let mib = |unit: &str| unit.repeat((1 << 18) / unit.len());
    for unit in [
        "goroutine 1 [",
        "goroutine 1 [x]: ",
        "{\"log\":\"",
        "{\"a\":",
        "[[",
        "\"\\",
        "\\\"goroutine 1 [",
        "\u{1b}[",
        "\u{1b}",
        " ",
        "> ",
        "2026-11-25T01:02:03Z stderr P ",
        "#011",
    ] {
        let long = mib(unit);
        // One long line, before a dump and within it; and as many short lines as fit.
        in_time(format!("{long}\n{dump}").as_bytes());
        in_time(
            dump.replace("main.a(0x1)\n", &format!("main.a(0x1)\n{long}\n"))
                .as_bytes(),
        );
        let lines = format!("{unit}\n").repeat((1 << 19) / (unit.len() + 1));
        in_time(format!("{lines}{dump}{lines}").as_bytes());
        in_time(
            format!(
                "{}{dump}",
                format!("{unit}goroutine 9 [select]:\n").repeat(5_000)
            )
            .as_bytes(),
        );
    }
    // A new prefix each time.
    let prefixes: String = (0..5_000)
        .map(|n| format!("p{n} goroutine {n} [select]:\np{n} main.a()\n"))
        .collect();
    in_time(prefixes.as_bytes());
    // A line that never ends, and parts that never end.
    in_time(&b"x".repeat(3 * super::lines::LINE_BYTES));
    let part = "2026-11-25T01:02:03Z stderr P ".to_owned() + &"x".repeat(1000) + "\n";
    in_time(part.repeat(20_000).as_bytes());
}

#[test]
fn any_lines_are_read_or_refused_the_same_in_pieces() {
    const WORDS: [&str; 30] = [
        "\n",
        "\n",
        "\n\n",
        "\r\n",
        "\t",
        " ",
        "goroutine 2 [select]:",
        "goroutine 3 [running]:",
        "goroutine ",
        "main.a()",
        "\n\t/a.go:1 +0x1\n",
        "created by main.b",
        "{\"log\":\"",
        "\\n\",\"stream\":\"stderr\"}\n",
        "\"",
        "\\",
        "\\u00",
        "{\"MESSAGE\":[",
        "10,9]}",
        "2026-11-25T01:02:03.1Z stderr F ",
        "2026-11-25T01:02:03.1Z stdout P ",
        "> ",
        "web-1 | ",
        "msg=\"",
        "SIGQUIT: quit\n",
        "-----\n",
        "goroutine profile: total 3\n",
        "3 @ 0x1\n",
        "#\t0x1\tmain.a+0x1\t/a.go:1\n",
        "\u{1b}[31m",
    ];
    let mut seed = 7_u32;
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        usize::try_from(seed >> 16).unwrap()
    };
    let mut read = 0;
    for _ in 0..20_000 {
        let text: String = (0..next() % 40)
            .map(|_| WORDS[next() % WORDS.len()])
            .collect();
        let show = |found: Result<Outcome<Recorder>, DecodeError>| {
            found.map(|found| (found.sink.goroutines, found.summary, found.report))
        };
        let whole = show(read_in(text.as_bytes(), usize::MAX, Choice::Best));
        let size = next() % 9 + 1;
        assert_eq!(
            show(read_in(text.as_bytes(), size, Choice::Best)),
            whole,
            "{text:?} in pieces of {size}"
        );
        let all = read_in(text.as_bytes(), size, Choice::All);
        assert_eq!(all.is_ok(), whole.is_ok());
        read += u32::from(whole.is_ok());
    }
    assert!(read > 1_000, "{read} were dumps");
}
