//! The exporter as a server: what it does with scrapers that hang up, hurry or come in crowds, with reloads, and with
//! signals.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::http::{Metrics, ask, get};
use crate::programs::{Exporter, Program, SOON, command, probe_path, until};
use crate::servers::{GOROUTINES, Gate, Server, until_closed};

/// Everything by default but the patience: no test here waits for a timeout it does not mean.
const PATIENT: &str = "modules: { default: { timeout: 1m } }\n";

/// The same, and nothing asked for but the cheap profile.
const PATIENT_MODULE: &str = "{ timeout: 1m, detail: { mode: off } }";

fn ended(server: &Server) -> bool {
    server.seen().open.load(Ordering::SeqCst) == 0
}

/// Waits until the target has been asked `times` times.
fn asked(server: &Server, times: usize) {
    until("a request at the target", || {
        (server.seen().asked.load(Ordering::SeqCst) >= times).then_some(())
    });
}

#[test]
fn a_scraper_that_hangs_up_ends_the_work_at_the_target() {
    let exporter = Exporter::start(PATIENT);
    let silent = Server::asked(|stream| until_closed(&stream));
    let mut scraper = TcpStream::connect(exporter.address).unwrap();
    let path = probe_path(&silent.target(), &[]);
    write!(scraper, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    asked(&silent, 1);
    assert!(!ended(&silent));
    let hung_up = Instant::now();
    drop(scraper);
    until("the end of the target's connection", || {
        ended(&silent).then_some(())
    });
    assert!(hung_up.elapsed() < Duration::from_secs(1), "{hung_up:?}");
    let labels = [("module", "default"), ("result", "canceled")];
    until("the count of it", || {
        let canceled = exporter
            .metrics()
            .value("goroutine_exporter_probes_total", &labels)?;
        (canceled > 0.0).then_some(())
    });
    exporter
        .metrics()
        .is("goroutine_exporter_probes_in_flight", &[], 0.0);
}

#[test]
fn the_scrapers_patience_bounds_a_probe() {
    let exporter = Exporter::start(PATIENT);
    let silent = Server::asked(|stream| until_closed(&stream));
    let begun = Instant::now();
    let header = "X-Prometheus-Scrape-Timeout-Seconds: 0.9";
    let path = probe_path(&silent.target(), &[]);
    let answer = ask(exporter.address, "GET", &path, &[header]);
    let took = begun.elapsed();
    answer.is(200, "goroutine_probe_failure{reason=\"timeout\"} 1");
    // 0.9 seconds without the offset of 0.5; how much more it takes is a matter of how busy the machine is.
    let bounds = Duration::from_millis(400)..Duration::from_secs(10);
    assert!(bounds.contains(&took), "{took:?}");

    let beyond = Exporter::with(PATIENT, &["--timeout-offset", "0.1"]);
    let answer = ask(beyond.address, "GET", &path, &[header]);
    let duration = Metrics::parse(&answer.text()).value("goroutine_probe_duration_seconds", &[]);
    assert!(duration.unwrap() >= 0.8, "{duration:?}");

    for wrong in ["soon", "0", "-1", "NaN", "inf", ""] {
        let header = format!("X-Prometheus-Scrape-Timeout-Seconds: {wrong}");
        ask(exporter.address, "GET", &path, &[&header])
            .is(400, "X-Prometheus-Scrape-Timeout-Seconds");
    }
}

#[test]
fn a_reload_takes_effect_or_changes_nothing() {
    let exporter = Exporter::with("modules: { first: {} }\n", &["--web.enable-lifecycle"]);
    let reload = || ask(exporter.address, "POST", "/-/reload", &[]);
    let successful = |expected: f64| {
        let name = "goroutine_exporter_config_last_reload_successful";
        exporter.metrics().is(name, &[], expected);
    };
    let time = || {
        let name = "goroutine_exporter_config_last_reload_success_timestamp_seconds";
        exporter.metrics().value(name, &[]).unwrap()
    };
    let has = |module: &str| exporter.get("/config").text().contains(module);
    successful(1.0);
    let first = time();

    exporter.configure("modules: { second: {} }\n");
    exporter.program.signal("HUP");
    until("the new module", || has("second").then_some(()));
    assert!(!has("first"));
    let second = time();
    assert!(second > first);

    exporter.configure("modules:\n  third: { timeot: 5s }\n");
    let answer = reload();
    answer.is(500, "the old one stays in force");
    answer.is(500, "modules.third.timeot");
    assert!(
        answer.text().contains(":2:"),
        "no line in {}",
        answer.text()
    );
    successful(0.0);
    assert!(has("second") && !has("third"));
    assert!((time() - second).abs() < f64::EPSILON);
    let healthy = Server::healthy();
    let metrics = exporter.probe(&healthy.target(), "second");
    metrics.is("goroutine_probe_success", &[], 1.0);
    exporter.program.line("line of the log about it", |line| {
        (line.contains("configuration not reloaded") && line.contains("timeot")).then_some(())
    });

    exporter.configure("modules: { third: { timeout: 5s } }\n");
    reload().is(200, "reloaded");
    successful(1.0);
    assert!(has("third"));

    let closed = Exporter::start("modules: { first: {} }\n");
    ask(closed.address, "POST", "/-/reload", &[]).is(403, "--web.enable-lifecycle");
    ask(closed.address, "GET", "/-/reload", &[]).is(405, "method");
}

#[test]
fn probes_do_not_notice_reloads() {
    const PROBES: usize = 40;
    let exporter = Exporter::with(PATIENT, &["--web.enable-lifecycle"]);
    let healthy = Server::healthy();
    let path = probe_path(&healthy.target(), &[]);
    let address = exporter.address;
    let probes = thread::spawn(move || {
        for _ in 0..PROBES {
            let metrics = Metrics::parse(&ask(address, "GET", &path, &[]).text());
            metrics.is("goroutine_probe_success", &[], 1.0);
        }
    });
    // At least one each of both outcomes, and then as many as there are while probes run.
    for number in 0.. {
        let (yaml, status) = [
            ("modules: { default: { timeout: 30s }, other: {} }\n", 200),
            ("modules: [\n", 500),
            ("probes: { total: 7 }\n", 200),
        ][number % 3];
        exporter.configure(yaml);
        ask(address, "POST", "/-/reload", &[]).is(status, "");
        if number > 3 && probes.is_finished() {
            break;
        }
    }
    probes.join().unwrap();
    let labels = [("module", "default"), ("result", "success")];
    let count = exporter
        .metrics()
        .value("goroutine_exporter_probes_total", &labels);
    assert_eq!(count, Some(40.0));
}

#[test]
fn a_file_that_changes_is_reloaded_where_asked_for() {
    let flags = [
        "--config.enable-auto-reload",
        "--config.auto-reload-interval",
        "1s",
    ];
    let exporter = Exporter::with("modules: { first: {} }\n", &flags);
    exporter.configure("modules: { second: {} }\n");
    until("the new module", || {
        let shown = exporter.get("/config").text();
        shown.contains("second").then_some(())
    });
}

#[test]
fn sigterm_lets_a_probe_finish() {
    let mut exporter = Exporter::start(PATIENT);
    let gate = Arc::new(Gate::default());
    let slow = Server::waiting(&gate);
    let path = probe_path(&slow.target(), &[]);
    let address = exporter.address;
    let probe = thread::spawn(move || ask(address, "GET", &path, &[]));
    asked(&slow, 1);
    exporter.program.signal("TERM");
    exporter
        .program
        .line("word of it", |line| line.contains("stopping").then_some(()));
    until("the listener's end", || {
        TcpStream::connect(address).is_err().then_some(())
    });
    gate.open();
    let metrics = Metrics::parse(&probe.join().unwrap().text());
    metrics.is("goroutine_probe_success", &[], 1.0);
    metrics.is("goroutine_goroutines", &[], GOROUTINES);
    let status = exporter.program.wait();
    assert_eq!(status.code(), Some(0), "{}", exporter.program.log());
    assert!(exporter.program.log().contains("stopped"));
}

#[test]
fn sigint_ends_it_too() {
    let mut exporter = Exporter::start("");
    exporter.program.signal("INT");
    assert_eq!(exporter.program.wait().code(), Some(0));
}

#[test]
fn a_crowd_is_bounded_at_the_target_and_at_the_door() {
    const CROWD: usize = 200;
    const ADMITTED: usize = 8;
    // Each asks by a module of its own, so that no two of them are the same.
    let modules: String = (0..CROWD)
        .map(|n| format!("  m{n}: {PATIENT_MODULE}\n"))
        .collect();
    let config = format!("modules:\n  default: {PATIENT_MODULE}\n{modules}");
    let exporter = Exporter::with(&config, &["--web.max-requests", "8"]);
    let gate = Arc::new(Gate::default());
    let slow = Server::waiting(&gate);
    let (told, answers) = mpsc::channel();
    for n in 0..CROWD {
        let path = probe_path(&slow.target(), &[("module", &format!("m{n}"))]);
        let (told, address) = (told.clone(), exporter.address);
        thread::spawn(move || drop(told.send(ask(address, "GET", &path, &[]))));
    }
    for _ in ADMITTED..CROWD {
        let answer = answers.recv_timeout(SOON).unwrap();
        answer.is(503, "--web.max-requests");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    let in_flight = exporter
        .metrics()
        .value("goroutine_exporter_probes_in_flight", &[]);
    assert_eq!(in_flight, Some(8.0));
    gate.open();
    for _ in 0..ADMITTED {
        let metrics = Metrics::parse(&answers.recv_timeout(SOON).unwrap().text());
        metrics.is("goroutine_probe_success", &[], 1.0);
        metrics.is("goroutine_goroutines", &[], GOROUTINES);
    }
    assert_eq!(slow.seen().most.load(Ordering::SeqCst), 1, "at once");
    assert_eq!(slow.seen().asked.load(Ordering::SeqCst), ADMITTED);
    let own = exporter.metrics();
    let count = |result| -> f64 {
        let labels = [("result", result)];
        let of = own.all("goroutine_exporter_probes_total", &labels);
        of.map(|sample| sample.value).sum()
    };
    assert!((count("success") - 8.0).abs() < f64::EPSILON);
    assert!((count("busy") - 192.0).abs() < f64::EPSILON);
}

/// The exporter, whose log nobody reads any more since it has written where it listens.
fn unread() -> (Program, SocketAddr, impl Read) {
    let mut command = command();
    let flags = [
        "--web.listen-address",
        "127.0.0.1:0",
        "--log.level",
        "debug",
    ];
    Program::start_unread(command.args(flags))
}

/// Has it log a kilobyte: nothing listens there, and each probe says so.
fn logs_a_line(address: SocketAddr) {
    let path = probe_path(&format!("http://127.0.0.1:1/{}", "x".repeat(1000)), &[]);
    get(address, &path).is(200, "goroutine_probe_success 0");
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let (mut exporter, address, _log) = unread();
    let dropped = (0..5000).find(|_| {
        logs_a_line(address);
        let metrics = Metrics::parse(&get(address, "/metrics").text());
        let dropped = metrics.value("goroutine_exporter_log_lines_dropped_total", &[]);
        dropped.unwrap() > 0.0
    });
    // A pipe holds 64 kB; beyond it a megabyte waits.
    assert!(dropped.unwrap() > 700, "{dropped:?}");
    exporter.signal("TERM");
    let ended = exporter.wait();
    assert!(ended.success(), "{ended}");
}

#[test]
fn a_log_that_nobody_reads_does_not_outlive_a_second_signal() {
    let (mut exporter, address, _log) = unread();
    let silent = Server::asked(|stream| until_closed(&stream));
    let mut scraper = TcpStream::connect(address).unwrap();
    let path = probe_path(&silent.target(), &[]);
    let patience = "X-Prometheus-Scrape-Timeout-Seconds: 60";
    write!(
        scraper,
        "GET {path} HTTP/1.1\r\nHost: a\r\n{patience}\r\n\r\n"
    )
    .unwrap();
    asked(&silent, 1);
    for _ in 0..100 {
        logs_a_line(address);
    }
    // Two signals at once may arrive as one.
    let ended = until("its end", || {
        exporter.signal("TERM");
        exporter.ended().then(|| exporter.wait())
    });
    assert_eq!(ended.code(), Some(1));
}
