//! Lines of `GODEBUG`: recorded ones against a second reader, and those of real Go programs against what they know
//! themselves, through files, pipes and standard input.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use goroutine_exporter::config::GodebugSource;
use goroutine_exporter::expose::Exposition;
use goroutine_exporter::expose::godebug::ALL;
use goroutine_exporter::follow::{Snapshot, Stream};
use goroutine_exporter::godebug::{Reader, Totals};
use serde_json::Value;

use crate::go::{NEW, OLD};
use crate::http::{self, Metrics};
use crate::programs::{self, EXPORTER, Exporter, Program, repository, run, skip, until};

/// Standard error of the program in `tests/data/src`, with `GODEBUG=gctrace=1,schedtrace=500`.
const RECORDED: [&str; 2] = ["go1.22.10-gctrace", "go1.27.3-gctrace"];

/// What the program was run with.
const GODEBUG: &str = "gctrace=1,schedtrace=100";

/// Cycles of a program, at least.
const CYCLES: &str = "150";

fn recorded(name: &str) -> PathBuf {
    repository("tests/data").join(name).join("stderr.txt")
}

/// What the second reader makes of a file; nothing without Python.
fn second(file: &Path) -> Option<Value> {
    let mut python = Command::new("python3");
    python.arg(repository("tests/tools/godebug.py")).arg(file);
    let output = match python.output() {
        Ok(output) => output,
        Err(error) => {
            skip(&format!("python3: {error}"));
            return None;
        }
    };
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// Our own totals in the words of the second reader.
fn ours(totals: &Totals) -> Value {
    let cycle = totals.last_cycle.map(|cycle| {
        let sizes = [
            cycle.heap_start,
            cycle.heap_end,
            cycle.heap_live,
            cycle.goal,
            cycle.stacks,
            cycle.globals,
        ];
        serde_json::json!({
            "number": cycle.number, "at_ms": cycle.at_milliseconds, "percent": cycle.cpu_percent, "bytes": sizes,
            "procs": cycle.gomaxprocs,
        })
    });
    let sample = totals.last_sample.map(|sample| {
        serde_json::json!({
            "at_ms": sample.at_milliseconds, "local": sample.local_queues, "gomaxprocs": sample.gomaxprocs,
            "idleprocs": sample.idle_procs, "threads": sample.threads, "spinningthreads": sample.spinning_threads,
            "idlethreads": sample.idle_threads, "runqueue": sample.global_queue,
        })
    });
    serde_json::json!({
        "lines": totals.lines, "cycles": totals.cycles, "lost": totals.lost_cycles, "forced": totals.forced_cycles,
        "leak_checks": totals.leak_checks, "sweep_us": totals.sweep_termination_us, "mark_us": totals.mark_us,
        "termination_us": totals.mark_termination_us, "pause_cpu_us": totals.cpu.pause_us,
        "assist_us": totals.cpu.assist_us, "background_us": totals.cpu.background_us, "idle_us": totals.cpu.idle_us,
        "samples": totals.samples, "ticks": totals.ticks, "joined": totals.joined.cycles,
        "growing": totals.joined.growing_cycles, "growing_pause_us": totals.joined.growing_pause_us,
        "last_cycle": cycle, "last_sample": sample,
    })
}

/// The totals of a text that comes in these pieces.
fn totals<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Totals {
    let mut reader = Reader::default();
    for piece in pieces {
        reader.feed(piece);
    }
    reader.totals().clone()
}

/// A source of that name in the exposition that the totals make.
fn expected(totals: &Totals) -> Metrics {
    let stream = Snapshot {
        totals: totals.clone(),
        open: true,
        ..Stream::default().snapshot()
    };
    let mut exposition = Exposition::default();
    exposition.godebug(&[], "shop", &stream);
    Metrics::parse(&exposition.render())
}

/// Whether all series of the source are as expected, what is about the file itself aside.
fn agrees(found: &Metrics, expected: &Metrics) -> bool {
    let own = [
        "_up",
        "_switches_total",
        "_failures_total",
        "_timestamp_seconds",
    ];
    let wanted = expected
        .samples
        .iter()
        .filter(|sample| !own.iter().any(|end| sample.name.ends_with(end)));
    let mut all = wanted.map(|sample| {
        let labels: Vec<(&str, &str)> = sample
            .labels
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        found.value(&sample.name, &labels) == Some(sample.value)
    });
    all.all(|same| same)
}

fn append(path: &Path) -> File {
    let mut options = OpenOptions::new();
    options.append(true).create(true).open(path).unwrap()
}

fn sources(path: &Path, more: &str) -> String {
    format!(
        "godebug: [{{ name: shop, path: '{}'{more} }}]\n",
        path.display()
    )
}

#[test]
fn recorded_lines_are_what_a_second_reader_makes_of_them() {
    for name in RECORDED {
        let Some(expected) = second(&recorded(name)) else {
            return;
        };
        let text = fs::read(recorded(name)).unwrap();
        let whole = totals([&text[..]]);
        assert_eq!(ours(&whole), expected, "{name}");
        assert_eq!((whole.malformed_cycles, whole.malformed_samples), (0, 0));
        assert!(whole.cycles > 30 && whole.samples > 5 && whole.joined.growing_cycles > 0);
        for size in 1..=300 {
            assert_eq!(
                totals(text.chunks(size)),
                whole,
                "{name} in pieces of {size}"
            );
        }
        for at in 0..=text.len() {
            let (front, back) = text.split_at(at);
            assert_eq!(totals([front, back]), whole, "{name} cut at {at}");
        }
    }
}

#[test]
fn a_file_is_followed_through_everything_that_logs_go_through() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stderr.log");
    let text = fs::read_to_string(recorded(RECORDED[1])).unwrap();
    let exporter = Exporter::start("");
    assert!(!exporter.metrics().text.contains("goroutine_godebug_"));
    // What was written before is not counted.
    let mut file = append(&path);
    file.write_all(text.as_bytes()).unwrap();
    exporter.configure(&sources(&path, ", labels: { env: prod }"));
    exporter.program.signal("HUP");
    let labels = [("source", "shop"), ("env", "prod")];
    let value = |name: &str| {
        exporter
            .metrics()
            .value(&format!("goroutine_godebug_{name}"), &labels)
    };
    until("the file", || (value("up")? == 1.0).then_some(()));
    assert!(exporter.get("/config").text().contains("name: shop"));

    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let (first, second) = lines.split_at(lines.len() / 3);
    let (second, third) = second.split_at(second.len() / 2);
    // Half a line, then the other.
    let first = first.concat();
    for half in [&first[..first.len() - 50], &first[first.len() - 50..]] {
        file.write_all(half.as_bytes()).unwrap();
    }
    until("the first lines", || {
        agrees(&exporter.metrics(), &expected(&totals([first.as_bytes()]))).then_some(())
    });
    // Copied and cut.
    file.set_len(0).unwrap();
    until("the cut", || {
        (value("switches_total")? == 1.0).then_some(())
    });
    file.write_all(second.concat().as_bytes()).unwrap();
    // Renamed and made anew.
    fs::rename(&path, folder.path().join("stderr.log.1")).unwrap();
    append(&path).write_all(third.concat().as_bytes()).unwrap();
    let all = expected(&totals([text.as_bytes()]));
    until("everything", || {
        agrees(&exporter.metrics(), &all).then_some(())
    });
    assert_eq!(value("switches_total"), Some(2.0));

    // A source that stays goes on under another configuration; one that is gone has no series.
    exporter.configure(&format!("{}probes: {{ total: 3 }}\n", sources(&path, "")));
    exporter.program.signal("HUP");
    until("the reload", || {
        let metrics = exporter.metrics();
        let unlabelled = metrics
            .value("goroutine_godebug_up", &[("env", "prod")])
            .is_none();
        (unlabelled && agrees(&metrics, &all)).then_some(())
    });
    exporter.configure("");
    exporter.program.signal("HUP");
    until("no source", || {
        (!exporter.metrics().text.contains("goroutine_godebug_")).then_some(())
    });
}

#[test]
fn a_pipe_that_may_only_be_read_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (pipe, config) = (folder.path().join("pipe"), folder.path().join("config"));
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    fs::write(&config, sources(&pipe, "")).unwrap();
    // Its writer for all of the test, opened without waiting for who reads.
    let mut writer = File::options().read(true).write(true).open(&pipe).unwrap();
    let allow = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode));
    allow(&pipe, 0o444).unwrap();
    let mut command = programs::command();
    // Root may write to anything: the exporter is somebody else then, who need not reach where it was built.
    if fs::metadata(&config).unwrap().uid() == 0 {
        const NOBODY: u32 = 65534;
        let copy = folder.path().join("exporter");
        fs::copy(EXPORTER, &copy).unwrap();
        allow(folder.path(), 0o755).unwrap();
        command = Command::new(copy);
        command.env_clear().uid(NOBODY).gid(NOBODY);
    }
    command
        .args(["serve", "--web.listen-address", "127.0.0.1:0"])
        .arg("--config.file")
        .arg(&config);
    let program = Program::start(&mut command);
    let address = program.listening();
    let text = fs::read_to_string(recorded(RECORDED[1])).unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    let all = expected(&totals([text.as_bytes()]));
    until("the lines", || {
        let metrics = Metrics::parse(&http::get(address, "/metrics").text());
        let failed = metrics.value("goroutine_godebug_failures_total", &[]);
        (failed == Some(0.0) && agrees(&metrics, &all)).then_some(())
    });
}

#[test]
fn what_comes_on_standard_input_is_passed_on_counted_and_served() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let text = fs::read_to_string(recorded(RECORDED[1])).unwrap();
    let mut command = Command::new("sh");
    let script = "exec \"$0\" godebug --source=shop --web.listen-address=127.0.0.1:0 <\"$1\"";
    command
        .env_clear()
        .args(["-c", script])
        .arg(EXPORTER)
        .arg(&pipe);
    let mut program = Program::start(&mut command);
    let mut writer = append(&pipe);
    let address = program.listening();
    writer.write_all(text.as_bytes()).unwrap();
    let all = expected(&totals([text.as_bytes()]));
    until("the lines", || {
        let metrics = Metrics::parse(&http::get(address, "/metrics").text());
        let up = metrics.value("goroutine_godebug_up", &[]) == Some(1.0);
        (up && agrees(&metrics, &all)).then_some(())
    });
    http::get(address, "/-/healthy").is(200, "healthy");
    assert_eq!(http::get(address, "/config").status, 404);
    // At a terminal Ctrl-C reaches both; what the program still writes is still read.
    program.signal("INT");
    program.line("patience", |line| {
        line.contains("until a second signal").then_some(())
    });
    writer.write_all(b"the last word\n").unwrap();
    drop(writer);
    assert!(program.wait().success());
    let log = program.log();
    assert!(log.contains("\nthe last word"), "{log}");
    assert!(
        log.contains("gc cycles                       37   0 lost, 1 forced"),
        "{log}"
    );

    let output = run(&["godebug"], text.as_bytes());
    assert!(output.status.success());
    assert_eq!(output.stdout, text.as_bytes());
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("lines "));
    let output = run(&["godebug", "--quiet"], text.as_bytes());
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("lines "));
    assert_eq!(output.stderr, b"");
    let output = run(&["godebug", "--quiet"], b"");
    assert!(String::from_utf8_lossy(&output.stdout).contains("GODEBUG=gctrace=1"));
}

#[test]
fn a_second_signal_ends_the_reading() {
    for signals in [&["TERM"][..], &["INT", "INT"]] {
        let mut program = Program::start(
            programs::command().args(["godebug", "--web.listen-address=127.0.0.1:0"]),
        );
        program.listening();
        for (number, signal) in signals.iter().enumerate() {
            program.signal(signal);
            if number + 1 < signals.len() {
                program.line("patience", |line| {
                    line.contains("second signal").then_some(())
                });
            }
        }
        assert!(program.wait().success(), "{}", program.log());
        assert!(
            program.log().contains("0 lines: no line of gctrace"),
            "{}",
            program.log()
        );
    }
}

/// The program of the test, built with that version of Go; nothing when this machine has none.
fn collects(version: &str) -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("collects-{version}"));
    let output = Command::new(repository("tests/tools/go.sh"))
        .args([version, "build", "-o"])
        .arg(&program)
        .arg("tests/it/godebug/collects.go")
        .current_dir(repository("."))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    // What go.sh exits with when it has no such toolchain.
    if output.status.code() == Some(127) {
        skip(error.trim());
        return None;
    }
    assert!(output.status.success(), "Go {version}: {error}");
    Some(program)
}

/// Lines that could not be read: where one runs into another, either kind may be what is left to see.
fn damaged(metrics: &Metrics) -> f64 {
    metrics
        .all("goroutine_godebug_lines_malformed_total", &[])
        .map(|sample| sample.value)
        .sum()
}

/// What the program says of itself at its end: cycles, those it asked for, and its pauses in seconds.
#[derive(Clone, Copy, Debug)]
struct Truth {
    cycles: f64,
    forced: f64,
    paused: f64,
}

/// Runs the program to its end, with its standard error going there.
fn collect(program: &Path, stderr: Stdio, noise: bool) -> Truth {
    let output = Command::new(program)
        .env("GODEBUG", GODEBUG)
        .args(["-cycles", CYCLES])
        .arg(format!("-noise={noise}"))
        .stdin(Stdio::null())
        .stderr(stderr)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let words: Vec<&str> = said.split_whitespace().collect();
    let number = |at: usize| words[at].parse::<f64>().unwrap();
    Truth {
        cycles: number(1),
        forced: number(3),
        paused: number(5) / 1e9,
    }
}

/// Waits until the exporter has seen that many cycles, read or lost, and holds them against the truth. A line of the
/// scheduler can damage one of the collector: Go locks only the latter. Of the last cycle nothing else tells then.
fn hold(exporter: &Exporter, truths: &[Truth], noise: bool) {
    let sum = |of: fn(&Truth) -> f64| truths.iter().map(of).sum::<f64>();
    let cycles = sum(|truth| truth.cycles);
    let metrics = until("the last cycle", || {
        let metrics = exporter.metrics();
        let value = |name: &str| metrics.value(&format!("goroutine_godebug_{name}"), &[]);
        let seen = value("gc_cycles_total")? + value("gc_cycles_lost_total")?;
        assert!(seen <= cycles, "{seen} of {cycles} in:\n{}", metrics.text);
        let last = if damaged(&metrics) > 0.0 {
            truths.len() as f64
        } else {
            0.0
        };
        (seen + last >= cycles).then_some(metrics)
    });
    let value = |name: &str| {
        metrics
            .value(&format!("goroutine_godebug_{name}"), &[])
            .unwrap()
    };
    let restarts = truths.len().saturating_sub(1);
    assert_eq!(value("restarts_total"), restarts as f64, "{}", metrics.text);
    let lost = value("gc_cycles_lost_total");
    let damaged = damaged(&metrics);
    assert!(lost == 0.0 || damaged > 0.0, "{}", metrics.text);
    if !noise && damaged == 0.0 {
        assert_eq!(value("gc_cycles_forced_total"), sum(|truth| truth.forced));
    }
    // The program's own clock of pauses begins before that of the line, and lines are cut to two digits.
    let paused: f64 = metrics
        .all("goroutine_godebug_gc_pause_seconds_total", &[])
        .map(|sample| sample.value)
        .sum();
    let longest = sum(|truth| truth.paused);
    assert!(
        paused > 0.0 && paused <= longest * 1.05,
        "{paused} s of {longest} s"
    );
    assert!(value("sched_samples_total") > 1.0, "{}", metrics.text);
    assert!(value("gc_joined_cycles_total") > 0.0, "{}", metrics.text);
}

#[test]
fn programs_know_as_many_cycles_as_are_counted_in_a_file() {
    for version in [OLD, NEW] {
        let Some(program) = collects(version) else {
            continue;
        };
        for noise in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("stderr.log");
            drop(append(&path));
            let exporter = Exporter::start(&sources(&path, ""));
            until("the file", || {
                (exporter.metrics().value("goroutine_godebug_up", &[])? == 1.0).then_some(())
            });
            let first = collect(&program, append(&path).into(), noise);
            hold(&exporter, &[first], noise);
            // Started anew, and its log cut first.
            append(&path).set_len(0).unwrap();
            until("the cut", || {
                let switches = exporter
                    .metrics()
                    .value("goroutine_godebug_switches_total", &[]);
                (switches? == 1.0).then_some(())
            });
            let again = collect(&program, append(&path).into(), noise);
            hold(&exporter, &[first, again], noise);
        }
    }
}

#[test]
fn programs_know_as_many_cycles_as_are_counted_in_a_pipe() {
    for version in [OLD, NEW] {
        let Some(program) = collects(version) else {
            continue;
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        assert!(
            Command::new("mkfifo")
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
        let exporter = Exporter::start(&sources(&path, ""));
        until("the pipe", || {
            (exporter.metrics().value("goroutine_godebug_up", &[])? == 1.0).then_some(())
        });
        let first = collect(&program, append(&path).into(), false);
        hold(&exporter, &[first], false);
        let again = collect(&program, append(&path).into(), false);
        hold(&exporter, &[first, again], false);
    }
}

#[test]
fn programs_know_as_many_cycles_as_are_counted_on_standard_input() {
    let Some(program) = collects(NEW) else {
        return;
    };
    for noise in [false, true] {
        let mut counting = programs::command()
            .args(["godebug", "--quiet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let truth = collect(&program, counting.stdin.take().unwrap().into(), noise);
        let output = counting.wait_with_output().unwrap();
        let table = String::from_utf8(output.stdout).unwrap();
        let numbers = |name: &str| -> Vec<f64> {
            let row = table.lines().find(|line| line.starts_with(name));
            row.unwrap()
                .split_whitespace()
                .filter_map(|word| word.replace(',', "").parse().ok())
                .collect()
        };
        let (lines, cycles) = (numbers("lines"), numbers("gc cycles"));
        let (damaged, lost) = (lines[1], cycles[1]);
        assert!(lost == 0.0 || damaged > 0.0, "{table}");
        // As in `hold`: of a last cycle whose line is damaged nothing else tells.
        let missing = truth.cycles - cycles[0] - lost;
        assert!(missing == 0.0 || missing == 1.0 && damaged > 0.0, "{table}");
    }
}

#[test]
fn names_and_labels_keep_to_the_rules() {
    for metric in ALL {
        assert!(
            metric.name.starts_with("goroutine_godebug_"),
            "{}",
            metric.name
        );
        assert_eq!(metric.labels[0], "source", "{}", metric.name);
        let counter = metric.kind == goroutine_exporter::expose::metrics::Kind::Counter;
        assert_eq!(metric.name.ends_with("_total"), counter, "{}", metric.name);
        assert!(metric.help.ends_with('.'), "{}", metric.help);
    }
    // What a source is named by is bounded by the configuration.
    let many: String = (0..=goroutine_exporter::config::MAX_SOURCES)
        .map(|number| format!("- {{ name: s{number}, path: p{number} }}\n"))
        .collect();
    let config = goroutine_exporter::config::Config::from_yaml(&format!("godebug:\n{many}"));
    assert!(config.unwrap_err().to_string().contains("at most 100"));
    let config = goroutine_exporter::config::Config::from_yaml("godebug: [{ name: a, path: b }]");
    let expected = GodebugSource {
        name: "a".to_owned(),
        path: "b".into(),
        labels: std::collections::BTreeMap::new(),
    };
    assert_eq!(config.unwrap().godebug(), [expected]);
}
