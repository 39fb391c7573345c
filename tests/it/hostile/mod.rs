//! Hostile targets against one exporter: each is the reason it should be, or is read with its damage counted; in time, in
//! bounded memory, with an exposition that Prometheus takes; and a target that is well is read as well as before.
//!
//! `cargo test --test it hostile -- --nocapture` shows the table: hostility, outcome, seconds, MiB above idle.

mod answers;
mod bodies;
mod names;
mod profiles;
mod resets;

use std::time::{Duration, Instant};

use crate::http::{Metrics, try_ask};
use crate::programs::{Exporter, probe_path};
use crate::prometheus::have;
use crate::servers::{GOROUTINES, Server, ok};
use bodies::MIB;

/// `default` is patient and has small limits, `large` has those of the program's defaults; `hasty` gives up early.
const CONFIG: &str = "\
modules:
  default: { timeout: 20s, detail: { mode: off }, classify: { labels: [tenant] }, limits: { body_bytes: 4MiB, inflated_bytes: 16MiB } }
  large: { timeout: 30s, detail: { mode: off } }
  hasty: { timeout: 300ms, detail: { mode: off } }
  following: { timeout: 20s, detail: { mode: off }, http: { follow_redirects: true } }
  others: { timeout: 20s, detail: { mode: off }, profiles: [goroutine, goroutineleak, block, mutex, threadcreate], limits: { body_bytes: 1MiB, inflated_bytes: 4MiB } }
  others_hasty: { timeout: 1s, detail: { mode: off }, profiles: [goroutine, goroutineleak, block, mutex, threadcreate] }
  detail: { timeout: 20s, limits: { body_bytes: 1MiB, inflated_bytes: 4MiB, detail_body_bytes: 2MiB } }
  detail_hasty: { timeout: 1s }
  detail_large: { timeout: 20s, limits: { body_bytes: 1MiB, inflated_bytes: 1MiB } }
allow: [{ cidr: 127.0.0.0/8 }]
";

/// How much later than its deadline an answer may come where others keep the processors busy.
const SLACK: Duration = Duration::from_secs(20);

/// What a probe of a hostile target should come to.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// One failure of this reason.
    Fails(&'static str),
    /// A failure to read all, of what can be counted.
    Damaged,
    /// Success, with as many goroutines.
    Reads(u32),
}

/// An exporter, and what it came to with each target.
struct Stage {
    exporter: Exporter,
    healthy: Server,
    promtool: bool,
    /// Bytes of memory before anybody was hostile.
    idle: u64,
    rows: Vec<String>,
}

impl Stage {
    fn new() -> Self {
        let exporter = Exporter::start(CONFIG);
        let healthy = Server::healthy();
        exporter.probe(&healthy.target(), "default");
        Self {
            idle: memory(exporter.program.id(), "VmRSS"),
            exporter,
            healthy,
            promtool: have("promtool"),
            rows: Vec::new(),
        }
    }

    /// A target that answers with this body.
    fn body(&mut self, name: &str, module: &str, body: &[u8], expected: Outcome) -> Metrics {
        let server = Server::answering(ok(body));
        self.target(name, module, &server.target(), expected)
    }

    /// A target that does this with the connection once it was asked.
    fn server(&mut self, name: &str, module: &str, server: &Server, expected: Outcome) -> Metrics {
        self.target(name, module, &server.target(), expected)
    }

    fn target(&mut self, name: &str, module: &str, target: &str, expected: Outcome) -> Metrics {
        let (metrics, seconds, peak) = self.probe(name, module, target);
        let reason = metrics.all("goroutine_probe_failure", &[]).next();
        let reason = reason.map(|sample| sample.label("reason").to_owned());
        let total = metrics.value("goroutine_goroutines", &[]);
        let shown = reason
            .clone()
            .unwrap_or_else(|| format!("{} read", total.unwrap_or(0.0)));
        self.rows
            .push(format!("{name:<44} {shown:<14} {seconds:>6.2} {peak:>5}"));
        let success = metrics.value("goroutine_probe_success", &[]);
        match expected {
            Outcome::Fails(expected) => {
                assert_eq!(
                    (success, reason.as_deref()),
                    (Some(0.0), Some(expected)),
                    "{name}"
                );
            }
            Outcome::Damaged => {
                assert_eq!(
                    (success, reason.as_deref()),
                    (Some(0.0), Some("decode")),
                    "{name}"
                );
                let goroutine = [("profile", "goroutine")];
                let marks = [
                    "goroutine_profile_damaged_records",
                    "goroutine_profile_truncated",
                ];
                let told = marks.map(|mark| metrics.value(mark, &goroutine).unwrap_or(0.0));
                assert!(told.iter().sum::<f64>() > 0.0, "{name}: {told:?}");
            }
            Outcome::Reads(expected) => {
                assert_eq!(
                    (success, reason),
                    (Some(1.0), None),
                    "{name}: {}",
                    metrics.text
                );
                assert_eq!(total, Some(f64::from(expected)), "{name}");
            }
        }
        metrics
    }

    /// Probes once: in time, within the memory a probe may take, and with an exposition that is valid. What is counted
    /// adds up, and the target that is well is read.
    fn probe(&mut self, name: &str, module: &str, target: &str) -> (Metrics, f64, u64) {
        let patience = timeout(module) + SLACK;
        let process = self.exporter.program.id();
        // Forgets the peak (proc_pid_clear_refs(5)).
        drop(std::fs::write(format!("/proc/{process}/clear_refs"), "5"));
        let begun = Instant::now();
        let path = probe_path(target, &[("module", module)]);
        let answer = within(patience, || {
            try_ask(self.exporter.address, "GET", &path, &[])
                .unwrap_or_else(|error| panic!("{name}: {error}"))
        });
        let took = begun.elapsed();
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        let peak = memory(process, "VmHWM").saturating_sub(self.idle) / MIB as u64;
        assert!(
            peak <= bound(module),
            "{name}: {peak} MiB of {} MiB",
            bound(module)
        );
        let metrics = Metrics::parse(&answer.text());
        self.valid(name, &answer.body);
        adds_up(name, &metrics);
        let well = self.exporter.probe(&self.healthy.target(), "default");
        well.is("goroutine_probe_success", &[], 1.0);
        well.is("goroutine_goroutines", &[], GOROUTINES);
        (metrics, took.as_secs_f64(), peak)
    }

    /// Prometheus' own tool finds nothing wrong with the text.
    fn valid(&self, name: &str, text: &[u8]) {
        if !self.promtool {
            return;
        }
        let (well, said) = crate::prometheus::promtool(text);
        assert!(well && said.is_empty(), "{name}: {said}");
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        eprintln!(
            "{:<44} {:<14} {:>6} {:>5}",
            "hostility", "outcome", "s", "MiB"
        );
        for row in &self.rows {
            eprintln!("{row}");
        }
    }
}

fn timeout(module: &str) -> Duration {
    match module {
        "hasty" => Duration::from_millis(300),
        "others_hasty" | "detail_hasty" => Duration::from_secs(1),
        "large" => Duration::from_secs(30),
        _ => Duration::from_secs(20),
    }
}

/// MiB above idle, by the formula in the README: one body, one profile inflated with its tables; or a detail.
fn bound(module: &str) -> u64 {
    let (body, inflated) = match module {
        "default" => (4, 16),
        "others" => (1, 4),
        "detail" => (2, 4),
        "detail_large" => (1, 1),
        _ => (64, 128),
    };
    let counting = (11 * inflated).min(200 + inflated);
    body + 1 + counting + if module.starts_with("detail") { 96 } else { 0 }
}

/// The groups and the rest are the total, and so are the wait reasons.
fn adds_up(name: &str, metrics: &Metrics) {
    let Some(total) = metrics.value("goroutine_goroutines", &[]) else {
        return;
    };
    let sum = |of: &str| metrics.all(of, &[]).map(|sample| sample.value).sum::<f64>();
    let listed = sum("goroutine_group_goroutines") + sum("goroutine_other_goroutines");
    assert_eq!(listed, total, "{name}");
    assert_eq!(sum("goroutine_wait_reason_goroutines"), total, "{name}");
    for sample in &metrics.samples {
        for value in sample.labels.values() {
            assert!(
                value.len() <= 200 && !value.contains(char::is_control),
                "{name}: {value:?}"
            );
        }
    }
}

/// Bytes, as the system counts them; 0 where it does not tell.
fn memory(process: u32, key: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(key));
    let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}

/// Does it, and fails when it took longer.
fn within<T>(longest: Duration, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = work();
    assert!(begun.elapsed() <= longest, "longer than {longest:?}");
    done
}
