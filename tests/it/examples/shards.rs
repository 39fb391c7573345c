//! Three exporters, two Prometheus servers and 300 targets, as `examples/prometheus/replicas.yml` shares them: one exporter
//! dies and comes back, and some targets move. What was asked is told by the targets, what was learnt by Prometheus.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use goroutine_exporter::decode::messages::{Function, Line, Location, Profile, Sample, ValueType};
use prost::Message as _;
use serde_json::{Value, json};

use super::recipes::configurations;
use super::{each, text};
use crate::programs::Exporter;
use crate::prometheus::{Prometheus, have};
use crate::servers::{Server, head, ok, send, unknown_profile};

const EXPORTERS: usize = 3;
const TARGETS: usize = 300;

/// How many targets move.
const MOVED: usize = 30;

/// The exporter that dies.
const MORTAL: usize = 1;

/// Between two scrapes of a target. A scrape may come late by as much, on a machine that does other things too.
const INTERVAL: Millis = 2_000;

/// By which an exporter tells the targets who it is.
const HEADER: &str = "X-Exporter";

/// The fewest targets of one exporter: 100 are expected, and fewer than these come to it once in two million times.
const FEWEST: usize = 60;

/// Milliseconds since 1970, as Prometheus has them.
type Millis = u64;

fn now() -> Millis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Millis::try_from(since.unwrap().as_millis()).unwrap()
}

/// A request that a target answered.
#[derive(Clone, Copy, Debug)]
struct Request {
    at: Millis,
    exporter: usize,
}

/// A target whose goroutines are known.
struct Target {
    server: Server,
    goroutines: Arc<AtomicU64>,
    log: Arc<Mutex<Vec<Request>>>,
}

impl Target {
    fn start(goroutines: u64) -> Self {
        let goroutines = Arc::new(AtomicU64::new(goroutines));
        let log = Arc::new(Mutex::new(Vec::new()));
        let (own, told) = (Arc::clone(&goroutines), Arc::clone(&log));
        let server = Server::raw(move |stream| {
            let goroutines = || own.load(Ordering::SeqCst);
            if let Some(request) = answer(&stream, goroutines) {
                told.lock().unwrap().push(request);
            }
        });
        Self {
            server,
            goroutines,
            log,
        }
    }

    fn goroutines(&self) -> u64 {
        self.goroutines.load(Ordering::SeqCst)
    }

    /// What it was asked so far, in order.
    fn log(&self) -> Vec<Request> {
        let mut log = self.log.lock().unwrap().clone();
        log.sort_by_key(|one| one.at);
        log
    }

    /// Who asks it: always the same one.
    fn exporter(&self) -> usize {
        let askers: BTreeSet<usize> = self.log().iter().map(|one| one.exporter).collect();
        let name = self.server.target();
        assert_eq!(askers.len(), 1, "{name} is asked by {askers:?}");
        *askers.first().unwrap()
    }
}

/// Answers one request, and tells whose it was.
fn answer(stream: &TcpStream, goroutines: impl Fn() -> u64) -> Option<Request> {
    let lines = head(stream)?;
    let at = now();
    if lines.first()?.split(' ').nth(1) != Some("/debug/pprof/goroutine") {
        send(stream, &unknown_profile());
        return None;
    }
    send(stream, &ok(&profile(goroutines())));
    let exporter = lines.iter().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case(HEADER)
            .then(|| value.parse().unwrap())
    });
    let exporter = exporter.unwrap_or_else(|| panic!("nobody's request: {lines:?}"));
    Some(Request { at, exporter })
}

/// A profile of so many goroutines, all alike.
fn profile(goroutines: u64) -> Vec<u8> {
    let strings = ["", "goroutine", "count", "main.main"];
    Profile {
        sample_type: vec![ValueType { r#type: 1, unit: 2 }],
        sample: vec![Sample {
            location_id: vec![1],
            value: vec![i64::try_from(goroutines).unwrap()],
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
        string_table: strings
            .iter()
            .map(|text| text.as_bytes().to_vec())
            .collect(),
        ..Profile::default()
    }
    .encode_to_vec()
}

fn exporter(number: usize) -> Exporter {
    Exporter::start(&format!(
        "modules:
  default:
    allow: [{{ cidr: 127.0.0.0/8 }}]
    http:
      credentials_over_http: true
      http_headers: {{ {HEADER}: {{ values: [\"{number}\"] }} }}
"
    ))
}

/// The recipe for two exporters, written for these.
fn config(exporters: &[Exporter]) -> Value {
    let (_, mut config) = configurations()
        .into_iter()
        .find(|(file, _)| file == "prometheus/replicas.yml")
        .unwrap();
    config["global"]["scrape_interval"] = json!(format!("{INTERVAL}ms"));
    config["rule_files"] = json!([]);
    let job = &mut config["scrape_configs"][0];
    job["file_sd_configs"][0]["files"] = json!(["targets.json"]);
    let steps = job["relabel_configs"].as_array_mut().unwrap();
    let hash = steps.iter().position(|step| step["action"] == "hashmod");
    let hash = hash.unwrap();
    steps[hash]["modulus"] = json!(exporters.len());
    let lead = steps[hash + 1].clone();
    assert_eq!(lead["replacement"], "exporter-0.example:16060");
    steps.truncate(hash + 1);
    steps.extend(exporters.iter().enumerate().map(|(number, exporter)| {
        let mut lead = lead.clone();
        lead["regex"] = json!(number.to_string());
        lead["replacement"] = json!(exporter.address.to_string());
        lead
    }));
    let addresses: Vec<String> = exporters
        .iter()
        .map(|one| one.address.to_string())
        .collect();
    config["scrape_configs"][1]["static_configs"] = json!([{ "targets": addresses }]);
    config
}

/// What Prometheus discovers from now on, whole at once.
fn discover<'a>(folder: &Path, targets: impl Iterator<Item = &'a Target>) {
    let targets: Vec<String> = targets.map(|one| one.server.target()).collect();
    let new = folder.join("new");
    fs::write(&new, json!([{ "targets": targets }]).to_string()).unwrap();
    fs::rename(new, folder.join("targets.json")).unwrap();
}

/// Both servers come to know that these targets, and no others, have so many goroutines.
fn come_to_know<'a>(servers: &[Prometheus], targets: impl Iterator<Item = &'a Target> + Clone) {
    let goroutines: u64 = targets.clone().map(Target::goroutines).sum();
    let targets = u64::try_from(targets.count()).unwrap();
    for one in servers {
        one.becomes("sum(goroutine_goroutines)", goroutines as f64);
        one.becomes("sum(goroutine_probe_success)", targets as f64);
        one.becomes("count(goroutine_probe_success)", targets as f64);
    }
}

/// Each target has one goroutine more than before, so that no older answer adds up.
fn grow<'a>(targets: impl Iterator<Item = &'a Target>) {
    targets.for_each(|one| {
        one.goroutines.fetch_add(1, Ordering::SeqCst);
    });
}

/// So many targets have had so many good probes at each server.
fn probed(servers: &[Prometheus], targets: usize, probes: usize) {
    let expression = format!("count(count_over_time(goroutine_probe_success[5m]) >= {probes})");
    for one in servers {
        one.becomes(&expression, targets as f64);
    }
}

/// When each target was probed for one server; every probe was a good one.
fn probes(server: &Prometheus) -> BTreeMap<String, Vec<Millis>> {
    let series = server.series("goroutine_probe_success[5m]");
    let mut found = BTreeMap::new();
    for one in &series {
        let instance = text(&one["metric"]["instance"]).to_owned();
        let times = each(&one["values"]).map(|sample| {
            assert_eq!(sample[1], "1", "{instance}");
            let seconds = sample[0].as_f64().unwrap();
            // Half a millisecond more, so that cutting it to whole ones rounds.
            let since = Duration::from_secs_f64(seconds + 0.0005);
            Millis::try_from(since.as_millis()).unwrap()
        });
        let before = found.insert(instance.clone(), times.collect());
        assert!(before.is_none(), "two series of one target: {one}");
    }
    found
}

/// Never more than one in each interval for each of `askers`. One may come late by an interval, and the next in time: that
/// much closer together may be the first and the last of any number of them.
fn not_too_many(what: &str, times: &[Millis], askers: usize) {
    for first in 0..times.len() {
        for intervals in 2..=times.len() {
            let Some(last) = times.get(first + intervals * askers) else {
                break;
            };
            let least = INTERVAL * Millis::try_from(intervals - 1).unwrap();
            let passed = last - times[first];
            assert!(passed >= least, "{what} in {passed} ms: {times:?}");
        }
    }
}

/// From the first to `end`, never longer than `longest` without one.
fn no_gaps(what: &str, times: &[Millis], end: Millis, longest: Millis) {
    let ends = times.iter().skip(1).copied().chain([end]);
    for (before, after) in times.iter().zip(ends) {
        let gap = after.saturating_sub(*before);
        assert!(
            gap <= longest,
            "{what}: nothing for {gap} ms after {before}: {times:?}"
        );
    }
}

/// Two servers and what both discover.
struct Watch {
    servers: Vec<Prometheus>,
    folders: Vec<PathBuf>,
    _folder: tempfile::TempDir,
}

impl Watch {
    fn start(config: &Value, targets: &[Target]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let folders = ["a", "b"].map(|name| folder.path().join(name)).to_vec();
        let servers = folders.iter().map(|own| {
            fs::create_dir(own).unwrap();
            discover(own, targets.iter());
            Prometheus::with(own, &config.to_string()).unwrap()
        });
        Self {
            servers: servers.collect(),
            folders,
            _folder: folder,
        }
    }

    fn discover<'a>(&self, targets: &(impl Iterator<Item = &'a Target> + Clone)) {
        for folder in &self.folders {
            discover(folder, targets.clone());
        }
    }
}

#[test]
fn three_exporters_share_300_targets_through_death_and_moves() {
    if !have("prometheus") {
        return;
    }
    let mut exporters: Vec<Exporter> = (0..EXPORTERS).map(exporter).collect();
    let target = |number: usize| Target::start(10 + u64::try_from(number).unwrap());
    let targets: Vec<Target> = (0..TARGETS).map(target).collect();
    let watch = Watch::start(&config(&exporters), &targets);
    let servers = &watch.servers;

    come_to_know(servers, targets.iter());
    probed(servers, TARGETS, 4);
    let owners: Vec<usize> = targets.iter().map(Target::exporter).collect();
    for (number, exporter) in exporters.iter().enumerate() {
        let owned = owners.iter().filter(|one| **one == number).count();
        assert!(owned >= FEWEST, "{number} has {owned} of {TARGETS} targets");
        let metrics = exporter.metrics();
        metrics.is("goroutine_exporter_tracked_targets", &[], owned as f64);
    }
    grow(targets.iter());
    come_to_know(servers, targets.iter());

    // Its targets are lost while it is dead, and nobody else is asked for them.
    let died = now();
    exporters[MORTAL].program.signal("KILL");
    assert!(!exporters[MORTAL].program.wait().success());
    grow(targets.iter());
    let living = targets.iter().zip(&owners);
    let living = living.filter(|(_, owner)| **owner != MORTAL);
    come_to_know(servers, living.map(|(target, _)| target));
    let back = now();
    exporters[MORTAL].restart();
    let outage = now() - died;
    come_to_know(servers, targets.iter());

    // The targets that moved still answer where they were, but are not asked there any more.
    let elsewhere: Vec<Target> = (TARGETS..TARGETS + MOVED).map(target).collect();
    let fleet = || targets.iter().skip(MOVED).chain(&elsewhere);
    watch.discover(&fleet());
    come_to_know(servers, fleet());
    let moved = now();
    grow(fleet());
    come_to_know(servers, fleet());
    probed(servers, TARGETS + MOVED, 4);

    let longest = |exporter: usize| {
        let dead = if exporter == MORTAL { outage } else { 0 };
        dead + 2 * INTERVAL
    };
    let end = now();
    let learnt: Vec<_> = servers.iter().map(probes).collect();
    for (number, target) in targets.iter().chain(&elsewhere).enumerate() {
        let name = target.server.target();
        let asked: Vec<Millis> = target.log().iter().map(|one| one.at).collect();
        let longest = longest(target.exporter());
        for learnt in &learnt {
            let mut times = learnt[&name].clone();
            not_too_many(&name, &times, 1);
            if let Some(new) = elsewhere.get(number) {
                // It is the same service as before, and whoever asks for it now may not be who did.
                times.extend(&learnt[&new.server.target()]);
            }
            no_gaps(&name, &times, end, longest);
        }
        // Both servers have the same configuration and ask at about the same time: two probes may be one request.
        not_too_many(&name, &asked, servers.len());
        let gone = number < MOVED;
        let last = *asked.last().unwrap();
        no_gaps(&name, &asked, if gone { last } else { end }, longest);
        assert!(!gone || last < moved, "{name} is asked where it was");
        // No answer is an old one: each server's probes are requests, but for one that may be under way.
        let until_end = |times: &[Millis]| times.iter().filter(|at| **at <= end).count();
        let requests = until_end(&asked);
        let learnt = learnt.iter().map(|learnt| until_end(&learnt[&name]));
        let most = learnt.clone().max().unwrap();
        assert!(most <= requests + 1, "{name}: {most} of {requests}");
        // And no request is for nothing, but for those under way at the end and when the exporter was killed.
        let all = learnt.sum::<usize>() + 2 * servers.len();
        assert!(requests <= all, "{name}: {requests} of {all}");
    }
    // Nobody asked for the dead exporter's targets, once what it had sent was read.
    let silent = died + INTERVAL / 4..back;
    assert!(silent.end - silent.start > INTERVAL / 4, "{silent:?}");
    let lost = targets.iter().zip(&owners);
    for (target, _) in lost.filter(|(_, owner)| **owner == MORTAL) {
        let log = target.log();
        let asked = log.iter().any(|one| silent.contains(&one.at));
        assert!(!asked, "{silent:?}: {log:?}");
    }
}
