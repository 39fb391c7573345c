//! How many instructions the work takes, as a gate: `cargo bench --bench instructions`.
//!
//! Each case runs once under valgrind's callgrind, which counts the instructions of the work alone, on inputs that are
//! the same every time. The counts hardly depend on what else the machine does, so a few per cent tell. One that is
//! 5 % above `expected.txt` fails. `--save` writes that file anew.
//!
//! Without `--bench`, as `cargo test` runs it, the cases do their work once without being counted, and the judgement is
//! held to examples.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a benchmark that cannot go on must say so, and its figures are small"
)]

mod cases;
#[path = "../dumps.rs"]
#[allow(dead_code, reason = "other benchmarks need more of it")]
mod dumps;
mod expected;
#[path = "../../it/http.rs"]
#[allow(dead_code, reason = "the tests need more of it")]
mod http;
#[path = "../../it/programs.rs"]
#[allow(dead_code, reason = "the tests need more of it")]
mod programs;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::sync::Mutex;
use std::thread;

use cases::{CASES, Case};
use clap::Parser;
use expected::{Expected, Verdict};
use programs::{repository, skip};

/// Where the counts are kept, in the repository.
const EXPECTED: &str = "tests/bench/instructions/expected.txt";

/// What to count.
#[derive(Debug, Parser)]
#[command(name = "instructions")]
struct Options {
    /// Keep the counts of this run as what is expected
    #[arg(long)]
    save: bool,
    /// Names of cases to run, or parts of them; all when it is this benchmark's name or none is given
    names: Vec<String>,
    /// As cargo bench says it
    #[arg(long, hide = true)]
    bench: bool,
    /// Do the work of this case on the input in this file; this is what runs under valgrind
    #[arg(long, hide = true, num_args = 2, value_names = ["CASE", "FILE"])]
    work: Option<Vec<String>>,
}

impl Options {
    fn picks(&self, case: &Case) -> bool {
        let names = |name: &String| case.name.contains(&**name) || "instructions".contains(&**name);
        self.names.is_empty() || self.names.iter().any(names)
    }
}

fn main() -> ExitCode {
    let given: BTreeSet<String> = std::env::args().collect();
    if !given.contains("--work") && (given.contains("--test") || !given.contains("--bench")) {
        check();
        return ExitCode::SUCCESS;
    }
    let options = Options::parse();
    if let Some([name, file]) = options.work.as_deref() {
        let case = CASES.iter().find(|case| case.name == name).unwrap();
        (case.work)(&fs::read(file).unwrap());
        return ExitCode::SUCCESS;
    }
    let picked: Vec<&Case> = CASES.iter().filter(|case| options.picks(case)).collect();
    if picked.is_empty() {
        return ExitCode::SUCCESS;
    }
    if !Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
    {
        skip("no valgrind, so nothing is counted; tests/tools/install.sh brings it");
        return ExitCode::SUCCESS;
    }
    judge(&options, &count_all(&picked))
}

/// Calls the work, and is the function whose calls callgrind counts. Not generic, so that it has one name.
#[inline(never)]
pub(crate) fn measured(work: &mut dyn FnMut()) {
    work();
}

/// Holds the counts to what is expected, or makes them that.
fn judge(options: &Options, seen: &[(&str, u64)]) -> ExitCode {
    let file = repository(EXPECTED);
    let mut expected = Expected::parse(&fs::read_to_string(&file).unwrap_or_default());
    let compiler = compiler();
    if expected.compiler != compiler {
        println!(
            "{EXPECTED} is of {}, this is {compiler}: a difference may be the compiler's.",
            expected.compiler
        );
    }
    println!("| case | expected | counted | |\n|---|--:|--:|---|");
    let mut verdicts = Vec::new();
    for &(name, count) in seen {
        let before = expected.counts.get(name).copied();
        let verdict = Verdict::of(before, count);
        let before = before.map_or_else(String::new, |count| count.to_string());
        println!("| {name} | {before} | {count} | {verdict} |");
        verdicts.push(verdict);
    }
    if options.save {
        expected.compiler = compiler;
        // What is not a case any more goes, what was not run stays.
        expected
            .counts
            .retain(|name, _| CASES.iter().any(|case| case.name == name));
        let seen = seen.iter().map(|&(name, count)| (name.to_owned(), count));
        expected.counts.extend(seen);
        fs::write(&file, expected.to_string()).unwrap();
        println!("\n{EXPECTED} is written.");
        return ExitCode::SUCCESS;
    }
    if verdicts.iter().any(|v| matches!(v, Verdict::Better(_))) {
        println!(
            "\nBetter by more than 5 %: keep it, with `cargo bench --bench instructions -- --save`."
        );
    }
    if verdicts.iter().any(Verdict::fails) {
        println!(
            "\nFAILED. If it must be so, say why in the commit, and `cargo bench --bench instructions -- --save`."
        );
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// The counts in the order of the cases; as many cases at once as there are cores.
fn count_all<'a>(cases: &[&'a Case]) -> Vec<(&'a str, u64)> {
    let waiting = Mutex::new(cases.iter().enumerate().collect::<Vec<_>>());
    let counted = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap().pop();
                    let Some((place, case)) = next else { break };
                    let count = count(case);
                    eprintln!("{}: {count}", case.name);
                    counted.lock().unwrap().push((place, case.name, count));
                }
            });
        }
    });
    let mut counted = counted.into_inner().unwrap();
    counted.sort_unstable();
    counted
        .into_iter()
        .map(|(_, name, count)| (name, count))
        .collect()
}

/// Runs this program again, under valgrind, for one case.
fn count(case: &Case) -> u64 {
    let input = scratch(case.name);
    // Made here, since under valgrind it would take fifty times as long.
    fs::write(&input, (case.input)()).unwrap();
    let output: Output = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*measured*"])
        .arg("--callgrind-out-file=/dev/null")
        .arg(std::env::current_exe().unwrap())
        .args(["--bench", "--work", case.name])
        .arg(&input)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    fs::remove_file(&input).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", case.name);
    let count = expected::collected(&said);
    count.unwrap_or_else(|| panic!("{}: nothing was counted: {said}", case.name))
}

fn scratch(name: &str) -> PathBuf {
    let process = std::process::id();
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("instructions-{process}-{name}"))
}

/// What the compiler says it is.
fn compiler() -> String {
    let output = Command::new("rustc").arg("--version").output();
    output.map_or_else(
        |_| "an unknown compiler".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

/// Each case does its work and finds its own result right; each is expected; the judgement is as it should be.
fn check() {
    let expected = Expected::parse(&fs::read_to_string(repository(EXPECTED)).unwrap());
    let cases: BTreeSet<&str> = CASES.iter().map(|case| case.name).collect();
    let known: BTreeSet<&str> = expected.counts.keys().map(String::as_str).collect();
    assert_eq!(cases, known, "{EXPECTED} has these cases");
    assert!(
        expected.counts.values().all(|&count| count > 100_000),
        "{EXPECTED}"
    );
    for case in CASES {
        (case.work)(&(case.input)());
    }
    expected::check();
    println!("{} cases, all right", CASES.len());
}
