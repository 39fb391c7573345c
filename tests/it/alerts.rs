//! From a leaking service to a notification with the line in it, with real processes: services, exporter, Prometheus with
//! the rules of this repository, Alertmanager with its routing, and who is told. And no notification when nothing is
//! wrong.
//!
//! A story of an hour is told on a faster clock: every duration in rules and routing is divided by the same number. No
//! threshold there is a rate, so nothing else has to change.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use goroutine_exporter::demo::story::REST;
use regex::{Captures, Regex};
use serde_json::Value;

use crate::go::{GoProgram, NEW};
use crate::http::{ask, try_ask};
use crate::programs::{Exporter, Program, command, repository, until_within};
use crate::prometheus::{Prometheus, have};
use crate::servers::{Server, nobody};

/// How many minutes of a story pass in one, unless `STORY_SPEED` says otherwise: 1 is the clock on the wall.
const SPEED: u32 = 30;

fn speed() -> u32 {
    let told = std::env::var_os("STORY_SPEED");
    told.map_or(SPEED, |told| told.to_str().unwrap().parse().unwrap())
}

/// A story's hour, and what a busy machine needs on top.
fn a_story() -> Duration {
    Duration::from_mins(75) / speed() + Duration::from_secs(120)
}

/// The same text with every duration divided by that.
fn faster(text: &str, speed: u32) -> String {
    let duration = Regex::new(r"(^|[^\w.])(\d+)(ms|s|m|h|d)\b").unwrap();
    let fast = duration.replace_all(text, |found: &Captures<'_>| {
        let unit = match &found[3] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => 86_400_000,
        };
        let millis = found[2].parse::<u64>().unwrap() * unit / u64::from(speed);
        format!("{}{}ms", &found[1], millis.max(1))
    });
    fast.into_owned()
}

#[test]
fn durations_become_faster_and_nothing_else() {
    let check = |text: &str, fast: &str| assert_eq!(faster(text, 30), fast);
    check("x[5m] offset 20m", "x[10000ms] offset 40000ms");
    check("[1d:1h]", "[2880000ms:120000ms]");
    check("for: 1m\ninterval: 15s", "for: 2000ms\ninterval: 500ms");
    check(
        "goroutine:increase20m >= 5000 # v2m",
        "goroutine:increase20m >= 5000 # v2m",
    );
    check("printf \"%.0f\" 50000", "printf \"%.0f\" 50000");
}

/// Somebody who is told.
struct Pager {
    server: Server,
    told: Arc<Mutex<Vec<Notification>>>,
}

/// What Alertmanager said, and when.
#[derive(Clone, Debug)]
struct Notification {
    at: Instant,
    told_at: SystemTime,
    receiver: String,
    message: Value,
}

impl Notification {
    fn is(&self, alert: &str, status: &str) -> bool {
        self.message["groupLabels"]["alertname"] == alert && self.message["status"] == status
    }

    /// Minutes of the story from when its first alert fired to when it was told.
    fn minutes_since_it_fired(&self) -> f64 {
        let fired = self.alerts()[0]["startsAt"].as_str().unwrap();
        let fired = humantime::parse_rfc3339(fired).unwrap();
        let ago = self.told_at.duration_since(fired).unwrap_or_default();
        ago.as_secs_f64() * f64::from(speed()) / 60.0
    }

    fn alerts(&self) -> &[Value] {
        self.message["alerts"].as_array().map_or(&[], Vec::as_slice)
    }
}

impl Pager {
    fn new() -> Self {
        let told = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&told);
        let server = Server::raw(move |stream| {
            if let Some((path, body)) = request(&stream) {
                let message = serde_json::from_slice(&body).unwrap();
                hears.lock().unwrap().push(Notification {
                    at: Instant::now(),
                    told_at: SystemTime::now(),
                    receiver: path.trim_start_matches('/').to_owned(),
                    message,
                });
            }
            crate::servers::send(
                &stream,
                b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
        });
        Self { server, told }
    }

    fn told(&self) -> Vec<Notification> {
        self.told.lock().unwrap().clone()
    }

    /// Waits for a notification.
    fn hears(&self, alert: &str, status: &str) -> Notification {
        until_within(a_story(), &format!("{alert} to be {status}"), || {
            self.told().into_iter().find(|told| told.is(alert, status))
        })
    }
}

/// Path and body of a request.
fn request(stream: &TcpStream) -> Option<(String, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let (mut path, mut length) = (None, 0);
    for line in (&mut reader).lines() {
        let line = line.ok()?;
        if line.is_empty() {
            let mut body = vec![0; length];
            reader.read_exact(&mut body).ok()?;
            return Some((path?, body));
        }
        if path.is_none() {
            path = line.split(' ').nth(1).map(str::to_owned);
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
    }
    None
}

/// Everything between the exporter and the person who is told.
struct Watch {
    pager: Pager,
    prometheus: Prometheus,
    _alertmanager: Program,
    _folder: tempfile::TempDir,
}

impl Watch {
    /// Watches these targets through the exporter at that address; nothing where a program is missing.
    fn over(exporter: SocketAddr, targets: &[String]) -> Option<Self> {
        if !have("prometheus-alertmanager") || !have("prometheus") {
            return None;
        }
        let pager = Pager::new();
        let folder = tempfile::tempdir().unwrap();
        let examples = repository("examples");
        let read = |file: &str| std::fs::read_to_string(examples.join(file)).unwrap();

        let alertmanager = read("alertmanager/alertmanager.yml");
        let told = format!("http://{}/", pager.server.address);
        let routing = faster(&alertmanager, speed()).replace("http://127.0.0.1:9095/", &told);
        let template = "goroutine_exporter.tmpl";
        std::fs::write(folder.path().join("alertmanager.yml"), routing).unwrap();
        std::fs::write(
            folder.path().join(template),
            read(&format!("alertmanager/{template}")),
        )
        .unwrap();
        let (alertmanager, manager) = alertmanager_in(folder.path());

        let rules = read("prometheus/rules/goroutine_exporter.rules.yml");
        std::fs::create_dir(folder.path().join("rules")).unwrap();
        std::fs::write(
            folder.path().join("rules/goroutine_exporter.rules.yml"),
            faster(&rules, speed()),
        )
        .unwrap();
        let shipped = faster(&read("prometheus/prometheus.yml"), speed());
        let targets: Vec<String> = targets.iter().map(|target| format!("{target:?}")).collect();
        let mut config = shipped;
        for (from, to) in [
            ("127.0.0.1:9093", manager.to_string()),
            ("[127.0.0.1:6060]", format!("[{}]", targets.join(", "))),
            ("127.0.0.1:16060", exporter.to_string()),
        ] {
            assert!(config.contains(from), "no {from} in prometheus.yml");
            config = config.replace(from, &to);
        }
        let prometheus = Prometheus::with(folder.path(), &config)?;
        Some(Self {
            pager,
            prometheus,
            _alertmanager: alertmanager,
            _folder: folder,
        })
    }
}

/// An Alertmanager with the configuration in that folder, and its address.
fn alertmanager_in(folder: &Path) -> (Program, SocketAddr) {
    for _ in 0..5 {
        // It does not say which port it took.
        let address = nobody();
        let mut program = Program::start(
            Command::new("prometheus-alertmanager")
                .arg(format!(
                    "--config.file={}/alertmanager.yml",
                    folder.display()
                ))
                .arg(format!("--storage.path={}/alertmanager", folder.display()))
                .arg(format!("--web.listen-address={address}"))
                .arg("--cluster.listen-address="),
        );
        let ready = crate::programs::until("Alertmanager to be ready", || {
            if program.ended() {
                return Some(false);
            }
            let answer = try_ask(address, "GET", "/-/ready", &[]).ok()?;
            (answer.status == 200).then_some(true)
        });
        if ready {
            return (program, address);
        }
    }
    panic!("no port for Alertmanager");
}

/// Minutes of the story between two moments.
fn minutes(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64() * f64::from(speed()) / 60.0
}

#[test]
fn the_incident_is_told_with_its_line_and_ends_after_the_fix() {
    let (exporter, target) = (nobody(), nobody());
    let Some(watch) = Watch::over(exporter, &[format!("http://{target}")]) else {
        return;
    };
    let program = Program::start(
        command()
            .args(["demo", "--speed", &speed().to_string()])
            .args(["--web.listen-address", &exporter.to_string()])
            .args(["--demo.target-address", &target.to_string()]),
    );
    program.line("the story's begin", |line| {
        line.contains("largest group").then_some(())
    });
    // It rests for a while before the first goroutine leaks.
    let begun = Instant::now() + REST / speed();
    let pager = &watch.pager;
    let suspected = pager.hears("GoroutineLeakSuspected", "firing");
    let runaway = pager.hears("GoroutineLeakRunaway", "firing");
    for (name, told, goal) in [
        ("GoroutineLeakSuspected", &suspected, 5.0),
        ("GoroutineLeakRunaway", &runaway, 10.0),
    ] {
        let after = minutes(begun, told.at);
        let fired = after - told.minutes_since_it_fired();
        let alert = &told.alerts()[0];
        eprintln!(
            "{name}: fired {fired:.1} and told {after:.1} minutes after the first leaked goroutine (goal: {goal})"
        );
        eprintln!("{}", alert["annotations"]["summary"].as_str().unwrap());
        eprintln!("{}", alert["annotations"]["description"].as_str().unwrap());
        let labels = &alert["labels"];
        assert_eq!(labels["blocking_frame"], "main.(*Converter).StructToMap");
        assert_eq!(labels["wait_reason"], "sync.Mutex.Lock");
        assert_eq!(labels["instance"], format!("http://{target}"));
        let location = alert["annotations"]["location"].as_str().unwrap();
        assert_eq!(location, "converter.go:16", "{alert:#}");
    }
    assert_eq!(suspected.receiver, "tickets");
    assert_eq!(runaway.receiver, "pager");
    let resolved = pager.hears("GoroutineLeakRunaway", "resolved");
    eprintln!(
        "GoroutineLeakRunaway: resolved {:.1} minutes after the first leaked goroutine, of 30 until the fix",
        minutes(begun, resolved.at)
    );
    let told = pager.told();
    let of = |name: &str| told.iter().filter(|told| told.is(name, "firing")).count();
    assert_eq!(of("GoroutineLeakRunaway"), 1, "{told:#?}");
    let strangers: Vec<_> = told
        .iter()
        .filter(|told| told.receiver != "digest")
        .flat_map(Notification::alerts)
        .filter(|alert| {
            let name = alert["labels"]["alertname"].as_str().unwrap();
            ![
                "GoroutineLeakSuspected",
                "GoroutineLeakRunaway",
                "GoroutineStuck",
            ]
            .contains(&name)
        })
        .collect();
    assert!(strangers.is_empty(), "{strangers:#?}");
}

#[test]
fn a_leak_of_several_replicas_is_told_once_and_resolves() {
    const REPLICAS: usize = 3;
    // 1,500 a minute of the story.
    let rate = (1_500 * speed() / 60).to_string();
    let mut replicas = Vec::new();
    for _ in 0..REPLICAS {
        let flags = ["-rate", rate.as_str(), "-releasable"];
        let Some(replica) = GoProgram::start(NEW, "leaky", &flags) else {
            return;
        };
        replicas.push(replica);
    }
    let begun = Instant::now();
    let exporter = Exporter::start("modules: { default: { timeout: 5s } }\n");
    let targets: Vec<String> = replicas
        .iter()
        .map(|replica| replica.target.clone())
        .collect();
    let Some(watch) = Watch::over(exporter.address, &targets) else {
        return;
    };
    let pager = &watch.pager;
    let all = until_within(a_story(), "all replicas in one notification", || {
        pager.told().into_iter().find(|told| {
            told.is("GoroutineLeakSuspected", "firing") && told.alerts().len() == REPLICAS
        })
    });
    eprintln!(
        "{REPLICAS} replicas told after {:.1} minutes",
        minutes(begun, all.at)
    );
    for replica in &replicas {
        ask(replica.address(), "POST", "/fix", &[]).is(200, "");
    }
    let source = std::fs::read_to_string(repository("examples/go/leaky/main.go")).unwrap();
    for alert in all.alerts() {
        let location = alert["annotations"]["location"].as_str().unwrap();
        let (file, line) = location.rsplit_once(':').unwrap();
        assert!(file.ends_with("main.go"), "{alert:#}");
        let line: usize = line.parse().unwrap();
        let line = source.lines().nth(line - 1).unwrap();
        assert_eq!(line.trim(), "result <- \"all is well\"");
        assert_eq!(alert["labels"]["blocking_frame"], "main.(*Service).render");
        let text = alert["annotations"]["description"].as_str().unwrap();
        assert!(text.contains("main.(*Service).render"), "{text}");
        assert!(text.contains("chan send"), "{text}");
    }
    let resolved = pager.hears("GoroutineLeakSuspected", "resolved");
    eprintln!(
        "resolved {:.1} minutes after it was told",
        minutes(all.at, resolved.at)
    );
    // Replicas cross a threshold one after the other, so a second message may bring the last of them: never one each.
    let told = pager.told();
    let of_the_leak: Vec<_> = told
        .iter()
        .filter(|told| told.is("GoroutineLeakSuspected", "firing"))
        .collect();
    assert!(of_the_leak.len() <= 2, "{of_the_leak:#?}");
    let keys: std::collections::BTreeSet<_> = of_the_leak
        .iter()
        .map(|told| told.message["groupKey"].to_string())
        .collect();
    assert_eq!(keys.len(), 1, "{keys:#?}");
}

#[test]
fn services_that_are_well_are_not_told_of() {
    let pace = speed().to_string();
    let mut fleet = Vec::new();
    for shape in ["rollout", "wave", "batch", "pool", "restart"] {
        let Some(service) = GoProgram::start(NEW, "fleet", &["-shape", shape, "-speed", &pace])
        else {
            return;
        };
        fleet.push(service);
    }
    let begun = Instant::now();
    let exporter = Exporter::start("modules: { default: { timeout: 5s } }\n");
    let targets: Vec<String> = fleet.iter().map(|service| service.target.clone()).collect();
    let Some(watch) = Watch::over(exporter.address, &targets) else {
        return;
    };
    until_within(a_story(), "forty-five minutes to pass", || {
        (minutes(begun, Instant::now()) > 45.0).then_some(())
    });
    // They were watched, and did move.
    let all = faster("[45m]", speed());
    let moved = format!(
        "max_over_time(goroutine_goroutines{all}) - min_over_time(goroutine_goroutines{all}) > 1000"
    );
    assert_eq!(
        watch.prometheus.value(&format!("count({moved})")),
        Some(5.0)
    );
    // A busy machine may lose a few of the thousand scrapes, which come every half second.
    let watched = format!("min(avg_over_time(goroutine_probe_success{all}))");
    let watched = watch.prometheus.value(&watched).unwrap();
    assert!(watched > 0.9, "{watched} of the probes succeeded");
    let told = watch.pager.told();
    let paged: Vec<_> = told
        .iter()
        .filter(|told| told.receiver != "digest")
        .collect();
    assert!(paged.is_empty(), "{paged:#?}");
}
