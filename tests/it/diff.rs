//! `diff`: what changed, and the gates, on recorded profiles and on a Go program that runs.

use goroutine_exporter::decode::messages::{Function, Line, Location, Profile, Sample, ValueType};
use prost::Message as _;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::go::{GoProgram, MIDDLE, NEW, OLD};
use crate::http::{ask, get};
use crate::programs::{EXPORTER, command, repository, run, until};

const SMALL: &str = "tests/data/go1.27.3-2min/goroutine.debug2.txt";
const LARGE: &str = "tests/data/go1.27.3/goroutine.debug0.pb.gz";
const LEAKED: &str = "tests/data/go1.27.3/goroutineleak.debug0.pb.gz";

fn diff(arguments: &[&str]) -> Output {
    let arguments = [&["diff"][..], arguments].concat();
    run(&arguments, b"")
}

/// Expects an exit status, and returns standard output.
fn ends(arguments: &[&str], status: i32) -> String {
    let output = diff(arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(status),
        "{arguments:?}: {error}{said}"
    );
    assert!(!error.contains("panicked"), "{error}");
    said.into_owned()
}

fn json(arguments: &[&str], status: i32) -> serde_json::Value {
    let arguments = [arguments, &["--format", "json"]].concat();
    serde_json::from_str(&ends(&arguments, status)).unwrap()
}

fn file(path: &str) -> String {
    repository(path).to_str().unwrap().to_owned()
}

/// What `inspect --format json` says, as a file.
fn report(source: &str, path: &Path) -> serde_json::Value {
    let output = run(&["inspect", "--format", "json", source], b"");
    assert!(output.status.success());
    std::fs::write(path, &output.stdout).unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn every_form_of_a_look_is_compared_alike() {
    let folder = tempfile::tempdir().unwrap();
    let (small, large) = (file(SMALL), file(LARGE));
    let saved = folder.path().join("before.json");
    let saved = saved.to_str().unwrap();
    let truth = report(&small, Path::new(saved));
    let found = json(&[&small, &large], 0);
    assert_eq!(
        (&found["before"]["total"], &found["after"]["total"]),
        (&truth["total"], &831.into())
    );
    let mut of_report = json(&[saved, &large], 0);
    assert_eq!(of_report["before"]["source"], saved);
    of_report["before"]["source"] = small.as_str().into();
    assert_eq!(of_report, found);
    // The sum over the changes is the difference of the totals, and the counts are those of the looks.
    let changes = found["changes"].as_array().unwrap();
    let sum = |key: &str| {
        changes
            .iter()
            .map(|change| change[key].as_i64().unwrap())
            .sum::<i64>()
    };
    let total = |side: &str| found[side]["total"].as_i64().unwrap();
    assert_eq!(
        sum("after") - sum("before"),
        total("after") - total("before")
    );
    for change in changes {
        let mut groups = truth["groups"].as_array().unwrap().iter();
        let before = groups.find(|group| group["group_id"] == change["group_id"]);
        let before = before.map_or(0, |group| group["goroutines"].as_i64().unwrap());
        assert_eq!(change["before"], before, "{change}");
        let kind = match (before, change["after"].as_i64().unwrap()) {
            (0, _) => "appeared",
            (_, 0) => "gone",
            (before, after) if after > before => "grew",
            _ => "shrank",
        };
        assert_eq!(change["change"], kind);
    }
    let same = json(&[saved, &small], 0);
    assert_eq!(same["changes"].as_array().unwrap().len(), 0);
    assert_eq!(same["unchanged"], truth["groups"].as_array().unwrap().len());
    let back = json(&[&large, saved], 0);
    assert_eq!(
        (&back["grown"], &back["lost"]),
        (&found["lost"], &found["grown"])
    );
}

#[test]
fn exit_statuses_tell_failing_from_not_knowing() {
    let (small, large, leaked) = (file(SMALL), file(LARGE), file(LEAKED));
    let (small, large, leaked) = (small.as_str(), large.as_str(), leaked.as_str());
    // The largest growth of a group: 2 to 31.
    ends(&["--fail-on-growth", "29", small, large], 0);
    let said = ends(&["--fail-on-growth", "28", small, large], 1);
    assert!(
        said.contains("The gate failed at one group") && said.contains("main.kConnRead"),
        "{said}"
    );
    // What is hidden fails all the same.
    let said = ends(
        &["--fail-on-growth", "28", "--min", "1000", small, large],
        1,
    );
    assert!(said.contains("main.kConnRead"), "{said}");
    ends(
        &[
            "--fail-on-growth",
            "0",
            large,
            small,
            "--focus",
            "kConnRead",
        ],
        0,
    );
    ends(
        &[
            "--fail-on-growth",
            "0",
            small,
            large,
            "--focus",
            "kConnRead",
        ],
        1,
    );
    ends(
        &[
            "--fail-on-growth",
            "0",
            small,
            large,
            "--focus",
            "kConnRead",
            "--ignore",
            "waits|main",
        ],
        0,
    );
    ends(&["--fail-on-new", "/dev/null", large], 2);
    let says = |arguments: &[&str], words: &str| {
        let output = diff(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(words), "{arguments:?}: {error}");
    };
    says(&["/no/such/file", large], "No such file");
    says(&["-", "-"], "standard input can be one of the two");
    says(&[large, leaked], "compare profiles of one kind");
    says(
        &["--allow", "/no/such/file", small, large],
        "--allow /no/such/file",
    );
    says(
        &["--fail-on-growth", "some", small, large],
        "--fail-on-growth",
    );
    says(&[small], "<AFTER>");
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.txt");
    let whole = std::fs::read(small).unwrap();
    std::fs::write(&cut, &whole[..whole.len() / 2 - 40]).unwrap();
    let cut = cut.to_str().unwrap();
    says(
        &["--fail-on-growth", "9", small, cut],
        "the profile was cut; a gate needs whole profiles",
    );
    assert!(ends(&[small, cut], 0).contains("the profile was cut"));
    // A pipe is read once, and whole.
    let line =
        format!("exec '{EXPORTER}' diff --fail-on-growth 28 <(cat '{small}') <(cat '{large}')");
    let piped = Command::new("bash").args(["-c", &line]).output().unwrap();
    assert_eq!(piped.status.code(), Some(1), "{piped:?}");
    let saved = folder.path().join("saved.json");
    report(small, &saved);
    says(
        &["--focus", "x", saved.to_str().unwrap(), large],
        "a report has no stacks",
    );
}

#[test]
fn a_gate_fails_though_nobody_reads_why() {
    let mut child = command()
        .args(["diff", "--fail-on-growth", "28", "-", &file(LARGE)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // It writes once it has read, and by then the other end is closed.
    drop(child.stdout.take());
    let small = std::fs::read(file(SMALL)).unwrap();
    child.stdin.take().unwrap().write_all(&small).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn new_groups_fail_and_known_ones_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let before = folder.path().join("before.txt");
    let after = folder.path().join("after.txt");
    let allow = folder.path().join("allow");
    let goroutines = |counts: &[(&str, usize)]| {
        let mut text = String::new();
        let mut id = 0;
        for (function, count) in counts {
            for _ in 0..*count {
                id += 1;
                text += &format!(
                    "goroutine {id} [chan receive]:\nmain.{function}()\n\t/x/main.go:7 +0x1\n\n"
                );
            }
        }
        text
    };
    std::fs::write(&before, goroutines(&[("old", 5)])).unwrap();
    std::fs::write(&after, goroutines(&[("old", 5), ("young", 3)])).unwrap();
    let (before, after) = (before.to_str().unwrap(), after.to_str().unwrap());
    let path = allow.to_str().unwrap();
    ends(&["--fail-on-new", before, after], 1);
    ends(&["--fail-on-new=3", before, after], 1);
    ends(&["--fail-on-new=4", before, after], 0);
    ends(&["--fail-on-new", after, before], 0);
    ends(&["--fail-on-growth", "2", before, after], 1);
    let found = json(&[before, after], 0);
    assert_eq!(found["gate"], serde_json::Value::Null);
    let id = found["changes"][0]["group_id"].as_str().unwrap().to_owned();
    let gates = [
        "--fail-on-new",
        "--fail-on-growth",
        "0",
        "--allow",
        path,
        before,
        after,
    ];
    for (known, status) in [
        (id.as_str(), 0),
        ("main\\.young$  # fine", 0),
        ("main.old", 1),
        ("", 1),
    ] {
        std::fs::write(&allow, known).unwrap();
        let found = json(&gates, status);
        assert_eq!(found["gate"]["failed"], status == 1, "{known}");
        let allowed = if status == 0 {
            "known".into()
        } else {
            serde_json::Value::Null
        };
        assert_eq!(found["changes"][0]["allowed"], allowed);
    }
    // A report allows what it lists.
    report(after, &allow);
    ends(&gates, 0);
    std::fs::write(after, goroutines(&[("old", 5), ("young", 4)])).unwrap();
    ends(&gates, 1);
}

#[test]
fn markdown_is_a_summary_in_which_names_are_text() {
    let folder = tempfile::tempdir().unwrap();
    let after = folder.path().join("after.pb");
    // Only the protobuf lets any bytes through: a text is read by the shapes of Go's own lines.
    let strings = [
        "",
        "goroutine",
        "count",
        "runtime.gopark",
        "runtime.chanrecv",
        "main.a|b<script>`@all",
        "main.(*T[`x`|<script>alert(1)</script>]).f@all",
        "/usr/local/go/src/runtime/chan.go",
        "/x/</pre>main.go",
    ];
    let function = |id, name, filename| Function {
        id,
        name,
        filename,
        ..Function::default()
    };
    let location = |id| Location {
        id,
        line: vec![Line {
            function_id: id,
            line: 7,
            ..Line::default()
        }],
        ..Location::default()
    };
    let profile = Profile {
        sample_type: vec![ValueType { r#type: 1, unit: 2 }],
        sample: vec![Sample {
            location_id: vec![1, 2, 3, 4],
            value: vec![1],
            label: Vec::new(),
        }],
        location: (1..=4).map(location).collect(),
        function: vec![
            function(1, 3, 7),
            function(2, 4, 7),
            function(3, 5, 8),
            function(4, 6, 8),
        ],
        string_table: strings.map(|text| text.as_bytes().to_vec()).to_vec(),
        ..Profile::default()
    };
    std::fs::write(&after, profile.encode_to_vec()).unwrap();
    let small = file(SMALL);
    let arguments = [
        "--format",
        "markdown",
        "--stacks=99",
        "--fail-on-new",
        &small,
        after.to_str().unwrap(),
    ];
    let text = ends(&arguments, 1);
    assert!(
        text.starts_with(
            "**❌ The gate failed at one group: no group may appear. Goroutines: 175 → 1 (-174)**\n"
        ),
        "{text}"
    );
    assert!(
        !text.contains("<script") && !text.contains("</pre>main"),
        "{text}"
    );
    // Each row has as many cells as the header.
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
    assert!(
        rows.len() > 10 && rows.iter().all(|row| row.matches('|').count() == 7),
        "{text}"
    );
    let harmful = |row: &&str| row.contains('`') || row.contains("@all");
    assert!(!rows.iter().any(harmful), "{text}");
    for block in text.split("<details>").skip(1) {
        let inside = block.split("</details>").next().unwrap();
        assert!(
            !inside.contains("\n\n"),
            "an empty line ends the block: {inside}"
        );
    }
    assert!(text.contains("<details>"));
}

/// The looks themselves, in every combination of forms, whatever goroutine serves them.
#[test]
fn looking_fails_no_gate() {
    for version in [OLD, MIDDLE, NEW] {
        let Some(leaky) = GoProgram::start(version, "leaky", &[]) else {
            return;
        };
        let folder = tempfile::tempdir().unwrap();
        let path = |query: &str| folder.path().join(query).to_str().unwrap().to_owned();
        let take = |query: &str| {
            let url = format!("/debug/pprof/goroutine?{query}");
            std::fs::write(path(query), get(leaky.address(), &url).body).unwrap();
        };
        let strict = |before: &str, after: &str| {
            let gates = ["--fail-on-new", "--fail-on-growth", "0", "--format", "json"];
            let output = diff(&[&gates[..], &[before, after]].concat());
            let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            (output.status.code().unwrap(), found)
        };
        let mut excused = 0;
        let sources = [path("debug=0"), path("debug=2"), leaky.target.clone()];
        for (before, after) in sources
            .iter()
            .flat_map(|before| sources.iter().map(move |after| (before, after)))
        {
            // A program that has just begun changes by itself; where looks failed the gate, they would do so each time.
            let found = until("a look that fails no gate", || {
                take("debug=0");
                take("debug=2");
                let (status, found) = strict(before, after);
                Some(found).filter(|_| status == 0)
            });
            let changes = found["changes"].as_array().unwrap();
            let of_look = changes.iter().filter(|change| change["allowed"] == "look");
            excused += of_look.count();
        }
        // The two forms are written by different functions, so there was something to excuse.
        assert!(excused >= 2, "Go {version}: {excused}");
        ask(leaky.address(), "POST", "/leak?n=1", &[]).is(200, "");
        let (status, found) = strict(&sources[0], &leaky.target);
        let changes = found["changes"].as_array().unwrap();
        let leak = changes
            .iter()
            .find(|change| change["blocking_frame"] == "main.(*Service).render");
        assert_eq!((status, &leak.unwrap()["fails"]), (1, &true.into()));
    }
}
