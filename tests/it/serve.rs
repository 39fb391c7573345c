//! The exporter as a server: what it does with scrapers that hang up, hurry, err or come in crowds, and with signals.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use flate2::write::GzDecoder;

use crate::http::{Metrics, ask, exchange};
use crate::programs::{Exporter, SOON, probe_path, until};
use crate::servers::{GOROUTINES, Gate, Server, nobody, ok, profile, until_closed};

/// Everything by default but the patience: no test here waits for a timeout it does not mean.
const PATIENT: &str = "modules: { default: { timeout: 1m } }\n";

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
fn wrong_requests_are_answered_with_a_sentence() {
    let exporter = Exporter::start("modules: { slow: { timeout: 20s }, fast: { timeout: 1s } }\n");
    let check = |query: &str, words: &str| {
        let answer = exporter.get(&format!("/probe{query}"));
        answer.is(400, words);
        assert_eq!(answer.text().lines().count(), 1, "{}", answer.text());
    };
    check("", "the parameter target is missing");
    check("?module=default", "the parameter target is missing");
    check("?target=", "the target is empty");
    check("?target=a:1&target=a:1", "may be given once only");
    check("?target=a", "the target has no port");
    check("?target=a:0", "port");
    check("?target=a:70000", "port");
    check("?target=ftp://a:1", "scheme");
    check("?target=file:///etc/passwd", "scheme");
    check("?target=http://u:p@a:1", "user name or password");
    check("?target=http://a:1/x/../y", "'..'");
    check("?target=http://a:1/%252e%252e/y", "'..'");
    check("?target=http://a:1%3Fx", "query");
    check("?target=http://a:1%23x", "fragment");
    check("?target=unix://relative", "absolute path");
    check("?target=127.0.0.1:1&module=nobody", "no module \"nobody\"");
    check("?target=127.0.0.1:1&module=slow,fast", "differ");
    check("?target=127.0.0.1:1&module=slow&module=fast", "differ");
    let own = exporter.metrics();
    own.is("goroutine_exporter_unknown_module_total", &[], 1.0);
    let probes: f64 = own
        .all("goroutine_exporter_probes_total", &[])
        .map(|sample| sample.value)
        .sum();
    assert!(probes.abs() < f64::EPSILON, "{probes} probes");

    exporter.get("/nowhere").is(404, "");
    ask(exporter.address, "POST", "/probe?target=a:1", &[]).is(405, "method");
    exporter.get("/-/healthy").is(200, "healthy");
    exporter.get("/-/ready").is(200, "ready");
}

#[test]
fn a_target_that_is_not_allowed_is_told_the_entry_that_permits_it() {
    let check = |exporter: &Exporter, target: &str, entry: &str| {
        let answer = exporter.get(&probe_path(target, &[]));
        assert_eq!(answer.status, 403, "{target}: {}", answer.text());
        assert!(
            answer.text().contains(entry),
            "{target}: no {entry} in: {}",
            answer.text()
        );
    };
    let metadata = r#"allow: [{cidr: "169.254.169.254/32", ports: [80]}]"#;
    let spellings = [
        "169.254.169.254:80",
        "http://169.254.169.254",
        "2852039166:80",
        "http://0xa9fea9fe/",
        "0251.0376.0251.0376:80",
        "169.254.43518:80",
        "[::ffff:169.254.169.254]:80",
        "[::ffff:a9fe:a9fe]:80",
    ];
    let default = Exporter::start(PATIENT);
    let any = Exporter::with(PATIENT, &["--web.allow-any-target"]);
    let wide = Exporter::start("allow: [{ cidr: 0.0.0.0/0 }, { cidr: \"::/0\" }]\n");
    for exporter in [&default, &any, &wide] {
        for target in spellings {
            check(exporter, target, metadata);
        }
        check(exporter, "[64:ff9b::a9fe:a9fe]:80", "allow: [{cidr:");
        check(exporter, "[fe80::1]:80", "cidr: \"fe80::1/128\"");
        check(exporter, "0.0.0.0:80", "cidr: \"0.0.0.0/32\"");
        check(exporter, "224.0.0.1:80", "cidr: \"224.0.0.1/32\"");
        check(
            exporter,
            "255.255.255.255:80",
            "cidr: \"255.255.255.255/32\"",
        );
        check(
            exporter,
            "unix:///run/a.sock",
            "allow: [{path: \"/run/a.sock\"}]",
        );
    }
    let entry = r#"allow: [{cidr: "192.0.2.1/32", ports: [6060]}]"#;
    check(&default, "192.0.2.1:6060", entry);

    // Loopback is for an exporter without `allow` only.
    let closed = Exporter::start("allow: [{ cidr: 192.0.2.0/24 }]\n");
    let healthy = Server::healthy();
    let port = healthy.address.port();
    let entry = format!(r#"allow: [{{host: "localhost", ports: [{port}]}}]"#);
    check(&closed, &format!("LocalHost:{port}"), &entry);
    let entry = format!(r#"allow: [{{cidr: "127.0.0.1/32", ports: [{port}]}}]"#);
    check(&closed, &healthy.target(), &entry);
    check(&closed, &format!("2130706433:{port}"), &entry);
    closed.configure(&entry);
    closed.program.signal("HUP");
    until("the entry to permit it", || {
        let answer = closed.get(&probe_path(&healthy.target(), &[]));
        (answer.status == 200).then_some(())
    });
    let refused = default.metrics();
    let count = |reason| {
        let labels = [("reason", reason)];
        refused.value("goroutine_exporter_targets_refused_total", &labels)
    };
    assert_eq!(count("not_allowed"), Some(1.0));
    assert_eq!(count("floor"), Some(13.0));
    assert_eq!(count("unix"), Some(1.0));
}

#[test]
fn static_targets_are_fetched_each_for_itself() {
    let healthy = Server::healthy();
    let dead = nobody();
    let config = format!(
        "targets:\n- {{ url: \"{}\", labels: {{ env: prod, quote: 'a\"b\\c' }} }}\n- {{ url: \"{dead}\" }}\n",
        healthy.target()
    );
    let exporter = Exporter::start(&config);
    let answer = exporter.get("/targets/metrics");
    let metrics = Metrics::parse(&answer.text());
    let (good, bad) = (
        format!("http://{}", healthy.address),
        format!("http://{dead}"),
    );
    let good = [
        ("target", good.as_str()),
        ("env", "prod"),
        ("quote", "a\"b\\c"),
    ];
    let bad = [("target", bad.as_str())];
    metrics.is("goroutine_probe_success", &good, 1.0);
    metrics.is("goroutine_goroutines", &good, GOROUTINES);
    metrics.is("goroutine_probe_success", &bad, 0.0);
    metrics.is("goroutine_goroutines", &good, GOROUTINES);
    let failures: Vec<_> = metrics.all("goroutine_probe_failure", &[]).collect();
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!(failures[0].label("reason"), "connect");
    assert_eq!(failures[0].label("target"), bad[0].1);
    let targets = metrics.samples.iter().map(|sample| sample.label("target"));
    assert!(
        targets
            .clone()
            .all(|target| target == good[0].1 || target == bad[0].1)
    );

    let one = exporter.get(&format!("/targets/metrics?target={}", healthy.address));
    let one = Metrics::parse(&one.text());
    assert_eq!(one.all("goroutine_probe_success", &[]).count(), 1);
    exporter
        .get("/targets/metrics?target=elsewhere:1")
        .is(400, "no static target");
    // A target of the command line, in place of the file's.
    let flagged = Exporter::with("", &["--target", &healthy.target()]);
    let metrics = Metrics::parse(&flagged.get("/targets/metrics").text());
    metrics.is("goroutine_probe_success", &good[..1], 1.0);
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
fn who_listens_for_everybody_does_not_open_loopback_to_them() {
    let healthy = Server::healthy();
    let exporter = Exporter::with("", &["--web.listen-address", ":0"]);
    exporter
        .get(&probe_path(&healthy.target(), &[]))
        .is(403, "allow: [{cidr: \"127.0.0.1/32\"");
    let flags = ["--web.listen-address", ":0", "--target", &healthy.target()];
    let sidecar = Exporter::with("", &flags);
    let metrics = sidecar.probe(&healthy.target(), "default");
    metrics.is("goroutine_probe_success", &[], 1.0);
    let neighbour = Server::healthy();
    sidecar
        .get(&probe_path(&neighbour.target(), &[]))
        .is(403, "not allowed");
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
    const CROWD: usize = 100;
    const ADMITTED: usize = 8;
    let exporter = Exporter::with(PATIENT, &["--web.max-requests", "8"]);
    let gate = Arc::new(Gate::default());
    let slow = Server::waiting(&gate);
    let path = probe_path(&slow.target(), &[]);
    let (told, answers) = mpsc::channel();
    for _ in 0..CROWD {
        let (told, path, address) = (told.clone(), path.clone(), exporter.address);
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
    let count = |result| {
        let labels = [("module", "default"), ("result", result)];
        own.value("goroutine_exporter_probes_total", &labels)
    };
    assert_eq!((count("success"), count("busy")), (Some(8.0), Some(92.0)));
}

#[test]
fn answers_are_compressed_where_accepted() {
    let exporter = Exporter::start("");
    let healthy = Server::answering(ok(&profile()));
    let path = probe_path(&healthy.target(), &[]);
    let stream = TcpStream::connect(exporter.address).unwrap();
    let packed = exchange(stream, "GET", &path, &["Accept-Encoding: gzip"]).unwrap();
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert_eq!(packed.body[..2], [0x1f, 0x8b]);
    let plain = ask(exporter.address, "GET", &path, &[]);
    assert_eq!(plain.header("content-encoding"), None);
    assert!(packed.body.len() < plain.body.len());
    let mut inflated = GzDecoder::new(Vec::new());
    inflated.write_all(&packed.body).unwrap();
    let inflated = String::from_utf8(inflated.finish().unwrap()).unwrap();
    Metrics::parse(&inflated).is("goroutine_goroutines", &[], GOROUTINES);
}
