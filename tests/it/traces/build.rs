//! Programs around traces, built from source: one that traces itself, and Go's own reader.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::programs::{repository, skip};

/// The Go whose reader is built: the newest, which reads what all others write.
const READER: &str = "1.27.3";

/// What the copy of the reader has beside.
const MORE: &str = r#"package trace

import "oracle/trace/tracev2"

// RawTimes leaves times as the trace has them.
var RawTimes bool

// IsSwitch tells an event of two coroutines, of which the reader makes three, from a wake-up.
func (e Event) IsSwitch() bool {
	return e.base.typ == tracev2.EvGoSwitch || e.base.typ == tracev2.EvGoSwitchDestroy
}
"#;

/// Runs a toolchain; nothing when this machine has no such Go.
fn go(version: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(repository("tests/tools/go.sh"))
        .arg(version)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    // What go.sh exits with when it has no such toolchain.
    if output.status.code() == Some(127) {
        skip(&error);
        return None;
    }
    assert!(output.status.success(), "Go {version}: {error}");
    Some(String::from_utf8(output.stdout).unwrap())
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A trace that `tests/tools/traced` makes of itself with that version of Go.
pub(crate) fn traced(version: &str, flags: &[&str], settings: &str) -> Option<Vec<u8>> {
    let folder = folder(&format!("traced{version}"));
    let source = repository("tests/tools/traced");
    let program = folder.join("traced");
    let paths = [source.to_str().unwrap(), program.to_str().unwrap()];
    go(version, &["build", "-C", paths[0], "-o", paths[1], "."])?;
    let file = folder.join("trace");
    let status = Command::new(&program)
        .args(flags)
        .arg("-out")
        .arg(&file)
        .env("GODEBUG", settings)
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    Some(fs::read(file).unwrap())
}

/// `tests/tools/trace_oracle`, in a folder where Go's reader is copied to: only the standard library may import it where
/// it is.
pub(crate) fn oracle() -> Option<PathBuf> {
    let folder = folder("trace_oracle");
    let root = go(READER, &["env", "GOROOT"])?;
    let reader = Path::new(root.trim()).join("src/internal/trace");
    let copied = folder.join("trace");
    if copied.exists() {
        // What an earlier build put there may not be wanted any more.
        fs::remove_dir_all(&copied).unwrap();
    }
    copy(&reader, &copied);
    let file = folder.join("trace/reader.go");
    let text = fs::read_to_string(&file).unwrap();
    let (moves, stays) = (
        "if e.base.time <= r.lastTs {",
        "if !RawTimes && e.base.time <= r.lastTs {",
    );
    assert_eq!(text.matches(moves).count(), 1, "another reader");
    fs::write(&file, text.replace(moves, stays)).unwrap();
    fs::write(folder.join("trace/more.go"), MORE).unwrap();
    for name in ["main.go", "go.mod"] {
        let source = repository("tests/tools/trace_oracle").join(name);
        fs::copy(source, folder.join(name)).unwrap();
    }
    let program = folder.join("oracle");
    let paths = [folder.to_str().unwrap(), program.to_str().unwrap()];
    go(READER, &["build", "-C", paths[0], "-o", paths[1], "."])?;
    Some(program)
}

/// Copies a package and those below it, without tests, so that they import each other where they are now.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            if !["testdata", "testtrace", "testgen", "traceviewer"].contains(&&*name) {
                copy(&path, &to.join(name));
            }
        } else if name.ends_with(".go") && !name.ends_with("_test.go") {
            let text = fs::read_to_string(&path).unwrap();
            let text = text.replace("\"internal/trace", "\"oracle/trace");
            fs::write(to.join(name), text).unwrap();
        }
    }
}
