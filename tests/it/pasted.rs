//! Dumps within logs: recorded ones wrapped as collectors and loggers wrap lines, and samples as people paste them.

use std::fmt::Write as _;

use goroutine_exporter::classify::Rules;
use goroutine_exporter::decode::DecodeError;
use goroutine_exporter::decode::logs::{Choice, Reader, Report};
use goroutine_exporter::tally::{Collector, Tally};

use crate::captures::{Capture, LIMITS, groups, tally};
use crate::programs::repository;

fn read(text: &[u8], size: usize, choice: Choice) -> Result<(Tally, Report), DecodeError> {
    let rules = Rules::default();
    let mut reader = Reader::new(&LIMITS, choice, || Collector::new(&rules));
    for piece in text.chunks(size.max(1)) {
        reader.push(piece)?;
    }
    let outcome = reader.finish()?;
    Ok((outcome.sink.finish(outcome.summary), outcome.report))
}

fn json(line: &str) -> String {
    serde_json::to_string(line).unwrap()
}

type Wrap = fn(usize, &str) -> String;

/// Writers of one line each: the number of the line, and what the program wrote.
const WRAPPERS: [(&str, Wrap); 14] = [
    ("plain", |_, line| line.to_owned()),
    ("docker", |n, line| {
        let log = json(&format!("{line}\n"));
        format!("{{\"log\":{log},\"stream\":\"stderr\",\"time\":\"2026-11-25T01:02:03.{n}Z\"}}")
    }),
    ("cri", |n, line| {
        format!("2026-11-25T01:02:03.{n:09}Z stderr F {line}")
    }),
    ("cri in parts", |n, line| {
        let mut out = String::new();
        let mut rest = line;
        while let Some((part, after)) = rest
            .split_at_checked(50)
            .filter(|(_, after)| !after.is_empty())
        {
            writeln!(out, "2026-11-25T01:02:03.{n:09}Z stderr P {part}").unwrap();
            rest = after;
        }
        out + &format!("2026-11-25T01:02:03.{n:09}Z stderr F {rest}")
    }),
    ("kubectl", |n, line| {
        format!(
            "[pod/web-7d9f8-x2x1z/app] 2026-11-25T01:02:03.{}Z {line}",
            n + 1
        )
    }),
    ("journald", |n, line| {
        format!(
            "Nov 25 01:{:02}:{:02} host-1 svc[77]: {line}",
            n / 60 % 60,
            n % 60
        )
    }),
    ("journald json", |_, line| {
        format!("{{\"_PID\":\"7\",\"MESSAGE\":{}}}", json(line))
    }),
    ("journald bytes", |_, line| {
        format!("{{\"MESSAGE\":{:?},\"_PID\":\"7\"}}", line.as_bytes())
    }),
    ("syslog", |n, line| {
        format!(
            "<11>Nov 25 01:02:{:02} host svc: {}",
            n % 60,
            line.replace('\t', "#011")
        )
    }),
    ("klog", |n, line| {
        format!("E1125 01:02:03.{n:06}   12345 dump.go:{}] {line}", n % 300)
    }),
    ("compose", |_, line| format!("web-1  | {line}")),
    ("slog", |n, line| {
        format!(
            "time=2026-11-25T01:02:03.{n:03}Z level=INFO msg={}",
            json(line)
        )
    }),
    ("quoted klog in docker", |n, line| {
        let log = json(&format!(
            "> E1125 01:02:03.{n:06}   12345 dump.go:{}] {line}\n",
            n % 300
        ));
        format!("{{\"log\":{log},\"stream\":\"stderr\",\"time\":\"2026-11-25T01:02:03Z\"}}")
    }),
    ("spaces", |_, line| {
        format!("    {}", line.replace('\t', "    "))
    }),
];

const RECORDED: [(&str, &str); 6] = [
    ("go1.27.3", "goroutine.debug2.txt"),
    ("go1.27.3", "goroutine.debug1.txt"),
    ("go1.22.10", "goroutine.debug2.txt"),
    ("go1.22.10", "goroutine.debug1.txt"),
    ("go1.27.3-sigquit", "stderr.txt"),
    ("go1.27.3-sigquit-crash", "stderr.txt"),
];

#[test]
fn wrapped_dumps_count_as_the_plain_ones() {
    let captures = Capture::all();
    for (name, file) in RECORDED {
        let capture = captures
            .iter()
            .find(|capture| capture.name == name)
            .unwrap();
        let bytes = capture.bytes(file).unwrap();
        let plain = tally(&bytes, bytes.len()).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        for (wrapper, wrap) in WRAPPERS {
            let mut wrapped = String::new();
            for (number, line) in text.lines().enumerate() {
                wrapped += &wrap(number, line);
                wrapped.push('\n');
            }
            for (wrapped, size) in [
                (wrapped.clone(), 1 << 16),
                (wrapped.replace('\n', "\r\n"), 997),
            ] {
                let (found, report) = read(wrapped.as_bytes(), size, Choice::Best)
                    .unwrap_or_else(|error| panic!("{name}/{file}, {wrapper}: {error}"));
                let what = format!("{name}/{file}, {wrapper}, pieces of {size}: {report}");
                assert_eq!(groups(&found), groups(&plain), "{what}");
                assert_eq!(found.total, plain.total, "{what}");
                assert_eq!(found.summary.damage, 0, "{what}");
                assert!(!found.summary.truncated && report.dumps == 1, "{what}");
            }
        }
    }
}

/// A recorded dump whole within one string of a log line.
#[test]
fn a_dump_in_one_field_counts_as_the_plain_one() {
    let captures = Capture::all();
    for name in ["go1.27.3", "go1.22.10"] {
        let capture = captures
            .iter()
            .find(|capture| capture.name == name)
            .unwrap();
        let bytes = capture.bytes("goroutine.debug2.txt").unwrap();
        let plain = tally(&bytes, bytes.len()).unwrap();
        let value = json(&String::from_utf8(bytes).unwrap());
        for line in [
            format!("{{\"level\":\"error\",\"msg\":\"x\",\"stack\":{value},\"n\":1}}\n"),
            format!("{{\"error\":{{\"verbose\":{value}}},\"msg\":\"x\"}}\n"),
            format!("time=\"2026-11-25T01:02:03Z\" level=error msg={value}\n"),
            format!(
                "{{\"log\":{},\"stream\":\"stdout\"}}\n",
                json(&format!("{{\"stack\":{value}}}\n"))
            ),
        ] {
            let (found, report) = read(line.as_bytes(), 4096, Choice::Best).unwrap();
            assert_eq!(groups(&found), groups(&plain), "{name}: {report}");
            assert_eq!((found.summary.damage, found.summary.truncated), (0, false));
        }
    }
}

/// What each sample holds: the program that wrote them parks three goroutines in `main.worker` and two in `main.locked`
/// beside its main one; dumps of signals list the runtime's as well, as many as there are headers.
struct Sample {
    file: &'static str,
    dumps: u32,
    read: u32,
    total: u64,
    parked: (u64, u64),
    damage: u64,
    truncated: bool,
}

const fn sample(file: &'static str, dumps: u32, read: u32, total: u64) -> Sample {
    Sample {
        file,
        dumps,
        read,
        total,
        parked: (3, 2),
        damage: 0,
        truncated: false,
    }
}

const SAMPLES: [Sample; 15] = [
    sample("slog-json.txt", 1, 1, 6),
    sample("slog-text.txt", 1, 1, 6),
    sample("log.txt", 1, 1, 6),
    Sample {
        parked: (0, 0),
        ..sample("http-panic.txt", 3, 3, 1)
    },
    sample("panic.txt", 1, 1, 6),
    sample("sigquit.txt", 1, 1, 12),
    sample("docker.json.txt", 1, 1, 11),
    sample("cri.txt", 1, 1, 6),
    sample("journald.txt", 1, 1, 12),
    sample("kubectl-two-pods.txt", 2, 2, 6),
    sample("issue.md.txt", 1, 1, 6),
    sample("windows.txt", 1, 1, 6),
    sample("two-dumps.txt", 2, 2, 12),
    Sample {
        parked: (1, 2),
        damage: 1,
        truncated: true,
        ..sample("tail.txt", 1, 1, 3)
    },
    Sample {
        parked: (3, 1),
        truncated: true,
        ..sample("cut.txt", 1, 1, 5)
    },
];

#[test]
fn samples_as_people_paste_them() {
    for sample in SAMPLES {
        let text = std::fs::read(repository("tests/data/pasted").join(sample.file)).unwrap();
        for size in [1, 100, text.len()] {
            let (found, report) = read(&text, size, Choice::Best).unwrap();
            let what = format!("{}: {report}", sample.file);
            let at = |frame: &str| -> u64 {
                let groups = found
                    .groups
                    .iter()
                    .filter(|group| &*group.app_frame == frame);
                groups.map(|group| group.goroutines).sum()
            };
            assert_eq!(
                (report.dumps, report.read),
                (sample.dumps, Some(sample.read)),
                "{what}"
            );
            assert_eq!(found.total, sample.total, "{what}");
            assert_eq!(
                (at("main.worker"), at("main.locked")),
                sample.parked,
                "{what}"
            );
            assert_eq!(
                (found.summary.damage, found.summary.truncated),
                (sample.damage, sample.truncated),
                "{what}"
            );
        }
    }
}

#[test]
fn a_sample_that_is_cut_anywhere_never_counts_more() {
    for file in [
        "slog-json.txt",
        "panic.txt",
        "cri.txt",
        "issue.md.txt",
        "log.txt",
    ] {
        let text = std::fs::read(repository("tests/data/pasted").join(file)).unwrap();
        let (whole, _) = read(&text, text.len(), Choice::Best).unwrap();
        let whole = groups(&whole);
        for end in 0..text.len() {
            let Ok((part, report)) = read(&text[..end], 1 << 16, Choice::Best) else {
                continue;
            };
            assert_eq!(report.dumps, 1, "{file} cut to {end}: {report}");
            for (group, count) in groups(&part) {
                let most = whole.get(&group).copied().unwrap_or(0);
                // Between two calls of a goroutine nothing shows that more follow.
                let shortened = end > 0 && text[end - 1] == b'\n';
                assert!(count <= most || shortened, "{file} cut to {end}: {group:?}");
            }
            assert!(part.total <= whole.values().sum(), "{file} cut to {end}");
        }
    }
}
