//! The small Go programs that benchmarks measure, built from source.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::programs::{repository, skip};

/// The newest Go, with which they are built: what it does is what is measured.
pub(crate) const GO: &str = "1.27.3";

/// The program in a folder of `tests/bench`, under its last name; nothing when this machine has no such Go.
pub(crate) fn build(folder: &str) -> Option<PathBuf> {
    let source = Path::new("tests/bench").join(folder);
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(source.file_name().unwrap());
    let output = Command::new(repository("tests/tools/go.sh"))
        .args([GO, "build", "-C"])
        .arg(&source)
        .arg("-o")
        .arg(&program)
        .arg(".")
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
    assert!(output.status.success(), "Go {GO}: {error}");
    Some(program)
}

/// The version of Go that a program was built with, as the program has it.
pub(crate) fn version(program: &Path) -> String {
    let output = Command::new(repository("tests/tools/go.sh"))
        .args([GO, "version"])
        .arg(program)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let (_, version) = text.trim().rsplit_once(": ").unwrap();
    version.to_owned()
}
