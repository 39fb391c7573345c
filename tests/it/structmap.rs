//! The five ways of `examples/go/structmap` to turn a struct into a map: their own tests with an old and a new Go, with the
//! race detector and with made-up input, and the service around them as the exporter sees it.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::go::{NEW, OLD};
use crate::http::get;
use crate::programs::{Exporter, Program, repository, skip, until};

const FOLDER: &str = "examples/go/structmap";

const WAYS: [&str; 5] = ["json", "decoder", "plan", "offsets", "generated"];

/// Runs a toolchain from the root of the repository; nothing when this machine has no such Go.
fn go(version: &str, arguments: &[&str]) -> Option<Output> {
    let output = Command::new(repository("tests/tools/go.sh"))
        .arg(version)
        .args(arguments)
        .current_dir(repository("."))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    // What go.sh exits with when it has no such toolchain.
    if output.status.code() == Some(127) {
        skip(said(&output).trim());
        return None;
    }
    Some(output)
}

/// Both outputs of a program.
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Every test of the package that converts, and of the generator, passes, and vet has nothing to say.
fn check_version(version: &str) {
    let of_folder = |verb, more: &[&str]| {
        let arguments = [&[verb, "-C", "examples/go"], more, &["./structmap/..."]].concat();
        go(version, &arguments)
    };
    let Some(tested) = of_folder("test", &["-count=1", "-v"]) else {
        return;
    };
    let text = said(&tested);
    assert!(tested.status.success(), "Go {version}: {text}");
    for test in [
        "TestResults",
        "TestResultsShareNothing",
        "TestManyAtOnce",
        "TestWhatJSONCannotCarry",
        "FuzzOrders",
        "TestGeneratedFileIsOfToday",
        "TestTypesThatCannotBeWritten",
    ] {
        assert!(
            text.contains(&format!("\n--- PASS: {test} ")),
            "{test}: {text}"
        );
    }
    for input in [
        "nil",
        "pointer_to_pointer",
        "embedded",
        "unexported",
        "map",
        "cyclic",
    ] {
        for way in WAYS {
            let case = format!("--- PASS: TestResults/{input}/{way} ");
            assert!(text.contains(&case), "no {case}");
        }
    }
    let vetted = of_folder("vet", &[]).unwrap();
    assert!(vetted.status.success(), "{}", said(&vetted));
}

#[test]
fn structs_become_the_same_maps_with_an_old_go() {
    check_version(OLD);
}

#[test]
fn structs_become_the_same_maps_with_a_new_go() {
    check_version(NEW);
}

/// The race detector is written in C, which go.sh leaves out: the same Go, with the same cache, and a compiler.
#[test]
fn no_race_is_detected() {
    let compiler = Command::new("gcc").arg("--version").output();
    if !compiler.is_ok_and(|output| output.status.success()) {
        return skip("the race detector needs gcc");
    }
    let Some(known) = go(NEW, &["env", "GOROOT", "GOCACHE", "GOPATH"]) else {
        return;
    };
    let known = String::from_utf8(known.stdout).unwrap();
    let [root, cache, path] = known.lines().collect::<Vec<_>>()[..] else {
        panic!("{known}");
    };
    let output = Command::new(PathBuf::from(root).join("bin/go"))
        .args(["test", "-race", "-count=1", "./structmap/convert"])
        .current_dir(repository("examples/go"))
        .envs([("GOROOT", root), ("GOCACHE", cache), ("GOPATH", path)])
        .envs([
            ("GOENV", "off"),
            ("GOPROXY", "off"),
            ("GOTOOLCHAIN", "local"),
        ])
        .env("CGO_ENABLED", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn made_up_orders_are_converted_alike() {
    let arguments = [
        "test",
        "-C",
        "examples/go",
        "-run",
        "^$",
        "-fuzz",
        "^FuzzOrders$",
        "-fuzztime",
        "1500x",
        "-parallel",
        "2",
        "./structmap/convert",
    ];
    let Some(output) = go(NEW, &arguments) else {
        return;
    };
    assert!(output.status.success(), "{}", said(&output));
}

/// With each way the service does what it is told, and the exporter sees which code is busy.
#[test]
fn the_service_is_seen_at_work() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("structmap");
    let out = program.to_str().unwrap();
    let Some(built) = go(
        NEW,
        &["build", "-C", "examples/go", "-o", out, "./structmap"],
    ) else {
        return;
    };
    assert!(built.status.success(), "{}", said(&built));
    let exporter = Exporter::start(
        "modules: { default: { detail: { mode: off }, limits: { min_goroutines: 1 } } }\n",
    );
    for way in WAYS {
        // Four requests at once, each of which takes long enough to be met.
        let flags = [
            "-converter",
            way,
            "-rate",
            "1e9",
            "-batch",
            "20000",
            "-most",
            "4",
        ];
        let service = Program::start(Command::new(&program).args(flags));
        let target = service.line("target", |line| {
            Some(line.strip_prefix("ready ")?.to_owned())
        });
        let (_, address) = target.split_once("://").unwrap();
        until("busy requests", || {
            let metrics = exporter.probe(&target, "default");
            metrics.is("goroutine_probe_success", &[], 1.0);
            // Never more than may be, with the probe's own, the traffic's and the two of the program.
            let total = metrics.value("goroutine_goroutines", &[]).unwrap();
            assert!(total <= 4.0 + 8.0, "{}", metrics.text);
            let busy = metrics.all("goroutine_group_goroutines", &[("wait_reason", "running")]);
            let mut busy = busy.map(|sample| sample.label("app_frame"));
            busy.any(|frame| frame.starts_with("example.com/goroutines/structmap/convert."))
                .then_some(())
        });
        until("a finished request", || {
            let truth = get(address.parse().unwrap(), "/truth").json();
            assert_eq!(
                (&truth["converter"], &truth["failed"]),
                (&way.into(), &0.into())
            );
            (truth["converted"].as_u64().unwrap() > 0).then_some(())
        });
    }
    let wrong = Command::new(&program)
        .args(["-converter", "none"])
        .output()
        .unwrap();
    assert!(
        !wrong.status.success() && said(&wrong).contains("json, decoder, plan, offsets, generated")
    );
}

/// The figures of a run are in the README, and the picture beside it is of the same ways.
#[test]
fn figures_of_a_run_are_in_the_readme() {
    let text = std::fs::read_to_string(repository(FOLDER).join("README.md")).unwrap();
    let (_, rest) = text.split_once("<!-- written by a run -->").unwrap();
    let (written, after) = rest.split_once("<!-- to here -->").unwrap();
    for way in WAYS {
        let row = written
            .lines()
            .find(|line| line.starts_with(&format!("| `{way}` | ")));
        let row = row.unwrap_or_else(|| panic!("no row for {way}"));
        let cells: Vec<&str> = row.split(" | ").collect();
        assert!(
            cells.len() == 6 && cells[1].ends_with(" µs") && cells[2].ends_with(" bytes"),
            "{row}"
        );
        assert!(
            text.matches(&format!("| `{way}` | ")).count() == 2,
            "{way} is explained once, and measured once"
        );
    }
    assert!(written.contains(&format!("go{NEW}")));
    assert!(after.contains("](cost.svg)"));
    let picture = std::fs::read_to_string(repository(FOLDER).join("cost.svg")).unwrap();
    assert!(
        WAYS.iter().all(|way| picture.contains(way))
            && picture.contains("as the exporter sees them")
    );
}
