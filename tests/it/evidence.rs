//! Evidence: that an incident leaves its profiles behind, and that nothing reported as kept is lost, whatever becomes of the
//! exporter, its disk or its clock.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use goroutine_exporter::decode::messages::{Function, Line, Location, Profile, Sample, ValueType};
use prost::Message as _;
use serde_json::Value;

use crate::go::NEW;
use crate::http::{ask, try_ask};
use crate::programs::{Exporter, repository, run, skip, until};
use crate::servers::{GOROUTINES, Server, ok, profile};

/// No budget matters here, and no bound but where a test says so.
const PLENTY: &str = "modules: { default: { timeout: 1m, detail: { mode: off } } }\nstorage: { per_target: 10000 }\n";

/// How often the exporter is killed.
const KILLS: usize = 36;

/// A service of 1,200 goroutines in four places of equal size, and `leaked` more in a fifth. Not compressed, as Go does
/// not write it; what is kept is.
fn service(leaked: u64) -> Vec<u8> {
    let mut strings: Vec<Vec<u8>> = vec![Vec::new()];
    let mut text = |text: &str| {
        strings.push(text.as_bytes().to_vec());
        i64::try_from(strings.len() - 1).unwrap()
    };
    let kind = ValueType {
        r#type: text("goroutine"),
        unit: text("count"),
    };
    let file = text("/src/app/main.go");
    let mut profile = Profile {
        sample_type: vec![kind],
        ..Profile::default()
    };
    let counts = [300, 300, 300, 300, leaked];
    for (count, place) in counts
        .into_iter()
        .zip(0_u64..)
        .filter(|(count, _)| *count > 0)
    {
        let frames = [
            ("runtime.gopark".to_owned(), 4 * place + 1),
            ("runtime.chanrecv1".to_owned(), 4 * place + 2),
            (format!("main.worker{place}"), 4 * place + 3),
        ];
        for (name, id) in &frames {
            profile.function.push(Function {
                id: *id,
                name: text(name),
                filename: file,
                ..Function::default()
            });
            profile.location.push(Location {
                id: *id,
                address: 0x1000 + id,
                line: vec![Line {
                    function_id: *id,
                    line: 7,
                    ..Line::default()
                }],
                ..Location::default()
            });
        }
        profile.sample.push(Sample {
            location_id: frames.iter().map(|(_, id)| *id).collect(),
            value: vec![i64::try_from(count).unwrap()],
            ..Sample::default()
        });
    }
    profile.string_table = strings;
    profile.encode_to_vec()
}

fn exporter(config: &str, folder: &Path) -> Exporter {
    let folder = folder.to_str().unwrap();
    Exporter::with(
        config,
        &["--storage.path", folder, "--web.enable-lifecycle"],
    )
}

/// What `/snapshots` lists, newest first.
fn listed(exporter: &Exporter) -> Vec<Value> {
    let list = exporter.get("/snapshots?format=json").json();
    list.as_array().unwrap().clone()
}

fn ids(exporter: &Exporter) -> BTreeSet<String> {
    let list = listed(exporter);
    let ids = list.iter().map(|entry| entry["id"].as_str().unwrap());
    ids.map(str::to_owned).collect()
}

fn take(address: SocketAddr, target: &str) -> std::io::Result<crate::http::Answer> {
    try_ask(address, "POST", &format!("/snapshots?target={target}"), &[])
}

fn kept(exporter: &Exporter, trigger: &str) -> f64 {
    let metrics = exporter.metrics();
    let name = "goroutine_exporter_snapshots_total";
    metrics.value(name, &[("trigger", trigger)]).unwrap()
}

/// The files of a folder, those that hold snapshots and the others.
fn files(folder: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    files.partition(|file| file.to_str().unwrap().ends_with(".pb.gz"))
}

/// What `go tool pprof -top` counts in a file; nothing when this machine has no Go.
fn counted_by_go(file: &Path) -> Option<u64> {
    let output = Command::new(repository("tests/tools/go.sh"))
        .args([NEW, "tool", "pprof", "-top"])
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (said, error) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    if output.status.code() == Some(127) {
        skip(error.trim());
        return None;
    }
    assert!(output.status.success(), "{}: {error}", file.display());
    // "Showing nodes accounting for 1200, 100% of 1200 total"
    let total = said.lines().find_map(|line| {
        let (_, rest) = line.split_once("% of ")?;
        rest.strip_suffix(" total")?.parse().ok()
    });
    assert!(total.is_some(), "{}: {said}", file.display());
    total
}

#[test]
fn an_incident_leaves_its_profiles_behind() {
    let folder = tempfile::tempdir().unwrap();
    let exporter_of = || exporter(PLENTY, folder.path());
    let leaked = Arc::new(AtomicU64::new(0));
    let of_target = Arc::clone(&leaked);
    let target = Server::by_path(move |_| ok(&service(of_target.load(Ordering::SeqCst))));
    let running = exporter_of();
    let probe = |exporter: &Exporter| {
        let metrics = exporter.probe(&target.target(), "default");
        metrics.is("goroutine_probe_success", &[], 1.0);
    };
    for _ in 0..8 {
        probe(&running);
    }
    until("the baseline", || {
        (kept(&running, "baseline") == 1.0).then_some(())
    });
    assert_eq!(listed(&running).len(), 1);
    // 1.2k become 47k.
    for step in 1..=148 {
        leaked.store(step * 310, Ordering::SeqCst);
        probe(&running);
    }
    for trigger in ["growth", "dominant"] {
        until(trigger, || (kept(&running, trigger) == 1.0).then_some(()));
    }
    let list = listed(&running);
    let seen: Vec<(&str, u64)> = list
        .iter()
        .map(|entry| {
            let trigger = entry["trigger"].as_str().unwrap();
            (trigger, entry["goroutines"].as_u64().unwrap())
        })
        .collect();
    // The first probe with twice its level; by then more than half are in one place, which is kept from the next.
    assert_eq!(
        seen,
        [("dominant", 2750), ("growth", 2440), ("baseline", 1200)]
    );
    for (entry, (_, goroutines)) in list.iter().zip(&seen) {
        let id = entry["id"].as_str().unwrap();
        let file = folder.path().join(format!("{id}.pb.gz"));
        let raw = running.get(&format!("/snapshots/{id}?raw=1"));
        assert_eq!(raw.body, fs::read(&file).unwrap());
        if let Some(total) = counted_by_go(&file) {
            assert_eq!(total, *goroutines);
        }
        let inspected = run(
            &["inspect", "--format", "json", file.to_str().unwrap()],
            b"",
        );
        let inspected: Value = serde_json::from_slice(&inspected.stdout).unwrap();
        assert_eq!(inspected["total"], *goroutines);
    }
    drop(running);
    // Another exporter finds what the first one kept, and the incident that goes on is no news to it.
    let running = exporter_of();
    assert_eq!(listed(&running), list);
    for _ in 0..12 {
        probe(&running);
    }
    let answer = take(running.address, &target.target()).unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text());
    let triggers: Vec<Value> = listed(&running)
        .iter()
        .map(|entry| entry["trigger"].clone())
        .collect();
    assert_eq!(triggers, ["manual", "dominant", "growth", "baseline"]);
}

#[test]
fn proof_of_leaks_is_kept_once() {
    let folder = tempfile::tempdir().unwrap();
    let config =
        "modules: { default: { timeout: 1m, profiles: [goroutineleak], detail: { mode: off } } }\n";
    let running = exporter(config, folder.path());
    let target = Server::recorded("go1.27.3");
    let metrics = running.probe(&target.target(), "default");
    let proven = metrics.value("goroutine_leaked_goroutines", &[]);
    assert!(proven.unwrap() > 0.0, "nothing to prove");
    until("the proof", || {
        (kept(&running, "leak") == 1.0).then_some(())
    });
    for _ in 0..4 {
        running.probe(&target.target(), "default");
    }
    until("the baseline", || {
        (kept(&running, "baseline") == 1.0).then_some(())
    });
    drop(running);
    let running = exporter(config, folder.path());
    for _ in 0..4 {
        running.probe(&target.target(), "default");
    }
    assert_eq!(listed(&running).len(), 2);
    let (kept, _) = files(folder.path());
    for file in kept {
        assert!(counted_by_go(&file).is_none_or(|total| total as f64 == GOROUTINES));
    }
}

/// Kills the exporter while it keeps one snapshot after the other, again and again in the same folder.
#[test]
fn nothing_that_was_reported_as_kept_is_lost_by_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let target = Server::healthy();
    let mut promised: BTreeSet<String> = BTreeSet::new();
    let (mut interrupted, mut halves) = (0, 0);
    for round in 0..=KILLS {
        let mut running = exporter(PLENTY, folder.path());
        let there = ids(&running);
        let lost: Vec<_> = promised.difference(&there).collect();
        assert!(lost.is_empty(), "round {round}: {lost:?}");
        let (kept, others) = files(folder.path());
        let others: Vec<_> = others
            .iter()
            .filter(|file| !file.ends_with(".goroutine_exporter.lock"))
            .collect();
        assert!(others.is_empty(), "round {round}: {others:?}");
        // What was renamed and not reported yet may be there, too: whole, as all the others.
        assert_eq!(kept.len(), there.len());
        if round == KILLS {
            for id in &there {
                let raw = running.get(&format!("/snapshots/{id}?raw=1"));
                assert_eq!(raw.status, 200, "{}", raw.text());
                assert_eq!(inflated(&raw.body), inflated(&profile()));
            }
            running
                .metrics()
                .is("goroutine_exporter_storage_skipped_files", &[], 0.0);
            for file in kept.iter().step_by(kept.len() / 8 + 1) {
                assert!(counted_by_go(file).is_none_or(|total| total as f64 == GOROUTINES));
            }
            break;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let askers: Vec<_> = (0..3)
            .map(|_| {
                let (stop, target) = (Arc::clone(&stop), target.target());
                let address = running.address;
                thread::spawn(move || {
                    let mut ids = Vec::new();
                    // Ends with the first answer that does not come, which is that of the kill.
                    while !stop.load(Ordering::SeqCst) {
                        match take(address, &target) {
                            Ok(answer) if answer.status == 201 => {
                                ids.push(answer.text().trim_end().to_owned());
                            }
                            Ok(answer) => panic!("{}", answer.text()),
                            Err(_) => return (ids, true),
                        }
                    }
                    (ids, false)
                })
            })
            .collect();
        // The moment is the point of the test: any within the time in which dozens are kept.
        let micros = RandomState::new().hash_one(round) % 120_000;
        thread::park_timeout(Duration::from_micros(micros));
        running.program.signal("KILL");
        running.program.wait();
        let (_, others) = files(folder.path());
        halves += others.len() - 1;
        stop.store(true, Ordering::SeqCst);
        for asker in askers {
            let (ids, cut) = asker.join().unwrap();
            promised.extend(ids);
            interrupted += usize::from(cut);
        }
    }
    // Otherwise nothing was in the way of the kills.
    assert!(promised.len() > KILLS, "only {} kept", promised.len());
    assert!(interrupted > KILLS, "only {interrupted} interrupted");
    assert!(halves > 0, "never in the middle of writing");
}

fn inflated(gzip: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    #[expect(
        clippy::disallowed_types,
        reason = "profiles of our own, of known size"
    )]
    let mut reader = flate2::read::GzDecoder::new(gzip);
    reader.read_to_end(&mut out).unwrap();
    out
}

/// A small disk of its own; gone when this is dropped.
struct Disk(tempfile::TempDir);

impl Disk {
    /// Nothing where it cannot be mounted, which takes root.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let arguments = ["-t", "tmpfs", "-o", "size=64k", "tmpfs"];
        let mounted = mount(&arguments, folder.path());
        if let Err(problem) = mounted {
            skip(&format!("no tmpfs can be mounted: {problem}"));
            return None;
        }
        Some(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn remount(&self, how: &str) {
        let options = format!("remount,{how}");
        mount(&["-o", &options], self.path()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.path()).status());
    }
}

fn mount(arguments: &[&str], folder: &Path) -> Result<(), String> {
    let output = Command::new("mount").args(arguments).arg(folder).output();
    let output = output.map_err(|error| error.to_string())?;
    let error = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() {
        Ok(())
    } else {
        Err(error)
    }
}

/// How often the log tells that snapshots cannot be kept.
fn complaints(exporter: &Exporter) -> usize {
    let log = exporter.program.log();
    log.matches("snapshots cannot be kept").count()
}

#[test]
fn a_full_disk_costs_a_line_in_the_log_and_no_probe() {
    let Some(disk) = Disk::mount() else { return };
    let target = Server::healthy();
    let running = exporter(PLENTY, disk.path());
    let mut promised = BTreeSet::new();
    let full = loop {
        let answer = take(running.address, &target.target()).unwrap();
        if answer.status != 201 {
            break answer;
        }
        promised.insert(answer.text().trim_end().to_owned());
        assert!(promised.len() < 100, "the disk is larger than it should be");
    };
    full.is(507, "cannot be used");
    assert!(!promised.is_empty(), "nothing fits on the disk");
    for _ in 0..20 {
        let answer = take(running.address, &target.target()).unwrap();
        assert_eq!(answer.status, 507, "{}", answer.text());
        let metrics = running.probe(&target.target(), "default");
        metrics.is("goroutine_probe_success", &[], 1.0);
    }
    assert_eq!(complaints(&running), 1, "{}", running.program.log());
    let errors = "goroutine_exporter_snapshot_errors_total";
    assert!(running.metrics().value(errors, &[]).unwrap() >= 21.0);
    let (_, others) = files(disk.path());
    assert_eq!(others.len(), 1, "{others:?}");
    let there = ids(&running);
    assert!(promised.is_subset(&there));
    // Room is made, and it goes on.
    for id in &there {
        let raw = running.get(&format!("/snapshots/{id}?raw=1"));
        assert_eq!(inflated(&raw.body), inflated(&profile()));
        let path = format!("/snapshots/{id}");
        ask(running.address, "DELETE", &path, &[]).is(200, "deleted");
    }
    let answer = take(running.address, &target.target()).unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text());
    let log = running.program.log();
    assert_eq!(log.matches("snapshots are kept again").count(), 1, "{log}");
}

#[test]
fn a_disk_that_is_read_only_is_read() {
    let Some(disk) = Disk::mount() else { return };
    let target = Server::healthy();
    let running = exporter(PLENTY, disk.path());
    let answer = take(running.address, &target.target()).unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text());
    drop(running);
    disk.remount("ro");
    let running = exporter(PLENTY, disk.path());
    let id = answer.text().trim_end().to_owned();
    let raw = running.get(&format!("/snapshots/{id}?raw=1"));
    assert_eq!(inflated(&raw.body), inflated(&profile()));
    for _ in 0..5 {
        let answer = take(running.address, &target.target()).unwrap();
        answer.is(507, "cannot be used");
        let metrics = running.probe(&target.target(), "default");
        metrics.is("goroutine_probe_success", &[], 1.0);
    }
    let path = format!("/snapshots/{id}");
    ask(running.address, "DELETE", &path, &[]).is(507, "cannot be used");
    assert_eq!(complaints(&running), 1, "{}", running.program.log());
    disk.remount("rw");
    let answer = take(running.address, &target.target()).unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(listed(&running).len(), 2);
}

#[test]
fn two_exporters_do_not_write_to_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    let target = Server::healthy();
    let first = exporter(PLENTY, folder.path());
    let second = exporter(PLENTY, folder.path());
    let answer = take(second.address, &target.target()).unwrap();
    answer.is(507, "another process");
    let answer = take(first.address, &target.target()).unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text());
    drop(first);
    let answer = take(second.address, &target.target()).unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(listed(&second).len(), 2);
}
