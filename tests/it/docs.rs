//! README.md against the program: its commands, metrics and flags exist, and its configurations load.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use goroutine_exporter::classify::{ClassifySpec, Rules};
use goroutine_exporter::decode::{Limits, decode};
use goroutine_exporter::expose::{self, expose_tally};
use goroutine_exporter::self_metrics;
use goroutine_exporter::tally::{Collector, Memory, SeriesLimits, select};

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
        .map(|metric| metric.name.to_owned())
        .collect();
    assert_eq!(metrics(&readme()), exist);
    for metric in expose::metrics::ALL.iter().flat_map(|metric| metric.labels) {
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
        flag.len() > 2 && !["--release", "--bench", "--open", "--path"].contains(flag)
    }) {
        assert!(help.contains(flag), "{flag} is in README.md and in no help");
        seen += 1;
    }
    assert!(seen > 5, "only {seen} flags found");
}

/// Every command of README.md is one of these, and each of these is run here or by the test named beside it.
#[test]
fn commands_of_readme_are_tested() {
    const ELSEWHERE: [(&str, &str); 5] = [
        (
            "cargo run --release -- demo",
            "commands::demo, in the library's own tests, runs the demo",
        ),
        ("tests/tools/install.sh && cargo test", ".ci/run calls it"),
        (
            "goroutine_exporter inspect http://127.0.0.1:6060",
            "go.rs inspects a live service by its URL",
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
            "goroutine.pb.gz" => recorded.to_str().unwrap(),
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

/// 40 + 2 N + one for each watch + 21 for each label: what README.md tells for `sample_limit`. The probe's own series
/// that no failure can have together with groups are counted by hand: success, duration, 7 phases, 7 of the profile.
#[test]
fn series_of_a_probe_stay_below_the_bound_of_readme() {
    assert!(readme().contains("at most 40 + 2 × `limits.groups` series (80 by default)"));
    let spec = ClassifySpec {
        labels: vec!["tenant".into()],
        watch: vec![("a".into(), "main".into()), ("b".into(), "x".into())],
        ..ClassifySpec::default()
    };
    let mut collector = Collector::new(&Rules::new(&spec).unwrap());
    let mut text = String::from("goroutine profile: total 30000\n");
    for place in 0..300 {
        text += &format!(
            "100 @ 0x{place:x}1\n# labels: {{\"tenant\":\"t{place}\"}}\n#\t0x{place:x}1\tmain.f{place}+0x1\t/a/main.go:{place}\n\n"
        );
    }
    let limits = Limits {
        inflated_bytes: 1 << 20,
    };
    let summary = decode(text.as_bytes(), &limits, &mut collector).unwrap();
    let tally = collector.finish(summary);
    assert_eq!((tally.total, tally.groups.len()), (30_000, 300));
    for groups in [1, 20, 100] {
        let limits = SeriesLimits {
            groups,
            min_goroutines: 1,
            min_ratio: 0.0,
        };
        let selection = select(&tally, &limits, &mut Memory::default());
        let text = expose_tally(&tally, &selection).unwrap();
        let series = text.lines().filter(|line| !line.starts_with('#')).count();
        let of_the_probe = 16;
        let bound = 40 + 2 * groups + 2 + 21;
        assert!(
            series + of_the_probe <= bound,
            "{series} + {of_the_probe} of {bound}"
        );
        assert!(
            series + of_the_probe + 6 >= bound,
            "the bound is far too high: {series} of {bound}"
        );
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
