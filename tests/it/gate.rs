//! The leak gate and the vet-style check of `examples/ci`, as they stand there, with real toolchains.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::go::{NEW, OLD};
use crate::programs::{EXPORTER, repository, skip};

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

/// The change of a row of the table, and its place; other columns come and go with what is in them.
fn numbers_and_place(row: &str) -> (String, String) {
    let mut words = row.split_whitespace();
    let change = words.next().unwrap().to_owned();
    (
        change,
        words.find(|word| word.contains(".go:")).unwrap().to_owned(),
    )
}

/// Both outputs of a program.
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn the_gate_fails_on_the_leak_and_passes_on_its_cure() {
    let folder = tempfile::tempdir().unwrap();
    let service = folder.path().join("service");
    let out = service.to_str().unwrap();
    let build = ["build", "-C", "examples/ci/service", "-o", out, "."];
    let Some(built) = go(NEW, &build) else { return };
    assert!(built.status.success(), "{}", said(&built));
    let summary = folder.path().join("summary.md");
    let gate = |arguments: &[&str]| -> Output {
        Command::new(repository("examples/ci/gate.sh"))
            .args(arguments)
            .env("GOROUTINE_EXPORTER", EXPORTER)
            .env("SUMMARY", &summary)
            .env("REQUESTS", "100")
            .env("QUIET_SECONDS", "60")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let check = |arguments: &[&str], status: i32, words: &[&str]| {
        let output = gate(arguments);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
        for words in words {
            assert!(said.contains(words), "no {words:?} in {said}");
        }
        output.stdout
    };
    let service = service.to_str().unwrap();
    let source = std::fs::read_to_string(repository("examples/ci/service/main.go")).unwrap();
    let line = source
        .lines()
        .position(|line| line.contains("offers <- supplier"))
        .unwrap()
        + 1;
    let place = format!("main.go:{line}");
    let words = ["The gate failed at one group", "+100", "main.ask", &*place];
    let first = check(&[service], 1, &words);
    let text = std::fs::read_to_string(&summary).unwrap();
    assert!(
        text.contains("❌") && text.contains("<code>main.ask</code>"),
        "{text}"
    );
    // Again it is the same, but for the goroutines of the looks themselves, which are listed and never judged.
    let second = check(&[service], 1, &words);
    let verdict = |table: &[u8]| {
        let table = String::from_utf8_lossy(table).into_owned();
        let failed = |line: &&str| line.contains("FAIL");
        let failed: Vec<_> = table
            .lines()
            .filter(failed)
            .map(numbers_and_place)
            .collect();
        (table.lines().next().unwrap().to_owned(), failed)
    };
    assert_eq!(verdict(&first), verdict(&second));
    check(&[service, "-fixed"], 0, &["The gate passed"]);
    check(&["false"], 2, &["gate.sh: the service ended"]);
    check(&[], 2, &["usage"]);
}

#[test]
fn the_workflow_runs_what_is_there() {
    let text = std::fs::read_to_string(repository("examples/ci/leak-gate.yml")).unwrap();
    let workflow: serde_json::Value = serde_yaml::from_str(&text).unwrap();
    let steps = workflow["jobs"]["leak-gate"]["steps"].as_array().unwrap();
    let commands: Vec<&str> = steps
        .iter()
        .filter_map(|step| step["run"].as_str())
        .collect();
    assert_eq!(commands.len(), 4);
    let places = [
        (0, "examples/ci/service"),
        (1, "examples/ci/mapkeys"),
        (3, "examples/ci/gate.sh"),
    ];
    for (step, path) in places {
        assert!(commands[step].contains(path), "{}", commands[step]);
        assert!(repository(path).exists());
    }
}

/// Its own tests: what it reports panics, what it leaves alone does not.
fn mapkeys_with(version: &str) {
    let of_folder = |verb, more: &[&str]| {
        let arguments = [&[verb, "-C", "examples/ci/mapkeys"], more].concat();
        go(version, &arguments)
    };
    let Some(tested) = of_folder("test", &["-count=1", "-v", "."]) else {
        return;
    };
    let text = said(&tested);
    assert!(tested.status.success(), "Go {version}: {text}");
    assert_eq!(text.matches("\n--- PASS: ").count(), 5, "{text}");
    let vetted = of_folder("vet", &["."]).unwrap();
    assert!(vetted.status.success(), "{}", said(&vetted));
}

#[test]
fn the_check_for_map_keys_is_true_with_an_old_go() {
    mapkeys_with(OLD);
}

#[test]
fn the_check_for_map_keys_is_true_with_a_new_go() {
    mapkeys_with(NEW);
}

/// The step of the workflow, line by line, on the service and on one with a mistake in it.
#[test]
fn the_step_of_the_workflow_finds_map_keys() {
    let text = std::fs::read_to_string(repository("examples/ci/leak-gate.yml")).unwrap();
    let workflow: serde_json::Value = serde_yaml::from_str(&text).unwrap();
    let step = workflow["jobs"]["leak-gate"]["steps"]
        .as_array()
        .unwrap()
        .iter()
        .find_map(|step| step["run"].as_str().filter(|run| run.contains("mapkeys")))
        .unwrap();
    let Some(root) = go(NEW, &["env", "GOROOT"]) else {
        return;
    };
    let root = PathBuf::from(String::from_utf8(root.stdout).unwrap().trim());
    let cache = String::from_utf8(go(NEW, &["env", "GOCACHE"]).unwrap().stdout).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("examples/ci");
    for file in ["mapkeys", "service"] {
        let from = repository("examples/ci").join(file);
        std::fs::create_dir_all(copy.join(file)).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                std::fs::copy(&path, copy.join(file).join(path.file_name().unwrap())).unwrap();
            }
        }
    }
    let run = || {
        let path = PathBuf::from(std::env::var_os("PATH").unwrap());
        Command::new("bash")
            .args(["-euc", step])
            .current_dir(folder.path())
            .env(
                "PATH",
                format!("{}:{}", root.join("bin").display(), path.display()),
            )
            .env("RUNNER_TEMP", folder.path())
            .envs([
                ("GOENV", "off"),
                ("GOPROXY", "off"),
                ("GOTOOLCHAIN", "local"),
            ])
            .env("GOCACHE", cache.trim())
            .env("CGO_ENABLED", "0")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let good = run();
    assert_eq!(good.status.code(), Some(0), "{}", said(&good));
    let mistake =
        "package main\n\nimport \"reflect\"\n\nvar keys = reflect.ValueOf(struct{}{}).MapKeys()\n";
    std::fs::write(copy.join("service/mistake.go"), mistake).unwrap();
    let bad = run();
    assert_eq!(bad.status.code(), Some(1), "{}", said(&bad));
    assert!(
        said(&bad).contains("mistake.go:5:40: MapKeys is called on struct{}"),
        "{}",
        said(&bad)
    );
}
