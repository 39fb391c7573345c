//! README.md against the program: its commands, metrics and flags exist, and its configurations load.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use goroutine_exporter::classify::{ClassifySpec, Rules, WaitReason};
use goroutine_exporter::config::Profile;
use goroutine_exporter::decode::{Limits, decode};
use goroutine_exporter::expose;
use goroutine_exporter::failure::TraceFailure;
use goroutine_exporter::probe::{Contended, Phases, ProbeOutcome, ProbeReport};
use goroutine_exporter::reading::Reading;
use goroutine_exporter::self_metrics;
use goroutine_exporter::tally::{
    Collector, Contention, ContentionMemory, ContentionPlace, GroupId, Memory, Parked,
    SeriesLimits, Tally, select, select_contention,
};
use goroutine_exporter::trace::{self, Births, Blame, Cause, Runnable, Sum};
use goroutine_exporter::traced::{self, Delays, MAX_STOPS, Top, Traced};

const PROGRAM: &str = env!("CARGO_BIN_EXE_goroutine_exporter");

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// The fenced blocks of a language.
fn blocks<'t>(text: &'t str, language: &str) -> Vec<&'t str> {
    let fence = format!("```{language}\n");
    text.split(&fence)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect()
}

/// Words that look like a metric of ours.
fn metrics(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("goroutine_") && *word != "goroutine_exporter")
        .map(str::to_owned)
        .collect()
}

#[test]
fn readme_lists_every_metric_and_no_other() {
    let exist: BTreeSet<String> = expose::metrics::ALL
        .iter()
        .chain(self_metrics::ALL)
        .chain(expose::godebug::ALL)
        .map(|metric| metric.name.to_owned())
        .collect();
    assert_eq!(metrics(&readme()), exist);
    let ours = expose::metrics::ALL.iter().chain(expose::godebug::ALL);
    for metric in ours.flat_map(|metric| metric.labels) {
        assert!(
            readme().contains(&format!("`{metric}`")),
            "label {metric} is not in README.md"
        );
    }
}

#[test]
fn flags_of_readme_exist() {
    let mut help = String::new();
    for command in [
        &["--help"][..],
        &["inspect", "--help"],
        &["diff", "--help"],
        &["godebug", "--help"],
        &["check", "--help"],
        &["demo", "--help"],
    ] {
        let output = Command::new(PROGRAM).args(command).output().unwrap();
        assert!(output.status.success());
        help += &String::from_utf8(output.stdout).unwrap();
    }
    let readme = readme();
    let flags = readme
        .split(|c: char| c.is_whitespace() || "`,()=".contains(c))
        .filter(|word| word.starts_with("--"));
    let mut seen = 0;
    for flag in flags.filter(|flag| {
        flag.len() > 2 && !["--release", "--locked", "--bench", "--open", "--path"].contains(flag)
    }) {
        assert!(help.contains(flag), "{flag} is in README.md and in no help");
        seen += 1;
    }
    assert!(seen > 5, "only {seen} flags found");
}

/// Every command of README.md is one of these, and each of these is run here or by the test named beside it.
#[test]
fn commands_of_readme_are_tested() {
    const ELSEWHERE: [(&str, &str); 9] = [
        (
            "cargo run --release -- demo",
            "commands::demo, in the library's own tests, runs the demo",
        ),
        (
            "tests/tools/install.sh && cargo test --locked",
            ".ci/run calls it",
        ),
        (
            "goroutine_exporter inspect http://127.0.0.1:6060",
            "go.rs inspects a live service by its URL",
        ),
        (
            "goroutine_exporter inspect --watch 2s http://127.0.0.1:6060",
            "terminal.rs watches a live service",
        ),
        (
            "goroutine_exporter godebug --quiet < stderr.txt",
            "godebug.rs gives it recorded lines",
        ),
        (
            "service 2>&1 | goroutine_exporter godebug --web.listen-address :16060",
            "godebug.rs gives it a pipe, and scrapes it",
        ),
        (
            "goroutine_exporter inspect --trace http://127.0.0.1:6060",
            "inspect_trace.rs traces a live service",
        ),
        (
            "goroutine_exporter --target http://127.0.0.1:6060",
            "serve.rs scrapes /targets/metrics",
        ),
        (
            "goroutine_exporter --config.file examples/config/kubernetes.yml",
            "serve.rs starts it with a file",
        ),
    ];
    let readme = readme();
    let commands: Vec<&str> = blocks(&readme, "sh")
        .iter()
        .flat_map(|block| block.lines())
        .collect();
    let mut here = 0;
    for command in &commands {
        if ELSEWHERE.iter().any(|(known, _)| known == command) {
            continue;
        }
        let words: Vec<&str> = command.split_whitespace().collect();
        assert_eq!(
            words[0], "goroutine_exporter",
            "{command} is not known to this test"
        );
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let recorded = root.join("tests/data/go1.27.3/goroutine.debug0.pb.gz");
        let arguments = words[1..].iter().map(|word| match *word {
            "goroutine.pb.gz" | "before.pb.gz" => recorded.to_str().unwrap(),
            word => word,
        });
        let output = Command::new(PROGRAM)
            .args(arguments)
            .current_dir(root)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {errors}");
        here += 1;
    }
    assert_eq!(here + ELSEWHERE.len(), commands.len(), "{commands:#?}");
    let ci = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/run")).unwrap();
    assert!(ci.contains("README.md"));
}

#[test]
fn scrape_configurations_of_readme_load_in_prometheus() {
    let readme = readme();
    let configs = blocks(&readme, "yaml");
    assert_eq!(configs.len(), 1);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prometheus.yml");
    fs::write(&file, configs[0]).unwrap();
    let output = match Command::new("promtool")
        .arg("check")
        .arg("config")
        .arg(&file)
        .output()
    {
        Ok(output) => output,
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "promtool: {error}");
            eprintln!("SKIPPED: promtool: {error}");
            return;
        }
    };
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Words for every wait reason, with one that no version of Go has.
pub(crate) const WAITS: [&str; 17] = [
    "chan receive",
    "chan send",
    "select",
    "select (no cases)",
    "sync.Mutex.Lock",
    "sync.RWMutex.RLock",
    "sync.RWMutex.Lock",
    "sync.WaitGroup.Wait",
    "sync.Cond.Wait",
    "semacquire",
    "sleep",
    "IO wait",
    "syscall",
    "coroutine",
    "running",
    "GC worker (idle)",
    "waiting for a later version of Go",
];

/// A dump in which everything that can have a series has one: each wait reason in many groups, waits of more than a day,
/// marked leaks, labels.
fn crowded_dump() -> String {
    let mut text = String::new();
    let mut id = 0;
    for (number, reason) in WAITS.iter().cycle().take(17 * 20).enumerate() {
        for state in [
            format!("{reason}, 1500 minutes"),
            format!("{reason} (leaked)"),
        ] {
            id += 1;
            text += &format!(
                "goroutine {id} [{state}] {{tenant: t{number}}}:\nmain.f{number}()\n\t/a/main.go:{number} +0x1\n\n"
            );
        }
    }
    text
}

/// A trace in which every list is longer than it may be, and every number is there.
fn crowded_trace() -> Traced {
    let one = Sum {
        count: 1,
        nanoseconds: 1,
    };
    let name = |number: usize| format!("main.f{number}").into();
    let groups = || Top {
        rows: (0..200)
            .map(|number| {
                let group = traced::Group {
                    id: GroupId(number as u64),
                    wait_reason: WaitReason::ChanSend,
                    blocking_frame: name(number),
                    app_frame: "".into(),
                };
                (group, one)
            })
            .collect(),
        rest: one,
    };
    let sites = (0..200).map(|number| {
        let site = traced::Site {
            created_by: name(number),
            app_frame: "".into(),
            entry: "".into(),
        };
        (site, Births::default())
    });
    Traced {
        nanoseconds: 1,
        events: 1,
        damage: 1,
        processors: Some(1),
        blocked: groups(),
        parked: groups(),
        syscalls: groups(),
        sites: Top {
            rows: sites.collect(),
            rest: Births::default(),
        },
        delays: [Delays {
            count: 1,
            ..Delays::default()
        }; Cause::ALL.len()],
        runnable: Runnable::default(),
        stops: (0..MAX_STOPS).map(|kind| (name(kind), one, 1)).collect(),
        collector: trace::Collector::default(),
        waiting: [1; Blame::ALL.len()],
    }
}

/// What README.md tells for `sample_limit`, held against a probe that has everything.
#[test]
fn series_of_a_probe_stay_below_the_bound_of_readme() {
    let readme = readme();
    for formula in [
        "| the goroutine profile | 40 + 2 N |",
        "| `detail`, unless it is off | 94 + 2 N |",
        "| `goroutineleak` | 7, without `detail` 8 + N |",
        "| `block`, `mutex` | 19 + 2 N each |",
        "| `threadcreate` | 8 |",
        "| `trace`, when it is not off | 98 + 9 N |",
        "| each `watch`, each allow-listed label | 1, 21 |",
        "214 by default",
    ] {
        assert!(readme.contains(formula), "no {formula:?} in README.md");
    }
    let spec = ClassifySpec {
        labels: vec!["tenant".into()],
        watch: vec![("a".into(), "main".into()), ("b".into(), "x".into())],
        ..ClassifySpec::default()
    };
    let mut collector = Collector::new(&Rules::new(&spec).unwrap());
    let limits = Limits { inflated_bytes: 0 };
    let dump = crowded_dump();
    let mut summary = decode(dump.as_bytes(), &limits, &mut collector).unwrap();
    // A probe that failed has a series more, and shows what it counted all the same.
    summary.truncated = true;
    let tally = collector.finish(summary);
    let at = Some(SystemTime::UNIX_EPOCH);
    let second = Some(Duration::from_secs(1));
    let reading = Reading {
        supported: Some(true),
        body_bytes: Some(1),
        duration: second,
        read_at: at,
        truncated: Some(true),
        damage: Some(0),
        ..Reading::default()
    };
    // Places from this one on, each with less than the one before.
    let contention = |first: usize| {
        let place = |number| ContentionPlace {
            blocking_frame: format!("main.f{}", (first + number) % 300).into(),
            app_frame: "".into(),
            events: 1,
            nanoseconds: 300 - number as u64,
        };
        Contention {
            events: 300,
            nanoseconds: 300,
            places: (0..300).map(place).collect(),
        }
    };
    for n in [1, 20, 100] {
        let limits = SeriesLimits {
            groups: n,
            min_goroutines: 1,
            min_ratio: 0.0,
        };
        let contended = || {
            // Those that have series keep them a while beside new ones with more.
            let mut memory = ContentionMemory::default();
            drop(select_contention(&contention(n), n, &mut memory));
            let contention = contention(0);
            let selection = select_contention(&contention, n, &mut memory);
            Some(Contended {
                contention,
                selection,
            })
        };
        let series = |others: &[Profile], tally: &Tally| {
            let has = |profile| others.contains(&profile);
            let report = ProbeReport {
                selection: select(tally, &limits, &mut Memory::default()),
                tally: tally.clone(),
                last_look: None,
                body: None,
                block: contended().filter(|_| has(Profile::Block)),
                mutex: contended().filter(|_| has(Profile::Mutex)),
                threads: has(Profile::Threads).then_some(5),
                traced: has(Profile::Trace).then(|| crowded_trace().first(n)),
            };
            let outcome = ProbeOutcome {
                target: "http://a:1".to_owned(),
                module: "default".to_owned(),
                started: SystemTime::UNIX_EPOCH,
                duration: Duration::from_secs(1),
                phases: Phases {
                    resolve: second,
                    connect: second,
                    tls: second,
                    first_byte: second,
                    transfer: second,
                    decode: second,
                    classify: second,
                },
                goroutine: reading.clone(),
                others: others
                    .iter()
                    .map(|profile| (*profile, reading.clone()))
                    .collect(),
                detail_skipped: None,
                trace_skipped: None,
                trace_failure: has(Profile::Trace).then_some(TraceFailure::Damaged),
                again_bytes: 0,
                restarted: at,
                result: Ok(report),
            };
            let text = expose::expose(&outcome);
            text.lines().filter(|line| !line.starts_with('#')).count()
        };
        let labels = 2 + 21;
        let mut cheap = tally.clone();
        cheap.longest_waits = Default::default();
        cheap.waited = Default::default();
        cheap.leaked = None;
        cheap.highest_id = None;
        for group in &mut cheap.groups {
            group.leaked = 0;
            group.longest_wait = None;
        }
        assert_eq!(series(&[], &cheap), 40 + 2 * n + labels);
        let detail = 94 + 2 * n;
        assert_eq!(
            series(&[Profile::Detail], &tally),
            40 + 2 * n + detail + labels
        );
        cheap.leaked = Some(1);
        for group in &mut cheap.groups {
            group.leaked = 1;
        }
        assert_eq!(
            series(&[Profile::Leak], &cheap),
            40 + 2 * n + 8 + n + labels
        );
        let mut watched = cheap.clone();
        watched.leaked = None;
        watched.checked = Some(1);
        for group in &mut watched.groups {
            group.leaked = 0;
            group.parked = Some(Parked {
                goroutines: 1,
                of: 1,
            });
        }
        let traced = 98 + 9 * n;
        assert_eq!(
            series(&[Profile::Trace], &watched),
            40 + 2 * n + traced + labels
        );
        let all = [
            Profile::Detail,
            Profile::Leak,
            Profile::Block,
            Profile::Mutex,
            Profile::Threads,
        ];
        let further = 7 + 2 * (9 + 2 * (n + n.min(5))) + 8;
        assert_eq!(series(&all, &tally), 40 + 2 * n + detail + further + labels);
    }
}

#[test]
fn one_provider_of_cryptography_is_built() {
    let lock =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap();
    assert!(lock.contains("name = \"ring\""));
    assert!(
        !lock.contains("name = \"aws-lc-rs\""),
        "aws-lc-rs needs more than a C compiler"
    );
}
