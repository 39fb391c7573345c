//! Requests as nobody should send them: each is answered or its connection closed, and the exporter is as well as before.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use crate::http::get;
use crate::programs::Exporter;
use crate::servers::Server;

/// Asks for the end of the connection behind the answer.
const CLOSE: &str = "Host: a\r\nConnection: close\r\n";

/// The longest an odd request may take: more than a probe of a second does.
const LONGEST: Duration = Duration::from_secs(30);

/// What comes back until the connection is closed. A request that does not ask for that, and may be but a part of one, is
/// ended by closing our half.
fn exchange(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONGEST)).unwrap();
    stream.set_write_timeout(Some(LONGEST)).unwrap();
    // The exporter may have closed it before all is sent.
    drop(stream.write_all(request));
    let closes = request
        .windows(CLOSE.len())
        .any(|part| part == CLOSE.as_bytes());
    if !closes {
        drop(stream.shutdown(Shutdown::Write));
    }
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        let closed = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
        let shown = String::from_utf8_lossy(&request[..request.len().min(200)]);
        assert!(closed.contains(&error.kind()), "{error} after {shown:?}");
    }
    answer
}

/// Paths that exist, with and without what they ask for.
fn paths(target: &str) -> Vec<String> {
    let id = "20260101T000000.000Z-000000000000";
    let mut paths: Vec<String> = [
        "/",
        "/probe",
        "/metrics",
        "/targets/metrics",
        "/target",
        "/target/profile",
        "/snapshots",
        "/config",
        "/-/healthy",
        "/-/ready",
        "/-/reload",
        "/nowhere",
    ]
    .map(str::to_owned)
    .into();
    paths.push(format!("/probe?target={target}"));
    paths.push(format!("/target?target={target}"));
    paths.push(format!("/snapshots/{id}"));
    paths.push(format!("/snapshots/{id}/delete"));
    paths
}

/// Queries that are odd in one way each.
fn queries(target: &str) -> Vec<String> {
    let long = "x".repeat(6000);
    let many = format!("target={target}&").repeat(100);
    let names: String = (0..3000).map(|n| format!("m{n},")).collect();
    let mut queries: Vec<String> = [
        "target",
        "target=",
        "target=%00",
        "target=a%00b:1",
        "target=%ff%fe:1",
        "target=%",
        "target=%2",
        "target=%zz",
        "target=%0d%0aX-Evil:1",
        "target=a%0ab:1",
        "target=[::1",
        "target=[::1]:99999999999999999999",
        "target=..%2f..%2fetc%2fpasswd",
        "target=http://a:1/%252e%252e/",
        "target=unix:///%00",
        "target=unix:////////",
        "target=http://xn--:1",
        "target=http://%E2%80%AE:1",
        "target=999999999999.1:1",
        "target=http://[::ffff:0:0]:1",
        "target=a:1&target=b:1&target=c:1",
        "&&&&=&=&===&",
        "target=127.0.0.1:1&module=%00",
        "target=127.0.0.1:1&module=,,,,,",
        "target=127.0.0.1:1&module=../../x",
        "target=127.0.0.1:1&module=%F0%9F%92%A9",
        "target=127.0.0.1:1&debug=%00",
        "target=127.0.0.1:1&against=..%2f..%2fx",
        "format=json&raw=1&format=%00",
        "raw=1",
        "a=b?c=d#e",
        "+++",
        ";a=b;",
    ]
    .map(str::to_owned)
    .into();
    queries.push(format!("target={long}"));
    queries.push(format!("target=http://127.0.0.1:1/{}", &long[..1900]));
    queries.push(format!("target=127.0.0.1:1&module={long}"));
    queries.push(format!("target=127.0.0.1:1&module={}", &names[..10_000]));
    queries.push(format!("target={target}&{}", "a&".repeat(5000)));
    queries.push(many);
    queries.push(format!("{long}={long}"));
    queries
}

/// Whole requests that are odd as such.
fn raw(target: &str) -> Vec<Vec<u8>> {
    let probe = format!("/probe?target={target}");
    let long = "x".repeat(20_000);
    let lines = |n: usize| (0..n).map(|n| format!("X-{n}: a\r\n")).collect::<String>();
    let mut requests: Vec<String> = vec![
        String::new(),
        "\r\n\r\n\r\n".to_owned(),
        "\n".to_owned(),
        "GET".to_owned(),
        "GET /".to_owned(),
        "GET / HTTP/1.1".to_owned(),
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "GET / HTTP/1.0\r\n\r\n".to_owned(),
        "GET / HTTP/0.9\r\n\r\n".to_owned(),
        "GET / HTTP/2.0\r\n\r\n".to_owned(),
        "GET / HTTP/9.9\r\n\r\n".to_owned(),
        "GET /\r\n\r\n".to_owned(),
        "GET  /  HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "get / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "G\u{e4}T / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET * HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n".to_owned(),
        "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET 127.0.0.1:80 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET metrics HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET http://elsewhere.example/metrics HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        format!("GET http://elsewhere.example{probe} HTTP/1.1\r\nHost: a\r\n\r\n"),
        "GET http:// HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET /\u{0}metrics HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET //metrics HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET /snapshots/%2e%2e HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET /snapshots/%ff HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET /snapshots/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(),
        "GET /metrics HTTP/1.1\r\nHost: \r\n\r\n".to_owned(),
        "GET /metrics HTTP/1.1\r\nHost: a b\u{1}\r\n\r\n".to_owned(),
        "GET /metrics HTTP/1.1\r\n Host: a\r\n\r\n".to_owned(),
        "GET /metrics HTTP/1.1\r\nHost : a\r\n\r\n".to_owned(),
        "GET /metrics HTTP/1.1\nHost: a\n\n".to_owned(),
        "GET /metrics HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip;q=NaN, *;q=-1, ;;;=\r\n\r\n"
            .to_owned(),
        format!("GET {probe} HTTP/1.1\r\nHost: a\r\nX-Prometheus-Scrape-Timeout-Seconds: 1e999\r\n\r\n"),
        format!("GET {probe} HTTP/1.1\r\nHost: a\r\nX-Prometheus-Scrape-Timeout-Seconds: 1e-300\r\n\r\n"),
        format!("GET {probe} HTTP/1.1\r\nHost: a\r\nX-Prometheus-Scrape-Timeout-Seconds: 9999999999999999999999\r\n\r\n"),
        format!("GET {probe} HTTP/1.1\r\nHost: a\r\nX-Prometheus-Scrape-Timeout-Seconds: 0x10\r\n\r\n"),
        format!("GET {probe} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"),
        format!("GET {probe} HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n"),
        format!("GET {probe} HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"),
        format!("GET {probe} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx"),
        format!("GET {probe} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        format!("GET {probe} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"),
        format!("GET {probe} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n"),
        format!("GET {probe} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"),
        "POST /-/reload HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\nx".to_owned(),
        format!("POST /-/reload HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n{}", long.repeat(10)),
        format!("POST /snapshots?target={target} HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n{long}"),
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"),
        format!("GET /?{long}{long}{long}{long} HTTP/1.1\r\nHost: a\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: {long}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", lines(60)),
        format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", lines(70)),
        format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", lines(5000)),
        format!("{long} / HTTP/1.1\r\nHost: a\r\n\r\n"),
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(200),
    ];
    for value in ["null", "http://", "://", "http://a b", "\u{e4}", ""] {
        requests.push(format!(
            "POST /-/reload HTTP/1.1\r\nHost: a\r\nOrigin: {value}\r\n\r\n"
        ));
    }
    let mut requests: Vec<Vec<u8>> = requests
        .into_iter()
        .map(|request| request.replacen("Host: a\r\n", CLOSE, 1).into_bytes())
        .collect();
    requests.push(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec());
    requests.push(vec![0; 4096]);
    requests.push(vec![0xff; 40_000]);
    requests.push(b"GET /\xff\xfe HTTP/1.1\r\nHost: \xff\r\nX: \xff\r\n\r\n".to_vec());
    requests.push(b"GET /probe?target=\xff HTTP/1.1\r\nHost: a\r\n\r\n".to_vec());
    requests
}

#[test]
fn odd_requests_are_answered_or_closed() {
    let folder = tempfile::tempdir().unwrap();
    let storage = folder.path().to_str().unwrap();
    let mut exporter = Exporter::with(
        "modules: { default: { timeout: 1s } }\n",
        &["--web.enable-lifecycle", "--storage.path", storage],
    );
    let healthy = Server::healthy();
    let target = healthy.target();
    let mut requests = raw(&target);
    let methods = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "PROPFIND", "X",
    ];
    for path in paths(&target) {
        for method in methods {
            requests.push(format!("{method} {path} HTTP/1.1\r\n{CLOSE}\r\n").into_bytes());
        }
    }
    for query in queries(&target) {
        for path in ["/probe", "/target", "/snapshots", "/targets/metrics"] {
            let request = format!("GET {path}?{query} HTTP/1.1\r\n{CLOSE}\r\n");
            requests.push(request.into_bytes());
        }
    }
    assert!(requests.len() > 350, "{}", requests.len());
    let address = exporter.address;
    let part = requests.len() / 4 + 1;
    let answers: usize = thread::scope(|scope| {
        let senders: Vec<_> = requests
            .chunks(part)
            .map(|part| {
                scope.spawn(move || {
                    let mut answered = 0;
                    for request in part {
                        let answer = exchange(address, request);
                        let shown = || {
                            let start = &request[..request.len().min(300)];
                            String::from_utf8_lossy(start).into_owned()
                        };
                        let text = String::from_utf8_lossy(&answer);
                        // Said while a body is waited for, of which none comes.
                        let text = text.trim_start_matches("HTTP/1.1 100 Continue\r\n\r\n");
                        if text.is_empty() {
                            continue;
                        }
                        answered += 1;
                        assert!(text.starts_with("HTTP/1."), "{:?}: {text}", shown());
                        let status = text.split(' ').nth(1).unwrap();
                        // 502 and 507 are of targets and disks; the exporter itself has no fault here.
                        assert!(
                            ["2", "3", "4"]
                                .iter()
                                .any(|class| status.starts_with(class))
                                || ["502", "503", "505"].contains(&status),
                            "{:?}: {text}",
                            shown()
                        );
                        let (head, _) = text.split_once("\r\n\r\n").unwrap();
                        let evil = head.to_ascii_lowercase().contains("x-evil");
                        assert!(!evil, "{:?}: {head}", shown());
                    }
                    answered
                })
            })
            .collect();
        senders
            .into_iter()
            .map(|sender| sender.join().unwrap())
            .sum()
    });
    assert!(answers > 370, "{answers} of {}", requests.len());
    assert!(!exporter.program.ended());
    get(address, "/-/healthy").is(200, "healthy");
    get(address, &format!("/probe?target={target}")).is(200, "goroutine_probe_success 1");
    let own = exporter.metrics();
    own.is("goroutine_exporter_probes_in_flight", &[], 0.0);
    let modules: Vec<&str> = own
        .all("goroutine_exporter_probes_total", &[])
        .map(|sample| sample.label("module"))
        .collect();
    assert!(modules.iter().all(|module| *module == "default"));
    let log = exporter.program.log();
    assert!(!log.contains("panicked"), "{log}");
    assert!(!log.contains("/etc/passwd"), "{log}");
    assert!(log.lines().all(|line| line.len() < 8192));
}
