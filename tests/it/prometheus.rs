//! A real Prometheus: scrapes through the exporter, and is a Go program to look at itself.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::go::{GoProgram, NEW};
use crate::http::{Answer, Metrics, ask, get, try_ask};
use crate::programs::{Exporter, Program, repository, skip, until};
use crate::servers::{Server, nobody};

/// How many goroutines two looks at a busy server may differ by.
const A_HANDFUL: f64 = 5.0;

/// A Prometheus that scrapes.
#[derive(Debug)]
pub(crate) struct Prometheus {
    _program: Program,
    address: SocketAddr,
    /// Its own folder, where nobody else gave it one.
    folder: Option<tempfile::TempDir>,
}

/// Whether this machine has a program of Prometheus' family.
pub(crate) fn have(name: &str) -> bool {
    let found = Command::new(name)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    if !found {
        skip(&format!("no {name}; run tests/tools/install.sh"));
    }
    found
}

impl Prometheus {
    /// Starts one with these scrape configurations; nothing when this machine has none.
    pub(crate) fn start(scrape_configs: &str) -> Option<Self> {
        if !have("prometheus") {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let text = format!("global: {{ scrape_interval: 1s }}\nscrape_configs:\n{scrape_configs}");
        let mut started = Self::with(folder.path(), &text)?;
        started.folder = Some(folder);
        Some(started)
    }

    /// Starts one with this configuration, which is written to that folder; nothing when no port could be had.
    pub(crate) fn with(folder: &Path, config: &str) -> Option<Self> {
        let file = folder.join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        // It does not say which port it took, so it is told a free one, and another when that was taken meanwhile.
        (0..5)
            .find_map(|_| Self::listen(&file, nobody()))
            .map(|(program, address)| Self {
                _program: program,
                address,
                folder: None,
            })
    }

    fn listen(file: &Path, address: SocketAddr) -> Option<(Program, SocketAddr)> {
        let flag = |name: &str, value: &Path| format!("--{name}={}", value.display());
        let mut program = Program::start(
            Command::new("prometheus")
                .arg(flag("config.file", file))
                .arg(flag("storage.tsdb.path", &file.with_file_name("data")))
                .arg(format!("--web.listen-address={address}")),
        );
        until("Prometheus to be ready", || {
            if program.ended() {
                return Some(None);
            }
            let answer = try_ask(address, "GET", "/-/ready", &[]).ok()?;
            (answer.status == 200).then_some(Some(()))
        })?;
        Some((program, address))
    }

    /// Asks it for a path.
    pub(crate) fn get(&self, path: &str) -> Answer {
        get(self.address, path)
    }

    /// The series an expression comes to.
    pub(crate) fn series(&self, expression: &str) -> Vec<serde_json::Value> {
        series(self.address, expression)
    }

    /// The value of the one series an expression comes to; nothing for no series.
    pub(crate) fn value(&self, expression: &str) -> Option<f64> {
        value(self.address, expression)
    }

    /// How many series an expression comes to.
    pub(crate) fn count(&self, expression: &str) -> usize {
        self.series(expression).len()
    }

    /// A label of the first series an expression comes to.
    pub(crate) fn label(&self, expression: &str, label: &str) -> Option<String> {
        let series = self.series(expression);
        Some(series.first()?["metric"][label].as_str()?.to_owned())
    }

    /// Waits until an expression comes to a value.
    pub(crate) fn becomes(&self, expression: &str, expected: f64) {
        until(&format!("{expression} to be {expected}"), || {
            let value = self.value(expression)?;
            ((value - expected).abs() < f64::EPSILON).then_some(())
        });
    }
}

/// The series an expression comes to for the Prometheus at that address.
fn series(prometheus: SocketAddr, expression: &str) -> Vec<serde_json::Value> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("query", expression);
    let answer = get(prometheus, &format!("/api/v1/query?{}", query.finish()));
    let answer = answer.json();
    assert_eq!(answer["status"], "success", "{expression}: {answer}");
    answer["data"]["result"].as_array().unwrap().clone()
}

/// The value of the one series that is; nothing for no series.
pub(crate) fn value(prometheus: SocketAddr, expression: &str) -> Option<f64> {
    let series = series(prometheus, expression);
    assert!(series.len() <= 1, "{expression}: {series:?}");
    series.first()?["value"][1].as_str()?.parse().ok()
}

/// The classic way to scrape through an exporter, for these targets.
fn through(exporter: &Exporter, targets: &[&str]) -> String {
    let mut text = String::from(
        "- job_name: goroutines\n  metrics_path: /probe\n  params: { module: [all] }\n  static_configs:\n  - targets:\n",
    );
    for target in targets {
        writeln!(text, "    - \"{target}\"").unwrap();
    }
    writeln!(
        text,
        "  relabel_configs:
  - {{ source_labels: [__address__], target_label: __param_target }}
  - {{ source_labels: [__param_target], target_label: instance }}
  - {{ target_label: __address__, replacement: \"{}\" }}",
        exporter.address
    )
    .unwrap();
    text
}

#[test]
fn prometheus_scrapes_two_targets_and_loses_one() {
    let Some(waits) = GoProgram::start(NEW, "waits", &[]) else {
        return;
    };
    let Some(leaky) = GoProgram::start(NEW, "leaky", &[]) else {
        return;
    };
    ask(leaky.address(), "POST", "/leak?n=200", &[]).is(200, "");
    let exporter =
        Exporter::start("modules: { all: { limits: { groups: 100, min_goroutines: 1 } } }\n");
    let targets = [waits.target.as_str(), leaky.target.as_str()];
    let Some(prometheus) = Prometheus::start(&through(&exporter, &targets)) else {
        return;
    };
    let truth = get(waits.address(), "/truth").json();
    for group in truth["goroutines"].as_array().unwrap() {
        let label = |name: &str| group[name].as_str().unwrap();
        let expression = format!(
            "goroutine_group_goroutines{{instance=\"{}\",wait_reason=\"{}\",blocking_frame=\"{}\",app_frame=\"{}\"}}",
            waits.target,
            label("wait_reason"),
            label("blocking_frame"),
            label("app_frame"),
        );
        prometheus.becomes(&expression, group["goroutines"].as_f64().unwrap());
    }
    let leak = "goroutine_group_goroutines{wait_reason=\"chan send\",blocking_frame=\"main.(*Service).render\"}";
    prometheus.becomes(leak, 200.0);
    let joined = format!(
        "{leak} * on (instance, group_id) group_left (file, line, origin) goroutine_group_info{{file=~\".*main.go\",origin=\"app\"}}"
    );
    prometheus.becomes(&joined, 200.0);
    let conserved = "sum(goroutine_group_goroutines) + sum(goroutine_other_goroutines) == sum(goroutine_goroutines)";
    until("sums that agree", || prometheus.value(conserved));
    let of = |name: &str, target: &str| format!("{name}{{instance=\"{target}\"}}");
    for target in targets {
        prometheus.becomes(&of("goroutine_probe_success", target), 1.0);
        prometheus.becomes(&of("up", target), 1.0);
    }

    let (living, dead) = (leaky.target.clone(), waits.target.clone());
    drop(waits);
    prometheus.becomes(&of("goroutine_probe_success", &dead), 0.0);
    let failure = format!("goroutine_probe_failure{{instance=\"{dead}\",reason=\"connect\"}}");
    prometheus.becomes(&failure, 1.0);
    prometheus.becomes("count(goroutine_probe_failure)", 1.0);
    // The scrape itself stays up, and what is gone goes stale at once.
    prometheus.becomes(&of("up", &dead), 1.0);
    assert_eq!(prometheus.value(&of("goroutine_goroutines", &dead)), None);
    prometheus.becomes(&of("goroutine_probe_success", &living), 1.0);
    prometheus.becomes(leak, 200.0);
}

#[test]
fn prometheus_itself_is_counted_as_it_counts_itself() {
    let Some(prometheus) = Prometheus::start("- job_name: none\n") else {
        return;
    };
    let exporter = Exporter::start("");
    let own = || {
        let own = Metrics::parse(&get(prometheus.address, "/metrics").text());
        own.value("go_goroutines", &[]).unwrap()
    };
    let target = prometheus.address.to_string();
    until("a look that agrees", || {
        let before = own();
        let metrics = exporter.probe(&target, "default");
        let after = own();
        metrics.is("goroutine_probe_success", &[], 1.0);
        let seen = metrics.value("goroutine_goroutines", &[]).unwrap();
        assert!(seen > 10.0, "{}", metrics.text);
        let (least, most) = (before.min(after) - A_HANDFUL, before.max(after) + A_HANDFUL);
        (least..=most).contains(&seen).then_some(())
    });
}

#[test]
fn promtool_has_nothing_to_say() {
    if !have("promtool") {
        return;
    }
    let healthy = Server::healthy();
    let text = std::fs::read(repository("tests/data/go1.27.3/goroutine.debug2.txt")).unwrap();
    let detailed = Server::answering(crate::servers::ok(&text));
    let config = format!(
        "modules:\n  default: {{ limits: {{ groups: 100, min_goroutines: 1 }}, classify: {{ watch: {{ any: main }} }} }}\ntargets:\n- {{ url: \"{}\", labels: {{ env: 'a\"b\\\\c' }} }}\n- {{ url: \"{}\" }}\n",
        healthy.target(),
        nobody(),
    );
    let exporter = Exporter::start(&config);
    let probe = |target: &str| crate::programs::probe_path(target, &[]);
    let paths = [
        probe(&healthy.target()),
        probe(&detailed.target()),
        probe(&nobody().to_string()),
        "/targets/metrics".to_owned(),
        "/metrics".to_owned(),
    ];
    for path in &paths {
        let answer = exporter.get(path);
        assert_eq!(answer.status, 200, "{path}");
        let (well, said) = promtool(&answer.body);
        assert!(well && said.is_empty(), "{path}: {said}\n{}", answer.text());
    }
}

/// Whether promtool takes the text for metrics, and what it says of it.
pub(crate) fn promtool(text: &[u8]) -> (bool, String) {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It reads everything before it says anything.
    child.stdin.take().unwrap().write_all(text).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.success(), said)
}
