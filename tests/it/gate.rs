//! The leak gate of `examples/ci`, as it stands there, with a real toolchain.

use std::process::{Command, Output, Stdio};

use crate::go::NEW;
use crate::programs::{EXPORTER, repository, skip};

#[test]
fn the_gate_fails_on_the_leak_and_passes_on_its_cure() {
    let folder = tempfile::tempdir().unwrap();
    let service = folder.path().join("service");
    let built = Command::new(repository("tests/tools/go.sh"))
        .args([NEW, "build", "-C", "examples/ci/service", "-o"])
        .arg(&service)
        .arg(".")
        .current_dir(repository("."))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&built.stderr);
    // What go.sh exits with when it has no such toolchain.
    if built.status.code() == Some(127) {
        skip(error.trim());
        return;
    }
    assert!(built.status.success(), "{error}");
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
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
        for words in words {
            assert!(said.contains(words), "no {words:?} in {said}");
        }
    };
    let service = service.to_str().unwrap();
    let source = std::fs::read_to_string(repository("examples/ci/service/main.go")).unwrap();
    let line = source
        .lines()
        .position(|line| line.contains("offers <- supplier"))
        .unwrap()
        + 1;
    check(
        &[service],
        1,
        &[
            "The gate failed at one group",
            "+100",
            "main.ask",
            &format!("main.go:{line}"),
        ],
    );
    let text = std::fs::read_to_string(&summary).unwrap();
    assert!(
        text.contains("❌") && text.contains("<code>main.ask</code>"),
        "{text}"
    );
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
    assert_eq!(commands.len(), 3);
    assert!(
        commands[0].contains("examples/ci/service") && commands[2].contains("examples/ci/gate.sh")
    );
    for path in ["examples/ci/service/main.go", "examples/ci/gate.sh"] {
        assert!(repository(path).exists());
    }
}
