//! What the exporter answers to right and wrong requests, and whom it probes for strangers.

use std::io::Write;
use std::net::TcpStream;

use flate2::write::GzDecoder;

use crate::http::{Metrics, ask, exchange};
use crate::programs::{Exporter, probe_path, until};
use crate::servers::{GOROUTINES, Server, nobody};

/// Everything by default but the patience: no test here waits for a timeout.
const PATIENT: &str = "modules: { default: { timeout: 1m } }\n";

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
        .is(400, "no target");
    // A target of the command line, in place of the file's.
    let flagged = Exporter::with("", &["--target", &healthy.target()]);
    let metrics = Metrics::parse(&flagged.get("/targets/metrics").text());
    metrics.is("goroutine_probe_success", &good[..1], 1.0);
}

#[test]
fn answers_are_compressed_where_accepted() {
    let exporter = Exporter::start("");
    let healthy = Server::healthy();
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
