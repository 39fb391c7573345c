//! What the profiles beside the cheap one do to a probe when they are late, cut, damaged or another's: nothing is guessed
//! from them, and nothing is asked for that the cheap one does not allow.

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::budgets::{Clockwork, of_values, profile};
use crate::http::Metrics;
use crate::programs::SOON;
use crate::servers::{Server, answer, head, ok, send, unknown_profile, until_closed};

const CONTENTION: &str = "modules: { default: { profiles: [goroutine, block, mutex] } }";
const DETAIL: (&str, &str) = ("profile", "goroutine_detail");
const RESTART: &str = "goroutine_target_restart_timestamp_seconds";

/// A profile of contention at one place.
fn contention(events: u64) -> Vec<u8> {
    let kinds = [("contentions", "count"), ("delay", "nanoseconds")];
    of_values(&kinds, &[events, events * 1_000])
}

/// A dump whose newest goroutine has this number.
fn dump(id: u64) -> Vec<u8> {
    format!("goroutine {id} [chan receive, 3 minutes]:\nmain.worker()\n\t/src/app/main.go:19 +0x1\ncreated by main.serve in goroutine 1\n\t/src/app/main.go:30 +0x1\n\n").into_bytes()
}

/// An answer whose connection ends before it does.
fn cut(body: &[u8]) -> Vec<u8> {
    let length = body.len() + 1;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// A target of 30 goroutines, with these answers for the other profiles.
fn target(answer: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static) -> Server {
    Server::by_path(move |path| match path.strip_prefix("/debug/pprof/") {
        Some("goroutine") => ok(&profile("goroutine", 30)),
        Some(name) => answer(name).unwrap_or_else(unknown_profile),
        None => unknown_profile(),
    })
}

fn succeeded(metrics: &Metrics, profile: &str, expected: bool) {
    let labels = [("profile", profile)];
    let expected = f64::from(u8::from(expected));
    metrics.is("goroutine_profile_success", &labels, expected);
}

fn is_absent(metrics: &Metrics, names: &[&str]) {
    for name in names {
        assert_eq!(metrics.all(name, &[]).count(), 0, "{name}");
    }
}

#[tokio::test]
async fn a_part_of_a_counter_is_no_counter() {
    let server = target(|name| match name {
        // Nothing but its end is missing, and nobody knows that.
        "block" => Some(cut(&contention(7))),
        // One value where two belong.
        "mutex" => {
            let kinds = [("contentions", "count"), ("delay", "nanoseconds")];
            Some(ok(&of_values(&kinds, &[7])))
        }
        _ => None,
    });
    let metrics = Clockwork::new(CONTENTION, &server).probe(0).await;
    metrics.is("goroutine_probe_success", &[], 1.0);
    for profile in ["block", "mutex"] {
        succeeded(&metrics, profile, false);
        is_absent(
            &metrics,
            &[
                &format!("goroutine_{profile}_seconds_total"),
                &format!("goroutine_{profile}_events_total"),
            ],
        );
    }
}

#[tokio::test]
async fn a_number_that_only_grows_and_falls_is_a_restart() {
    for falls in ["block", "mutex", "goroutine?debug=2"] {
        let number = Arc::new(AtomicU64::new(90_000));
        let told = Arc::clone(&number);
        let server = target(move |name| {
            let number = if name == falls {
                told.load(Ordering::SeqCst)
            } else {
                90_000
            };
            match name {
                "block" | "mutex" => Some(ok(&contention(number))),
                "goroutine?debug=2" => Some(ok(&dump(number))),
                _ => None,
            }
        });
        let exporter = Clockwork::new(CONTENTION, &server);
        for second in [0, 600] {
            let metrics = exporter.probe(second).await;
            succeeded(&metrics, "goroutine_detail", true);
            assert_eq!(metrics.value(RESTART, &[]), None, "{falls}");
        }
        number.store(7, Ordering::SeqCst);
        let noticed = exporter.probe(1_200).await.value(RESTART, &[]);
        assert_eq!(noticed.map(f64::floor), Some(1_200.0), "{falls}");
        let later = exporter.probe(1_800).await.value(RESTART, &[]);
        assert_eq!(later, noticed, "{falls}: noticed once");
    }
}

#[tokio::test]
async fn a_dump_that_is_cut_tells_no_waits() {
    let server = target(|name| (name == "goroutine?debug=2").then(|| cut(&dump(9))));
    let exporter = Clockwork::new("", &server);
    for second in [0, 15] {
        let metrics = exporter.probe(second).await;
        metrics.is("goroutine_probe_success", &[], 1.0);
        succeeded(&metrics, "goroutine_detail", false);
        metrics.is("goroutine_profile_truncated", &[DETAIL], 1.0);
        let timestamp = metrics.value("goroutine_profile_timestamp_seconds", &[DETAIL]);
        assert_eq!(timestamp, None, "nothing of it is shown");
        is_absent(
            &metrics,
            &[
                "goroutine_longest_wait_seconds",
                "goroutine_waiting_goroutines",
            ],
        );
    }
}

#[tokio::test]
async fn a_dump_that_must_be_held_whole_is_held_to_the_limit_of_others() {
    let packed = [vec![0x1f, 0x8b], vec![0; 8 << 20]].concat();
    let server = target(move |name| (name == "goroutine?debug=2").then(|| ok(&packed)));
    let limits = "modules: { default: { limits: { body_bytes: 64KiB } } }";
    let metrics = Clockwork::new(limits, &server).probe(0).await;
    metrics.is("goroutine_probe_success", &[], 1.0);
    succeeded(&metrics, "goroutine_detail", false);
    let read = metrics.value("goroutine_profile_body_bytes", &[DETAIL]);
    assert!(read.unwrap() < 4e6, "{read:?}");
}

#[tokio::test]
async fn a_dump_that_never_comes_makes_no_probe_late() {
    let server = Server::asked_for(|path, stream| match path {
        "/debug/pprof/goroutine" => send(stream, &ok(&profile("goroutine", 30))),
        _ => until_closed(stream),
    });
    let exporter = Clockwork::new("", &server);
    let begun = Instant::now();
    let budget = Duration::from_secs(2);
    let metrics = exporter.within(budget, 0).await;
    // The rest is for a busy machine: what must not be waited for comes after 20 seconds.
    assert!(begun.elapsed() < budget * 3 / 2, "{:?}", begun.elapsed());
    metrics.is("goroutine_probe_success", &[], 1.0);
    metrics.is("goroutine_goroutines", &[], 30.0);
    succeeded(&metrics, "goroutine_detail", false);
}

#[tokio::test]
async fn a_scraper_that_hangs_up_leaves_the_target_free_for_the_next() {
    let asked = Arc::new(Semaphore::new(0));
    let dumps = Arc::clone(&asked);
    let server = Server::asked_for(move |path, stream| match path {
        "/debug/pprof/goroutine" => send(stream, &ok(&profile("goroutine", 30))),
        "/debug/pprof/goroutine?debug=2" => {
            dumps.add_permits(1);
            until_closed(stream);
        }
        _ => send(stream, &ok(&profile("goroutineleak", 4))),
    });
    let everything = "modules: { default: { profiles: [goroutine, goroutineleak] } }";
    let exporter = Clockwork::new(everything, &server);
    let hangs_up = async {
        let asked = timeout(SOON, asked.acquire()).await.unwrap();
        asked.unwrap().forget();
    };
    tokio::select! {
        _ = exporter.within(SOON * 2, 0) => panic!("answered"),
        () = hangs_up => (),
    }
    // What was under way is over: the other request may be made.
    let metrics = exporter.probe(15).await;
    metrics.is("goroutine_leaked_goroutines", &[], 4.0);
    // It may have cost the target all the same, and counts as one that cost too much.
    let read = exporter.probe(600).await;
    assert_eq!(read.value("goroutine_profile_success", &[DETAIL]), None);
    tokio::select! {
        _ = exporter.within(SOON * 2, 1_200) => panic!("answered"),
        asked = timeout(SOON, asked.acquire()) => drop(asked.unwrap()),
    }
}

#[tokio::test]
async fn ids_of_a_text_in_place_of_the_cheap_profile_are_not_told() {
    let server = Server::by_path(|_| ok(&dump(9)));
    let off = "modules: { default: { detail: { mode: off } } }";
    let metrics = Clockwork::new(off, &server).probe(0).await;
    metrics.is("goroutine_goroutines", &[], 1.0);
    is_absent(&metrics, &["goroutine_highest_id"]);
}

#[tokio::test]
async fn a_size_that_is_not_known_is_no_small_size() {
    // A sample without its value is left out, so there are more goroutines than were counted.
    let server = Server::by_path(|path| match path {
        "/debug/pprof/goroutine" => ok(&of_values(
            &[("objects", "count"), ("goroutine", "count")],
            &[3],
        )),
        _ => ok(&dump(9)),
    });
    let everything = "modules: { default: { profiles: [goroutine, goroutineleak] } }";
    let metrics = Clockwork::new(everything, &server).probe(0).await;
    metrics.is("goroutine_probe_failure", &[("reason", "decode")], 1.0);
    let asked = server.seen().asked.load(Ordering::SeqCst);
    assert_eq!(asked, 1, "nothing but the goroutine profile");
}

#[tokio::test]
async fn leaks_in_place_of_all_goroutines_are_not_the_goroutines() {
    let server = Server::by_path(|_| ok(&profile("goroutineleak", 4)));
    let metrics = Clockwork::new("", &server).probe(0).await;
    metrics.is("goroutine_probe_success", &[], 0.0);
    metrics.is("goroutine_probe_failure", &[("reason", "not_pprof")], 1.0);
    is_absent(
        &metrics,
        &["goroutine_goroutines", "goroutine_leaked_goroutines"],
    );
}

#[tokio::test]
async fn a_dump_whose_answer_is_lost_is_not_asked_for_again() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let server = Server::raw(move |mut stream| {
        while let Some(lines) = head(&stream) {
            let path = lines[0].split(' ').nth(1).unwrap_or_default().to_owned();
            let is_cheap = path == "/debug/pprof/goroutine";
            log.lock().unwrap().push(path);
            if !is_cheap {
                break;
            }
            let body = profile("goroutine", 30);
            let length = body.len();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            stream
                .write_all(&[head.as_bytes(), &body].concat())
                .unwrap();
        }
    });
    let metrics = Clockwork::new("", &server).probe(0).await;
    metrics.is("goroutine_probe_success", &[], 1.0);
    succeeded(&metrics, "goroutine_detail", false);
    let expected = ["/debug/pprof/goroutine", "/debug/pprof/goroutine?debug=2"];
    assert_eq!(*asked.lock().unwrap(), expected);
}

#[tokio::test]
async fn what_a_router_does_not_know_is_not_there_and_no_failure() {
    let asked = Arc::new(AtomicU64::new(0));
    let leaks = Arc::clone(&asked);
    let server = target(move |name| {
        leaks.fetch_add(u64::from(name == "goroutineleak"), Ordering::SeqCst);
        Some(answer("404 Not Found", "", b"404 page not found"))
    });
    let everything =
        "modules: { default: { detail: { mode: off }, profiles: [goroutineleak, threadcreate] } }";
    let exporter = Clockwork::new(everything, &server);
    for (second, times) in [(0, 1), (600, 1), (3_599, 1), (3_600, 2)] {
        let metrics = exporter.probe(second).await;
        metrics.is("goroutine_probe_success", &[], 1.0);
        for profile in ["goroutineleak", "threadcreate"] {
            let labels = [("profile", profile)];
            metrics.is("goroutine_profile_supported", &labels, 0.0);
            assert_eq!(metrics.value("goroutine_profile_success", &labels), None);
        }
        assert_eq!(asked.load(Ordering::SeqCst), times, "{second}");
    }
}
