//! A storm of scrapes stays within the memory that README.md states.

use goroutine_exporter::decode::messages::{Function, Line, Location, Profile, Sample, ValueType};
use prost::Message as _;

use crate::programs::Exporter;
use crate::servers::{Server, ok};

const MIB: u64 = 1 << 20;

/// Targets in the storm, probes at once, and bytes of a body.
const TARGETS: u64 = 48;
const AT_ONCE: u64 = 8;
const BODY: u64 = 4 * MIB;

/// A profile of one goroutine, filled up to `size` bytes with strings that nothing refers to and samples of labels that
/// nobody wants: what a hostile target, or a busy one, may send.
fn large_profile(size: u64) -> Vec<u8> {
    let text = |text: &str| text.as_bytes().to_vec();
    let mut profile = Profile {
        sample_type: vec![ValueType { r#type: 1, unit: 2 }],
        sample: vec![Sample {
            location_id: vec![1],
            value: vec![1],
            label: Vec::new(),
        }],
        location: vec![Location {
            id: 1,
            line: vec![Line {
                function_id: 1,
                ..Line::default()
            }],
            ..Location::default()
        }],
        function: vec![Function {
            id: 1,
            name: 3,
            ..Function::default()
        }],
        string_table: vec![
            text(""),
            text("goroutine"),
            text("count"),
            text("main.main"),
        ],
        ..Profile::default()
    };
    let room = usize::try_from(size).unwrap() - profile.encoded_len();
    // Eight bytes of text cost ten in the profile, and the exporter 16 for each.
    profile
        .string_table
        .extend((0..room / 10).map(|n| text(&format!("{n:08x}"))));
    profile.encode_to_vec()
}

/// A value of `/proc/PID/status` in bytes.
fn status(exporter: &Exporter, key: &str) -> Option<u64> {
    let file = format!("/proc/{}/status", exporter.program.id());
    let status = std::fs::read_to_string(file).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kilobytes: u64 = line
        .trim_start_matches(':')
        .split_whitespace()
        .next()?
        .parse()
        .ok()?;
    Some(kilobytes * 1024)
}

#[test]
fn memory_stays_within_the_limits_times_what_runs_at_once() {
    let body = ok(&large_profile(BODY - 1024));
    let server = Server::by_path(move |_| body.clone());
    let targets: String = (0..TARGETS)
        .map(|n| format!("- {{ url: \"http://{}/t{n}\" }}\n", server.target()))
        .collect();
    let module = "{ timeout: 5m, detail: { mode: off }, limits: { body_bytes: 4MiB, inflated_bytes: 4MiB } }";
    let exporter = Exporter::start(&format!(
        "modules:\n  default: {module}\nprobes: {{ total: {AT_ONCE} }}\ntargets:\n{targets}"
    ));
    let Some(idle) = status(&exporter, "VmRSS") else {
        crate::programs::skip("this system does not tell how much memory a process takes");
        return;
    };
    let metrics = crate::http::Metrics::parse(&exporter.get("/targets/metrics").text());
    let succeeded = metrics
        .all("goroutine_probe_success", &[])
        .filter(|sample| sample.value == 1.0);
    assert_eq!(succeeded.count() as u64, TARGETS);

    let peak = status(&exporter, "VmHWM").unwrap();
    let processors = std::thread::available_parallelism().unwrap().get() as u64;
    let tables = (10 * BODY).min(200 * MIB);
    let bound =
        idle + AT_ONCE * (BODY + 512 * 1024) + processors * (BODY + tables) + TARGETS * 50_000;
    eprintln!(
        "idle {} MiB, peak {} MiB, bound {} MiB",
        idle / MIB,
        peak / MIB,
        bound / MIB
    );
    assert!(peak <= bound, "{} MiB of {} MiB", peak / MIB, bound / MIB);
    // There was a storm: several bodies were held at once.
    assert!(peak >= idle + 2 * BODY, "{} MiB", peak / MIB);
}
