//! What the profiles beside the cheap one tell: of recorded programs whose truth is known, and of live ones.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::go::{GoProgram, NEW};
use crate::http::{Metrics, ask, get};
use crate::programs::{Exporter, repository, until};
use crate::servers::{Server, ok, unknown_profile};

/// The last version of Go without the leak profile.
const WITHOUT_LEAKS: &str = "1.26.6";

const EVERYTHING: &str = "modules:\n  default:\n    timeout: 1m\n    profiles: [goroutine, goroutineleak, block, mutex, threadcreate]\n    detail: { max_frames: 1000000 }\n    limits: { groups: 100, min_goroutines: 1 }\n";

const DETAIL: (&str, &str) = ("profile", "goroutine_detail");
const LEAK: (&str, &str) = ("profile", "goroutineleak");

fn truth(folder: &str) -> serde_json::Value {
    let file = repository("tests/data").join(folder).join("truth.json");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// The goroutines of a capture that the leak profile proves.
fn provable(truth: &serde_json::Value) -> u64 {
    let kinds = truth["kinds"].as_object().unwrap().values();
    let leaked = kinds.map(|kind| kind["leaked_in_goroutineleak_profile"].as_u64().unwrap());
    leaked.sum()
}

fn sum(metrics: &Metrics, name: &str) -> f64 {
    metrics.all(name, &[]).map(|sample| sample.value).sum()
}

/// Probes a recorded program twice: the first probe asks for the detail, the second for the leaks.
fn twice(server: &Server) -> (Exporter, Metrics, Metrics) {
    let exporter = Exporter::start(EVERYTHING);
    let first = exporter.probe(&server.target(), "default");
    let second = exporter.probe(&server.target(), "default");
    for metrics in [&first, &second] {
        metrics.is("goroutine_probe_success", &[], 1.0);
    }
    (exporter, first, second)
}

#[test]
fn recorded_leaks_are_proven_all_of_them_and_once() {
    for folder in ["go1.27.3", "go1.26.6-goroutineleakprofile"] {
        let server = Server::recorded(folder);
        let (exporter, first, second) = twice(&server);
        let known = provable(&truth(folder));
        assert!(known == 94 || known == 24, "{folder}: {known}");
        assert_eq!(first.value("goroutine_leaked_goroutines", &[]), None);
        assert_eq!(first.value("goroutine_profile_success", &[LEAK]), None);
        second.is("goroutine_profile_success", &[LEAK], 1.0);
        second.is("goroutine_profile_supported", &[LEAK], 1.0);
        second.is("goroutine_leaked_goroutines", &[], known as f64);
        assert_eq!(
            sum(&second, "goroutine_group_leaked_goroutines"),
            known as f64
        );
        // What was read before is told again, with the time when it was; nothing is asked for again.
        let third = exporter.probe(&server.target(), "default");
        third.is("goroutine_leaked_goroutines", &[], known as f64);
        for profile in [DETAIL, LEAK] {
            let read = |metrics: &Metrics| {
                metrics.value("goroutine_profile_timestamp_seconds", &[profile])
            };
            assert!(read(&second).is_some());
            assert_eq!(read(&third), read(&second), "{profile:?}");
        }
        let own = exporter.metrics();
        let skipped = "goroutine_exporter_detail_skipped_total";
        own.is(skipped, &[("reason", "interval")], 2.0);
        own.is(skipped, &[("reason", "budget")], 0.0);
        // Bytes that are told again were fetched once.
        for (profile, file) in [
            (DETAIL, "goroutine.debug2.txt"),
            (LEAK, "goroutineleak.debug0.pb.gz"),
        ] {
            let file = repository("tests/data").join(folder).join(file);
            let bytes = std::fs::metadata(file).unwrap().len() as f64;
            own.is("goroutine_exporter_fetched_bytes_total", &[profile], bytes);
        }
    }
}

#[test]
fn marks_in_an_ordinary_dump_are_leaks_too_and_never_added() {
    // Taken after a leak profile: `(leaked)` sticks. Its own leak profile was not recorded.
    let folder = "go1.27.3-after-leak-profile";
    let server = Server::recorded(folder);
    let (_exporter, first, second) = twice(&server);
    let dump = repository("tests/data")
        .join(folder)
        .join("goroutine.debug2.txt");
    let dump = String::from_utf8_lossy(&std::fs::read(dump).unwrap()).into_owned();
    let marked = dump
        .lines()
        .filter(|line| line.starts_with("goroutine ") && line.contains(" (leaked)"))
        .count();
    assert!(marked > 20, "{marked}");
    first.is("goroutine_leaked_goroutines", &[], marked as f64);
    assert_eq!(
        sum(&first, "goroutine_group_leaked_goroutines"),
        marked as f64
    );
    second.is("goroutine_leaked_goroutines", &[], marked as f64);
    second.is("goroutine_profile_supported", &[LEAK], 0.0);
    assert_eq!(second.value("goroutine_profile_success", &[LEAK]), None);
}

#[test]
fn waits_and_creators_come_from_the_detail() {
    let folder = "go1.27.3-2min";
    let server = Server::recorded(folder);
    let (_exporter, first, second) = twice(&server);
    first.is("goroutine_profile_success", &[DETAIL], 1.0);
    assert!(first.value("goroutine_highest_id", &[]).is_some());
    assert_eq!(second.value("goroutine_highest_id", &[]), None);
    // Every goroutine of the program that waits had done so for two minutes.
    let dump = repository("tests/data")
        .join(folder)
        .join("goroutine.debug2.txt");
    let dump = String::from_utf8_lossy(&std::fs::read(dump).unwrap()).into_owned();
    let waiting = dump
        .lines()
        .filter(|line| line.starts_with("goroutine ") && line.contains(", 2 minutes"))
        .count();
    assert!(waiting > 50, "{waiting}");
    for metrics in [&first, &second] {
        let minute = [("at_least_seconds", "60")];
        let at_least: f64 = metrics
            .all("goroutine_waiting_goroutines", &minute)
            .map(|sample| sample.value)
            .sum();
        assert_eq!(at_least, waiting as f64);
        let longer = metrics.all(
            "goroutine_waiting_goroutines",
            &[("at_least_seconds", "600")],
        );
        assert_eq!(longer.count(), 0);
        metrics.is(
            "goroutine_longest_wait_seconds",
            &[("wait_reason", "chan receive")],
            120.0,
        );
        let longest: Vec<f64> = metrics
            .all("goroutine_group_longest_wait_seconds", &[])
            .map(|sample| sample.value)
            .collect();
        assert!(longest.len() > 20 && longest.iter().all(|wait| *wait == 120.0));
    }
    // Who created them, as the table of the recorded program says.
    let truth = truth(folder);
    let kinds = truth["kinds"].as_object().unwrap().values();
    let creators: BTreeMap<&str, &str> = kinds
        .filter_map(|kind| {
            Some((
                kind["first_user_frame"].as_str()?,
                kind["created_by"].as_str()?,
            ))
        })
        .collect();
    let mut told = 0;
    for group in second.all("goroutine_group_goroutines", &[]) {
        let frame = group.label("blocking_frame");
        // Frames of the standard library are blocking frames of several kinds.
        let Some(creator) = creators.get(frame).filter(|_| frame.starts_with("main.")) else {
            continue;
        };
        let id = [("group_id", group.label("group_id"))];
        let info = second.all("goroutine_group_info", &id).next().unwrap();
        assert_eq!(info.label("created_by"), *creator, "{group:?}");
        told += 1;
    }
    assert!(told > 15, "{told}");
}

#[test]
fn contention_and_threads_are_what_gos_own_tool_says() {
    for folder in ["go1.27.3-contention", "go1.21.13-contention"] {
        let recorded = repository("tests/data").join(folder);
        let cheap = std::fs::read(repository("tests/data/go1.27.3/goroutine.debug0.pb.gz"));
        let cheap = cheap.unwrap();
        let server = Server::by_path(move |path| {
            let file = match path {
                "/debug/pprof/block" => "block.pb.gz",
                "/debug/pprof/mutex" => "mutex.pb.gz",
                "/debug/pprof/threadcreate" => "threadcreate.pb.gz",
                "/debug/pprof/goroutine" => return ok(&cheap),
                _ => return unknown_profile(),
            };
            ok(&std::fs::read(recorded.join(file)).unwrap())
        });
        let exporter = Exporter::start(EVERYTHING);
        let metrics = exporter.probe(&server.target(), "default");
        // What `go tool pprof -raw` said of each stack.
        let truth = truth(folder);
        let total = |profile: &str, key: &str| -> f64 {
            let stacks = truth[profile].as_array().unwrap().iter();
            stacks.map(|stack| stack[key].as_f64().unwrap()).sum()
        };
        for profile in ["block", "mutex"] {
            metrics.is("goroutine_profile_success", &[("profile", profile)], 1.0);
            let events = format!("goroutine_{profile}_events_total");
            let seconds = format!("goroutine_{profile}_seconds_total");
            assert_eq!(
                sum(&metrics, &events),
                total(profile, "events"),
                "{profile}"
            );
            let apart = sum(&metrics, &seconds) - total(profile, "nanoseconds") / 1e9;
            assert!(apart.abs() < 1e-6, "{profile}: {apart}");
            let mut places = 0;
            for stack in truth[profile].as_array().unwrap() {
                // Places with one stack each; their function is the first of the program.
                let functions = stack["functions"].as_array().unwrap();
                let of_main = |name: &str| name.starts_with("main.");
                let mut names = functions.iter().filter_map(|name| name.as_str());
                let Some(place) = names.find(|name| of_main(name)) else {
                    continue;
                };
                let here = |other: &&serde_json::Value| {
                    let names = other["functions"].as_array().unwrap();
                    let mut names = names.iter().filter_map(|name| name.as_str());
                    names.find(|name| of_main(name)) == Some(place)
                };
                if truth[profile]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter(here)
                    .count()
                    > 1
                {
                    continue;
                }
                let labels = [("blocking_frame", place), ("app_frame", place)];
                metrics.is(&events, &labels, stack["events"].as_f64().unwrap());
                let known = stack["nanoseconds"].as_f64().unwrap() / 1e9;
                let told = metrics.value(&seconds, &labels).unwrap();
                assert!((told - known).abs() < 1e-9, "{place}: {told} {known}");
                places += 1;
            }
            assert!(places > 1, "{folder} {profile}: {places} places");
        }
        metrics.is("goroutine_threads", &[], total("threadcreate", "threads"));
    }
}

#[test]
fn what_a_target_does_not_have_fails_nothing() {
    let server = Server::recorded("go1.24.11");
    let (_exporter, _, second) = twice(&server);
    for profile in ["goroutineleak", "block", "mutex", "threadcreate"] {
        let labels = [("profile", profile)];
        second.is("goroutine_profile_supported", &labels, 0.0);
        assert_eq!(second.value("goroutine_profile_success", &labels), None);
    }
    assert_eq!(second.all("goroutine_block_seconds_total", &[]).count(), 0);
    assert_eq!(second.value("goroutine_threads", &[]), None);
}

#[test]
fn a_dump_that_is_no_dump_is_told() {
    // Somebody on the way drops the query: the cheap profile comes for each of them.
    let cheap = std::fs::read(repository("tests/data/go1.27.3/goroutine.debug0.pb.gz")).unwrap();
    let server = Server::by_path(move |_| ok(&cheap));
    let (_exporter, first, second) = twice(&server);
    for profile in [DETAIL, ("profile", "block"), ("profile", "threadcreate")] {
        first.is("goroutine_profile_success", &[profile], 0.0);
    }
    second.is("goroutine_profile_success", &[LEAK], 0.0);
    assert_eq!(second.value("goroutine_leaked_goroutines", &[]), None);
}

#[test]
fn another_process_is_noticed_and_what_was_learnt_forgotten() {
    let replaced = Arc::new(AtomicBool::new(false));
    let (before, after) = ("go1.27.3", "go1.24.11");
    let other = Arc::clone(&replaced);
    let server = Server::by_path(move |path| {
        let folder = if other.load(Ordering::SeqCst) {
            after
        } else {
            before
        };
        let file = match path {
            "/debug/pprof/goroutine" => "goroutine.debug0.pb.gz",
            "/debug/pprof/goroutine?debug=2" => "goroutine.debug2.txt",
            "/debug/pprof/goroutineleak" => "goroutineleak.debug0.pb.gz",
            _ => "",
        };
        let file = repository("tests/data").join(folder).join(file);
        std::fs::read(file).map_or_else(|_| unknown_profile(), |body| ok(&body))
    });
    let (exporter, _, second) = twice(&server);
    let restarted = "goroutine_target_restart_timestamp_seconds";
    assert_eq!(second.value(restarted, &[]), None);
    assert!(second.value("goroutine_leaked_goroutines", &[]).is_some());
    replaced.store(true, Ordering::SeqCst);
    let third = exporter.probe(&server.target(), "default");
    assert!(third.value(restarted, &[]).unwrap() > 1_000_000_000.0);
    assert_eq!(third.value("goroutine_leaked_goroutines", &[]), None);
    let known = third
        .all("goroutine_group_info", &[])
        .filter(|info| !info.label("created_by").is_empty());
    assert_eq!(known.count(), 0, "creators of another process");
    let fourth = exporter.probe(&server.target(), "default");
    assert_eq!(fourth.value(restarted, &[]), third.value(restarted, &[]));
}

#[test]
fn a_live_leak_is_proven_with_its_group() {
    let Some(leaky) = GoProgram::start(NEW, "leaky", &[]) else {
        return;
    };
    ask(leaky.address(), "POST", "/leak?n=40", &[]).is(200, "");
    let exporter = Exporter::start(EVERYTHING);
    // A worker is counted just before it blocks, and only a blocked one is proven: this must settle first.
    until("forty stuck workers", || {
        let text = get(leaky.address(), "/debug/pprof/goroutine?debug=2").text();
        let stuck = text
            .split("\n\n")
            .filter(|block| block.contains("[chan send") && block.contains(".render("));
        (stuck.count() == 40).then_some(())
    });
    exporter.probe(&leaky.target, "default");
    let metrics = exporter.probe(&leaky.target, "default");
    metrics.is("goroutine_leaked_goroutines", &[], 40.0);
    let group = [("blocking_frame", "main.(*Service).render")];
    metrics.is("goroutine_group_leaked_goroutines", &group, 40.0);
    let id = metrics
        .all("goroutine_group_leaked_goroutines", &group)
        .next();
    let id = [("group_id", id.unwrap().label("group_id"))];
    let info = metrics.all("goroutine_group_info", &id).next().unwrap();
    assert!(info.label("created_by").starts_with("main."), "{info:?}");
    metrics.is("goroutine_profile_success", &[DETAIL], 1.0);
    assert!(metrics.value("goroutine_threads", &[]).unwrap() >= 2.0);
}

#[test]
fn go_without_the_leak_profile_is_no_error() {
    let Some(leaky) = GoProgram::start(WITHOUT_LEAKS, "leaky", &[]) else {
        return;
    };
    let exporter = Exporter::start(EVERYTHING);
    exporter.probe(&leaky.target, "default");
    for _ in 0..2 {
        let metrics = exporter.probe(&leaky.target, "default");
        metrics.is("goroutine_probe_success", &[], 1.0);
        metrics.is("goroutine_profile_supported", &[LEAK], 0.0);
        assert_eq!(metrics.value("goroutine_profile_success", &[LEAK]), None);
        assert_eq!(metrics.value("goroutine_leaked_goroutines", &[]), None);
    }
    let own = exporter.metrics();
    own.is("goroutine_exporter_decode_errors_total", &[LEAK], 0.0);
}
